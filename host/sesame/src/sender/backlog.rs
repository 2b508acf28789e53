//! The elements of the queue that may be taken up now.

use std::cell::RefCell;
use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::Window;
use super::postponed::Postponed;
use super::retention::Retention;
use crate::channel::{ActivePipeline, Channel};
use message::cause::chain;
use message::daily::Condition;
use message::locked;
use spool::journal::{Journal, JournalError};
use spool::{ElementName, Outgoing, Scan, SpoolError};

/// The queue of a sender, and what of it is postponed or held back.
#[derive(Debug)]
pub(super) struct Backlog {
    pub(super) channel: Channel,
    pub(super) outgoing: Outgoing,
    pub(super) pipeline: Arc<ActivePipeline>,
    pub(super) postponed: Arc<Postponed>,
    pub(super) window: Arc<Mutex<Window>>,
    /// How often the queue is scanned without a wake-up.
    pub(super) poll: Duration,
    /// What of the queue could not be read when it was last scanned.
    pub(super) unreadable: Mutex<Unreadable>,
}

/// A pass through the queue.
pub(super) struct Pass {
    scan: Scan,
    /// Seen on the way and left for the end.
    suspects: Vec<ElementName>,
    begun: Instant,
    /// Elements that were postponed before it began and that it has not found yet.
    unseen: RefCell<HashSet<String>>,
}

/// What of a queue cannot be read.
#[derive(Debug, Default)]
pub(super) struct Unreadable {
    /// Why nothing of it can be.
    whole: Option<String>,
    /// Directories in it, and how to repair them.
    directories: Vec<String>,
}

impl Backlog {
    /// Where the queue is.
    pub(super) fn path(&self) -> &Path {
        self.outgoing.path()
    }

    /// How many elements are in the queue, whether they may be taken up or not.
    ///
    /// # Errors
    /// [`SpoolError`] where the queue cannot be read.
    pub(super) fn count(&self) -> Result<usize, SpoolError> {
        self.outgoing.count()
    }

    /// Removes files left behind by processes that crashed while they wrote or removed. Reads the whole queue, and may run
    /// beside the sending from it, until it is to `stop`. Blocks.
    pub(super) fn purge(&self, stop: impl Fn() -> bool) {
        if let Err(error) = self.outgoing.purge(stop) {
            tracing::warn!(channel = %self.channel, error = chain(&error), "cannot remove left-over files from the queue");
        }
    }

    /// At start-up: closes journal rows of messages whose element is gone. Blocks.
    ///
    /// # Errors
    /// [`JournalError`].
    pub(super) fn tidy(&self, journal: &Journal, retention: Option<&Retention>) -> Result<(), JournalError> {
        let mut gone = journal.unfinished(self.channel.name())?;
        let missing = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
        gone.retain(|(element, _)| self.path().join(element).symlink_metadata().is_err_and(|e| missing(&e)));
        let mut gone: Vec<_> = gone.into_iter().map(|(_, key)| key).collect();
        if let Some(retention) = retention {
            gone = retention.tidy(gone)?;
        }
        if gone.is_empty() { Ok(()) } else { journal.record_gone(self.channel.name(), &gone) }
    }

    /// Whether there is an element to take up.
    pub(super) async fn has_work(self: &Arc<Self>) -> bool {
        let backlog = Arc::clone(self);
        let looked = tokio::task::spawn_blocking(move || {
            let skipped = backlog.skipped();
            let mut scan = backlog.outgoing.scan()?;
            let found = scan.next(|name| skipped.contains(&name.to_string()))?;
            if found.is_none() {
                backlog.report_passed_over(&scan);
            }
            Ok::<_, SpoolError>(found)
        });
        match looked.await {
            Ok(Ok(found)) => found.is_some(),
            Ok(Err(error)) => {
                self.report_unreadable(&error);
                false
            }
            Err(_) => false,
        }
    }

    /// How long until the queue is scanned without a wake-up: the poll interval, or until an element that was postponed
    /// or held back may be taken up.
    pub(super) fn next_look(&self) -> Duration {
        let now = Instant::now();
        let postponed = self.postponed.next(now, self.pipeline.replaced());
        let held = locked(&self.window).next_release(now);
        let due = [postponed, held].into_iter().flatten().min();
        let poll = message::beat::until_next(self.poll);
        due.map_or(poll, |until| (until - now).min(poll))
    }

    /// The next names, at most `batch`; the pass is gone when the queue is drained. Elements that the broker refused before
    /// come last, so that none of them can keep another from being sent.
    pub(super) async fn next(self: &Arc<Self>, pass: Option<Pass>, batch: usize) -> (Option<Pass>, Vec<ElementName>) {
        let backlog = Arc::clone(self);
        match tokio::task::spawn_blocking(move || backlog.read(pass, batch)).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                self.report_unreadable(&error);
                (None, Vec::new())
            }
            Err(_) => (None, Vec::new()),
        }
    }

    /// Directories of the queue that cannot be read, and how to repair them.
    pub(super) fn unreadable(&self) -> Vec<String> {
        locked(&self.unreadable).directories.clone()
    }

    /// Why nothing of the queue can be read.
    pub(super) fn fault(&self) -> Option<String> {
        locked(&self.unreadable).whole.clone()
    }

    fn report_unreadable(&self, error: &SpoolError) {
        let error = chain(error);
        if self.is_unreadable().is_due(&error) {
            tracing::error!(channel = %self.channel, error, "cannot read the outgoing queue");
        }
        locked(&self.unreadable).whole = Some(error);
    }

    /// Logs directories of the queue that could not be read in a whole pass.
    fn report_passed_over(&self, scan: &Scan) {
        let directories = scan.foreign().iter().filter(|foreign| foreign.holds_elements());
        let unreadable: Vec<String> = directories.map(ToString::to_string).collect();
        for error in unreadable.iter().filter(|error| self.is_unreadable().is_due(error)) {
            tracing::error!(
                channel = %self.channel, queue = %self.path().display(), error,
                "a directory of the outgoing queue cannot be used; other messages are sent",
            );
        }
        if unreadable.is_empty() && self.is_unreadable().end() {
            tracing::info!(channel = %self.channel, "the whole outgoing queue can be read again");
        }
        *locked(&self.unreadable) = Unreadable { whole: None, directories: unreadable };
    }

    fn is_unreadable(&self) -> Condition {
        Condition::error("outgoing queue", &self.channel.section())
    }

    fn read(&self, pass: Option<Pass>, batch: usize) -> Result<(Option<Pass>, Vec<ElementName>), SpoolError> {
        let skipped = self.skipped();
        let any_suspects = locked(&self.window).has_suspects();
        let mut pass = match pass {
            Some(pass) => pass,
            None => self.begin_pass()?,
        };
        let mut names = Vec::with_capacity(batch);
        while names.len() < batch {
            let skip = |name: &ElementName| {
                let mut unseen = pass.unseen.borrow_mut();
                if !unseen.is_empty() {
                    unseen.remove(&name.to_string());
                }
                self.outgoing.holds(name) || (!skipped.is_empty() && skipped.contains(&name.to_string()))
            };
            let Some(name) = pass.scan.next(skip)? else {
                self.report_passed_over(&pass.scan);
                self.postponed.forget_gone(&pass.unseen.borrow(), pass.begun);
                names.append(&mut pass.suspects);
                return Ok((None, names));
            };
            if any_suspects && locked(&self.window).goes_alone(&name.to_string()) {
                pass.suspects.push(name);
            } else {
                names.push(name);
            }
        }
        Ok((Some(pass), names))
    }

    fn begin_pass(&self) -> Result<Pass, SpoolError> {
        let begun = Instant::now();
        let unseen = RefCell::new(self.postponed.names());
        Ok(Pass { scan: self.outgoing.scan()?, suspects: Vec::new(), begun, unseen })
    }

    /// Names that are not to be taken up now: postponed, or held back because the broker refused them.
    fn skipped(&self) -> HashSet<String> {
        let now = Instant::now();
        let mut skipped = self.postponed.waiting(now, self.pipeline.replaced());
        skipped.extend(locked(&self.window).held(now).map(str::to_owned));
        skipped
    }
}
