//! How a batch is forced to the disk.
//!
//! # Measured
//! Elements of 30 kB with three field files and the journal row, ext4 with a journal on a virtual disk, 2 cores, per
//! second: with 64 in a batch `syncfs` 5,900 to 6,900 and file by file 3,600; one at a time 430 and 400. The same while
//! compilers kept the machine busy: 2,700 and 900; one at a time 70 and 50.
//! `syncfs` waits for everything that is dirty in the file system, also for what other programs wrote; a spool on a file
//! system of its own avoids that, and [`SyncMethod::Files`] is for where that cannot be had.

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
    /// `fsync` of every file and directory, on several threads, so that the file system groups them.
    Files,
}

/// One descriptor for each file system, open for life: an error in writing back is reported to the descriptors that were
/// open when it happened.
pub(super) struct Syncer {
    method: SyncMethod,
    file_systems: Mutex<HashMap<u64, Arc<File>>>,
}

impl Syncer {
    pub(super) fn new(method: SyncMethod) -> Self {
        Self { method, file_systems: Mutex::default() }
    }

    /// Whether every file is synced when it is written.
    pub(super) fn by_file(&self) -> bool {
        self.method == SyncMethod::Files
    }

    /// Keeps a descriptor of the queue's file system from now on.
    pub(super) fn watch(&self, queue: &Queue) -> io::Result<()> {
        let directory = keep_open(&queue.temporary())?;
        let device = directory.metadata()?.dev();
        let mut known = locked(&self.file_systems);
        known.entry(device).or_insert_with(|| Arc::new(directory));
        Ok(())
    }

    /// Makes the drafts in these queues durable. `Err` names the queue.
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
                // An unknown device: something else was mounted there since the start.
                let directory = known.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
                disk::sync_file_system(&directory).map_err(failed)?;
            }
        }
        Ok(())
    }
}
