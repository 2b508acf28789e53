//! The plugins that are stages of a channel, remembered across restarts, and the stages for the hash of a pipeline.
//!
//! Both are in the journal because it is durable, private and written under the lock of the spool.

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::schema::{Kind, known, number};
use super::{Journal, JournalError};

/// A remembered stage of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageRow {
    /// Its name.
    pub name: String,
    /// The filter of its sidecar, as text; the journal does not interpret it.
    pub filter: Option<String>,
    /// The removal marker that an earlier stage of that name was removed by.
    pub tombstone: Option<String>,
}

/// A stage of a pipeline that passed messages, or `table NAME`, a table that one of them used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineStage {
    /// Its name.
    pub name: String,
    /// Its version; empty if it could not be loaded, and for a table.
    pub version: String,
    /// SHA-256 of the component or table, in hexadecimal; empty if it could not be loaded.
    pub sha256: String,
}

impl Journal {
    /// The stages that a channel had.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn stages(&self, channel: &str) -> Result<Vec<StageRow>, JournalError> {
        self.read(|db| {
            if !exists(db, "stage")? {
                return Ok(Vec::new());
            }
            let Some(channel) = known(db, Kind::Channel, channel)? else { return Ok(Vec::new()) };
            db.prepare_cached("SELECT name, filter, tombstone FROM stage WHERE channel = ?1 ORDER BY name")?
                .query_map([channel], |row| {
                    Ok(StageRow { name: row.get(0)?, filter: row.get(1)?, tombstone: row.get(2)? })
                })?
                .collect()
        })
    }

    /// Replaces the remembered stages of a channel, and records the stages of its new pipeline. Called before the
    /// pipeline sees a message.
    ///
    /// # Errors
    /// [`JournalError`]; the pipeline must then not be used.
    pub fn record_stages(
        &self,
        channel: &str,
        remembered: &[StageRow],
        hash: &str,
        stages: &[PipelineStage],
    ) -> Result<(), JournalError> {
        let text = serde_json::to_string(stages).unwrap_or_default();
        self.write(|db| {
            let channel = number(db, Kind::Channel, channel)?;
            let pipeline = number(db, Kind::Pipeline, hash)?;
            db.prepare_cached("DELETE FROM stage WHERE channel = ?1")?.execute([channel])?;
            for row in remembered {
                db.prepare_cached("INSERT INTO stage (channel, name, filter, tombstone) VALUES (?1, ?2, ?3, ?4)")?
                    .execute(params![channel, row.name, row.filter, row.tombstone])?;
            }
            db.prepare_cached("INSERT INTO pipeline (number, stages) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
                .execute(params![pipeline, text])?;
            Ok(())
        })
    }

    /// The stages of the pipeline with this hash, if they are remembered.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn pipeline(&self, hash: &str) -> Result<Option<Vec<PipelineStage>>, JournalError> {
        self.read(|db| {
            if !exists(db, "pipeline")? {
                return Ok(None);
            }
            let Some(number) = known(db, Kind::Pipeline, hash)? else { return Ok(None) };
            let mut statement = db.prepare_cached("SELECT stages FROM pipeline WHERE number = ?1")?;
            let mut rows = statement.query_map([number], |row| row.get::<_, String>(0))?;
            Ok(rows.next().transpose()?.and_then(|text| serde_json::from_str(&text).ok()))
        })
    }
}

/// Whether the table exists. A journal of an earlier Sesame that is opened for reading may lack it.
pub(super) fn exists(db: &Connection, table: &str) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?1")?
        .query_row([table], |row| row.get::<_, i64>(0))
        .map(|count| count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str) -> StageRow {
        StageRow { name: name.to_owned(), filter: Some("{}".to_owned()), tombstone: None }
    }

    #[test]
    fn the_stages_of_a_channel_are_remembered_until_they_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let passed = PipelineStage { name: "a.wasm".into(), version: "1".into(), sha256: "ab".into() };
        let journal = Journal::open(&path).unwrap();
        assert_eq!(journal.stages("central").unwrap(), []);
        journal.record_stages("central", &[row("a.wasm"), row("b.wasm")], "h1", std::slice::from_ref(&passed)).unwrap();
        journal.record_stages("other", &[row("c.wasm")], "h2", &[]).unwrap();
        journal.record_stages("central", &[row("b.wasm")], "h1", &[]).unwrap();
        drop(journal);
        let journal = Journal::open_to_read(&path).unwrap();
        assert_eq!(journal.stages("central").unwrap(), [row("b.wasm")]);
        assert_eq!(journal.stages("other").unwrap(), [row("c.wasm")]);
        assert_eq!(journal.pipeline("h1").unwrap(), Some(vec![passed]));
        assert_eq!(journal.pipeline("h3").unwrap(), None);
    }

    #[test]
    fn a_journal_without_the_tables_has_none_and_gets_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        drop(Journal::open(&path).unwrap());
        Connection::open(&path).unwrap().execute_batch("DROP TABLE stage; DROP TABLE pipeline;").unwrap();
        let journal = Journal::open_to_read(&path).unwrap();
        assert_eq!((journal.stages("central").unwrap(), journal.pipeline("h").unwrap()), (vec![], None));
        drop(journal);
        Journal::open(&path).unwrap().record_stages("central", &[row("a.wasm")], "h", &[]).unwrap();
    }
}
