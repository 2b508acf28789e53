//! Plugins: WebAssembly components that look at messages between decryption and queue, or between queue and encryption.
//!
//! Start reading at [`Pipeline`], what the rest of the program uses; then `pipeline/run.rs` (one message on its way),
//! `pipeline/stage.rs` (one question to one plugin), `shelf` and `with_remembered` (which stages there are, while files come and go),
//! `instance` (one fresh instance and what can end it), `component` (why a file is refused), `schema` (why a configuration
//! is), `provenance` (who vouches for a file), `folder` and `sidecar` (what an operator writes). The contract with authors is
//! `wit/`, its Rust form `bindings`, and what is served of it `contract`.
//!
//! This is the only module that names wasmtime. It reads components and sidecars and keeps the cache of compiled
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

mod catalog;
mod component;
mod instance;
mod pipeline;
mod text;

pub use self::catalog::filter::Filter;
pub use self::catalog::folder::{FolderError, StageSource, passed_over, read as read_folder};
pub use self::catalog::provenance::beside as signature_of;
pub use self::catalog::provenance::{ProvenanceSettings, SignatureError};
pub use self::catalog::remembered::{Remembered, with_remembered};
pub use self::catalog::removal::{RemovalError, remove};
pub use self::catalog::settings::{Flow, OnError, PluginSettings};
pub use self::catalog::sidecar::Sidecar;
pub use self::catalog::status::{PluginState, PluginStatus};
pub use self::catalog::{Catalog, Effort, NamedStage, Snapshot, Wanted};
pub use self::component::bindings::CONTRACT_VERSION;
pub use self::component::builtin::{component as stock_component, names as stock_plugins};
pub use self::component::compile::{
    CacheError, CompileSettings, SUBCOMMAND as COMPILE_SUBCOMMAND, check_cache, child_main as compile_child_main,
};
pub use self::component::contract::SERVED as CONTRACTS_SERVED;
pub use self::component::plugins::{Plugins, StartError};
pub use self::component::schema::{ConfigError, SchemaError, Violation};
pub use self::component::{ComponentError, Description, MAX_COMPONENT_BYTES, Powers, Roles};
pub use self::component::{Import, Inspection};
pub use self::instance::Fault;
pub use self::instance::answer::AnswerError;
pub use self::instance::host_log::{TARGET as LOG_TARGET, log_is_at};
pub use self::instance::limits::Limits;
pub use self::instance::wasi::Grant;
pub use self::pipeline::current::Current;
pub use self::pipeline::report::{ChannelReport, StageReport};
pub use self::pipeline::{
    Blame, Figures, Input, Outcome, Output, Pause, Pipeline, PipelineSettings, PluginError, ReadyStage, Refused,
    SignerFacts, StageError, StageInfo, TOTAL_TIME,
};
