//! The crash limit: a message during which the process crashed is retried alone, and rejected after the third crash.
//!
//! # Policy
//! - Work on a message begins with [`CrashLimit::begin`] and ends when its [`Work`] is dropped. A message in flight
//!   when the process crashed is a suspect from the next start on. A stop on request makes no suspects
//!   ([`CrashLimit::stop`]).
//! - A suspect is processed alone: no other message of this process is in a plugin or being opened meanwhile, so that
//!   the next crash shows which message caused it. If the process survives, the crash count of the message is cleared.
//! - A process of its own that opened a message for this one and crashed counts the same ([`CrashLimit::crashed`]).
//! - After three crashes [`CrashLimit::begin`] returns [`TooManyCrashes`], and the caller rejects the message. The
//!   commit of that rejection clears the count in the journal, so that a message that an operator retries from the
//!   reject queue is processed again.
//!
//! Each message costs two lines appended to a file that is never synced (`in_flight`) and one read lock. The journal is
//! written only for suspects.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use message::{locked, locked_exclusive, locked_shared};

use super::SpoolError;
use super::in_flight::{InFlight, InFlightMark, Interrupted};
use crate::journal::{Journal, JournalError};

/// Number of crashes after which a message is rejected.
const LIMIT: u32 = 3;

/// Why the crash limit cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum CrashLimitError {
    /// The file of messages in flight failed.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// A lock shared by all threads that process messages: held shared for a message, exclusively for a suspect.
pub type Turns = Arc<RwLock<()>>;

/// The suspects of a spool, and its messages in flight.
#[derive(Debug)]
pub struct CrashLimit {
    in_flight: InFlight,
    journal: Arc<Journal>,
    suspects: Mutex<HashMap<Interrupted, u32>>,
    turns: Turns,
}

/// A message is at the crash limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the process crashed {crashes} times while it worked on this message, the last time on this message alone; please \
     report it with this message, the plugins of the channel and the log"
)]
pub struct TooManyCrashes {
    pub crashes: u32,
}

/// Work on one message, until it is dropped.
#[derive(Debug)]
#[must_use = "the work ends when it is dropped"]
pub struct Work<'a> {
    _mark: Option<InFlightMark>,
    /// Set for a suspect.
    suspect: Option<(&'a CrashLimit, Interrupted)>,
    _turn: Turn<'a>,
}

/// No suspect is processed until it is dropped.
#[derive(Debug)]
#[must_use = "suspects wait until it is dropped"]
pub struct NoSuspect<'a> {
    _turn: RwLockReadGuard<'a, ()>,
}

#[derive(Debug)]
enum Turn<'a> {
    WithOthers { _guard: RwLockReadGuard<'a, ()> },
    Alone { _guard: RwLockWriteGuard<'a, ()> },
}

impl CrashLimit {
    /// Opens the file `path` of messages in flight and counts a crash for every message left in it.
    ///
    /// # Errors
    /// [`CrashLimitError`].
    pub fn open(path: &Path, journal: Arc<Journal>, turns: Turns) -> Result<Self, CrashLimitError> {
        let (in_flight, interrupted) = InFlight::open(path)?;
        for one in &interrupted {
            let crashes = journal.count_crash(&one.channel, &one.digest)?;
            let message = message::hex(&one.digest);
            tracing::warn!(
                channel = one.channel,
                crashes,
                message,
                "the process crashed while it worked on a message; the message is retried alone and rejected after {LIMIT} crashes"
            );
        }
        let crashes = journal.crashes()?.into_iter();
        let suspects = crashes.map(|(channel, digest, crashes)| (Interrupted { channel, digest }, crashes)).collect();
        Ok(Self { in_flight, journal, suspects: Mutex::new(suspects), turns })
    }

    fn suspects(&self) -> MutexGuard<'_, HashMap<Interrupted, u32>> {
        locked(&self.suspects)
    }

    /// Begins work on a message. Blocks while a suspect is processed; for a suspect, blocks while any message is.
    ///
    /// # Errors
    /// [`TooManyCrashes`] for a message at the crash limit.
    pub fn begin(&self, channel: &str, digest: &[u8; 32]) -> Result<Work<'_>, TooManyCrashes> {
        let suspect = self.suspect(channel, digest);
        if let Some((_, crashes @ LIMIT..)) = suspect {
            return Err(TooManyCrashes { crashes });
        }
        let turn = match suspect {
            Some(_) => Turn::Alone { _guard: locked_exclusive(&self.turns) },
            None => Turn::WithOthers { _guard: locked_shared(&self.turns) },
        };
        let mark = self.in_flight.begin(channel, digest).inspect_err(|error| {
            tracing::debug!(channel, %error, "cannot note the message in flight");
        });
        Ok(Work { _mark: mark.ok(), suspect: suspect.map(|(message, _)| (self, message)), _turn: turn })
    }

    /// Keeps suspects waiting while these messages are opened at once; nothing where one of them is a suspect. Blocks while
    /// one is processed. To be dropped before work on a message begins.
    pub fn none_of(&self, channel: &str, digests: &[[u8; 32]]) -> Option<NoSuspect<'_>> {
        let any = digests.iter().any(|digest| self.suspect(channel, digest).is_some());
        (!any).then(|| NoSuspect { _turn: locked_shared(&self.turns) })
    }

    fn suspect(&self, channel: &str, digest: &[u8; 32]) -> Option<(Interrupted, u32)> {
        let suspects = self.suspects();
        if suspects.is_empty() {
            return None;
        }
        let message = Interrupted { channel: InFlight::name(channel), digest: *digest };
        let crashes = suspects.get(&message).copied()?;
        drop(suspects);
        if crashes >= LIMIT && self.is_rejected(&message) {
            self.suspects().remove(&message);
            return None;
        }
        Some((message, crashes))
    }

    /// Whether the rejection of a message at the crash limit is durable, which clears the count in the journal. If an
    /// operator retries the message, it is processed like any other.
    fn is_rejected(&self, message: &Interrupted) -> bool {
        let counted = self.journal.attempts(&message.channel, &message.digest).inspect_err(|error| {
            tracing::error!(channel = message.channel, error = message::cause::chain(error), "cannot read the journal");
        });
        matches!(counted, Ok((_, 0)))
    }

    /// Notes that the program stops on request: messages still in flight do not become suspects.
    pub fn stop(&self) {
        if let Err(error) = self.in_flight.stop() {
            tracing::debug!(%error, "cannot clear the messages in flight");
        }
    }

    /// Ends the work on a message during which a process of its own crashed that opened it. The message is a suspect from
    /// now on. Returns how many crashes there were.
    ///
    /// # Errors
    /// [`JournalError`]; the crash is not counted then.
    pub fn crashed(&self, work: Work<'_>, channel: &str, digest: &[u8; 32]) -> Result<u32, JournalError> {
        work.give_up();
        let channel = InFlight::name(channel);
        let crashes = self.journal.count_crash(&channel, digest)?;
        self.suspects().insert(Interrupted { channel, digest: *digest }, crashes);
        Ok(crashes)
    }

    /// Clears a suspect that the process survived.
    fn forget(&self, message: &Interrupted) {
        self.suspects().remove(message);
        if let Err(error) = self.journal.clear_crashes(&message.channel, &message.digest) {
            tracing::error!(
                channel = message.channel,
                error = message::cause::chain(&error),
                "cannot write the journal"
            );
        }
    }
}

impl Work<'_> {
    /// Ends the work without a result: a suspect stays one.
    pub fn give_up(mut self) {
        self.suspect = None;
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        if let Some((limit, message)) = self.suspect.take() {
            limit.forget(&message);
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

        fn start(&self) -> CrashLimit {
            let journal = Arc::new(Journal::open(&self.folder.path().join("journal.sqlite")).unwrap());
            CrashLimit::open(&self.folder.path().join("in-work"), journal, Arc::clone(&self.turns)).unwrap()
        }

        /// Simulates a crash while the process works on the message.
        fn crash(&self) {
            let limit = self.start();
            let work = limit.begin("central", &MESSAGE).unwrap();
            std::mem::forget(work);
        }
    }

    #[test]
    fn a_message_is_refused_after_three_crashes() {
        let mut spool = Spool::new();
        for _ in 0..3 {
            spool.crash();
            // The crashed process held the lock; the next one has its own.
            spool.turns = Turns::default();
        }
        let limit = spool.start();
        assert_eq!(limit.begin("central", &MESSAGE).unwrap_err(), TooManyCrashes { crashes: 3 });
        assert!(limit.begin("central", &[8; 32]).is_ok() && limit.begin("other", &MESSAGE).is_ok());
        assert!(spool.start().begin("central", &MESSAGE).is_err(), "the limit survives a restart");
    }

    #[test]
    fn a_rejected_message_is_retried_on_an_operators_request() {
        let mut spool = Spool::new();
        for _ in 0..3 {
            spool.crash();
            spool.turns = Turns::default();
        }
        let limit = spool.start();
        assert!(limit.begin("central", &MESSAGE).is_err());
        assert!(limit.begin("central", &MESSAGE).is_err(), "the rejection is not durable yet");
        // As the commit of the rejection does.
        limit.journal.clear_attempts("central", &MESSAGE).unwrap();
        drop(limit.begin("central", &MESSAGE).unwrap());
        assert!(limit.suspects().is_empty());
    }

    #[test]
    fn crashes_of_other_processes_count_the_same() {
        let mut spool = Spool::new();
        let limit = spool.start();
        for crashes in 1..=2 {
            let work = limit.begin("central", &MESSAGE).unwrap();
            assert_eq!(limit.crashed(work, "central", &MESSAGE).unwrap(), crashes);
            // One that could not be opened in between changes nothing.
            limit.begin("central", &MESSAGE).unwrap().give_up();
        }
        assert!(limit.begin("central", &[8; 32]).is_ok(), "others are not concerned");
        // The third is one of this process.
        drop(limit);
        spool.crash();
        spool.turns = Turns::default();
        let limit = spool.start();
        assert_eq!(limit.begin("central", &MESSAGE).unwrap_err(), TooManyCrashes { crashes: 3 });
    }

    #[test]
    fn only_messages_that_are_no_suspects_are_opened_at_once() {
        let mut spool = Spool::new();
        spool.crash();
        spool.turns = Turns::default();
        let limit = spool.start();
        assert!(limit.none_of("central", &[[8; 32], MESSAGE]).is_none());
        let others = limit.none_of("central", &[[8; 32], [9; 32]]).unwrap();
        let begun = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _alone = limit.begin("central", &MESSAGE).unwrap();
                begun.store(true, Ordering::SeqCst);
            });
            std::thread::sleep(Duration::from_millis(100));
            assert!(!begun.load(Ordering::SeqCst), "a suspect waits for them");
            drop(others);
        });
        assert!(begun.load(Ordering::SeqCst));
        assert!(limit.none_of("central", &[MESSAGE]).is_some(), "it was survived");
    }

    #[test]
    fn one_that_is_opened_after_crashes_is_cleared() {
        let spool = Spool::new();
        let limit = spool.start();
        let work = limit.begin("central", &MESSAGE).unwrap();
        limit.crashed(work, "central", &MESSAGE).unwrap();
        drop(limit.begin("central", &MESSAGE).unwrap());
        assert_eq!(limit.journal.attempts("central", &MESSAGE).unwrap().1, 0);
        let work = limit.begin("central", &MESSAGE).unwrap();
        assert_eq!(limit.crashed(work, "central", &MESSAGE).unwrap(), 1);
    }

    #[test]
    fn a_suspect_that_the_process_survives_is_cleared() {
        let mut spool = Spool::new();
        for _ in 0..10 {
            spool.crash();
            spool.turns = Turns::default();
            let limit = spool.start();
            drop(limit.begin("central", &MESSAGE).unwrap());
            assert_eq!(limit.journal.attempts("central", &MESSAGE).unwrap().1, 0);
        }
    }

    #[test]
    fn a_suspect_is_processed_alone() {
        let mut spool = Spool::new();
        spool.crash();
        spool.turns = Turns::default();
        let limit = spool.start();
        let other = limit.begin("central", &[1; 32]).unwrap();
        let begun = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _work = limit.begin("central", &MESSAGE).unwrap();
                begun.store(true, Ordering::SeqCst);
            });
            std::thread::sleep(Duration::from_millis(50));
            assert!(!begun.load(Ordering::SeqCst), "it did not wait for the other message");
            drop(other);
        });
        assert!(begun.load(Ordering::SeqCst));
    }

    #[test]
    fn a_stop_on_request_makes_no_suspects() {
        let spool = Spool::new();
        let limit = spool.start();
        let work = limit.begin("central", &MESSAGE).unwrap();
        limit.stop();
        drop(limit.begin("central", &[9; 32]));
        std::mem::forget(work);
        assert!(spool.start().suspects().is_empty());
    }
}
