//! What the commands of an operator do.

use std::time::Duration;

use spool::IndexError;
use tokio_postgres::Client;

use crate::Settings;
use crate::connection::Connection;
use crate::receiver::LOCK;

/// How many rows one statement deletes.
const AT_ONCE: i64 = 5_000;

const RECEIVERS: &str = "
SELECT receiver.name, receiver.instance, activity.pid IS NOT NULL,
    to_char(receiver.seen AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),
    to_char(receiver.fenced AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),
    (SELECT count(*) FROM sesame.message WHERE message.receiver = receiver.id AND NOT message.stored),
    receiver.id
FROM sesame.receiver LEFT JOIN (
    SELECT pid, objid FROM pg_locks
    WHERE locktype = 'advisory' AND classid = $1::bigint::oid AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
) AS activity ON activity.objid = receiver.id::bigint::oid
ORDER BY receiver.name, receiver.id";

/// A receiver in the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverRow {
    /// Its name.
    pub name: String,
    /// The instance of its journal.
    pub instance: String,
    /// Whether it has a session with the database now.
    pub connected: bool,
    /// When it began its last session, as RFC 3339 writes it.
    pub seen: String,
    /// Since when it is fenced.
    pub fenced: Option<String>,
    /// Messages that it claimed and has not reported as stored.
    pub claimed: u64,
    id: i32,
}

/// What fencing did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fenced {
    /// Receivers with that name that are fenced now and were not before.
    pub receivers: usize,
    /// Claims that were given back.
    pub given_back: u64,
}

/// The index, for the commands of an operator.
pub struct Operator {
    connection: Connection,
    client: Client,
}

impl Operator {
    /// Connects.
    ///
    /// # Errors
    /// [`IndexError`]; also if no receiver has made the tables yet.
    pub fn connect(settings: Settings) -> Result<Self, IndexError> {
        let connection = Connection::new(settings, "sesame operator".to_owned())
            .map_err(|error| IndexError(format!("no runtime: {error}")))?;
        let client = connection.open(false)?;
        Ok(Self { connection, client })
    }

    /// Every receiver that ever used the index.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn receivers(&self) -> Result<Vec<ReceiverRow>, IndexError> {
        let rows = self.connection.call(self.client.query(RECEIVERS, &[&i64::from(LOCK)]))?;
        let row = |row: &tokio_postgres::Row| ReceiverRow {
            name: row.get(0),
            instance: row.get(1),
            connected: row.get(2),
            seen: row.get(3),
            fenced: row.get(4),
            claimed: row.get::<_, i64>(5).unsigned_abs(),
            id: row.get(6),
        };
        Ok(rows.iter().map(row).collect())
    }

    /// Gives the open claims of every receiver with this name back to the others. It does not start again before it is
    /// [admitted](Self::admit).
    ///
    /// # Errors
    /// [`IndexError`]; also if there is none, or one of them has a session.
    pub fn fence(&mut self, name: &str) -> Result<Fenced, IndexError> {
        let found = self.named(name)?;
        if found.iter().any(|receiver| receiver.connected) {
            return Err(self
                .connection
                .says(&format!("receiver {name} has a session now: stop it before it is fenced")));
        }
        let mut fenced = Fenced { receivers: 0, given_back: 0 };
        for receiver in found {
            let (newly, given_back) = self.fence_one(receiver.id)?.ok_or_else(|| {
                self.connection.says(&format!("receiver {name} began a session just now: stop it before it is fenced"))
            })?;
            fenced.receivers += usize::from(newly);
            fenced.given_back += given_back;
        }
        Ok(fenced)
    }

    /// Fences a receiver while its lock is held, so that it cannot begin a session meanwhile; `None` if it has one.
    fn fence_one(&mut self, receiver: i32) -> Result<Option<(bool, u64)>, IndexError> {
        let client = &mut self.client;
        self.connection.call(async {
            let transaction = client.transaction().await?;
            let lock = "SELECT pg_try_advisory_xact_lock($1, $2)";
            if !transaction.query_one(lock, &[&LOCK, &receiver]).await?.get::<_, bool>(0) {
                return Ok(None);
            }
            let fence = "UPDATE sesame.receiver SET fenced = now() WHERE id = $1 AND fenced IS NULL";
            let newly = transaction.execute(fence, &[&receiver]).await? > 0;
            let open = "DELETE FROM sesame.message WHERE receiver = $1 AND NOT stored";
            let given_back = transaction.execute(open, &[&receiver]).await?;
            transaction.commit().await?;
            Ok(Some((newly, given_back)))
        })
    }

    /// Lets fenced receivers with this name start again; returns how many.
    ///
    /// # Errors
    /// [`IndexError`]; also if there is none with this name.
    pub fn admit(&mut self, name: &str) -> Result<u64, IndexError> {
        self.named(name)?;
        let admit = "UPDATE sesame.receiver SET fenced = NULL WHERE name = $1 AND fenced IS NOT NULL";
        self.connection.call(self.client.execute(admit, &[&name]))
    }

    fn named(&self, name: &str) -> Result<Vec<ReceiverRow>, IndexError> {
        let all = self.receivers()?;
        let (found, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|receiver| receiver.name == name);
        if found.is_empty() {
            let mut names: Vec<String> = others.into_iter().map(|receiver| receiver.name).collect();
            names.dedup();
            let known = if names.is_empty() { "there are none".to_owned() } else { names.join(", ") };
            return Err(self.connection.says(&format!("no receiver {name:?} in the shared index ({known})")));
        }
        Ok(found)
    }

    /// Deletes rows of messages that were stored longer ago; returns how many. Stops early if `stop` says so.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn expire(&self, older: Duration, stop: &dyn Fn() -> bool) -> Result<u64, IndexError> {
        let delete = "DELETE FROM sesame.message WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM sesame.message WHERE stored AND at < now() - make_interval(secs => $1) LIMIT $2))";
        let mut deleted = 0;
        while !stop() {
            let gone = self.connection.call(self.client.execute(delete, &[&older.as_secs_f64(), &AT_ONCE]))?;
            deleted += gone;
            if gone == 0 {
                break;
            }
        }
        Ok(deleted)
    }
}
