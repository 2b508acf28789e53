//! The table of object identifiers of algorithms and content types, with their names.
//!
//! [`name`] returns the text for an identifier in an error. An identifier in the table is not necessarily accepted:
//! `algorithm` decides that for certificates, `smime::shape` for messages. [`accepted`] has the error texts for what
//! each accepts.

use crate::asn1::{dotted, oid};

pub const DATA: &[u8] = oid!("1.2.840.113549.1.7.1");
pub const SIGNED_DATA: &[u8] = oid!("1.2.840.113549.1.7.2");
pub const ENVELOPED_DATA: &[u8] = oid!("1.2.840.113549.1.7.3");
pub const AUTH_ENVELOPED_DATA: &[u8] = oid!("1.2.840.113549.1.9.16.1.23");

/// Signed attributes (RFC 5652, section 11).
pub const CONTENT_TYPE: &[u8] = oid!("1.2.840.113549.1.9.3");
pub const MESSAGE_DIGEST: &[u8] = oid!("1.2.840.113549.1.9.4");
pub const SIGNING_TIME: &[u8] = oid!("1.2.840.113549.1.9.5");
/// An unsigned attribute only (RFC 5652, section 11.4).
pub const COUNTERSIGNATURE: &[u8] = oid!("1.2.840.113549.1.9.6");
/// Signed attributes with one value (RFC 2634, RFC 5035).
pub const RECEIPT_REQUEST: &[u8] = oid!("1.2.840.113549.1.9.16.2.1");
pub const SIGNING_CERTIFICATE: &[u8] = oid!("1.2.840.113549.1.9.16.2.12");
pub const SIGNING_CERTIFICATE_V2: &[u8] = oid!("1.2.840.113549.1.9.16.2.47");

pub(crate) const MD5: &[u8] = oid!("1.2.840.113549.2.5");
pub(crate) const SHA1: &[u8] = oid!("1.3.14.3.2.26");
pub const SHA256: &[u8] = oid!("2.16.840.1.101.3.4.2.1");
pub(crate) const SHA384: &[u8] = oid!("2.16.840.1.101.3.4.2.2");
pub(crate) const SHA512: &[u8] = oid!("2.16.840.1.101.3.4.2.3");

/// RSA keys, RSA key transport, and RSA signatures whose digest is named elsewhere.
pub const RSA: &[u8] = oid!("1.2.840.113549.1.1.1");
pub const RSA_OAEP: &[u8] = oid!("1.2.840.113549.1.1.7");
pub const MGF1: &[u8] = oid!("1.2.840.113549.1.1.8");
pub const RSA_PSS: &[u8] = oid!("1.2.840.113549.1.1.10");
pub const RSA_WITH_MD5: &[u8] = oid!("1.2.840.113549.1.1.4");
pub const RSA_WITH_SHA1: &[u8] = oid!("1.2.840.113549.1.1.5");
pub const RSA_WITH_SHA256: &[u8] = oid!("1.2.840.113549.1.1.11");
pub(crate) const RSA_WITH_SHA384: &[u8] = oid!("1.2.840.113549.1.1.12");
pub(crate) const RSA_WITH_SHA512: &[u8] = oid!("1.2.840.113549.1.1.13");
pub const EC_PUBLIC_KEY: &[u8] = oid!("1.2.840.10045.2.1");
pub const ECDSA_WITH_SHA1: &[u8] = oid!("1.2.840.10045.4.1");
pub const ECDSA_WITH_SHA256: &[u8] = oid!("1.2.840.10045.4.3.2");
pub(crate) const ECDSA_WITH_SHA384: &[u8] = oid!("1.2.840.10045.4.3.3");
pub(crate) const ECDSA_WITH_SHA512: &[u8] = oid!("1.2.840.10045.4.3.4");
pub const ED25519: &[u8] = oid!("1.3.101.112");
pub(crate) const ED448: &[u8] = oid!("1.3.101.113");

pub const AES_128_CBC: &[u8] = oid!("2.16.840.1.101.3.4.1.2");
pub const AES_192_CBC: &[u8] = oid!("2.16.840.1.101.3.4.1.22");
pub const AES_256_CBC: &[u8] = oid!("2.16.840.1.101.3.4.1.42");
pub const AES_256_GCM: &[u8] = oid!("2.16.840.1.101.3.4.1.46");
pub const AES_128_WRAP: &[u8] = oid!("2.16.840.1.101.3.4.1.5");
pub const AES_192_WRAP: &[u8] = oid!("2.16.840.1.101.3.4.1.25");
pub const AES_256_WRAP: &[u8] = oid!("2.16.840.1.101.3.4.1.45");
/// ECDH with the X9.63 key derivation.
pub const ECDH_WITH_SHA1: &[u8] = oid!("1.3.133.16.840.63.0.2");
pub const ECDH_WITH_SHA224: &[u8] = oid!("1.3.132.1.11.0");
pub const ECDH_WITH_SHA256: &[u8] = oid!("1.3.132.1.11.1");
pub const ECDH_WITH_SHA384: &[u8] = oid!("1.3.132.1.11.2");
pub const ECDH_WITH_SHA512: &[u8] = oid!("1.3.132.1.11.3");

/// What is accepted, as text for errors.
pub mod accepted {
    /// Digests of messages.
    pub const DIGESTS: &str = "SHA-256, SHA-384 and SHA-512";
    /// Signature algorithms of messages.
    pub const SIGNATURES: &str =
        "RSA (PKCS#1 v1.5 or PSS) and ECDSA with SHA-256, SHA-384 or SHA-512, and Ed25519 with SHA-512";
    /// Signature algorithms of certificates and CRLs.
    pub(crate) const CERTIFICATE_SIGNATURES: &str =
        "RSA (PKCS#1 v1.5 or PSS) and ECDSA with SHA-256, SHA-384 or SHA-512, Ed25519 and Ed448";
    /// Keys of certificates.
    pub(crate) const KEYS: &str =
        "RSA of 2048 bits or more, EC of 256 bits or more on a named curve, Ed25519 and Ed448";
    /// Ciphers of an envelope's content.
    pub const CIPHERS: &str = "AES-CBC with 128, 192 or 256 bits, and AES-256-GCM";
    /// Key transport to a recipient.
    pub const KEY_TRANSPORT: &str = "RSA (PKCS#1 v1.5) and RSA-OAEP with one digest and no label";
    /// Key agreement with a recipient.
    pub const KEY_AGREEMENT: &str = "ECDH with the X9.63 key derivation over SHA-1 or SHA-2 and AES key wrap";
    /// Types of a CMS message.
    pub const CONTENT_TYPES: &str = "signed data, enveloped data and authenticated enveloped data, over data";
}

/// Names by dotted form, in the order of the arcs.
const NAMES: &[(&str, &str)] = &[
    ("1.0.10118.3.0.55", "Whirlpool"),
    ("1.2.156.10197.1.104.2", "SM4-CBC"),
    ("1.2.156.10197.1.301", "SM2"),
    ("1.2.156.10197.1.401", "SM3"),
    ("1.2.156.10197.1.501", "SM2 with SM3"),
    ("1.2.392.200011.61.1.1.1.2", "Camellia-128-CBC"),
    ("1.2.392.200011.61.1.1.1.3", "Camellia-192-CBC"),
    ("1.2.392.200011.61.1.1.1.4", "Camellia-256-CBC"),
    ("1.2.410.200004.1.4", "SEED-CBC"),
    ("1.2.643.2.2.21", "GOST 28147-89"),
    ("1.2.643.7.1.1.2.2", "GOST R 34.11-2012 with 256 bits"),
    ("1.2.643.7.1.1.2.3", "GOST R 34.11-2012 with 512 bits"),
    ("1.2.840.10040.4.1", "DSA"),
    ("1.2.840.10040.4.3", "DSA with SHA-1"),
    ("1.2.840.10045.2.1", "EC public key"),
    ("1.2.840.10045.4.1", "ECDSA with SHA-1"),
    ("1.2.840.10045.4.3.1", "ECDSA with SHA-224"),
    ("1.2.840.10045.4.3.2", "ECDSA with SHA-256"),
    ("1.2.840.10045.4.3.3", "ECDSA with SHA-384"),
    ("1.2.840.10045.4.3.4", "ECDSA with SHA-512"),
    ("1.2.840.10046.2.1", "Diffie-Hellman"),
    ("1.2.840.113533.7.66.10", "CAST5-CBC"),
    ("1.2.840.113549.1.1.1", "RSA"),
    ("1.2.840.113549.1.1.2", "RSA with MD2"),
    ("1.2.840.113549.1.1.3", "RSA with MD4"),
    ("1.2.840.113549.1.1.4", "RSA with MD5"),
    ("1.2.840.113549.1.1.5", "RSA with SHA-1"),
    ("1.2.840.113549.1.1.7", "RSA-OAEP"),
    ("1.2.840.113549.1.1.8", "MGF1"),
    ("1.2.840.113549.1.1.10", "RSA-PSS"),
    ("1.2.840.113549.1.1.11", "RSA with SHA-256"),
    ("1.2.840.113549.1.1.12", "RSA with SHA-384"),
    ("1.2.840.113549.1.1.13", "RSA with SHA-512"),
    ("1.2.840.113549.1.1.14", "RSA with SHA-224"),
    ("1.2.840.113549.1.1.15", "RSA with SHA-512/224"),
    ("1.2.840.113549.1.1.16", "RSA with SHA-512/256"),
    ("1.2.840.113549.1.7.1", "data"),
    ("1.2.840.113549.1.7.2", "signed data"),
    ("1.2.840.113549.1.7.3", "enveloped data"),
    ("1.2.840.113549.1.7.4", "signed and enveloped data"),
    ("1.2.840.113549.1.7.5", "digested data"),
    ("1.2.840.113549.1.7.6", "encrypted data"),
    ("1.2.840.113549.1.9.16.1.1", "signed receipt"),
    ("1.2.840.113549.1.9.16.1.2", "authenticated data"),
    ("1.2.840.113549.1.9.16.1.4", "time stamp"),
    ("1.2.840.113549.1.9.16.1.9", "compressed data"),
    ("1.2.840.113549.1.9.16.1.23", "authenticated enveloped data"),
    ("1.2.840.113549.1.9.16.3.5", "ephemeral-static Diffie-Hellman"),
    ("1.2.840.113549.1.9.16.3.6", "3DES key wrap"),
    ("1.2.840.113549.1.9.16.3.7", "RC2 key wrap"),
    ("1.2.840.113549.1.9.16.3.18", "ChaCha20-Poly1305"),
    ("1.2.840.113549.2.2", "MD2"),
    ("1.2.840.113549.2.4", "MD4"),
    ("1.2.840.113549.2.5", "MD5"),
    ("1.2.840.113549.3.2", "RC2-CBC"),
    ("1.2.840.113549.3.4", "RC4"),
    ("1.2.840.113549.3.7", "3DES-CBC"),
    ("1.3.6.1.4.1.188.7.1.1.2", "IDEA-CBC"),
    ("1.3.6.1.4.1.1722.12.2.1.16", "BLAKE2b-512"),
    ("1.3.6.1.5.5.7.6.30", "RSA-PSS with SHAKE128"),
    ("1.3.6.1.5.5.7.6.31", "RSA-PSS with SHAKE256"),
    ("1.3.6.1.5.5.7.6.32", "ECDSA with SHAKE128"),
    ("1.3.6.1.5.5.7.6.33", "ECDSA with SHAKE256"),
    ("1.3.14.3.2.7", "DES-CBC"),
    ("1.3.14.3.2.26", "SHA-1"),
    ("1.3.14.3.2.29", "RSA with SHA-1"),
    ("1.3.36.3.2.1", "RIPEMD-160"),
    ("1.3.36.3.3.1.2", "RSA with RIPEMD-160"),
    ("1.3.101.110", "X25519"),
    ("1.3.101.111", "X448"),
    ("1.3.101.112", "Ed25519"),
    ("1.3.101.113", "Ed448"),
    ("1.3.132.1.11.0", "ECDH with SHA-224"),
    ("1.3.132.1.11.1", "ECDH with SHA-256"),
    ("1.3.132.1.11.2", "ECDH with SHA-384"),
    ("1.3.132.1.11.3", "ECDH with SHA-512"),
    ("1.3.132.1.14.0", "cofactor ECDH with SHA-224"),
    ("1.3.132.1.14.1", "cofactor ECDH with SHA-256"),
    ("1.3.132.1.14.2", "cofactor ECDH with SHA-384"),
    ("1.3.132.1.14.3", "cofactor ECDH with SHA-512"),
    ("1.3.133.16.840.63.0.2", "ECDH with SHA-1"),
    ("1.3.133.16.840.63.0.3", "cofactor ECDH with SHA-1"),
    ("1.3.133.16.840.63.0.16", "ECMQV with SHA-1"),
    ("2.16.840.1.101.3.4.1.1", "AES-128-ECB"),
    ("2.16.840.1.101.3.4.1.2", "AES-128-CBC"),
    ("2.16.840.1.101.3.4.1.3", "AES-128-OFB"),
    ("2.16.840.1.101.3.4.1.4", "AES-128-CFB"),
    ("2.16.840.1.101.3.4.1.5", "AES-128 key wrap"),
    ("2.16.840.1.101.3.4.1.6", "AES-128-GCM"),
    ("2.16.840.1.101.3.4.1.7", "AES-128-CCM"),
    ("2.16.840.1.101.3.4.1.21", "AES-192-ECB"),
    ("2.16.840.1.101.3.4.1.22", "AES-192-CBC"),
    ("2.16.840.1.101.3.4.1.23", "AES-192-OFB"),
    ("2.16.840.1.101.3.4.1.24", "AES-192-CFB"),
    ("2.16.840.1.101.3.4.1.25", "AES-192 key wrap"),
    ("2.16.840.1.101.3.4.1.26", "AES-192-GCM"),
    ("2.16.840.1.101.3.4.1.27", "AES-192-CCM"),
    ("2.16.840.1.101.3.4.1.41", "AES-256-ECB"),
    ("2.16.840.1.101.3.4.1.42", "AES-256-CBC"),
    ("2.16.840.1.101.3.4.1.43", "AES-256-OFB"),
    ("2.16.840.1.101.3.4.1.44", "AES-256-CFB"),
    ("2.16.840.1.101.3.4.1.45", "AES-256 key wrap"),
    ("2.16.840.1.101.3.4.1.46", "AES-256-GCM"),
    ("2.16.840.1.101.3.4.1.47", "AES-256-CCM"),
    ("2.16.840.1.101.3.4.2.1", "SHA-256"),
    ("2.16.840.1.101.3.4.2.2", "SHA-384"),
    ("2.16.840.1.101.3.4.2.3", "SHA-512"),
    ("2.16.840.1.101.3.4.2.4", "SHA-224"),
    ("2.16.840.1.101.3.4.2.5", "SHA-512/224"),
    ("2.16.840.1.101.3.4.2.6", "SHA-512/256"),
    ("2.16.840.1.101.3.4.2.7", "SHA3-224"),
    ("2.16.840.1.101.3.4.2.8", "SHA3-256"),
    ("2.16.840.1.101.3.4.2.9", "SHA3-384"),
    ("2.16.840.1.101.3.4.2.10", "SHA3-512"),
    ("2.16.840.1.101.3.4.2.11", "SHAKE128"),
    ("2.16.840.1.101.3.4.2.12", "SHAKE256"),
    ("2.16.840.1.101.3.4.3.1", "DSA with SHA-224"),
    ("2.16.840.1.101.3.4.3.2", "DSA with SHA-256"),
    ("2.16.840.1.101.3.4.3.9", "ECDSA with SHA3-224"),
    ("2.16.840.1.101.3.4.3.10", "ECDSA with SHA3-256"),
    ("2.16.840.1.101.3.4.3.11", "ECDSA with SHA3-384"),
    ("2.16.840.1.101.3.4.3.12", "ECDSA with SHA3-512"),
    ("2.16.840.1.101.3.4.3.13", "RSA with SHA3-224"),
    ("2.16.840.1.101.3.4.3.14", "RSA with SHA3-256"),
    ("2.16.840.1.101.3.4.3.15", "RSA with SHA3-384"),
    ("2.16.840.1.101.3.4.3.16", "RSA with SHA3-512"),
    ("2.16.840.1.101.3.4.3.17", "ML-DSA-44"),
    ("2.16.840.1.101.3.4.3.18", "ML-DSA-65"),
    ("2.16.840.1.101.3.4.3.19", "ML-DSA-87"),
    ("2.16.840.1.101.3.4.4.1", "ML-KEM-512"),
    ("2.16.840.1.101.3.4.4.2", "ML-KEM-768"),
    ("2.16.840.1.101.3.4.4.3", "ML-KEM-1024"),
];

/// The name of an object identifier with its dotted form: `3DES-CBC (1.2.840.113549.3.7)`. The dotted form alone if the
/// table does not contain it; hexadecimal if it is malformed.
pub fn name(oid: &[u8]) -> String {
    let Some(dotted) = oid.get(..MAX_OCTETS).is_none().then(|| dotted(oid)).flatten() else {
        return message::hex(oid.get(..MAX_OCTETS).unwrap_or(oid));
    };
    match NAMES.iter().find(|(known, _)| *known == dotted) {
        Some((_, name)) => format!("{name} ({dotted})"),
        None => dotted,
    }
}

/// Longer than any known identifier; longer ones are shown in hexadecimal, truncated.
const MAX_OCTETS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// The octets of a dotted identifier.
    fn octets(dotted: &str) -> Vec<u8> {
        openssl::asn1::Asn1Object::from_str(dotted).unwrap().as_slice().to_vec()
    }

    #[test]
    fn every_name_is_found_by_its_octets_and_listed_once() {
        for (at, (text, name)) in NAMES.iter().enumerate() {
            assert_eq!(super::name(&octets(text)), format!("{name} ({text})"));
            assert!(NAMES.iter().skip(at + 1).all(|(other, _)| other != text), "{text} twice");
        }
    }

    #[test]
    fn constants_have_the_names_of_the_table() {
        for (oid, expected) in [
            (DATA, "data"),
            (SIGNED_DATA, "signed data"),
            (ENVELOPED_DATA, "enveloped data"),
            (AUTH_ENVELOPED_DATA, "authenticated enveloped data"),
            (MD5, "MD5"),
            (SHA1, "SHA-1"),
            (SHA256, "SHA-256"),
            (SHA384, "SHA-384"),
            (SHA512, "SHA-512"),
            (RSA, "RSA"),
            (RSA_OAEP, "RSA-OAEP"),
            (MGF1, "MGF1"),
            (RSA_PSS, "RSA-PSS"),
            (RSA_WITH_MD5, "RSA with MD5"),
            (RSA_WITH_SHA1, "RSA with SHA-1"),
            (RSA_WITH_SHA256, "RSA with SHA-256"),
            (RSA_WITH_SHA384, "RSA with SHA-384"),
            (RSA_WITH_SHA512, "RSA with SHA-512"),
            (EC_PUBLIC_KEY, "EC public key"),
            (ECDSA_WITH_SHA1, "ECDSA with SHA-1"),
            (ECDSA_WITH_SHA256, "ECDSA with SHA-256"),
            (ECDSA_WITH_SHA384, "ECDSA with SHA-384"),
            (ECDSA_WITH_SHA512, "ECDSA with SHA-512"),
            (ED25519, "Ed25519"),
            (ED448, "Ed448"),
            (AES_128_CBC, "AES-128-CBC"),
            (AES_192_CBC, "AES-192-CBC"),
            (AES_256_CBC, "AES-256-CBC"),
            (AES_256_GCM, "AES-256-GCM"),
            (AES_128_WRAP, "AES-128 key wrap"),
            (AES_192_WRAP, "AES-192 key wrap"),
            (AES_256_WRAP, "AES-256 key wrap"),
            (ECDH_WITH_SHA1, "ECDH with SHA-1"),
            (ECDH_WITH_SHA224, "ECDH with SHA-224"),
            (ECDH_WITH_SHA256, "ECDH with SHA-256"),
            (ECDH_WITH_SHA384, "ECDH with SHA-384"),
            (ECDH_WITH_SHA512, "ECDH with SHA-512"),
        ] {
            assert!(name(oid).starts_with(&format!("{expected} (")), "{expected}: {}", name(oid));
        }
    }

    #[test]
    fn openssl_knows_the_identifiers_by_the_same_names() {
        for (text, long) in [
            ("1.2.840.113549.3.7", "des-ede3-cbc"),
            ("1.2.840.113549.3.2", "rc2-cbc"),
            ("1.3.14.3.2.7", "des-cbc"),
            ("2.16.840.1.101.3.4.2.8", "sha3-256"),
            ("2.16.840.1.101.3.4.2.10", "sha3-512"),
            ("2.16.840.1.101.3.4.2.4", "sha224"),
            ("2.16.840.1.101.3.4.1.6", "aes-128-gcm"),
            ("2.16.840.1.101.3.4.1.47", "aes-256-ccm"),
            ("2.16.840.1.101.3.4.3.14", "RSA-SHA3-256"),
            ("2.16.840.1.101.3.4.3.10", "ecdsa_with_SHA3-256"),
            ("1.2.840.113549.1.1.10", "rsassaPss"),
            ("1.2.840.113549.1.9.16.1.9", "id-smime-ct-compressedData"),
            ("1.3.132.1.11.1", "dhSinglePass-stdDH-sha256kdf-scheme"),
        ] {
            assert_eq!(openssl::asn1::Asn1Object::from_str(text).unwrap().nid().long_name().unwrap(), long);
            assert!(NAMES.iter().any(|(known, _)| *known == text), "{text}");
        }
    }

    #[test]
    fn unlisted_identifiers_keep_their_dotted_form() {
        assert_eq!(name(&octets("1.2.3.4")), "1.2.3.4");
        assert_eq!(name(&[]), "");
        assert_eq!(name(&[0xFF; 80]), "ff".repeat(64));
    }

    proptest::proptest! {
        #[test]
        fn any_octets_have_a_name_of_bounded_length(octets in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            proptest::prop_assert!(name(&octets).len() < 600);
        }
    }
}
