//! Encrypted messages that are accepted, and malformed ones with the code of their refusal.

use openssl::cms::{CMSOptions, CmsContentInfo};
use openssl::stack::Stack;
use openssl::symm::Cipher;

use super::forge::*;
use super::*;
use crate::shape::{self, Cms, ContentCipher};

const OAEP: &str = "1.2.840.113549.1.1.7";

fn encrypt(plain: &[u8], to: &Credential, cipher: Cipher) -> Vec<u8> {
    encrypt_for(plain, &[to], cipher)
}

pub(super) fn encrypt_for(plain: &[u8], recipients: &[&Credential], cipher: Cipher) -> Vec<u8> {
    let mut certificates = Stack::new().unwrap();
    for to in recipients {
        certificates.push(to.certificate().to_owned()).unwrap();
    }
    CmsContentInfo::encrypt(&certificates, plain, cipher, CMSOptions::BINARY).unwrap().to_der().unwrap()
}

fn to_bob(plain: &[u8], cipher: Cipher) -> Vec<u8> {
    pkcs7_mime(&encrypt(plain, &pki().bob, cipher))
}

fn shape_code(der: &[u8]) -> &'static str {
    shape::inspect(der).unwrap_err().code().as_str()
}

#[test]
fn opens_each_cipher_and_each_kind_of_recipient() {
    let signed = SignedForge::new(&pki().alice).message();
    for cipher in [Cipher::aes_128_cbc(), Cipher::aes_192_cbc(), Cipher::aes_256_cbc(), Cipher::aes_256_gcm()] {
        for recipient in [&pki().bob, &pki().eve] {
            let opened = receive(&pkcs7_mime(&encrypt(&signed, recipient, cipher))).unwrap();
            assert_eq!(opened.payload(), b"hello\n");
            assert!(opened.encrypted());
        }
    }
}

#[test]
fn an_envelope_for_others_names_its_recipients() {
    let sealed = seal(&pki().alice, Some(&pki().carol), Peer::Ssm, TEXT);
    let error = receive(&sealed).unwrap_err();
    assert_eq!(error.code(), "crypto");
    let said = error.to_string();
    let expected = "cannot decrypt the message: it is encrypted for the certificate with serial number 04, and ours has serial \
                    number 03 and subject key identifier ";
    assert!(said.starts_with(expected), "{said}");
}

#[test]
fn a_recipient_is_matched_by_key_identifier_and_by_serial_number() {
    let bob = pki().bob.certificate();
    let id = bob.subject_key_id().unwrap().as_slice().to_vec();
    let message = |recipients: &[Vec<u8>]| pkcs7_mime(&envelope(recipients, &aes_256_cbc(), None));
    let by_key = |id: &[u8]| key_transport_by_key(id, &algorithm(RSA));
    // The encrypted keys are invalid, so that a matching recipient fails at decryption.
    assert!(matches!(receive(&message(&[by_key(&id)])), Err(OpenError::Crypto)));
    let stranger = receive(&message(&[by_key(&[7; 20])])).unwrap_err();
    assert_eq!(stranger.code(), "crypto");
    let said = stranger.to_string();
    assert!(said.contains(&format!("for the key with subject key identifier {}", "07".repeat(20))), "{said}");
    // Only the whole identifier matches, and never one that could be computed from our key.
    assert!(matches!(receive(&message(&[by_key(&id[1..])])), Err(OpenError::NotForUs { .. })));
    let number = key_transport(bob, &algorithm(RSA));
    assert_eq!(refusal(&message(&[number.clone(), by_key(&id)])), "recipients");
    assert_eq!(refusal(&message(&[by_key(&id), number])), "recipients");
}

#[test]
fn a_certificate_without_key_identifier_matches_none() {
    let pki = pki();
    let key = rsa(2048);
    let bare = super::certificate_with("bare.example.org", &key, Some((&pki.authority, &pki.authority_key)), 90, None);
    let computed = openssl::sha::sha1(&key.rsa().unwrap().public_key_to_der_pkcs1().unwrap());
    let recipient = key_transport_by_key(&computed, &algorithm(RSA));
    let raw = pkcs7_mime(&envelope(&[recipient], &aes_256_cbc(), None));
    let error =
        open(&raw, &[credential(&bare, &key)], &pki.trust.snapshot(), &policy(), SystemTime::now()).unwrap_err();
    assert!(error.to_string().ends_with("ours has serial number 5a and no subject key identifier"), "{error}");
}

#[test]
fn only_diagnose_reports_the_content() {
    use crate::diagnose;
    let pki = pki();
    let trust = pki.trust.snapshot();
    let ours = [pki.bob.clone(), pki.eve.clone()];
    let inside = |raw: &[u8]| diagnose(raw, &ours, &trust);
    let signed = SignedForge::new(&pki.alice).message();
    assert_eq!(inside(&to_bob(&signed, Cipher::aes_256_cbc())), None, "nothing is wrong");
    assert_eq!(inside(&signed), None, "no envelope");
    assert_eq!(inside(&seal(&pki.alice, Some(&pki.carol), Peer::Ssm, TEXT)), None, "not for us");
    let unsigned = to_bob(b"Content-Type: text/plain\r\n\r\nhello\r\n", Cipher::aes_256_cbc());
    assert_eq!(receive(&unsigned).unwrap_err().to_string(), "cannot decrypt the message");
    let said = inside(&unsigned).unwrap();
    assert!(said.contains("decrypts, but its content is refused: the message is not signed"), "{said}");
    assert!(inside(&to_bob(&[0x93; 64], Cipher::aes_256_cbc())).unwrap().contains("bytes that are not a message"));
    let wrong_key =
        pkcs7_mime(&envelope(&[key_transport(ours[0].certificate(), &algorithm(RSA))], &aes_256_cbc(), None));
    let said = inside(&wrong_key).unwrap();
    assert!(said.contains("does not decrypt") || said.contains("bytes that are not a message"), "{said}");
}

#[test]
fn cbc_has_one_error_for_every_failure() {
    let alice = &pki().alice;
    let tampered = {
        let mut forge = SignedForge::new(alice);
        forge.content.as_mut().unwrap()[30] ^= 1;
        forge.message()
    };
    let unsigned = b"Content-Type: text/plain\r\n\r\nhello\r\n".to_vec();
    let without_signer = SignedForge { signers: Vec::new(), ..SignedForge::new(alice) }.message();
    let enveloped = to_bob(&SignedForge::new(alice).message(), Cipher::aes_128_cbc());
    for (plain, in_gcm) in [
        (tampered, "signature"),
        (unsigned, "unsigned"),
        (without_signer, "no-signer"),
        (enveloped, "shape"),
        (vec![7; 99], "mime"),
    ] {
        let hidden = receive(&to_bob(&plain, Cipher::aes_256_cbc())).unwrap_err();
        assert!(matches!(hidden, OpenError::Crypto));
        assert_eq!(hidden.to_string(), "cannot decrypt the message");
        assert_eq!(refusal(&to_bob(&plain, Cipher::aes_256_gcm())), in_gcm);
    }
}

#[test]
fn a_changed_ciphertext_is_crypto() {
    let signed = SignedForge::new(&pki().alice).message();
    for cipher in [Cipher::aes_256_cbc(), Cipher::aes_256_gcm()] {
        let der = encrypt(&signed, &pki().bob, cipher);
        // In the last block (padding), in the middle (EFAIL's place), in the tag or padding, and in the encrypted key.
        for back in [1, 20, 40, 500, 1000, signed.len() + 100] {
            let mut spoilt = der.clone();
            let at = spoilt.len() - back;
            spoilt[at] ^= 1;
            assert_eq!(refusal(&pkcs7_mime(&spoilt)), "crypto", "{back}");
        }
    }
}

#[test]
fn policy_is_checked_after_the_signature() {
    let sha1 = {
        let mut forge = SignedForge::with(&pki().alice, SignerForge::new(&pki().alice, SHA1, PART).build());
        forge.digests = vec![algorithm(SHA1)];
        forge.message()
    };
    assert_eq!(refusal(&to_bob(&sha1, Cipher::aes_256_cbc())), "weak-digest");
    let stranger = SignedForge::new(&pki().mallory).message();
    assert_eq!(refusal(&to_bob(&stranger, Cipher::aes_256_cbc())), "signer-untrusted");
    let required = OpenPolicy { encryption_required: true, ..policy() };
    let clear = seal(&pki().alice, None, Peer::Ssm, TEXT);
    assert_eq!(receive_by(&clear, &required).unwrap_err().code(), "not-encrypted");
    let sealed = seal(&pki().alice, Some(&pki().bob), Peer::Ssm, TEXT);
    assert!(receive_by(&sealed, &required).is_ok());
}

#[test]
fn recipients_are_limited_in_number_and_kind() {
    let bob = pki().bob.certificate();
    let good = key_transport(bob, &algorithm(RSA));
    let others = |tag| tlv(tag, &[int(0)].concat());
    let carol = key_transport(pki().carol.certificate(), &algorithm(RSA));
    assert_eq!(shape_code(&envelope(&[], &aes_256_cbc(), None)), "recipients");
    assert_eq!(shape_code(&envelope(&vec![carol.clone(); 500], &aes_256_cbc(), None)), "recipients");
    assert_eq!(shape_code(&envelope(&[good.clone(), good.clone()], &aes_256_cbc(), None)), "recipients");
    for kind in [0xA2, 0xA3, 0xA4] {
        assert_eq!(shape_code(&envelope(&[good.clone(), others(kind)], &aes_256_cbc(), None)), "recipient-type");
    }
    let oaep = |parameters: &[Vec<u8>]| key_transport(bob, &seq(&[vec![oid(OAEP)], parameters.to_vec()].concat()));
    assert!(shape::inspect(&envelope(&[oaep(&[seq(&[])]), carol], &aes_256_cbc(), None)).is_ok());
    let label = tlv(0xA2, &seq(&[oid("1.2.840.113549.1.1.9")]));
    for parameters in [vec![], vec![tlv(5, &[])], vec![seq(&[label])]] {
        assert_eq!(shape_code(&envelope(&[oaep(&parameters)], &aes_256_cbc(), None)), "recipient-type");
    }
    let agreement = |scheme: Vec<u8>| {
        let key = seq(&[seq(&[oid("1.2.840.10045.2.1")]), tlv(3, &[0, 4, 1, 2])]);
        let mut key = key;
        key[0] = 0xA1;
        let keys = seq(&[seq(&[issuer_serial(bob), tlv(4, &[0; 40])])]);
        tlv(0xA1, &[int(3), tlv(0xA0, &key), scheme, keys].concat())
    };
    let wrap = seq(&[oid("2.16.840.1.101.3.4.1.45")]);
    let scheme = "1.3.132.1.11.1";
    assert!(shape::inspect(&envelope(&[agreement(seq(&[oid(scheme), wrap]))], &aes_256_cbc(), None)).is_ok());
    for scheme in [seq(&[oid(scheme)]), algorithm(scheme)] {
        assert_eq!(shape_code(&envelope(&[agreement(scheme)], &aes_256_cbc(), None)), "recipient-type");
    }
}

#[test]
fn ciphers_and_their_parameters_are_on_the_list() {
    let bob = [key_transport(pki().bob.certificate(), &algorithm(RSA))];
    let vector = |cipher, octets: usize| seq(&[oid(cipher), tlv(4, &vec![0; octets])]);
    for cipher in ["1.2.840.113549.3.7", "1.3.14.3.2.7", "1.2.840.113549.3.2"] {
        assert_eq!(shape_code(&envelope(&bob, &vector(cipher, 8), None)), "cipher", "{cipher}");
    }
    assert_eq!(shape_code(&envelope(&bob, &vector("2.16.840.1.101.3.4.1.42", 8), None)), "cipher");
    assert_eq!(shape_code(&envelope(&bob, &algorithm("2.16.840.1.101.3.4.1.42"), None)), "cipher");
    let tag: &[u8] = &[0; 16];
    assert!(matches!(
        shape::inspect(&envelope(&bob, &aes_256_gcm(12, 16), Some(tag))),
        Ok(Cms::Enveloped(envelope)) if envelope.cipher == ContentCipher::Aes256Gcm
    ));
    for (nonce, length) in [(12, 4), (0, 16), (1024, 16), (16, 16), (12, 12)] {
        assert_eq!(shape_code(&envelope(&bob, &aes_256_gcm(nonce, length), Some(tag))), "cipher", "{nonce} {length}");
    }
    assert_eq!(shape_code(&envelope(&bob, &aes_256_gcm(12, 16), Some(&[0; 4]))), "shape");
    assert_eq!(shape_code(&envelope(&bob, &aes_256_gcm(12, 16), None)), "shape");
    assert_eq!(shape_code(&envelope(&bob, &aes_256_cbc(), Some(tag))), "shape");
}

#[test]
fn an_empty_originator_is_accepted_and_one_with_certificates_is_not() {
    let signed = SignedForge::new(&pki().alice).message();
    let with_originator = |originator: &[u8]| {
        let plain = encrypt(&signed, &pki().bob, Cipher::aes_256_cbc());
        let mut info = trust::asn1::Reader::ber(&plain).take(0x30).unwrap().inside();
        info.any().unwrap();
        let body = info.any().unwrap().inside().any().unwrap();
        let mut fields = body.inside();
        fields.any().unwrap();
        let rest = &body.content[3..];
        content_info(ID_ENVELOPED, &seq(&[int(2), tlv(0xA0, originator), rest.to_vec()]))
    };
    assert_eq!(receive(&pkcs7_mime(&with_originator(&[]))).unwrap().payload(), b"hello\n");
    assert!(receive(&pkcs7_mime(&with_originator(&[0xA1, 0]))).is_ok());
    let certificates = tlv(0xA0, &pki().alice.certificate().to_der().unwrap());
    assert_eq!(shape_code(&with_originator(&certificates)), "shape");
}

#[test]
fn gcm_in_enveloped_data_names_the_alternatives() {
    let bob = [key_transport(pki().bob.certificate(), &algorithm(RSA))];
    let error = shape::inspect(&envelope(&bob, &aes_256_gcm(12, 16), None)).unwrap_err();
    assert!(
        error.to_string().contains("no field for its tag; the sender must use authenticated enveloped data"),
        "{error}"
    );
}

#[test]
fn an_envelope_as_signature_or_inside_cms_is_refused() {
    let signed = SignedForge::new(&pki().alice);
    let mut envelope = encrypt(&signed.message(), &pki().bob, Cipher::aes_256_cbc());
    // The type of the encrypted content: signed data instead of data, at the second match.
    let mark = [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07];
    let at = envelope.windows(8).enumerate().filter(|(_, found)| *found == mark).nth(1).unwrap().0;
    envelope[at + 8] = 2;
    assert_eq!(shape_code(&envelope), "shape");
}

#[test]
fn the_size_is_checked_before_and_after_decryption() {
    let small = OpenPolicy { max_payload: TEXT.len(), ..policy() };
    let exact = seal(&pki().alice, Some(&pki().bob), Peer::Ssm, TEXT);
    assert!(receive_by(&exact, &small).is_ok());
    let longer = seal(&pki().alice, Some(&pki().bob), Peer::Ssm, &[TEXT, b"x"].concat());
    assert_eq!(receive_by(&longer, &small).unwrap_err().code(), "too-large");
    assert_eq!(receive_by(&vec![b'x'; 600_000], &small).unwrap_err().code(), "too-large");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(500))]

    #[test]
    fn a_damaged_envelope_is_refused_or_stays_within_the_limits(
        changes in proptest::collection::vec((0_usize..400, proptest::prelude::any::<u8>()), 1..6),
        cut in 0_usize..400,
    ) {
        let recipients = [
            key_transport_by_key(&[7; 20], &algorithm(RSA)),
            key_transport(pki().carol.certificate(), &algorithm(RSA)),
        ];
        let mut der = envelope(&recipients, &aes_256_cbc(), None);
        for (at, value) in changes {
            let at = at % der.len();
            der[at] = value;
        }
        der.truncate(der.len() - cut.min(der.len()));
        if let Ok(Cms::Enveloped(found)) = shape::inspect(&der) {
            proptest::prop_assert!(matches!(found.recipients.len(), 1..=shape::MAX_RECIPIENTS));
        }
    }
}
