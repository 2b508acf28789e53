//! Syncing a batch to disk.
//!
//! # Measurements
//! Messages per second, with elements of 30 kB in three field files and the journal row, on ext4 with a journal on a
//! virtual disk, 2 cores:
//!
//! | | `syncfs` | file by file |
//! |---|---|---|
//! | batches of 64 | 5,900 to 6,900 | 3,600 |
//! | one at a time | 430 | 400 |
//! | batches of 64, machine busy with compilers | 2,700 | 900 |
//! | one at a time, machine busy with compilers | 70 | 50 |
//!
//! `syncfs` waits for all dirty data of the file system, including that of other programs. Put the spool on a file
//! system of its own to avoid that; if that is not possible, use [`SyncMethod::Files`].

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use message::locked;

use crate::disk;
use crate::queue::{Queue, keep_open};

/// How the files of a batch are made durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncMethod {
    /// One `syncfs` for the whole batch.
    #[default]
    FileSystem,
    /// `fsync` of every file and directory, on several threads, so that the file system can group them.
    Files,
}

/// Syncs queues. It keeps one descriptor open for each file system: a write-back error is reported only to descriptors
/// that were open when it happened.
pub(super) struct Syncer {
    method: SyncMethod,
    file_systems: Mutex<HashMap<u64, Arc<File>>>,
}

impl Syncer {
    pub(super) fn new(method: SyncMethod) -> Self {
        Self { method, file_systems: Mutex::default() }
    }

    /// Whether every file is synced as it is written.
    pub(super) fn by_file(&self) -> bool {
        self.method == SyncMethod::Files
    }

    /// Opens a descriptor of the queue's file system and keeps it.
    pub(super) fn watch(&self, queue: &Queue) -> io::Result<()> {
        let directory = keep_open(&queue.temporary())?;
        let device = directory.metadata()?.dev();
        let mut known = locked(&self.file_systems);
        known.entry(device).or_insert_with(|| Arc::new(directory));
        Ok(())
    }

    /// Makes the drafts in these queues durable. The error contains the path.
    pub(super) fn sync(&self, queues: &[Arc<Queue>]) -> Result<(), (PathBuf, io::Error)> {
        if self.by_file() {
            let paths: BTreeSet<PathBuf> = queues.iter().map(|queue| queue.temporary()).collect();
            return paths.into_iter().try_for_each(|path| disk::sync_directory(&path).map_err(|error| (path, error)));
        }
        let mut done = BTreeSet::new();
        for queue in queues {
            let failed = |error| (queue.path().to_owned(), error);
            let device = queue.temporary().metadata().map_err(failed)?.dev();
            if done.insert(device) {
                let known = locked(&self.file_systems).get(&device).cloned();
                // An unknown device: another file system was mounted there since the start.
                let directory = known.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
                disk::sync_file_system(&directory).map_err(failed)?;
            }
        }
        Ok(())
    }
}
