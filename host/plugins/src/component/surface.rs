//! What a file is, from its bytes and the names that a component imports and exports. Nothing is compiled: a file that cannot
//! be a plugin is refused in milliseconds, with one line that says what it is and what to do.

use wasmparser::{CanonicalFunction, CanonicalOption, Chunk, Parser, Payload};
use wasmtime::Engine;

use crate::component::contract::{BuiltFor, CONTRACT};
use crate::component::grant::{Grant, grant_of};
use crate::component::{ComponentError, MAX_COMPONENT_BYTES};
use crate::text::clean;

/// The interfaces that a plugin exports. A component that imports one of them must be composed with one that exports it.
const EXPORTED: [&str; 4] = ["lifecycle", "validator", "transformer", "router"];

/// Nested components are read to this depth.
const DEPTH: u32 = 32;
/// How many names a refusal lists.
const NAMED: usize = 20;

/// The first bytes of files that are mistaken for components, and what they are.
static FORMS: [(&[u8], ComponentError); 13] = [
    (b"\x7fELF", ComponentError::Compiled),
    (b"\x1f\x8b", ComponentError::Packed("gzip", "gunzip")),
    (b"\x28\xb5\x2f\xfd", ComponentError::Packed("zstd", "unzstd")),
    (b"\xfd7zXZ\0", ComponentError::Packed("xz", "unxz")),
    (b"BZh", ComponentError::Packed("bzip2", "bunzip2")),
    (b"PK\x03\x04", ComponentError::Packed("zip", "unzip")),
    (b"(component", ComponentError::Text),
    (b"(module", ComponentError::Text),
    (b";;", ComponentError::Text),
    (b"(;", ComponentError::Text),
    (b"<", ComponentError::WebPage),
    (b"-----BEGIN", ComponentError::Pem),
    (b"version https://git-lfs", ComponentError::LfsPointer),
];

/// The names at the surface of a component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Surface {
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<String>,
    /// Whether any function in it uses the asynchronous calls of WASI 0.3.
    uses_async: bool,
    /// How many functions there are to compile.
    pub(crate) functions: u32,
    /// Bytes before its first module or instance.
    head: usize,
}

impl Surface {
    /// Reads the names.
    ///
    /// # Errors
    /// [`ComponentError`] says what the file is instead of a component.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, ComponentError> {
        check_form(bytes)?;
        let mut surface = Self { head: bytes.len(), ..Self::default() };
        surface.walk(bytes, 0).map_err(|why| ComponentError::Malformed(clean(&why, 400)))?;
        Ok(surface)
    }

    /// The types and imports at the beginning of `bytes`, which this was read from: a component that imports the same, as far
    /// as that stands before the code, and has none.
    pub(crate) fn head<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(..self.head).unwrap_or(bytes)
    }

    fn walk(&mut self, mut rest: &[u8], depth: u32) -> Result<(), String> {
        let damaged = |error: wasmparser::BinaryReaderError| error.to_string();
        let mut parser = Parser::new(0);
        let whole = rest.len();
        loop {
            let (consumed, payload) = match parser.parse(rest, true).map_err(damaged)? {
                Chunk::Parsed { consumed, payload } => (consumed, payload),
                Chunk::NeedMoreData(_) => return Ok(()),
            };
            if depth == 0 && !is_of_the_head(&payload) {
                self.head = self.head.min(whole - rest.len());
            }
            let mut inside = 0;
            match payload {
                Payload::ModuleSection { unchecked_range, .. } => {
                    inside = unchecked_range.len();
                    let module = rest.get(consumed..).unwrap_or_default();
                    self.functions = self.functions.saturating_add(functions(module.get(..inside).unwrap_or(module)));
                }
                Payload::ComponentSection { unchecked_range, .. } => {
                    inside = unchecked_range.len();
                    let nested = rest.get(consumed..).unwrap_or_default();
                    if depth < DEPTH {
                        self.walk(nested.get(..inside).unwrap_or(nested), depth + 1)?;
                    }
                }
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        self.imports.push(import.map_err(damaged)?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        self.exports.push(export.map_err(damaged)?.name.name.to_owned());
                    }
                }
                Payload::ComponentCanonicalSection(section) => {
                    for function in section {
                        self.uses_async |= is_async(&function.map_err(damaged)?);
                    }
                }
                Payload::End(_) => return Ok(()),
                _ => {}
            }
            rest = rest.get(consumed.saturating_add(inside)..).ok_or("a section is longer than the file")?;
        }
    }

    /// Whether this can be a plugin.
    ///
    /// # Errors
    /// Why not. The reason that explains the others comes first.
    pub(crate) fn check(&self) -> Result<(), ComponentError> {
        let names = || self.imports.iter().chain(&self.exports);
        if self.uses_async || names().any(|name| name.starts_with("wasi:") && version(name).starts_with("0.3.")) {
            return Err(ComponentError::Async);
        }
        let of_a_plugin = |name: &&String| is_of_contract(name, &EXPORTED);
        let composed: Vec<String> =
            self.imports.iter().filter(of_a_plugin).take(NAMED).map(|name| clean(name, 200)).collect();
        if !composed.is_empty() {
            return Err(ComponentError::NeedsComposing(composed));
        }
        if !self.exports.iter().any(|name| name.starts_with(CONTRACT)) {
            let exports = |interface: &str| self.exports.iter().any(|name| interface_of(name) == interface);
            if exports("wasi:cli/run") {
                return Err(ComponentError::Command);
            }
            if exports("wasi:http/incoming-handler") || exports("wasi:http/handler") {
                return Err(ComponentError::HttpServer);
            }
        }
        let refused = self.imports.iter().filter(|name| grant_of(name) == Grant::Refused);
        let refused: Vec<String> = refused.take(NAMED).map(|name| clean(name, 200)).collect();
        if !refused.is_empty() {
            return Err(ComponentError::Ungranted(refused));
        }
        BuiltFor::check_names(&self.imports, &self.exports)
    }

    /// The imports that are answered by a stand-in.
    pub(crate) fn stand_ins(&self) -> Vec<String> {
        let stand_ins = self.imports.iter().filter(|name| matches!(grant_of(name), Grant::StandIn(_)));
        stand_ins.map(|name| clean(name, 200)).collect()
    }

    /// The versions of the contract in its names.
    pub(crate) fn contracts(&self) -> Vec<String> {
        let contract = self.imports.iter().chain(&self.exports).filter(|name| name.starts_with(CONTRACT));
        let mut versions: Vec<String> = contract.map(|name| clean(version(name), 40)).collect();
        versions.sort();
        versions.dedup();
        versions.retain(|version| !version.is_empty());
        versions
    }
}

/// Whether a section may stand before all code.
fn is_of_the_head(payload: &Payload<'_>) -> bool {
    matches!(
        payload,
        Payload::Version { .. }
            | Payload::CustomSection(_)
            | Payload::CoreTypeSection(_)
            | Payload::ComponentTypeSection(_)
            | Payload::ComponentAliasSection(_)
            | Payload::ComponentImportSection(_)
            | Payload::ComponentExportSection(_)
    )
}

/// The functions that a core module defines; what is damaged is left to the compiler.
fn functions(module: &[u8]) -> u32 {
    let payloads = Parser::new(0).parse_all(module).map_while(Result::ok);
    let count = |payload| match payload {
        Payload::CodeSectionStart { count, .. } => Some(count),
        _ => None,
    };
    payloads.filter_map(count).next().unwrap_or_default()
}

fn interface_of(name: &str) -> &str {
    name.split_once('@').map_or(name, |(interface, _)| interface)
}

fn version(name: &str) -> &str {
    name.split_once('@').map_or("", |(_, version)| version)
}

fn is_of_contract(name: &str, interfaces: &[&str]) -> bool {
    interface_of(name).strip_prefix(CONTRACT).is_some_and(|interface| interfaces.contains(&interface))
}

fn is_async(function: &CanonicalFunction) -> bool {
    match function {
        CanonicalFunction::Lift { options, .. } | CanonicalFunction::Lower { options, .. } => {
            options.contains(&CanonicalOption::Async)
        }
        CanonicalFunction::ResourceNew { .. }
        | CanonicalFunction::ResourceDrop { .. }
        | CanonicalFunction::ResourceRep { .. } => false,
        // All others belong to asynchronous calls, streams, futures and threads.
        _ => true,
    }
}

/// Whether this can be a component at all, by its first bytes.
///
/// # Errors
/// [`ComponentError`] says what it is instead.
pub(crate) fn check_form(bytes: &[u8]) -> Result<(), ComponentError> {
    if bytes.len() as u64 > MAX_COMPONENT_BYTES {
        return Err(ComponentError::TooLarge);
    }
    if Engine::detect_precompiled(bytes).is_some() {
        return Err(ComponentError::Compiled);
    }
    match bytes.get(..8) {
        Some(b"\0asm\x0d\0\x01\0") => return Ok(()),
        Some(b"\0asm\x01\0\0\0") => return Err(core_module(bytes)),
        _ if bytes.is_empty() => return Err(ComponentError::Empty),
        _ => {}
    }
    if let Some((_, form)) = FORMS.iter().find(|(first, _)| bytes.starts_with(first)) {
        return Err(form.clone());
    }
    let text = bytes.trim_ascii_start();
    match FORMS.iter().find(|(first, form)| *form == ComponentError::Text && text.starts_with(first)) {
        Some((_, form)) => Err(form.clone()),
        None => Err(ComponentError::NotWasm),
    }
}

/// Which system a core module was built for.
fn core_module(bytes: &[u8]) -> ComponentError {
    let payloads = Parser::new(0).parse_all(bytes).map_while(Result::ok);
    let imports = payloads.filter_map(|payload| match payload {
        Payload::ImportSection(section) => Some(section.into_imports()),
        _ => None,
    });
    let modules: Vec<&str> = imports.flatten().map_while(Result::ok).map(|import| import.module).collect();
    let has = |name: &str| modules.contains(&name);
    if has("wasi_snapshot_preview1") || has("wasi_unstable") {
        ComponentError::Preview1
    } else if modules.iter().any(|name| name.starts_with("__wbindgen") || matches!(*name, "wbg" | "go" | "gojs")) {
        ComponentError::ForJavaScript
    } else {
        ComponentError::CoreModule
    }
}

#[cfg(test)]
mod tests;
