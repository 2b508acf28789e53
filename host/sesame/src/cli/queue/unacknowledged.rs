//! Messages of a sender that are kept until they are acknowledged: `sesame queue list` lists them, `sesame queue repeat`
//! sends them again now, and `sesame queue release` gives them up.
//!
//! # Beside a running Sesame
//! A repeat is a request in the journal: the running sender finds it within seconds, the next one to start at its start. A
//! release is first noted in the journal, after which no Sesame sends the message again; then its content is removed, and at
//! last its row. After a crash in between, the sender goes on with that.

use std::time::SystemTime;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::super::context::journal_in;
use super::super::{EXIT_CONFIGURATION, EXIT_DONE, EXIT_FAILED, EXIT_USAGE, output};
use super::super::{QueueList, QueueRelease, QueueRepeat, Unacknowledged};
use super::{say, select};
use crate::channel::JOURNAL;
use crate::config::{self, Config, Kind};
use crate::sender::OLDEST_REPEAT;
use crate::service::RETAINED;
use message::MessageId;
use message::acknowledgement::Sequence;
use spool::journal::{Asked, Journal, JournalError, Kept, KeptState, PreparedKey};
use spool::{Outgoing, RetainedElements};

/// Their name among the queues.
pub(super) const NAME: &str = "unacknowledged";
/// Messages that are read, or changed, together.
const PAGE: usize = 500;
/// What the journal says of a message that was released.
const WHY: &str = "released by an operator";

/// The senders among the channels in `names` (none means all). Reports wrong names and, if they are `wanted`, that there
/// are none; returns the exit status for it.
pub(super) fn senders(config: &Config, names: &[String], wanted: bool) -> Result<Vec<String>, u8> {
    let selection = select(config, names, Kind::Any)?;
    let found: Vec<String> = selection.senders.into_iter().collect();
    if wanted && found.is_empty() {
        say(
            "sesame: none of these channels sends: the sending side keeps what is not acknowledged, so run this command there; \
             what a receiver lacks is listed by `sesame gaps`",
        );
        return Err(EXIT_USAGE);
    }
    Ok(found)
}

/// Lists what is kept of a channel, or counts it.
pub(super) fn list(
    config: &Config,
    channel: &str,
    arguments: &QueueList,
    table: &mut output::Table,
) -> anyhow::Result<()> {
    let Some(sender) = config.senders.get(channel) else { return Ok(()) };
    let place = sender.state.join(RETAINED);
    let journal = journal_in(&sender.state)?;
    let count = journal.as_ref().map(|journal| journal.retained(channel)).transpose()?.unwrap_or_default();
    if sender.acknowledgements.is_none() && count.messages == 0 && arguments.queue.is_none() {
        return Ok(());
    }
    if !arguments.long {
        let oldest = count.oldest.map_or_else(|| "-".to_owned(), output::age_since);
        let directory = place.display().to_string();
        if arguments.json {
            output::json(&json!({
                "channel": channel, "queue": NAME, "directory": directory, "messages": count.messages,
                "overdue": count.overdue, "oldest": count.oldest.map(output::time), "exists": place.exists(),
            }));
        } else {
            table.row([channel.to_owned(), NAME.to_owned(), count.messages.to_string(), oldest, directory]);
        }
        return Ok(());
    }
    if !arguments.json {
        output::line(&format!("{channel} {NAME} ({})", place.display()));
    }
    let Some(journal) = journal else { return Ok(()) };
    let mut pages = Pages::default();
    while let Some(page) = pages.next(&journal, channel)? {
        for kept in &page {
            if arguments.json { output::json(&json_of(channel, kept)) } else { output::line(&line_of(kept)) }
        }
    }
    Ok(())
}

/// Walks through what is kept.
#[derive(Default)]
struct Pages {
    after: Option<PreparedKey>,
}

impl Pages {
    /// The next page; `None` at the end.
    fn next(&mut self, journal: &Journal, channel: &str) -> Result<Option<Vec<Kept>>, JournalError> {
        let page = journal.kept(channel, self.after.as_ref(), PAGE)?;
        let Some(last) = page.last() else { return Ok(None) };
        self.after = Some(last.key.clone());
        Ok(Some(page))
    }
}

fn line_of(kept: &Kept) -> String {
    let age = output::age_since(kept.since);
    let mut line = format!("  {}  {age:>8}  {}  repeats {}", kept.key.id, kept.state.word(), kept.repeats);
    if let Some(next) = kept.next {
        line.push_str(&format!("  next {}", output::time(next)));
    }
    for sent in &kept.dispatches {
        let part = if sent.id == kept.key.id { String::new() } else { format!("part {} ", sent.id) };
        let done = if sent.open { "" } else { " (not awaited)" };
        let number = sent.sequence.as_ref().map(|sequence| format!(" {sequence}")).unwrap_or_default();
        line.push_str(&format!("  {part}to {}{number}{done}", sent.destination));
    }
    line
}

fn json_of(channel: &str, kept: &Kept) -> Value {
    let sent = kept.dispatches.iter().map(
        |one| json!({ "id": one.id, "destination": one.destination, "sequence": one.sequence, "awaited": one.open }),
    );
    json!({
        "channel": channel, "queue": NAME, "id": kept.key.id, "element": kept.element,
        "since": output::time(kept.since), "state": kept.state.word(), "repeats": kept.repeats,
        "next": kept.next.map(output::time), "sent": sent.collect::<Vec<_>>(),
    })
}

/// A sender and its journal, to be written.
struct Desk<'a> {
    channel: &'a str,
    sender: &'a config::Sender,
    journal: Journal,
    done: usize,
    stay: usize,
}

/// Runs `sesame queue repeat`.
pub(super) fn repeat(config: &Config, arguments: &QueueRepeat) -> anyhow::Result<u8> {
    let mut desk = match Desk::open(config, &arguments.which)? {
        Ok(desk) => desk,
        Err(status) => return Ok(status),
    };
    if desk.sender.acknowledgements.is_none() {
        let name = desk.channel;
        bail!(
            "channel {name:?} has no section [send.{name}.acknowledgements], so that nothing would receive the answer: put it \
             back, or give the messages up with `sesame queue release`"
        );
    }
    let now = SystemTime::now();
    let too_old = |kept: &Kept| !arguments.again && now.duration_since(kept.since).is_ok_and(|age| age > OLDEST_REPEAT);
    desk.each(&arguments.which, |desk, page| {
        let (old, page): (Vec<Kept>, Vec<Kept>) = page.into_iter().partition(too_old);
        for kept in old {
            let age = output::age_since(kept.since);
            let why = format!(
                "it was sent {age} ago: its receiver may have forgotten it and would store it twice; --again sends it"
            );
            desk.stays(&kept.key.id, &why);
        }
        let keys: Vec<PreparedKey> = page.into_iter().map(|kept| kept.key).collect();
        let asked = desk.journal.ask_repeat(desk.channel, &keys)?;
        for (key, asked) in keys.iter().zip(asked) {
            desk.say(key, asked, "is due now: the running sender, or the next one to start, sends it again");
        }
        Ok(())
    })?;
    Ok(desk.end("to be sent again"))
}

/// Runs `sesame queue release`.
pub(super) fn release(config: &Config, arguments: &QueueRelease) -> anyhow::Result<u8> {
    let mut desk = match Desk::open(config, &arguments.which)? {
        Ok(desk) => desk,
        Err(status) => return Ok(status),
    };
    let queue = Outgoing::open(&desk.sender.queue, desk.sender.format)?;
    let place = desk.sender.state.join(RETAINED);
    let elements = RetainedElements::at(&place, &queue);
    desk.each(&arguments.which, |desk, page| {
        let keys: Vec<PreparedKey> = page.into_iter().map(|kept| kept.key).collect();
        let asked = desk.journal.release(desk.channel, &keys, WHY)?;
        let noted = keys.iter().zip(&asked).filter(|(_, asked)| **asked == Asked::Noted);
        let noted: Vec<PreparedKey> = noted.map(|(key, _)| key.clone()).collect();
        if !noted.is_empty() {
            elements
                .remove(&noted)
                .context("the messages are released, and a Sesame that starts removes their content")?;
            desk.journal.end_retained(desk.channel, &noted)?;
        }
        for (key, asked) in keys.iter().zip(asked) {
            desk.say(key, asked, "released");
        }
        Ok(())
    })?;
    Ok(desk.end("released"))
}

impl<'a> Desk<'a> {
    /// Opens the journal of the sender. Reports what is wrong with its name and returns the exit status for it.
    fn open(config: &'a Config, which: &'a Unacknowledged) -> anyhow::Result<Result<Self, u8>> {
        if config.receivers.contains_key(&which.channel) && !config.senders.contains_key(&which.channel) {
            say(&format!(
                "sesame: channel {:?} receives: the sending side keeps what is not acknowledged, so run this command there; \
                 `sesame gaps` lists what this side lacks",
                which.channel
            ));
            return Ok(Err(EXIT_USAGE));
        }
        if let Err(status) = select(config, std::slice::from_ref(&which.channel), Kind::Send) {
            return Ok(Err(status));
        }
        let Some(sender) = config.senders.get(&which.channel) else { return Ok(Err(EXIT_CONFIGURATION)) };
        if journal_in(&sender.state)?.is_none() {
            output::line(&format!("nothing is kept: Sesame has not run with {} yet", sender.state.display()));
            return Ok(Err(if which.ids.is_empty() { EXIT_DONE } else { EXIT_FAILED }));
        }
        let journal = Journal::open(&sender.state.join(JOURNAL))?;
        Ok(Ok(Self { channel: &which.channel, sender, journal, done: 0, stay: 0 }))
    }

    /// Calls `with` for the chosen messages, some at a time.
    fn each(
        &mut self,
        which: &Unacknowledged,
        mut with: impl FnMut(&mut Self, Vec<Kept>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let named = self.named(&which.ids)?;
        if !named.is_empty() {
            return with(self, named);
        }
        if !which.ids.is_empty() {
            return Ok(());
        }
        let mut pages = Pages::default();
        while let Some(mut page) = pages.next(&self.journal, self.channel)? {
            if which.overdue {
                page.retain(|kept| kept.state == KeptState::Overdue);
            }
            with(self, page)?;
        }
        Ok(())
    }

    /// The kept messages with these ids or numbers. Reports what is not kept.
    fn named(&mut self, ids: &[String]) -> anyhow::Result<Vec<Kept>> {
        let mut found: Vec<Kept> = Vec::new();
        for text in ids {
            let mut id = MessageId::from_peer(text.trim());
            if let Ok(sequence) = text.trim().parse::<Sequence>() {
                let of_sequence = self.journal.ids_of_sequence(&sequence)?;
                if let Some((_, whole)) = of_sequence.iter().find(|(channel, _)| channel == self.channel) {
                    id = MessageId::from_peer(whole);
                }
            }
            let kept = self.journal.kept_of(self.channel, &id)?;
            if kept.is_empty() {
                say(&format!(
                    "sesame: message {text} of channel {} is not kept: it was acknowledged, released or never sent; `sesame \
                     trace` shows what became of it",
                    self.channel
                ));
                self.stay += 1;
            }
            found.extend(kept.into_iter().filter(|kept| !found.contains(kept)).collect::<Vec<_>>());
        }
        Ok(found)
    }

    /// Prints what became of a request.
    fn say(&mut self, key: &PreparedKey, asked: Asked, done: &str) {
        let why = match asked {
            Asked::Noted => {
                self.done += 1;
                output::line(&format!("{}  {done}", key.id));
                return;
            }
            Asked::NotKept | Asked::Not(KeptState::Acknowledged) => "it is acknowledged",
            Asked::Not(KeptState::Released) => "it is released",
            Asked::Not(KeptState::Repeating) => "it is about to be sent again, or in the outgoing queue for that",
            Asked::Not(KeptState::Rejected) => "its receiver rejected it, and the sender moves it to the reject queue",
            Asked::Not(KeptState::Waiting | KeptState::Overdue) => "it has changed meanwhile",
        };
        self.stays(&key.id, why);
    }

    fn stays(&mut self, id: &MessageId, why: &str) {
        self.stay += 1;
        output::line(&format!("{id}  stays: {why}"));
    }

    /// Prints how many there were, and returns the exit status.
    fn end(&self, what: &str) -> u8 {
        output::line(&format!("{} of channel {} {what}", output::count(self.done, "message"), self.channel));
        if self.stay == 0 { EXIT_DONE } else { EXIT_FAILED }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::tests::Site;
    use super::*;
    use crate::channel::LOCK;
    use crate::config::Mode;
    use message::{Output, content_digest};
    use spool::SpoolLock;
    use spool::journal::{Dispatch, Prepared, Sent};
    use transport::Destination;

    /// A sender that runs in another process, as its lock and its journal show.
    struct Running {
        site: Site,
        journal: Journal,
        lock: Arc<SpoolLock>,
    }

    impl Running {
        fn new() -> Self {
            let mut site = Site::new();
            let sender = site.config.senders.get_mut("cpu").unwrap();
            sender.acknowledgements = Some(config::Acknowledgements {
                mode: Mode::Required,
                from: Destination::stomp("/queue/back"),
                receivers: Vec::new(),
                repeat_after: Duration::from_secs(3_600),
            });
            let state = sender.state.clone();
            std::fs::create_dir_all(&state).unwrap();
            let lock = Arc::new(SpoolLock::acquire(&state.join(LOCK)).unwrap());
            Self { site, journal: Journal::open(&state.join(JOURNAL)).unwrap(), lock }
        }

        fn elements(&self) -> RetainedElements {
            let sender = &self.site.config.senders["cpu"];
            let queue = Outgoing::own(&sender.queue, sender.format, Arc::clone(&self.lock)).unwrap();
            RetainedElements::open(&sender.state.join(RETAINED), &queue).unwrap()
        }

        /// Sends a message so long ago; its id, and where its content is kept.
        fn send(&self, text: &str, ago: Duration) -> (PreparedKey, PathBuf) {
            let sender = &self.site.config.senders["cpu"];
            let queue = Outgoing::own(&sender.queue, sender.format, Arc::clone(&self.lock)).unwrap();
            let (name, id) = queue.add_message(None, text.as_bytes()).unwrap();
            let element = queue.lock(&name).unwrap().unwrap();
            let key = PreparedKey { id: id.clone(), digest: content_digest(text.as_bytes()) };
            let destination = "/queue/cpu".to_owned();
            let mut rows = [Prepared {
                key: key.clone(),
                element: name.to_string(),
                outputs: vec![Output::default()],
                pipeline: String::new(),
                attempts: 0,
                counts: Vec::new(),
                dispatches: vec![Dispatch { id, destination, digest: key.digest, sequence: None, open: true }],
                repeated: false,
            }];
            self.journal.record_prepared("cpu", &mut rows).unwrap();
            assert!(self.elements().take_over(vec![(element, key.clone())]).iter().all(Result::is_ok));
            let (at, retain) = (SystemTime::now() - ago, Some(Duration::from_secs(3_600)));
            let sent = Sent { key: key.clone(), broker: "mq:1".to_owned(), at, detail: None, retain };
            self.journal.record_sent("cpu", &[sent]).unwrap();
            let place = self.elements().place(&key);
            assert!(place.exists());
            (key, place)
        }

        fn state(&self, key: &PreparedKey) -> Option<KeptState> {
            self.journal.kept_of("cpu", &key.id).unwrap().first().map(|kept| kept.state)
        }

        fn repeat(&self, ids: &[&str], again: bool) -> u8 {
            repeat(&self.site.config, &QueueRepeat { which: which(ids), again }).unwrap()
        }

        fn release(&self, ids: &[&str]) -> u8 {
            release(&self.site.config, &QueueRelease { which: which(ids) }).unwrap()
        }
    }

    /// No ids choose what is overdue.
    fn which(ids: &[&str]) -> Unacknowledged {
        let ids: Vec<String> = ids.iter().map(|&id| id.to_owned()).collect();
        Unacknowledged { channel: "cpu".to_owned(), overdue: ids.is_empty(), ids, all: false }
    }

    #[test]
    fn beside_a_running_sender_a_released_message_is_gone_and_the_journal_says_so() {
        let running = Running::new();
        let ((first, content), (second, other)) =
            (running.send("a: 1\n", Duration::ZERO), running.send("b: 2\n", Duration::ZERO));
        assert_eq!(running.release(&[first.id.as_str()]), EXIT_DONE);
        assert!(!content.exists() && other.exists());
        assert_eq!((running.state(&first), running.state(&second)), (None, Some(KeptState::Waiting)));
        assert_eq!(running.journal.released("cpu", &first.id).unwrap()[0].why, WHY);
        assert_eq!(running.release(&[first.id.as_str()]), EXIT_FAILED, "it is not kept any more");
        assert_eq!(running.release(&[]), EXIT_DONE);
        assert!(other.exists(), "it is not overdue");
        running.journal.mark_overdue("cpu", &second, false).unwrap();
        assert_eq!(running.release(&[]), EXIT_DONE);
        assert!(!other.exists());
    }

    #[test]
    fn a_message_is_due_now_by_its_id_or_number_unless_it_is_too_old() {
        let running = Running::new();
        let (first, _) = running.send("a: 1\n", Duration::ZERO);
        let (old, _) = running.send("b: 2\n", OLDEST_REPEAT + Duration::from_secs(60));
        let kept = running.journal.kept_of("cpu", &first.id).unwrap().remove(0);
        let number = kept.dispatches[0].sequence.as_ref().unwrap().to_string();
        assert_eq!(running.repeat(&[&number], false), EXIT_DONE);
        assert_eq!(running.state(&first), Some(KeptState::Repeating));
        assert_eq!(running.repeat(&[&number], false), EXIT_FAILED, "twice");
        assert_eq!(running.repeat(&[old.id.as_str()], false), EXIT_FAILED);
        assert_eq!(running.state(&old), Some(KeptState::Waiting));
        assert_eq!(running.repeat(&[old.id.as_str()], true), EXIT_DONE);
        let due = running.journal.due("cpu", SystemTime::now(), 10).unwrap();
        assert_eq!(due.iter().filter(|due| due.asked).count(), 2);
    }

    #[test]
    fn without_its_section_a_channel_repeats_nothing_and_releases_all_the_same() {
        let mut running = Running::new();
        let (first, content) = running.send("a: 1\n", Duration::ZERO);
        running.site.config.senders.get_mut("cpu").unwrap().acknowledgements = None;
        let id = first.id.as_str();
        let error = repeat(&running.site.config, &QueueRepeat { which: which(&[id]), again: false }).unwrap_err();
        assert!(error.to_string().contains("sesame queue release"), "{error}");
        assert_eq!(running.release(&[id]), EXIT_DONE);
        assert!(!content.exists());
    }

    #[test]
    fn the_list_has_number_and_destination_and_only_of_senders() {
        let running = Running::new();
        let (key, _) = running.send("a: 1\n", Duration::from_secs(61));
        let kept = running.journal.kept_of("cpu", &key.id).unwrap().remove(0);
        let (line, json) = (line_of(&kept), json_of("cpu", &kept));
        let number = kept.dispatches[0].sequence.as_ref().unwrap().to_string();
        assert!(
            line.contains("waiting  repeats 0  next ") && line.contains(&format!("to /queue/cpu {number}")),
            "{line}"
        );
        assert_eq!((&json["state"], &json["sent"][0]["sequence"]), (&json!("waiting"), &json!(number)));
        let arguments = |channel: &str| QueueList {
            channels: vec![channel.to_owned()],
            queue: Some(NAME.to_owned()),
            long: true,
            json: true,
        };
        let list = |channel: &str| super::super::list::run(&running.site.config, &arguments(channel)).unwrap();
        assert_eq!((list("cpu"), list("central")), (EXIT_DONE, EXIT_USAGE));
    }

    #[test]
    fn a_channel_that_receives_or_has_not_run_has_nothing_to_give_up() {
        let site = Site::new();
        let release = |channel: &str, ids: &[&str]| {
            let which = Unacknowledged { channel: channel.to_owned(), ..which(ids) };
            release(&site.config, &QueueRelease { which }).unwrap()
        };
        assert_eq!((release("central", &[]), release("cpu", &["a"]), release("cpu", &[])), (2, 1, 0));
    }
}
