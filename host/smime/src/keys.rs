//! Our certificates, and the one operation that needs their private keys: the key of a content from its encrypted form.
//!
//! The keys may be in another process ([`open_apart`](super::open_apart)).

use std::sync::Arc;

use openssl::x509::X509Ref;
use trust::Credential;
use zeroize::Zeroizing;

use super::decrypt;
use super::wrapped::WrappedKey;

/// Our certificates and what their keys can do.
pub(crate) trait Keys {
    /// The certificates.
    fn certificates(&self) -> Vec<&X509Ref>;

    /// The key of a content, with the private key of the certificate at `index`. It is a random one where the encrypted key
    /// yields none: that must not be seen. `None` only where no key can be had at all.
    fn content_key(&self, index: usize, wrapped: &WrappedKey<'_>) -> Option<Zeroizing<Vec<u8>>>;
}

/// Credentials of this process.
pub(crate) struct OwnKeys<'a>(pub(crate) &'a [Arc<Credential>]);

impl Keys for OwnKeys<'_> {
    fn certificates(&self) -> Vec<&X509Ref> {
        self.0.iter().map(|credential| credential.certificate()).collect()
    }

    fn content_key(&self, index: usize, wrapped: &WrappedKey<'_>) -> Option<Zeroizing<Vec<u8>>> {
        let credential = self.0.get(index)?;
        decrypt::content_key(wrapped, (credential.key(), &decrypt::transports(credential))).ok()
    }
}
