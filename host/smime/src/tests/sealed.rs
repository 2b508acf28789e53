//! What is sealed, compared with what OpenSSL's own code for CMS writes, and read by it.
//!
//! That code is called here only: sealing writes its structures itself.

use openssl::cms::{CMSOptions, CmsContentInfo};
use openssl::error::ErrorStack;
use openssl::stack::Stack;
use openssl::symm::Cipher;
use openssl::x509::store::X509StoreBuilder;
use proptest::prelude::*;
use trust::asn1::{CONSTRUCTED, Reader, UTC_TIME, seconds_since_1970};

use super::*;
use crate::SealCipher;
use crate::mime::encoding::to_crlf;
use crate::mime::{Entity, Uncovered, split_signed};
use crate::seal::{DetachedSigner, is_blank};

const CIPHERS: [(SealCipher, fn() -> Cipher); 4] = [
    (SealCipher::Aes128Cbc, Cipher::aes_128_cbc),
    (SealCipher::Aes192Cbc, Cipher::aes_192_cbc),
    (SealCipher::Aes256Cbc, Cipher::aes_256_cbc),
    (SealCipher::Aes256Gcm, Cipher::aes_256_gcm),
];

/// Text of this size, with lines of every length.
fn text(size: usize) -> Vec<u8> {
    let line = |length: usize| ["x".repeat(length % 90), "\n".to_owned()].concat();
    (1..).flat_map(|length| line(length * 7).into_bytes()).take(size - 1).chain([b'.']).collect()
}

fn sign_by_openssl(signer: &Credential, content: &[u8]) -> Vec<u8> {
    let flags = CMSOptions::DETACHED | CMSOptions::BINARY | CMSOptions::NOSMIMECAP;
    let mut issuers = Stack::new().unwrap();
    signer.chain().iter().for_each(|issuer| issuers.push(issuer.clone()).unwrap());
    let (certificate, key) = (signer.certificate(), signer.key());
    CmsContentInfo::sign(Some(certificate), Some(key), Some(&issuers), Some(content), flags).unwrap().to_der().unwrap()
}

fn sign(signer: &Credential, content: &[u8], at: SystemTime) -> Vec<u8> {
    DetachedSigner::new(signer, &[]).unwrap().sign(at, &openssl::sha::sha256(content)).unwrap()
}

fn verify_by_openssl(signature: &[u8], content: &[u8]) -> Result<(), ErrorStack> {
    let mut anchors = X509StoreBuilder::new()?;
    anchors.add_cert(pki().authority.clone())?;
    let flags = CMSOptions::BINARY;
    CmsContentInfo::from_der(signature)?.verify(None, Some(&anchors.build()), Some(content), None, flags)
}

fn encrypt_by_openssl(recipient: &Credential, cipher: Cipher, content: &[u8]) -> Vec<u8> {
    let mut certificates = Stack::new().unwrap();
    certificates.push(recipient.certificate().to_owned()).unwrap();
    CmsContentInfo::encrypt(&certificates, content, cipher, CMSOptions::BINARY).unwrap().to_der().unwrap()
}

/// Every element in order: depth, tag, and the content of a primitive one. Of random octets and of times only the length is
/// kept, and that roughly: an ECDSA signature has some octets more or fewer each time.
fn structure(der: &[u8]) -> Vec<(usize, u8, Vec<u8>)> {
    fn walk(mut reader: Reader<'_>, depth: usize, found: &mut Vec<(usize, u8, Vec<u8>)>) {
        while !reader.is_empty() {
            let element = reader.any().unwrap();
            let constructed = element.tag & CONSTRUCTED != 0;
            found.push(match element.tag {
                _ if constructed => (depth, element.tag, Vec::new()),
                3 | 4 | 0x80 | UTC_TIME => (depth, element.tag, (element.content.len() / 16).to_be_bytes().to_vec()),
                tag => (depth, tag, element.content.to_vec()),
            });
            if constructed {
                walk(element.inside(), depth + 1, found);
            }
        }
    }
    let mut found = Vec::new();
    walk(Reader::der(der), 0, &mut found);
    found
}

/// The signing time in a signature: the last time in it, after those of the certificate.
fn signing_time(der: &[u8]) -> SystemTime {
    fn last(mut reader: Reader<'_>, found: &mut Option<i64>) {
        while !reader.is_empty() {
            let element = reader.any().unwrap();
            if element.tag == UTC_TIME {
                *found = seconds_since_1970(&element);
            } else if element.tag & CONSTRUCTED != 0 {
                last(element.inside(), found);
            }
        }
    }
    let mut found = None;
    last(Reader::der(der), &mut found);
    SystemTime::UNIX_EPOCH + Duration::from_secs(found.unwrap().try_into().unwrap())
}

#[test]
fn an_rsa_signature_is_the_same_byte_for_byte() {
    for signer in [&pki().alice, &pki().carol] {
        for size in [1, 30_000] {
            let expected = sign_by_openssl(signer, &text(size));
            assert_eq!(sign(signer, &text(size), signing_time(&expected)), expected);
        }
    }
}

#[test]
fn a_signature_has_the_same_structure() {
    for signer in [&pki().alice, &pki().carol, &pki().eve] {
        let expected = structure(&sign_by_openssl(signer, TEXT));
        assert_eq!(structure(&sign(signer, TEXT, SystemTime::now())), expected);
        assert!(expected.len() > 50, "{expected:?}");
    }
}

#[test]
fn the_issuers_of_a_file_are_in_the_same_order() {
    let pki = pki();
    let key = ec();
    let own = certificate("with-chain.example.org", &key, Some((&pki.authority, &pki.authority_key)), 7, &[]);
    let others =
        [&pki.authority, &certificate("Other CA", &ec(), None, 8, &[]), &certificate("An CA", &ec(), None, 9, &[])];
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let chain = others.iter().flat_map(|issuer| issuer.to_pem().unwrap());
    std::fs::write(file("cert.pem"), own.to_pem().unwrap().into_iter().chain(chain).collect::<Vec<u8>>()).unwrap();
    std::fs::write(file("key.pem"), key.private_key_to_pem_pkcs8().unwrap()).unwrap();
    std::fs::set_permissions(file("key.pem"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let credential = Credential::load(&file("cert.pem"), &file("key.pem")).unwrap();
    let signature = crate::sign_detached(&credential, TEXT).unwrap();
    assert_eq!(structure(&signature), structure(&sign_by_openssl(&credential, TEXT)));
    verify_by_openssl(&signature, TEXT).unwrap();
    assert!(verify_by_openssl(&signature, b"other").is_err());
}

#[test]
fn a_signing_time_after_2049_is_a_generalized_time() {
    let in_2050 = SystemTime::UNIX_EPOCH + Duration::from_secs(2_524_608_000);
    let signature = sign(&pki().eve, TEXT, in_2050);
    verify_by_openssl(&signature, TEXT).unwrap();
    assert!(signature.windows(15).any(|found| found == b"20500101000000Z"));
}

/// The CMS message in a sealed one.
fn envelope(sealed: &[u8]) -> Vec<u8> {
    Entity::read(sealed).unwrap().cms(Uncovered::Any).unwrap().into_owned()
}

fn sealer_with(signer: &Arc<Credential>, recipient: &Credential, cipher: SealCipher) -> Sealer {
    let policy = SealPolicy { peer: Peer::Sesame, cipher: Some(cipher), max_payload: LIMIT };
    Sealer::new(signer.clone(), Some(recipient_of(recipient)), policy).unwrap()
}

fn recipient_of(credential: &Credential) -> Arc<RecipientCertificate> {
    recipient(credential)
}

fn sealed_by(sealer: &Sealer, payload: &[u8]) -> Vec<u8> {
    let id = MessageId::parse("6b031234/6b03126398f937").unwrap();
    let message = ToSeal { id: &id, to: None, sequence: None, content_type: None, payload };
    sealer.seal(&message).unwrap().into_bytes()
}

/// Has OpenSSL decrypt the envelope; returns what is in it.
fn decrypt_by_openssl(sealed: &[u8], recipient: &Credential) -> Vec<u8> {
    let envelope = CmsContentInfo::from_der(&envelope(sealed)).unwrap();
    envelope.decrypt(recipient.key(), &recipient.certificate().to_owned()).unwrap()
}

/// Has OpenSSL verify a signed message; returns the signed part.
fn verified_by_openssl(signed: &[u8]) -> Vec<u8> {
    let entity = Entity::read(signed).unwrap();
    let parts = split_signed(&entity, &entity.media().unwrap(), Uncovered::Fixed).unwrap();
    verify_by_openssl(&parts.signature, &to_crlf(parts.content)).unwrap();
    parts.content.to_vec()
}

#[test]
fn an_envelope_has_the_same_structure() {
    let pki = pki();
    for (kind, cipher) in CIPHERS {
        for recipient in [&pki.bob, &pki.carol, &pki.eve] {
            let sealed = sealed_by(&sealer_with(&pki.alice, recipient, kind), TEXT);
            let plain = decrypt_by_openssl(&sealed, recipient);
            let expected = encrypt_by_openssl(recipient, cipher(), &plain);
            assert_eq!(structure(&envelope(&sealed)), structure(&expected), "{kind:?}");
            assert_eq!(envelope(&sealed).len(), expected.len());
        }
    }
}

#[test]
fn openssl_opens_every_algorithm_and_size() {
    let pki = pki();
    for (kind, _) in CIPHERS {
        for (signer, recipient) in [(&pki.alice, &pki.bob), (&pki.carol, &pki.carol), (&pki.eve, &pki.eve)] {
            let sealer = sealer_with(signer, recipient, kind);
            for size in [1, 2, 15, 16, 17, 47, 48, 49, 4095, 4096, 4097, 30_000, 1_000_000] {
                let payload = text(size);
                let signed = decrypt_by_openssl(&sealed_by(&sealer, &payload), recipient);
                let part = verified_by_openssl(&signed);
                assert!(part.ends_with(&payload), "{kind:?} {size}");
            }
        }
    }
}

#[test]
fn nothing_random_is_used_twice() {
    let pki = pki();
    for recipient in [&pki.bob, &pki.eve] {
        let sealer = sealer_with(&pki.eve, recipient, SealCipher::Aes256Gcm);
        let (one, other) = (envelope(&sealed_by(&sealer, TEXT)), envelope(&sealed_by(&sealer, TEXT)));
        let random = |der: &[u8]| {
            let mut found = Vec::new();
            octet_strings(Reader::der(der), &mut found);
            found
        };
        let (one, other) = (random(&one), random(&other));
        assert!(one.len() >= 4 && one.len() == other.len(), "{}", one.len());
        assert!(one.iter().all(|octets| !other.contains(octets)), "an octet string is repeated");
    }
}

/// Encrypted key, nonce, content, tag; with an EC key also the ephemeral key.
fn octet_strings(mut reader: Reader<'_>, found: &mut Vec<Vec<u8>>) {
    while !reader.is_empty() {
        let element = reader.any().unwrap();
        match element.tag {
            3 | 4 | 0x80 => found.push(element.content.to_vec()),
            tag if tag & CONSTRUCTED != 0 => octet_strings(element.inside(), found),
            _ => {}
        }
    }
}

#[test]
fn threads_share_a_sealer() {
    let pki = pki();
    let sealer = sealer_with(&pki.eve, &pki.bob, SealCipher::Aes256Cbc);
    std::thread::scope(|scope| {
        for number in 0..8_usize {
            let sealer = &sealer;
            scope.spawn(move || {
                for size in 1..20 {
                    let payload = text(size * 500 + number);
                    let signed = decrypt_by_openssl(&sealed_by(sealer, &payload), &pki.bob);
                    assert!(verified_by_openssl(&signed).ends_with(&payload));
                }
            });
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn openssl_opens_what_is_sealed(
        payload in proptest::collection::vec(any::<u8>(), 1..3000),
        cipher in 0..CIPHERS.len(),
        to_ec in any::<bool>(),
        as_text in any::<bool>(),
    ) {
        let payload = if as_text { payload.iter().map(|byte| if byte % 9 == 0 { b'\n' } else { b' ' + byte % 90 }).collect() } else { payload };
        prop_assume!(!is_blank(&payload));
        let recipient = if to_ec { &pki().eve } else { &pki().bob };
        let sealed = sealed_by(&sealer_with(&pki().eve, recipient, CIPHERS[cipher].0), &payload);
        let part = verified_by_openssl(&decrypt_by_openssl(&sealed, recipient));
        if as_text {
            prop_assert!(part.ends_with(&payload));
        }
        prop_assert_eq!(receive(&sealed).unwrap().into_payload(), payload);
    }
}
