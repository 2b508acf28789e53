//! Verifies the signature of a message with the certificate that it names.

use std::time::SystemTime;

use openssl::pkey::{Id, PKeyRef, Public};
use openssl::x509::X509;

use super::{OpenError, Outer, parse_outer};
use crate::mime::{Signed, SignedParts, Uncovered, encoding};
use crate::shape::{self, Cms, KeyKind, ShapeError, SignedMessage, SignerId};
use crate::signature;
use trust::{Digest, Role, TrustStore};

/// A verified signature: the signed bytes and the signer.
pub(crate) struct Verified<'a> {
    pub(crate) signed: Signed<'a>,
    pub(crate) signer: X509,
    /// The other certificates of the message.
    pub(crate) others: Vec<X509>,
    pub(crate) digest: Digest,
    pub(crate) signing_time: Option<SystemTime>,
}

impl Verified<'_> {
    pub(super) fn into_owned(self) -> Verified<'static> {
        let Self { signed, signer, others, digest, signing_time } = self;
        Verified { signed: signed.into_owned(), signer, others, digest, signing_time }
    }
}

/// Verifies what was in an envelope.
pub(crate) fn verify_inside<'a>(
    plain: &'a [u8],
    uncovered: Uncovered,
    trust: &TrustStore,
) -> Result<Verified<'a>, OpenError> {
    match parse_outer(plain, uncovered)? {
        Outer::Detached(parts) => verify_detached(&parts, trust),
        Outer::Cms(message) => match shape::inspect(&message)? {
            Cms::Signed(signed) => verify_opaque(signed, trust).map(Verified::into_owned),
            Cms::Enveloped(_) => Err(ShapeError::Structure { what: "an envelope inside an envelope" }.into()),
        },
    }
}

pub(super) fn verify_detached<'a>(parts: &SignedParts<'a>, trust: &TrustStore) -> Result<Verified<'a>, OpenError> {
    let Cms::Signed(message) = shape::inspect(&parts.signature)? else {
        return Err(ShapeError::Structure { what: "an envelope instead of a signature" }.into());
    };
    let announced = parts.micalg.as_deref().unwrap_or_default().replace('-', "");
    if !announced.eq_ignore_ascii_case(&message.digest.name().replace('-', "")) {
        tracing::debug!(announced, used = message.digest.name(), "announced digest differs from the one used");
    }
    let (signer, others) = certificates(&message, trust, Role::MessageSigner)?;
    let received = parts.content;
    let signed = match &message.content {
        None => detached(&message, &signer, received)?,
        // The signature also contains the content, as with some Python senders.
        Some(own) if **own == encoding::to_crlf(received) => {
            verify(&message, &signer, own)?;
            Signed::canonical(received)
        }
        Some(_) => {
            return Err(ShapeError::Structure { what: "the signature repeats the content, but not exactly" }.into());
        }
    };
    Ok(Verified { signed, signer, others, digest: message.digest, signing_time: message.signing_time })
}

/// Verifies a detached signature over the canonical form; failing that, over the content as received, as `openssl smime
/// -sign -binary` signs it; failing that, over the content with LF line ends, which Python's cryptography 50.0.2 signs
/// with `Binary` before it sends CRLF. Returns exactly the bytes that were signed.
fn detached<'a>(message: &SignedMessage<'_>, signer: &X509, received: &'a [u8]) -> Result<Signed<'a>, OpenError> {
    // Both are done whatever the other says, so that they cost the same in an envelope.
    let by_signer = verifies(message, signer);
    let is_signed = |digest: Result<Vec<u8>, _>| digest.is_ok_and(|digest| digest == message.message_digest);
    let signed = if is_signed(signature::digest_of_canonical(message.digest, received)) {
        Some(Signed::canonical(received))
    } else if is_signed(signature::digest_of(message.digest, received)) {
        Some(Signed::exact(received.into()))
    } else {
        let with_lf = encoding::to_lf(received);
        is_signed(signature::digest_of(message.digest, &with_lf)).then(|| Signed::exact(with_lf.into()))
    };
    signed.filter(|_| by_signer).ok_or(OpenError::Signature)
}

pub(super) fn verify_opaque<'a>(mut message: SignedMessage<'a>, trust: &TrustStore) -> Result<Verified<'a>, OpenError> {
    let Some(content) = message.content.take() else {
        return Err(ShapeError::Structure { what: "a signature without its content" }.into());
    };
    let (signer, others) = certificates(&message, trust, Role::MessageSigner)?;
    verify(&message, &signer, &content)?;
    let SignedMessage { digest, signing_time, .. } = message;
    Ok(Verified { signed: Signed::exact(content), signer, others, digest, signing_time })
}

/// The certificate that the SignerInfo identifies, and the others.
pub(crate) fn certificates(
    message: &SignedMessage<'_>,
    trust: &TrustStore,
    role: Role,
) -> Result<(X509, Vec<X509>), OpenError> {
    let unreadable = |_| ShapeError::Structure { what: "a certificate that cannot be read" };
    let mut signer: Option<(&[u8], X509)> = None;
    let mut others = Vec::new();
    for &der in &message.certificates {
        let certificate = trust.certificate(der, role).map_err(unreadable)?;
        match &signer {
            _ if !names(&message.signer, der, &certificate)? => others.push(certificate),
            Some((same, _)) if *same == der => {}
            Some(_) => return Err(OpenError::AmbiguousCertificate),
            None => signer = Some((der, certificate)),
        }
    }
    let (_, signer) = signer.ok_or(OpenError::NoCertificate)?;
    let key = signer.public_key().map_err(unreadable)?;
    check_key(&key, message.key)?;
    Ok((signer, others))
}

fn names(id: &SignerId<'_>, der: &[u8], certificate: &X509) -> Result<bool, ShapeError> {
    match id {
        SignerId::IssuerSerial { .. } => Ok(shape::certificate_id(der)? == *id),
        SignerId::KeyId(wanted) => Ok(certificate.subject_key_id().is_some_and(|found| found.as_slice() == *wanted)),
    }
}

/// Checks that the key is of the kind that the signature algorithm requires, and that the exponent of an RSA key is
/// sound.
pub(crate) fn check_key(key: &PKeyRef<Public>, kind: KeyKind) -> Result<(), OpenError> {
    let refused = |reason| OpenError::SignerKey { reason };
    let fits = match key.id() {
        Id::RSA | Id::RSA_PSS => matches!(kind, KeyKind::Rsa | KeyKind::RsaPss(_)),
        Id::EC => kind == KeyKind::Ec,
        Id::ED25519 => kind == KeyKind::Ed25519,
        _ => false,
    };
    if !fits {
        return Err(refused("it is not of the kind that the signature algorithm requires"));
    }
    if let KeyKind::RsaPss(octets) = kind {
        // RFC 8017, section 9.1.1: the encoded message is one bit shorter than the modulus.
        if octets > usize::try_from(key.bits()).unwrap_or_default().saturating_sub(1).div_ceil(8) {
            return Err(refused("it is too short for the digest and the salt of the RSA-PSS signature"));
        }
    }
    if key.id() == Id::RSA {
        let exponent = key.rsa().map_err(|_| refused("it cannot be read"))?.e().to_vec();
        if matches!(exponent.as_slice(), [] | [1]) || exponent.last().is_some_and(|octet| octet % 2 == 0) {
            return Err(refused("its public exponent is 1 or even"));
        }
    }
    Ok(())
}

/// Verifies the signature over `content` with this certificate only. `trust` validates its path afterwards.
pub(crate) fn verify(message: &SignedMessage<'_>, signer: &X509, content: &[u8]) -> Result<(), OpenError> {
    let by_signer = verifies(message, signer);
    let digest = signature::digest_of(message.digest, content).map_err(|_| OpenError::Signature)?;
    if by_signer && digest == message.message_digest { Ok(()) } else { Err(OpenError::Signature) }
}

/// Whether the certificate's key made the signature over the signed attributes.
fn verifies(message: &SignedMessage<'_>, signer: &X509) -> bool {
    signer.public_key().and_then(|key| signature::verifies(message, &key)).unwrap_or(false)
}
