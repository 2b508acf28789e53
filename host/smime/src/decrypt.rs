//! Decrypts the content of an envelope.
//!
//! `shape` finds the fields; OpenSSL does the private-key operation, key unwrapping and the cipher, and reads no CMS.
//!
//! # No oracle
//! An attacker who learns whether the padding of an encrypted key or of AES-CBC was right can decrypt messages
//! (Bleichenbacher 1998, Vaudenay 2002). So nothing here fails or takes another way because of what is secret:
//!
//! - The key of the content is random unless the encrypted key yields one of the right length (RFC 3218, section 2.3).
//!   The random key is always made, and the choice is without a branch. OpenSSL 3.2 and later returns a wrong padding
//!   of PKCS#1 v1.5 as a random text too (implicit rejection), so that even its cost does not differ.
//! - With AES-CBC the padding is compared without a branch, and the content is returned whether or not it was right.
//!   The caller treats it as it would any content and asks [`Decrypted::is_intact`] last. How much of the last block
//!   counts as content depends on its last octet alone, not on whether the padding is right.
//!
//! AES-GCM shows by its tag whether the content was changed; then there is no content.

use std::sync::{Arc, Mutex, Weak};

use openssl::asn1::Asn1Object;
use openssl::bn::BigNumContext;
use openssl::cipher::{Cipher, CipherRef};
use openssl::cipher_ctx::CipherCtx;
use openssl::derive::Deriver;
use openssl::ec::{EcGroupRef, EcKey, EcPoint};
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, PKeyRef, Private};
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::Padding;
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _, ConstantTimeGreater as _};
use zeroize::Zeroizing;

use super::agreement;
use super::ready::Ready;
use super::shape::{Agreement, ContentCipher, Enveloped, KeyMethod, KeyWrap, RsaPadding};
use super::signature;
use super::wrapped::{LONGEST_KEY, WrappedKey};
use message::locked;
use trust::Credential;
use trust::asn1;

/// Octets of a block of AES.
const BLOCK: usize = 16;

/// The decrypted content of an envelope.
pub(super) struct Decrypted {
    octets: Vec<u8>,
    length: usize,
    intact: bool,
}

impl Decrypted {
    /// The content, which is arbitrary unless it is [intact](Self::is_intact).
    pub(super) fn content(&self) -> &[u8] {
        self.octets.get(..self.length).unwrap_or_default()
    }

    /// Whether the padding of AES-CBC was right. Ask after everything that depends on the content is done.
    pub(super) fn is_intact(&self) -> bool {
        self.intact
    }
}

/// Contexts for the keys of credentials in use, for RSA with PKCS#1 v1.5. See `ready` for the reason.
static CREDENTIALS: Mutex<Vec<(Weak<Credential>, Arc<Transports>)>> = Mutex::new(Vec::new());

/// Contexts for one key.
pub(super) type Transports = Ready<PkeyCtx<Private>>;

/// Those for this credential. None is kept for a credential that is no longer there: it has the private key.
pub(super) fn transports(credential: &Arc<Credential>) -> Arc<Transports> {
    let mut kept = locked(&CREDENTIALS);
    kept.retain(|(of, _)| of.strong_count() > 0);
    if let Some((_, transports)) = kept.iter().find(|(of, _)| std::ptr::eq(of.as_ptr(), Arc::as_ptr(credential))) {
        return Arc::clone(transports);
    }
    let transports = Arc::default();
    kept.push((Arc::downgrade(credential), Arc::clone(&transports)));
    transports
}

/// Decrypts the content with its key. `None` if it cannot be decrypted: with AES-CBC only if anyone can see that, from its
/// length; with AES-GCM also if it was changed.
pub(super) fn content(envelope: &Enveloped<'_>, secret: &[u8]) -> Option<Decrypted> {
    match envelope.cipher {
        ContentCipher::AesCbc(_) => by_cbc(envelope, secret),
        ContentCipher::Aes256Gcm => by_gcm(envelope, secret).ok(),
    }
}

fn by_cbc(envelope: &Enveloped<'_>, key: &[u8]) -> Option<Decrypted> {
    if envelope.content.is_empty() || !envelope.content.len().is_multiple_of(BLOCK) {
        return None;
    }
    let octets = run(cipher(envelope.cipher), key, envelope, |context| {
        context.set_padding(false);
        Ok(())
    });
    let octets = octets.ok()?;
    let (padding, right) = padding(octets.last_chunk()?);
    Some(Decrypted { length: octets.len() - padding, octets, intact: right.into() })
}

fn by_gcm(envelope: &Enveloped<'_>, key: &[u8]) -> Result<Decrypted, ErrorStack> {
    let octets = run(cipher(envelope.cipher), key, envelope, |context| context.set_tag(envelope.tag))?;
    Ok(Decrypted { length: octets.len(), octets, intact: true })
}

/// Decrypts the whole content at once. Fails if the tag of an authenticated cipher is not right.
fn run(
    cipher: &CipherRef,
    key: &[u8],
    envelope: &Enveloped<'_>,
    prepare: impl Fn(&mut CipherCtx) -> Result<(), ErrorStack>,
) -> Result<Vec<u8>, ErrorStack> {
    let mut context = CipherCtx::new()?;
    context.decrypt_init(Some(cipher), Some(key), Some(envelope.vector))?;
    prepare(&mut context)?;
    let mut octets = vec![0; envelope.content.len() + BLOCK];
    let written = context.cipher_update(&envelope.content, Some(&mut octets))?;
    let rest = context.cipher_final(octets.get_mut(written..).unwrap_or_default())?;
    octets.truncate(written + rest);
    Ok(octets)
}

/// How many octets at the end of the last block are not content, and whether they are a padding (RFC 5652, section
/// 6.3). The first depends on the last octet only.
fn padding(block: &[u8; BLOCK]) -> (usize, Choice) {
    let [.., count] = *block;
    let in_range = count.ct_gt(&0) & !count.ct_gt(&16);
    let mut right = in_range;
    for (back, octet) in (0_u8..).zip(block.iter().rev()) {
        // Octets before the padding may have any value.
        right &= octet.ct_eq(&count) | !count.ct_gt(&back);
    }
    (usize::from(u8::conditional_select(&1, &count, in_range)), right)
}

/// The key of the content: what the encrypted key yields with the private key if that has the right length, else a random
/// one.
pub(super) fn content_key(
    wrapped: &WrappedKey<'_>,
    (key, transports): (&PKeyRef<Private>, &Transports),
) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
    let octets = wrapped.octets;
    let mut chosen = Zeroizing::new(vec![0; octets]);
    openssl::rand::rand_bytes(&mut chosen)?;
    let mut found = Zeroizing::new(vec![0; key.size().max(2 * LONGEST_KEY)]);
    let length = match wrapped.method {
        KeyMethod::Transport(RsaPadding::Pkcs1) => transported(wrapped.key, (key, transports), &mut found),
        KeyMethod::Transport(RsaPadding::Oaep(digest)) => transport(key, RsaPadding::Oaep(digest))
            .and_then(|mut context| context.decrypt(wrapped.key, Some(&mut found))),
        KeyMethod::Agreement(agreement) => agreed(wrapped.key, &agreement, key, &mut found),
    };
    // Which error it was must not be seen; a length of 0 is never right.
    let right = length.unwrap_or(0).ct_eq(&octets);
    for (octet, found) in chosen.iter_mut().zip(found.iter()) {
        octet.conditional_assign(found, right);
    }
    Ok(chosen)
}

/// Decrypts a key by RSA with PKCS#1 v1.5 and returns its length.
fn transported(
    encrypted: &[u8],
    (key, transports): (&PKeyRef<Private>, &Transports),
    found: &mut [u8],
) -> Result<usize, ErrorStack> {
    // A context is kept whether or not decryption failed, so that the next message does not take longer if it did.
    transports
        .with(|| transport(key, RsaPadding::Pkcs1), |context| Ok(context.decrypt(encrypted, Some(found))))
        .flatten()
}

/// A context that decrypts keys by RSA.
fn transport(key: &PKeyRef<Private>, padding: RsaPadding) -> Result<PkeyCtx<Private>, ErrorStack> {
    let mut context = PkeyCtx::new(key)?;
    context.decrypt_init()?;
    match padding {
        RsaPadding::Pkcs1 => context.set_rsa_padding(Padding::PKCS1)?,
        RsaPadding::Oaep(digest) => {
            context.set_rsa_padding(Padding::PKCS1_OAEP)?;
            context.set_rsa_oaep_md(signature::algorithm(digest))?;
            context.set_rsa_mgf1_md(signature::algorithm(digest))?;
        }
    }
    Ok(context)
}

/// Derives the key of the key wrap (RFC 5753, section 7.2), unwraps the key and returns its length.
fn agreed(
    wrapped: &[u8],
    agreement: &Agreement<'_>,
    key: &PKeyRef<Private>,
    found: &mut [u8],
) -> Result<usize, ErrorStack> {
    let (Some(shared), Some(digest)) = (shared_secret(agreement, key)?, agreement::digest(agreement.scheme)) else {
        return Ok(0);
    };
    let KeyWrap { wrap, with_null } = agreement.wrap;
    let algorithm = wrap.algorithm(with_null);
    let wrapping_key = agreement::wrapping_key(digest, &shared, (wrap, &algorithm), agreement.material)?;
    let unwrapped = wrap.unwrap(&wrapping_key, wrapped)?;
    for (to, from) in found.iter_mut().zip(unwrapped.iter()) {
        *to = *from;
    }
    Ok(unwrapped.len())
}

/// The secret shared with the sender's ephemeral key; `None` if that is not a point of our curve by its form.
fn shared_secret(agreement: &Agreement<'_>, key: &PKeyRef<Private>) -> Result<Option<Zeroizing<Vec<u8>>>, ErrorStack> {
    let own = key.ec_key()?;
    let group = own.group();
    // The first octet of a BIT STRING is the number of unused bits.
    let [0, point @ ..] = agreement.public else { return Ok(None) };
    if !is_curve_of(agreement, group) {
        return Ok(None);
    }
    let mut numbers = BigNumContext::new()?;
    let point = EcPoint::from_bytes(group, point, &mut numbers)?;
    let peer = PKey::from_ec_key(EcKey::from_public_key(group, &point)?)?;
    let mut deriver = Deriver::new(key)?;
    // Checks that the point is on the curve and in the group.
    deriver.set_peer(&peer)?;
    deriver.derive_to_vec().map(|secret| Some(Zeroizing::new(secret)))
}

/// Whether the parameters of the sender's key are absent or name the curve `group` (RFC 5480, section 2.1.1).
fn is_curve_of(agreement: &Agreement<'_>, group: &EcGroupRef) -> bool {
    let Some(curve) = agreement.curve.filter(|curve| curve.tag != asn1::NULL) else { return true };
    let own =
        group.curve_name().and_then(|name| name.short_name().ok()).and_then(|name| Asn1Object::from_str(name).ok());
    curve.tag == asn1::OID && own.is_some_and(|own| own.as_slice() == curve.content)
}

fn cipher(cipher: ContentCipher) -> &'static CipherRef {
    match cipher {
        ContentCipher::AesCbc(128) => Cipher::aes_128_cbc(),
        ContentCipher::AesCbc(192) => Cipher::aes_192_cbc(),
        ContentCipher::AesCbc(_) => Cipher::aes_256_cbc(),
        ContentCipher::Aes256Gcm => Cipher::aes_256_gcm(),
    }
}
