//! A linked component (`loaded`), and one fresh instance of it for each message or part of one, from `init` to the last role
//! function.
//!
//! An error value that a guest returns is a verdict. A trap, the deadline or a limit ends the guest and becomes a [`Fault`].

pub(crate) mod answer;
pub(crate) mod host_log;
mod host_tables;
pub(crate) mod limits;
mod loaded;
#[cfg(test)]
mod made_up;
pub(crate) mod pace;
pub(crate) mod state;
pub(crate) mod stderr;
pub(crate) mod wasi;
pub(crate) mod worker;

use std::time::Duration;

use wasmtime::component::Instance;
use wasmtime::{Store, Trap};

use crate::component::bindings::transformer;
use crate::component::bindings::types::{Failure, Finding, Message};
use crate::component::engine::{Held, Ticking};
use crate::component::one_line;
use crate::instance::host_log::PluginLog;
use crate::instance::limits::{GrowthRefused, Limits, Meter};
use crate::instance::pace::Pace;
use crate::instance::state::HostState;
use crate::instance::wasi::{Exit, Facts};
use crate::resources::Resources;
use crate::text::clean_lines;

pub(crate) use self::loaded::Loaded;

/// Why a plugin could not answer. The text says what happened and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The guest panicked.
    #[error("stopped with a panic, {text}: fix the plugin or remove it from the pipeline")]
    Panicked {
        /// Its text, with file and line if the language provides them.
        text: String,
    },
    /// A trap.
    #[error("was stopped: {text}: fix the plugin or remove it from the pipeline")]
    Trapped {
        /// The text of wasmtime, with file and line if the component has debug information.
        text: String,
    },
    /// The guest called `exit`.
    #[error("called exit({code}) instead of answering{}: fix the plugin", words(said))]
    Exited {
        /// Its exit status.
        code: i32,
        /// What it wrote to standard error.
        said: Option<String>,
    },
    /// The deadline.
    #[error("took longer than its deadline of {}: raise `deadline` in its sidecar or fix the plugin", span(*limit))]
    Deadline {
        /// The limit that was reached.
        limit: Duration,
    },
    /// The memory limit.
    #[error("exceeded its memory limit of {}: raise `memory` in its sidecar or fix the plugin", size(*limit))]
    Memory {
        /// Bytes.
        limit: u64,
    },
    /// The table limit.
    #[error("exceeded the limit of table entries: fix the plugin")]
    Tables,
    /// The stack.
    #[error("ran out of stack, {} KiB: fix the plugin, its recursion is too deep", crate::component::engine::GUEST_STACK >> 10)]
    Stack,
    /// The answer or a log line is too large.
    #[error(
        "returned or logged more than {} in one call: raise `output-limit` in its sidecar \
         or fix the plugin",
        size(*limit)
    )]
    OutputTooLarge {
        /// Bytes.
        limit: u64,
    },
    /// The answer breaks the contract.
    #[error("gave an invalid answer, {0}: fix the plugin or its configuration")]
    AnswerRefused(crate::instance::answer::AnswerError),
    /// `init` rejected the configuration, with the plugin's text.
    #[error("refused its configuration, {0:?}: change its [config]")]
    ConfigRefused(String),
    /// `failure::internal`, with the plugin's text.
    #[error("reports an internal error, {0:?}: see {log} and its documentation", log = crate::instance::host_log::place())]
    Internal(String),
    /// It could not be loaded.
    #[error("{0}")]
    Broken(String),
    /// All stages together took too long for one message.
    #[error(
        "was not called because the message was in the pipeline for more than {}: use faster plugins or split it \
         into fewer parts",
        span(*limit)
    )]
    TotalTime {
        /// The limit that was reached.
        limit: Duration,
    },
    /// A bug of Sesame.
    #[error("could not run because of a bug in Sesame: {0}")]
    Host(String),
}

impl Fault {
    /// Whether the message may be the cause. If not, the plugin was not called with it, and the stage cannot answer for any
    /// message.
    #[must_use]
    pub fn may_be_the_message(&self) -> bool {
        !matches!(self, Self::Broken(_) | Self::ConfigRefused(_))
    }
}

fn words(said: &Option<String>) -> String {
    said.as_ref().map(|text| format!(" (standard error: {text:?})")).unwrap_or_default()
}

/// A duration as an operator writes it.
pub(crate) fn span(time: Duration) -> String {
    let millis = time.as_millis();
    if millis.is_multiple_of(1000) { message::duration::words(time) } else { format!("{millis} ms") }
}

/// A number of bytes as an operator writes it.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        b if b >= 1 << 20 && b.is_multiple_of(1 << 20) => format!("{} MiB", b >> 20),
        b if b >= 1 << 10 && b.is_multiple_of(1 << 10) => format!("{} KiB", b >> 10),
        b => format!("{b} bytes"),
    }
}

/// A live instance with its limits.
pub(crate) struct Running<'a> {
    loaded: &'a Loaded,
    store: Store<HostState>,
    instance: Instance,
    limits: Limits,
    /// Dropped after the store.
    _held: (Option<Held>, Ticking),
}

impl<'a> Running<'a> {
    /// Makes an instance and gives it its configuration. `message` is the one it is for; none when a plugin is loaded.
    pub(crate) fn start(
        loaded: &'a Loaded,
        plugin: &str,
        message: Option<&Message>,
        limits: &Limits,
        resources: &Resources,
    ) -> Result<Self, Fault> {
        let payload = message.map_or(0, |message| message.payload.len());
        let limits = Limits { memory: limits.memory_for(payload), ..*limits };
        let id = message.map_or("", |message| message.context.message_id.as_str());
        let facts = match message {
            Some(message) => Facts::of_message(loaded.sha256, &message.context),
            None => Facts::of_load(loaded.sha256),
        };
        let log = PluginLog::new(plugin, id, limits.log, resources.config.redaction());
        let state = HostState::new(Meter::new(limits.memory), log, facts).with_tables(&resources.tables);
        let held = loaded.hold();
        let mut store = Store::new(loaded.pre.engine(), state);
        prepare(&mut store, &limits);
        let instance = loaded.pre.instantiate(&mut store).map_err(|e| fault(&e, &store, &limits))?;
        let mut running = Self { loaded, store, instance, limits, _held: held };
        running.init(resources.config.reveal())?;
        Ok(running)
    }

    fn init(&mut self, config: &str) -> Result<(), Fault> {
        self.rearm();
        let answer = self.loaded.exports.init(&mut self.store, &self.instance, config);
        match answer {
            Ok(Ok(())) => Ok(()),
            Ok(Err(text)) => Err(Fault::ConfigRefused(clean_lines(&self.store.data().log.redacted(text), 1000))),
            Err(error) => Err(self.fault(&error)),
        }
    }

    /// Calls the validator, if the plugin is one.
    pub(crate) fn validate(&mut self, message: &Message) -> Result<Option<Result<Vec<Finding>, Failure>>, Fault> {
        self.rearm();
        let answer = self.loaded.exports.validate(&mut self.store, &self.instance, message);
        answer.map_err(|error| self.fault(&error))
    }

    /// Calls the transformer, if the plugin is one.
    pub(crate) fn transform(
        &mut self,
        message: &Message,
    ) -> Result<Option<Result<transformer::Transformed, Failure>>, Fault> {
        self.rearm();
        let answer = self.loaded.exports.transform(&mut self.store, &self.instance, message);
        answer.map_err(|error| self.fault(&error))
    }

    /// Calls the router, if the plugin is one.
    pub(crate) fn route(&mut self, message: &Message) -> Result<Option<Result<Vec<String>, Failure>>, Fault> {
        self.rearm();
        let answer = self.loaded.exports.route(&mut self.store, &self.instance, message);
        answer.map_err(|error| self.fault(&error))
    }

    /// Peak memory of the instance, bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.store.data().meter.memory()
    }

    fn rearm(&mut self) {
        arm(&mut self.store, &self.limits);
    }

    fn fault(&self, error: &wasmtime::Error) -> Fault {
        fault(error, &self.store, &self.limits)
    }
}

fn prepare(store: &mut Store<HostState>, limits: &Limits) {
    store.limiter(|state| &mut state.meter);
    store.set_hostcall_fuel(limits.hostcall_fuel());
    store.set_max_component_handles(1000);
    if limits.yields {
        store.epoch_deadline_callback(|mut store| Ok(store.data_mut().pace.next()));
    }
    arm(store, limits);
}

/// Grants a call its time.
fn arm(store: &mut Store<HostState>, limits: &Limits) {
    let mut ticks = limits.ticks();
    if limits.yields {
        (store.data_mut().pace, ticks) = Pace::of(ticks);
    }
    store.set_epoch_deadline(ticks);
}

/// The fault for the error that ended a call.
fn fault(error: &wasmtime::Error, store: &Store<HostState>, limits: &Limits) -> Fault {
    if let Some(refused) = error.downcast_ref::<GrowthRefused>() {
        return match refused {
            GrowthRefused::Memory { limit, .. } => Fault::Memory { limit: *limit },
            GrowthRefused::Tables => Fault::Tables,
        };
    }
    let redacted = |text| store.data().log.redacted(text);
    let said = store.data().stderr.panic_text().map(redacted);
    if let Some(exit) = error.downcast_ref::<Exit>() {
        return Fault::Exited { code: exit.0, said };
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => Fault::Deadline { limit: limits.deadline },
        Some(Trap::StackOverflow) => Fault::Stack,
        Some(_) => match said {
            Some(text) => Fault::Panicked { text },
            None => Fault::Trapped { text: with_place(error) },
        },
        // wasmtime has no error type for this.
        None if one_line(error).contains("too much data is being copied") => {
            Fault::OutputTooLarge { limit: limits.output }
        }
        None => Fault::Trapped { text: with_place(error) },
    }
}

/// The text of wasmtime, with the place if the component has debug information.
fn with_place(error: &wasmtime::Error) -> String {
    let text = one_line(error);
    let frames = error.downcast_ref::<wasmtime::WasmBacktrace>().map(wasmtime::WasmBacktrace::frames);
    let symbols = frames.into_iter().flatten().flat_map(wasmtime::FrameInfo::symbols);
    let mut places = symbols.filter_map(|symbol| Some((symbol.file()?.to_owned(), symbol.line()?)));
    match places.next() {
        Some((file, line)) => format!("{text}, at {}:{line}", clean_lines(&file, 200)),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_read_as_an_operator_writes_them() {
        assert_eq!(span(Duration::from_secs(5)), "5 s");
        assert_eq!(span(Duration::from_millis(250)), "250 ms");
        assert_eq!(size(64 << 20), "64 MiB");
        assert_eq!(size(1500), "1500 bytes");
        assert_eq!(size(2048), "2 KiB");
    }
}
