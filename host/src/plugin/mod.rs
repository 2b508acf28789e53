//! Plugins: WebAssembly components that look at messages between decryption and queue, or between queue and encryption.
//!
//! Start reading at [`Pipeline`], what the rest of the program uses; then `pipeline/run.rs` (one message on its way),
//! `pipeline/stage.rs` (one question to one plugin), `instance` (one fresh instance and what can end it), `component`
//! (why a file is refused), `schema` (why a configuration is), `folder` and `sidecar` (what an operator writes). The contract with authors is `wit/`,
//! its Rust form `bindings`, and what is served of it `contract`.
//!
//! This is the only module that names wasmtime. It reads components and side-cars and keeps the cache of compiled
//! ones; it writes no messages, opens no sockets and decides nothing about queues: [`Outcome`] says what became of a
//! message and the caller acts on it.
//!
//! # Powers
//! A plugin can write to its log and answer. It has no files, sockets, clocks, random numbers, arguments or
//! environment: `state` links what there is, interface by interface, and a component that imports anything else is
//! refused by name.
//!
//! # Limits
//! Time, memory, stack, size of the answer and volume of the log for each call (`limits`); all stages together for each
//! message (`pipeline`); size of a component, and time and memory of its compilation (`component`, `compile`).

mod answer;
mod bindings;
mod builtin;
mod compile;
mod component;
mod contract;
mod engine;
mod filter;
mod folder;
mod host_log;
mod instance;
mod limits;
mod pipeline;
mod plugins;
mod schema;
mod sidecar;
mod state;
mod stderr;
mod text;

pub use self::answer::AnswerError;
pub use self::bindings::CONTRACT_VERSION;
pub use self::builtin::names as stock_plugins;
pub use self::compile::{
    CacheError, CompileSettings, SUBCOMMAND as COMPILE_SUBCOMMAND, child_main as compile_child_main,
};
pub use self::component::{ComponentError, Description, MAX_COMPONENT_BYTES, Roles};
pub use self::filter::Filter;
pub use self::folder::{FolderError, StageSource, read as read_folder};
pub use self::host_log::TARGET as LOG_TARGET;
pub use self::instance::Fault;
pub use self::limits::Limits;
pub use self::pipeline::{
    Input, Outcome, Output, Pipeline, PipelineSettings, PluginError, ReadyStage, Refused, SignerFacts, StageError,
    StageInfo, TOTAL_TIME,
};
pub use self::plugins::{Plugins, StartError};
pub use self::schema::{ConfigError, SchemaError, Violation};
pub use self::sidecar::SideCar;
