//! How far a receiver is in each source that numbers its messages, such as a subscription of AMS, across restarts.
//!
//! The journal does not use the numbers itself: duplicates are recognised by their keys.

use rusqlite::params;

use super::schema::{Kind, known, number};
use super::stages::exists;
use super::{Journal, JournalError, integer};

/// How far a channel is in a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// One beyond the last message that is durable with all before it; nothing before the first one.
    pub next: Option<u64>,
    /// One beyond the last message that was delivered, durable or not.
    pub delivered: u64,
    /// Messages that were missing so far.
    pub missing: u64,
}

impl Journal {
    /// How far `channel` is in `source`, if that is known.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn position(&self, channel: &str, source: &str) -> Result<Option<Position>, JournalError> {
        self.read(|db| {
            if !exists(db, "position")? {
                return Ok(None);
            }
            let Some(channel) = known(db, Kind::Channel, channel)? else { return Ok(None) };
            let mut statement =
                db.prepare_cached("SELECT next, delivered, missing FROM position WHERE channel = ?1 AND source = ?2")?;
            let mut rows = statement.query_map(params![channel, source], |row| {
                let size = |number: i64| u64::try_from(number).unwrap_or(0);
                let next: Option<i64> = row.get(0)?;
                Ok(Position { next: next.map(size), delivered: size(row.get(1)?), missing: size(row.get(2)?) })
            })?;
            rows.next().transpose()
        })
    }

    /// Records how far `channel` is in `source`. It is durable when this returns.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn record_position(&self, channel: &str, source: &str, position: &Position) -> Result<(), JournalError> {
        self.write(|db| put(db, channel, source, position))
    }

    /// The same, durable only with the next commit of any kind. A process that is killed loses nothing.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn note_position(&self, channel: &str, source: &str, position: &Position) -> Result<(), JournalError> {
        self.write_unsynced(|db| put(db, channel, source, position))
    }
}

fn put(db: &rusqlite::Connection, channel: &str, source: &str, position: &Position) -> rusqlite::Result<()> {
    let channel = number(db, Kind::Channel, channel)?;
    let Position { next, delivered, missing } = *position;
    db.prepare_cached(
        "INSERT OR REPLACE INTO position (channel, source, next, delivered, missing) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![channel, source, next.map(integer), integer(delivered), integer(missing)])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn a_position_is_kept_for_each_channel_and_source() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let journal = Journal::open(&path).unwrap();
        assert_eq!(journal.position("central", "a").unwrap(), None);
        let first = Position { next: None, delivered: 7, missing: 0 };
        let second = Position { next: Some(7), delivered: 9, missing: 3 };
        journal.note_position("central", "a", &first).unwrap();
        assert_eq!(journal.position("central", "a").unwrap(), Some(first));
        journal.record_position("central", "a", &second).unwrap();
        journal.record_position("other", "a", &first).unwrap();
        journal.note_position("central", "b", &Position::default()).unwrap();
        drop(journal);
        let journal = Journal::open_to_read(&path).unwrap();
        let found = |channel, source| journal.position(channel, source).unwrap();
        assert_eq!((found("central", "a"), found("other", "a")), (Some(second), Some(first)));
        assert_eq!((found("central", "b"), found("other", "b")), (Some(Position::default()), None));
    }

    #[test]
    fn a_write_after_a_note_is_synced_again() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&folder.path().join("journal")).unwrap();
        let synchronous = || journal.read(|db| db.query_row("PRAGMA synchronous", [], |row| row.get::<_, i64>(0)));
        journal.note_position("central", "a", &Position::default()).unwrap();
        assert_eq!(synchronous().unwrap(), 2);
        let failed = journal.write_unsynced(|db| db.execute_batch("nonsense"));
        assert!(failed.is_err());
        assert_eq!(synchronous().unwrap(), 2);
    }

    #[test]
    fn a_journal_without_the_table_has_no_position_and_gets_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        drop(Journal::open(&path).unwrap());
        Connection::open(&path).unwrap().execute_batch("DROP TABLE position;").unwrap();
        assert_eq!(Journal::open_to_read(&path).unwrap().position("central", "a").unwrap(), None);
        Journal::open(&path).unwrap().record_position("central", "a", &Position::default()).unwrap();
    }
}
