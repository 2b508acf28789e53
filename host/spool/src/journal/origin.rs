//! Whether the journal is the file that it was, or a copy of it, such as one from a backup.
//!
//! A sender whose journal is older than what it sent would give the same numbers to other messages, and its receiver would
//! not miss any of them, or take them for ones that it misses. So a copied journal goes on under new names of its streams.
//! The numbers go on, so that each is of one name: `former_stream` has the names up to a number.
//!
//! For the same reason a copy is another receiver to a shared index: what the original claimed is not settled from a copy.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::UNIX_EPOCH;

use message::hex;
use rusqlite::{OptionalExtension as _, params};

use super::{Journal, JournalError};

/// What a copy does not share with its original: the number of the file, and when it was made, where the system knows that.
fn identity(path: &Path) -> std::io::Result<String> {
    let facts = path.metadata()?;
    let born = facts.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Ok(format!("{} {}", facts.ino(), born.map_or(0, |time| time.as_nanos())))
}

impl Journal {
    /// What a shared index knows this journal by: 32 hexadecimal digits, chosen at random once. A copy has another.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn instance(&self) -> Result<String, JournalError> {
        self.write(|db| {
            let known: Option<String> = db.query_row("SELECT name FROM instance", [], |row| row.get(0)).optional()?;
            if let Some(known) = known {
                return Ok(known);
            }
            let random: Vec<u8> = db.query_row("SELECT randomblob(16)", [], |row| row.get(0))?;
            db.execute("INSERT INTO instance (name) VALUES (?1)", [hex(&random)])?;
            Ok(hex(&random))
        })
    }

    /// Begins new streams if the file was copied since it was opened last.
    pub(super) fn notice_copy(&self) -> Result<(), JournalError> {
        let found = identity(&self.path).map_err(|source| JournalError::Open { path: self.path.clone(), source })?;
        let noted: Option<String> =
            self.read(|db| db.query_row("SELECT file FROM origin", [], |row| row.get(0)).optional())?;
        if noted.as_ref() == Some(&found) {
            return Ok(());
        }
        let renamed = self.write(|db| {
            db.execute("DELETE FROM origin", [])?;
            db.execute("INSERT INTO origin (file) VALUES (?1)", [&found])?;
            db.execute("DELETE FROM instance", [])?;
            if noted.is_none() {
                return Ok(0);
            }
            // A name under which no number was given is not needed.
            db.execute(
                "INSERT INTO former_stream (stream, last, name) SELECT number, last, name FROM stream WHERE true
                ON CONFLICT (stream, last) DO NOTHING",
                [],
            )?;
            let streams: Vec<i64> =
                db.prepare("SELECT number FROM stream")?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            for stream in &streams {
                let random: Vec<u8> = db.query_row("SELECT randomblob(8)", [], |row| row.get(0))?;
                db.execute("UPDATE stream SET name = ?2 WHERE number = ?1", params![stream, hex(&random)])?;
            }
            Ok(streams.len())
        })?;
        if renamed > 0 {
            tracing::warn!(
                journal = %self.path.display(), streams = renamed,
                "the journal is a copy, perhaps from a backup: what is sent from now on is numbered in new streams",
            );
        }
        Ok(())
    }
}
