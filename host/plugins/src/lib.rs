//! Plugins: WebAssembly components that look at messages between decryption and queue, or between queue and encryption.
//!
//! Start reading at [`Pipeline`], what the rest of the program uses; then `pipeline/run.rs` (one message on its way),
//! `pipeline/stage.rs` (one question to one plugin), `shelf` and `roster` (which stages there are, while files come and go),
//! `instance` (one fresh instance and what can end it), `component` (why a file is refused), `schema` (why a configuration
//! is), `provenance` (who vouches for a file), `folder` and `sidecar` (what an operator writes). The contract with authors is
//! `wit/`, its Rust form `bindings`, and what is served of it `contract`.
//!
//! This is the only module that names wasmtime. It reads components and side-cars and keeps the cache of compiled
//! ones; it writes no messages, opens no sockets and decides nothing about queues: [`Outcome`] says what became of a
//! message and the caller acts on it. Beside its cache it writes one file, the hashes of signed plugins that it adopted.
//!
//! # Powers
//! A plugin can write to its log and answer. It has no files, sockets, clocks, random numbers, arguments or environment.
//! What a language's runtime imports of them is answered by stand-ins that follow from the message alone (`wasi`); a
//! component that imports anything else is refused by name (`surface`).
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
mod current;
mod engine;
mod filter;
mod folder;
mod host_log;
mod instance;
mod limits;
mod pipeline;
mod plugins;
mod provenance;
mod removal;
mod report;
mod roster;
mod schema;
mod settings;
mod shelf;
mod sidecar;
mod state;
mod stderr;
mod surface;
mod text;
mod wasi;

pub use self::answer::AnswerError;
pub use self::bindings::CONTRACT_VERSION;
pub use self::builtin::{component as stock_component, names as stock_plugins};
pub use self::compile::{
    CacheError, CompileSettings, SUBCOMMAND as COMPILE_SUBCOMMAND, check_cache, child_main as compile_child_main,
};
pub use self::component::{ComponentError, Description, MAX_COMPONENT_BYTES, Powers, Roles};
pub use self::contract::SERVED as CONTRACTS_SERVED;
pub use self::current::Current;
pub use self::filter::Filter;
pub use self::folder::{FolderError, StageSource, passed_over, read as read_folder};
pub use self::host_log::{TARGET as LOG_TARGET, log_is_at};
pub use self::instance::Fault;
pub use self::limits::Limits;
pub use self::pipeline::{
    Blame, Figures, Input, Outcome, Output, Pause, Pipeline, PipelineSettings, PluginError, ReadyStage, Refused,
    SignerFacts, StageError, StageInfo, TOTAL_TIME,
};
pub use self::plugins::{Import, Inspection, Plugins, StartError};
pub use self::provenance::beside as signature_of;
pub use self::provenance::{ProvenanceSettings, SignatureError};
pub use self::removal::{RemovalError, remove};
pub use self::report::{ChannelReport, StageReport};
pub use self::roster::{Remembered, roster};
pub use self::schema::{ConfigError, SchemaError, Violation};
pub use self::settings::{Flow, OnError, PluginSettings};
pub use self::shelf::{Effort, NamedStage, Shelf, Stand, Standing, Wanted};
pub use self::sidecar::SideCar;
pub use self::wasi::Grant;
