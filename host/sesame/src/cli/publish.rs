//! `sesame publish`: queue messages and send them at once.
//!
//! A message is in the outgoing queue, durable, before its id is printed; after a failure it stays
//! there and the next `sesame send` or `run` sends it. Where another Sesame holds the queue, that one sends, and this process waits.
//! The ids go to standard output, the results to standard error.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::json;

use clap::Args;

use super::context::{Context, runtime, say, select};
use super::output;
use super::queue::add::{Added, add};
use crate::channel::{JOURNAL, LOCK};
use crate::config::{self, Config, Kind, Selection, parse_duration};
use crate::sender::Stay;
use crate::service::{Daemon, On, Shared, Signals, Status, stop_on_signals};
use crate::shutdown;
use message::text::escaped_json;
use message::{Fate, daily};
use spool::journal::{Journal, Step};
use spool::{Outgoing, SpoolLock};
use terminal::{EXIT_DONE, EXIT_FAILED};

/// `sesame publish`.
#[derive(Args, Debug)]
pub struct Publish {
    /// Sending channel [send.NAME].
    #[arg(value_name = "CHANNEL")]
    pub channel: String,
    /// Files, one message each; - for standard input.
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Give up after this long without a broker; the messages stay queued.
    #[arg(long, value_name = "TIME", default_value = "300s", value_parser = parse_duration)]
    pub deadline: Duration,
    /// Print nothing, not even ids, if everything was sent: log no lines below warnings, unless --log-level is given.
    #[arg(long, short, conflicts_with = "json")]
    pub quiet: bool,
    /// Print one JSON object per message.
    #[arg(long)]
    pub json: bool,
}

/// How often a queue that another Sesame holds is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How long a queue must be free before it is taken over: a Sesame that is being restarted comes back.
const TAKE_OVER: Duration = Duration::from_secs(2);
/// How long the journal of another Sesame may take to record what became of an element that is gone.
const SETTLING: Duration = Duration::from_secs(5);

/// How long to wait, and whether to say what for.
#[derive(Clone, Copy, Debug)]
struct Patience {
    deadline: Duration,
    quiet: bool,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome {
    /// [`Fate::Unknown`] while it is gone from outgoing and the journal does not say how.
    fate: Fate,
    /// The broker that confirmed it.
    broker: Option<String>,
    /// Why it was not sent.
    reason: Option<String>,
}

impl From<Fate> for Outcome {
    fn from(fate: Fate) -> Self {
        Self { fate, broker: None, reason: None }
    }
}

/// How often the journal is looked at for a message that left the queue, and how long between.
const SETTLING_LOOKS: u32 = 40;
const SETTLING_PAUSE: Duration = Duration::from_millis(50);

pub(super) fn run(arguments: &Publish, context: &Context) -> anyhow::Result<u8> {
    let config = &context.config_for(arguments.quiet)?;
    let selection = match select(config, std::slice::from_ref(&arguments.channel), Kind::Send) {
        Ok(selection) => selection,
        Err(status) => return Ok(status),
    };
    let Some(sender) = config.senders.get(&arguments.channel) else { return Ok(EXIT_FAILED) };
    crate::log::start(&config.log)?;
    daily::remember_in(&sender.state);
    let (messages, unread) = queue(sender, arguments)?;
    if messages.is_empty() {
        return Ok(EXIT_FAILED);
    }
    let runtime = runtime().context("cannot start threads")?;
    let patience = Patience { deadline: arguments.deadline, quiet: arguments.quiet };
    let sending = send(config, sender, &selection, patience, &messages);
    let why = runtime.block_on(sending);
    runtime.shutdown_timeout(Duration::from_secs(1));
    daily::keep();
    let why = match why {
        Ok(why) => why,
        Err(error) => Some(format!("{error:#}")),
    };
    let mut sent = 0;
    for message in &messages {
        let outcome = settled(sender, message);
        sent += usize::from(outcome.fate == Fate::Sent);
        if arguments.quiet && outcome.fate == Fate::Sent {
            continue;
        }
        report(sender, message, outcome, why.as_deref(), arguments.json);
    }
    Ok(if sent == messages.len() && unread == 0 { EXIT_DONE } else { EXIT_FAILED })
}

/// What became of a message, once the journal says so: a running Sesame notes it a moment after the element is gone.
fn settled(sender: &config::Sender, message: &Added) -> Outcome {
    for _ in 0..SETTLING_LOOKS {
        match outcome(sender, message) {
            Ok(Outcome { fate: Fate::Unknown, .. }) => std::thread::sleep(SETTLING_PAUSE),
            Ok(outcome) => return outcome,
            Err(_) => break,
        }
    }
    Fate::Unknown.into()
}

/// Queues the files and prints the id of each; answers how many could not be queued beside those that were.
fn queue(sender: &config::Sender, arguments: &Publish) -> anyhow::Result<(Vec<Added>, usize)> {
    let outgoing = Outgoing::open(&sender.queue, sender.format)?;
    let mut messages = Vec::new();
    let mut unread = 0;
    for file in &arguments.files {
        match add(&outgoing, sender, file) {
            Ok(added) => {
                if !arguments.json && !arguments.quiet {
                    output::line(added.id.as_str());
                }
                messages.push(added);
            }
            Err(error) => {
                unread += 1;
                say(&format!("sesame: {error:#}; not queued"));
            }
        }
    }
    Ok((messages, unread))
}

/// Sends what is queued, or waits for the Sesame that does. Answers why messages may be left.
async fn send(
    config: &Config,
    sender: &config::Sender,
    selection: &Selection,
    Patience { deadline, quiet }: Patience,
    messages: &[Added],
) -> anyhow::Result<Option<String>> {
    let end = Instant::now() + deadline;
    let mut reported = false;
    loop {
        let left = if reported { end.saturating_duration_since(Instant::now()) } else { deadline };
        let shared = Shared::start(config)?;
        match Daemon::build(config, selection, &shared) {
            Ok(daemon) => return send_ourselves(config, &daemon, left).await,
            Err(errors) if errors.iter().all(|error| error.error.is_held()) => {
                if !reported && !quiet {
                    let holder: Vec<String> = errors.iter().map(|error| error.error.to_string()).collect();
                    say(&format!("sesame: {}, which sends this queue; waiting for it", holder.join("; ")));
                }
                reported = true;
            }
            Err(errors) => {
                let errors: Vec<String> = errors.iter().map(|error| message::cause::chain(error)).collect();
                return Ok(Some(errors.join("; ")));
            }
        }
        drop(shared);
        if wait(sender, messages, end).await {
            return Ok(None);
        }
        if Instant::now() >= end {
            let compiling = compiling_there(&sender.state, &selection.senders);
            let within = message::duration::words(deadline);
            return Ok(Some(format!("not sent within {within} by the Sesame that holds the queue{compiling}")));
        }
    }
}

async fn send_ourselves(config: &Config, daemon: &Daemon, left: Duration) -> anyhow::Result<Option<String>> {
    let signals = Signals::listen().context("cannot listen to signals")?;
    let (switch, shutdown) = shutdown::switch();
    let stopper = async move { stop_on_signals(signals, &switch, config.limits.grace, On::nothing()).await };
    let summaries = tokio::select! {
        summaries = daemon.run(Stay::UntilEmpty(left), &shutdown) => summaries,
        () = stopper => return Ok(Some("stopped".to_owned())),
    };
    let stopped = shutdown.asked().then(|| "stopped as asked".to_owned());
    Ok(summaries.into_iter().find_map(|(_, summary)| summary.gave_up).or(stopped))
}

/// Waits until every message is decided (true), or the time is over or the queue is free for us (false).
async fn wait(sender: &config::Sender, messages: &[Added], end: Instant) -> bool {
    let (mut gone_since, mut free_since) = (None, None);
    let mut open: Vec<&Added> = messages.iter().collect();
    loop {
        let mut fates = Vec::with_capacity(open.len());
        open.retain(|message| {
            let fate = outcome(sender, message).map_or(Fate::Unknown, |outcome| outcome.fate);
            let undecided = matches!(fate, Fate::Waiting | Fate::Unknown);
            fates.push(fate);
            undecided
        });
        if open.is_empty() {
            return true;
        }
        let now = Instant::now();
        if !fates.contains(&Fate::Waiting) && now.duration_since(*gone_since.get_or_insert(now)) >= SETTLING {
            return true;
        }
        free_since = if is_free(&sender.state.join(LOCK)) { free_since.or(Some(now)) } else { None };
        if now >= end || free_since.is_some_and(|since| now.duration_since(since) >= TAKE_OVER) {
            return false;
        }
        tokio::time::sleep(LOOK.min(end.saturating_duration_since(now))).await;
    }
}

/// What the Sesame that holds the queue of these channels is compiling, as the end of a sentence.
fn compiling_there(state: &std::path::Path, channels: &[String]) -> String {
    let status = Status::read(state).ok().flatten().filter(|status| status.running);
    let reports = status.into_iter().flat_map(|status| status.channels);
    let stages = reports.filter(|report| channels.contains(&report.channel)).flat_map(|report| report.stages);
    let waits: Vec<String> = stages
        .filter(|stage| !stage.serves && stage.state == plugins::PluginState::Compiling)
        .map(|s| s.name)
        .collect();
    if waits.is_empty() { String::new() } else { format!(", which is compiling plugin {}", waits.join(", ")) }
}

/// Whether no process holds a lock file.
fn is_free(lock: &std::path::Path) -> bool {
    SpoolLock::acquire(lock).is_ok()
}

/// What became of a message, by the queue and the journal.
fn outcome(sender: &config::Sender, message: &Added) -> anyhow::Result<Outcome> {
    if sender.queue.join(message.element.as_os_str()).symlink_metadata().is_ok() {
        return Ok(Fate::Waiting.into());
    }
    let journal = sender.state.join(JOURNAL);
    if !journal.exists() {
        return Ok(Fate::Unknown.into());
    }
    Ok(last(&Journal::open_to_read(&journal)?.trace(&message.id)?))
}

/// What the journal says of a message. One rejected part makes the message rejected.
fn last(steps: &[Step]) -> Outcome {
    let decided = [Fate::Rejected, Fate::Dropped, Fate::Sent].into_iter();
    let Some(step) = decided.filter_map(|fate| steps.iter().rev().find(|step| step.fate == fate)).next() else {
        return Fate::Unknown.into();
    };
    let reason = || step.detail.clone().unwrap_or_else(|| "no reason is known".to_owned());
    Outcome {
        fate: step.fate,
        broker: Some(step.broker.clone()).filter(|broker| step.fate == Fate::Sent && !broker.is_empty()),
        reason: (step.fate != Fate::Sent).then(reason),
    }
}

fn report(sender: &config::Sender, message: &Added, outcome: Outcome, why: Option<&str>, as_json: bool) {
    let Outcome { fate, broker, reason } = outcome;
    let (place, reason) = match fate {
        Fate::Rejected => (Some(sender.reject.clone()), reason),
        Fate::Waiting => {
            let why = why.unwrap_or("it was postponed; see the log");
            (Some(sender.queue.join(message.element.as_os_str())), Some(why.to_owned()))
        }
        Fate::Unknown => (None, Some("it left the queue without a journal entry; see the log".to_owned())),
        _ => (None, reason),
    };
    if as_json {
        output::json(&json!({
            "file": message.file, "id": message.id, "element": message.element.to_string(), "fate": fate,
            "broker": broker, "reason": reason,
            "path": place.map(|place| place.to_string_lossy().into_owned()),
        }));
        return;
    }
    let id = &message.id;
    let line = match (place, reason) {
        (Some(place), Some(reason)) => format!("message {id} {fate}: {reason}; it is in {}", place.display()),
        (None, Some(reason)) => format!("message {id} {fate}: {reason}"),
        _ => match broker {
            Some(broker) => format!("message {id} {fate} through {broker}"),
            None => format!("message {id} {fate}"),
        },
    };
    say(&escaped_json(&line));
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::SystemTime;

    use super::*;
    use testkit::broker::Broker;

    fn step(fate: Fate, id: &str) -> Step {
        Step {
            at: SystemTime::UNIX_EPOCH,
            fate,
            channel: "cpu".to_owned(),
            id: id.to_owned(),
            signer: String::new(),
            broker: "mq:1".to_owned(),
            pipeline: String::new(),
            stages: Vec::new(),
            routes: Vec::new(),
            elements: Vec::new(),
            outgoing: None,
            digest: String::new(),
            detail: Some("why".to_owned()),
            payload_bytes: 0,
        }
    }

    #[test]
    fn a_rejected_part_makes_the_message_rejected_although_the_rest_was_sent() {
        let of = |steps: &[(Fate, &str)]| last(&steps.iter().map(|(fate, id)| step(*fate, id)).collect::<Vec<_>>());
        let rejected = of(&[(Fate::Rejected, "a.1"), (Fate::Sent, "a")]);
        assert_eq!((rejected.fate, rejected.reason.as_deref()), (Fate::Rejected, Some("why")));
        let sent = of(&[(Fate::Prepared, "a"), (Fate::Sent, "a")]);
        assert_eq!((sent.fate, sent.broker.as_deref(), sent.reason), (Fate::Sent, Some("mq:1"), None));
        assert_eq!(of(&[(Fate::Dropped, "a")]).fate, Fate::Dropped);
        assert_eq!(of(&[(Fate::Prepared, "a")]), Fate::Unknown.into());
    }

    #[test]
    fn a_message_that_is_not_taken_up_waits() {
        let site = super::super::queue::Site::new();
        let (folder, config) = (&site.folder, &site.config);
        let sender = &config.senders["cpu"];
        let file = folder.path().join("record");
        std::fs::write(&file, "a: 1\n").unwrap();
        let arguments = Publish {
            channel: "cpu".to_owned(),
            files: vec![file, Path::new("/no/such/file").to_owned()],
            deadline: Duration::from_secs(1),
            quiet: false,
            json: true,
        };
        let (messages, unread) = queue(sender, &arguments).unwrap();
        assert_eq!((messages.len(), unread), (1, 1));
        assert_eq!(outcome(sender, &messages[0]).unwrap(), Fate::Waiting.into());
        std::fs::remove_file(sender.queue.join(messages[0].element.as_os_str())).unwrap();
        assert_eq!(outcome(sender, &messages[0]).unwrap(), Fate::Unknown.into());
    }
    /// A broker, and the configuration with its address.
    async fn with_broker(site: &super::super::queue::Site) -> (Broker, Config) {
        let broker = Broker::start(None).await.unwrap();
        let mut config = site.config.clone();
        let address = stomp::Address { host: "127.0.0.1".to_owned(), port: broker.address().port() };
        config::broker::stomp_mut(config.brokers.get_mut("egi").unwrap()).hosts = vec![address];
        (broker, config)
    }

    fn queued(config: &Config, content: &str) -> Vec<Added> {
        let sender = &config.senders["cpu"];
        let outgoing = Outgoing::open(&sender.queue, sender.format).unwrap();
        let file = sender.queue.with_extension("file");
        std::fs::write(&file, content).unwrap();
        vec![add(&outgoing, sender, &file).unwrap()]
    }

    #[test]
    fn sends_by_itself_or_waits_for_the_one_that_holds_the_queue() {
        let site = super::super::queue::Site::new();
        let runtime = runtime().unwrap();
        runtime.block_on(async {
            let (broker, config) = with_broker(&site).await;
            let sender = &config.senders["cpu"];
            let selection = config.select(&["cpu".to_owned()], Kind::Send).unwrap();
            let patience = Patience { deadline: Duration::from_secs(20), quiet: false };
            let first = queued(&config, "a: 1\n");
            let why = send(&config, sender, &selection, patience, &first).await.unwrap();
            assert_eq!(why, None);
            assert!(outcome(sender, &first[0]).unwrap().fate == Fate::Sent);

            let shared = Shared::start(&config).unwrap();
            let daemon = Daemon::build(&config, &selection, &shared).unwrap();
            let (switch, shutdown) = shutdown::switch();
            let running = tokio::spawn(async move { daemon.run(Stay::Watch, &shutdown).await });
            let second = queued(&config, "a: 2\n");
            let why = send(&config, sender, &selection, patience, &second).await.unwrap();
            assert_eq!(why, None);
            assert!(outcome(sender, &second[0]).unwrap().fate == Fate::Sent);
            assert_eq!(broker.depth("/queue/cpu"), 2);
            switch.press();
            running.await.unwrap();
        });
    }

    #[test]
    fn gives_up_at_the_deadline_and_says_so() {
        let site = super::super::queue::Site::new();
        let (config, sender) = (&site.config, &site.config.senders["cpu"]);
        let selection = config.select(&["cpu".to_owned()], Kind::Send).unwrap();
        let messages = queued(config, "a: 1\n");
        let runtime = runtime().unwrap();
        let second = Patience { deadline: Duration::from_secs(1), quiet: false };
        let why = runtime.block_on(send(config, sender, &selection, second, &messages)).unwrap();
        assert!(why.is_some_and(|why| why.contains("no broker could be reached")));
        std::fs::create_dir_all(&sender.state).unwrap();
        let held = SpoolLock::acquire(&sender.state.join(LOCK)).unwrap();
        let why = runtime.block_on(send(config, sender, &selection, second, &messages)).unwrap();
        assert!(why.is_some_and(|why| why.contains("not sent within 1 s")));
        drop(held);
        assert_eq!(outcome(sender, &messages[0]).unwrap(), Fate::Waiting.into());
    }
}
