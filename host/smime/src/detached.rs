//! Detached signatures of files, such as plugins, created and verified with the code for messages.
//!
//! # On disk
//! `FILE.p7s`: a detached CMS SignedData over the bytes of `FILE`, in DER or PEM (`CMS` or `PKCS7`), as written by
//! `openssl cms -sign -binary -outform DER -in FILE -signer … -inkey …`. The rules of [`shape`] apply:
//! one signature with signed attributes, SHA-256 or better, and the signer's certificate included.

use std::time::SystemTime;

use super::open::{self, OpenError};
use super::seal::{DetachedSigner, SealError};
use super::shape::{self, Cms, ShapeError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use trust::{Credential, Digest, Role, Signer, TrustStore};

/// Signs `content` with `credential` and includes its issuers. The signature is in DER.
///
/// # Errors
/// [`SealError::SigningKey`] for a key that is neither RSA nor EC, [`SealError::Openssl`].
pub fn sign_detached(credential: &Credential, content: &[u8]) -> Result<Vec<u8>, SealError> {
    let issuers: Result<Vec<_>, _> = credential.chain().iter().map(|issuer| issuer.to_der()).collect();
    let issuers = issuers.map_err(SealError::openssl("sign"))?;
    let signer = DetachedSigner::new(credential, &issuers)?;
    signer.sign(SystemTime::now(), &openssl::sha::sha256(content))
}

/// Verifies `signature` over `content`, and checks that its signer is trusted for `role` at the time `at`. Revocation
/// is checked at the current time.
///
/// # Errors
/// [`OpenError`], as for a message.
pub fn verify_detached(
    signature: &[u8],
    content: &[u8],
    trust: &TrustStore,
    role: Role,
    at: SystemTime,
) -> Result<Signer, OpenError> {
    let der = from_pem(signature)?;
    let Cms::Signed(message) = shape::inspect(&der)? else {
        return Err(ShapeError::Structure { what: "an envelope instead of a signature" }.into());
    };
    if message.content.is_some() {
        return Err(ShapeError::Structure { what: "the signature contains its content" }.into());
    }
    let (signer, others) = open::certificates(&message, trust, role)?;
    open::verify(&message, &signer, content)?;
    if matches!(message.digest, Digest::Md5 | Digest::Sha1) {
        return Err(OpenError::WeakDigest { digest: message.digest });
    }
    let path = trust.check_path(&signer, &others, role, at).map_err(OpenError::Path)?;
    open::check_time(message.signing_time, None, SystemTime::now())?;
    Ok(Signer::clone(path.signer()))
}

/// The content of the first PEM block; the bytes themselves if there is none.
fn from_pem(signature: &[u8]) -> Result<Vec<u8>, ShapeError> {
    let unreadable = ShapeError::Structure { what: "PEM that cannot be read" };
    let Some(text) = std::str::from_utf8(signature).ok().filter(|text| text.contains("-----BEGIN ")) else {
        return Ok(signature.to_vec());
    };
    for label in ["CMS", "PKCS7"] {
        let block = text.split_once(&format!("-----BEGIN {label}-----")).map(|(_, rest)| rest);
        if let Some((inside, _)) = block.and_then(|rest| rest.split_once(&format!("-----END {label}-----"))) {
            let packed: String = inside.split_ascii_whitespace().collect();
            return STANDARD.decode(packed).map_err(|_| unreadable);
        }
    }
    Err(unreadable)
}
