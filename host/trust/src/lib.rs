//! Trust in certificates: names, signer lists, trust anchors with CRLs and signing policies, certification paths, our
//! own credential, and the TLS verifier that applies the same rules to a broker.
//!
//! Start at [`TrustStore::check_path`]: every certificate that is accepted passes it. [`Trust`] holds the current store
//! and replaces it when files change. A store is immutable, so that a message is checked against one state of the
//! files.
//!
//! | module | contents |
//! |---|---|
//! | `names` | [`DistinguishedName`]: structured names, slash form, RFC 4514 form; [`BoundName`]: the form of AMS |
//! | `lists` | the authorised and the banned signers |
//! | `anchors`, `crls`, `policy` | the content of the CA directory |
//! | `store` | [`TrustStore`], [`Trust`] |
//! | `path` | [`CertPath`], [`PathError`]: the rules for a certificate and its issuers |
//! | `algorithm`, [`oids`] | which signatures and keys are strong enough; the table of algorithms |
//! | [`asn1`], `certificate`, `times` | the reader of BER and DER; the fields and extensions of a certificate; its times |
//! | `credential` | our certificate and key, and the recipient's certificate |
//! | `library` | [`Library`]: which OpenSSL this is, and for how long it is maintained |
//! | [`tls`] | the verifier and the client certificate for rustls |
//!
//! Messages (`smime`), sockets and tokio are out of scope. All calls block. This crate reads files and never writes
//! any.
//!
//! # On disk
//! Each format is described in its module: the CA directory in `anchors`, CRLs in `crls`, signing policies in `policy`,
//! signer lists in `lists`, certificate and key in `credential`.
//!
//! # Limits
//! 16 MiB for a file of certificates, 64 MiB for a CRL; a path has a limited number of issuers and attempts (`path`).
//! CRLs with a million entries are searched in their encoded form.

mod algorithm;
mod anchors;
pub mod asn1;
mod certificate;
mod credential;
mod crls;
#[doc(hidden)]
pub mod fuzzing;
mod library;
mod lists;
mod names;
pub mod oids;
mod path;
mod policy;
mod store;
mod times;
pub mod tls;

pub use algorithm::{Digest, SignatureKey, signature};
pub use anchors::{CrlSummary, PathCrl, TrustError, TrustSettings};
pub use certificate::TbsCertificate;
pub use credential::{
    CertificateNames, Credential, CredentialError, CredentialSource, RecipientCertificate, RecipientError,
    RecipientSource,
};
pub use crls::CrlMode;
pub use library::{Library, prepare};
pub use lists::{ListError, Listing, SignerList, SignerLists, SignerListsSource, Unlisted};
pub use names::{BoundName, DistinguishedName, NameError};
pub use path::{CertPath, OpensslError, PathError, Role, Signer};
pub use store::{OwnFault, Trust, TrustStore};
pub use times::seconds;

/// The result of checking files for changes.
#[derive(Debug)]
pub enum Refreshed<E> {
    /// No file changed.
    Unchanged,
    /// The new content is in use. The texts are warnings for the operator.
    Replaced(Vec<String>),
    /// The new content cannot be used; the last good content stays in use.
    KeptLastGood(E),
}
