use super::super::{Due, Prepared, Proof, Retained, Sent};
use super::*;
use message::acknowledgement::{Acknowledgement, ContentDigest, Verdict};
use message::{Fate, Output, content_digest};

const TO: &str = "/queue/central";
const HOUR: Duration = Duration::from_secs(3600);

struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self) -> Journal {
        Journal::open(&self.0.path().join("journal")).unwrap()
    }
}

fn key(text: &str) -> PreparedKey {
    PreparedKey { id: MessageId::parse(text).unwrap(), digest: content_digest(text.as_bytes()) }
}

fn sent_at() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

/// Sends a message that is retained for `wait`; `required`: whether its acknowledgement is.
fn send(journal: &Journal, text: &str, required: bool, wait: Duration) -> Dispatch {
    let to = TO.to_owned();
    let dispatch =
        Dispatch { id: key(text).id, destination: to, digest: key(text).digest, sequence: None, open: required };
    let mut rows = [Prepared {
        key: key(text),
        element: format!("e/{text}"),
        outputs: vec![Output { payload: Some(b"x".to_vec()), ..Output::default() }],
        pipeline: String::new(),
        attempts: 0,
        counts: Vec::new(),
        dispatches: vec![dispatch],
        repeated: false,
    }];
    journal.record_prepared("c", &mut rows).unwrap();
    record_sent(journal, text, wait);
    rows[0].dispatches[0].clone()
}

fn record_sent(journal: &Journal, text: &str, wait: Duration) {
    let sent = Sent { key: key(text), broker: "mq:1".to_owned(), at: sent_at(), detail: None, retain: Some(wait) };
    journal.record_sent("c", &[sent]).unwrap();
}

fn accept(journal: &Journal, dispatch: &Dispatch) {
    answer(journal, dispatch, Verdict::Accepted);
}

fn answer(journal: &Journal, dispatch: &Dispatch, verdict: Verdict) {
    let line = Acknowledgement {
        id: dispatch.id.clone(),
        digest: ContentDigest(dispatch.digest),
        signer: "CN=x".to_owned(),
        verdict,
        code: (verdict == Verdict::Rejected).then(|| "job.end".to_owned()),
        reason: None,
        at: "2026-11-22T16:40:47Z".to_owned(),
        element: None,
        sequence: dispatch.sequence.clone(),
    };
    let proof = Proof { receiver: "CN=central", raw: b"sealed", at: SystemTime::now() };
    assert_eq!(journal.take_acknowledgements("c", &proof, &[line]).unwrap().settled, 1);
}

fn due(journal: &Journal) -> Vec<Due> {
    journal.due("c", SystemTime::now(), 10).unwrap()
}

fn ask(journal: &Journal, text: &str) -> Asked {
    journal.ask_repeat("c", &[key(text)]).unwrap().remove(0)
}

fn release(journal: &Journal, text: &str) -> Asked {
    journal.release("c", &[key(text)], "why").unwrap().remove(0)
}

fn states(journal: &Journal) -> Vec<(String, KeptState)> {
    let kept = journal.kept("c", None, 10).unwrap();
    kept.into_iter().map(|one| (one.key.id.to_string(), one.state)).collect()
}

fn state(journal: &Journal, text: &str) -> KeptState {
    journal.kept_of("c", &key(text).id).unwrap()[0].state
}

#[test]
fn what_is_kept_is_listed_page_by_page_with_its_state_and_its_numbers() {
    let scratch = Scratch::new();
    let journal = scratch.open();
    let all: Vec<Dispatch> = ["a", "b", "d", "e"].iter().map(|text| send(&journal, text, true, HOUR)).collect();
    journal.mark_overdue("c", &key("b"), false).unwrap();
    accept(&journal, &all[2]);
    answer(&journal, &all[3], Verdict::Rejected);
    let expected = [
        ("a", KeptState::Waiting),
        ("b", KeptState::Overdue),
        ("d", KeptState::Acknowledged),
        ("e", KeptState::Rejected),
    ];
    assert_eq!(states(&journal), expected.map(|(text, state)| (text.to_owned(), state)));
    let first = journal.kept("c", None, 1).unwrap().remove(0);
    assert_eq!((first.since, first.next, first.repeats), (sent_at(), Some(sent_at() + HOUR), 0));
    assert_eq!((first.element.as_str(), &first.dispatches), ("e/a", &vec![all[0].clone()]));
    let second = journal.kept("c", Some(&first.key), 1).unwrap().remove(0);
    assert_eq!((second.key, second.next), (key("b"), None));
    assert_eq!(journal.kept("c", Some(&key("e")), 1).unwrap(), []);
    assert_eq!(journal.kept("other", None, 1).unwrap(), []);
}

#[test]
fn what_is_overdue_is_sent_again_on_request_and_waits_from_the_beginning() {
    let scratch = Scratch::new();
    let journal = scratch.open();
    let sent = send(&journal, "a", true, HOUR);
    for _ in 0..5 {
        assert!(journal.repeat("c", &key("a"), sent_at()).unwrap());
        record_sent(&journal, "a", HOUR);
    }
    journal.mark_overdue("c", &key("a"), false).unwrap();
    assert_eq!((due(&journal), journal.retained("c").unwrap().overdue), (vec![], 1));
    assert_eq!(ask(&journal, "a"), Asked::Noted);
    assert_eq!(ask(&journal, "a"), Asked::Not(KeptState::Repeating));
    let found = due(&journal).remove(0);
    assert_eq!((found.asked, found.repeats, found.answered), (true, 0, Answered::No));
    assert_eq!(journal.retained("c").unwrap(), Retained { messages: 1, overdue: 0, oldest: Some(sent_at()) });
    assert!(journal.repeat("c", &key("a"), SystemTime::now() + HOUR).unwrap());
    journal.undo_repeat("c", &key("a"), true, sent_at()).unwrap();
    assert!(due(&journal)[0].asked, "a request that could not be served stays");
    assert!(journal.repeat("c", &key("a"), SystemTime::now() + HOUR).unwrap());
    assert_eq!(state(&journal, "a"), KeptState::Repeating);
    record_sent(&journal, "a", HOUR);
    let kept = journal.kept_of("c", &key("a").id).unwrap().remove(0);
    assert_eq!((kept.state, kept.repeats, kept.next), (KeptState::Waiting, 1, Some(sent_at() + 2 * HOUR)));
    accept(&journal, &sent);
    assert_eq!(ask(&journal, "a"), Asked::Not(KeptState::Acknowledged));
    assert_eq!(ask(&journal, "b"), Asked::NotKept);
}

#[test]
fn what_was_sent_or_released_after_it_was_read_is_no_longer_in_the_queue() {
    let scratch = Scratch::new();
    let journal = scratch.open();
    let queued = |text: &str| journal.is_queued("c", &key(text)).unwrap();
    send(&journal, "a", true, HOUR);
    assert!(!queued("a"), "it waits for its acknowledgement");
    assert!(journal.repeat("c", &key("a"), sent_at()).unwrap());
    let read = due(&journal).remove(0);
    assert!(read.queued && queued("a"));
    record_sent(&journal, "a", HOUR);
    assert!(!queued("a"), "it was sent");
    assert_eq!(release(&journal, "a"), Asked::Noted);
    assert!(!queued("a"), "it was released");
    // Released, and recorded as prepared after that.
    let prepared = |db: &Connection| db.execute("UPDATE outgoing SET state = ?1", [PREPARED]);
    journal.write(prepared).unwrap();
    assert!(!queued("a"), "it was released");
    journal.end_retained("c", &[key("a")]).unwrap();
    assert!(!queued("a") && !queued("b"), "it is not kept");
}

#[test]
fn a_request_that_comes_after_a_message_was_read_is_not_lost() {
    let scratch = Scratch::new();
    let journal = scratch.open();
    send(&journal, "a", true, HOUR);
    let read = due(&journal).remove(0);
    assert_eq!(ask(&journal, "a"), Asked::Noted);
    assert!(!journal.mark_overdue("c", &read.key, read.asked).unwrap());
    journal.set_due("c", &read.key, read.asked, SystemTime::now() + HOUR).unwrap();
    assert_eq!(state(&journal, "a"), KeptState::Repeating);
    let found = due(&journal).remove(0);
    assert!(found.asked, "it is due at once");
    // Who knows of the request may put it off and end it.
    journal.set_due("c", &found.key, found.asked, SystemTime::now() + HOUR).unwrap();
    assert_eq!(due(&journal), []);
    assert!(journal.mark_overdue("c", &found.key, found.asked).unwrap());
    assert_eq!(state(&journal, "a"), KeptState::Overdue);
    assert_eq!(ask(&journal, "a"), Asked::Noted);
    assert_eq!(release(&journal, "a"), Asked::Noted);
    assert!(!journal.mark_overdue("c", &found.key, false).unwrap());
    assert_eq!(state(&journal, "a"), KeptState::Released);
}

#[test]
fn a_repeat_that_was_asked_for_waits_though_its_receiver_is_no_longer_known_to_acknowledge() {
    let scratch = Scratch::new();
    let journal = scratch.open();
    accept(&journal, &send(&journal, "b", false, HOUR));
    send(&journal, "a", false, HOUR);
    journal.mark_overdue("c", &key("a"), false).unwrap();
    send(&journal, "d", false, HOUR);
    ask(&journal, "d");
    journal.forget_acknowledging("c").unwrap();
    assert_eq!(state(&journal, "a"), KeptState::Overdue);
    ask(&journal, "a");
    for text in ["a", "d"] {
        let asked = due(&journal).into_iter().find(|due| due.key == key(text)).unwrap();
        assert_eq!((asked.asked, asked.answered), (true, Answered::No), "{text}");
    }
}

#[test]
fn what_is_released_is_no_longer_waited_for_and_its_end_is_on_record_until_it_expires() {
    let scratch = Scratch::new();
    let journal = scratch.open();
    let sent = send(&journal, "a", true, HOUR);
    assert_eq!(release(&journal, "a"), Asked::Noted);
    assert_eq!(state(&journal, "a"), KeptState::Released);
    assert_eq!(journal.retained("c").unwrap(), Retained::default());
    assert!(!journal.repeat("c", &key("a"), SystemTime::now()).unwrap(), "it went out again after its release");
    journal.mark_overdue("c", &key("a"), false).unwrap();
    assert!(due(&journal)[0].released, "a Sesame that finds it ends it");
    journal.end_retained("c", &[key("a")]).unwrap();
    assert_eq!((states(&journal), journal.trace(&key("a").id).unwrap()[0].fate), (vec![], Fate::Sent));
    drop(journal);
    let journal = scratch.open();
    let released = journal.released("c", &key("a").id).unwrap();
    assert_eq!((released.len(), released[0].why.as_str()), (1, "why"));
    assert_eq!(journal.count_released("c").unwrap(), (1, Some(released[0].at)));
    assert_eq!(release(&journal, "a"), Asked::NotKept);
    accept(&journal, &sent);
    assert_eq!(journal.acknowledgements("c", &key("a").id).unwrap().len(), 1, "a late word is still noted");
    journal.expire(SystemTime::now(), 100).unwrap();
    assert_eq!(journal.count_released("c").unwrap(), (0, None));
}

#[test]
fn what_goes_out_again_or_was_answered_is_not_released() {
    let scratch = Scratch::new();
    let journal = scratch.open();
    let all: Vec<Dispatch> = ["a", "b", "d"].iter().map(|text| send(&journal, text, true, HOUR)).collect();
    journal.repeat("c", &key("a"), SystemTime::now()).unwrap();
    answer(&journal, &all[1], Verdict::Rejected);
    assert_eq!(release(&journal, "a"), Asked::Not(KeptState::Repeating));
    assert_eq!(release(&journal, "b"), Asked::Not(KeptState::Rejected));
    accept(&journal, &all[2]);
    assert_eq!(release(&journal, "d"), Asked::Noted);
    assert_eq!(journal.count_released("c").unwrap().0, 0, "what its receiver has was not given up");
}

#[test]
fn another_wait_applies_to_what_is_kept_already() {
    let scratch = Scratch::new();
    let journal = scratch.open();
    ["a", "b", "d"].iter().for_each(|text| drop(send(&journal, text, true, 6 * HOUR)));
    journal.repeat("c", &key("b"), sent_at()).unwrap();
    record_sent(&journal, "b", 6 * HOUR);
    journal.mark_overdue("c", &key("d"), false).unwrap();
    assert_eq!(journal.apply_wait("c", 6 * HOUR).unwrap(), 0);
    let next = || journal.kept("c", None, 10).unwrap().iter().map(|one| one.next).collect::<Vec<_>>();
    for hours in [1, 12] {
        assert_eq!(journal.apply_wait("c", hours * HOUR).unwrap(), 2);
        assert_eq!(next(), [Some(sent_at() + hours * HOUR), Some(sent_at() + 2 * hours * HOUR), None]);
        assert_eq!(journal.apply_wait("c", hours * HOUR).unwrap(), 0);
    }
}

#[test]
fn a_number_leads_to_its_message() {
    let scratch = Scratch::new();
    let journal = scratch.open();
    send(&journal, "a", true, HOUR);
    let sequence = send(&journal, "b", true, HOUR).sequence.unwrap();
    assert_eq!(journal.ids_of_sequence(&sequence).unwrap(), [("c".to_owned(), "b".to_owned())]);
    let other = Sequence::new(sequence.stream(), 3).unwrap();
    assert_eq!(journal.ids_of_sequence(&other).unwrap(), []);
}

#[test]
fn a_journal_from_before_has_nothing_to_ask_about() {
    let scratch = Scratch::new();
    drop(scratch.open());
    let path = scratch.0.path().join("journal");
    let old = "DROP TABLE dispatch; DROP TABLE retained; DROP TABLE released;";
    rusqlite::Connection::open(&path).unwrap().execute_batch(old).unwrap();
    let journal = Journal::open_to_read(&path).unwrap();
    assert_eq!(journal.kept("c", None, 10).unwrap(), []);
    assert_eq!(journal.kept_of("c", &key("a").id).unwrap(), []);
    assert_eq!(journal.released("c", &key("a").id).unwrap(), []);
    assert_eq!(journal.count_released("c").unwrap(), (0, None));
    assert_eq!(journal.ids_of_sequence(&Sequence::new("00c0ffee00c0ffee", 1).unwrap()).unwrap(), []);
}
