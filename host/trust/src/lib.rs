//! Whom we believe: names, signer lists, trust anchors with CRLs and signing policies, certification paths, our own
//! credential, and the TLS verifier that asks the same questions of a broker.
//!
//! Start with [`TrustStore::check_path`]: everything that accepts a certificate goes through it. [`Trust`] holds the
//! current store and replaces it when files change; a store itself never changes, so a message is judged against one
//! state of the disk.
//!
//! | file | holds |
//! |---|---|
//! | `names` | [`DistinguishedName`]: structured names, slash form, RFC 4514 form |
//! | `lists` | the authorised and the banned signers |
//! | `anchors`, `crls`, `policy` | what is read from the CA directory |
//! | `store` | [`TrustStore`], [`Trust`] |
//! | `path` | [`CertPath`], [`PathError`]: the rules for a certificate and its issuers |
//! | `algorithm`, `oids` | which signatures and keys are strong enough; algorithms by name |
//! | `credential` | our certificate and key, and the recipient's certificate |
//! | `tls` | the verifier and the client certificate for rustls |
//! | `throwaway` | a certificate authority for the demo and for tests |
//!
//! Everything here is blocking and knows nothing of tokio. It reads files and never writes one, `throwaway` excepted.

mod algorithm;
mod anchors;
pub mod asn1;
mod certificate;
mod credential;
mod crls;
#[doc(hidden)]
pub mod fuzzing;
mod lists;
mod names;
pub mod oids;
mod path;
mod policy;
mod store;
pub mod tls;

pub use algorithm::{Digest, SignatureKey, signature};
pub use certificate::TbsCertificate;
pub use credential::{
    Credential, CredentialError, CredentialSource, RecipientCertificate, RecipientError, RecipientSource,
};
pub use crls::CrlMode;
pub use lists::{ListError, Listing, SignerList, SignerLists, SignerListsSource, Unlisted};
pub use names::{DistinguishedName, NameError};
pub use path::{CertPath, OpensslError, PathError, Role, Signer, seconds};
pub use store::{CrlSummary, OwnFault, Trust, TrustError, TrustSettings, TrustStore};

/// What a look at files that may have changed came to.
#[derive(Debug)]
pub enum Refreshed<E> {
    /// The files are as they were.
    Unchanged,
    /// The new content is in use from now on. The texts are what an operator should know of it.
    Replaced(Vec<String>),
    /// The new content cannot be used; what was read before stays in use.
    KeptLastGood(E),
}
