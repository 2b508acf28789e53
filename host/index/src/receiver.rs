//! The index as one receiver uses it.

use spool::{Asked, Claim, IndexError, IndexKey, SharedIndex};
use tokio_postgres::{Client, Statement};

use crate::Settings;
use crate::connection::Connection;

/// Claims rows and shows whose they are. The rows of a batch are sorted, so that two batches wait for each other in one order
/// only. A row that another session makes at the same moment is not seen by this statement: it is neither ours nor known.
const CLAIM: &str = "
WITH asked AS (SELECT key, claims, n FROM unnest($1::bytea[], $2::boolean[]) WITH ORDINALITY AS rows (key, claims, n)),
claimed AS (
    INSERT INTO sesame.message (key, receiver) SELECT DISTINCT key, $3::integer FROM asked WHERE claims ORDER BY key
    ON CONFLICT (key) DO NOTHING RETURNING key)
SELECT claimed.key IS NOT NULL, message.receiver, message.stored, receiver.name
FROM asked LEFT JOIN claimed USING (key) LEFT JOIN sesame.message USING (key)
    LEFT JOIN sesame.receiver ON receiver.id = message.receiver
ORDER BY n";

/// Reports rows as stored. A row that is gone is made again, one of another receiver stays as it is.
const STORED: &str = "
INSERT INTO sesame.message (key, receiver, stored)
SELECT DISTINCT key, $2::integer, true FROM unnest($1::bytea[]) AS rows (key) ORDER BY key
ON CONFLICT (key) DO UPDATE SET stored = true WHERE message.receiver = $2 AND NOT message.stored";

const GIVE_BACK: &str = "DELETE FROM sesame.message WHERE receiver = $2 AND NOT stored AND key = ANY ($1)";

const REGISTER: &str = "
INSERT INTO sesame.receiver (name, instance) VALUES ($1, $2)
ON CONFLICT (instance) DO UPDATE SET name = excluded.name, seen = now()
RETURNING id";

/// Since when it is fenced.
const FENCED: &str =
    "SELECT to_char(fenced AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') FROM sesame.receiver WHERE id = $1";

/// Who holds the lock of a receiver.
const HOLDER: &str = "
SELECT activity.pid, coalesce(activity.application_name, ''), coalesce(host(activity.client_addr), 'this machine')
FROM pg_locks JOIN pg_stat_activity AS activity ON activity.pid = pg_locks.pid
WHERE locktype = 'advisory' AND classid = $1::bigint::oid AND objid = $2::bigint::oid AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// The first number of the advisory lock that a receiver holds while it runs. The second is its row.
pub(crate) const LOCK: i32 = 0x5e5a_4e01;

/// A session in which this receiver holds its lock.
struct Session {
    client: Client,
    claim: Statement,
    stored: Statement,
    /// Its row.
    receiver: i32,
}

/// The index in PostgreSQL, for one receiver. It connects at the first call, and again after each error.
pub struct PostgresIndex {
    connection: Connection,
    instance: String,
    session: Option<Session>,
}

impl PostgresIndex {
    /// The index for the receiver whose journal has this [instance](spool::journal::Journal::instance). Connects to nothing.
    ///
    /// # Errors
    /// The system has no resources for a runtime.
    pub fn new(settings: Settings, instance: String) -> std::io::Result<Self> {
        // What a session says of itself. By the process an old session of its own is known.
        let application = format!("sesame {} {}", std::process::id(), settings.name);
        Ok(Self { connection: Connection::new(settings, application)?, instance, session: None })
    }

    /// Makes a call in the session, which ends with an error.
    fn call<T, F>(&mut self, call: F) -> Result<T, IndexError>
    where
        F: AsyncFnOnce(&mut Session) -> Result<T, tokio_postgres::Error>,
    {
        let mut session = match self.session.take() {
            Some(session) if !session.client.is_closed() => session,
            _ => self.open()?,
        };
        let answer = self.connection.call(call(&mut session))?;
        self.session = Some(session);
        Ok(answer)
    }

    fn open(&self) -> Result<Session, IndexError> {
        let client = self.connection.open(true)?;
        let (name, connection) = (&self.connection.settings().name, &self.connection);
        let receiver: i32 = connection.call(client.query_one(REGISTER, &[name, &self.instance]))?.get(0);
        let locked = connection.call(client.query_one("SELECT pg_try_advisory_lock($1, $2)", &[&LOCK, &receiver]))?;
        if !locked.get::<_, bool>(0) {
            return Err(self.held(&client, receiver));
        }
        // Looked at with the lock: no operator fences a receiver that holds it.
        let fenced: Option<String> = connection.call(client.query_one(FENCED, &[&receiver]))?.get(0);
        if let Some(since) = fenced {
            return Err(IndexError(format!(
                "receiver {name} was fenced {since}: other receivers may have stored what it had in flight; once that is looked \
                 at, run `sesame index admit {name}`"
            )));
        }
        let claim = connection.call(client.prepare(CLAIM))?;
        let stored = connection.call(client.prepare(STORED))?;
        Ok(Session { client, claim, stored, receiver })
    }

    /// Why the lock cannot be had. An old session of this process is ended.
    fn held(&self, client: &Client, receiver: i32) -> IndexError {
        let name = &self.connection.settings().name;
        let (class, object) = (i64::from(LOCK), i64::from(receiver));
        let holders = match self.connection.call(client.query(HOLDER, &[&class, &object])) {
            Ok(holders) => holders,
            Err(error) => return error,
        };
        let ours = format!("sesame {} ", std::process::id());
        for holder in &holders {
            let (pid, application, address): (i32, String, String) = (holder.get(0), holder.get(1), holder.get(2));
            if !application.starts_with(&ours) {
                return IndexError(format!(
                    "receiver {name} is in use by another session of the database, from {address} (process {pid} there): if \
                     its host has vanished, that session ends within half a minute"
                ));
            }
            let _ = self.connection.call(client.execute("SELECT pg_terminate_backend($1)", &[&pid]));
        }
        IndexError(format!("receiver {name} waits for its former session to end"))
    }
}

impl SharedIndex for PostgresIndex {
    fn claim(&mut self, asked: &[Asked]) -> Result<Vec<Claim>, IndexError> {
        let keys: Vec<&[u8]> = asked.iter().map(|asked| asked.key.0.as_slice()).collect();
        let claims: Vec<bool> = asked.iter().map(|asked| asked.claim).collect();
        self.call(async |session| {
            let rows = session.client.query(&session.claim, &[&keys, &claims, &session.receiver]).await?;
            let claim = |(row, asked): (&tokio_postgres::Row, &Asked)| {
                let (claimed, owner): (bool, Option<i32>) = (row.get(0), row.get(1));
                let by = || row.get::<_, Option<String>>(3).unwrap_or_else(|| "another".to_owned());
                match (claimed, owner, row.get::<_, Option<bool>>(2)) {
                    (true, ..) => Claim::Ours,
                    (_, Some(owner), _) if owner == session.receiver => Claim::Ours,
                    (_, Some(_), Some(true)) => Claim::Stored { by: by() },
                    (_, None, _) if !asked.claim => Claim::Free,
                    _ => Claim::Claimed { by: by() },
                }
            };
            Ok(rows.iter().zip(asked).map(claim).collect())
        })
    }

    fn stored(&mut self, keys: &[IndexKey]) -> Result<(), IndexError> {
        let keys: Vec<&[u8]> = keys.iter().map(|key| key.0.as_slice()).collect();
        self.call(async |session| session.client.execute(&session.stored, &[&keys, &session.receiver]).await.map(drop))
    }

    fn settle(&mut self, stored: &[IndexKey]) -> Result<u64, IndexError> {
        let keys: Vec<&[u8]> = stored.iter().map(|key| key.0.as_slice()).collect();
        self.call(async |session| {
            let receiver = session.receiver;
            let transaction = session.client.transaction().await?;
            transaction.execute(STORED, &[&keys, &receiver]).await?;
            let open = "DELETE FROM sesame.message WHERE receiver = $1 AND NOT stored";
            let given_back = transaction.execute(open, &[&receiver]).await?;
            transaction.commit().await?;
            Ok(given_back)
        })
    }

    fn give_back(&mut self, keys: &[IndexKey]) -> Result<(), IndexError> {
        let keys: Vec<&[u8]> = keys.iter().map(|key| key.0.as_slice()).collect();
        self.call(async |session| session.client.execute(GIVE_BACK, &[&keys, &session.receiver]).await.map(drop))
    }
}
