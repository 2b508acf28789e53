//! Tests of the journal: the sender's tables, attempts, trace, retention and damaged files. The commit point is tested
//! with the commit engine.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use message::{Code, Fate, MessageId, content_digest};

struct Scratch {
    folder: tempfile::TempDir,
}

impl Scratch {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    fn open(&self) -> Journal {
        Journal::open(&self.path()).unwrap()
    }
}

fn id(text: &str) -> MessageId {
    MessageId::parse(text).unwrap()
}

fn key(text: &str) -> PreparedKey {
    PreparedKey { id: id(text), digest: content_digest(text.as_bytes()) }
}

fn prepared(text: &str, outputs: Vec<Output>) -> Prepared {
    Prepared {
        key: key(text),
        element: text.to_owned(),
        outputs,
        pipeline: "p1".to_owned(),
        attempts: 0,
        dispatches: Vec::new(),
        counts: Vec::new(),
        repeated: false,
    }
}

fn store(journal: &Journal, text: &str, received: SystemTime) -> Decision {
    decide(journal, text, received, &Disposition::Stored, false)
}

fn decide(journal: &Journal, text: &str, received: SystemTime, disposition: &Disposition, again: bool) -> Decision {
    decide_of("/CN=x", journal, text, received, disposition, again)
}

fn decide_of(
    signer: &str,
    journal: &Journal,
    text: &str,
    received: SystemTime,
    disposition: &Disposition,
    again: bool,
) -> Decision {
    let key = Key {
        channel: "c".to_owned(),
        id: id(text),
        signer: signer.to_owned(),
        digest: content_digest(text.as_bytes()),
    };
    let facts = Facts { broker: "mq1".to_owned(), pipeline: "p1".to_owned(), ..Facts::at(received) };
    let moves = [Move { from: "t".to_owned(), to: format!("incoming/00000000/{text}") }];
    let entry = Entry {
        key: &key,
        disposition,
        facts: &facts,
        moves: &moves,
        redelivered: false,
        again,
        raw_digest: None,
        resolves: None,
        sequence: None,
        acknowledge: None,
        index: Indexed::default(),
    };
    journal.commit(&[entry], &[]).unwrap().decisions.pop().unwrap()
}

#[test]
fn is_private_and_survives_reopening() {
    let scratch = Scratch::new();
    let first = store(&scratch.open(), "a", SystemTime::now());
    assert_eq!(first, Decision::New { conflict: false });
    assert_eq!(scratch.path().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(store(&scratch.open(), "a", SystemTime::now()), Decision::Duplicate);
}

#[test]
fn prepared_outputs_are_kept_until_they_are_sent() {
    let scratch = Scratch::new();
    let journal = scratch.open();
    let part = Output {
        payload: Some(vec![0, 1, 255]),
        content_type: Some("text/xml".to_owned()),
        headers: vec![("x".to_owned(), "y".to_owned())],
        routes: vec!["cloud".to_owned(), "default".to_owned()],
        part: Some(1),
    };
    let batch = [prepared("a", vec![part.clone(), part]), prepared("b", vec![Output::default()])];
    journal.record_prepared("c", &mut batch.clone()).unwrap();
    drop(journal);
    let journal = scratch.open();
    let read = journal.prepared("c", &[key("a"), key("b"), key("x")]).unwrap();
    assert_eq!(read, [Some(batch[0].clone()), Some(batch[1].clone()), None]);
    assert_eq!(journal.prepared("other", &[key("a")]).unwrap(), [None]);
    assert_eq!(journal.count_send_attempts("c", &[key("a"), key("x")]).unwrap(), [1, 0]);
    let sent = Sent { key: key("a"), broker: "mq1".to_owned(), at: SystemTime::now(), detail: None, retain: None };
    journal.record_sent("c", &[sent]).unwrap();
    assert_eq!(journal.prepared("c", &[key("a")]).unwrap(), [None]);
    let left: Vec<String> = journal.unfinished("c").unwrap().into_iter().map(|(element, _)| element).collect();
    assert_eq!(left, ["b"]);
    journal.record_gone("c", &[key("b")]).unwrap();
    assert!(journal.unfinished("c").unwrap().is_empty());
    let payloads: i64 = journal.read(|db| db.query_row("SELECT count(*) FROM payload", [], |row| row.get(0))).unwrap();
    assert_eq!(payloads, 0);
}

#[test]
fn other_content_of_one_element_is_another_entry() {
    let scratch = Scratch::new();
    let journal = scratch.open();
    journal.record_prepared("c", &mut [prepared("a", vec![Output::default()])]).unwrap();
    let other = PreparedKey { digest: [7; 32], ..key("a") };
    assert_eq!(journal.prepared("c", &[other]).unwrap(), [None]);
}

#[test]
fn attempts_and_crashes_are_counted_durably() {
    let scratch = Scratch::new();
    let journal = scratch.open();
    assert_eq!(journal.count_attempts("c", &[[1; 32], [2; 32]]).unwrap(), [1, 1]);
    assert_eq!(journal.count_attempts("c", &[[1; 32]]).unwrap(), [2]);
    assert_eq!(journal.count_crash("c", &[1; 32]).unwrap(), 1);
    drop(journal);
    let journal = scratch.open();
    assert_eq!(journal.attempts("c", &[1; 32]).unwrap(), (2, 1));
    journal.clear_attempts("c", &[1; 32]).unwrap();
    assert_eq!(journal.attempts("c", &[1; 32]).unwrap(), (0, 0));
}

#[test]
fn a_stored_message_is_not_rejected_by_a_later_decision() {
    let place = Scratch::new();
    let (journal, now) = (place.open(), SystemTime::now());
    let rejected = Disposition::Rejected { code: Code::PluginInvalid };
    let new = Decision::New { conflict: false };
    assert_eq!(store(&journal, "a", now), new);
    assert_eq!(decide(&journal, "a", now, &rejected, false), Decision::Duplicate);
    assert_eq!(decide(&journal, "a", now, &rejected, true), new, "the operator asked for it");
    assert_eq!(decide(&journal, "b", now, &rejected, false), new);
    assert_eq!(store(&journal, "b", now), new, "what was rejected does not count as seen");
}

#[test]
fn a_deferred_message_that_is_rejected_unopened_may_be_sent_again() {
    let place = Scratch::new();
    let (journal, now) = (place.open(), SystemTime::now());
    let waits = Disposition::Deferred { next: now, attempt: 0 };
    let new = Decision::New { conflict: false };
    assert_eq!(decide(&journal, "a", now, &waits, false), new);
    assert_eq!(decide(&journal, "b", now, &waits, false), new);
    let raw = [7; 32];
    let key = Key { channel: "c".to_owned(), id: id("a"), signer: String::new(), digest: raw };
    let entry = Entry {
        key: &key,
        disposition: &Disposition::Rejected { code: Code::CrashLoop },
        facts: &Facts::at(now),
        moves: &[],
        redelivered: true,
        again: false,
        raw_digest: Some(&raw),
        resolves: Some("incoming/00000000/a"),
        sequence: None,
        acknowledge: None,
        index: Indexed::default(),
    };
    journal.commit(&[entry], &[]).unwrap();
    assert_eq!(store(&journal, "a", now), new, "it does not count as seen");
    assert_eq!(store(&journal, "b", now), Decision::Duplicate, "the other still waits");
}

#[test]
fn prepared_outputs_clear_the_attempts_at_a_message() {
    let place = Scratch::new();
    let journal = place.open();
    let key = key("a");
    journal.count_attempts("c", &[key.digest, [9; 32]]).unwrap();
    journal.record_prepared("c", &mut [prepared("a", vec![Output::default()])]).unwrap();
    assert_eq!(journal.attempts("c", &key.digest).unwrap(), (0, 0));
    assert_eq!(journal.attempts("c", &[9; 32]).unwrap(), (1, 0));
}

#[test]
fn the_trace_of_a_sent_message_has_its_routes_if_recorded() {
    let scratch = Scratch::new();
    let journal = scratch.open();
    let output =
        |routes: &[&str]| Output { routes: routes.iter().map(|r| (*r).to_owned()).collect(), ..Output::default() };
    let sent = |text: &str| Sent {
        key: key(text),
        broker: "mq1".to_owned(),
        at: SystemTime::now(),
        detail: None,
        retain: None,
    };
    journal.record_prepared("c", &mut [prepared("a", vec![output(&["x", "y"]), output(&["y", "default"])])]).unwrap();
    journal.record_prepared("c", &mut [prepared("b", vec![output(&[])])]).unwrap();
    journal.record_sent("c", &[sent("a"), sent("b")]).unwrap();
    let routes = |text: &str| journal.trace(&id(text)).unwrap().pop().unwrap().routes;
    assert_eq!(routes("a"), ["x", "y", "default"]);
    assert_eq!(routes("b"), [] as [&str; 0]);
    rusqlite::Connection::open(scratch.path()).unwrap().execute("UPDATE outgoing SET outputs = ''", []).unwrap();
    assert_eq!(routes("a"), [] as [&str; 0]);
}

#[test]
fn the_trace_of_an_id_has_its_parts_and_nothing_else() {
    let scratch = Scratch::new();
    let journal = scratch.open();
    for text in ["a", "a.1", "a.12", "a.b", "ab", "a-1"] {
        store(&journal, text, SystemTime::now());
    }
    journal.record_prepared("s", &mut [prepared("a", vec![Output::default()])]).unwrap();
    journal.record_rejected("s", "a.2", &key("a.2"), "too large").unwrap();
    let reader = Journal::open_to_read(&scratch.path()).unwrap();
    let steps = reader.trace(&id("a")).unwrap();
    let mut found: Vec<(&str, &str)> = steps.iter().map(|step| (step.id.as_str(), step.fate.word())).collect();
    found.sort_unstable();
    assert_eq!(found, [("a", "prepared"), ("a", "stored"), ("a.1", "stored"), ("a.12", "stored"), ("a.2", "rejected")]);
    let stored = steps.iter().find(|step| step.fate == Fate::Stored).unwrap();
    assert_eq!((stored.broker.as_str(), stored.signer.as_str(), stored.pipeline.as_str()), ("mq1", "/CN=x", "p1"));
    assert_eq!(stored.elements, ["incoming/00000000/a"]);
}

#[test]
fn a_rejection_by_a_sender_is_one_step() {
    let scratch = Scratch::new();
    let journal = scratch.open();
    let rejected = Disposition::Rejected { code: Code::PluginInvalid };
    decide(&journal, "whole", SystemTime::now(), &rejected, false);
    journal.record_rejected("c", "element", &key("whole"), "plugin-invalid").unwrap();
    decide(&journal, "parts.1", SystemTime::now(), &rejected, false);
    decide(&journal, "parts", SystemTime::now(), &Disposition::Dropped, false);
    let sql = "UPDATE received SET reason = 'all parts were rejected'";
    rusqlite::Connection::open(scratch.path()).unwrap().execute(sql, []).unwrap();
    journal.record_rejected("c", "element", &key("parts"), "all parts were rejected").unwrap();
    let steps = journal.trace(&id("whole")).unwrap();
    assert_eq!((steps.len(), steps[0].fate), (1, Fate::Rejected));
    assert_eq!(
        (&steps[0].elements[..], steps[0].outgoing.as_deref()),
        (&["incoming/00000000/whole".to_owned()][..], Some("element"))
    );
    let steps = journal.trace(&id("parts")).unwrap();
    let fates: Vec<(&str, Fate)> = steps.iter().map(|step| (step.id.as_str(), step.fate)).collect();
    assert_eq!(fates, [("parts.1", Fate::Rejected), ("parts", Fate::Rejected)]);
}

#[test]
fn a_reader_cannot_write() {
    let scratch = Scratch::new();
    drop(scratch.open());
    let reader = Journal::open_to_read(&scratch.path()).unwrap();
    assert!(reader.count_attempts("c", &[[1; 32]]).is_err());
}

#[test]
fn old_rows_are_deleted_in_small_steps_and_waiting_ones_stay() {
    let scratch = Scratch::new();
    let journal = scratch.open();
    for n in 0..25 {
        store(&journal, &format!("m{n:02}"), SystemTime::now());
    }
    journal.record_prepared("c", &mut [prepared("waiting", vec![Output::default()])]).unwrap();
    let before = SystemTime::now() - Duration::from_secs(60);
    assert_eq!(journal.expire(before, 10).unwrap().deleted, 0);
    let after = SystemTime::now() + Duration::from_secs(60);
    let mut deleted = 0;
    for _ in 0..5 {
        let expired = journal.expire(after, 10).unwrap();
        assert!(expired.seen <= 21);
        deleted += expired.deleted;
    }
    assert_eq!(deleted, 25);
    assert!(journal.prepared("c", &[key("waiting")]).unwrap()[0].is_some());
}

#[test]
fn damaged_files_are_reported_with_a_remedy_and_left_alone() {
    for damage in ["noise", "flipped", "truncated", "directory"] {
        let scratch = Scratch::new();
        let path = scratch.path();
        {
            let journal = scratch.open();
            for n in 0..2000 {
                store(&journal, &format!("m{n}"), SystemTime::now());
            }
        }
        let mut bytes = std::fs::read(&path).unwrap();
        assert!(bytes.len() > 100_000);
        match damage {
            "noise" => bytes = vec![0x5a; 8192],
            "flipped" => (0..bytes.len()).step_by(4096).skip(1).for_each(|n| bytes[n] ^= 0xff),
            "truncated" => bytes.truncate(50_000),
            _ => {}
        }
        if damage == "directory" {
            std::fs::remove_file(&path).unwrap();
            std::fs::create_dir(&path).unwrap();
        } else {
            std::fs::write(&path, &bytes).unwrap();
        }
        let error = Journal::open(&path).map(|_| damage).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("journal\""), "{text}");
        if damage != "directory" {
            assert!(error.is_damaged() && text.contains("move the file aside"), "{damage}: {text}");
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
        }
    }
}

#[test]
fn a_later_format_is_refused() {
    let scratch = Scratch::new();
    scratch.open().write(|db| db.pragma_update(None, "user_version", 99)).unwrap();
    assert!(matches!(Journal::open(&scratch.path()).unwrap_err(), JournalError::TooNew { found: 99, .. }));
}

#[test]
fn ids_are_found_by_element_and_by_file_name() {
    let scratch = Scratch::new();
    let journal = scratch.open();
    let hash = "a".repeat(64);
    let of_file = format!("{hash}-01234567");
    for text in ["m1", "m10", &of_file, "report.txt-89abcdef", "report.txt-89abcdef0"] {
        store(&journal, text, SystemTime::now());
    }
    journal.record_prepared("s", &mut [prepared("out-1", Vec::new())]).unwrap();
    let found = |ids: std::collections::BTreeSet<String>| ids.into_iter().collect::<Vec<_>>();
    assert_eq!(found(journal.ids_of_element("incoming/00000000/m1").unwrap()), ["m1"]);
    assert_eq!(found(journal.ids_of_element("00000000/m1").unwrap()), ["m1"]);
    assert_eq!(found(journal.ids_of_element("00000000/m").unwrap()), [""; 0]);
    assert_eq!(found(journal.ids_of_element("out-1").unwrap()), ["out-1"]);
    assert_eq!(found(journal.ids_of_file(&hash).unwrap()), [of_file.as_str()]);
    assert_eq!(found(journal.ids_of_file("report.txt").unwrap()), ["report.txt-89abcdef"]);
    assert_eq!(found(journal.ids_of_file("report").unwrap()), [""; 0]);
}

#[test]
fn the_last_message_of_each_signer_is_found_the_latest_first() {
    let scratch = Scratch::new();
    let journal = scratch.open();
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    for (signer, text, seconds) in
        [("/CN=x", "a", 1), ("/CN=x", "b", 5), ("/CN=x", "c", 3), ("/CN=y", "d", 7), ("", "e", 9)]
    {
        decide_of(signer, &journal, text, at(seconds), &Disposition::Stored, false);
    }
    decide_of("/CN=z", &journal, "f", at(8), &Disposition::Rejected { code: Code::Unlisted }, false);
    let found = Journal::open_to_read(&scratch.path()).unwrap().last_of_signers("c", 10).unwrap();
    assert_eq!(found, [("/CN=y".to_owned(), at(7)), ("/CN=x".to_owned(), at(5))]);
    assert_eq!(journal.last_of_signers("c", 1).unwrap().len(), 1);
    assert_eq!(journal.last_of_signers("other", 10).unwrap(), []);
}
