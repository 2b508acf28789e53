//! Children that lie: whatever they say, the conversation ends with an error, or with an answer of the right types.

use message::wire::Reader;
use testkit::pki::{Authority, Directory, Request};
use trust::TrustSettings;

use super::*;

/// What a child does once it has the message: its end of the socket, and the message as it got it.
type Part = fn(&mut UnixStream, &[u8]);

fn policy() -> OpenPolicy {
    OpenPolicy { encryption_required: false, allow_sha1: false, max_payload: 1000, max_age: None, names: Vec::new() }
}

/// Has a message opened by a child that plays this part.
fn opened(policy: &OpenPolicy, part: Part) -> Result<Answer, Over> {
    all_opened(policy, 1, part).remove(0)
}

/// The same with several messages, which are sent together: the answers up to the first that is none.
fn all_opened(policy: &OpenPolicy, count: usize, part: Part) -> Vec<Result<Answer, Over>> {
    let folder = tempfile::tempdir().unwrap();
    let root = Authority::root(&Request::authority("/C=UK/O=CA/CN=Root")).unwrap();
    let directory = Directory::create(folder.path().join("anchors")).unwrap();
    directory.add_authority(&root.own.certificate).unwrap();
    let trust = Arc::new(TrustStore::load(&TrustSettings::new(directory.path())).unwrap());
    let host = root.issue(&Request::host("/C=UK/CN=host")).unwrap();
    let (certificate, key) = host.write(folder.path(), "host").unwrap();
    let credentials = [Arc::new(Credential::load(&certificate, &key).unwrap())];
    let (ours, mut its) = UnixStream::pair().unwrap();
    let mut session = Session::new(ours, Duration::from_millis(300)).unwrap();
    let child = std::thread::spawn(move || {
        let mut from = BufReader::new(its.try_clone().unwrap());
        loop {
            match frame::read(&mut from, 1 << 20).unwrap() {
                Some((Kind::Open, content)) if content.first() == Some(&0) => break part(&mut its, &content),
                Some(_) => {}
                None => break,
            }
        }
        // Until the parent has enough of it.
        let _ = from.read_to_end(&mut Vec::new());
    });
    let message = Message { raw: b"raw", credentials: &credentials, trust: &trust, policy, at: SystemTime::now() };
    let messages = vec![message; count];
    session.send(&messages).unwrap();
    let mut answers = Vec::new();
    for place in 0..count {
        answers.push(session.answer(&messages, place));
        if answers.last().is_some_and(Result::is_err) {
            break;
        }
    }
    drop(session);
    child.join().unwrap();
    answers
}

/// An answer about a payload, with the octets of a certificate and of all that may be absent.
fn success(certificate: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.octet(0).octets(certificate).octet(2);
    for _ in 0..5 {
        writer.flag(false);
    }
    writer.octets(payload);
    writer.finish()
}

fn certificate() -> Vec<u8> {
    let root = Authority::root(&Request::authority("/C=UK/O=CA/CN=Root")).unwrap();
    root.issue(&Request::host("/C=UK/CN=signer")).unwrap().certificate.to_der().unwrap()
}

fn answer(to: &mut UnixStream, content: &[u8]) {
    frame::write(to, Kind::Answer, content).unwrap();
}

fn is_malformed(part: Part) {
    let over = opened(&policy(), part).unwrap_err();
    assert!(matches!(over, Over::Malformed(_)), "{over:?}");
}

#[test]
fn an_honest_answer_is_believed() {
    let opened = opened(&policy(), |to, _| answer(to, &success(&certificate(), b"payload"))).unwrap().unwrap();
    assert_eq!((opened.payload(), opened.signer().subject.line().as_str()), (&b"payload"[..], "/C=UK/CN=signer"));
    assert!(!opened.encrypted(), "no key was asked for");
}

#[test]
fn a_refusal_has_a_code_of_the_table() {
    fn refusal(code: &str, reason: &str) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.octet(1).text(code).text(reason).flag(false);
        writer.finish()
    }
    let refused = opened(&policy(), |to, _| answer(to, &refusal("signature", "why"))).unwrap().unwrap_err();
    assert_eq!((refused.code, refused.reason.as_str(), refused.ours), (message::Code::Signature, "why", false));
    is_malformed(|to, _| answer(to, &refusal("of-no-table", "why")));
    is_malformed(|to, _| answer(to, &refusal("signature", &"x".repeat(20_000))));
}

#[test]
fn frames_that_are_too_long_unknown_or_out_of_turn_end_it() {
    is_malformed(|to, _| to.write_all(&[0xff; 64]).unwrap());
    is_malformed(|to, _| to.write_all(&[0, 0, 0, 1, 99]).unwrap());
    is_malformed(|to, _| frame::write(to, Kind::Ready, &[1, 0]).unwrap());
    is_malformed(|to, _| frame::write(to, Kind::Key, &[0; 32]).unwrap());
    is_malformed(|to, _| frame::write(to, Kind::Open, b"").unwrap());
    is_malformed(|to, _| frame::write(to, Kind::Ask, b"what?").unwrap());
}

#[test]
fn answers_of_the_wrong_type_end_it() {
    is_malformed(|to, _| answer(to, b""));
    is_malformed(|to, _| answer(to, &[9]));
    is_malformed(|to, _| answer(to, &success(b"no certificate", b"payload")));
    is_malformed(|to, _| answer(to, &success(&certificate(), b"  \r\n")));
    is_malformed(|to, _| answer(to, &success(&certificate(), &[b'x'; 1001])));
    is_malformed(|to, _| answer(to, &[success(&certificate(), b"payload"), vec![0]].concat()));
    is_malformed(|to, _| {
        let whole = success(&certificate(), b"payload");
        answer(to, &whole[..whole.len() - 1]);
    });
}

#[test]
fn a_child_cannot_claim_what_the_policy_forbids() {
    let strict = OpenPolicy { encryption_required: true, ..policy() };
    let over = opened(&strict, |to, _| answer(to, &success(&certificate(), b"payload"))).unwrap_err();
    assert!(matches!(over, Over::Malformed(_)), "it was encrypted only if a key was asked for: {over:?}");
}

/// A well-formed request for the key of a content, encrypted by RSA for the credential at this place.
fn request(place: u64) -> Vec<u8> {
    request_about(0, place)
}

/// The same for the message at this place.
fn request_about(message: u64, credential: u64) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.number(message).number(credential).number(32).octets(&[1; 256]).octet(0);
    writer.finish()
}

#[test]
fn one_key_is_given_and_no_second() {
    let opened = opened(&OpenPolicy { encryption_required: true, ..policy() }, |to, _| {
        frame::write(to, Kind::Ask, &request(0)).unwrap();
        let mut from = BufReader::new(to.try_clone().unwrap());
        let (kind, key) = frame::read(&mut from, 100).unwrap().unwrap();
        assert_eq!((kind, key.len()), (Kind::Key, 32), "a wrong padding gives a key, too");
        answer(to, &success(&certificate(), b"payload"));
    });
    assert!(opened.unwrap().unwrap().encrypted());
    is_malformed(|to, _| {
        frame::write(to, Kind::Ask, &request(0)).unwrap();
        let mut from = BufReader::new(to.try_clone().unwrap());
        frame::read(&mut from, 100).unwrap().unwrap();
        frame::write(to, Kind::Ask, &request(0)).unwrap();
    });
}

#[test]
fn keys_of_several_messages_are_given_together_and_once_each() {
    let strict = OpenPolicy { encryption_required: true, ..policy() };
    let opened = all_opened(&strict, 3, |to, _| {
        (0..3).for_each(|place| frame::write(to, Kind::Ask, &request_about(place, 0)).unwrap());
        let mut from = BufReader::new(to.try_clone().unwrap());
        for _ in 0..3 {
            assert_eq!(frame::read(&mut from, 100).unwrap().unwrap().0, Kind::Key);
            answer(to, &success(&certificate(), b"payload"));
        }
    });
    assert_eq!(opened.len(), 3);
    assert!(opened.into_iter().all(|one| one.unwrap().unwrap().encrypted()));
    // For one that has its answer, twice for one, and for one that is not there.
    let wrong: [(Part, usize); 3] = [
        (
            |to, _| {
                answer(to, &success(&certificate(), b"payload"));
                frame::write(to, Kind::Ask, &request_about(0, 0)).unwrap();
            },
            2,
        ),
        (|to, _| (0..2).for_each(|_| frame::write(to, Kind::Ask, &request_about(1, 0)).unwrap()), 1),
        (|to, _| frame::write(to, Kind::Ask, &request_about(2, 0)).unwrap(), 1),
    ];
    for (part, answers) in wrong {
        let mut opened = all_opened(&policy(), 2, part);
        assert_eq!(opened.len(), answers);
        assert!(matches!(opened.pop().unwrap(), Err(Over::Malformed(_))));
    }
}

#[test]
fn keys_of_other_credentials_are_not_given() {
    is_malformed(|to, _| frame::write(to, Kind::Ask, &request(1)).unwrap());
    is_malformed(|to, _| frame::write(to, Kind::Ask, &request_about(1, 0)).unwrap());
}

#[test]
fn an_early_end_and_silence_are_told_apart() {
    let over = opened(&policy(), |to, _| to.shutdown(std::net::Shutdown::Both).unwrap()).unwrap_err();
    assert!(matches!(over, Over::Ended(_)), "{over:?}");
    let over = opened(&policy(), |to, _| {
        to.write_all(&[0, 0, 0, 9, Kind::Answer as u8, 0]).unwrap();
        to.shutdown(std::net::Shutdown::Both).unwrap();
    });
    assert!(matches!(over, Err(Over::Ended(_))), "{over:?}");
    let began = Instant::now();
    let over = opened(&policy(), |_, _| ()).unwrap_err();
    assert!(matches!(over, Over::Late(_)), "{over:?}");
    let over = opened(&policy(), |to, _| {
        // An octet now and then.
        for octet in [0, 0, 0, 200, Kind::Answer as u8].into_iter().chain(std::iter::repeat_n(0, 40)) {
            std::thread::sleep(Duration::from_millis(50));
            if to.write_all(&[octet]).is_err() {
                break;
            }
        }
    });
    assert!(matches!(over, Err(Over::Late(_))), "{over:?}");
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[test]
fn the_message_comes_as_it_is() {
    let opened = opened(&policy(), |to, content| {
        let mut reader = Reader::new(content);
        assert!(!reader.flag().unwrap(), "no other follows");
        reader.number().unwrap();
        assert_eq!(reader.list(Reader::number).unwrap().len(), 1);
        assert!(content.ends_with(b"raw"));
        answer(to, &success(&certificate(), b"payload"));
    });
    assert!(opened.unwrap().is_ok());
}
