//! The tables. The first receiver that finds none makes them.

use tokio_postgres::{Client, Error};

/// The version of these tables. Another one is refused.
pub(crate) const VERSION: i32 = 1;

/// `message`: a row for each message that a receiver claimed. `at`: when, by the server's clock.
const TABLES: &str = "
CREATE SCHEMA IF NOT EXISTS sesame;
CREATE TABLE sesame.version (version integer NOT NULL);
CREATE TABLE sesame.receiver (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    instance text NOT NULL UNIQUE,
    since timestamptz NOT NULL DEFAULT now(),
    seen timestamptz NOT NULL DEFAULT now(),
    fenced timestamptz
);
CREATE TABLE sesame.message (
    key bytea PRIMARY KEY,
    receiver integer NOT NULL,
    stored boolean NOT NULL DEFAULT false,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX message_claimed ON sesame.message (receiver) WHERE NOT stored;
CREATE INDEX message_at ON sesame.message USING brin (at);
INSERT INTO sesame.version VALUES (1);
";

/// The advisory lock that is held while the tables are made: the first of its two numbers. The second is 0.
pub(crate) const LOCK: i32 = 0x5e5a_4e00;

/// The version of the tables; `None` if there are none.
pub(crate) async fn version(client: &Client) -> Result<Option<i32>, Error> {
    let there = client.query_one("SELECT to_regclass('sesame.version') IS NOT NULL", &[]).await?;
    if !there.get::<_, bool>(0) {
        return Ok(None);
    }
    Ok(Some(client.query_one("SELECT version FROM sesame.version", &[]).await?.get(0)))
}

/// Makes the tables if there are none, and returns their version.
pub(crate) async fn prepare(client: &mut Client) -> Result<i32, Error> {
    if let Some(version) = version(client).await? {
        return Ok(version);
    }
    let transaction = client.transaction().await?;
    transaction.execute("SELECT pg_advisory_xact_lock($1, 0)", &[&LOCK]).await?;
    // Another receiver may have made them meanwhile.
    let there = transaction.query_one("SELECT to_regclass('sesame.version') IS NOT NULL", &[]).await?;
    if !there.get::<_, bool>(0) {
        transaction.batch_execute(TABLES).await?;
        tracing::info!("tables of the shared index made, in the schema sesame");
    }
    transaction.commit().await?;
    Ok(version(client).await?.unwrap_or(VERSION))
}
