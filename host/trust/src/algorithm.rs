//! Signature algorithms and keys: what their names are, and which are strong enough.
//!
//! # Policy
//! SHA-256 and better; SHA-1 by an explicit setting; MD5, SHA-224 and what is not known here never. RSA of 2048 bits or
//! more with an odd exponent of 3 or more, EC on a named curve of 256 bits or more, Ed25519 and Ed448.

use openssl::hash::MessageDigest;
use openssl::pkey::{Id, PKey, Public};

use super::der::{self, Element, MalformedDer};
use super::oids;

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
const ECDSA_SHA1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01];
const ECDSA_SHA2: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const ED448: &[u8] = &[0x2b, 0x65, 0x71];
const SHA2: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];

/// How far a signature algorithm is to be trusted.
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

/// A signature algorithm as a certificate or a CRL names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignatureAlgorithm {
    pub(crate) name: String,
    pub(crate) strength: Strength,
}

impl SignatureAlgorithm {
    /// Reads `AlgorithmIdentifier ::= SEQUENCE { OID, parameters }`.
    pub(crate) fn from_element(identifier: &Element<'_>) -> Result<Self, MalformedDer> {
        let mut fields = identifier.inside();
        let oid = fields.take(der::OID)?.content;
        if oid.strip_prefix(RSA) == Some(&[0x0a]) {
            let (digest, strength) = pss_digest(fields)?;
            return Ok(Self { name: format!("RSA-PSS with {digest}"), strength });
        }
        Ok(Self { name: oids::name(oid), strength: plain(oid) })
    }

    /// The algorithm in the outer part of a certificate.
    pub(crate) fn of_certificate(certificate: &[u8]) -> Result<Self, MalformedDer> {
        let mut fields = der::Reader::new(certificate).take(der::SEQUENCE)?.inside();
        fields.take(der::SEQUENCE)?;
        Self::from_element(&fields.take(der::SEQUENCE)?)
    }
}

fn plain(oid: &[u8]) -> Strength {
    use Strength::{Refused, Sha1, Strong};
    match (oid.strip_prefix(RSA), oid.strip_prefix(ECDSA_SHA2)) {
        (Some([0x0b..=0x0d]), _) | (_, Some([0x02..=0x04])) => Strong,
        (Some([0x05]), _) => Sha1,
        _ if oid == ECDSA_SHA1 => Sha1,
        _ if oid == ED25519 || oid == ED448 => Strong,
        _ => Refused,
    }
}

/// The digest in `RSASSA-PSS-params ::= SEQUENCE { [0] AlgorithmIdentifier DEFAULT sha1, … }` (RFC 4055 3.1).
fn pss_digest(mut fields: der::Reader<'_>) -> Result<(String, Strength), MalformedDer> {
    let digest = match fields.optional(der::SEQUENCE)? {
        Some(parameters) => parameters.inside().optional(0xa0)?,
        None => None,
    };
    let Some(digest) = digest else { return Ok(("SHA-1".to_owned(), Strength::Sha1)) };
    let oid = digest.inside().take(der::SEQUENCE)?.inside().take(der::OID)?.content;
    let strong = matches!(oid.strip_prefix(SHA2), Some([0x01..=0x03]));
    Ok((oids::name(oid), if strong { Strength::Strong } else { Strength::Refused }))
}

/// The digest of an RSA PKCS#1 or ECDSA signature algorithm, and `None` for Ed25519 and Ed448, which need none.
pub(crate) fn digest(oid: &[u8]) -> Option<Option<MessageDigest>> {
    if oid == ED25519 || oid == ED448 {
        return Some(None);
    }
    if oid == ECDSA_SHA1 {
        return Some(Some(MessageDigest::sha1()));
    }
    let digest = match (oid.strip_prefix(RSA), oid.strip_prefix(ECDSA_SHA2)) {
        (Some([0x05]), _) => MessageDigest::sha1(),
        (Some([0x0b]), _) | (_, Some([0x02])) => MessageDigest::sha256(),
        (Some([0x0c]), _) | (_, Some([0x03])) => MessageDigest::sha384(),
        (Some([0x0d]), _) | (_, Some([0x04])) => MessageDigest::sha512(),
        _ => return None,
    };
    Some(Some(digest))
}

/// The kind of a key by the algorithm of its SubjectPublicKeyInfo.
fn kind_of(key: &PKey<Public>) -> Option<String> {
    kind_in(&der::Reader::new(&key.public_key_to_der().ok()?).take(der::SEQUENCE).ok()?)
}

/// The kind of key in a certificate, also of one that OpenSSL cannot read.
pub(crate) fn kind_of_certificate(certificate: &[u8]) -> Option<String> {
    let mut fields =
        der::Reader::new(certificate).take(der::SEQUENCE).ok()?.inside().take(der::SEQUENCE).ok()?.inside();
    fields.optional(0xa0).ok()?;
    // Serial number, signature algorithm, issuer, validity, subject (RFC 5280 4.1).
    for _ in 0..5 {
        fields.any().ok()?;
    }
    kind_in(&fields.take(der::SEQUENCE).ok()?)
}

fn kind_in(info: &Element<'_>) -> Option<String> {
    Some(oids::name(info.inside().take(der::SEQUENCE).ok()?.inside().take(der::OID).ok()?.content))
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
        _ => kind_of(key).unwrap_or_else(|| "a kind that is not supported".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strength(parameters: &[u8]) -> (String, Strength) {
        let oid = der::encode(der::OID, &[RSA, &[0x0a]].concat());
        let identifier = der::encode(der::SEQUENCE, &[oid.as_slice(), parameters].concat());
        let element = der::Reader::new(&identifier).take(der::SEQUENCE).unwrap();
        let algorithm = SignatureAlgorithm::from_element(&element).unwrap();
        (algorithm.name, algorithm.strength)
    }

    #[test]
    fn the_digest_of_pss_is_in_its_parameters() {
        let with = |oid: &[u8]| {
            let digest = der::encode(der::SEQUENCE, &der::encode(der::OID, oid));
            der::encode(der::SEQUENCE, &der::encode(0xa0, &digest))
        };
        assert_eq!(
            strength(&with(&[SHA2, &[1]].concat())),
            ("RSA-PSS with SHA-256 (2.16.840.1.101.3.4.2.1)".into(), Strength::Strong)
        );
        let (name, refused) = strength(&with(&[SHA2, &[8]].concat()));
        assert_eq!(name, "RSA-PSS with SHA3-256 (2.16.840.1.101.3.4.2.8)");
        assert_eq!(refused, Strength::Refused);
        assert_eq!(strength(&der::encode(der::SEQUENCE, &[])).1, Strength::Sha1);
        assert_eq!(strength(&[]).1, Strength::Sha1);
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
    fn what_is_refused_is_named() {
        let of = |oid: &str| {
            let oid = openssl::asn1::Asn1Object::from_str(oid).unwrap();
            let identifier = der::encode(der::SEQUENCE, &der::encode(der::OID, oid.as_slice()));
            let element = der::Reader::new(&identifier).take(der::SEQUENCE).unwrap();
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
    fn the_kind_of_key_is_named_though_openssl_cannot_read_it() {
        use testkit::pki::{Authority, KeyKind, Request};
        let authority = Authority::root(&Request::authority("/CN=Test CA")).unwrap();
        let host = authority.issue(&Request { key: KeyKind::P256, ..Request::host("/CN=a") }).unwrap();
        let mut certificate = host.certificate.to_der().unwrap();
        assert_eq!(kind_of_certificate(&certificate).as_deref(), Some("EC public key (1.2.840.10045.2.1)"));
        // Another last arc: an unknown kind.
        let oid = [0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
        let at = certificate.windows(oid.len()).position(|found| found == oid).unwrap();
        certificate[at + oid.len() - 1] = 0x63;
        assert!(openssl::x509::X509::from_der(&certificate).unwrap().public_key().is_err());
        assert_eq!(kind_of_certificate(&certificate).as_deref(), Some("1.2.840.10045.2.99"));
    }

    proptest::proptest! {
        #[test]
        fn no_octets_break_the_readers(octets in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
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
