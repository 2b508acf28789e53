//! Who opens messages: this process, or children without network, files and keys.
//!
//! A child that crashes on a message counts as a crash of this process does ([`CrashLimit`]): the message is opened again by
//! another, alone, and is refused after the third. Where no child can be started, messages wait: none is at fault.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::Channel;
use super::meters::{Meters, Step};
use isolate::{AHEAD, Message, NotOpened, Pool};
use message::cause::chain;
use message::daily::Condition;
use message::hex;
use smime::Answer;
use spool::{CrashLimit, TooManyCrashes, Work};

/// Who opens messages.
#[derive(Clone, Debug)]
pub enum Opener {
    /// This process.
    Here,
    /// Its children.
    Children(Arc<Pool>),
}

/// Why a message was not opened.
pub(crate) enum Unopened {
    /// Those who opened it crashed too often.
    TooManyCrashes(TooManyCrashes),
    /// It cannot be opened now.
    NotNow,
}

impl From<TooManyCrashes> for Unopened {
    fn from(crashes: TooManyCrashes) -> Self {
        Self::TooManyCrashes(crashes)
    }
}

/// A message in flight, and what became of it; a panic of this process where it was opened here.
pub(crate) type Tried<'a> = (Work<'a>, std::thread::Result<Answer>);

/// What counts a channel's messages.
type Place<'a> = (&'a Channel, &'a CrashLimit, &'a Meters);

/// Messages that a child opened one after the other, as far as it came. It is free for others: what is done with the
/// messages may take long.
pub(crate) struct Ahead<'a> {
    place: Place<'a>,
    answers: std::vec::IntoIter<Answer>,
}

impl<'a> Ahead<'a> {
    /// Begins work on the next message, which has this SHA-256. Nothing where the child ended: this one and those after it
    /// are to be opened each by itself.
    pub(crate) fn next(&mut self, digest: &[u8; 32]) -> Option<Tried<'a>> {
        let answer = self.answers.next()?;
        let (channel, crashes, _) = self.place;
        Some((crashes.begin(channel.name(), digest).ok()?, Ok(answer)))
    }
}

impl Opener {
    /// Whether messages of these sizes may be opened one after the other: so many octets, so many messages.
    pub(crate) fn most_ahead(&self) -> (usize, usize) {
        const MOST: usize = 16;
        match self {
            Self::Here => (0, 1),
            Self::Children(_) => (AHEAD, MOST),
        }
    }

    /// Has messages with these SHA-256 opened one after the other; nothing where each is to be opened by itself. Blocks.
    pub(crate) fn open_all<'a>(
        &self,
        place: Place<'a>,
        digests: &[[u8; 32]],
        messages: &[Message<'_>],
    ) -> Option<Ahead<'a>> {
        let Self::Children(pool) = self else { return None };
        let (channel, crashes, meters) = place;
        let _no_suspect = crashes.none_of(channel.name(), digests)?;
        // Why not is said of the first of them.
        let mut turn = pool.open_all(messages).ok()?;
        let mut answers = Vec::with_capacity(messages.len());
        for message in messages {
            match meters.time(Step::Open, message.raw.len(), || turn.answer())? {
                Ok(answer) => answers.push(answer),
                Err(why) => {
                    let (messages, reason) = (messages.len() - answers.len(), chain(&why));
                    tracing::warn!(
                        messages,
                        reason,
                        "a process crashed while it had several messages; each is opened by itself"
                    );
                    break;
                }
            }
        }
        Some(Ahead { place, answers: answers.into_iter() })
    }

    /// Begins work on the message with this SHA-256 and opens it. Blocks.
    pub(crate) fn open<'a>(
        &self,
        (channel, crashes, meters): Place<'a>,
        digest: &[u8; 32],
        message: &Message<'_>,
    ) -> Result<Tried<'a>, Unopened> {
        let bytes = message.raw.len();
        loop {
            let work = crashes.begin(channel.name(), digest)?;
            let pool = match self {
                Self::Here => {
                    let open = || meters.time(Step::Open, bytes, || open_here(message));
                    return Ok((work, catch_unwind(AssertUnwindSafe(open))));
                }
                Self::Children(pool) => pool,
            };
            match meters.time(Step::Open, bytes, || pool.open(message)) {
                Ok(answer) => {
                    if without_children().end() {
                        tracing::info!("processes that open messages can be started again");
                    }
                    return Ok((work, Ok(answer)));
                }
                Err(NotOpened::Crashed(crash)) => {
                    let counted = crashes.crashed(work, channel.name(), digest);
                    let (sha256, reason) = (hex(digest), crash.to_string());
                    match counted {
                        Ok(crashes) => tracing::error!(
                            %channel, sha256, crashes, reason,
                            "a process crashed while it opened a message; the message is opened again alone and rejected \
                             after 3 crashes",
                        ),
                        Err(error) => {
                            let error = chain(&error);
                            tracing::error!(%channel, sha256, reason, error, "a process crashed while it opened a message, and the journal cannot be written");
                            return Err(Unopened::NotNow);
                        }
                    }
                }
                Err(NotOpened::Unavailable(why)) => {
                    work.give_up();
                    if without_children().is_due(&why) {
                        tracing::error!(
                            %channel, reason = why,
                            "cannot start processes that open messages; messages wait, and it is tried again and again",
                        );
                    }
                    return Err(Unopened::NotNow);
                }
            }
        }
    }
}

fn without_children() -> Condition {
    Condition::error("cannot start processes that open messages", "[process]")
}

/// Opens a message in this process.
pub(crate) fn open_here(message: &Message<'_>) -> Answer {
    let Message { raw, credentials, trust, policy, at } = *message;
    Ok(smime::open(raw, credentials, trust, policy, at)?)
}

/// Who opens messages, as the configuration says; `pool` has the children.
pub(crate) fn opener(isolate: bool, pool: &Arc<Pool>) -> Opener {
    if isolate { Opener::Children(Arc::clone(pool)) } else { Opener::Here }
}

/// Logs what the kernel enforces on children, at the start.
pub(crate) fn log_isolation(opener: &Opener) {
    let Opener::Children(pool) = opener else { return };
    match pool.sandbox() {
        Ok(sandbox) if sandbox.is_closed() => {
            tracing::info!(sandbox = %sandbox, "messages are opened in processes without network, files and keys");
        }
        Ok(sandbox) => tracing::warn!(
            sandbox = %sandbox,
            "messages are opened in processes without keys that this kernel does not keep from network and files",
        ),
        Err(error) => {
            tracing::error!(error = chain(&error), "cannot start processes that open messages; messages wait")
        }
    }
}
