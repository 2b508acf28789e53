//! Signed messages that are accepted, and malformed ones with the code of their refusal.

use super::forge::*;
use super::*;
use crate::shape::{self, Cms};

const PSS: &str = "1.2.840.113549.1.1.10";
const MGF1: &str = "1.2.840.113549.1.1.8";

fn with_signer(change: impl FnOnce(&mut SignerForge<'_>)) -> SignedForge {
    let alice = &pki().alice;
    let mut signer = SignerForge::new(alice, SHA256, PART);
    change(&mut signer);
    SignedForge::with(alice, signer.build())
}

fn changed(change: impl FnOnce(&mut SignedForge)) -> Vec<u8> {
    let mut forge = SignedForge::new(&pki().alice);
    change(&mut forge);
    forge.message()
}

#[test]
fn accepts_a_valid_message() {
    let opened = receive(&SignedForge::new(&pki().alice).message()).unwrap();
    assert_eq!(opened.payload(), b"hello\n");
    assert_eq!(opened.content_type(), Some("text/plain"));
    assert_eq!(opened.digest(), trust::Digest::Sha256);
    assert!(!opened.encrypted());
    assert_eq!(opened.signing_time(), None);
}

#[test]
fn the_signer_is_the_certificate_whose_key_signed() {
    let pki = pki();
    // A stranger's certificate with the victim's name and serial number, next to the victim's, in both orders.
    let victim = pki.alice.certificate().to_der().unwrap();
    let stranger = pki.mallory.certificate().to_der().unwrap();
    for bag in [[victim.clone(), stranger.clone()], [stranger.clone(), victim.clone()]] {
        let mut forge = SignedForge::new(&pki.mallory);
        forge.certificates = bag.to_vec();
        assert_eq!(refusal(&forge.message()), "signer-untrusted");
    }
    // The stranger signs but identifies the victim's certificate.
    let mut signer = SignerForge::new(&pki.mallory, SHA256, PART);
    signer.sid = issuer_serial(pki.alice.certificate());
    let forge = SignedForge::with(&pki.alice, signer.build());
    assert_eq!(refusal(&forge.message()), "signature");
}

#[test]
fn another_authority_with_the_same_name_is_ambiguous_or_untrusted() {
    let pki = pki();
    let false_key = ec();
    let false_authority = certificate("Test CA", &false_key, None, 1, &[]);
    let key = rsa(2048);
    let twin = certificate("alice.example.org", &key, Some((&false_authority, &false_key)), 2, &[]);
    let twin = credential(&twin, &key);
    assert_eq!(refusal(&SignedForge::new(&twin).message()), "signer-untrusted");
    let mut forge = SignedForge::new(&twin);
    forge.certificates.push(pki.alice.certificate().to_der().unwrap());
    assert_eq!(refusal(&forge.message()), "ambiguous-cert");
    let mut forge = SignedForge::new(&pki.alice);
    forge.certificates.push(forge.certificates[0].clone());
    assert!(receive(&forge.message()).is_ok(), "the same certificate twice");
}

#[test]
fn requires_exactly_one_signer() {
    let pki = pki();
    let good = SignerForge::new(&pki.alice, SHA256, PART).build();
    let stranger = SignerForge::new(&pki.mallory, SHA256, PART).build();
    let mut spoilt = SignerForge::new(&pki.bob, SHA256, PART);
    spoilt.spoil = |mut signature| {
        signature[9] ^= 1;
        signature
    };
    for second in [good.clone(), stranger, spoilt.build(), SignerForge::new(&pki.bob, SHA256, PART).build()] {
        for signers in [vec![good.clone(), second.clone()], vec![second.clone(), good.clone()]] {
            assert_eq!(refusal(&changed(|forge| forge.signers = signers)), "many-signers");
        }
    }
    assert_eq!(refusal(&changed(|forge| forge.signers = Vec::new())), "no-signer");
}

#[test]
fn a_key_identifier_selects_the_certificate() {
    let pki = pki();
    let victim_id = pki.alice.certificate().subject_key_id().unwrap().as_slice().to_vec();
    let key = rsa(2048);
    let twin = certificate("twin.example.org", &key, Some((&pki.authority, &pki.authority_key)), 70, &victim_id);
    let twin = credential(&twin, &key);
    let mut signer = SignerForge::new(&twin, SHA256, PART);
    (signer.sid, signer.version) = (tlv(0x80, &victim_id), 3);
    let mut forge = SignedForge::with(&twin, signer.build());
    let opened = receive(&forge.message()).unwrap();
    assert_eq!(opened.signer().certificate_der, twin.certificate().to_der().unwrap());
    forge.certificates.push(pki.alice.certificate().to_der().unwrap());
    assert_eq!(refusal(&forge.message()), "ambiguous-cert");
}

#[test]
fn the_signers_certificate_is_required_and_their_number_limited() {
    let pki = pki();
    assert_eq!(refusal(&changed(|forge| forge.certificates = Vec::new())), "no-cert");
    let bob = pki.bob.certificate().to_der().unwrap();
    assert_eq!(refusal(&changed(|forge| forge.certificates = vec![bob.clone()])), "no-cert");
    assert!(receive(&changed(|forge| forge.certificates.extend(vec![bob.clone(); 19]))).is_ok());
    assert_eq!(refusal(&changed(|forge| forge.certificates.extend(vec![bob.clone(); 20]))), "too-many-certs");
    let list = seq(&[seq(&[int(1)])]);
    assert_eq!(refusal(&changed(|forge| forge.revocations = vec![list; 1000])), "too-many-certs");
}

#[test]
fn signed_attributes_are_mandatory() {
    let forge = with_signer(|signer| signer.attributes = None);
    assert_eq!(refusal(&forge.message()), "no-signed-attrs");
    // The attributes of a valid signature, presented as content that is signed without attributes.
    let attributes = SignerForge::new(&pki().alice, SHA256, PART).attributes.unwrap();
    let shown = set(&attributes);
    let mut signer = SignerForge::new(&pki().alice, SHA256, &shown);
    signer.attributes = None;
    let mut forge = SignedForge::with(&pki().alice, signer.build());
    forge.content = Some(shown);
    assert_eq!(refusal(&forge.message()), "no-signed-attrs");
}

#[test]
fn signed_attributes_appear_once_each_and_name_data() {
    let content_type = || attribute(CONTENT_TYPE, &[oid(ID_DATA)]);
    let digest = || digest_attribute(SHA256, PART);
    let cases = [
        ("content type of signed data", vec![attribute(CONTENT_TYPE, &[oid(ID_SIGNED)]), digest()]),
        ("no content type", vec![digest()]),
        ("no digest", vec![content_type()]),
        ("content type twice", vec![content_type(), content_type(), digest()]),
        ("digest twice", vec![content_type(), digest(), digest()]),
        ("two values", vec![content_type(), attribute(MESSAGE_DIGEST, &[tlv(4, &[0; 32]), tlv(4, &[1; 32])])]),
        ("short digest", vec![content_type(), attribute(MESSAGE_DIGEST, &[tlv(4, &[0; 20])])]),
        ("no attribute at all", vec![]),
    ];
    for (name, attributes) in cases {
        let forge = with_signer(|signer| signer.attributes = Some(attributes));
        assert_eq!(refusal(&forge.message()), "signed-attrs", "{name}");
    }
    let mut padded = digest();
    padded.splice(1..2, [0x81, padded[1]]);
    let forge = with_signer(|signer| signer.attributes = Some(vec![content_type(), padded]));
    assert_eq!(refusal(&forge.message()), "signed-attrs", "not DER");
}

#[test]
fn the_content_type_must_be_data() {
    assert_eq!(refusal(&changed(|forge| forge.content_type = ID_SIGNED)), "shape");
    assert_eq!(refusal(&changed(|forge| forge.content_type = "1.2.840.113549.1.9.16.1.9")), "content-type");
    let compressed = content_info("1.2.840.113549.1.9.16.1.9", &seq(&[int(0)]));
    assert_eq!(refusal(&pkcs7_mime(&compressed)), "content-type");
    assert_eq!(refusal(&changed(|forge| forge.content = None)), "shape");
    let inner = SignedForge::new(&pki().alice).message();
    let mut forge = SignedForge::with(&pki().alice, SignerForge::new(&pki().alice, SHA256, &inner).build());
    forge.content = Some(inner);
    assert_eq!(refusal(&forge.message()), "shape", "a signed message inside a signed one");
}

#[test]
fn a_changed_content_or_signature_is_refused() {
    assert_eq!(refusal(&changed(|forge| forge.content.as_mut().unwrap()[30] ^= 1)), "signature");
    let trailing = with_signer(|signer| {
        signer.spoil = |mut signature| {
            signature.push(0);
            signature
        }
    });
    assert_eq!(refusal(&trailing.message()), "signature");
}

#[test]
fn weak_digests_are_a_matter_of_policy() {
    let sign = |digest| {
        let mut forge = SignedForge::with(&pki().alice, SignerForge::new(&pki().alice, digest, PART).build());
        forge.digests = vec![algorithm(digest)];
        forge.message()
    };
    assert_eq!(refusal(&sign(MD5)), "weak-digest");
    assert_eq!(refusal(&sign(SHA1)), "weak-digest");
    let lenient = OpenPolicy { allow_sha1: true, ..policy() };
    assert!(receive_by(&sign(SHA1), &lenient).is_ok());
    assert_eq!(receive_by(&sign(MD5), &lenient).unwrap_err().code(), "weak-digest");
    assert_eq!(receive(&sign(SHA512)).unwrap().digest(), trust::Digest::Sha512);
}

#[test]
fn all_digests_must_agree() {
    let forge = with_signer(|signer| signer.signature_algorithm = algorithm("1.2.840.113549.1.1.5"));
    assert_eq!(refusal(&forge.message()), "algorithm");
    assert_eq!(refusal(&changed(|forge| forge.digests = Vec::new())), "shape");
    assert_eq!(refusal(&changed(|forge| forge.digests = vec![algorithm(SHA512)])), "shape");
    assert_eq!(refusal(&changed(|forge| forge.digests.push(algorithm(SHA512)))), "shape");
}

#[test]
fn signed_attributes_may_have_any_order_and_the_signature_is_over_that_order() {
    let parts = || vec![digest_attribute(SHA256, PART), attribute(CONTENT_TYPE, &[oid(ID_DATA)])];
    let unsorted = with_signer(|signer| signer.attributes = Some(parts()));
    assert_eq!(receive(&unsorted.message()).unwrap().payload(), b"hello\n");
    // Signed sorted and sent unsorted, and the reverse: the signature must be over the received order.
    let with_order = |sent: Vec<Vec<u8>>, signed: Vec<Vec<u8>>| {
        let mut signer = SignerForge::new(&pki().alice, SHA256, PART);
        (signer.attributes, signer.signed_instead) = (Some(sent), Some(set(&signed)));
        SignedForge::with(&pki().alice, signer.build()).message()
    };
    let sorted: Vec<_> = parts().into_iter().rev().collect();
    assert_eq!(refusal(&with_order(parts(), sorted.clone())), "signature");
    assert_eq!(refusal(&with_order(sorted.clone(), parts())), "signature");
    assert!(receive(&with_order(sorted.clone(), sorted)).is_ok());
}

fn pss(hash: &str, mask: &str, salt: u8) -> Vec<u8> {
    let mask = seq(&[oid(MGF1), algorithm(mask)]);
    let salt = if salt < 0x80 { int(salt) } else { tlv(2, &[0, salt]) };
    let parameters = [tlv(0xA0, &algorithm(hash)), tlv(0xA1, &mask), tlv(0xA2, &salt)];
    seq(&[oid(PSS), seq(&parameters)])
}

#[test]
fn pss_accepts_any_salt_that_the_key_allows_and_one_digest() {
    let sign = |parameters: Vec<u8>, salt| {
        with_signer(|signer| (signer.signature_algorithm, signer.pss) = (parameters, Some(salt))).message()
    };
    assert!(receive(&sign(pss(SHA256, SHA256, 32), 32)).is_ok());
    // RSA-2048 with SHA-256 has room for a salt of 222 octets, which is the default of OpenSSL 3.0.
    for salt in [0_u8, 1, 20, 64, 127, 128, 222] {
        assert!(receive(&sign(pss(SHA256, SHA256, salt), i32::from(salt))).is_ok(), "{salt}");
    }
    let too_long = receive(&sign(pss(SHA256, SHA256, 223), 222)).unwrap_err();
    assert_eq!(too_long.code(), "weak-key");
    assert!(too_long.to_string().contains("too short for the digest and the salt"), "{too_long}");
    assert_eq!(refusal(&sign(pss(SHA256, SHA256, 221), 222)), "signature");
    assert_eq!(refusal(&sign(pss(SHA256, SHA1, 32), 32)), "algorithm");
    assert_eq!(refusal(&sign(seq(&[oid(PSS), seq(&[])]), 20)), "algorithm");
    assert_eq!(refusal(&sign(pss(SHA256, SHA256, 32), 20)), "signature");
}

#[test]
fn accepts_ec_and_edwards_signatures() {
    let pki = pki();
    let mut signer = SignerForge::new(&pki.eve, SHA256, PART);
    signer.signature_algorithm = seq(&[oid("1.2.840.10045.4.3.2")]);
    let opened = receive(&SignedForge::with(&pki.eve, signer.build()).message()).unwrap();
    assert_eq!(opened.payload(), b"hello\n");
    let mut signer = SignerForge::new(&pki.dave, SHA512, PART);
    signer.signature_algorithm = seq(&[oid("1.3.101.112")]);
    let mut forge = SignedForge::with(&pki.dave, signer.build());
    forge.digests = vec![algorithm(SHA512)];
    assert!(receive(&forge.message()).is_ok());
}

#[test]
fn refuses_degenerate_ec_signatures() {
    const SPOILS: [fn(Vec<u8>) -> Vec<u8>; 3] = [
        |_| seq(&[int(0), int(1)]),
        |_| seq(&[int(1), int(0)]),
        |mut signature| {
            signature.splice(1..2, [0x81, signature[1]]);
            signature
        },
    ];
    let pki = pki();
    for spoil in SPOILS {
        let mut signer = SignerForge::new(&pki.eve, SHA256, PART);
        (signer.signature_algorithm, signer.spoil) = (seq(&[oid("1.2.840.10045.4.3.2")]), spoil);
        assert_eq!(refusal(&SignedForge::with(&pki.eve, signer.build()).message()), "signature");
    }
    let mut signer = SignerForge::new(&pki.eve, SHA256, PART);
    signer.signature_algorithm = algorithm(RSA);
    assert_eq!(refusal(&SignedForge::with(&pki.eve, signer.build()).message()), "weak-key");
}

#[test]
fn trailing_bytes_are_refused() {
    let mut der = SignedForge::new(&pki().alice).der();
    der.extend([0; 100]);
    assert_eq!(refusal(&pkcs7_mime(&der)), "trailing");
    let mut detached = detached(&pki().alice, PART);
    detached.push(0);
    assert_eq!(shape::inspect(&detached).unwrap_err().code(), "trailing");
}

/// Indefinite lengths all the way down to the content, in chunks.
fn indefinite(forge: &SignedForge, content: &[u8]) -> Vec<u8> {
    let open = |tag: u8, content: &[u8]| [&[tag, 0x80], content, &[0, 0]].concat();
    let inside = [oid(ID_DATA), open(0xA0, content)].concat();
    let fields = [
        int(1),
        set(&forge.digests),
        open(0x30, &inside),
        tlv(0xA0, &forge.certificates.concat()),
        set(&forge.signers),
    ];
    let info = [oid(ID_SIGNED), open(0xA0, &open(0x30, &fields.concat()))].concat();
    open(0x30, &info)
}

#[test]
fn reads_indefinite_lengths_and_chunks_within_bounds() {
    let forge = SignedForge::new(&pki().alice);
    let (left, right) = PART.split_at(10);
    let chunks = [[0x24, 0x80].to_vec(), tlv(4, left), tlv(4, right), vec![0, 0]].concat();
    assert_eq!(receive(&pkcs7_mime(&indefinite(&forge, &chunks))).unwrap().payload(), b"hello\n");
    let deep = [[0x24, 0x80].repeat(1000), [0, 0].repeat(1000)].concat();
    assert_eq!(refusal(&pkcs7_mime(&indefinite(&forge, &deep))), "depth");
    let tiny = [vec![0x24, 0x80], [4, 1, b'x'].repeat(1_000_000), vec![0, 0]].concat();
    assert_eq!(refusal(&pkcs7_mime(&indefinite(&forge, &tiny))), "depth");
}

fn signed_at(time: Vec<u8>) -> Vec<u8> {
    let attributes = vec![
        attribute(CONTENT_TYPE, &[oid(ID_DATA)]),
        attribute(SIGNING_TIME, &[time]),
        digest_attribute(SHA256, PART),
    ];
    with_signer(|signer| signer.attributes = Some(attributes)).message()
}

fn utc(seconds_from_now: i64) -> Vec<u8> {
    let time = jiff::Timestamp::from_second(now_seconds() + seconds_from_now).unwrap();
    tlv(23, time.strftime("%y%m%d%H%M%SZ").to_string().as_bytes())
}

#[test]
fn the_signing_time_may_be_missing_or_old_but_not_in_the_future() {
    assert!(receive(&signed_at(utc(-60))).is_ok());
    assert!(receive(&signed_at(tlv(23, b"700101000000Z"))).is_ok());
    assert!(receive(&signed_at(utc(86_000))).is_ok());
    assert_eq!(refusal(&signed_at(utc(90_000))), "future");
    assert_eq!(refusal(&signed_at(utc(365 * 86_400))), "future");
    assert_eq!(refusal(&signed_at(tlv(23, b"701301000000Z"))), "signed-attrs");
    let aged = OpenPolicy { max_age: Some(days(90)), ..policy() };
    assert!(receive_by(&signed_at(utc(-86_400)), &aged).is_ok());
    assert_eq!(receive_by(&signed_at(utc(-400 * 86_400)), &aged).unwrap_err().code(), "too-old");
    assert!(receive_by(&SignedForge::new(&pki().alice).message(), &aged).is_ok(), "no signing time");
    let generalized = receive(&signed_at(tlv(24, b"20200229123456Z"))).unwrap();
    let seconds = generalized.signing_time().unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(seconds, 1_582_979_696);
}

#[test]
fn an_exponent_of_one_is_refused() {
    let number = |value: u32| openssl::bn::BigNum::from_u32(value).unwrap();
    let modulus = rsa(2048).rsa().unwrap().n().to_owned().unwrap();
    for exponent in [1, 4] {
        let key = openssl::rsa::Rsa::from_public_components(modulus.to_owned().unwrap(), number(exponent)).unwrap();
        let key = openssl::pkey::PKey::from_rsa(key).unwrap();
        assert!(super::super::open::check_key(&key, shape::KeyKind::Rsa).is_err(), "{exponent}");
    }
}

#[test]
fn every_truncation_and_every_flipped_octet_is_handled() {
    let der = SignedForge::new(&pki().alice).der();
    for end in 0..der.len() {
        assert!(shape::inspect(&der[..end]).is_err(), "{end}");
    }
    for at in 0..der.len() {
        let mut spoilt = der.clone();
        spoilt[at] ^= 0x41;
        if let Ok(Cms::Signed(_)) = shape::inspect(&spoilt) {
            // What still has the shape must not verify for other content; a flipped octet of the certificate's or the
            // attributes' own text cannot.
            let _ = receive(&pkcs7_mime(&spoilt)).map(|opened| assert_eq!(opened.payload(), b"hello\n", "{at}"));
        }
    }
}
