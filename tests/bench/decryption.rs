//! Whether the time of a failed decryption shows why it failed.
//!
//! An attacker who changes an envelope and learns whether a padding was right can decrypt it. Each figure compares two kinds
//! of changed envelopes, 10,000 tries each, in random order: the difference of the mean CPU times as multiples of its
//! standard error. Times above a limit common to both, the 90th percentile, are left out: then something else used the
//! processor's caches.
//! Each try is a message of its own, made before the clock starts. AES-256-CBC, RSA-2048 with PKCS#1 v1.5.

use std::hint::black_box;
use std::time::SystemTime;

use ::message::MessageId;
use ::smime::{OpenPolicy, Peer, SealPolicy, Sealer, ToSeal, open};
use ::testkit::pki::{Authority, Directory, KeyKind, Request};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::Padding;

use crate::clock::thread_cpu;
use crate::crypto::{Party, party, text};
use crate::harness::Folder;
use crate::report::{Goal, Report};
use crate::setting;

/// The difference that counts as none, in standard errors.
const GOAL: Goal = Goal::AtMost(3.0);
/// Octets of an encrypted key.
const KEY: usize = 256;
const BLOCK: usize = 16;

/// What is wrong with an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The padding of the content and the block before it.
    ContentPadding,
    /// The beginning of the last block and the block before it; the padding is right.
    Content,
    /// The padding of the encrypted key.
    KeyPadding,
    /// Another key of the right length.
    OtherKey,
    /// A key of another length.
    KeyLength,
    /// The first block of the content, so that its headers cannot be read.
    FirstBlock,
    /// A block in the middle: the digest differs.
    Middle,
}

/// Measures and prints.
pub(crate) fn measure(report: &mut Report) {
    let tries = setting("SESAME_FIGURES_TRIES", 10_000);
    report.note(&format!("{tries} tries of each kind; differences of means in standard errors, and in nanoseconds"));
    let folder = Folder::new("figures-decryption");
    let authority = Authority::root(&Request::authority("/C=UK/O=Sesame/CN=Figures CA")).unwrap();
    let anchors = Directory::create(folder.join("anchors")).unwrap();
    anchors.add_authority(&authority.own.certificate).unwrap();
    let party = party(folder.path(), anchors.path(), &authority, KeyKind::Rsa(2048));
    let sealed = Envelope::sealed(&party);
    for (name, one, other, goal) in [
        ("content: padding or content", Fault::ContentPadding, Fault::Content, Some(GOAL)),
        ("key: padding or another key", Fault::KeyPadding, Fault::OtherKey, Some(GOAL)),
        ("key: padding or length", Fault::KeyPadding, Fault::KeyLength, Some(GOAL)),
        ("key: length or another key", Fault::KeyLength, Fault::OtherKey, Some(GOAL)),
        ("a key or the first block", Fault::OtherKey, Fault::FirstBlock, None),
        ("the first block or one in the middle", Fault::FirstBlock, Fault::Middle, None),
    ] {
        compare(report, &party, &sealed, (name, one, other, goal), tries);
    }
}

fn compare(
    report: &mut Report,
    party: &Party,
    sealed: &Envelope,
    (name, one, other, goal): (&str, Fault, Fault, Option<Goal>),
    tries: u32,
) {
    let policy = OpenPolicy {
        encryption_required: true,
        allow_sha1: false,
        max_payload: 1 << 20,
        max_age: None,
        names: Vec::new(),
    };
    let credentials = [std::sync::Arc::clone(&party.receiver)];
    let store = party.trust.snapshot();
    let mut times: [Vec<f64>; 2] = Default::default();
    let mut left = [tries, tries];
    while left != [0, 0] {
        let second = fastrand::u32(0..left[0] + left[1]) >= left[0];
        left[usize::from(second)] -= 1;
        let raw = sealed.with(if second { other } else { one }, party);
        let start = thread_cpu();
        let opened = open(&raw, &credentials, &store, &policy, SystemTime::now());
        let time = (thread_cpu() - start) * 1e9;
        assert_eq!(black_box(opened).unwrap_err().to_string(), "cannot decrypt the message");
        times[usize::from(second)].push(time);
    }
    let (errors, difference) = difference(&times);
    match goal {
        Some(goal) => report.goal(name, errors.abs(), "std. errors", goal),
        None => report.figure(name, errors.abs(), "std. errors"),
    }
    report.figure(&format!("{name}, difference"), difference, "ns");
}

/// Welch's t and the difference of the means, of the times below the common 90th percentile.
fn difference(times: &[Vec<f64>; 2]) -> (f64, f64) {
    let mut all: Vec<f64> = times.concat();
    all.sort_by(f64::total_cmp);
    let limit = all[all.len() * 9 / 10];
    let [one, other] = times.each_ref().map(|times| {
        let kept: Vec<f64> = times.iter().copied().filter(|time| *time <= limit).collect();
        let count = kept.len() as f64;
        let mean = kept.iter().sum::<f64>() / count;
        let variance = kept.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (mean, variance / count)
    });
    let difference = one.0 - other.0;
    (difference / (one.1 + other.1).sqrt(), difference)
}

/// A sealed message, taken apart where it is changed.
struct Envelope {
    head: Vec<u8>,
    der: Vec<u8>,
    /// Where the encrypted key begins.
    key: usize,
    /// Where the encrypted content begins.
    content: usize,
}

impl Envelope {
    /// One whose content ends in eight octets of padding.
    fn sealed(party: &Party) -> Self {
        let policy = SealPolicy { peer: Peer::Ssm, cipher: None, max_payload: 1 << 20 };
        let id = MessageId::parse("6b031234/6b03126398f937").unwrap();
        let recipient = Some(std::sync::Arc::clone(&party.recipient));
        let sealer = Sealer::new(std::sync::Arc::clone(&party.signer), recipient, policy).unwrap();
        // The signature's length is fixed, so that each octet of payload is one of content.
        let plain = Sealer::new(std::sync::Arc::clone(&party.signer), None, policy).unwrap();
        let length = |size: usize| {
            let payload = text(size);
            let message = ToSeal { id: &id, to: None, sequence: None, content_type: None, payload: &payload };
            plain.seal(&message).unwrap().bytes().len()
        };
        let size = (3000..3000 + BLOCK).find(|size| length(*size) % BLOCK == BLOCK / 2).unwrap();
        let payload = text(size);
        let message = ToSeal { id: &id, to: None, sequence: None, content_type: None, payload: &payload };
        let sealed = sealer.seal(&message).unwrap().into_bytes();
        let blank = sealed.windows(2).position(|two| two == b"\n\n").unwrap() + 2;
        let body: Vec<u8> = sealed[blank..].iter().copied().filter(|octet| !octet.is_ascii_whitespace()).collect();
        let der = STANDARD.decode(body).unwrap();
        let key = der.windows(4).position(|four| four == [4, 0x82, 1, 0]).unwrap() + 4;
        let encrypted = length(size).next_multiple_of(BLOCK);
        Self { head: sealed[..blank].to_vec(), content: der.len() - encrypted, der, key }
    }

    /// A message with this fault, another one each time.
    fn with(&self, fault: Fault, party: &Party) -> Vec<u8> {
        let mut der = self.der.clone();
        let mut random = [0; BLOCK];
        fastrand::fill(&mut random);
        random[BLOCK / 2..].fill(0);
        random[0] |= 1;
        let last = der.len() - 2 * BLOCK;
        // Also where it is not used: it leaves the caches in the same state for every kind.
        let key = encrypted_key(party, if fault == Fault::KeyLength { 24 } else { 32 });
        match fault {
            Fault::Content => change(&mut der[last..], &random),
            Fault::ContentPadding => {
                random[BLOCK - 1] = 0x80;
                change(&mut der[last..], &random);
            }
            Fault::FirstBlock => change(&mut der[self.content..], &random),
            Fault::Middle => change(&mut der[self.content + 100 * BLOCK..], &random),
            Fault::KeyPadding => change(&mut der[self.key + KEY - BLOCK..], &random),
            Fault::OtherKey | Fault::KeyLength => der[self.key..self.key + KEY].copy_from_slice(&key),
        }
        let mut raw = self.head.clone();
        for line in STANDARD.encode(der).as_bytes().chunks(64) {
            raw.extend_from_slice(line);
            raw.push(b'\n');
        }
        raw
    }
}

fn change(octets: &mut [u8], by: &[u8]) {
    octets.iter_mut().zip(by).for_each(|(octet, by)| *octet ^= by);
}

/// A random key of this length for the receiver.
fn encrypted_key(party: &Party, length: usize) -> Vec<u8> {
    let mut key = vec![0; length];
    openssl::rand::rand_bytes(&mut key).unwrap();
    let public = party.recipient.certificate().public_key().unwrap();
    let mut context = PkeyCtx::new(&public).unwrap();
    context.encrypt_init().unwrap();
    context.set_rsa_padding(Padding::PKCS1).unwrap();
    let mut encrypted = Vec::new();
    context.encrypt_to_vec(&key, &mut encrypted).unwrap();
    encrypted
}
