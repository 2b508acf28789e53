//! The shape check of CMS messages, which comes before OpenSSL.

/// Input: a CMS message, BER or DER.
pub(crate) fn parse(input: &[u8]) -> bool {
    smime::fuzzing::cms(input)
}
