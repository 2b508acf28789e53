//! One session with the server.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use message::owner_only;
use spool::IndexError;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::{Client, Config, Error, NoTls};
use zeroize::Zeroizing;

use crate::tls::MakeTls;
use crate::{Settings, schema};

/// How long a connection may take to be made, and a call to be answered.
const CONNECT: Duration = Duration::from_secs(5);
const CALL: Duration = Duration::from_secs(15);
/// The most that a file with a password may have, in bytes.
const MOST: u64 = 4096;

/// What is said of a database without the tables.
pub const NOT_MADE: &str = "there is no shared index in this database yet: the first receiver makes it";

/// What every session is set to. The server's keepalives end a session whose host vanished, within half a minute; a Unix
/// socket needs none. Statements look rows up by their keys, also before the server has counted the rows of a new table.
const SESSION: &str = "
SET synchronous_commit = on;
SET default_transaction_isolation = 'read committed';
SET statement_timeout = '10s';
SET idle_in_transaction_session_timeout = '10s';
SET tcp_keepalives_idle = 10;
SET tcp_keepalives_interval = 5;
SET tcp_keepalives_count = 3;
SET tcp_user_timeout = 25000;
SET client_min_messages = error;
SET enable_seqscan = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
";

/// Where the database is: a URL `postgresql://USER@HOST[:PORT][,HOST…]/DATABASE`, as libpq reads it.
#[derive(Clone, PartialEq, Eq)]
pub struct Server {
    url: String,
    config: Config,
}

/// Why a URL cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// It is not the URL of a PostgreSQL database.
    #[error("is not the URL of a PostgreSQL database: {0}")]
    NotAUrl(String),
    /// It lacks a part.
    #[error("has no {0}")]
    Lacks(&'static str),
    /// The configuration file may be read by more people than may use the database.
    #[error("has a password")]
    Password,
    /// TLS is not for the URL to decide.
    #[error("has sslmode")]
    SslMode,
}

impl FromStr for Server {
    type Err = ServerError;

    fn from_str(url: &str) -> Result<Self, ServerError> {
        if !url.starts_with("postgresql://") && !url.starts_with("postgres://") {
            return Err(ServerError::NotAUrl("it does not begin with postgresql://".to_owned()));
        }
        let config = Config::from_str(url).map_err(|error| ServerError::NotAUrl(message::cause::chain(&error)))?;
        if config.get_password().is_some() {
            return Err(ServerError::Password);
        }
        if url.contains("sslmode") || url.contains("sslnegotiation") {
            return Err(ServerError::SslMode);
        }
        if config.get_hosts().is_empty() {
            return Err(ServerError::Lacks("host"));
        }
        if config.get_user().is_none() {
            return Err(ServerError::Lacks("user"));
        }
        if config.get_dbname().is_none() {
            return Err(ServerError::Lacks("database"));
        }
        Ok(Self { url: url.to_owned(), config })
    }
}

impl Server {
    /// Whether every host is this machine, so that nothing crosses a network.
    #[must_use]
    pub fn is_local(&self) -> bool {
        let is_local = |host: &Host| match host {
            Host::Tcp(name) => name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()),
            Host::Unix(_) => true,
        };
        self.config.get_hosts().iter().all(is_local) && self.config.get_hostaddrs().iter().all(IpAddr::is_loopback)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A thread's way to the server. Calls block, and no thread of the process's runtime waits for them.
pub(crate) struct Connection {
    runtime: Runtime,
    settings: Settings,
    application: String,
}

impl Connection {
    pub(crate) fn new(settings: Settings, application: String) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, settings, application })
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Connects, and makes the tables if `prepare` says so and there are none.
    pub(crate) fn open(&self, prepare: bool) -> Result<Client, IndexError> {
        let config = self.config()?;
        self.runtime.block_on(async {
            let client = match timeout(CALL, self.connect(&config)).await {
                Ok(connected) => connected,
                Err(_) => return Err(self.late()),
            };
            let mut client = client.map_err(|error| self.failed(&error))?;
            let set_up = async {
                client.batch_execute(SESSION).await?;
                if prepare { schema::prepare(&mut client).await.map(Some) } else { schema::version(&client).await }
            };
            let version = match timeout(CALL, set_up).await {
                Ok(version) => version.map_err(|error| self.failed(&error))?,
                Err(_) => return Err(self.late()),
            };
            match version {
                Some(schema::VERSION) => Ok(client),
                Some(other) => Err(self.says(&format!(
                    "the tables of the shared index have version {other}, and this program knows {}: update every receiver",
                    schema::VERSION,
                ))),
                None => Err(self.says(NOT_MADE)),
            }
        })
    }

    async fn connect(&self, config: &Config) -> Result<Client, Error> {
        // The connection is driven by this runtime whenever a call waits.
        match &self.settings.tls {
            Some(tls) => {
                let (client, connection) = config.connect(MakeTls(tls.clone())).await?;
                tokio::spawn(connection);
                Ok(client)
            }
            None => {
                let (client, connection) = config.connect(NoTls).await?;
                tokio::spawn(connection);
                Ok(client)
            }
        }
    }

    /// Waits for a call.
    pub(crate) fn call<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, IndexError> {
        match self.runtime.block_on(async { timeout(CALL, call).await }) {
            Ok(answer) => answer.map_err(|error| self.failed(&error)),
            Err(_) => Err(self.late()),
        }
    }

    fn config(&self) -> Result<Config, IndexError> {
        let mut config = self.settings.server.config.clone();
        config.ssl_mode(if self.settings.tls.is_some() { SslMode::Require } else { SslMode::Disable });
        // A URL may name several servers, of which one takes changes.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        config.application_name(&self.application).connect_timeout(CONNECT);
        config.keepalives(true).keepalives_idle(Duration::from_secs(10)).keepalives_interval(Duration::from_secs(5));
        config.keepalives_retries(3).tcp_user_timeout(CALL);
        if let Some(file) = &self.settings.password {
            let bytes = owner_only::read(file, MOST).map_err(|error| IndexError(message::cause::chain(&error)))?;
            let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
            config.password(Zeroizing::new(line.strip_suffix(b"\r").unwrap_or(line).to_vec()).as_slice());
        }
        Ok(config)
    }

    fn failed(&self, error: &Error) -> IndexError {
        let said = match error.as_db_error() {
            Some(refusal) => format!("{} (SQLSTATE {})", refusal.message(), refusal.code().code()),
            None => message::cause::chain(error),
        };
        self.says(&said)
    }

    fn late(&self) -> IndexError {
        self.says(&format!("no answer within {} s", CALL.as_secs()))
    }

    pub(crate) fn says(&self, what: &str) -> IndexError {
        IndexError(format!("{}: {what}", self.settings.server))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> ServerError {
        url.parse::<Server>().unwrap_err()
    }

    #[test]
    fn a_url_names_user_host_and_database_and_no_secret() {
        let server: Server = "postgresql://sesame@db.example.org,db2.example.org:5433/accounting".parse().unwrap();
        assert!(!server.is_local());
        assert!(matches!(refusal("mysql://sesame@db.example.org/accounting"), ServerError::NotAUrl(_)));
        assert!(matches!(refusal("postgresql://sesame@db.example.org:port/accounting"), ServerError::NotAUrl(_)));
        assert_eq!(refusal("postgresql://sesame:secret@db.example.org/accounting"), ServerError::Password);
        assert_eq!(refusal("postgresql://sesame@db.example.org/accounting?sslmode=disable"), ServerError::SslMode);
        assert_eq!(refusal("postgresql://db.example.org/accounting"), ServerError::Lacks("user"));
        assert_eq!(refusal("postgresql://sesame@db.example.org"), ServerError::Lacks("database"));
        assert_eq!(refusal("postgresql:///accounting?user=sesame"), ServerError::Lacks("host"));
    }

    #[test]
    fn only_this_machine_is_local() {
        let is_local =
            |host: &str| format!("postgresql://sesame@{host}/accounting").parse::<Server>().unwrap().is_local();
        for host in ["localhost", "127.0.0.1", "[::1]", "%2Frun%2Fpostgresql"] {
            assert!(is_local(host), "{host}");
        }
        for host in ["db.example.org", "192.0.2.1", "localhost,db.example.org", "localhost.example.org"] {
            assert!(!is_local(host), "{host}");
        }
    }
}
