//! Digests of content, and the check of a signature over signed attributes (RFC 5652, sections 5.4 and 5.6).
//!
//! `shape` finds the fields; OpenSSL computes digests and checks signatures, and reads no CMS.

use std::sync::Mutex;

use message::locked;
use openssl::error::ErrorStack;
use openssl::hash::{Hasher, MessageDigest};
use openssl::md::{Md, MdRef};
use openssl::pkey::{PKey, PKeyRef, Public};
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::Padding;
use openssl::sha::{Sha1, Sha256, Sha384, Sha512};
use openssl::sign::{RsaPssSaltlen, Verifier};

use super::mime::canonical::canonical;
use super::shape::{KeyKind, SignedMessage};
use trust::Digest;
use trust::asn1::SET;

/// A digest in progress. The SHA functions need no algorithm to be looked up.
enum Hash {
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
    Sha1(Sha1),
    Md5(Hasher),
}

impl Hash {
    fn new(digest: Digest) -> Result<Self, ErrorStack> {
        Ok(match digest {
            Digest::Sha256 => Self::Sha256(Sha256::new()),
            Digest::Sha384 => Self::Sha384(Sha384::new()),
            Digest::Sha512 => Self::Sha512(Sha512::new()),
            Digest::Sha1 => Self::Sha1(Sha1::new()),
            Digest::Md5 => Self::Md5(Hasher::new(MessageDigest::md5())?),
        })
    }

    fn update(&mut self, octets: &[u8]) -> Result<(), ErrorStack> {
        match self {
            Self::Sha256(hash) => hash.update(octets),
            Self::Sha384(hash) => hash.update(octets),
            Self::Sha512(hash) => hash.update(octets),
            Self::Sha1(hash) => hash.update(octets),
            Self::Md5(hash) => hash.update(octets)?,
        }
        Ok(())
    }

    fn finish(self) -> Result<Vec<u8>, ErrorStack> {
        Ok(match self {
            Self::Sha256(hash) => hash.finish().to_vec(),
            Self::Sha384(hash) => hash.finish().to_vec(),
            Self::Sha512(hash) => hash.finish().to_vec(),
            Self::Sha1(hash) => hash.finish().to_vec(),
            Self::Md5(mut hash) => hash.finish()?.to_vec(),
        })
    }
}

/// The digest of `octets`.
pub(super) fn digest_of(digest: Digest, octets: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    let mut hash = Hash::new(digest)?;
    hash.update(octets)?;
    hash.finish()
}

/// The digest of `text` in canonical form, as `encoding::to_crlf` returns it, without a copy of the whole.
pub(super) fn digest_of_canonical(digest: Digest, text: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    let mut hash = Hash::new(digest)?;
    let mut updated = Ok(());
    canonical(text, |block| {
        if updated.is_ok() {
            updated = hash.update(block);
        }
    });
    updated?;
    hash.finish()
}

/// Whether the signature of `message` is one over its signed attributes by `key`. The content is not looked at.
///
/// The attributes are digested as received, with the tag of a SET OF in place of the implicit one.
pub(super) fn verifies(message: &SignedMessage<'_>, key: &PKeyRef<Public>) -> Result<bool, ErrorStack> {
    let inside = message.attributes.get(1..).unwrap_or_default();
    if message.key == KeyKind::Ed25519 {
        let attributes = [&[SET], inside].concat();
        return Verifier::new_without_digest(key)?.verify_oneshot(message.signature, &attributes);
    }
    let mut hash = Hash::new(message.digest)?;
    hash.update(&[SET])?;
    hash.update(inside)?;
    check(key, message.key, message.digest, &hash.finish()?, message.signature)
}

/// Whether `signature` is one by `key` over a message with this digest.
pub(super) fn check(
    key: &PKeyRef<Public>,
    kind: KeyKind,
    digest: Digest,
    digested: &[u8],
    signature: &[u8],
) -> Result<bool, ErrorStack> {
    // The lock is not held while the signature is checked.
    let kept = {
        let mut checks = locked(&CHECKS);
        let place = checks.iter().rposition(|check| check.is_for(key, kind, digest));
        place.map(|at| checks.remove(at))
    };
    let mut check = match kept {
        Some(check) => check,
        None => Check::new(key, kind, digest)?,
    };
    let verified = check.context.verify(digested, signature)?;
    let mut checks = locked(&CHECKS);
    if checks.len() == MAX_CHECKS {
        checks.remove(0);
    }
    checks.push(check);
    Ok(verified)
}

/// How many contexts are kept.
const MAX_CHECKS: usize = 64;
/// Contexts for the signers of the last messages, that of the last one at the end. See `ready` for the reason. The
/// trust store has one object for each key of a trusted signer.
static CHECKS: Mutex<Vec<Check>> = Mutex::new(Vec::new());

/// A context that checks signatures by one key.
struct Check {
    key: PKey<Public>,
    kind: KeyKind,
    digest: Digest,
    context: PkeyCtx<Public>,
}

impl Check {
    fn new(key: &PKeyRef<Public>, kind: KeyKind, digest: Digest) -> Result<Self, ErrorStack> {
        let mut context = PkeyCtx::new(key)?;
        context.verify_init()?;
        match kind {
            KeyKind::Rsa => context.set_rsa_padding(Padding::PKCS1)?,
            KeyKind::RsaPss(_) => context.set_rsa_padding(Padding::PKCS1_PSS)?,
            KeyKind::Ec | KeyKind::Ed25519 => {}
        }
        context.set_signature_md(algorithm(digest))?;
        if let KeyKind::RsaPss(octets) = kind {
            let salt = octets.saturating_sub(digest.octets() + 2);
            context.set_rsa_mgf1_md(algorithm(digest))?;
            context.set_rsa_pss_saltlen(RsaPssSaltlen::custom(i32::try_from(salt).unwrap_or(i32::MAX)))?;
        }
        Ok(Self { key: key.to_owned(), kind, digest, context })
    }

    /// Whether it is for this very object, which lives for as long as this does.
    fn is_for(&self, key: &PKeyRef<Public>, kind: KeyKind, digest: Digest) -> bool {
        std::ptr::eq(&*self.key, key) && self.kind == kind && self.digest == digest
    }
}

/// OpenSSL's object for a digest.
pub(super) fn algorithm(digest: Digest) -> &'static MdRef {
    match digest {
        Digest::Md5 => Md::md5(),
        Digest::Sha1 => Md::sha1(),
        Digest::Sha256 => Md::sha256(),
        Digest::Sha384 => Md::sha384(),
        Digest::Sha512 => Md::sha512(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::mime::encoding::to_crlf;
    use super::*;

    const MANY: usize = 16 * 1024;
    const DIGESTS: [Digest; 5] = [Digest::Md5, Digest::Sha1, Digest::Sha256, Digest::Sha384, Digest::Sha512];

    #[test]
    fn digests_are_those_of_openssl() {
        for digest in DIGESTS {
            let expected = openssl::hash::hash(MessageDigest::from_nid(algorithm(digest).type_()).unwrap(), b"abc");
            assert_eq!(digest_of(digest, b"abc").unwrap(), expected.unwrap().to_vec(), "{digest:?}");
        }
    }

    #[test]
    fn a_kept_context_checks_only_for_its_own_key_and_only_so_many_are_kept() {
        let group = openssl::ec::EcGroup::from_curve_name(openssl::nid::Nid::X9_62_PRIME256V1).unwrap();
        let digest = [7; 32];
        let made: Vec<_> = (0..MAX_CHECKS + 3)
            .map(|_| {
                let key = PKey::from_ec_key(openssl::ec::EcKey::generate(&group).unwrap()).unwrap();
                let mut context = PkeyCtx::new(&key).unwrap();
                context.sign_init().unwrap();
                let mut signature = Vec::new();
                context.sign_to_vec(&digest, &mut signature).unwrap();
                let public = PKey::public_key_from_der(&key.public_key_to_der().unwrap()).unwrap();
                (public, signature)
            })
            .collect();
        let check = |key: &PKey<Public>, signature: &[u8]| {
            check(key, KeyKind::Ec, Digest::Sha256, &digest, signature).unwrap_or(false)
        };
        for _ in 0..2 {
            for ((key, own), (_, other)) in made.iter().zip(made.iter().skip(1)) {
                assert_eq!([check(key, own), check(key, other), check(key, own)], [true, false, true]);
            }
        }
        assert!(locked(&CHECKS).len() <= MAX_CHECKS);
    }

    #[test]
    fn long_lines_and_many_lines_are_digested_once() {
        for text in [vec![b'x'; 3 * MANY], b"line\n".repeat(MANY), b"\n".repeat(MANY), Vec::new()] {
            let with_end = [text.as_slice(), b"\n", &text, b"\r\n"].concat();
            for text in [text, with_end] {
                assert_eq!(
                    digest_of_canonical(Digest::Sha256, &text).unwrap(),
                    digest_of(Digest::Sha256, &to_crlf(&text)).unwrap()
                );
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn the_canonical_form_need_not_be_written_to_be_digested(text in "[a\r\n]{0,200}") {
            proptest::prop_assert_eq!(
                digest_of_canonical(Digest::Sha512, text.as_bytes()).unwrap(),
                digest_of(Digest::Sha512, &to_crlf(text.as_bytes())).unwrap()
            );
        }
    }
}
