//! Signatures of the TLS handshake, checked by OpenSSL.

use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Public};
use openssl::rsa::Padding;
use openssl::sign::{RsaPssSaltlen, Verifier};
use openssl::x509::X509;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, DigitallySignedStruct, Error, PeerMisbehaved, SignatureScheme};

/// The accepted schemes, in order of preference.
pub(super) const SCHEMES: &[SignatureScheme] = &[
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ECDSA_NISTP521_SHA512,
    SignatureScheme::ED25519,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA512,
];

/// The version of TLS, on which the meaning of some schemes depends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Tls12,
    Tls13,
}

/// How a scheme signs.
enum Method {
    RsaPss(MessageDigest),
    RsaPkcs1(MessageDigest),
    /// In TLS 1.3 with this curve only (RFC 8446 4.2.3); in 1.2 the scheme determines only the digest (RFC 5246
    /// 7.4.1.4.1).
    Ecdsa(MessageDigest, Nid),
    Ed25519,
}

fn method(scheme: SignatureScheme) -> Option<Method> {
    Some(match scheme {
        SignatureScheme::RSA_PSS_SHA256 => Method::RsaPss(MessageDigest::sha256()),
        SignatureScheme::RSA_PSS_SHA384 => Method::RsaPss(MessageDigest::sha384()),
        SignatureScheme::RSA_PSS_SHA512 => Method::RsaPss(MessageDigest::sha512()),
        SignatureScheme::RSA_PKCS1_SHA256 => Method::RsaPkcs1(MessageDigest::sha256()),
        SignatureScheme::RSA_PKCS1_SHA384 => Method::RsaPkcs1(MessageDigest::sha384()),
        SignatureScheme::RSA_PKCS1_SHA512 => Method::RsaPkcs1(MessageDigest::sha512()),
        SignatureScheme::ECDSA_NISTP256_SHA256 => Method::Ecdsa(MessageDigest::sha256(), Nid::X9_62_PRIME256V1),
        SignatureScheme::ECDSA_NISTP384_SHA384 => Method::Ecdsa(MessageDigest::sha384(), Nid::SECP384R1),
        SignatureScheme::ECDSA_NISTP521_SHA512 => Method::Ecdsa(MessageDigest::sha512(), Nid::SECP521R1),
        SignatureScheme::ED25519 => Method::Ed25519,
        _ => return None,
    })
}

/// Checks the signature of `message` with the key of `certificate` and the scheme that the broker named.
pub(super) fn verify(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    protocol: Protocol,
) -> Result<HandshakeSignatureValid, Error> {
    let key = X509::from_der(certificate).and_then(|certificate| certificate.public_key());
    let key = key.map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
    let method = method(signed.scheme).filter(|method| fits(method, &key, protocol));
    let method = method.ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
    match verify_by(&method, &key, message, signed.signature()) {
        Ok(true) => Ok(HandshakeSignatureValid::assertion()),
        _ => Err(Error::InvalidCertificate(CertificateError::BadSignature)),
    }
}

/// Whether a scheme is valid for the kind of key and the version of TLS.
fn fits(method: &Method, key: &PKey<Public>, protocol: Protocol) -> bool {
    match method {
        Method::RsaPss(_) => key.id() == Id::RSA,
        Method::RsaPkcs1(_) => key.id() == Id::RSA && protocol == Protocol::Tls12,
        Method::Ecdsa(_, curve) => {
            let of_key = key.ec_key().ok().and_then(|key| key.group().curve_name());
            of_key.is_some_and(|of_key| protocol == Protocol::Tls12 || of_key == *curve)
        }
        Method::Ed25519 => key.id() == Id::ED25519,
    }
}

fn verify_by(method: &Method, key: &PKey<Public>, message: &[u8], signature: &[u8]) -> Result<bool, ErrorStack> {
    let mut verifier = match method {
        Method::RsaPss(digest) | Method::RsaPkcs1(digest) | Method::Ecdsa(digest, _) => Verifier::new(*digest, key)?,
        Method::Ed25519 => Verifier::new_without_digest(key)?,
    };
    if let Method::RsaPss(digest) = method {
        verifier.set_rsa_padding(Padding::PKCS1_PSS)?;
        verifier.set_rsa_mgf1_md(*digest)?;
        verifier.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
    }
    verifier.verify_oneshot(signature, message)
}
