//! What an operator does through the listener: pause and resume a channel, try a rejected message again; and what is shown of
//! a rejected message.
//!
//! Everything here runs on a thread of its own, apart from the messages. Each action is logged, with who asked for it.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use observe::{Action, Control, Rejected, Token};
use rustix::fs::CWD;

use super::{Shown, View};
use crate::channel::{Channel, Gate};
use crate::config;
use crate::receiver::Receiver;
use crate::retry::{HandOver, ReadBack, Retried, RetryError, field, send_again};
use crate::sender::Sender;
use message::{Fate, text};
use spool::{ElementPath, Queue};

/// The most that is shown of a payload, in bytes.
const MOST_PAYLOAD: u64 = 64 << 10;
/// The largest other field that is shown.
const MOST_FIELD: u64 = 256 << 10;
/// The largest id of a message.
const MOST_ID: u64 = 1024;
/// Elements, the newest first, that are looked at to find one by its id.
const MOST_LOOKED_AT: usize = 5_000;
/// The queue of rejected messages, as events name its elements.
const REJECT: &str = "reject/";

/// A channel that runs.
#[derive(Clone, Copy)]
enum Running<'a> {
    Sender(&'a Sender),
    Receiver(&'a Receiver),
}

impl<'a> Running<'a> {
    fn all(view: &'a View) -> impl Iterator<Item = Self> {
        let senders = view.senders.iter().map(|sender| Self::Sender(sender));
        senders.chain(view.receivers.iter().map(|receiver| Self::Receiver(receiver)))
    }

    fn channel(self) -> &'a Channel {
        match self {
            Self::Sender(sender) => sender.channel(),
            Self::Receiver(receiver) => receiver.channel(),
        }
    }

    fn gate(self) -> &'a Gate {
        match self {
            Self::Sender(sender) => sender.gate(),
            Self::Receiver(receiver) => receiver.gate(),
        }
    }

    fn storage(self) -> &'a config::Storage {
        match self {
            Self::Sender(sender) => &sender.settings().storage,
            Self::Receiver(receiver) => &receiver.settings().storage,
        }
    }

    /// The reject queue, and the path of an element in it. A sender's is also found by the id of its message, which is all that
    /// an event has of it.
    fn rejected(self, wanted: &str) -> Result<(Queue, ElementPath), String> {
        let directory = match self {
            Self::Sender(sender) => sender.settings().reject.clone(),
            Self::Receiver(receiver) => receiver.settings().spool.join("reject"),
        };
        let gone = || format!("{:?} is not in the reject queue of {}", shown(wanted), self.channel());
        if !directory.is_dir() {
            return Err(gone());
        }
        let queue = Queue::open(&directory, self.storage().modes()).map_err(|error| message::cause::chain(&error))?;
        let named = ElementPath::parse(wanted.strip_prefix(REJECT).unwrap_or(wanted));
        let named = named.filter(|path| queue.element(path).is_dir());
        let path = match self {
            Self::Sender(_) => named.or_else(|| with_id(&queue, wanted)),
            Self::Receiver(_) => named,
        };
        path.map_or_else(|| Err(gone()), |path| Ok((queue, path)))
    }
}

/// The newest element of a message, by its id, among as many as can be looked at in a moment.
fn with_id(queue: &Queue, id: &str) -> Option<ElementPath> {
    let has_id =
        |element: &ElementPath| field(queue, element, "empaid", MOST_ID).is_some_and(|found| found == id.as_bytes());
    let all: Vec<ElementPath> = queue.elements().ok()?.filter_map(Result::ok).collect();
    all.into_iter().rev().take(MOST_LOOKED_AT).find(has_id)
}

/// A name of the request, for an answer or the log.
fn shown(name: &str) -> String {
    text::one_line(name, 200)
}

impl Control for Shown {
    fn token(&self) -> Option<Arc<Token>> {
        self.token.load_full()
    }

    fn held(&self) -> Vec<String> {
        let Some(view) = self.view.load_full() else { return Vec::new() };
        let held = Running::all(&view).filter(|running| running.gate().is_closed());
        held.map(|running| running.channel().name().to_owned()).collect()
    }

    fn act(&self, action: &Action, from: &str) -> Result<String, String> {
        let view = self.view.load_full().ok_or("the channels are being started")?;
        let name = match action {
            Action::Pause { channel } | Action::Resume { channel } | Action::Retry { channel, .. } => channel,
        };
        let running = find(&view, name)?;
        let channel = running.channel();
        match action {
            Action::Pause { .. } if running.gate().close() => {
                tracing::warn!(%channel, from, "channel paused by an operator; it takes up no message until it is resumed");
                Ok(format!("channel {channel} is paused; messages in flight are finished"))
            }
            Action::Pause { .. } => Err(format!("channel {channel} is paused already")),
            Action::Resume { .. } if running.gate().open() => {
                tracing::info!(%channel, from, "channel resumed by an operator");
                Ok(format!("channel {channel} takes up messages again"))
            }
            Action::Resume { .. } => Err(format!("channel {channel} is not paused by an operator")),
            Action::Retry { element, .. } => retry(running, element, from),
        }
    }

    fn rejected(&self, channel: &str, element: &str) -> Result<Rejected, String> {
        let view = self.view.load_full().ok_or("the channels are being started")?;
        let (queue, path) = find(&view, channel)?.rejected(element)?;
        let findings = field(&queue, &path, "findings", MOST_FIELD).unwrap_or_default();
        let mut findings: Vec<message::Finding> = serde_json::from_slice(&findings).unwrap_or_default();
        let show = view.config.observe.show_payload;
        if !show {
            // A value is content of the message.
            findings.iter_mut().for_each(|finding| finding.value = None);
        }
        let error = field(&queue, &path, "error", MOST_FIELD);
        let (payload, bytes) = beginning(&queue.element(&path).join("body")).unwrap_or_default();
        Ok(Rejected {
            error: error.map(|error| String::from_utf8_lossy(&error).into_owned()),
            findings,
            payload: show.then(|| String::from_utf8_lossy(&payload).into_owned()),
            bytes,
            more: bytes > payload.len() as u64,
        })
    }
}

fn find<'a>(view: &'a View, name: &str) -> Result<Running<'a>, String> {
    let unknown = || {
        let known: Vec<&str> = Running::all(view).map(|running| running.channel().name()).collect();
        format!("unknown channel {:?} (channels: {})", shown(name), known.join(", "))
    };
    Running::all(view).find(|running| running.channel().name() == name).ok_or_else(unknown)
}

/// The first bytes of a file, and its size.
fn beginning(file: &Path) -> Option<(Vec<u8>, u64)> {
    let open = message::files::open_regular(CWD, file).ok()?;
    let size = open.metadata().ok()?.len();
    let mut bytes = Vec::new();
    open.take(MOST_PAYLOAD).read_to_end(&mut bytes).ok()?;
    Some((bytes, size))
}

/// Tries a rejected message again, and logs what came of it.
fn retry(running: Running<'_>, element: &str, from: &str) -> Result<String, String> {
    let (queue, path) = running.rejected(element)?;
    let tried = match running {
        Running::Sender(sender) => send_again(sender.settings(), &queue, &path),
        Running::Receiver(receiver) => receive_again(receiver, &queue, &path),
    };
    let channel = running.channel();
    match tried {
        Ok(Retried::Done(what)) => {
            tracing::info!(%channel, element = %path, from, result = what, "rejected message tried again for an operator");
            Ok(format!("reject/{path} {what}"))
        }
        Ok(Retried::Kept(why)) => {
            tracing::info!(%channel, element = %path, from, reason = why, "an operator tried a rejected message again; it stays rejected");
            Err(format!("reject/{path} stays: {why}"))
        }
        Err(error) => {
            let error = message::cause::chain(&error);
            tracing::error!(%channel, element = %path, from, error, "a rejected message cannot be tried again");
            Err(format!("reject/{path}: {error}"))
        }
    }
}

fn receive_again(receiver: &Receiver, queue: &Queue, element: &ElementPath) -> Result<Retried, RetryError> {
    let Some(read) = ReadBack::of(queue, element) else { return Ok(Retried::no_sealed()) };
    let Some(locked) = queue.lock(element)? else { return Ok(Retried::locked_elsewhere()) };
    let Some(decision) = receiver.judge(&read.received()) else { return Ok(Retried::not_opened()) };
    if decision.disposition.fate() == Fate::Rejected {
        return Ok(Retried::rejected_again(&decision));
    }
    let settings = receiver.settings();
    let hand_over = HandOver {
        journal: receiver.journal(),
        deferred: Queue::create(&settings.spool.join("deferred"), settings.storage.modes())?,
        holder: "the channel has it".to_owned(),
    };
    hand_over.take(locked, &decision.key, read.at, false)
}
