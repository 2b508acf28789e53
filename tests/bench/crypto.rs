//! Seal and open, as multiples of the private-key operation that each of them cannot do without.
//!
//! All on one thread and by its CPU clock. The three are timed in turn, round after round, and the ratio is taken within a
//! round, so that a machine that slows down in between does not change it. The bare operation is one signature with the
//! signer's key over a digest that is there already. Messages are in the form for SSM, save those encrypted for an EC key.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use ::message::MessageId;
use ::smime::{OpenPolicy, Peer, SealPolicy, Sealed, Sealer, ToSeal, open};
use ::testkit::pki::{Authority, Directory, KeyKind, Request};
use ::trust::{Credential, RecipientCertificate, Trust, TrustSettings};
use openssl::pkey::{Id, PKeyRef, Private};
use openssl::rsa::Padding;

use crate::clock::thread_cpu;
use crate::harness::Folder;
use crate::report::{Goal, Report, median};

/// Payload sizes and what they are called.
pub(crate) const SIZES: [(&str, usize); 3] = [("3 kB", 3_000), ("30 kB", 30_000), ("1 MB", 1_000_000)];
/// The goals for RSA-2048, signed and encrypted, by size.
const GOALS: [f64; 3] = [1.12, 1.25, 5.0];
const KEYS: [(&str, KeyKind); 3] =
    [("RSA-2048", KeyKind::Rsa(2048)), ("RSA-4096", KeyKind::Rsa(4096)), ("P-256", KeyKind::P256)];
/// Rounds of which the median is reported, and how long one operation is repeated in a round.
const ROUNDS: usize = 15;
const ROUND_SECONDS: f64 = 0.03;

/// A sender, a receiver and what they believe.
pub(crate) struct Party {
    pub(crate) signer: Arc<Credential>,
    pub(crate) receiver: Arc<Credential>,
    pub(crate) recipient: Arc<RecipientCertificate>,
    pub(crate) trust: Trust,
}

/// One kind of message.
struct Case<'a> {
    name: String,
    party: &'a Party,
    peer: Peer,
    encrypted: bool,
    size: usize,
    goal: Option<Goal>,
}

/// Measures and prints.
pub(crate) fn measure(report: &mut Report) {
    report.note("CPU of one thread; ratios are to one bare signature with the same key, timed in the same rounds");
    let folder = Folder::new("figures-crypto");
    let authority = Authority::root(&Request::authority("/C=UK/O=Sesame/CN=Figures CA")).unwrap();
    let anchors = Directory::create(folder.join("anchors")).unwrap();
    anchors.add_authority(&authority.own.certificate).unwrap();
    for (key_name, key) in KEYS {
        let party = party(folder.path(), anchors.path(), &authority, key);
        let bare = median((0..ROUNDS).map(|_| timed(&mut || bare_operation(party.signer.key()))).collect());
        report.figure(&format!("{key_name} bare private-key operation"), 1.0 / bare, "/s");
        for ((size_name, size), most) in SIZES.into_iter().zip(GOALS) {
            for encrypted in [false, true] {
                let what = if encrypted { "signed, encrypted" } else { "signed" };
                let name = format!("{key_name} {size_name} {what}");
                let decisive = encrypted && key_name == "RSA-2048";
                let goal = decisive.then_some(Goal::AtMost(most));
                // An SSM receiver cannot decrypt with an EC key; a Sesame can.
                let peer = if encrypted && key == KeyKind::P256 { Peer::Sesame } else { Peer::Ssm };
                run(report, &Case { name: name.clone(), party: &party, peer, encrypted, size, goal });
                if decisive {
                    let name = format!("{name}, peer sesame");
                    run(report, &Case { name, party: &party, peer: Peer::Sesame, encrypted, size, goal });
                }
            }
        }
    }
}

fn run(report: &mut Report, case: &Case<'_>) {
    let party = case.party;
    let payload = text(case.size);
    let id = MessageId::parse("6b031234/6b03126398f937").unwrap();
    let recipient = case.encrypted.then(|| Arc::clone(&party.recipient));
    let policy = SealPolicy { peer: case.peer, cipher: None, max_payload: 1 << 24 };
    let sealer = Sealer::new(Arc::clone(&party.signer), recipient, policy).unwrap();
    let message = ToSeal { id: &id, to: None, sequence: None, content_type: None, payload: &payload };
    let seal = || -> Sealed { sealer.seal(&message).unwrap() };
    let sealed = seal();
    let store = party.trust.snapshot();
    let credentials = [Arc::clone(&party.receiver)];
    let rules = OpenPolicy {
        encryption_required: case.encrypted,
        allow_sha1: false,
        max_payload: 1 << 24,
        max_age: None,
        names: Vec::new(),
    };
    let open_it = || open(sealed.bytes(), &credentials, &store, &rules, SystemTime::now()).unwrap();
    assert_eq!(open_it().payload(), payload, "{}: the content came back changed", case.name);
    let mut times: [Vec<f64>; 4] = Default::default();
    for _ in 0..ROUNDS {
        let bare = timed(&mut || bare_operation(party.signer.key()));
        let sealing = timed(&mut || drop(black_box(seal())));
        let opening = timed(&mut || drop(black_box(open_it())));
        let of_round = [1.0 / sealing, sealing / bare, 1.0 / opening, opening / bare];
        times.iter_mut().zip(of_round).for_each(|(all, one)| all.push(one));
    }
    let [seals, seal_ratio, opens, open_ratio] = times.map(median);
    for (verb, rate, ratio) in [("seal", seals, seal_ratio), ("open", opens, open_ratio)] {
        report.figure(&format!("{} {verb}", case.name), rate, "/s");
        let name = format!("{} {verb} CPU", case.name);
        match case.goal {
            Some(goal) => report.goal(&name, ratio, "x bare", goal),
            None => report.figure(&name, ratio, "x bare"),
        }
    }
}

pub(crate) fn party(folder: &Path, anchors: &Path, authority: &Authority, key: KeyKind) -> Party {
    let issue = |name: &str| -> (PathBuf, PathBuf) {
        let subject = format!("/C=UK/O=Sesame/CN={name}.example.org");
        let mut request = Request { key, ..Request::host(&subject) };
        // A key that is to decrypt by key agreement must be allowed to.
        if key == KeyKind::P256 {
            let usage = openssl::x509::X509KeyUsage::DIGITAL_SIGNATURE | openssl::x509::X509KeyUsage::KEY_AGREEMENT;
            request.key_usage = Some(usage);
        }
        authority.issue(&request).unwrap().write(folder, &format!("{name}-{key:?}")).unwrap()
    };
    let (signer, receiver) = (issue("sender"), issue("receiver"));
    let trust = Trust::load(&TrustSettings::new(anchors)).unwrap();
    Party {
        signer: Arc::new(Credential::load(&signer.0, &signer.1).unwrap()),
        receiver: Arc::new(Credential::load(&receiver.0, &receiver.1).unwrap()),
        recipient: Arc::new(RecipientCertificate::load(&receiver.0, &trust, None).unwrap()),
        trust,
    }
}

/// One signature over a SHA-256 digest.
fn bare_operation(key: &PKeyRef<Private>) {
    let mut context = openssl::pkey_ctx::PkeyCtx::new(key).unwrap();
    context.sign_init().unwrap();
    if key.id() == Id::RSA {
        context.set_rsa_padding(Padding::PKCS1).unwrap();
    }
    context.set_signature_md(openssl::md::Md::sha256()).unwrap();
    let mut signature = [0; 1024];
    black_box(context.sign(&[7; 32], Some(&mut signature)).unwrap());
}

/// CPU seconds of this thread for one call, repeated until the clock has something to show.
fn timed(call: &mut dyn FnMut()) -> f64 {
    let start = thread_cpu();
    let mut calls = 0.0;
    loop {
        call();
        calls += 1.0;
        let spent = thread_cpu() - start;
        if spent >= ROUND_SECONDS {
            return spent / calls;
        }
    }
}

/// Text like that of a summary record.
pub(crate) fn text(size: usize) -> Vec<u8> {
    let record = b"Site: UKI-TEST\nWallDuration: 86399\nSubmitHost: ce01.example.org:9619\n%%\n";
    record.iter().copied().cycle().take(size - 1).chain([b'\n']).collect()
}
