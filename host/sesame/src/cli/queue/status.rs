//! `sesame queue status`: one line for each channel with what is in each state, and since when the oldest is.
//!
//! It reads queues and journals, needs no lock and works beside a running Sesame. A journal from before acknowledgements
//! has none. How many messages were sent and acknowledged is not counted: the journal has no such number, and to count
//! its rows takes about a second for each million of them.

use std::path::Path;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::super::{EXIT_DONE, EXIT_FAILED, QueueStatus, output};
use super::list::summary;
use super::{Place, places, say, select};
use crate::cli::context::{journal_in, say_not_run};
use crate::config::{Config, Kind};
use message::cause::chain;
use spool::journal::{Journal, JournalError};

/// How many there are, and since when the oldest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    count: u64,
    oldest: Option<SystemTime>,
}

impl Tally {
    fn and(self, other: Self) -> Self {
        let oldest = [self.oldest, other.oldest].into_iter().flatten().min();
        Self { count: self.count + other.count, oldest }
    }
}

/// Something that is counted: its name in JSON, and the number; `None` where it could not be read.
type Counted = (&'static str, Option<Tally>);

const SENDER: [&str; 5] = ["outgoing", "unacknowledged", "overdue", "released", "rejected"];
const RECEIVER: [&str; 4] = ["incoming", "deferred", "rejected", "owed"];

pub(super) fn run(config: &Config, arguments: &QueueStatus) -> anyhow::Result<u8> {
    let selection = match select(config, &arguments.channels, Kind::Any) {
        Ok(selection) => selection,
        Err(status) => return Ok(status),
    };
    let places = places(config, &selection);
    let senders = selection.senders.iter().map(|name| (name, sender(config, name, &places))).collect::<Vec<_>>();
    let receivers = selection.receivers.iter().map(|name| (name, receiver(config, name, &places))).collect::<Vec<_>>();
    let mut complete = true;
    for (role, names, channels) in [("sender", &SENDER[..], senders), ("receiver", &RECEIVER[..], receivers)] {
        let headings: Vec<String> = std::iter::once(&role).chain(names).map(|name| name.to_uppercase()).collect();
        let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
        let mut table = output::Table::new(&headings);
        for (name, counted) in &channels {
            complete &= counted.iter().all(|(_, tally)| tally.is_some());
            table.row(std::iter::once((*name).clone()).chain(counted.iter().map(|(_, tally)| cell(*tally))));
            if arguments.json {
                output::json(&json_of(role, name, counted));
            }
        }
        if !arguments.json && !channels.is_empty() {
            table.print();
        }
    }
    Ok(if complete { EXIT_DONE } else { EXIT_FAILED })
}

fn cell(tally: Option<Tally>) -> String {
    match tally {
        None => "not readable".to_owned(),
        Some(Tally { count, oldest: Some(oldest) }) if count > 0 => format!("{count} ({})", output::age_since(oldest)),
        Some(Tally { count, .. }) => count.to_string(),
    }
}

fn json_of(role: &str, channel: &str, counted: &[Counted]) -> Value {
    let mut value = json!({ "channel": channel, "role": role });
    if let Some(members) = value.as_object_mut() {
        for (name, tally) in counted {
            let tally = tally.map(|one| json!({ "messages": one.count, "oldest": one.oldest.map(output::time) }));
            members.insert((*name).to_owned(), tally.unwrap_or(Value::Null));
        }
    }
    value
}

/// The counts of a sender.
fn sender(config: &Config, name: &str, places: &[Place]) -> Vec<Counted> {
    let state = config.senders.get(name).map(|sender| sender.state.as_path());
    let kept = read(name, state, |journal| Ok((journal.retained(name)?, journal.count_released(name)?)));
    let (retained, released) = kept.unzip();
    let released = released.map(|(count, oldest)| Tally { count, oldest });
    let unacknowledged = retained.map(|all| Tally { count: all.messages, oldest: all.oldest });
    let overdue = retained.map(|all| Tally { count: all.overdue, oldest: None });
    let queue = |queue: &str| tally(config, places, name, |name| name == queue);
    let tallies = [queue("outgoing"), unacknowledged, overdue, released, queue("reject")];
    SENDER.into_iter().zip(tallies).collect()
}

/// The counts of a receiver. Those of its routes' queues are in that of incoming.
fn receiver(config: &Config, name: &str, places: &[Place]) -> Vec<Counted> {
    let spool = config.receivers.get(name).map(|receiver| receiver.spool.as_path());
    let owed = read(name, spool, |journal| journal.count_owed(name)).map(|(count, oldest)| Tally { count, oldest });
    let queue = |queue: &str| tally(config, places, name, |name| name == queue);
    let incoming = tally(config, places, name, |queue| !["deferred", "reject"].contains(&queue));
    RECEIVER.into_iter().zip([incoming, queue("deferred"), queue("reject"), owed]).collect()
}

/// The elements of a channel's queues with such a name. What cannot be read is reported.
fn tally(config: &Config, places: &[Place], channel: &str, named: impl Fn(&str) -> bool) -> Option<Tally> {
    let mut total = Some(Tally::default());
    for place in places.iter().filter(|place| place.channel == channel && named(&place.name)) {
        let counted = summary(config, place).map_err(|error| report(&error)).ok();
        let counted =
            counted.map(|one| Tally { count: u64::try_from(one.count).unwrap_or(u64::MAX), oldest: one.oldest });
        total = total.zip(counted).map(|(total, one)| total.and(one));
    }
    total
}

/// What the journal in a directory says; nothing where there is none yet, which is said. What cannot be read is reported.
fn read<T: Default>(
    channel: &str,
    directory: Option<&Path>,
    query: impl FnOnce(&Journal) -> Result<T, JournalError>,
) -> Option<T> {
    let directory = directory?;
    match journal_in(directory) {
        Ok(None) => {
            say_not_run(channel, directory);
            Some(T::default())
        }
        Ok(Some(journal)) => query(&journal).map_err(|error| report(&error)).ok(),
        Err(error) => {
            report(&error);
            None
        }
    }
}

fn report(error: &(dyn std::error::Error + 'static)) {
    say(&format!("sesame: {}", chain(error)));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::Site;
    use super::*;
    use crate::channel::JOURNAL;
    use message::acknowledgement::{Acknowledgement, ContentDigest, Verdict};
    use message::{MessageId, Output, content_digest};
    use spool::Outgoing;
    use spool::journal::{Acknowledge, Dispatch, Disposition, Entry, Facts, Key, Prepared, PreparedKey, Proof, Sent};

    fn id(text: &str) -> MessageId {
        MessageId::parse(text).unwrap()
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn of_sender(site: &Site) -> [Option<Tally>; 5] {
        let places = places(&site.config, &select(&site.config, &[], Kind::Any).unwrap());
        let tallies: Vec<_> = sender(&site.config, "cpu", &places).into_iter().map(|(_, tally)| tally).collect();
        tallies.try_into().unwrap()
    }

    fn of_receiver(site: &Site) -> [Option<Tally>; 4] {
        let places = places(&site.config, &select(&site.config, &[], Kind::Any).unwrap());
        let tallies: Vec<_> = receiver(&site.config, "central", &places).into_iter().map(|(_, tally)| tally).collect();
        tallies.try_into().unwrap()
    }

    /// Sends a message that is retained from then on.
    fn send(journal: &Journal, text: &str, sent_at: SystemTime) -> Dispatch {
        let key = PreparedKey { id: id(text), digest: content_digest(text.as_bytes()) };
        let dispatch = Dispatch {
            id: id(text),
            destination: "/queue/cpu".to_owned(),
            digest: key.digest,
            sequence: None,
            open: true,
        };
        let mut rows = [Prepared {
            key: key.clone(),
            element: text.to_owned(),
            outputs: vec![Output::default()],
            pipeline: String::new(),
            attempts: 0,
            dispatches: vec![dispatch],
            counts: Vec::new(),
            repeated: false,
        }];
        journal.record_prepared("cpu", &mut rows).unwrap();
        let (broker, retain) = ("mq:1".to_owned(), Some(Duration::from_secs(60)));
        journal.record_sent("cpu", &[Sent { key, broker, at: sent_at, detail: None, retain }]).unwrap();
        rows[0].dispatches[0].clone()
    }

    /// Decides about a message that is to be acknowledged.
    fn receive(journal: &Journal, text: &str) {
        let digest = content_digest(text.as_bytes());
        let key = Key { channel: "central".to_owned(), id: id(text), signer: "/CN=x".to_owned(), digest };
        let (facts, signer) = (Facts::at(SystemTime::now()), "CN=x".to_owned());
        let acknowledge = Acknowledge { destination: "/queue/back".to_owned(), signer, code: None };
        let entry = Entry {
            key: &key,
            disposition: &Disposition::Stored,
            facts: &facts,
            moves: &[],
            redelivered: false,
            again: false,
            raw_digest: None,
            resolves: None,
            sequence: None,
            acknowledge: Some(&acknowledge),
            index: spool::journal::Indexed::default(),
        };
        journal.commit(&[entry], &[]).unwrap();
    }

    #[test]
    fn a_channel_without_queues_and_journal_has_nothing() {
        let site = Site::new();
        assert_eq!((of_sender(&site), of_receiver(&site)), ([Some(Tally::default()); 5], [Some(Tally::default()); 4]));
    }

    #[test]
    fn a_sender_shows_what_waits_and_what_is_not_acknowledged_beside_a_running_one() {
        let site = Site::new();
        let settings = &site.config.senders["cpu"];
        std::fs::create_dir_all(&settings.state).unwrap();
        // As a running Sesame has it open.
        let journal = Journal::open(&settings.state.join(JOURNAL)).unwrap();
        Outgoing::open(&settings.queue, settings.format).unwrap().add(None, b"a: 1\n").unwrap();
        let sent: Vec<Dispatch> =
            [("a", 3_000), ("b", 1_000), ("c", 2_000)].map(|(text, since)| send(&journal, text, at(since))).into();
        journal.mark_overdue("cpu", &PreparedKey { id: id("c"), digest: sent[2].digest }, false).unwrap();
        let [outgoing, unacknowledged, overdue, released, rejected] = of_sender(&site).map(Option::unwrap);
        assert_eq!((outgoing.count, overdue.count, released.count, rejected.count), (1, 1, 0, 0));
        assert!(outgoing.oldest.is_some());
        assert_eq!(unacknowledged, Tally { count: 3, oldest: Some(at(1_000)) });
        let line = Acknowledgement {
            id: id("b"),
            digest: ContentDigest(sent[1].digest),
            signer: "CN=x".to_owned(),
            verdict: Verdict::Accepted,
            code: None,
            reason: None,
            at: "2026-11-22T16:40:47Z".to_owned(),
            element: None,
            sequence: sent[1].sequence.clone(),
        };
        let proof = Proof { receiver: "CN=x", raw: b"x", at: SystemTime::now() };
        journal.take_acknowledgements("cpu", &proof, &[line]).unwrap();
        journal.end_retained("cpu", &[PreparedKey { id: id("b"), digest: sent[1].digest }]).unwrap();
        assert_eq!(of_sender(&site)[1], Some(Tally { count: 2, oldest: Some(at(2_000)) }));
    }

    #[test]
    fn a_receiver_shows_what_it_owes_and_the_queues_of_its_routes_as_incoming() {
        let site = Site::new();
        let spool = &site.config.receivers["central"].spool;
        let journal = Journal::open(&spool.join(JOURNAL)).unwrap();
        receive(&journal, "a");
        receive(&journal, "b");
        for (queue, number) in [("incoming", 2), ("incoming-cloud", 1), ("deferred", 3), ("reject", 4)] {
            for element in 0..number {
                let folder = spool.join(queue).join("00000000").join(format!("6b03126398f93{element}"));
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(folder.join("body"), b"x").unwrap();
            }
        }
        let shown = of_receiver(&site).map(Option::unwrap);
        assert_eq!(shown.map(|one| one.count), [3, 3, 4, 2]);
        assert!(shown.iter().all(|one| one.oldest.is_some()));
        assert!(cell(Some(shown[0])).starts_with("3 ("), "{}", cell(Some(shown[0])));
    }

    #[test]
    fn a_journal_from_before_acknowledgements_has_none() {
        let site = Site::new();
        let path = site.config.senders["cpu"].state.join(JOURNAL);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        drop(Journal::open(&path).unwrap());
        let old = "DROP TABLE dispatch; DROP TABLE stream; DROP TABLE proof; DROP TABLE retained; DROP TABLE owed;";
        rusqlite::Connection::open(&path).unwrap().execute_batch(old).unwrap();
        assert_eq!(of_sender(&site), [Some(Tally::default()); 5]);
    }

    #[test]
    fn what_cannot_be_read_is_not_shown_as_nothing() {
        let site = Site::new();
        std::fs::write(site.config.receivers["central"].spool.join(JOURNAL), vec![b'x'; 4096]).unwrap();
        let shown = of_receiver(&site);
        assert_eq!(shown.map(|one| one.is_some()), [true, true, true, false]);
        let json = json_of("receiver", "central", &receiver(&site.config, "central", &[]));
        assert_eq!((&json["owed"], &json["incoming"]["messages"]), (&Value::Null, &json!(0)));
        let arguments = QueueStatus { channels: vec!["central".to_owned()], json: true };
        assert_eq!(run(&site.config, &arguments).unwrap(), EXIT_FAILED);
        // Nor is a directory that is none.
        std::fs::write(&site.config.senders["cpu"].state, b"").unwrap();
        assert_eq!(of_sender(&site).map(|one| one.is_some()), [true, false, false, false, true]);
    }
}
