//! From the bytes of a file to a component that is ready to be instantiated: everything that can be known about a
//! plugin before it sees a message is found out here, and a plugin that is refused is refused with the reason.
//!
//! The order: form of the bytes, compilation, imports by name, linking, exports by name, one trial instance (a wrong
//! type in an export shows only there), `describe`.

use std::fmt;
use std::sync::Arc;

use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Engine, Store};

use super::bindings::{CONTRACT_VERSION, lifecycle, router, transformer, validator};
use super::engine::Ticker;
use super::host_log::PluginLog;
use super::instance;
use super::limits::{Limits, Meter};
use super::state::{GRANTED_WASI, HostState};
use super::text::clean;

/// Largest component that is read.
pub const MAX_COMPONENT_BYTES: u64 = 64 << 20;

/// What the names of the contract's interfaces begin with.
pub(super) const CONTRACT: &str = "sesame:plugin/";

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
    #[error("is a core WebAssembly module, not a component: build it for wasm32-wasip2, or make a component of it")]
    CoreModule,
    /// Native code.
    #[error("is compiled code, which is never loaded from here: give the .wasm component it was made from")]
    Compiled,
    /// Something else.
    #[error("is not a WebAssembly component: it does not begin with the bytes of one")]
    NotWasm,
    /// The compiler gave up, with its own words.
    #[error("cannot be compiled, it is damaged or uses what this host does not support: {0}")]
    Malformed(String),
    /// Compilation outside the process failed for another reason than the component.
    #[error("was not compiled: {0}")]
    Compile(String),
    /// Imports outside the contract.
    #[error(
        "wants {}, which Sesame never grants: build it without files, network, clocks and random numbers",
        .0.join(", ")
    )]
    Ungranted(Vec<String>),
    /// Another version of the contract.
    #[error(
        "was built for sesame:plugin@{0}, this host speaks {CONTRACT_VERSION}: rebuild it with the SDK of this release"
    )]
    ContractVersion(String),
    /// An interface of the contract that this host lacks or that has other functions.
    #[error("does not fit this host's sesame:plugin@{CONTRACT_VERSION}: {0}")]
    Unlinkable(String),
    /// An export that every plugin has.
    #[error("does not export sesame:plugin/lifecycle@{CONTRACT_VERSION}, as every plugin must: build it with the SDK")]
    NoLifecycle,
    /// None of the three roles.
    #[error("exports no role: a plugin is a validator, a transformer or a router")]
    NoRole,
    /// The trial run went wrong.
    #[error("cannot be started: {0}")]
    Probe(String),
}

/// What a plugin says of itself, made fit to print.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// The author's name for it.
    pub name: String,
    /// The author's version.
    pub version: String,
    /// One sentence.
    pub summary: String,
    /// JSON Schema of its configuration, as the plugin gave it and not checked: what holds is what `init` says.
    pub config_schema: Option<String>,
}

/// The roles a component has, found by its exports. They are called in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// Says whether a message is good.
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

/// A component that passed every check, linked.
pub(super) struct Loaded {
    pub(super) sha256: [u8; 32],
    pub(super) pre: InstancePre<HostState>,
    pub(super) exports: Exports,
    pub(super) description: Description,
    /// Without the clock no deadline would end a call, so it runs as long as anything that can be called.
    _ticker: Arc<Ticker>,
}

/// Where the functions of the contract are in the component.
pub(super) struct Exports {
    pub(super) lifecycle: lifecycle::GuestIndices,
    pub(super) validator: Option<validator::GuestIndices>,
    pub(super) transformer: Option<transformer::GuestIndices>,
    pub(super) router: Option<router::GuestIndices>,
}

impl Loaded {
    /// Links `component` and tries it.
    pub(super) fn link(
        component: &Component,
        linker: &Linker<HostState>,
        ticker: &Arc<Ticker>,
        sha256: [u8; 32],
    ) -> Result<Self, ComponentError> {
        let engine = component.engine();
        check_imports(component, engine)?;
        check_versions(component, engine)?;
        let pre = linker.instantiate_pre(component).map_err(|e| ComponentError::Unlinkable(one_line(&e)))?;
        let exports = find_exports(component, &pre)?;
        let description = Description::default();
        let mut loaded = Self { sha256, pre, exports, description, _ticker: Arc::clone(ticker) };
        loaded.description = loaded.probe(engine)?;
        Ok(loaded)
    }

    pub(super) fn roles(&self) -> Roles {
        Roles {
            validator: self.exports.validator.is_some(),
            transformer: self.exports.transformer.is_some(),
            router: self.exports.router.is_some(),
        }
    }

    fn probe(&self, engine: &Engine) -> Result<Description, ComponentError> {
        let limits = Limits { memory: 512 << 20, ..Limits::default() };
        let state = HostState::new(Meter::new(limits.memory), PluginLog::new("", "", limits.log));
        let mut store = Store::new(engine, state);
        let described = instance::describe(self, &mut store, &limits);
        described.map_err(|e| ComponentError::Probe(e.to_string())).map(|d| Description {
            name: clean(&d.name, 64),
            version: clean(&d.version, 64),
            summary: clean(&d.summary, 400),
            config_schema: d.config_schema,
        })
    }
}

/// Tells by the first bytes whether this can be a component at all.
///
/// # Errors
/// [`ComponentError`] says what it is instead.
pub(super) fn check_form(bytes: &[u8]) -> Result<(), ComponentError> {
    if bytes.len() as u64 > MAX_COMPONENT_BYTES {
        return Err(ComponentError::TooLarge);
    }
    if Engine::detect_precompiled(bytes).is_some() || bytes.starts_with(b"\x7fELF") {
        return Err(ComponentError::Compiled);
    }
    match bytes.get(..8) {
        Some(b"\0asm\x0d\0\x01\0") => Ok(()),
        Some(b"\0asm\x01\0\0\0") => Err(ComponentError::CoreModule),
        _ if bytes.is_empty() => Err(ComponentError::Empty),
        _ => Err(ComponentError::NotWasm),
    }
}

/// An error of wasmtime without its backtrace, in one line.
pub(super) fn one_line(error: &wasmtime::Error) -> String {
    let words: Vec<String> = error.chain().map(ToString::to_string).collect();
    super::text::clean_lines(&words.join(": "), 400)
}

/// Whether an import is one of those that a plugin may have.
pub(super) fn is_granted(name: &str) -> bool {
    let (interface, version) = name.split_once('@').unwrap_or((name, ""));
    name.starts_with(CONTRACT) || (GRANTED_WASI.contains(&interface) && version.starts_with("0.2."))
}

fn check_imports(component: &Component, engine: &Engine) -> Result<(), ComponentError> {
    let ungranted: Vec<String> = component
        .component_type()
        .imports(engine)
        .filter(|(name, _)| !is_granted(name))
        .map(|(name, _)| clean(name, 200))
        .collect();
    if ungranted.is_empty() { Ok(()) } else { Err(ComponentError::Ungranted(ungranted)) }
}

/// Looks for another major version, or before 1.0 another minor one: those are not compatible, and the linker would
/// only say that something is missing.
fn check_versions(component: &Component, engine: &Engine) -> Result<(), ComponentError> {
    let kind = component.component_type();
    let imports = kind.imports(engine).map(|(name, _)| name.to_owned());
    let exports = kind.exports(engine).map(|(name, _)| name.to_owned());
    for name in imports.chain(exports) {
        let Some((_, version)) = name.strip_prefix(CONTRACT).and_then(|rest| rest.split_once('@')) else { continue };
        if compatible_part(version) != compatible_part(CONTRACT_VERSION) {
            return Err(ComponentError::ContractVersion(clean(version, 40)));
        }
    }
    Ok(())
}

/// What must be equal in two compatible versions: the major number, and the minor one where the major is 0.
fn compatible_part(version: &str) -> (&str, Option<&str>) {
    let mut numbers = version.split('.');
    let major = numbers.next().unwrap_or_default();
    (major, if major == "0" { numbers.next() } else { None })
}

fn find_exports(component: &Component, pre: &InstancePre<HostState>) -> Result<Exports, ComponentError> {
    let kind = component.component_type();
    let names: Vec<String> = kind.exports(component.engine()).map(|(name, _)| name.to_owned()).collect();
    let exported = |interface: &str| names.iter().any(|n| n.starts_with(&format!("{CONTRACT}{interface}@")));
    let wrong = |e: wasmtime::Error| ComponentError::Unlinkable(one_line(&e));
    if !exported("lifecycle") {
        return Err(ComponentError::NoLifecycle);
    }
    let exports = Exports {
        lifecycle: lifecycle::GuestIndices::new(pre).map_err(wrong)?,
        validator: exported("validator").then(|| validator::GuestIndices::new(pre)).transpose().map_err(wrong)?,
        transformer: exported("transformer").then(|| transformer::GuestIndices::new(pre)).transpose().map_err(wrong)?,
        router: exported("router").then(|| router::GuestIndices::new(pre)).transpose().map_err(wrong)?,
    };
    if exports.validator.is_none() && exports.transformer.is_none() && exports.router.is_none() {
        return Err(ComponentError::NoRole);
    }
    Ok(exports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_a_file_is_by_its_first_bytes() {
        assert_eq!(check_form(b""), Err(ComponentError::Empty));
        assert_eq!(check_form(b"\0as"), Err(ComponentError::NotWasm));
        assert_eq!(check_form(b"#!/bin/sh\n"), Err(ComponentError::NotWasm));
        assert_eq!(check_form(b"\0asm\x01\0\0\0"), Err(ComponentError::CoreModule));
        assert_eq!(check_form(b"\x7fELF\x02\x01\x01\0"), Err(ComponentError::Compiled));
        assert_eq!(check_form(b"\0asm\x0d\0\x01\0"), Ok(()));
    }

    #[test]
    fn versions_are_compatible_as_in_semver() {
        assert_eq!(compatible_part("0.9.0"), compatible_part("0.9.3"));
        assert_ne!(compatible_part("0.8.0"), compatible_part("0.9.0"));
        assert_ne!(compatible_part("1.0.0"), compatible_part("0.9.0"));
        assert_eq!(compatible_part("1.0.0"), compatible_part("1.4.0"));
    }
}
