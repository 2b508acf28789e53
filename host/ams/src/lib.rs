//! A client of the ARGO Messaging Service (AMS): publish, pull and acknowledge over HTTPS.
