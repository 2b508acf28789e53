use std::path::{Path, PathBuf};

use super::super::{Dispatch, Disposition, Facts, Key, Output, Prepared, Proof, Sent};
use super::totals::{ALL_TOTALS, MOST_OTHERS, MOST_TOTALS, OTHER_SITES};
use super::*;
use message::acknowledgement::{Acknowledgement, ContentDigest, Sequence};
use message::{Code, content_digest};

const A: &str = "/queue/a";
const B: &str = "/queue/b";
/// 2026-10-31T23:59:59Z
const LAST_OF_OCTOBER: u64 = 1_793_491_199;
const HOUR: Duration = Duration::from_secs(3_600);

struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("journal")
    }

    fn open(&self) -> Journal {
        Journal::open(&self.path()).unwrap()
    }
}

fn key(text: &str) -> PreparedKey {
    PreparedKey { id: MessageId::parse(text).unwrap(), digest: content_digest(text.as_bytes()) }
}

fn job(sites: &[(&str, u64)]) -> Counted {
    let sites = sites.iter().map(|(site, records)| ((*site).to_owned(), *records)).collect();
    Counted { format: "job".to_owned(), sites: Some(sites) }
}

fn count(part: Option<usize>, destinations: &[&str], counted: Counted) -> SentCount {
    SentCount { part, destinations: destinations.iter().map(|&to| to.to_owned()).collect(), counted }
}

/// Prepares a message; with `numbered`, its dispatches.
fn prepare(journal: &Journal, text: &str, counts: Vec<SentCount>, numbered: bool) -> Vec<Dispatch> {
    let key = key(text);
    let dispatches = counts.iter().filter(|_| numbered).flat_map(|count| {
        let id = count.part.map_or_else(|| key.id.clone(), |number| key.id.part(number));
        count.destinations.iter().map(move |to| Dispatch {
            id: id.clone(),
            destination: to.clone(),
            digest: content_digest(id.as_str().as_bytes()),
            sequence: None,
            open: true,
        })
    });
    let mut batch = [Prepared {
        element: text.to_owned(),
        outputs: vec![Output::default()],
        pipeline: String::new(),
        attempts: 0,
        dispatches: dispatches.collect(),
        counts,
        repeated: false,
        key: key.clone(),
    }];
    journal.record_prepared("c", &mut batch).unwrap();
    let [row] = batch;
    row.dispatches
}

fn send(journal: &Journal, text: &str, retain: Option<Duration>) {
    let (key, at) = (key(text), SystemTime::now());
    journal.record_sent("c", &[Sent { key, broker: "mq".to_owned(), at, detail: None, retain }]).unwrap();
}

fn acknowledge(journal: &Journal, dispatch: &Dispatch, verdict: Verdict) -> usize {
    let line = Acknowledgement {
        id: dispatch.id.clone(),
        digest: ContentDigest(dispatch.digest),
        signer: "CN=x".to_owned(),
        verdict,
        code: None,
        reason: None,
        at: "2026-11-22T16:40:47Z".to_owned(),
        element: None,
        sequence: dispatch.sequence.clone(),
    };
    let proof = Proof { receiver: "CN=central", raw: b"raw", at: SystemTime::now() };
    journal.take_acknowledgements("c", &proof, &[line]).unwrap().settled
}

/// What a month has, without streams: peer, site, format, outcome, messages, records.
type Line = (String, String, String, Outcome, u64, u64);

fn of_month(journal: &Journal, side: Side, month: Month) -> Vec<Line> {
    let amounts = journal.amounts(side, "c", month).unwrap();
    let line = |(cell, amount): (Cell, Amount)| {
        (cell.peer, cell.site, cell.format, cell.outcome, amount.messages, amount.records)
    };
    amounts.into_iter().map(line).collect()
}

fn now(journal: &Journal, side: Side) -> Vec<Line> {
    of_month(journal, side, Month::of(SystemTime::now()))
}

fn line(peer: &str, site: &str, outcome: Outcome, (messages, records): (u64, u64)) -> Line {
    (peer.to_owned(), site.to_owned(), "job".to_owned(), outcome, messages, records)
}

#[test]
fn a_peer_with_ever_new_sites_and_streams_has_a_bounded_number_of_totals() {
    let scratch = Scratch::new();
    let journal = scratch.open();
    let month = Month::of(SystemTime::now());
    let channel = journal.write(|db| super::super::schema::number(db, Kind::Channel, "c")).unwrap();
    let fold_all = |peer: &str, stream: &str, sites: std::ops::Range<usize>| {
        let mut amounts = Amounts::new();
        for site in sites {
            add(&mut amounts, (peer, stream), &job(&[(&format!("{site:05}"), 2)]), Outcome::Accepted, 1);
        }
        journal.write(|db| fold(db, Side::Received, channel, month, &amounts)).unwrap();
    };
    let most = i64::try_from(MOST_TOTALS).unwrap();
    fold_all("x", "s", 0..MOST_TOTALS - 10);
    fold_all("x", "s", MOST_TOTALS - 10..MOST_TOTALS + 20);
    assert_eq!(rows(&journal, "total"), most + 1);
    fold_all("x", "s", 0..1);
    fold_all("x", "s", MOST_TOTALS..MOST_TOTALS + 1);
    assert_eq!(rows(&journal, "total"), most + 1);
    let lines = now(&journal, Side::Received);
    assert_eq!(lines.first(), Some(&line("x", OTHER_SITES, Outcome::Accepted, (21, 42))), "what has no row");
    assert_eq!(lines.get(1), Some(&line("x", "00000", Outcome::Accepted, (2, 4))), "what has one keeps it");
    (0..MOST_OTHERS + 50).for_each(|stream| fold_all("x", &format!("t{stream}"), 0..1));
    let all = i64::try_from(ALL_TOTALS).unwrap();
    assert_eq!(rows(&journal, "total"), all + 1, "at last one without a stream");
    fold_all("y", "s", 0..1);
    assert_eq!(rows(&journal, "total"), all + 2, "another peer has its own");
}

#[test]
fn one_step_adds_few_messages_to_the_totals_and_the_walk_misses_none() {
    let scratch = Scratch::new();
    let journal = scratch.open();
    for n in 0..120 {
        take(&journal, &format!("m{n:03}"), &Disposition::Stored, Some(job(&[("X", 1)])));
        prepare(&journal, &format!("s{n:03}"), vec![count(None, &[A], job(&[("X", 1)]))], false);
        send(&journal, &format!("s{n:03}"), None);
    }
    let later = SystemTime::now() + HOUR;
    let left = || ["received", "received_count", "outgoing"].map(|table| rows(&journal, table));
    let step = || journal.expire(later, 1000).unwrap().round;
    assert!(!step());
    assert_eq!(left(), [70, 70, 70]);
    assert!(!step());
    assert_eq!(left(), [20, 20, 20]);
    assert!(step());
    assert_eq!(left(), [0, 0, 0]);
    assert_eq!(now(&journal, Side::Received), [line("/CN=x", "X", Outcome::Accepted, (120, 120))]);
    assert_eq!(now(&journal, Side::Sent), [line(A, "X", Outcome::Unanswered, (120, 120))]);
}

fn expire_all(journal: &Journal) {
    let later = SystemTime::now() + HOUR;
    // Counts of received messages follow their messages.
    (0..2).for_each(|_| assert!(journal.expire(later, 1000).unwrap().round));
}

fn rows(journal: &Journal, table: &str) -> i64 {
    journal.read(|db| db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))).unwrap()
}

#[test]
fn what_was_sent_is_counted_by_part_destination_and_answer() {
    let scratch = Scratch::new();
    let journal = scratch.open();
    prepare(&journal, "plain", vec![count(None, &[A], job(&[("X", 2), ("Y", 1)]))], false);
    assert_eq!(now(&journal, Side::Sent), [], "it is not sent yet");
    send(&journal, "plain", None);
    let parts = vec![count(Some(1), &[A, B], job(&[("X", 10)])), count(Some(2), &[A], job(&[("X", 5)]))];
    let dispatches = prepare(&journal, "split", parts, true);
    send(&journal, "split", Some(HOUR));
    let sent = |awaited_at_a| {
        vec![
            line(A, "X", Outcome::Unanswered, (1, 2)),
            line(A, "X", Outcome::Awaited, awaited_at_a),
            line(A, "Y", Outcome::Unanswered, (1, 1)),
            line(B, "X", Outcome::Awaited, (1, 10)),
        ]
    };
    let sorted = |mut lines: Vec<Line>| {
        lines.sort_by(|one, other| (&one.0, &one.1, one.3).cmp(&(&other.0, &other.1, other.3)));
        lines
    };
    assert_eq!(sorted(now(&journal, Side::Sent)), sent((2, 15)));
    assert_eq!(acknowledge(&journal, &dispatches[0], Verdict::Accepted), 1);
    assert_eq!(acknowledge(&journal, &dispatches[0], Verdict::Duplicate), 0);
    let mut expected = sent((1, 5));
    expected.insert(1, line(A, "X", Outcome::Accepted, (1, 10)));
    assert_eq!(sorted(now(&journal, Side::Sent)), expected);
    // It is sent again, which does not count once more; what is overdue is said.
    journal.repeat("c", &key("split"), SystemTime::now()).unwrap();
    assert_eq!(sorted(now(&journal, Side::Sent)), expected);
    journal.undo_repeat("c", &key("split"), false, SystemTime::now()).unwrap();
    journal.mark_overdue("c", &key("split"), false).unwrap();
    assert_eq!(acknowledge(&journal, &dispatches[1], Verdict::Rejected), 1);
    let ended = vec![
        line(A, "X", Outcome::Unanswered, (1, 2)),
        line(A, "X", Outcome::Accepted, (1, 10)),
        line(A, "X", Outcome::Overdue, (1, 5)),
        line(A, "Y", Outcome::Unanswered, (1, 1)),
        line(B, "X", Outcome::Rejected, (1, 10)),
    ];
    assert_eq!(sorted(now(&journal, Side::Sent)), ended);
    assert_eq!(journal.amounts(Side::Sent, "other", Month::of(SystemTime::now())).unwrap(), Amounts::new());
    assert_eq!(journal.amounts(Side::Received, "c", Month::of(SystemTime::now())).unwrap(), Amounts::new());
}

#[test]
fn what_was_sent_stays_in_its_month_when_its_rows_expire() {
    let scratch = Scratch::new();
    let journal = scratch.open();
    let one = |n: u64| vec![count(None, &[A], job(&[("X", n)]))];
    let accepted = prepare(&journal, "accepted", one(1), true);
    let rejected = prepare(&journal, "rejected", one(2), true);
    let waits = prepare(&journal, "waits", one(4), true);
    prepare(&journal, "refused", one(8), false);
    prepare(&journal, "plain", one(16), false);
    for text in ["accepted", "rejected", "waits"] {
        send(&journal, text, Some(HOUR));
    }
    send(&journal, "plain", None);
    journal.record_rejected("c", "refused", &key("refused"), "too large").unwrap();
    acknowledge(&journal, &accepted[0], Verdict::Accepted);
    acknowledge(&journal, &rejected[0], Verdict::Rejected);
    journal.record_rejected("c", "rejected", &key("rejected"), "by the receiver").unwrap();
    journal.end_retained("c", &[key("accepted"), key("rejected")]).unwrap();
    let before = journal.amounts(Side::Sent, "c", Month::of(SystemTime::now())).unwrap();
    let records = |amounts: &Amounts| {
        amounts.iter().map(|(cell, amount)| (cell.outcome, amount.records)).collect::<BTreeMap<_, _>>()
    };
    let expected = [(Outcome::Unanswered, 16), (Outcome::Accepted, 1), (Outcome::Rejected, 2), (Outcome::Awaited, 4)];
    assert_eq!(records(&before), expected.into());
    expire_all(&journal);
    assert_eq!((rows(&journal, "outgoing"), rows(&journal, "sent_count"), rows(&journal, "dispatch")), (1, 1, 1));
    drop(journal);
    let read = Journal::open_to_read(&scratch.path()).unwrap();
    assert_eq!(read.amounts(Side::Sent, "c", Month::of(SystemTime::now())).unwrap(), before);
    drop(read);
    let journal = scratch.open();
    assert_eq!(acknowledge(&journal, &rejected[0], Verdict::Accepted), 0, "what expired is not known any more");
    assert_eq!(acknowledge(&journal, &waits[0], Verdict::Accepted), 1, "what is retained has not expired");
    journal.end_retained("c", &[key("waits")]).unwrap();
    expire_all(&journal);
    let after = journal.amounts(Side::Sent, "c", Month::of(SystemTime::now())).unwrap();
    assert_eq!(records(&after), [(Outcome::Unanswered, 16), (Outcome::Accepted, 5), (Outcome::Rejected, 2)].into());
    assert_eq!(rows(&journal, "outgoing"), 0);
}

#[test]
fn a_message_that_is_sent_again_after_its_rejection_counts_once() {
    let scratch = Scratch::new();
    let journal = scratch.open();
    let one = || vec![count(None, &[A], job(&[("X", 1)]))];
    let first = prepare(&journal, "a", one(), true);
    send(&journal, "a", Some(HOUR));
    acknowledge(&journal, &first[0], Verdict::Rejected);
    journal.record_rejected("c", "a", &key("a"), "by the receiver").unwrap();
    journal.end_retained("c", &[key("a")]).unwrap();
    assert_eq!(now(&journal, Side::Sent), [line(A, "X", Outcome::Rejected, (1, 1))]);
    let second = prepare(&journal, "a", one(), true);
    send(&journal, "a", Some(HOUR));
    acknowledge(&journal, &second[0], Verdict::Accepted);
    assert_eq!(now(&journal, Side::Sent), [line(A, "X", Outcome::Accepted, (1, 1))]);
}

#[test]
fn a_redirected_message_keeps_the_destinations_that_answered() {
    let scratch = Scratch::new();
    let journal = scratch.open();
    let counts = |to: &[&str]| vec![count(None, to, job(&[("X", 1)]))];
    let first = prepare(&journal, "a", counts(&[A, B]), true);
    send(&journal, "a", Some(HOUR));
    acknowledge(&journal, &first[0], Verdict::Accepted);
    assert_eq!(
        now(&journal, Side::Sent),
        [line(A, "X", Outcome::Accepted, (1, 1)), line(B, "X", Outcome::Awaited, (1, 1))]
    );
    // Both are gone from the configuration; what was sent to B has no answer, and is not sent again.
    assert_eq!(journal.withdraw("c", &first).unwrap(), first[..1]);
    prepare(&journal, "a", counts(&[A]), false);
    assert_eq!(now(&journal, Side::Sent), [line(A, "X", Outcome::Accepted, (1, 1))]);
    assert_eq!(journal.withdraw("c", &first[..1]).unwrap(), first[..1], "an answer stays");
}

/// Commits a message of a signer.
fn take(journal: &Journal, text: &str, disposition: &Disposition, counted: Option<Counted>) -> Decision {
    let id = MessageId::parse(text).unwrap();
    let digest = content_digest(text.as_bytes());
    let key = Key { channel: "c".to_owned(), id, signer: "/CN=x".to_owned(), digest };
    let facts = Facts { counted, ..Facts::at(SystemTime::now()) };
    let sequence = Sequence::new("00c0ffee00c0ffee", 3).unwrap();
    let entry = Entry {
        key: &key,
        disposition,
        facts: &facts,
        moves: &[],
        redelivered: false,
        again: false,
        raw_digest: None,
        resolves: None,
        sequence: Some(&sequence),
        acknowledge: None,
        index: crate::journal::Indexed::default(),
    };
    journal.commit(&[entry], &[]).unwrap().decisions.remove(0)
}

#[test]
fn what_was_received_is_counted_once_with_its_last_decision() {
    let scratch = Scratch::new();
    let journal = scratch.open();
    let rejected = Disposition::Rejected { code: Code::PluginInvalid };
    let one = |n: u64| Some(job(&[("X", n)]));
    take(&journal, "a", &Disposition::Stored, one(1));
    take(&journal, "a", &Disposition::Stored, one(1));
    take(&journal, "b", &rejected, one(2));
    take(&journal, "c", &rejected, one(4));
    take(&journal, "c", &Disposition::Stored, one(4));
    take(&journal, "d", &Disposition::Dropped, one(8));
    take(&journal, "e", &Disposition::Deferred { next: SystemTime::now(), attempt: 0 }, one(16));
    take(&journal, "noid", &Disposition::Stored, one(32));
    take(&journal, "noid", &Disposition::Stored, one(32));
    take(&journal, "f", &rejected, None);
    let expected = [
        line("/CN=x", "X", Outcome::Unanswered, (1, 16)),
        line("/CN=x", "X", Outcome::Accepted, (5, 77)),
        line("/CN=x", "X", Outcome::Rejected, (1, 2)),
        line("/CN=x", "X", Outcome::Duplicate, (1, 1)),
    ];
    assert_eq!(now(&journal, Side::Received), expected);
    let streams = journal.amounts(Side::Received, "c", Month::of(SystemTime::now())).unwrap();
    assert!(streams.keys().all(|cell| cell.stream == "00c0ffee00c0ffee"));
    expire_all(&journal);
    assert_eq!(now(&journal, Side::Received), expected);
    assert_eq!((rows(&journal, "received"), rows(&journal, "received_count")), (1, 1), "the deferred one");
    expire_all(&journal);
    assert_eq!(now(&journal, Side::Received), expected);
}

#[test]
fn equal_messages_without_an_id_keep_their_own_decisions() {
    let rejected = Disposition::Rejected { code: Code::PluginInvalid };
    let deferred = Disposition::Deferred { next: SystemTime::now(), attempt: 0 };
    let (accepted_one, rejected_one) = ((Outcome::Accepted, 1), (Outcome::Rejected, 1));
    for (decisions, expected) in [
        (vec![&Disposition::Stored, &rejected], vec![accepted_one, rejected_one]),
        (vec![&rejected, &Disposition::Stored], vec![accepted_one, rejected_one]),
        (vec![&Disposition::Stored, &rejected, &Disposition::Stored], vec![(Outcome::Accepted, 2), rejected_one]),
        (vec![&deferred, &rejected], vec![(Outcome::Unanswered, 1), rejected_one]),
    ] {
        let scratch = Scratch::new();
        let journal = scratch.open();
        for disposition in decisions {
            take(&journal, "noid", disposition, Some(job(&[("X", 1)])));
        }
        let expected: Vec<Line> =
            expected.into_iter().map(|(outcome, times)| line("/CN=x", "X", outcome, (times, times))).collect();
        assert_eq!(now(&journal, Side::Received), expected);
        expire_all(&journal);
        assert_eq!(now(&journal, Side::Received), expected, "afterwards");
    }
}

#[test]
fn both_sides_put_a_message_into_the_month_of_its_id() {
    let october: Month = "2026-10".parse().unwrap();
    let at = |seconds: u64| i64::try_from(seconds * 1000).unwrap();
    let id = |seconds: u64| MessageId::parse(&format!("{:08x}/{seconds:08x}00000a", seconds - seconds % 60)).unwrap();
    let (sent, received) = (at(LAST_OF_OCTOBER + 60), at(LAST_OF_OCTOBER + 86_400 * 40));
    for id in [id(LAST_OF_OCTOBER), id(LAST_OF_OCTOBER).part(2)] {
        assert_eq!((month(&id, sent), month(&id, received)), (october, october));
    }
    let next = id(LAST_OF_OCTOBER + 1);
    assert_eq!(month(&next, sent).to_string(), "2026-11");
    assert_eq!(month(&next, at(LAST_OF_OCTOBER)).to_string(), "2026-11", "clocks may differ");
    // ARC's ids, ids of another time, and none.
    for text in ["20261031/20261031235959", "7fffffff/7fffffff00000a", "6b031234/x", "noid"] {
        let id = MessageId::parse(text).unwrap();
        assert_eq!(month(&id, at(LAST_OF_OCTOBER)), october, "{text}");
    }
}

#[test]
fn messages_without_a_count_are_listed_as_such_and_folded_too() {
    let scratch = Scratch::new();
    let journal = scratch.open();
    prepare(&journal, "a", Vec::new(), false);
    send(&journal, "a", None);
    take(&journal, "b", &Disposition::Stored, None);
    let tables = "DROP TABLE sent_count; DROP TABLE received_count; DROP TABLE total;";
    drop(journal);
    rusqlite::Connection::open(scratch.path()).unwrap().execute_batch(tables).unwrap();
    let uncounted = |peer: &str, outcome| (peer.to_owned(), String::new(), UNCOUNTED.to_owned(), outcome, 1, 0);
    let both = |journal: &Journal| [now(journal, Side::Sent), now(journal, Side::Received)];
    let expected = [vec![uncounted("", Outcome::Unanswered)], vec![uncounted("/CN=x", Outcome::Accepted)]];
    assert_eq!(both(&Journal::open_to_read(&scratch.path()).unwrap()), expected, "an older journal");
    let journal = scratch.open();
    assert_eq!(both(&journal), expected);
    expire_all(&journal);
    assert_eq!(rows(&journal, "outgoing") + rows(&journal, "received"), 0);
    assert_eq!(both(&journal), expected);
}

/// Numbers with acknowledgements, streams of amounts, and ids.
type Numbers = (Vec<Option<Sequence>>, Vec<String>, Vec<(String, String)>);

/// What each query says of the number of message `a`.
fn numbers_of_a(path: &Path, sequence: &Sequence) -> Numbers {
    let journal = Journal::open_to_read(path).unwrap();
    let proved = journal.proved("c", &key("a").id).unwrap();
    let amounts = journal.amounts(Side::Sent, "c", Month::of(SystemTime::now())).unwrap();
    let streams = amounts.into_keys().map(|cell| cell.stream).collect();
    (proved.into_iter().map(|one| one.sequence).collect(), streams, journal.ids_of_sequence(sequence).unwrap())
}

#[test]
fn a_message_keeps_its_number_after_the_journal_was_copied() {
    let scratch = Scratch::new();
    let journal = scratch.open();
    let sent = prepare(&journal, "a", vec![count(None, &[A], job(&[("X", 1)]))], true).remove(0);
    send(&journal, "a", Some(HOUR));
    assert_eq!(acknowledge(&journal, &sent, Verdict::Accepted), 1);
    drop(journal);
    let old = sent.sequence.unwrap();
    let copy = scratch.0.path().join("copy");
    std::fs::copy(scratch.path(), &copy).unwrap();
    let journal = Journal::open(&copy).unwrap();
    let new = prepare(&journal, "b", vec![count(None, &[A], job(&[("X", 1)]))], true).remove(0).sequence.unwrap();
    assert_ne!(new.stream(), old.stream());
    let id = |text: &str| vec![("c".to_owned(), text.to_owned())];
    let numbers = (vec![Some(old.clone())], vec![old.stream().to_owned()]);
    assert_eq!(numbers_of_a(&copy, &old), (numbers.0.clone(), numbers.1.clone(), id("a")));
    assert_eq!(journal.ids_of_sequence(&new).unwrap(), id("b"));
    for mixed in [Sequence::new(new.stream(), old.number()), Sequence::new(old.stream(), new.number())] {
        assert_eq!(journal.ids_of_sequence(&mixed.unwrap()).unwrap(), [], "no message was sent as that");
    }
    let plan: Vec<String> = journal
        .read(|db| {
            let sql = format!("EXPLAIN QUERY PLAN {}", super::super::released::of_sequence(db)?);
            db.prepare(&sql)?.query_map((old.stream(), 1), |row| row.get(3))?.collect()
        })
        .unwrap();
    assert!(plan.iter().any(|step| step.contains("SEARCH d USING PRIMARY KEY (channel=?)")), "{plan:?}");
    // One from before there were other names.
    rusqlite::Connection::open(scratch.path()).unwrap().execute_batch("DROP TABLE former_stream").unwrap();
    assert_eq!(numbers_of_a(&scratch.path(), &old), (numbers.0, numbers.1, id("a")));
    let kept = Journal::open_to_read(&scratch.path()).unwrap().kept("c", None, 1).unwrap();
    assert_eq!(kept[0].dispatches[0].sequence, Some(old));
}
