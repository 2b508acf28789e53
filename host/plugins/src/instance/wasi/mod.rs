//! WASI 0.2 as every guest gets it, implemented here without access to the system.
//!
//! Languages with a large runtime import clocks, random numbers, files and sockets whether a plugin uses them or not. They
//! are linked with stand-ins, whose answers depend on the message and the component alone ([`Facts`]), so that a retry
//! gets the same answers: `component/grant` lists them. wasmtime's own implementation of WASI is not used, because it
//! reaches the system unless each setting forbids it; this one cannot.
//!
//! # Limits
//! At most [`HANDLES`] host handles at once; random bytes up to the memory limit in one call; output up to the limit of the
//! plugin's log. Waiting takes no time.

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

/// The time of the clock when there is no message, as when a plugin is loaded: 2026-01-01T00:00:00Z, in milliseconds.
const LOADED_AT: u64 = 1_767_225_600_000;

/// What the answers depend on.
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
    /// Those of a message. All messages without an id share one word for it, so their time is used as well.
    pub(crate) fn of_message(component: [u8; 32], context: &crate::component::bindings::types::Context) -> Self {
        let part = context.properties.iter().find(|(name, _)| name == "part");
        let part = part.map(|(_, number)| format!(".{number}")).unwrap_or_default();
        let absent = context.message_id == message::MessageId::absent().as_str();
        let time = if absent { format!(" {}", context.received_at) } else { String::new() };
        let message = format!("{}{part}{time}", context.message_id);
        Self { component, message, received_at: context.received_at }
    }

    /// Those of a component that is being loaded.
    pub(crate) fn of_load(component: [u8; 32]) -> Self {
        Self { component, message: String::new(), received_at: LOADED_AT }
    }

    fn seed(&self) -> [u8; 32] {
        let mut sha = Sha256::new_with_prefix(self.component);
        sha.update(&self.message);
        sha.finalize().into()
    }
}

/// The WASI state of one instance.
#[derive(Debug)]
pub(crate) struct Wasi {
    facts: Facts,
    table: ResourceTable,
    monotonic: clocks::Monotonic,
    random: clocks::Random,
    stdout: Line,
    stderr: Line,
}

impl Wasi {
    pub(crate) fn new(facts: Facts) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        let (stdout, stderr) = (Line::default(), Line::default());
        Self { facts, table, monotonic: Default::default(), random: Default::default(), stdout, stderr }
    }

    /// Writes the unfinished lines of the guest.
    pub(crate) fn end_lines(&mut self, log: &mut PluginLog) {
        self.stdout.end(|line| log.write(Level::Info, line));
        self.stderr.end(|line| log.write(Level::Warn, line));
    }

    fn push<T: Send + 'static>(&mut self, handle: T) -> wasmtime::Result<Resource<T>> {
        let full = |_| wasmtime::format_err!("exceeded the limit of {HANDLES} host handles");
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

/// The functions of a handle that no guest can hold: none of them can be reached.
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
    wasmtime::format_err!("used a handle that it does not hold")
}
