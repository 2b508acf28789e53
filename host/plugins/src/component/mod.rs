//! From the bytes of a file to a compiled component: what the file is, what it imports, which version of the contract it was
//! built for. [`ComponentError`] gives the reason of every refusal, also of those in `instance/loaded`.
//!
//! The order: form of the bytes and names of imports and exports (`surface`), compilation (`compile`), functions of what is
//! imported and exported (`contract`); then, in `instance/loaded`, linking, one trial instance (only this shows a wrong
//! type in an export) and `describe`.

pub(crate) mod bindings;
pub(crate) mod builtin;
pub(crate) mod compile;
pub(crate) mod contract;
pub(crate) mod engine;
pub(crate) mod grant;
pub(crate) mod producers;
pub(crate) mod schema;
pub(crate) mod surface;

use std::fmt;

use wasmtime::component::Component;

use crate::component::contract::SERVED;
use crate::component::grant::{Grant, grant_of};
use crate::component::schema::SchemaError;

/// Largest component that is read.
pub const MAX_COMPONENT_BYTES: u64 = 64 << 20;

/// Why a component cannot be a plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComponentError {
    /// No bytes at all.
    #[error("is empty: copy it again")]
    Empty,
    /// More than [`MAX_COMPONENT_BYTES`].
    #[error("is larger than {} MB: build it optimised and without debug information", MAX_COMPONENT_BYTES >> 20)]
    TooLarge,
    /// A core module where a component belongs.
    #[error(
        "is a core WebAssembly module, not a component: build it for wasm32-wasip2, or make a component of it with \
         `wasm-tools component new`"
    )]
    CoreModule,
    /// A core module for WASI 0.1.
    #[error(
        "is a core WebAssembly module for WASI 0.1 (preview1), not a component: build it for wasm32-wasip2, or make a \
         component of it with `wasm-tools component new --adapt` and the reactor adapter of wasmtime"
    )]
    Preview1,
    /// A core module for a web page or Node.js.
    #[error("is a core WebAssembly module for JavaScript, not a component: build it for wasm32-wasip2")]
    ForJavaScript,
    /// Native code, as from `wasmtime compile` or our own cache.
    #[error("is compiled code, which is not accepted: use the .wasm component it was compiled from")]
    Compiled,
    /// Packed.
    #[error("is packed with {0}: unpack it with {1} first")]
    Packed(&'static str, &'static str),
    /// WAT.
    #[error("is WebAssembly text: convert it to a component with `wasm-tools parse`")]
    Text,
    /// The page of a failed download.
    #[error("is a web page or XML, not a component: the download failed, repeat it")]
    WebPage,
    /// A certificate, key or signature.
    #[error("is a PEM file, such as a certificate or the signature of a plugin: use the component, NAME.wasm")]
    Pem,
    /// The file that git-lfs has in place of a large file.
    #[error("is a git-lfs pointer, not the component: fetch the file with `git lfs pull`")]
    LfsPointer,
    /// Something else.
    #[error("is not a WebAssembly component: it does not begin with the bytes of one")]
    NotWasm,
    /// The compiler rejected it, with the compiler's text.
    #[error("cannot be compiled; it is damaged or uses a feature that this host does not support: {0}")]
    Malformed(String),
    /// Compilation outside the process failed for another reason than the component.
    #[error("could not be compiled: {0}")]
    Compile(String),
    /// WASI 0.3, or asynchronous calls.
    #[error("was built for WASI 0.3 or uses async: build it for WASI 0.2, with synchronous functions")]
    Async,
    /// The outer half of a composition.
    #[error(
        "imports {}, which a plugin must export: compose it with the plugin that it wraps, \
         `wac plug --plug INNER.wasm OUTER.wasm -o PLUGIN.wasm`",
        .0.join(", ")
    )]
    NeedsComposing(Vec<String>),
    /// A program of its own.
    #[error(
        "is a command (it exports wasi:cli/run), not a plugin: export sesame:plugin/lifecycle and a role, as \
         `sesame plugin new` shows"
    )]
    Command,
    /// A server.
    #[error(
        "is an HTTP server (a wasi:http component), not a plugin: export sesame:plugin/lifecycle and a role, \
         as `sesame plugin new` shows"
    )]
    HttpServer,
    /// Imports that the host does not provide.
    #[error(
        "imports {}, which Sesame does not provide: build it without, or compose it with a component that exports what \
         is missing (`wac plug`)",
        .0.join(", ")
    )]
    Ungranted(Vec<String>),
    /// Another major version of the contract.
    #[error(
        "was built for {}, but this host supports {SERVED}: build it with an SDK for {SERVED}, or use a release of \
         Sesame that supports it",
        version(.0)
    )]
    ContractVersion(String),
    /// Two major versions of the contract in one component.
    #[error("mixes sesame:plugin@{one} and sesame:plugin@{other}: build all of it with one SDK")]
    Mixed {
        /// The first found.
        one: String,
        /// Another one.
        other: String,
    },
    /// An interface or function of a newer contract.
    #[error(
        "imports {0}, which this host (contract {SERVED}) does not provide: use a newer Sesame, or build it without"
    )]
    Wants(String),
    /// A role of a newer contract.
    #[error("exports {0}, which this host (contract {SERVED}) does not call: use a newer Sesame, or build it without")]
    UnknownRole(String),
    /// An interface in two versions, of which only one could be called.
    #[error("exports the interface {0} twice: build it for one version of sesame:plugin")]
    Twice(String),
    /// A function of an interface is not exported.
    #[error("does not export the function {function} of {of}: build it from the contract of this release")]
    NoFunction {
        /// The function.
        function: String,
        /// The interface.
        of: String,
    },
    /// A type is not that of the contract.
    #[error("differs from the contract in a type, {0}: build it from the unmodified contract of this release")]
    WrongType(String),
    /// The interface that every plugin exports is missing.
    #[error("does not export sesame:plugin/lifecycle, as every plugin must: build it with the SDK")]
    NoLifecycle,
    /// None of the three roles.
    #[error("exports no role: a plugin is a validator, a transformer or a router")]
    NoRole,
    /// Its configuration schema is invalid.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The trial instance failed.
    #[error("cannot be started: {0}")]
    Probe(String),
}

/// How a plugin describes itself, escaped for printing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// The author's name for it.
    pub name: String,
    /// The author's version.
    pub version: String,
    /// One sentence.
    pub summary: String,
    /// JSON Schema of its configuration, as the plugin gave it. The configuration was validated against it before `init`.
    pub config_schema: Option<String>,
    /// More facts by name, as the plugin gave them.
    pub properties: Vec<(String, String)>,
}

/// The roles a component has, found by its exports. They are called in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// Checks a message.
    pub validator: bool,
    /// Changes, splits or drops.
    pub transformer: bool,
    /// Chooses routes.
    pub router: bool,
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [(self.validator, "validator"), (self.transformer, "transformer"), (self.router, "router")];
        let present: Vec<&str> = names.iter().filter(|(has, _)| *has).map(|(_, name)| *name).collect();
        f.write_str(&present.join(", "))
    }
}

fn version(version: &str) -> String {
    if version.is_empty() { "a sesame:plugin without a version".into() } else { format!("sesame:plugin@{version}") }
}

/// What a component imports from the host. Nothing of it reaches further than the log of the plugin
/// and the tables that the operator grants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Powers {
    /// It may write to its log.
    pub log: bool,
    /// It has the interfaces of WASI that a standard library needs: an empty environment, exit, standard streams.
    pub wasi: bool,
    /// It may look up the tables that its sidecar grants.
    pub tables: bool,
    /// It gets stand-ins for clocks, random numbers, files or network.
    pub stand_ins: bool,
}

impl Powers {
    /// The powers of `component`, from its imports.
    pub(crate) fn of(component: &Component) -> Self {
        let (kind, engine) = (component.component_type(), component.engine());
        let imports = |prefix: &str| kind.imports(engine).any(|(name, _)| name.starts_with(prefix));
        let stand_ins = kind.imports(engine).any(|(name, _)| matches!(grant_of(name), Grant::StandIn(_)));
        Self {
            log: imports("sesame:plugin/log@"),
            tables: imports("sesame:plugin/tables@"),
            wasi: imports("wasi:"),
            stand_ins,
        }
    }
}

impl fmt::Display for Powers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names =
            [(self.log, "log"), (self.tables, "tables"), (self.wasi, "WASI stdio"), (self.stand_ins, "stand-ins")];
        let present: Vec<&str> = names.iter().filter(|(has, _)| *has).map(|(_, name)| *name).collect();
        f.write_str(if present.is_empty() { "none".to_owned() } else { present.join(", ") }.as_str())
    }
}

/// An error of wasmtime in one line, without the list of frames that precedes the cause of a trap.
pub(crate) fn one_line(error: &wasmtime::Error) -> String {
    let words = error.chain().map(ToString::to_string).filter(|words| !words.contains("wasm backtrace:"));
    crate::text::clean_lines(&words.collect::<Vec<_>>().join(": "), 400)
}
