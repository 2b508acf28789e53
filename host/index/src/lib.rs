//! The index that several receivers of one queue share, in a PostgreSQL database.
//!
//! Start at [`PostgresIndex`], what a receiver claims messages in, and at [`Operator`], what the commands of an operator use.
//! What the rows mean, and what a receiver makes of them, is in `spool::commit`.
//!
//! | module | contents |
//! |---|---|
//! | `connection` | one session with the server: its settings, its deadline, what an error says |
//! | `schema` | the tables, which the first receiver makes |
//! | `receiver` | [`PostgresIndex`] |
//! | `operator` | [`Operator`] |
//! | `tls` | TLS as to a broker: rustls with our trust store |
//!
//! # Owners
//! A receiver is a row of `sesame.receiver`: a name for operators, and the instance of its journal. While it runs it holds an
//! advisory lock on that row, so that two processes never claim under one owner, and a receiver that runs is never fenced.
//! A session that vanished without a word ends after half a minute, by the server's keepalives.
//!
//! A *fenced* receiver is one that an operator gave up: its open claims were given back to the others. It may have stored some
//! of these messages, so it does not start before an operator admits it.
//!
//! # Durability
//! Every statement is committed with `synchronous_commit = on`, whatever the default of the database is.

mod connection;
mod operator;
mod receiver;
mod schema;
mod tls;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;

pub use connection::{NOT_MADE, Server, ServerError};
pub use operator::{Fenced, Operator, ReceiverRow};
pub use receiver::PostgresIndex;

/// The longest name of a receiver, in bytes: a session shows it, with the process, in the 63 bytes that it has for that.
pub const MAX_NAME: usize = 40;

/// Where the index is, and who we are in it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The server, database and user.
    pub server: Server,
    /// A file with the password, which only its owner may read.
    pub password: Option<PathBuf>,
    /// TLS, unless the server is on this machine.
    pub tls: Option<Arc<ClientConfig>>,
    /// The name of this receiver among those that share the index; at most [`MAX_NAME`] bytes.
    pub name: String,
}
