//! Why there is no connection with AMS or its token service, with texts that an operator can act on.

use std::error::Error;
use std::io;

use dial::{DialError, tls};

use crate::names::Endpoint;

/// Why there is no connection. Where a name has several addresses, this is about the last one that was tried.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No connection over TCP and TLS.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The proxy does not pass us on.
    #[error("the proxy {proxy} makes no connection to {to}: {reason}")]
    Proxy {
        /// The proxy.
        proxy: Endpoint,
        /// What it should connect to.
        to: Endpoint,
        /// Its answer, fit to be shown.
        reason: String,
    },
}

impl ConnectError {
    /// Whether it may pass without a change of the configuration. What is wrong with a certificate passes when
    /// certificates and revocation lists are renewed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        !matches!(self, Self::Dial(DialError::NotAServerName { .. }))
    }

    /// That the server refused our certificate, where an error of an open connection means so: with TLS 1.3 it does only
    /// after the handshake, and before it takes a request.
    pub(crate) fn late(at: &Endpoint, error: &(dyn Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref::<io::Error>().and_then(tls::error_in) {
                let found = DialError::tls(at, found.clone());
                // Other alerts may come after the server took a request.
                return matches!(found, DialError::ClientCertificateRefused { .. }).then(|| found.into());
            }
            next = error.source();
        }
        None
    }
}
