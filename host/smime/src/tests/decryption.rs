//! Envelopes in the forms that OpenSSL's encryption does not write, and wrong keys and paddings in every place.

use openssl::cipher_ctx::{CipherCtx, CipherCtxFlags};
use openssl::derive::Deriver;
use openssl::hash::MessageDigest;
use openssl::md::Md;
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::Padding;

use super::forge::*;
use super::*;
use crate::agreement::derive;
use crate::decrypt;

const OAEP: &str = "1.2.840.113549.1.1.7";
const MGF1: &str = "1.2.840.113549.1.1.8";
const AES_256_CBC: &str = "2.16.840.1.101.3.4.1.42";
/// The key of every envelope here.
const KEY: [u8; 32] = [0x5A; 32];

/// How the key of the content is encrypted.
#[derive(Clone, Copy, Debug)]
pub(super) enum KeyForm {
    Pkcs1,
    OaepSha1,
    OaepSha256,
    /// Key agreement with user keying material.
    WithMaterial,
    /// Key agreement whose ephemeral key names its curve, and NULL as parameters of the key wrap.
    WithCurve,
    /// Key agreement over SHA-224 and a key wrap of 128 bits.
    Short,
}

impl KeyForm {
    pub(super) const ALL: [Self; 6] =
        [Self::Pkcs1, Self::OaepSha1, Self::OaepSha256, Self::WithMaterial, Self::WithCurve, Self::Short];
}

/// An envelope around `plain` for Bob (RSA) or Eve (EC).
pub(super) fn sealed_for(form: KeyForm, plain: &[u8]) -> Vec<u8> {
    let recipient = match form {
        KeyForm::Pkcs1 => to_bob(),
        KeyForm::OaepSha1 => transport(Padding::PKCS1_OAEP, seq(&[oid(OAEP), seq(&[])]), &KEY),
        KeyForm::OaepSha256 => {
            let mask = seq(&[oid(MGF1), algorithm(SHA256)]);
            let parameters = seq(&[tlv(0xA0, &algorithm(SHA256)), tlv(0xA1, &mask)]);
            transport_with(Padding::PKCS1_OAEP, Some(Md::sha256()), seq(&[oid(OAEP), parameters]), &KEY)
        }
        KeyForm::WithMaterial => agreement(Some(b"material"), false, ("1.3.132.1.11.1", 256)),
        KeyForm::WithCurve => agreement(None, true, ("1.3.132.1.11.3", 192)),
        KeyForm::Short => agreement(None, false, ("1.3.132.1.11.0", 128)),
    };
    around(&recipient, &encrypted(plain, true))
}

/// An EnvelopedData with AES-256-CBC.
pub(super) fn around(recipient: &[u8], content: &[u8]) -> Vec<u8> {
    let content = seq(&[oid(ID_DATA), seq(&[oid(AES_256_CBC), tlv(4, &[9; 16])]), tlv(0x80, content)]);
    content_info(ID_ENVELOPED, &seq(&[int(2), set(&[recipient.to_vec()]), content]))
}

/// AES-256-CBC with [`KEY`].
pub(super) fn encrypted(plain: &[u8], pad: bool) -> Vec<u8> {
    let mut context = CipherCtx::new().unwrap();
    context.encrypt_init(Some(openssl::cipher::Cipher::aes_256_cbc()), Some(&KEY), Some(&[9; 16])).unwrap();
    context.set_padding(pad);
    let mut out = Vec::new();
    context.cipher_update_vec(plain, &mut out).unwrap();
    context.cipher_final_vec(&mut out).unwrap();
    out
}

/// The key, encrypted for Bob as OpenSSL does.
pub(super) fn to_bob() -> Vec<u8> {
    transport(Padding::PKCS1, algorithm(RSA), &KEY)
}

fn transport(padding: Padding, scheme: Vec<u8>, key: &[u8]) -> Vec<u8> {
    transport_with(padding, None, scheme, key)
}

fn transport_with(padding: Padding, digest: Option<&openssl::md::MdRef>, scheme: Vec<u8>, key: &[u8]) -> Vec<u8> {
    let bob = pki().bob.certificate();
    let public = bob.public_key().unwrap();
    let mut context = PkeyCtx::new(&public).unwrap();
    context.encrypt_init().unwrap();
    context.set_rsa_padding(padding).unwrap();
    if let Some(digest) = digest {
        context.set_rsa_oaep_md(digest).unwrap();
        context.set_rsa_mgf1_md(digest).unwrap();
    }
    let mut encrypted = Vec::new();
    context.encrypt_to_vec(key, &mut encrypted).unwrap();
    seq(&[int(0), issuer_serial(bob), scheme, tlv(4, &encrypted)])
}

fn agreement(material: Option<&[u8]>, curve: bool, (scheme, bits): (&str, usize)) -> Vec<u8> {
    let eve = pki().eve.certificate();
    let ephemeral = ec();
    let digest = match scheme {
        "1.3.132.1.11.0" => MessageDigest::sha224(),
        "1.3.132.1.11.1" => MessageDigest::sha256(),
        _ => MessageDigest::sha512(),
    };
    let (wrap, wrap_oid) = match bits {
        128 => (openssl::cipher::Cipher::aes_128_wrap(), "2.16.840.1.101.3.4.1.5"),
        192 => (openssl::cipher::Cipher::aes_192_wrap(), "2.16.840.1.101.3.4.1.25"),
        _ => (openssl::cipher::Cipher::aes_256_wrap(), "2.16.840.1.101.3.4.1.45"),
    };
    let wrap_scheme = if curve { algorithm(wrap_oid) } else { seq(&[oid(wrap_oid)]) };
    let mut information = vec![wrap_scheme.clone()];
    information.extend(material.map(|material| tlv(0xA0, &tlv(4, material))));
    information.push(tlv(0xA2, &tlv(4, &u32::try_from(bits).unwrap().to_be_bytes())));
    let public = eve.public_key().unwrap();
    let mut deriver = Deriver::new(&ephemeral).unwrap();
    deriver.set_peer(&public).unwrap();
    let shared = deriver.derive_to_vec().unwrap();
    let wrapping_key = derive(digest, &shared, &seq(&information), bits / 8).unwrap();
    let mut context = CipherCtx::new().unwrap();
    context.set_flags(CipherCtxFlags::FLAG_WRAP_ALLOW);
    context.encrypt_init(Some(wrap), Some(&wrapping_key), None).unwrap();
    let mut wrapped = vec![0; 64];
    let length = context.cipher_update(&KEY, Some(&mut wrapped)).unwrap();
    let key = ephemeral.ec_key().unwrap();
    let mut numbers = openssl::bn::BigNumContext::new().unwrap();
    let form = openssl::ec::PointConversionForm::UNCOMPRESSED;
    let point = key.public_key().to_bytes(key.group(), form, &mut numbers).unwrap();
    let mut of_key = vec![oid("1.2.840.10045.2.1")];
    of_key.extend(curve.then(|| oid("1.2.840.10045.3.1.7")));
    let originator = tlv(0xA0, &tlv(0xA1, &[seq(&of_key), tlv(3, &[&[0], &point[..]].concat())].concat()));
    let mut fields = vec![int(3), originator];
    fields.extend(material.map(|material| tlv(0xA1, &tlv(4, material))));
    fields.push(seq(&[oid(scheme), wrap_scheme]));
    fields.push(seq(&[seq(&[issuer_serial(eve), tlv(4, &wrapped[..length])])]));
    tlv(0xA1, &fields.concat())
}

fn signed() -> Vec<u8> {
    SignedForge::new(&pki().alice).message()
}

#[test]
fn opens_every_form_of_an_encrypted_key() {
    for form in KeyForm::ALL {
        let opened = receive(&pkcs7_mime(&sealed_for(form, &signed())));
        assert_eq!(opened.unwrap().payload(), b"hello\n", "{form:?}");
    }
}

#[test]
fn every_wrong_key_is_the_one_error() {
    let content = encrypted(&signed(), true);
    let mut cases = vec![
        ("shorter", transport(Padding::PKCS1, algorithm(RSA), &KEY[..16])),
        ("longer", transport(Padding::PKCS1, algorithm(RSA), &[KEY, KEY].concat())),
        ("empty", transport(Padding::PKCS1, algorithm(RSA), &[])),
        ("another", transport(Padding::PKCS1, algorithm(RSA), &[1; 32])),
        ("for OAEP", transport(Padding::PKCS1_OAEP, algorithm(RSA), &KEY)),
        ("not for OAEP", transport(Padding::PKCS1, seq(&[oid(OAEP), seq(&[])]), &KEY)),
        ("another digest", transport_with(Padding::PKCS1_OAEP, Some(Md::sha256()), seq(&[oid(OAEP), seq(&[])]), &KEY)),
    ];
    let bob = pki().bob.certificate();
    for (name, key) in [("no number below the modulus", vec![0xFF; 256]), ("too long", vec![1; 300]), ("none", vec![])]
    {
        cases.push((name, seq(&[int(0), issuer_serial(bob), algorithm(RSA), tlv(4, &key)])));
    }
    let eve = pki().eve.certificate();
    cases.push(("RSA for an EC key", seq(&[int(0), issuer_serial(eve), algorithm(RSA), tlv(4, &[1; 256])])));
    for (name, recipient) in cases {
        assert!(matches!(receive(&pkcs7_mime(&around(&recipient, &content))), Err(OpenError::Crypto)), "{name}");
    }
}

#[test]
fn every_wrong_padding_is_the_one_error() {
    let recipient = to_bob();
    let whole = |plain: &[u8], tail: &[u8]| {
        let mut plain = plain.to_vec();
        plain.resize(plain.len().next_multiple_of(16) + 16 - tail.len(), b'\n');
        receive(&pkcs7_mime(&around(&recipient, &encrypted(&[plain, tail.to_vec()].concat(), false))))
    };
    for length in 1_u8..=16 {
        let right = vec![length; usize::from(length)];
        assert!(whole(&signed(), &right).is_ok(), "{length}");
        for at in 0..right.len() - 1 {
            let mut wrong = right.clone();
            wrong[at] ^= 0x10;
            assert!(matches!(whole(&signed(), &wrong), Err(OpenError::Crypto)), "{length} {at}");
        }
    }
    for last in [0, 17, 0x80, 0xFF] {
        assert!(matches!(whole(&signed(), &[last; 16]), Err(OpenError::Crypto)), "{last}");
    }
    for octets in [0, 1, 15, 17] {
        let cut = around(&recipient, &vec![7; octets]);
        assert!(matches!(receive(&pkcs7_mime(&cut)), Err(OpenError::Crypto)), "{octets} octets");
    }
}

#[test]
fn contexts_are_kept_for_as_long_as_their_credential_and_whatever_failed() {
    let pki = pki();
    let mine = credential(&pki.bob.certificate().to_owned(), pki.bob.key());
    let transports = Arc::downgrade(&decrypt::transports(&mine));
    let opens = |recipient: &[u8]| {
        let raw = pkcs7_mime(&around(recipient, &encrypted(&signed(), true)));
        open(&raw, std::slice::from_ref(&mine), &pki.trust.snapshot(), &policy(), SystemTime::now()).is_ok()
    };
    let too_long = seq(&[int(0), issuer_serial(pki.bob.certificate()), algorithm(RSA), tlv(4, &[1; 300])]);
    assert_eq!([opens(&to_bob()), opens(&too_long), opens(&to_bob())], [true, false, true]);
    assert!(transports.upgrade().is_some_and(|kept| Arc::ptr_eq(&kept, &decrypt::transports(&mine))));
    assert!(!Arc::ptr_eq(&decrypt::transports(&mine), &decrypt::transports(&pki.bob)));
    drop(mine);
    drop(decrypt::transports(&pki.bob));
    assert!(transports.upgrade().is_none(), "the private key is still there");
}

/// OpenSSL 3.2 and later: a wrong padding yields a text that depends on key and ciphertext only.
#[test]
fn a_wrong_padding_of_an_encrypted_key_is_no_error_of_openssl() {
    let decrypted = |encrypted: &[u8]| {
        let mut context = PkeyCtx::new(pki().bob.key()).unwrap();
        context.decrypt_init().unwrap();
        context.set_rsa_padding(Padding::PKCS1).unwrap();
        let mut found = Vec::new();
        context.decrypt_to_vec(encrypted, &mut found).map(|_| found)
    };
    assert_eq!(decrypted(&[1; 256]).unwrap(), decrypted(&[1; 256]).unwrap());
    assert_ne!(decrypted(&[1; 256]).unwrap(), decrypted(&[2; 256]).unwrap());
}

#[test]
fn the_sender_s_key_must_be_a_point_of_our_curve() {
    let good = agreement(None, true, ("1.3.132.1.11.1", 256));
    let content = encrypted(&signed(), true);
    assert!(receive(&pkcs7_mime(&around(&good, &content))).is_ok());
    let other_curve = {
        let p256 = oid("1.2.840.10045.3.1.7");
        let at = good.windows(p256.len()).position(|found| found == p256).unwrap();
        let mut changed = good.clone();
        changed[at + p256.len() - 1] = 1;
        changed
    };
    let off_curve = {
        let at = good.windows(4).position(|found| found == [3, 66, 0, 4]).unwrap();
        let mut changed = good.clone();
        changed[at + 60] ^= 1;
        changed
    };
    for recipient in [other_curve, off_curve] {
        assert!(matches!(receive(&pkcs7_mime(&around(&recipient, &content))), Err(OpenError::Crypto)));
    }
}
