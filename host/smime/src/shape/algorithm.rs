//! The algorithms that a message may use, by object identifier (RFC 3370, 4055, 4056, 5084, 5753, 5754, 8419).
//!
//! An allow list; everything else is refused by name. Weak digests (MD5, SHA-1) are recognised here, but refused by the
//! policy of `open` after the signature is verified, so that the error is specific even inside an envelope.

use trust::asn1::{self, Element, INTEGER, NULL, OCTET_STRING, OID, Reader, SEQUENCE};
use trust::oids::{self, accepted};
use trust::{Digest, SignatureKey};

use super::ShapeError;
use crate::agreement::{self, Wrap};

/// The kind of key of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum KeyKind {
    Rsa,
    /// RSASSA-PSS, whose encoded message needs this many octets: digest, salt and two more (RFC 8017, section 9.1.1).
    RsaPss(usize),
    Ec,
    Ed25519,
}

/// The cipher of an envelope's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentCipher {
    /// AES in CBC mode, with a key of this many bits. Not authenticated.
    AesCbc(u16),
    /// AES-256 in GCM mode (RFC 5084).
    Aes256Gcm,
}

/// The padding of RSA key transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum RsaPadding {
    /// PKCS#1 v1.5.
    Pkcs1,
    /// OAEP with this digest, also in MGF1, and the empty label.
    Oaep(Digest),
}

/// The AES key wrap of a key agreement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct KeyWrap {
    pub(in super::super) wrap: Wrap,
    /// Whether NULL is given as parameters, which is part of what the key is derived from.
    pub(in super::super) with_null: bool,
}

/// An AlgorithmIdentifier: the octets of its OID and the parameters.
pub(super) struct Algorithm<'a> {
    pub(super) oid: &'a [u8],
    pub(super) parameters: Option<Element<'a>>,
}

impl<'a> Algorithm<'a> {
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, ShapeError> {
        Self::from_element(&reader.take(SEQUENCE)?)
    }

    pub(super) fn from_element(element: &Element<'a>) -> Result<Self, ShapeError> {
        let mut reader = element.inside();
        let oid = reader.take(OID)?.content;
        let parameters = if reader.is_empty() { None } else { Some(reader.any()?) };
        reader.end()?;
        Ok(Self { oid, parameters })
    }

    fn without_parameters(&self) -> bool {
        self.parameters.is_none_or(|parameters| parameters.tag == NULL && parameters.content.is_empty())
    }

    /// The error for this algorithm; `why` is the error of its parameters, empty if the algorithm is not on the list.
    fn refused(&self, purpose: &'static str, why: &'static str, accepted: &'static str) -> ShapeError {
        ShapeError::Algorithm { purpose, algorithm: oids::name(self.oid), why, accepted }
    }

    /// A digest algorithm, without parameters or with NULL.
    pub(super) fn digest(&self) -> Result<Digest, ShapeError> {
        match Digest::from_oid(self.oid) {
            Some(digest) if self.without_parameters() => Ok(digest),
            Some(_) => Err(self.refused("digest", HAS_PARAMETERS, accepted::DIGESTS)),
            None => Err(self.refused("digest", "", accepted::DIGESTS)),
        }
    }

    /// A signature algorithm, which must imply `digest` if it implies any.
    pub(super) fn signature(&self, digest: Digest) -> Result<KeyKind, ShapeError> {
        let refused = |why| self.refused("signature", why, accepted::SIGNATURES);
        if self.oid == oids::RSA_PSS {
            return self.pss(digest)?.map_err(refused);
        }
        let (implied, kind) = match self.oid {
            oids::RSA => (digest, KeyKind::Rsa),
            oids::ED25519 => (Digest::Sha512, KeyKind::Ed25519),
            _ => match trust::signature(self.oid).ok_or_else(|| refused(""))? {
                (SignatureKey::Rsa, digest) => (digest, KeyKind::Rsa),
                (SignatureKey::Ecdsa, digest) => (digest, KeyKind::Ec),
            },
        };
        if !self.without_parameters() {
            Err(refused(HAS_PARAMETERS))
        } else if implied != digest {
            Err(refused("with another message digest"))
        } else {
            Ok(kind)
        }
    }

    /// RSASSA-PSS with one digest for message and mask (RFC 4056, section 2.2). The salt may have any length, including
    /// zero: RFC 4055 section 3.1 leaves it to the signer, and no length makes the signature weaker than PKCS#1 v1.5.
    /// Whether it fits the key is checked with the key. The inner error is the error of the parameters.
    fn pss(&self, digest: Digest) -> Result<Result<KeyKind, &'static str>, ShapeError> {
        let Some(parameters) = self.parameters.filter(|parameters| parameters.tag == SEQUENCE) else {
            return Ok(Err("without parameters, which means SHA-1"));
        };
        let mut reader = parameters.inside();
        let hash = hash_parameter(&mut reader, 0)?;
        let mask = mask_parameter(&mut reader, 1)?;
        let salt = match reader.optional(asn1::context(2))? {
            Some(explicit) => unsigned(asn1::explicit(&explicit, INTEGER)?.content),
            None => Some(20),
        };
        let trailer = match reader.optional(asn1::context(3))? {
            Some(explicit) => unsigned(asn1::explicit(&explicit, INTEGER)?.content),
            None => Some(1),
        };
        reader.end()?;
        Ok(match (salt, trailer) {
            _ if hash != digest => Err("with another digest than the message's"),
            _ if mask != digest => Err("with another digest in MGF1 than the message's"),
            (_, trailer) if trailer != Some(1) => Err("with a trailer other than 1"),
            (Some(salt), _) => Ok(KeyKind::RsaPss(digest.octets() + salt + 2)),
            (None, _) => Err("with a salt that is longer than any key allows"),
        })
    }

    /// The cipher of an envelope's content, and its initial vector or nonce.
    pub(super) fn content_cipher(&self) -> Result<(ContentCipher, &'a [u8]), ShapeError> {
        let refused = |why| ShapeError::Cipher { cipher: oids::name(self.oid), why, accepted: accepted::CIPHERS };
        let bits = match self.oid {
            oids::AES_128_CBC => 128,
            oids::AES_192_CBC => 192,
            oids::AES_256_CBC => 256,
            oids::AES_256_GCM => {
                let nonce = self.full_gcm()?.ok_or_else(|| refused(GCM_PARAMETERS))?;
                return Ok((ContentCipher::Aes256Gcm, nonce));
            }
            _ => return Err(refused("")),
        };
        match self.parameters.filter(|found| found.tag == OCTET_STRING && found.content.len() == 16) {
            Some(vector) => Ok((ContentCipher::AesCbc(bits), vector.content)),
            None => Err(refused("without an initial vector of 16 octets")),
        }
    }

    /// The nonce, if the parameters are `GCMParameters` (RFC 5084, section 3.2) with a nonce of 12 octets and a full
    /// tag.
    fn full_gcm(&self) -> Result<Option<&'a [u8]>, ShapeError> {
        let Some(parameters) = self.parameters.filter(|found| found.tag == SEQUENCE) else { return Ok(None) };
        let mut reader = parameters.inside();
        let nonce = reader.take(OCTET_STRING)?.content;
        let tag = reader.optional(INTEGER)?.is_some_and(|octets| octets.content == [16]);
        Ok((nonce.len() == 12 && tag && reader.is_empty()).then_some(nonce))
    }

    /// RSA key transport: PKCS#1 v1.5, or OAEP with one digest and the empty label.
    pub(super) fn key_transport(&self) -> Result<RsaPadding, ShapeError> {
        let refused = |why| self.refused("key transport", why, accepted::KEY_TRANSPORT);
        if self.oid == oids::RSA {
            return if self.without_parameters() { Ok(RsaPadding::Pkcs1) } else { Err(refused(HAS_PARAMETERS)) };
        }
        if self.oid != oids::RSA_OAEP {
            return Err(refused(""));
        }
        let Some(parameters) = self.parameters.filter(|found| found.tag == SEQUENCE) else {
            return Err(refused("without parameters"));
        };
        let mut reader = parameters.inside();
        let hash = hash_parameter(&mut reader, 0)?;
        let mask = mask_parameter(&mut reader, 1)?;
        if !reader.is_empty() {
            Err(refused("with a label"))
        } else if hash != mask {
            Err(refused("with two different digests"))
        } else if hash == Digest::Md5 {
            Err(refused("with MD5"))
        } else {
            Ok(RsaPadding::Oaep(hash))
        }
    }

    /// ECDH with the X9.63 key derivation and AES key wrap (RFC 5753). Returns the parameters: the AlgorithmIdentifier
    /// of the key wrap.
    pub(super) fn key_agreement(&self) -> Result<KeyWrap, ShapeError> {
        let refused = |why| self.refused("key agreement", why, accepted::KEY_AGREEMENT);
        if agreement::digest(self.oid).is_none() {
            return Err(refused(""));
        }
        let Some(parameters) = self.parameters.filter(|found| found.tag == SEQUENCE) else {
            return Err(refused("without a key wrap"));
        };
        let algorithm = Algorithm::from_element(&parameters)?;
        match Wrap::from_oid(algorithm.oid) {
            Some(wrap) if algorithm.without_parameters() => {
                Ok(KeyWrap { wrap, with_null: algorithm.parameters.is_some() })
            }
            _ => Err(algorithm.refused("key wrap", "", accepted::KEY_AGREEMENT)),
        }
    }
}

/// The error for parameters of an algorithm that has none.
const HAS_PARAMETERS: &str = "with parameters";

/// The error for AES-256-GCM that does not follow RFC 5084.
const GCM_PARAMETERS: &str =
    "without the parameters of RFC 5084, a nonce of 12 octets and a tag of 16 (pkijs writes none: use AES-CBC there)";

/// An integer from 0 to 65535 in DER.
fn unsigned(content: &[u8]) -> Option<usize> {
    match *content {
        [low] if low < 0x80 => Some(usize::from(low)),
        [0, low] if low >= 0x80 => Some(usize::from(low)),
        [high, low] if high != 0 && high < 0x80 => Some(usize::from(u16::from_be_bytes([high, low]))),
        [0, high, low] if high >= 0x80 => Some(usize::from(u16::from_be_bytes([high, low]))),
        _ => None,
    }
}

/// `[number] HashAlgorithm DEFAULT sha1` of RSA-PSS and OAEP (RFC 4055).
fn hash_parameter(reader: &mut Reader<'_>, number: u8) -> Result<Digest, ShapeError> {
    match reader.optional(asn1::context(number))? {
        Some(explicit) => Algorithm::from_element(&asn1::explicit(&explicit, SEQUENCE)?)?.digest(),
        None => Ok(Digest::Sha1),
    }
}

/// `[number] MaskGenAlgorithm DEFAULT mgf1SHA1`: the digest that MGF1 uses.
fn mask_parameter(reader: &mut Reader<'_>, number: u8) -> Result<Digest, ShapeError> {
    let Some(explicit) = reader.optional(asn1::context(number))? else { return Ok(Digest::Sha1) };
    let mask = Algorithm::from_element(&asn1::explicit(&explicit, SEQUENCE)?)?;
    match &mask.parameters {
        Some(hash) if mask.oid == oids::MGF1 && hash.tag == SEQUENCE => Algorithm::from_element(hash)?.digest(),
        _ => Err(mask.refused("mask generation", "", "MGF1 with a digest")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn algorithm(oid: &'static [u8], parameters: Option<&'static [u8]>) -> Algorithm<'static> {
        Algorithm { oid, parameters: parameters.map(|bytes| Reader::ber(bytes).any().unwrap()) }
    }

    #[test]
    fn a_signature_algorithm_must_imply_the_digest_used() {
        assert_eq!(algorithm(oids::RSA_WITH_SHA256, Some(&[5, 0])).signature(Digest::Sha256), Ok(KeyKind::Rsa));
        assert!(algorithm(oids::RSA_WITH_SHA256, None).signature(Digest::Sha1).is_err());
        assert_eq!(algorithm(oids::RSA, None).signature(Digest::Sha1), Ok(KeyKind::Rsa));
        assert_eq!(algorithm(oids::ED25519, None).signature(Digest::Sha512), Ok(KeyKind::Ed25519));
        assert!(algorithm(oids::ED25519, None).signature(Digest::Sha256).is_err());
    }

    #[test]
    fn pss_defaults_are_too_weak() {
        assert!(algorithm(oids::RSA_PSS, Some(&[0x30, 0])).signature(Digest::Sha256).is_err());
        assert!(algorithm(oids::RSA_PSS, None).signature(Digest::Sha256).is_err());
    }

    #[test]
    fn a_refusal_names_the_algorithm_and_what_is_accepted() {
        const SHA3_256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 8];
        const TRIPLE_DES: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x03, 0x07];
        assert_eq!(
            algorithm(SHA3_256, None).digest().unwrap_err().to_string(),
            "the digest algorithm SHA3-256 (2.16.840.1.101.3.4.2.8) is not accepted; accepted are SHA-256, SHA-384 and SHA-512"
        );
        assert_eq!(
            algorithm(TRIPLE_DES, None).content_cipher().unwrap_err().to_string(),
            "the cipher 3DES-CBC (1.2.840.113549.3.7) is not accepted; accepted are AES-CBC with 128, 192 or 256 bits, and \
             AES-256-GCM"
        );
        let said = algorithm(oids::RSA_PSS, Some(&[0x30, 0])).signature(Digest::Sha256).unwrap_err().to_string();
        let expected = "the signature algorithm RSA-PSS (1.2.840.113549.1.1.10) is not accepted with another digest than the \
                        message's; accepted are RSA (PKCS#1 v1.5 or PSS)";
        assert!(said.starts_with(expected), "{said}");
    }

    #[test]
    fn integers_have_one_form() {
        for (content, value) in
            [(&[0][..], Some(0)), (&[0x7F], Some(127)), (&[0, 0xDE], Some(222)), (&[1, 0xDE], Some(478))]
        {
            assert_eq!(unsigned(content), value);
        }
        assert_eq!(unsigned(&[0, 0xFF, 0xFF]), Some(65_535));
        for content in [&[][..], &[0xDE], &[0xFF, 0xFF], &[0, 1], &[0, 0, 0x80], &[1, 0, 0]] {
            assert_eq!(unsigned(content), None, "{content:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_number_up_to_65535_is_read_in_its_der_form(number: u16) {
            let octets = number.to_be_bytes();
            let digits: Vec<u8> = octets.into_iter().skip_while(|&octet| octet == 0).collect();
            let sign = digits.first().is_none_or(|&octet| octet >= 0x80).then_some(0);
            let form: Vec<u8> = sign.into_iter().chain(digits).collect();
            proptest::prop_assert_eq!(unsigned(&form), Some(usize::from(number)));
        }
    }

    #[test]
    fn oaep_needs_its_parameters_and_no_label() {
        let oaep = algorithm(oids::RSA_OAEP, Some(&[0x30, 0])).key_transport();
        assert_eq!(oaep, Ok(RsaPadding::Oaep(Digest::Sha1)));
        let said = |parameters| algorithm(oids::RSA_OAEP, parameters).key_transport().unwrap_err().to_string();
        assert!(said(None).starts_with("the key transport algorithm RSA-OAEP (1.2.840.113549.1.1.7) is not accepted without parameters; accepted are RSA"));
        assert!(said(Some(&[0x30, 4, 0xA2, 2, 5, 0])).contains("with a label"));
    }

    #[test]
    fn gcm_needs_a_twelve_octet_nonce_and_a_full_tag() {
        let good: &[u8] = &[0x30, 17, 4, 12, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 2, 1, 16];
        let nonce: &[u8] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        assert_eq!(algorithm(oids::AES_256_GCM, Some(good)).content_cipher(), Ok((ContentCipher::Aes256Gcm, nonce)));
        assert!(algorithm(oids::AES_256_GCM, Some(&[0x30, 5, 4, 0, 2, 1, 16])).content_cipher().is_err());
        let short_tag: &[u8] = &[0x30, 17, 4, 12, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 2, 1, 4];
        assert!(algorithm(oids::AES_256_GCM, Some(short_tag)).content_cipher().is_err());
    }
}
