//! Messages on which the process died: tried alone, and given up after the third death.
//!
//! # Policy
//! - Work on a message begins with [`Deaths::begin`] and ends when its [`Work`] is dropped. What was in work when the process
//!   died without a word is a suspect from the next start on; a stop that was asked for makes no suspects ([`Deaths::end`]).
//! - A suspect is worked on alone: nothing else is in a plugin or being opened in this process meanwhile, so that the next
//!   death says who it was. If it lives through that, its deaths are forgiven.
//! - After three deaths it is not tried any more: [`Killer`], which the caller rejects as [`Code::CrashLoop`](message::Code::CrashLoop). The commit of
//!   that ends the journal's count: what an operator takes back from the reject queue is tried anew.
//!
//! A message costs two lines appended to a file that is never synced (`in_work`) and one read lock; the journal is written
//! only for suspects.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use message::{locked, locked_exclusive, locked_shared};

use super::SpoolError;
use super::in_work::{InWork, Interrupted, WorkMark};
use crate::journal::{Journal, JournalError};

/// Deaths after which a message is given up.
const MOST: u32 = 3;

/// Why this cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum DeathsError {
    /// The file of what is in work.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Everybody who works on messages in this process: many at a time, or a suspect alone.
pub type Turns = Arc<RwLock<()>>;

/// The suspects of one spool, and what is in work there.
#[derive(Debug)]
pub struct Deaths {
    in_work: InWork,
    journal: Arc<Journal>,
    suspects: Mutex<HashMap<Interrupted, u32>>,
    turns: Turns,
}

/// A message that is not to be tried any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the process died {deaths} times while it worked on this message, last on nothing else; please report it with this \
     message, the plugins of the channel and the log"
)]
pub struct Killer {
    /// How often.
    pub deaths: u32,
}

/// Work on one message; it ends when this is dropped.
#[derive(Debug)]
#[must_use = "the work ends when it is dropped"]
pub struct Work<'a> {
    _mark: Option<WorkMark>,
    /// Set for a suspect that is worked on alone.
    suspect: Option<(&'a Deaths, Interrupted)>,
    _turn: Turn<'a>,
}

#[derive(Debug)]
enum Turn<'a> {
    WithOthers { _guard: RwLockReadGuard<'a, ()> },
    Alone { _guard: RwLockWriteGuard<'a, ()> },
}

impl Deaths {
    /// Opens the file `path` of what is in work and counts a death for every message left in it.
    ///
    /// # Errors
    /// [`DeathsError`].
    pub fn open(path: &Path, journal: Arc<Journal>, turns: Turns) -> Result<Self, DeathsError> {
        let (in_work, interrupted) = InWork::open(path)?;
        for one in &interrupted {
            let deaths = journal.count_death(&one.channel, &one.digest)?;
            let message = message::hex(&one.digest);
            tracing::warn!(
                channel = one.channel,
                deaths,
                message,
                "the process died while it worked on a message: it is tried alone, and rejected after {MOST} deaths"
            );
        }
        let deaths = journal.deaths()?.into_iter();
        let suspects = deaths.map(|(channel, digest, deaths)| (Interrupted { channel, digest }, deaths)).collect();
        Ok(Self { in_work, journal, suspects: Mutex::new(suspects), turns })
    }

    fn suspects(&self) -> MutexGuard<'_, HashMap<Interrupted, u32>> {
        locked(&self.suspects)
    }

    /// Begins work on a message. Blocks while a suspect is worked on, and for a suspect until nothing else is.
    ///
    /// # Errors
    /// [`Killer`] for a message that is not to be tried any more.
    pub fn begin(&self, channel: &str, digest: &[u8; 32]) -> Result<Work<'_>, Killer> {
        let suspect = self.suspect(channel, digest);
        if let Some((_, deaths @ MOST..)) = suspect {
            return Err(Killer { deaths });
        }
        let turn = match suspect {
            Some(_) => Turn::Alone { _guard: locked_exclusive(&self.turns) },
            None => Turn::WithOthers { _guard: locked_shared(&self.turns) },
        };
        let mark = self.in_work.begin(channel, digest).inspect_err(|error| {
            tracing::debug!(channel, %error, "cannot note what is in work");
        });
        Ok(Work { _mark: mark.ok(), suspect: suspect.map(|(message, _)| (self, message)), _turn: turn })
    }

    fn suspect(&self, channel: &str, digest: &[u8; 32]) -> Option<(Interrupted, u32)> {
        let suspects = self.suspects();
        if suspects.is_empty() {
            return None;
        }
        let message = Interrupted { channel: InWork::name(channel), digest: *digest };
        let deaths = suspects.get(&message).copied()?;
        drop(suspects);
        if deaths >= MOST && self.is_refused(&message) {
            self.suspects().remove(&message);
            return None;
        }
        Some((message, deaths))
    }

    /// Whether the refusal of a message that was given up is durable: that ends the journal's count. Where an operator asks
    /// for the message again, it is tried like any other.
    fn is_refused(&self, message: &Interrupted) -> bool {
        let counted = self.journal.attempts(&message.channel, &message.digest).inspect_err(|error| {
            tracing::error!(channel = message.channel, error = message::cause::chain(error), "cannot read the journal");
        });
        matches!(counted, Ok((_, 0)))
    }

    /// The program ends because it was asked to: what is still in work is left without blame.
    pub fn end(&self) {
        if let Err(error) = self.in_work.end() {
            tracing::debug!(%error, "cannot clear what is in work");
        }
    }

    /// A suspect lived through being worked on alone, or is done with.
    fn forgive(&self, message: &Interrupted) {
        self.suspects().remove(message);
        if let Err(error) = self.journal.forgive_deaths(&message.channel, &message.digest) {
            tracing::error!(
                channel = message.channel,
                error = message::cause::chain(&error),
                "cannot write the journal"
            );
        }
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        if let Some((deaths, message)) = self.suspect.take() {
            deaths.forgive(&message);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::*;

    const MESSAGE: [u8; 32] = [7; 32];

    struct Spool {
        folder: tempfile::TempDir,
        turns: Turns,
    }

    impl Spool {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().unwrap(), turns: Turns::default() }
        }

        fn start(&self) -> Deaths {
            let journal = Arc::new(Journal::open(&self.folder.path().join("journal.sqlite")).unwrap());
            Deaths::open(&self.folder.path().join("in-work"), journal, Arc::clone(&self.turns)).unwrap()
        }

        /// A process that dies in the work on the message.
        fn die(&self) {
            let deaths = self.start();
            let work = deaths.begin("central", &MESSAGE).unwrap();
            std::mem::forget(work);
        }
    }

    #[test]
    fn a_message_is_given_up_after_three_deaths() {
        let mut spool = Spool::new();
        for _ in 0..3 {
            spool.die();
            // The dead process held its turn; the next one has turns of its own.
            spool.turns = Turns::default();
        }
        let deaths = spool.start();
        assert_eq!(deaths.begin("central", &MESSAGE).unwrap_err(), Killer { deaths: 3 });
        assert!(deaths.begin("central", &[8; 32]).is_ok() && deaths.begin("other", &MESSAGE).is_ok());
        assert!(spool.start().begin("central", &MESSAGE).is_err(), "it is remembered");
    }

    #[test]
    fn a_message_that_was_given_up_is_tried_when_an_operator_asks_for_it() {
        let mut spool = Spool::new();
        for _ in 0..3 {
            spool.die();
            spool.turns = Turns::default();
        }
        let deaths = spool.start();
        assert!(deaths.begin("central", &MESSAGE).is_err());
        assert!(deaths.begin("central", &MESSAGE).is_err(), "the refusal is not durable yet");
        // What the commit of the refusal does.
        deaths.journal.clear_attempts("central", &MESSAGE).unwrap();
        drop(deaths.begin("central", &MESSAGE).unwrap());
        assert!(deaths.suspects().is_empty());
    }

    #[test]
    fn a_suspect_that_lives_is_forgiven() {
        let mut spool = Spool::new();
        for _ in 0..10 {
            spool.die();
            spool.turns = Turns::default();
            let deaths = spool.start();
            drop(deaths.begin("central", &MESSAGE).unwrap());
            assert_eq!(deaths.journal.attempts("central", &MESSAGE).unwrap().1, 0);
        }
    }

    #[test]
    fn a_suspect_is_worked_on_alone() {
        let mut spool = Spool::new();
        spool.die();
        spool.turns = Turns::default();
        let deaths = spool.start();
        let other = deaths.begin("central", &[1; 32]).unwrap();
        let begun = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _work = deaths.begin("central", &MESSAGE).unwrap();
                begun.store(true, Ordering::SeqCst);
            });
            std::thread::sleep(Duration::from_millis(50));
            assert!(!begun.load(Ordering::SeqCst), "it did not wait for the other");
            drop(other);
        });
        assert!(begun.load(Ordering::SeqCst));
    }

    #[test]
    fn a_stop_that_was_asked_for_makes_no_suspects() {
        let spool = Spool::new();
        let deaths = spool.start();
        let work = deaths.begin("central", &MESSAGE).unwrap();
        deaths.end();
        drop(deaths.begin("central", &[9; 32]));
        std::mem::forget(work);
        assert!(spool.start().suspects().is_empty());
    }
}
