//! What senders and receivers share: back-off, pause, the link to a broker, and what is opened once for the process.
//!
//! Start with [`Registry`], which opens credentials, lists and spools, and with [`Link`], which connects. Nothing here
//! knows whether it serves a sender or a receiver.

mod error;
mod findings;
mod link;
mod pause;
mod registry;
mod time;

pub use error::SetupError;
pub(crate) use findings::log_findings;
pub use findings::{findings_json, summary};
pub use link::{Connected, Link};
pub(crate) use pause::{Waits, log_pause, wait_for_compiler, wait_for_plugin};
pub use registry::{Identity, JOURNAL, LOCK, OpenSpool, Registry, trust_settings};
pub use time::back_off;
pub(crate) use time::milliseconds;
