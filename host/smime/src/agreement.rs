//! Key agreement with EC keys (RFC 5753): the key that wraps the key of a content, and the wrap (RFC 3394), for both
//! directions.

use openssl::cipher::{Cipher, CipherRef};
use openssl::cipher_ctx::{CipherCtx, CipherCtxFlags};
use openssl::error::ErrorStack;
use openssl::hash::{Hasher, MessageDigest};
use trust::asn1::{OCTET_STRING, context, encode};
use trust::oids;
use zeroize::Zeroizing;

use crate::der::{self, sequence};

/// Octets that a wrap adds to a key.
const WRAP_ADDS: usize = 8;

/// An AES key wrap, by the bits of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrap {
    Aes128,
    Aes192,
    Aes256,
}

impl Wrap {
    const ALL: [Self; 3] = [Self::Aes128, Self::Aes192, Self::Aes256];

    /// The one with this object identifier.
    pub(crate) fn from_oid(oid: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|wrap| wrap.oid() == oid)
    }

    fn oid(self) -> &'static [u8] {
        match self {
            Self::Aes128 => oids::AES_128_WRAP,
            Self::Aes192 => oids::AES_192_WRAP,
            Self::Aes256 => oids::AES_256_WRAP,
        }
    }

    /// Octets of its key.
    fn key_size(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::Aes192 => 24,
            Self::Aes256 => 32,
        }
    }

    fn cipher(self) -> &'static CipherRef {
        match self {
            Self::Aes128 => Cipher::aes_128_wrap(),
            Self::Aes192 => Cipher::aes_192_wrap(),
            Self::Aes256 => Cipher::aes_256_wrap(),
        }
    }

    /// Its AlgorithmIdentifier; some senders write NULL as parameters.
    pub(crate) fn algorithm(self, with_null: bool) -> Vec<u8> {
        der::algorithm(self.oid(), if with_null { &der::NULL } else { &[] })
    }

    /// Wraps a key.
    pub(crate) fn wrap(self, wrapping_key: &[u8], key: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        let mut context = Self::context()?;
        context.encrypt_init(Some(self.cipher()), Some(wrapping_key), None)?;
        let mut wrapped = Vec::with_capacity(key.len() + 2 * WRAP_ADDS);
        context.cipher_update_vec(key, &mut wrapped)?;
        Ok(wrapped)
    }

    /// Unwraps a key, and checks that it was wrapped with this wrapping key.
    pub(crate) fn unwrap(self, wrapping_key: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
        let mut context = Self::context()?;
        context.decrypt_init(Some(self.cipher()), Some(wrapping_key), None)?;
        let mut key = Zeroizing::new(vec![0; wrapped.len() + 2 * WRAP_ADDS]);
        let length = context.cipher_update(wrapped, Some(&mut key))?;
        key.truncate(length);
        Ok(key)
    }

    fn context() -> Result<CipherCtx, ErrorStack> {
        let mut context = CipherCtx::new()?;
        context.set_flags(CipherCtxFlags::FLAG_WRAP_ALLOW);
        Ok(context)
    }
}

/// The digest of the key derivation of a scheme: ECDH with the X9.63 key derivation (RFC 5753, section 7.1.4).
pub(crate) fn digest(scheme: &[u8]) -> Option<MessageDigest> {
    match scheme {
        oids::ECDH_WITH_SHA1 => Some(MessageDigest::sha1()),
        oids::ECDH_WITH_SHA224 => Some(MessageDigest::sha224()),
        oids::ECDH_WITH_SHA256 => Some(MessageDigest::sha256()),
        oids::ECDH_WITH_SHA384 => Some(MessageDigest::sha384()),
        oids::ECDH_WITH_SHA512 => Some(MessageDigest::sha512()),
        _ => None,
    }
}

/// The key of a wrap from the secret that sender and receiver share. `algorithm` is the wrap's AlgorithmIdentifier as it
/// stands in the message, `material` the user keying material.
pub(crate) fn wrapping_key(
    digest: MessageDigest,
    shared: &[u8],
    (wrap, algorithm): (Wrap, &[u8]),
    material: Option<&[u8]>,
) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
    derive(digest, shared, &shared_information(algorithm, material, wrap.key_size()), wrap.key_size())
}

/// `ECC-CMS-SharedInfo` (RFC 5753, section 7.2).
fn shared_information(algorithm: &[u8], material: Option<&[u8]>, octets: usize) -> Vec<u8> {
    let material = material.map(|material| encode(context(0), &encode(OCTET_STRING, material))).unwrap_or_default();
    let bits = u32::try_from(octets * 8).unwrap_or_default().to_be_bytes();
    sequence(&[algorithm, &material, &encode(context(2), &encode(OCTET_STRING, &bits))])
}

/// The key derivation function of ANSI X9.63 (SEC 1, section 3.6.1).
pub(crate) fn derive(
    digest: MessageDigest,
    shared: &[u8],
    information: &[u8],
    octets: usize,
) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
    let mut derived = Zeroizing::new(Vec::with_capacity(octets + 64));
    for counter in 1_u32.. {
        let mut hash = Hasher::new(digest)?;
        hash.update(shared)?;
        hash.update(&counter.to_be_bytes())?;
        hash.update(information)?;
        derived.extend_from_slice(&hash.finish()?);
        if derived.len() >= octets {
            break;
        }
    }
    derived.truncate(octets);
    Ok(derived)
}
