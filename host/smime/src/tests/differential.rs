//! Messages and damaged messages have the verdict that OpenSSL's CMS functions give them, or one with a reason here.
//!
//! `SESAME_DIFFERENTIAL=1000000 cargo test -p sesame-smime differential` compares a million of them; `cargo test` alone
//! compares [`DAMAGED`].

use std::collections::BTreeMap;
use std::path::Path;

use openssl::symm::Cipher;

use super::decryption::{KeyForm, sealed_for};
use super::forge::*;
use super::mutations::{Random, change_elements, change_octets};
use super::*;
use crate::mime::Uncovered;
use crate::open as opening;
use crate::shape::{self, Cms};

/// How many damaged messages are compared.
const DAMAGED: usize = 20_000;

/// One message in the form in which it is damaged.
enum Subject {
    /// CMS with its content.
    Opaque(Vec<u8>),
    /// A signature and the signed part.
    Detached(Vec<u8>),
    /// A whole message.
    Raw(Vec<u8>),
}

impl Subject {
    fn message(&self) -> Vec<u8> {
        match self {
            Self::Opaque(der) => pkcs7_mime(der),
            Self::Detached(der) => multipart(der),
            Self::Raw(raw) => raw.clone(),
        }
    }

    fn damaged(&self, random: &mut Random) -> Self {
        let mut change = |der: &[u8]| match random.below(4) {
            0 => change_octets(der, random),
            _ => change_elements(der, random),
        };
        match self {
            Self::Opaque(der) => Self::Opaque(change(der)),
            Self::Detached(der) => Self::Detached(change(der)),
            Self::Raw(raw) => Self::Raw(change_octets(raw, random)),
        }
    }
}

/// `multipart/signed` over [`PART`] with LF line ends.
fn multipart(signature: &[u8]) -> Vec<u8> {
    use base64::Engine as _;
    let signature = base64::engine::general_purpose::STANDARD.encode(signature);
    let part = String::from_utf8(PART.to_vec()).unwrap().replace("\r\n", "\n");
    let head = "Content-Type: multipart/signed; boundary=\"b\"\n\n--b\n";
    let middle = "\n--b\nContent-Type: application/x-pkcs7-signature\nContent-Transfer-Encoding: base64\n\n";
    format!("{head}{part}{middle}{signature}\n--b--\n").into_bytes()
}

fn signed_subjects() -> Vec<Subject> {
    let pki = pki();
    let attributes = |more: Vec<Vec<u8>>| {
        let mut signer = SignerForge::new(&pki.alice, SHA256, PART);
        signer.attributes.as_mut().unwrap().extend(more);
        SignedForge::with(&pki.alice, signer.build())
    };
    let mut ec = SignerForge::new(&pki.eve, SHA256, PART);
    ec.signature_algorithm = seq(&[oid("1.2.840.10045.4.3.2")]);
    let ec = SignedForge::with(&pki.eve, ec.build());
    let mut edwards = SignerForge::new(&pki.dave, SHA512, PART);
    edwards.signature_algorithm = seq(&[oid("1.3.101.112")]);
    let mut edwards = SignedForge::with(&pki.dave, edwards.build());
    edwards.digests = vec![algorithm(SHA512)];
    let mut by_key = SignerForge::new(&pki.eve, SHA256, PART);
    by_key.signature_algorithm = seq(&[oid("1.2.840.10045.4.3.2")]);
    by_key.sid = tlv(0x80, pki.eve.certificate().subject_key_id().unwrap().as_slice());
    let by_key = SignedForge::with(&pki.eve, by_key.build());
    let mut many = SignedForge::new(&pki.alice);
    many.certificates.push(pki.bob.certificate().to_der().unwrap());
    let capabilities = attribute("1.2.840.113549.1.9.15", &[seq(&[seq(&[oid("1.2.840.113549.3.7")])])]);
    let several = attribute("1.2.3.4", &[int(7), tlv(12, b"a"), tlv(12, b"b")]);
    let time = attribute(SIGNING_TIME, &[tlv(23, b"200101000000Z")]);
    let unsigned = {
        let mut signer = SignerForge::new(&pki.alice, SHA256, PART);
        signer.unsigned = Some(attribute("1.2.3.5", &[tlv(12, b"x")]));
        SignedForge::with(&pki.alice, signer.build())
    };
    let mut with_list = SignedForge::with(&pki.eve, ec.signers[0].clone());
    with_list.revocations = vec![revocations()];
    let opaque = [&ec, &edwards, &by_key, &many, &unsigned, &with_list, &attributes(vec![capabilities, several, time])]
        .map(|forge| Subject::Opaque(forge.der()));
    let detached = [&pki.alice, &pki.bob].map(|signer| Subject::Detached(detached(signer, PART)));
    opaque.into_iter().chain(detached).collect()
}

/// A CRL of the authority.
fn revocations() -> Vec<u8> {
    let pki = pki();
    let ecdsa = seq(&[oid("1.2.840.10045.4.3.2")]);
    let name = pki.authority.subject_name().to_der().unwrap();
    let list = seq(&[int(1), ecdsa.clone(), name, tlv(23, b"200101000000Z"), tlv(23, b"400101000000Z")]);
    let mut signer = openssl::sign::Signer::new(MessageDigest::sha256(), &pki.authority_key).unwrap();
    let signature = signer.sign_oneshot_to_vec(&list).unwrap();
    seq(&[list, ecdsa, tlv(3, &[&[0], &signature[..]].concat())])
}

fn enveloped_subjects() -> Vec<Subject> {
    let pki = pki();
    let signed = {
        let mut signer = SignerForge::new(&pki.eve, SHA256, PART);
        signer.signature_algorithm = seq(&[oid("1.2.840.10045.4.3.2")]);
        SignedForge::with(&pki.eve, signer.build()).message()
    };
    let mut subjects = Vec::new();
    for cipher in [Cipher::aes_128_cbc(), Cipher::aes_192_cbc(), Cipher::aes_256_cbc(), Cipher::aes_256_gcm()] {
        for recipients in [vec![&*pki.bob], vec![&*pki.eve], vec![&*pki.carol, &*pki.eve]] {
            subjects.push(Subject::Opaque(super::envelopes::encrypt_for(&signed, &recipients, cipher)));
        }
    }
    let in_parts = multipart(&detached(&pki.alice, PART));
    subjects.push(Subject::Opaque(sealed_for(KeyForm::Pkcs1, &in_parts)));
    for form in KeyForm::ALL {
        subjects.push(Subject::Opaque(sealed_for(form, &signed)));
    }
    subjects
}

fn whole_subjects() -> Vec<Subject> {
    let pki = pki();
    let mut subjects = Vec::new();
    for signer in [&pki.alice, &pki.eve] {
        for (recipient, peer) in [(None, Peer::Ssm), (None, Peer::Sesame), (Some(&*pki.eve), Peer::Sesame)] {
            subjects.push(Subject::Raw(seal(signer, recipient, peer, TEXT)));
        }
    }
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let files = |folder: &str| {
        let mut found: Vec<_> =
            std::fs::read_dir(repository.join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
        found.sort();
        found
    };
    for file in files("fuzz/corpus/mime") {
        subjects.push(Subject::Raw(std::fs::read(file).unwrap()));
    }
    for file in files("fuzz/corpus/cms") {
        subjects.push(Subject::Opaque(std::fs::read(file).unwrap()));
    }
    for folder in files("tests/data/reject") {
        subjects.extend(std::fs::read(folder.join("message")).ok().map(Subject::Raw));
    }
    subjects
}

/// What was opened, as text, or the code of the refusal.
type Verdict = Result<String, &'static str>;

fn verdict(opened: Result<Opened, OpenError>) -> Verdict {
    let text = |opened: Opened| {
        let signed = (opened.signing_time(), opened.digest(), opened.signer().fingerprint.as_str());
        let headers = (opened.content_type(), opened.signed_id(), opened.signed_to(), opened.sequence());
        format!("{:?} {signed:?} {headers:?} {}", opened.payload(), opened.encrypted())
    };
    opened.map(text).map_err(|error| error.code().as_str())
}

/// The verdicts of this code and of OpenSSL.
fn verdicts(message: &[u8]) -> (Verdict, Verdict) {
    let pki = pki();
    let (ours, trust, at) = ([pki.bob.clone(), pki.eve.clone()], pki.trust.snapshot(), SystemTime::now());
    (verdict(open(message, &ours, &trust, &policy(), at)), verdict(oracle::open(message, &ours, &trust, &policy(), at)))
}

/// Why these verdicts are right, or `None` if they are not. docs/src/smime.md lists the differences.
fn reason(new: &Verdict, old: &Verdict, message: &[u8]) -> Option<&'static str> {
    match (new, old) {
        (Err(new), Err(old)) if new == old => Some("the same refusal"),
        (Ok(new), Ok(old)) if new == old => Some("the same content"),
        (_, Err("signature" | "crypto")) => {
            let agrees = |reduced: Vec<u8>| verdicts(&reduced).1 == *new;
            reduced(message).into_iter().any(agrees).then_some("OpenSSL reads a field that nothing uses")
        }
        (Err("signature"), _) if is_unsorted(message) => Some("OpenSSL sorts what was signed"),
        (Err("signature"), _) => has_chunks(message).then_some("OpenSSL joins strings that were signed"),
        (Err("crypto"), _) => is_not_fixed(message).then_some("text without signature is not in its fixed form"),
        _ => None,
    }
}

/// The same message without fields that nothing uses: other recipients, CRLs, unsigned attributes. For an envelope there
/// is one for each recipient.
fn reduced(message: &[u8]) -> Vec<Vec<u8>> {
    match opening::parse_outer(message, Uncovered::Any) {
        Ok(opening::Outer::Cms(der)) => reduced_cms(&der).iter().map(|der| pkcs7_mime(der)).collect(),
        Ok(opening::Outer::Detached(parts)) => reduced_cms(&parts.signature).iter().map(|der| multipart(der)).collect(),
        Err(_) => Vec::new(),
    }
}

fn reduced_cms(der: &[u8]) -> Vec<Vec<u8>> {
    let [kind, content] = elements(der).try_into().unwrap();
    let fields = elements(&elements(&content)[0]);
    let whole = |fields: &[Vec<u8>]| seq(&[kind.clone(), tlv(0xA0, &seq(fields))]);
    if kind == oid(ID_SIGNED) {
        let mut fields = used(fields, 0xA1);
        let signers = fields.pop().unwrap();
        let without = |signer: &Vec<u8>| seq(&used(elements(signer), 0xA1));
        fields.push(set(&elements(&signers).iter().map(without).collect::<Vec<_>>()));
        return vec![whole(&fields)];
    }
    let at = fields.iter().position(|field| field[0] == 0x31).unwrap();
    let for_one = |recipient: Vec<u8>| {
        let mut fields = fields.clone();
        fields[at] = set(&[recipient]);
        whole(&fields)
    };
    elements(&fields[at]).into_iter().flat_map(one_key_each).map(for_one).collect()
}

/// A recipient by key agreement with each of its encrypted keys alone; any other recipient as it is.
fn one_key_each(recipient: Vec<u8>) -> Vec<Vec<u8>> {
    if recipient[0] != 0xA1 {
        return vec![recipient];
    }
    let mut fields = elements(&recipient);
    let keys = fields.pop().unwrap();
    let alone = |key: Vec<u8>| tlv(0xA1, &[fields.concat(), seq(&[key])].concat());
    elements(&keys).into_iter().map(alone).collect()
}

fn used(fields: Vec<Vec<u8>>, unused: u8) -> Vec<Vec<u8>> {
    fields.into_iter().filter(|field| field[0] != unused).collect()
}

/// The elements inside `der`.
fn elements(der: &[u8]) -> Vec<Vec<u8>> {
    let mut reader = trust::asn1::Reader::ber(der).any().unwrap().inside();
    let mut found = Vec::new();
    while !reader.is_empty() {
        found.push(reader.any().unwrap().whole.to_vec());
    }
    found
}

/// Whether a signed attribute has values that are not in the order of DER, or, for Ed25519, whether the attributes are
/// not.
fn is_unsorted(message: &[u8]) -> bool {
    let values = |attribute: &Vec<u8>| elements(&elements(attribute)[1]);
    of_signed_attributes(message, |attributes, key| {
        let sorted = attributes.iter().all(|attribute| values(attribute).is_sorted());
        !sorted || (key == shape::KeyKind::Ed25519 && !attributes.is_sorted())
    })
}

/// Whether a string in the signed attributes is in chunks.
fn has_chunks(message: &[u8]) -> bool {
    fn is_in_chunks(element: &[u8]) -> bool {
        let is_universal_and_constructed = element[0] & 0xE0 == 0x20;
        let is_string = is_universal_and_constructed && !matches!(element[0], 0x30 | 0x31);
        is_string || (element[0] & 0x20 != 0 && elements(element).iter().any(|inner| is_in_chunks(inner)))
    }
    of_signed_attributes(message, |attributes, _| attributes.iter().any(|attribute| is_in_chunks(attribute)))
}

/// What `test` says of the signed attributes and the kind of the key; `false` if there are none.
fn of_signed_attributes(message: &[u8], test: impl Fn(Vec<Vec<u8>>, shape::KeyKind) -> bool) -> bool {
    let der = match opening::parse_outer(message, Uncovered::Any) {
        Ok(opening::Outer::Cms(der)) => der.into_owned(),
        Ok(opening::Outer::Detached(parts)) => parts.signature,
        Err(_) => return false,
    };
    let Ok(Cms::Signed(signed)) = shape::inspect(&der) else { return false };
    test(elements(signed.attributes), signed.key)
}

/// Whether it is an envelope with AES-CBC, and what it contains is read only if text that the signature does not cover may
/// have any form.
fn is_not_fixed(message: &[u8]) -> bool {
    let Ok(opening::Outer::Cms(der)) = opening::parse_outer(message, Uncovered::Any) else { return false };
    let Ok(Cms::Enveloped(envelope)) = shape::inspect(&der) else { return false };
    let Ok(plain) = oracle::decrypt(&der, &envelope, &[pki().bob.clone(), pki().eve.clone()]) else { return false };
    let is_read = |uncovered| opening::parse_outer(&plain, uncovered).is_ok();
    matches!(envelope.cipher, shape::ContentCipher::AesCbc(_)) && is_read(Uncovered::Any) && !is_read(Uncovered::Fixed)
}

#[test]
fn every_message_has_the_verdict_of_openssl_or_a_reason() {
    let mut subjects = signed_subjects();
    subjects.extend(enveloped_subjects());
    let healthy = subjects.len();
    subjects.extend(whole_subjects());
    for (number, subject) in subjects.iter().enumerate() {
        let (new, old) = verdicts(&subject.message());
        assert_eq!(new, old, "subject {number}");
        assert!(number >= healthy || new.is_ok(), "subject {number} is refused: {new:?}");
    }
    let damaged = std::env::var("SESAME_DIFFERENTIAL").ok().map_or(DAMAGED, |count| count.parse().unwrap());
    let mut found = BTreeMap::new();
    for number in 0..damaged {
        let mut random = Random::new(number as u64);
        let subject = &subjects[random.below(subjects.len())];
        let changed = subject.damaged(&mut random);
        let message = changed.message();
        let (new, old) = verdicts(&message);
        let why = reason(&new, &old, &message);
        let Some(why) = why else {
            let file = std::env::temp_dir().join(format!("sesame-differential-{number}"));
            std::fs::write(&file, &message).unwrap();
            panic!("damaged message {number} ({}): {new:?}, and OpenSSL: {old:?}", file.display());
        };
        *found.entry(why).or_insert(0) += 1;
        if new == old {
            compare_decryption(&message, number);
        }
    }
    // A comparison in which all is refused, or nothing, shows little.
    assert!(found["the same refusal"] > damaged / 10 && found["the same content"] > damaged / 200, "{found:?}");
    println!("{found:?}");
}

/// Envelopes decrypt to the same octets, which the single error for what is in them would hide.
fn compare_decryption(message: &[u8], number: usize) {
    let Ok(opening::Outer::Cms(der)) = opening::parse_outer(message, Uncovered::Any) else { return };
    let Ok(Cms::Enveloped(envelope)) = shape::inspect(&der) else { return };
    let ours = [pki().bob.clone(), pki().eve.clone()];
    let by_us = || {
        let keys = crate::keys::OwnKeys(&ours);
        let decrypted = opening::decrypt(&envelope, &keys).ok().filter(|(plain, _)| plain.is_intact());
        decrypted.map(|(plain, _)| plain.content().to_vec())
    };
    let by_openssl = |der: &[u8]| match shape::inspect(der) {
        Ok(Cms::Enveloped(envelope)) => oracle::decrypt(der, &envelope, &ours).ok(),
        _ => None,
    };
    let (new, old) = (by_us(), by_openssl(&der));
    // With a random key what comes out is another text each time, and its padding may be right by chance.
    let random = new != by_us() || old != by_openssl(&der);
    let agrees = random || new == old || reduced_cms(&der).iter().any(|der| by_openssl(der) == new);
    assert!(agrees, "damaged message {number}: {new:?}");
}
