use super::*;
use crate::journal::{Disposition, Entry, Facts, Key};
use message::{Code, MessageId, content_digest};
use std::time::{Duration, UNIX_EPOCH};

const STREAM: &str = "00c0ffee00c0ffee";
const SIGNER: &str = "/CN=x";

struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self) -> Journal {
        Journal::open(&self.0.path().join("journal")).unwrap()
    }
}

fn later() -> SystemTime {
    SystemTime::now() + Duration::from_secs(1)
}

fn commit(journal: &Journal, signer: &str, stream: &str, number: u64, disposition: &Disposition) {
    let id = MessageId::parse(&format!("{stream}/{number}")).unwrap();
    let digest = content_digest(id.as_str().as_bytes());
    let key = Key { channel: "c".to_owned(), id, signer: signer.to_owned(), digest };
    let facts = Facts::at(SystemTime::now());
    let sequence = Sequence::new(stream, number).unwrap();
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
    journal.commit(&[entry], &[]).unwrap();
}

fn come(journal: &Journal, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        commit(journal, SIGNER, STREAM, number, &Disposition::Stored);
    }
}

fn missing(journal: &Journal) -> Vec<(u64, u64)> {
    journal.gaps("c").unwrap().iter().map(|gap| (gap.first, gap.last)).collect()
}

fn unreported(journal: &Journal) -> Vec<Gap> {
    journal.unreported_gaps("c", later(), 100).unwrap()
}

fn statements(journal: &Journal, numbers: std::ops::RangeInclusive<u64>) -> i64 {
    let total = |db: &Connection| db.query_row("SELECT total_changes()", [], |row| row.get::<_, i64>(0));
    let before = journal.read(total).unwrap();
    for number in numbers {
        let sequence = Sequence::new(STREAM, number).unwrap();
        journal.write(|db| arrive(db, (1, 1), &sequence, 5)).unwrap();
    }
    journal.read(total).unwrap() - before
}

#[test]
fn nothing_is_missing_of_what_comes_in_order_twice_or_reordered() {
    let folder = Scratch::new();
    let journal = folder.open();
    come(&journal, [1, 2, 3, 3, 1, 4, 6, 5, 9, 8, 7, 10, 6]);
    assert_eq!(missing(&journal), []);
    come(&journal, [12]);
    assert_eq!(missing(&journal), [(11, 11)], "10 was the last in order");
}

#[test]
fn the_next_number_in_order_is_one_changed_row() {
    let folder = Scratch::new();
    let journal = folder.open();
    assert_eq!(statements(&journal, 1..=1), 1);
    assert_eq!(statements(&journal, 2..=101), 100);
}

#[test]
fn a_message_that_came_is_not_missing_whatever_was_decided() {
    let folder = Scratch::new();
    let journal = folder.open();
    let all = [
        Disposition::Stored,
        Disposition::Dropped,
        Disposition::Deferred { next: SystemTime::now(), attempt: 0 },
        Disposition::Rejected { code: Code::PluginInvalid },
        Disposition::Stored,
    ];
    for (number, disposition) in (1..).zip(&all) {
        commit(&journal, SIGNER, STREAM, number, disposition);
    }
    assert_eq!(missing(&journal), []);
    come(&journal, [7]);
    journal.arrived("c", SIGNER, &Sequence::new(STREAM, 6).unwrap()).unwrap();
    assert_eq!(missing(&journal), []);
}

#[test]
fn late_messages_close_gaps_from_either_end_and_in_the_middle() {
    let folder = Scratch::new();
    let journal = folder.open();
    come(&journal, [1, 10]);
    assert_eq!(missing(&journal), [(2, 9)]);
    let since = journal.gaps("c").unwrap()[0].since;
    come(&journal, [2, 9, 5]);
    assert_eq!(missing(&journal), [(3, 4), (6, 8)]);
    let gaps = journal.gaps("c").unwrap();
    assert!(gaps.iter().all(|gap| gap.since == since), "what is left is missing since then");
    assert_eq!(gaps.iter().map(Gap::messages).sum::<u64>(), 5);
    come(&journal, [7, 7, 3, 4, 6]);
    assert_eq!(missing(&journal), [(8, 8)]);
    come(&journal, [8]);
    assert_eq!(missing(&journal), []);
}

#[test]
fn a_stream_is_watched_from_the_first_number_that_comes() {
    let folder = Scratch::new();
    let journal = folder.open();
    come(&journal, [500, 498, 501, 503]);
    assert_eq!(missing(&journal), [(502, 502)]);
}

#[test]
fn a_jump_to_the_highest_number_is_one_gap() {
    let folder = Scratch::new();
    let journal = folder.open();
    come(&journal, [1, u64::MAX, u64::MAX - 1, 2, 3]);
    assert_eq!(missing(&journal), [(4, i64::MAX.unsigned_abs() - 1)]);
    assert_eq!(journal.omitted("c").unwrap(), []);
}

#[test]
fn streams_signers_and_channels_are_apart() {
    let folder = Scratch::new();
    let journal = folder.open();
    let stored = Disposition::Stored;
    for (signer, stream, number) in [("/CN=x", STREAM, 1), ("/CN=y", STREAM, 3), ("/CN=x", "00000000deadbeef", 5)] {
        commit(&journal, signer, stream, number, &stored);
        commit(&journal, signer, stream, number + 2, &stored);
    }
    let gaps = journal.gaps("c").unwrap();
    let found: Vec<_> = gaps.iter().map(|gap| (gap.signer.as_str(), gap.stream.as_str(), gap.first)).collect();
    assert_eq!(found, [("/CN=x", "00000000deadbeef", 6), ("/CN=x", STREAM, 2), ("/CN=y", STREAM, 4)]);
    assert_eq!(journal.gaps("other").unwrap(), []);
}

#[test]
fn a_stream_has_so_many_gaps_and_the_rest_is_counted() {
    let folder = Scratch::new();
    let journal = folder.open();
    let most = MOST_GAPS.unsigned_abs();
    come(&journal, [1]);
    come(&journal, (1..=most).map(|n| 3 * n + 1));
    assert_eq!(missing(&journal).len() as u64, most);
    assert_eq!(journal.omitted("c").unwrap(), []);
    let end = 3 * most + 1;
    come(&journal, [end + 5, end + 7]);
    assert_eq!(missing(&journal).len() as u64, most);
    let omitted = journal.unreported_omitted("c").unwrap();
    assert_eq!((omitted[0].messages, omitted[0].signer.as_str()), (5, SIGNER));
    journal.omitted_reported("c", &omitted).unwrap();
    assert_eq!(journal.unreported_omitted("c").unwrap(), [], "it is reported once");
    assert_eq!(journal.omitted("c").unwrap().len(), 1);
    // A gap that closes makes room for another.
    come(&journal, [2, 3, end + 9]);
    assert!(missing(&journal).contains(&(end + 8, end + 8)));
    // No room for both parts of one that falls in two.
    come(&journal, [end + 100, 5, 6, end + 200, end + 110]);
    let gaps = missing(&journal);
    assert_eq!((gaps.len() as u64, gaps.last()), (most, Some(&(end + 111, end + 199))), "the longer part stays");
    assert_eq!(journal.omitted("c").unwrap()[0].messages, 5 + 90 + 9);
}

#[test]
fn a_signer_has_so_many_streams_and_those_with_gaps_stay() {
    let folder = Scratch::new();
    let journal = folder.open();
    let stored = Disposition::Stored;
    come(&journal, [1, 3]);
    for n in 0..MOST_STREAMS * 2 {
        commit(&journal, SIGNER, &format!("{n:016x}"), 1, &stored);
    }
    let streams = journal.read(|db| db.query_row("SELECT count(*) FROM watched", [], |row| row.get::<_, i64>(0)));
    assert_eq!(streams.unwrap(), MOST_STREAMS);
    assert_eq!(missing(&journal), [(2, 2)]);
    // If each has gaps, the one that was silent for the longest is replaced with its gaps.
    for n in 0..MOST_STREAMS {
        commit(&journal, SIGNER, &format!("{n:015x}a"), 1, &stored);
        commit(&journal, SIGNER, &format!("{n:015x}a"), 3, &stored);
    }
    let gaps = journal.gaps("c").unwrap();
    assert!(gaps.len() <= MOST_STREAMS as usize && gaps.iter().all(|gap| gap.stream != STREAM), "{}", gaps.len());
}

#[test]
fn a_gap_is_reported_once_and_so_is_its_end_also_across_restarts() {
    let folder = Scratch::new();
    let journal = folder.open();
    come(&journal, [1, 5, 7]);
    assert_eq!(journal.unreported_gaps("c", UNIX_EPOCH, 100).unwrap(), [], "not yet missing for so long");
    let gaps = unreported(&journal);
    assert_eq!(gaps.len(), 2);
    journal.gaps_reported("c", &gaps).unwrap();
    drop(journal);
    let journal = folder.open();
    assert_eq!(unreported(&journal), []);
    come(&journal, [3, 2]);
    assert_eq!(unreported(&journal), [], "what is left of a reported gap is no other");
    assert_eq!(journal.closed_gaps("c", 9).unwrap(), []);
    come(&journal, [4]);
    drop(journal);
    let journal = folder.open();
    let closed = journal.closed_gaps("c", 9).unwrap();
    assert_eq!(closed, gaps[..1], "the whole gap as it was reported");
    journal.forget_closed_gaps("c", &closed).unwrap();
    assert_eq!(journal.closed_gaps("c", 9).unwrap(), []);
    assert_eq!(missing(&journal), [(6, 6)]);
}

#[test]
fn a_gap_that_closes_before_it_is_reported_is_silent_and_while_it_is_reported_is_not() {
    let folder = Scratch::new();
    let journal = folder.open();
    come(&journal, [1, 3, 2]);
    assert_eq!((unreported(&journal), journal.closed_gaps("c", 9).unwrap()), (Vec::new(), Vec::new()));
    come(&journal, [5]);
    let gaps = unreported(&journal);
    come(&journal, [4]);
    journal.gaps_reported("c", &gaps).unwrap();
    assert_eq!(journal.closed_gaps("c", 9).unwrap(), gaps);
}

#[test]
fn silent_streams_and_old_gaps_expire() {
    let folder = Scratch::new();
    let journal = folder.open();
    come(&journal, [1, 3]);
    journal.expire(UNIX_EPOCH + Duration::from_secs(1), 10).unwrap();
    assert_eq!(missing(&journal), [(2, 2)]);
    journal.expire(later(), 10).unwrap();
    assert_eq!(missing(&journal), []);
    come(&journal, [9, 10]);
    assert_eq!(missing(&journal), [], "the stream is watched from here");
}

#[test]
fn a_journal_from_before_is_read_without_gaps() {
    let folder = Scratch::new();
    let journal = folder.open();
    come(&journal, [1, 3]);
    journal.write(|db| db.execute_batch("DROP TABLE gap; DROP TABLE watched")).unwrap();
    drop(journal);
    let journal = Journal::open_to_read(&folder.0.path().join("journal")).unwrap();
    assert_eq!((missing(&journal), journal.omitted("c").unwrap()), (Vec::new(), Vec::new()));
}

fn gap(journal: &Journal, first: u64) -> Gap {
    journal.gaps("c").unwrap().into_iter().find(|gap| gap.first == first).unwrap()
}

fn place(journal: &Journal, number: u64) -> Whereabouts {
    let found = journal.whereabouts("c", &Sequence::new(STREAM, number).unwrap()).unwrap();
    assert_eq!((found.len(), found[0].0.as_str()), (1, SIGNER));
    found[0].1.clone()
}

#[test]
fn a_dismissed_gap_is_no_longer_missing_and_its_message_may_still_come() {
    let scratch = Scratch::new();
    let journal = scratch.open();
    come(&journal, [2, 5, 9]);
    let first = gap(&journal, 3);
    assert_eq!(place(&journal, 4), Whereabouts::Missing(first.since));
    let dismissed = journal.dismiss_gaps("c", std::slice::from_ref(&first), &[]).unwrap();
    assert_eq!((dismissed.len(), dismissed[0].range, dismissed[0].messages), (1, Some((3, 4)), 2));
    assert_eq!(journal.dismiss_gaps("c", &[first], &[]).unwrap(), [], "once");
    assert_eq!(missing(&journal), [(6, 8)]);
    assert!(matches!(place(&journal, 4), Whereabouts::Dismissed(_)));
    assert_eq!(
        [1, 2, 10].map(|number| place(&journal, number)),
        [Whereabouts::Before, Whereabouts::Came, Whereabouts::NotYet]
    );
    assert_eq!(journal.unlogged_dismissals("c", 10).unwrap().len(), 1);
    journal.dismissals_logged("c", &journal.unlogged_dismissals("c", 10).unwrap()).unwrap();
    assert_eq!(journal.unlogged_dismissals("c", 10).unwrap(), []);
    come(&journal, [4, 3]);
    assert_eq!((missing(&journal), journal.closed_gaps("c", 10).unwrap()), (vec![(6, 8)], vec![]));
    drop(journal);
    assert!(matches!(place(&scratch.open(), 4), Whereabouts::Dismissed(_)), "it is on record");
}

#[test]
fn a_gap_that_changed_since_it_was_read_is_not_dismissed() {
    let journal_at = Scratch::new();
    let journal = journal_at.open();
    come(&journal, [1, 5]);
    let read = gap(&journal, 2);
    come(&journal, [4]);
    assert_eq!((journal.dismiss_gaps("c", &[read], &[]).unwrap(), missing(&journal)), (vec![], vec![(2, 3)]));
}

#[test]
fn what_is_left_of_a_reported_gap_ends_on_its_own_once_the_rest_is_dismissed() {
    let scratch = Scratch::new();
    let journal = scratch.open();
    come(&journal, [1, 9]);
    journal.gaps_reported("c", &unreported(&journal)).unwrap();
    come(&journal, [5]);
    journal.dismiss_gaps("c", &[gap(&journal, 6)], &[]).unwrap();
    come(&journal, [2, 3, 4]);
    let closed = journal.closed_gaps("c", 10).unwrap();
    assert_eq!(closed.iter().map(|gap| (gap.first, gap.last)).collect::<Vec<_>>(), [(2, 4)]);
    // One that is dismissed while it is reported has not come.
    come(&journal, [12]);
    let read = unreported(&journal);
    journal.dismiss_gaps("c", &read, &[]).unwrap();
    journal.gaps_reported("c", &read).unwrap();
    assert_eq!(journal.closed_gaps("c", 10).unwrap().len(), 1);
}

#[test]
fn messages_that_are_only_counted_are_dismissed_as_one() {
    let scratch = Scratch::new();
    let journal = scratch.open();
    come(&journal, (0..258).map(|number| number * 2 + 1));
    let counted = journal.omitted("c").unwrap();
    assert_eq!(counted[0].messages, 1);
    let dismissed = journal.dismiss_gaps("c", &[], &counted).unwrap();
    assert_eq!((dismissed[0].range, dismissed[0].messages, journal.omitted("c").unwrap()), (None, 1, vec![]));
    assert_eq!(journal.unlogged_dismissals("c", 10).unwrap(), dismissed_as_read(&dismissed));
}

/// As the journal gives them back: in milliseconds.
fn dismissed_as_read(all: &[Dismissed]) -> Vec<Dismissed> {
    let whole = |at: SystemTime| moment(milliseconds(at));
    all.iter().map(|one| Dismissed { at: whole(one.at), since: whole(one.since), ..one.clone() }).collect()
}
