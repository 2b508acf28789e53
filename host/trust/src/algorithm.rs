//! Signature algorithms and keys: their names and their strength.
//!
//! # Policy
//! - Digests: SHA-256, SHA-384 and SHA-512; SHA-1 only with an explicit setting; MD5, SHA-224 and unknown ones never.
//! - Keys: RSA of 2048 to 16384 bits with an odd exponent of 3 or more, EC on a named curve of 256 bits or more,
//!   Ed25519 and Ed448.

use openssl::hash::MessageDigest;
use openssl::pkey::{Id, PKey, Public};

use crate::asn1::{self, Asn1Error, Element, Reader};
use crate::certificate::TbsCertificate;
use crate::oids;

/// A message digest that some policy accepts, or refuses after the signature is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Digest {
    /// Broken; never accepted.
    Md5,
    /// Weak; accepted only with a setting.
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

const DIGESTS: [(&[u8], Digest); 5] = [
    (oids::MD5, Digest::Md5),
    (oids::SHA1, Digest::Sha1),
    (oids::SHA256, Digest::Sha256),
    (oids::SHA384, Digest::Sha384),
    (oids::SHA512, Digest::Sha512),
];

impl Digest {
    /// The digest with this object identifier.
    #[must_use]
    pub fn from_oid(oid: &[u8]) -> Option<Self> {
        DIGESTS.iter().find(|(known, _)| *known == oid).map(|(_, digest)| *digest)
    }

    /// The digest's length in octets.
    #[must_use]
    pub fn octets(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The name as in `micalg`, such as `sha-256`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha-1",
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }
}

/// The kind of key that makes a signature with a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureKey {
    /// RSA by PKCS#1 v1.5.
    Rsa,
    Ecdsa,
}

/// Signature algorithms that name their digest.
const SIGNATURES: [(&[u8], SignatureKey, Digest); 9] = [
    (oids::RSA_WITH_MD5, SignatureKey::Rsa, Digest::Md5),
    (oids::RSA_WITH_SHA1, SignatureKey::Rsa, Digest::Sha1),
    (oids::RSA_WITH_SHA256, SignatureKey::Rsa, Digest::Sha256),
    (oids::RSA_WITH_SHA384, SignatureKey::Rsa, Digest::Sha384),
    (oids::RSA_WITH_SHA512, SignatureKey::Rsa, Digest::Sha512),
    (oids::ECDSA_WITH_SHA1, SignatureKey::Ecdsa, Digest::Sha1),
    (oids::ECDSA_WITH_SHA256, SignatureKey::Ecdsa, Digest::Sha256),
    (oids::ECDSA_WITH_SHA384, SignatureKey::Ecdsa, Digest::Sha384),
    (oids::ECDSA_WITH_SHA512, SignatureKey::Ecdsa, Digest::Sha512),
];

/// Key and digest of a signature algorithm that names both; `None` for others (RSA-PSS, Ed25519, Ed448) and unknown
/// ones.
#[must_use]
pub fn signature(oid: &[u8]) -> Option<(SignatureKey, Digest)> {
    SIGNATURES.iter().find(|(known, ..)| *known == oid).map(|(_, key, digest)| (*key, *digest))
}

/// How strong a signature algorithm is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strength {
    Strong,
    Sha1,
    Refused,
}

impl Strength {
    /// Whether it is accepted, given the setting for SHA-1.
    pub(crate) fn accepted(self, allow_sha1: bool) -> bool {
        self == Self::Strong || (self == Self::Sha1 && allow_sha1)
    }
}

/// The signature algorithm of a certificate or a CRL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignatureAlgorithm {
    pub(crate) name: String,
    pub(crate) strength: Strength,
}

impl SignatureAlgorithm {
    /// Reads `AlgorithmIdentifier ::= SEQUENCE { OID, parameters }`.
    pub(crate) fn from_element(identifier: &Element<'_>) -> Result<Self, Asn1Error> {
        let mut fields = identifier.inside();
        let oid = fields.take(asn1::OID)?.content;
        if oid == oids::RSA_PSS {
            let (digest, strength) = pss_digest(fields)?;
            return Ok(Self { name: format!("RSA-PSS with {digest}"), strength });
        }
        Ok(Self { name: oids::name(oid), strength: strength(oid) })
    }

    /// The algorithm in the outer part of a certificate.
    pub(crate) fn of_certificate(certificate: &[u8]) -> Result<Self, Asn1Error> {
        let mut fields = Reader::der(certificate).take(asn1::SEQUENCE)?.inside();
        fields.take(asn1::SEQUENCE)?;
        Self::from_element(&fields.take(asn1::SEQUENCE)?)
    }
}

/// The strength of a signature algorithm without parameters.
fn strength(oid: &[u8]) -> Strength {
    match signature(oid) {
        Some((_, Digest::Md5)) => Strength::Refused,
        Some((_, Digest::Sha1)) => Strength::Sha1,
        Some((_, Digest::Sha256 | Digest::Sha384 | Digest::Sha512)) => Strength::Strong,
        None if oid == oids::ED25519 || oid == oids::ED448 => Strength::Strong,
        None => Strength::Refused,
    }
}

/// The digest in `RSASSA-PSS-params ::= SEQUENCE { [0] AlgorithmIdentifier DEFAULT sha1, … }` (RFC 4055 3.1).
fn pss_digest(mut fields: Reader<'_>) -> Result<(String, Strength), Asn1Error> {
    let digest = match fields.optional(asn1::SEQUENCE)? {
        Some(parameters) => parameters.inside().optional(asn1::context(0))?,
        None => None,
    };
    let Some(digest) = digest else { return Ok(("SHA-1".to_owned(), Strength::Sha1)) };
    let oid = digest.inside().take(asn1::SEQUENCE)?.inside().take(asn1::OID)?.content;
    let strong = matches!(Digest::from_oid(oid), Some(Digest::Sha256 | Digest::Sha384 | Digest::Sha512));
    Ok((oids::name(oid), if strong { Strength::Strong } else { Strength::Refused }))
}

/// The digest of an RSA PKCS#1 or ECDSA signature algorithm, and `Some(None)` for Ed25519 and Ed448, which need none.
pub(crate) fn digest(oid: &[u8]) -> Option<Option<MessageDigest>> {
    if oid == oids::ED25519 || oid == oids::ED448 {
        return Some(None);
    }
    match signature(oid)?.1 {
        Digest::Md5 => None,
        Digest::Sha1 => Some(Some(MessageDigest::sha1())),
        Digest::Sha256 => Some(Some(MessageDigest::sha256())),
        Digest::Sha384 => Some(Some(MessageDigest::sha384())),
        Digest::Sha512 => Some(Some(MessageDigest::sha512())),
    }
}

/// The kind of a key by the algorithm of its SubjectPublicKeyInfo.
fn kind_of(key: &PKey<Public>) -> Option<String> {
    kind_in(&Reader::der(&key.public_key_to_der().ok()?).take(asn1::SEQUENCE).ok()?)
}

/// The kind of key in a certificate, even if OpenSSL cannot read the key.
pub(crate) fn kind_of_certificate(certificate: &[u8]) -> Option<String> {
    kind_in(&TbsCertificate::read(Reader::der(certificate)).ok()?.public_key)
}

fn kind_in(info: &Element<'_>) -> Option<String> {
    Some(oids::name(info.inside().take(asn1::SEQUENCE).ok()?.inside().take(asn1::OID).ok()?.content))
}

/// Names the key if it is too weak or of a refused kind.
pub(crate) fn weak_key(key: &PKey<Public>) -> Option<String> {
    let bits = key.bits();
    let sound_exponent = || key.rsa().is_ok_and(|rsa| rsa.e().is_bit_set(0) && rsa.e().num_bits() > 1);
    let accepted = match key.id() {
        Id::RSA | Id::RSA_PSS => (2048..=16_384).contains(&bits) && sound_exponent(),
        Id::EC => bits >= 256 && key.ec_key().is_ok_and(|key| key.group().curve_name().is_some()),
        Id::ED25519 | Id::ED448 => true,
        _ => false,
    };
    (!accepted).then(|| match key.id() {
        Id::RSA | Id::RSA_PSS if bits >= 2048 => format!("RSA of {bits} bits with an unsound exponent"),
        Id::RSA | Id::RSA_PSS => format!("RSA of {bits} bits"),
        Id::EC => format!("EC of {bits} bits"),
        Id::DSA => "DSA".to_owned(),
        _ => kind_of(key).unwrap_or_else(|| "unsupported kind".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pss(parameters: &[u8]) -> (String, Strength) {
        let oid = asn1::encode(asn1::OID, oids::RSA_PSS);
        let identifier = asn1::encode(asn1::SEQUENCE, &[oid.as_slice(), parameters].concat());
        let element = Reader::der(&identifier).take(asn1::SEQUENCE).unwrap();
        let algorithm = SignatureAlgorithm::from_element(&element).unwrap();
        (algorithm.name, algorithm.strength)
    }

    #[test]
    fn the_digest_of_pss_is_in_its_parameters() {
        let with = |oid: &[u8]| {
            let digest = asn1::encode(asn1::SEQUENCE, &asn1::encode(asn1::OID, oid));
            asn1::encode(asn1::SEQUENCE, &asn1::encode(asn1::context(0), &digest))
        };
        assert_eq!(
            pss(&with(oids::SHA256)),
            ("RSA-PSS with SHA-256 (2.16.840.1.101.3.4.2.1)".into(), Strength::Strong)
        );
        let sha3_256 = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x08];
        let (name, refused) = pss(&with(&sha3_256));
        assert_eq!(name, "RSA-PSS with SHA3-256 (2.16.840.1.101.3.4.2.8)");
        assert_eq!(refused, Strength::Refused);
        assert_eq!(pss(&asn1::encode(asn1::SEQUENCE, &[])).1, Strength::Sha1);
        assert_eq!(pss(&[]).1, Strength::Sha1);
    }

    #[test]
    fn rsa_needs_a_sound_exponent() {
        use openssl::bn::BigNum;
        use openssl::rsa::Rsa;
        let modulus = Rsa::generate(2048).unwrap().n().to_owned().unwrap();
        for (exponent, sound) in [(1, false), (2, false), (3, true), (65_537, true)] {
            let exponent = BigNum::from_u32(exponent).unwrap();
            let key = Rsa::from_public_components(modulus.to_owned().unwrap(), exponent).unwrap();
            assert_eq!(weak_key(&PKey::from_rsa(key).unwrap()).is_none(), sound);
        }
    }

    #[test]
    fn refused_algorithms_are_named() {
        let of = |oid: &str| {
            let oid = openssl::asn1::Asn1Object::from_str(oid).unwrap();
            let identifier = asn1::encode(asn1::SEQUENCE, &asn1::encode(asn1::OID, oid.as_slice()));
            let element = Reader::der(&identifier).take(asn1::SEQUENCE).unwrap();
            SignatureAlgorithm::from_element(&element).unwrap()
        };
        let sha3 = of("2.16.840.1.101.3.4.3.14");
        assert_eq!(sha3.strength, Strength::Refused);
        assert_eq!(sha3.name, "RSA with SHA3-256 (2.16.840.1.101.3.4.3.14)");
        assert_eq!((of("1.2.3.4").name.as_str(), of("1.2.3.4").strength), ("1.2.3.4", Strength::Refused));
        assert_eq!(of("1.2.840.113549.1.1.5").name, "RSA with SHA-1 (1.2.840.113549.1.1.5)");
        let x25519 = PKey::generate_x25519().unwrap().public_key_to_der().unwrap();
        let x25519 = PKey::public_key_from_der(&x25519).unwrap();
        assert_eq!(weak_key(&x25519).as_deref(), Some("X25519 (1.3.101.110)"));
    }

    #[test]
    fn a_key_that_openssl_cannot_read_is_named() {
        use testkit::pki::{Authority, KeyKind, Request};
        let authority = Authority::root(&Request::authority("/CN=Test CA")).unwrap();
        let host = authority.issue(&Request { key: KeyKind::P256, ..Request::host("/CN=a") }).unwrap();
        let mut certificate = host.certificate.to_der().unwrap();
        assert_eq!(kind_of_certificate(&certificate).as_deref(), Some("EC public key (1.2.840.10045.2.1)"));
        // Change the last arc: an unknown kind.
        let oid = [0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
        let at = certificate.windows(oid.len()).position(|found| found == oid).unwrap();
        certificate[at + oid.len() - 1] = 0x63;
        assert!(openssl::x509::X509::from_der(&certificate).unwrap().public_key().is_err());
        assert_eq!(kind_of_certificate(&certificate).as_deref(), Some("1.2.840.10045.2.99"));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_octets_never_panic(octets in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = kind_of_certificate(&octets);
            let _ = SignatureAlgorithm::of_certificate(&octets);
        }
    }

    #[test]
    fn sha1_needs_the_setting_and_md5_has_none() {
        assert!(Strength::Strong.accepted(false) && Strength::Sha1.accepted(true));
        assert!(!Strength::Sha1.accepted(false) && !Strength::Refused.accepted(true));
    }
}
