//! Whether the processes that open messages are closed in.

use super::Found;
use crate::config::Config;
use crate::service::Shared;
use message::cause::chain;

/// What the kernel enforces on the processes that open messages.
pub(super) fn isolation(config: &Config, shared: &Shared) -> Vec<Found> {
    let opens = !config.receivers.is_empty() || config.senders.values().any(|sender| sender.awaited().is_some());
    if !config.process.isolate || !opens {
        return Vec::new();
    }
    match shared.pool.sandbox() {
        Ok(sandbox) if sandbox.is_closed() => {
            vec![Found::ok("process", format!("messages are opened apart: {sandbox}"))]
        }
        Ok(sandbox) => {
            let text = format!("messages are opened apart, with network and files in reach: {sandbox}");
            vec![Found::warning("process", text)]
        }
        Err(error) => vec![Found::error("process", chain(&error))],
    }
}
