//! WASI 0.2 as every guest gets it: answered here, with nothing real behind it.
//!
//! Languages with a large runtime import clocks, random numbers, files and sockets whether a plugin uses them or not. They
//! are linked with stand-ins, whose answers follow from the message and the component alone ([`Facts`]), so that a retry
//! gives the same: `component/grant` lists what each answers. wasmtime's own implementation of WASI is not used, because
//! there every such answer is a setting that keeps something real away; here there is nothing to keep away.
//!
//! # Limits
//! [`HANDLES`] handles of the host at once; random bytes, up to the memory limit in one call; output, by the limit of the
//! plugin's log; waiting takes no time.

mod bindings;
#[allow(unreachable_pub, reason = "the bindings name its handles")]
mod clocks;
#[allow(unreachable_pub, reason = "the bindings name its handles")]
mod files;
#[allow(unreachable_pub, reason = "the bindings name its handles")]
mod http;
#[allow(unreachable_pub, reason = "the bindings name its handles")]
mod sockets;
#[allow(unreachable_pub, reason = "the bindings name its handles")]
mod streams;
#[cfg(test)]
mod tests;

use sha2::{Digest as _, Sha256};
use wasmtime::component::{HasSelf, Linker, Resource, ResourceTable};

use self::bindings::wasi::clocks::wall_clock::Datetime;
pub(crate) use self::streams::Exit;
use self::streams::Line;
use crate::component::bindings::log::Level;
use crate::instance::host_log::PluginLog;
use crate::instance::state::HostState;

/// Streams and the like that a guest may hold at once.
const HANDLES: usize = 256;

/// What the clock shows where there is no message, as when a plugin is loaded: 2026-01-01T00:00:00Z, in milliseconds.
const LOADED_AT: u64 = 1_767_225_600_000;

/// All that the answers are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// SHA-256 of the component.
    component: [u8; 32],
    /// The message's id, with the number of its part where it is one; empty where there is no message.
    message: String,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    received_at: u64,
}

impl Facts {
    /// Those of a message. One without an id, of which there are many under the same word, is distinguished by its time as well.
    pub(crate) fn of_message(component: [u8; 32], context: &crate::component::bindings::types::Context) -> Self {
        let part = context.properties.iter().find(|(name, _)| name == "part");
        let part = part.map(|(_, number)| format!(".{number}")).unwrap_or_default();
        let absent = context.message_id == message::MessageId::absent().as_str();
        let time = if absent { format!(" {}", context.received_at) } else { String::new() };
        let message = format!("{}{part}{time}", context.message_id);
        Self { component, message, received_at: context.received_at }
    }

    /// Those of a component that is loaded and tried.
    pub(crate) fn of_load(component: [u8; 32]) -> Self {
        Self { component, message: String::new(), received_at: LOADED_AT }
    }

    fn seed(&self) -> [u8; 32] {
        let mut sha = Sha256::new_with_prefix(self.component);
        sha.update(&self.message);
        sha.finalize().into()
    }
}

/// What one instance has of WASI.
#[derive(Debug)]
pub(crate) struct Wasi {
    facts: Facts,
    table: ResourceTable,
    monotonic: clocks::Monotonic,
    chance: clocks::Chance,
    stdout: Line,
    stderr: Line,
}

impl Wasi {
    pub(crate) fn new(facts: Facts) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        let (stdout, stderr) = (Line::default(), Line::default());
        Self { facts, table, monotonic: Default::default(), chance: Default::default(), stdout, stderr }
    }

    /// Writes the lines that the guest began and did not end.
    pub(crate) fn end_lines(&mut self, log: &mut PluginLog) {
        self.stdout.end(|line| log.write(Level::Info, line));
        self.stderr.end(|line| log.write(Level::Warn, line));
    }

    fn push<T: Send + 'static>(&mut self, handle: T) -> wasmtime::Result<Resource<T>> {
        let full = |_| wasmtime::format_err!("holds {HANDLES} handles of the host at once and wants another");
        self.table.push(handle).map_err(full)
    }
}

fn instant(millis: u64) -> Datetime {
    let nanoseconds = u32::try_from(millis % 1000).unwrap_or(0) * 1_000_000;
    Datetime { seconds: millis / 1000, nanoseconds }
}

/// Links every interface that `component/grant` lists.
pub(crate) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    bindings::StandIns::add_to_linker::<_, HasSelf<_>>(linker, |state: &mut HostState| state)
}

/// The functions of a handle that is never given to a guest, so that none of them can be reached.
macro_rules! never_given {
    ($($interface:ident)::+ for $handle:ty { $($name:ident($($parameter:ty),*) -> $answer:ty;)* }) => {
        impl $($interface)::+ for HostState {
            $(fn $name(&mut self, $(_: $parameter),*) -> wasmtime::Result<$answer> {
                Err($crate::instance::wasi::no_such_handle())
            })*

            fn drop(&mut self, _: Resource<$handle>) -> wasmtime::Result<()> {
                Err($crate::instance::wasi::no_such_handle())
            }
        }
    };
}
use never_given;

fn no_such_handle() -> wasmtime::Error {
    wasmtime::format_err!("uses a handle that it was never given")
}
