//! Messages in forms that no sender writes: more octets, layers, recipients or certificates than a message has, and
//! signatures that are no signature. Each has one verdict. All are made here with our own keys.

use openssl::bn::{BigNum, BigNumContext, BigNumRef};
use openssl::ecdsa::EcdsaSig;
use openssl::nid::Nid;
use openssl::rsa::Padding;
use openssl::symm::Cipher;

use super::decryption::{around, encrypted, to_bob};
use super::envelopes::encrypt_for;
use super::forge::*;
use super::*;
use crate::shape::{self, Cms};

const ECDSA_SHA256: &str = "1.2.840.10045.4.3.2";
const COMPRESSED: &str = "1.2.840.113549.1.9.16.1.9";

/// Makes another signature of a good one.
type Spoil = fn(Vec<u8>) -> Vec<u8>;

/// A signer with RSA-2048 and the exponent 3, issued by the authority.
fn small_exponent() -> &'static Arc<Credential> {
    static SIGNER: OnceLock<Arc<Credential>> = OnceLock::new();
    SIGNER.get_or_init(|| {
        let key = Rsa::generate_with_e(2048, &BigNum::from_u32(3).unwrap()).unwrap();
        issued("small.example.org", &PKey::from_rsa(key).unwrap(), 80)
    })
}

fn issued(name: &str, key: &PKey<Private>, serial: u32) -> Arc<Credential> {
    credential(&certificate(name, key, Some((&pki().authority, &pki().authority_key)), serial, &[]), key)
}

/// The signature of [`small_exponent`] over another block: `change` gets the right one, `00 01 FF … FF 00 DigestInfo`.
fn over_block(signature: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let key = small_exponent().key().rsa().unwrap();
    let mut block = vec![0; 256];
    key.public_decrypt(signature, &mut block, Padding::NONE).unwrap();
    assert_eq!(block[..3], [0, 1, 0xFF], "PKCS#1 v1.5");
    change(&mut block);
    let mut signed = vec![0; 256];
    key.private_encrypt(&block, &mut signed, Padding::NONE).unwrap();
    signed
}

/// Where the digest and its algorithm begin in the block of an RSA-2048 signature over SHA-256.
const DIGEST_INFO: usize = 256 - 51;

#[test]
fn an_rsa_signature_has_one_form_whatever_the_exponent() {
    let code = |spoil: Spoil| {
        let mut signer = SignerForge::new(small_exponent(), SHA256, PART);
        signer.spoil = spoil;
        receive(&SignedForge::with(small_exponent(), signer.build()).message()).map_err(|error| error.code().as_str())
    };
    assert!(code(|signature| over_block(&signature, |_| {})).is_ok(), "unchanged, and the exponent 3 is accepted");
    let spoils: [(&str, Spoil); 6] = [
        ("octets after the digest", |signature| {
            over_block(&signature, |block| {
                block.drain(11..DIGEST_INFO - 1);
                block.resize(256, 0x5A);
            })
        }),
        ("a longer DigestInfo", |signature| {
            over_block(&signature, |block| {
                // An octet more, taken from the padding.
                block.remove(10);
                block[DIGEST_INFO] += 1;
                block.push(0);
            })
        }),
        ("no NULL beside the algorithm", |signature| {
            over_block(&signature, |block| {
                let at = block.windows(4).rposition(|octets| octets == [5, 0, 4, 32]).unwrap();
                block.drain(at..at + 2);
                block[DIGEST_INFO + 1] -= 2;
                block[DIGEST_INFO + 3] -= 2;
                block.splice(2..2, [0xFF, 0xFF]);
            })
        }),
        ("padding of another octet", |signature| over_block(&signature, |block| block[20] = 0xFE)),
        ("the block type of encryption", |signature| over_block(&signature, |block| block[1] = 2)),
        ("no block at all", |_| [&[0; 255][..], &[1]].concat()),
    ];
    for (what, spoil) in spoils {
        assert_eq!(code(spoil).unwrap_err(), "signature", "{what}");
    }
}

fn order() -> BigNum {
    let (mut order, mut context) = (BigNum::new().unwrap(), BigNumContext::new().unwrap());
    EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap().order(&mut order, &mut context).unwrap();
    order
}

fn ecdsa(r: &BigNumRef, s: &BigNumRef) -> Vec<u8> {
    EcdsaSig::from_private_components(r.to_owned().unwrap(), s.to_owned().unwrap()).unwrap().to_der().unwrap()
}

/// The two numbers of a signature, changed.
fn with_numbers(signature: &[u8], change: impl FnOnce(&BigNumRef, &BigNumRef) -> Vec<u8>) -> Vec<u8> {
    let numbers = EcdsaSig::from_der(signature).unwrap();
    change(numbers.r(), numbers.s())
}

/// The verdict on a message of Eve (P-256) with a changed signature.
fn by_eve(spoil: Spoil) -> Result<Opened, OpenError> {
    let eve = &pki().eve;
    let mut signer = SignerForge::new(eve, SHA256, PART);
    (signer.signature_algorithm, signer.spoil) = (seq(&[oid(ECDSA_SHA256)]), spoil);
    receive(&SignedForge::with(eve, signer.build()).message())
}

#[test]
fn an_ecdsa_signature_has_numbers_below_the_order_and_either_sign_of_s() {
    let spoils: [(&str, Spoil); 6] = [
        ("r = n", |signature| with_numbers(&signature, |_, s| ecdsa(&order(), s))),
        ("s = n", |signature| with_numbers(&signature, |r, _| ecdsa(r, &order()))),
        ("r + n", |signature| with_numbers(&signature, |r, s| ecdsa(&(r + &order()), s))),
        ("s + n", |signature| with_numbers(&signature, |r, s| ecdsa(r, &(s + &order())))),
        ("octets after the numbers", |signature| [&signature[..], &[0]].concat()),
        ("no number", |_| seq(&[])),
    ];
    for (what, spoil) in spoils {
        assert_eq!(by_eve(spoil).unwrap_err().code(), "signature", "{what}");
    }
    // If (r, s) is a signature, so is (r, n - s): that changes no content and no signer.
    let other_sign = by_eve(|signature| with_numbers(&signature, |r, s| ecdsa(r, &(&order() - s))));
    assert_eq!(other_sign.unwrap().payload(), b"hello\n");
}

#[test]
fn accepts_a_signature_by_a_key_on_p_384() {
    let group = EcGroup::from_curve_name(Nid::SECP384R1).unwrap();
    let signer = issued("p384.example.org", &PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap(), 81);
    let mut info = SignerForge::new(&signer, SHA256, PART);
    info.signature_algorithm = seq(&[oid(ECDSA_SHA256)]);
    assert_eq!(receive(&SignedForge::with(&signer, info.build()).message()).unwrap().payload(), b"hello\n");
}

fn in_gcm(plain: &[u8]) -> Vec<u8> {
    pkcs7_mime(&encrypt_for(plain, &[&*pki().bob], Cipher::aes_256_gcm()))
}

fn in_cbc(plain: &[u8]) -> Vec<u8> {
    pkcs7_mime(&encrypt_for(plain, &[&*pki().bob], Cipher::aes_256_cbc()))
}

#[test]
fn layers_are_one_signature_in_at_most_one_envelope() {
    let signed = SignedForge::new(&pki().alice).message();
    let compressed = pkcs7_mime(&content_info(COMPRESSED, &seq(&[int(0)])));
    let signed_over = |inside: &[u8]| {
        let mut forge = SignedForge::with(&pki().alice, SignerForge::new(&pki().alice, SHA256, inside).build());
        forge.content = Some(inside.to_vec());
        forge.message()
    };
    assert!(receive(&in_gcm(&signed)).is_ok() && receive(&in_cbc(&signed)).is_ok());
    // AES-GCM shows by itself whether the envelope was altered, so that the reason may be given.
    for (what, message, code) in [
        ("two envelopes", in_gcm(&signed), "shape"),
        ("three envelopes", in_gcm(&in_gcm(&signed)), "shape"),
        ("compressed data", compressed.clone(), "content-type"),
    ] {
        assert_eq!(refusal(&in_gcm(&message)), code, "{what}");
        assert_eq!(refusal(&in_cbc(&message)), "crypto", "{what}");
    }
    // What is wrong with verified content is not hidden: it was the signer's choice.
    for (what, message) in [
        ("a signature over a signature", signed_over(&signed)),
        ("a signature over an envelope", signed_over(&in_gcm(&signed))),
        ("a signature over compressed data", signed_over(&compressed)),
    ] {
        for message in [message.clone(), in_gcm(&message), in_cbc(&message)] {
            assert_eq!(refusal(&message), "shape", "{what}");
        }
    }
}

#[test]
fn the_key_for_another_recipient_decides_nothing() {
    let content = encrypted(&SignedForge::new(&pki().alice).message(), true);
    let to = |certificate| key_transport(certificate, &algorithm(RSA));
    let (carol, bad) = (to(pki().carol.certificate()), to(pki().bob.certificate()));
    let open = |recipients: &[&[u8]]| receive(&pkcs7_mime(&around(&recipients.concat(), &content)));
    // The key for Carol is no key at all. It is not decrypted, wherever it stands.
    assert_eq!(open(&[&carol, &to_bob()]).unwrap().payload(), b"hello\n");
    assert_eq!(open(&[&to_bob(), &carol]).unwrap().payload(), b"hello\n");
    assert!(matches!(open(&[&carol, &bad]), Err(OpenError::Crypto)));
    // Two keys for us would let the content decide which of them is right.
    assert_eq!(open(&[&bad, &to_bob()]).unwrap_err().code(), "recipients");
    assert_eq!(open(&[&to_bob(), &bad]).unwrap_err().code(), "recipients");
}

#[test]
fn recipients_are_at_most_twenty() {
    let others = |count| vec![key_transport(pki().carol.certificate(), &algorithm(RSA)); count];
    let inspect = |count| {
        let mut recipients = others(count);
        recipients.push(to_bob());
        shape::inspect(&envelope(&recipients, &aes_256_cbc(), None)).map(|_| ()).map_err(|error| error.code())
    };
    assert_eq!(inspect(0), Ok(()));
    for count in [20, 500] {
        assert_eq!(inspect(count).unwrap_err(), "recipients", "{count} beside ours");
    }
}

#[test]
fn what_is_no_cipher_of_the_list_is_refused() {
    let bob = [key_transport(pki().bob.certificate(), &algorithm(RSA))];
    let vector = |cipher, octets: usize| seq(&[oid(cipher), tlv(4, &vec![0; octets])]);
    for (what, cipher) in [
        ("data, which is no algorithm", algorithm(ID_DATA)),
        ("a digest", algorithm(SHA256)),
        ("no parameters", seq(&[oid("2.16.840.1.101.3.4.1.42")])),
        ("3DES", vector("1.2.840.113549.3.7", 8)),
        ("DES", vector("1.3.14.3.2.7", 8)),
        ("RC4", algorithm("1.2.840.113549.3.4")),
        ("AES-256 in ECB", algorithm("2.16.840.1.101.3.4.1.41")),
        ("AES-256 in CFB", vector("2.16.840.1.101.3.4.1.44", 16)),
    ] {
        assert_eq!(refusal(&pkcs7_mime(&envelope(&bob, &cipher, None))), "cipher", "{what}");
    }
}

#[test]
fn thousands_of_certificates_and_lists_are_refused_by_their_number() {
    let bob = pki().bob.certificate().to_der().unwrap();
    let list = seq(&[seq(&[int(1)])]);
    let code = |change: &dyn Fn(&mut SignedForge)| {
        let mut forge = SignedForge::new(&pki().alice);
        change(&mut forge);
        match shape::inspect(&forge.der()) {
            Ok(Cms::Signed(_)) => "good",
            Ok(Cms::Enveloped(_)) => "an envelope",
            Err(error) => error.code().as_str(),
        }
    };
    assert_eq!(code(&|forge| forge.certificates = vec![bob.clone(); 20]), "good");
    assert_eq!(code(&|forge| forge.certificates = vec![bob.clone(); 21]), "too-many-certs");
    assert_eq!(code(&|forge| forge.certificates = vec![bob.clone(); 10_000]), "depth", "too many elements to count");
    assert_eq!(code(&|forge| forge.revocations = vec![list.clone(); 20]), "good");
    assert_eq!(code(&|forge| forge.revocations = vec![list.clone(); 21]), "too-many-certs");
    // The lists of a message decide nothing: only those of the trust anchors do.
    let mut forge = SignedForge::new(&pki().alice);
    forge.revocations = vec![list.clone(); 20];
    assert_eq!(receive(&forge.message()).unwrap().payload(), b"hello\n");
}

#[test]
fn a_payload_of_a_hundred_megabytes_is_exact_and_one_octet_over_the_limit_is_refused() {
    const SIZE: usize = 100 << 20;
    let line = b"Site: UKI-TEST, a line of a large message\n";
    let payload: Vec<u8> = line.iter().copied().cycle().take(SIZE).collect();
    let policy = |max_payload| OpenPolicy { max_payload, ..policy() };
    let seal_policy = SealPolicy { peer: Peer::Ssm, cipher: None, max_payload: SIZE };
    let sealer = Sealer::new(pki().eve.clone(), None, seal_policy).unwrap();
    let id = MessageId::parse("a").unwrap();
    let message = ToSeal { id: &id, to: None, sequence: None, content_type: None, payload: &payload };
    let sealed = sealer.seal(&message).unwrap().into_bytes();
    assert!(receive_by(&sealed, &policy(SIZE)).unwrap().payload() == payload);
    assert_eq!(receive_by(&sealed, &policy(SIZE - 1)).unwrap_err().code(), "too-large");
}

/// A megabyte of one thing, in each place where a reader could take more time for each further one.
#[test]
fn a_megabyte_of_one_thing_is_read_in_time() {
    const SIZE: usize = 1_000_000;
    // Keys are made now, and not while the first message is timed.
    let _ = pki();
    let repeated = |text: &str| text.repeat(SIZE / text.len());
    let typed = |kind: &str, body: &str| format!("Content-Type: {kind}\n\n{body}");
    let numbered = |form: fn(usize) -> String| (0..SIZE / 20).map(form).collect::<String>();
    let in_parts = |body: &str| typed("multipart/signed; boundary=b", body);
    let part = "--b\nContent-Type: text/plain\n\nx\n";
    let signature = "--b\nContent-Type: application/x-pkcs7-signature\nContent-Transfer-Encoding: base64\n\n";
    let in_cms = |octets: &[u8]| String::from_utf8(pkcs7_mime(&octets.repeat(SIZE / octets.len()))).unwrap();
    for (what, message) in [
        ("header lines", numbered(|number| format!("X-{number}: y\n"))),
        ("folded lines", format!("Content-Type: text/plain;\n{}", repeated(" a\n"))),
        ("comments in one another", typed(&format!("text/plain {}", repeated("(")), "")),
        ("comments", typed(&format!("text/plain {}", repeated("(a)")), "")),
        ("parameters", typed(&format!("multipart/signed{}", numbered(|number| format!(";a{number}=b"))), "")),
        (
            "sections",
            typed(&format!("multipart/signed{}", numbered(|number| format!(";boundary*{number}=b"))), "--b\n"),
        ),
        ("backslashes", typed(&format!("multipart/signed; boundary=\"{}", repeated("\\")), "")),
        ("delimiters", in_parts(&repeated("--b\n"))),
        ("all but delimiters", in_parts(&repeated("--c\n"))),
        ("dashes", in_parts(&repeated("-"))),
        ("line ends", in_parts(&repeated("\n"))),
        ("carriage returns", in_parts(&format!("{part}{signature}{}", repeated("\r")))),
        ("parts", in_parts(&repeated(part))),
        ("blanks in base64", in_parts(&format!("{part}{signature}{}\n--b--\n", repeated(" \n")))),
        ("strays in base64", in_parts(&format!("{part}{signature}{}\n--b--\n", repeated("!")))),
        ("epilogue", in_parts(&format!("{part}{signature}AAAA\n--b--\n{}", repeated("--b--\n")))),
        ("sequences", in_cms(&[0x30, 0x80])),
        ("empty sequences", in_cms(&[0x30, 0])),
        ("ends of contents", in_cms(&[0, 0])),
        ("long lengths", in_cms(&[0x30, 0x84, 0, 0xF0, 0, 0])),
        ("octets of a tag", in_cms(&[0x3F, 0xFF])),
        ("numbers", in_cms(&[2, 1, 1])),
    ] {
        assert!(message.len() > SIZE / 4, "{what}");
        let started = std::time::Instant::now();
        assert!(receive(message.as_bytes()).is_err(), "{what}");
        let took = started.elapsed();
        assert!(took < Duration::from_secs(1), "{what}: {took:?}");
    }
}
