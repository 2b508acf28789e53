//! The plugin host: WebAssembly components that see messages between decryption and queue, or between queue and encryption.
//!
//! | folder | what it holds | start at |
//! |---|---|---|
//! | `catalog` | the plugins of the process while files come and go: the folder, sidecars, signatures, the one loader, what is remembered | [`Catalog`], `catalog/load.rs` |
//! | `component` | from the bytes of a file to a compiled component: why a file is refused, compilation and its cache, what each import gets, the contract's versions, the schema of a configuration | `component/mod.rs` |
//! | `instance` | a linked component, and one fresh instance of it for each message: limits, log, WASI, checks of the answer | `instance/loaded.rs`, `instance/mod.rs` |
//! | `resources` | what the operator provides beside settings: lookup tables and secrets | `resources/mod.rs` |
//! | `pipeline` | the plugins of one channel in order, and what they make of a message | [`Pipeline`], `pipeline/run.rs` |
//!
//! The contract with authors is `wit/`, its Rust form `component/bindings`.
//!
//! This is the only crate that depends on wasmtime. It reads components and sidecars and keeps the cache of compiled ones; it
//! writes no messages, opens no sockets and decides nothing about queues: [`Outcome`] is what became of a message, and the
//! caller acts on it. In its cache it also keeps the last good files of plugins; beside it, it writes one
//! file, the hashes of accepted signed plugins.
//!
//! # The state of a plugin
//! [`PluginState`] has six words, the same in the log, in `sesame plugin list`, `sesame check` and the status file. A plugin that
//! cannot answer holds back the messages it applies to, and no others. While a newer file is broken or compiling, the earlier
//! good component stays in service.
//!
//! # Powers
//! A plugin can write to its log, look up the tables it is granted, and answer. It has no files, sockets, clocks, random numbers, arguments or environment. What
//! the runtime of a language imports of them is answered by stand-ins that depend on the message alone (`instance/wasi`); a
//! component that imports anything else is refused by name (`component/surface`).
//!
//! # Limits
//! Time, memory, stack, size of the answer and volume of the log for each call (`instance/limits`); all stages together for each
//! message (`pipeline`); size of a component, and time and memory of its compilation (`component`, `component/compile`).

mod catalog;
mod component;
mod file_facts;
mod instance;
mod pipeline;
mod resources;
mod text;

pub use message::Output;

pub use self::catalog::filter::Filter;
pub use self::catalog::folder::{FolderError, StageSource, passed_over, read as read_folder};
pub use self::catalog::inspect::{Import, Inspection};
pub use self::catalog::plugins::{Plugins, StartError};
pub use self::catalog::provenance::beside as signature_of;
pub use self::catalog::provenance::{ProvenanceSettings, SignatureError};
pub use self::catalog::remembered::{Remembered, with_remembered};
pub use self::catalog::removal::{RemovalError, remove};
pub use self::catalog::rollback::{RollbackError, RolledBack};
pub use self::catalog::settings::{Flow, Mode, OnError, PluginSettings};
pub use self::catalog::sidecar::Sidecar;
pub use self::catalog::status::{PluginState, PluginStatus};
pub use self::catalog::{Catalog, Effort, NamedStage, Snapshot, Wanted};
pub use self::component::bindings::{CONTRACT_VERSION, TABLES};
pub use self::component::builtin::{PASSTHROUGH, component as stock_component, names as stock_plugins};
pub use self::component::compile::{
    CacheError, CompileSettings, SUBCOMMAND as COMPILE_SUBCOMMAND, check_cache, child_main as compile_child_main,
    watch_compilation,
};
pub use self::component::contract::SERVED as CONTRACTS_SERVED;
pub use self::component::grant::Grant;
pub use self::component::producers::{Producer, producers};
pub use self::component::schema::{ConfigError, SchemaError, Violation, check_config};
pub use self::component::{ComponentError, Description, MAX_COMPONENT_BYTES, Powers, Roles};
pub use self::instance::Fault;
pub use self::instance::answer::AnswerError;
pub use self::instance::host_log::{TARGET as LOG_TARGET, log_is_at};
pub use self::instance::limits::Limits;
pub use self::pipeline::current::Current;
pub use self::pipeline::report::{ChannelReport, ShadowReport, StageReport};
pub use self::pipeline::{
    Answers, Blame, Difference, Figures, Input, Limit, Outcome, Pause, Pipeline, PipelineSettings, PluginError,
    ReadyStage, Refused, ShadowInfo, SignerFacts, StageError, StageInfo, TOTAL_TIME,
};
pub use self::resources::store::check_secret;
pub use self::resources::{Provided, Surroundings, secrets_in};
