//! Trying a rejected message again, for `sesame queue retry` and for a running Sesame that an operator asks to.
//!
//! A sender's message goes back into outgoing: [`send_again`]. A receiver's is decided again from its field `sealed`
//! ([`ReadBack`]); if it would not be rejected again, it is handed over to the Sesame that holds the spool ([`HandOver`]).
//! `cli/queue/retry` explains why no message is lost between the steps.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fs::CWD;

use crate::config;
use crate::receiver::{Decision, Received};
use message::MessageId;
use spool::journal::{Journal, JournalError, Key};
use spool::{ElementPath, LockedQueueElement, Outgoing, Queue, SpoolError};

/// The largest field of an element that is read back, in bytes.
pub(crate) const LARGEST: u64 = 1 << 30;

/// The result for one element.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Retried {
    /// It was moved or made due; how.
    Done(String),
    /// It stays where it is; why.
    Kept(String),
}

/// Why an element could not be tried again. It is in one of its two queues then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RetryError {
    /// A queue cannot be read or written.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The journal cannot be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl Retried {
    pub(crate) fn locked_elsewhere() -> Self {
        Self::Kept("it is gone or locked by another program".to_owned())
    }

    pub(crate) fn not_opened() -> Self {
        Self::Kept("no process that opens messages can be started now; try again later".to_owned())
    }

    pub(crate) fn no_sealed() -> Self {
        Self::Kept("it has no field `sealed`, the message as received, to decide about".to_owned())
    }

    pub(crate) fn stored_before() -> Self {
        Self::Kept(
            "the journal knows it as stored, deferred or dropped already; --again stores it again, purge removes it"
                .to_owned(),
        )
    }

    pub(crate) fn rejected_again(decision: &Decision) -> Self {
        Self::Kept(format!("it would be rejected again: {}", decision.reason().unwrap_or_default()))
    }
}

/// One field of an element; `None` if it is missing, larger than `limit` bytes or not a regular file.
pub(crate) fn field(queue: &Queue, element: &ElementPath, name: &str, limit: u64) -> Option<Vec<u8>> {
    let bytes = message::files::read_regular(CWD, queue.element(element).join(name), limit).ok()?;
    (bytes.len() as u64 <= limit).then_some(bytes)
}

/// Puts the content of a sender's reject element back into outgoing.
///
/// # Errors
/// [`RetryError`].
pub(crate) fn send_again(sender: &config::Sender, queue: &Queue, element: &ElementPath) -> Result<Retried, RetryError> {
    let Some(locked) = queue.lock(element)? else { return Ok(Retried::locked_elsewhere()) };
    let Some(body) = field(queue, element, "body", LARGEST) else {
        return Ok(Retried::Kept("its content cannot be read".to_owned()));
    };
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Retried::Kept("its content is blank and would be rejected again".to_owned()));
    }
    let size = body.len() as u64;
    if size > sender.max_payload {
        let limit = sender.max_payload;
        return Ok(Retried::Kept(format!("its content of {size} bytes is larger than max-payload, {limit}")));
    }
    let outgoing = Outgoing::open(&sender.queue, sender.format)?;
    let (name, id) = outgoing.add_message(None, &body)?;
    locked.remove()?;
    Ok(Retried::Done(format!("is outgoing/{name} now, with id {id}")))
}

/// A message read back from an element of a receiver.
pub(crate) struct ReadBack {
    /// The message as received.
    pub(crate) sealed: Vec<u8>,
    id: MessageId,
    /// When it was received.
    pub(crate) at: SystemTime,
}

impl ReadBack {
    /// The message as received, the id of its element, and when it was received, which is when the field was written.
    pub(crate) fn of(queue: &Queue, element: &ElementPath) -> Option<Self> {
        let path: PathBuf = queue.element(element).join("sealed");
        let at = path.symlink_metadata().and_then(|facts| facts.modified()).ok()?;
        let sealed = field(queue, element, "sealed", LARGEST)?;
        let id = field(queue, element, "empaid", 1024).unwrap_or_default();
        let id = String::from_utf8_lossy(&id).trim().to_owned();
        Some(Self { sealed, id: if id.is_empty() { MessageId::absent() } else { MessageId::from_peer(&id) }, at })
    }

    /// What a receiver decides about.
    pub(crate) fn received(&self) -> Received<'_> {
        let header_id = (self.id != MessageId::absent()).then(|| self.id.as_str());
        Received { raw: &self.sealed, header_id, headers: &[], at: self.at, attempt: 1 }
    }
}

/// The queue and the journal of a spool that a running Sesame holds.
pub(crate) struct HandOver {
    /// The journal of the spool.
    pub(crate) journal: Arc<Journal>,
    /// The deferred queue.
    pub(crate) deferred: Queue,
    /// Who holds the spool, in words.
    pub(crate) holder: String,
}

impl HandOver {
    /// Hands a message over to the Sesame that holds the spool.
    ///
    /// # Errors
    /// [`RetryError`].
    pub(crate) fn take(
        &self,
        element: LockedQueueElement<'_>,
        key: &Key,
        at: SystemTime,
        again: bool,
    ) -> Result<Retried, RetryError> {
        if !again && self.journal.seen(key)?.is_some() {
            return Ok(Retried::stored_before());
        }
        let place = self.deferred.adopt(element)?;
        if again {
            self.journal.forget(key)?;
        }
        let name = format!("deferred/{place}");
        self.journal.defer_element(key, &name, at, SystemTime::now())?;
        Ok(Retried::Done(format!("is {name} now and due; {}, which decides about it", self.holder)))
    }
}
