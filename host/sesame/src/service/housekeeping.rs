//! What a daemon does beside its channels: watches queues, re-reads files, and deletes expired journal rows and messages.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use notify::event::AccessKind;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use super::certificates;
use crate::channel::{Channel, OpenSpool, Registry};
use crate::config::Config;
use crate::sender::Sender;
use crate::shutdown::Shutdown;
use index::Operator;
use message::daily::Condition;
use spool::{Modes, Queue, SpoolError};

/// How often journal rows and reject queues are checked for expiry.
const RETENTION_LOOK: Duration = Duration::from_secs(3600);
/// Journal rows checked in one step: few enough that no commit waits long.
const RETENTION_STEP: usize = 1000;

/// Notifies `wake` of each change in a directory that the kernel reports, until the watcher is dropped.
pub(super) fn wake_on_change(
    directory: &Path,
    mode: RecursiveMode,
    wake: Arc<Notify>,
) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Our own reads are reported too: waking for them would never end.
        let own_read =
            event.is_ok_and(|event| matches!(event.kind, EventKind::Access(AccessKind::Open(_) | AccessKind::Read)));
        if !own_read {
            wake.notify_one();
        }
    })?;
    watcher.watch(directory, mode)?;
    Ok(watcher)
}

/// Wakes a sender when the kernel reports something new in its queue. The sender also scans the queue from time to time, so
/// a watch that cannot be set up, or that loses an event, only causes a delay.
pub(super) async fn watch_queue(sender: Arc<Sender>, shutdown: Shutdown) {
    match wake_on_change(sender.queue(), RecursiveMode::Recursive, sender.waker()) {
        Ok(_watcher) => shutdown.draining().await,
        Err(error) => {
            tracing::warn!(channel = sender.channel().name(), %error, "cannot watch the queue; it is scanned from time to time");
        }
    }
}

/// Re-reads anchors, CRLs, lists and certificates when they change, and warns of what expires soon, once
/// a day. The names of new certificates are recorded for these channels.
pub(super) async fn refresh(
    registry: Arc<Registry>,
    channels: (Config, Vec<Channel>),
    every: Duration,
    shutdown: Shutdown,
) {
    let channels = Arc::new(channels);
    while !shutdown.asked() {
        let registry = Arc::clone(&registry);
        let channels = Arc::clone(&channels);
        let done = tokio::task::spawn_blocking(move || {
            if registry.refresh() {
                let (config, channels) = &*channels;
                certificates::record(config, channels, &registry);
            }
            registry.warn_of_expiry();
        });
        let _ = done.await;
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = shutdown.draining() => return,
        }
    }
}

/// Deletes rows of journals and of the shared index older than `journal.retention`, in small steps, and messages of reject
/// queues older than `reject-retention`.
pub(super) async fn retention(
    config: Config,
    (spools, index): (Vec<Arc<OpenSpool>>, Option<index::Settings>),
    shutdown: Shutdown,
) {
    while !shutdown.asked() {
        let (config, spools, index) = (config.clone(), spools.clone(), index.clone());
        let stop = shutdown.clone();
        let done = tokio::task::spawn_blocking(move || {
            for spool in &spools {
                expire(spool, config.journal.retention, &stop);
            }
            if let Some(index) = index {
                expire_index(index, config.journal.retention, &stop);
            }
            purge_queues(&config);
        });
        let _ = done.await;
        tokio::select! {
            () = tokio::time::sleep(RETENTION_LOOK) => {}
            () = shutdown.draining() => return,
        }
    }
}

fn expire(spool: &OpenSpool, retention: Duration, shutdown: &Shutdown) {
    let Some(before) = SystemTime::now().checked_sub(retention) else { return };
    let journal = spool.journal.path().display().to_string();
    let unable = Condition::error("cannot delete expired rows", &journal);
    while !shutdown.asked() {
        match spool.journal.expire(before, RETENTION_STEP) {
            Ok(expired) if expired.round => {
                unable.end();
                return;
            }
            Ok(_) => std::thread::sleep(Duration::from_millis(20)),
            Err(error) => {
                let error = message::cause::chain(&error);
                if unable.is_due(&error) {
                    tracing::error!(journal, error, "cannot delete expired rows");
                }
                return;
            }
        }
    }
}

/// The others that share the index do the same; a row is deleted once.
fn expire_index(index: index::Settings, retention: Duration, shutdown: &Shutdown) {
    let server = index.server.to_string();
    let unable = Condition::error("cannot delete expired rows", &server);
    let expired = Operator::connect(index).and_then(|index| index.expire(retention, &|| shutdown.asked()));
    match expired {
        Ok(rows) => {
            unable.end();
            tracing::debug!(rows, "expired rows of the shared index deleted");
        }
        Err(error) if error.0.contains(index::NOT_MADE) => {}
        Err(error) if unable.is_due(&error.0) => {
            tracing::error!(error = %error, "cannot delete expired rows of the shared index");
        }
        Err(_) => {}
    }
}

fn purge_queues(config: &Config) {
    let senders = config.senders.values().map(|channel| (channel.reject.clone(), channel.reject_retention));
    let rejects = config.receivers.values().map(|channel| (channel.spool.join("reject"), channel.reject_retention));
    for (path, retention) in senders.chain(rejects) {
        let Some(retention) = retention else { continue };
        let Ok(queue) = Queue::open(&path, Modes::default()) else { continue };
        let queue_path = path.display().to_string();
        let unable = Condition::error("cannot remove old messages", &queue_path);
        match remove_older(&queue, retention) {
            Ok(removed) => {
                unable.end();
                if removed > 0 {
                    tracing::info!(queue = queue_path, removed, "messages older than reject-retention removed");
                }
            }
            Err(error) => {
                let error = message::cause::chain(&error);
                if unable.is_due(&error) {
                    tracing::error!(queue = queue_path, error, "cannot remove messages older than reject-retention");
                }
            }
        }
    }
}

/// Removes the elements that have been in `queue` for longer than `age`; returns how many.
///
/// # Errors
/// [`SpoolError`] for the first one that cannot be removed.
fn remove_older(queue: &Queue, age: Duration) -> Result<usize, SpoolError> {
    let now = SystemTime::now();
    let mut removed = 0;
    for element in queue.elements()? {
        let element = element?;
        let put = std::fs::metadata(queue.element(&element)).and_then(|facts| facts.modified());
        let old = put.is_ok_and(|put| now.duration_since(put).is_ok_and(|since| since >= age));
        if old && let Some(locked) = queue.lock(&element)? {
            locked.remove()?;
            removed += 1;
        }
    }
    Ok(removed)
}
