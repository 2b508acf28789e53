//! Compilation of components: from the cache if possible, otherwise in a child process with limits, or in this process if
//! no program for the child is configured.
//!
//! Compilation takes 0.1 s for a Rust plugin and 15 s for one in Python. Call it on a thread that nothing waits for; this
//! module does not choose the thread.

mod artefact;
mod cache;
mod child;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use message::daily::Condition;
use wasmtime::Engine;
use wasmtime::component::Component;

use self::artefact::Artefact;
use self::cache::Cache;
use crate::component::{ComponentError, one_line};

pub use self::cache::CacheError;
pub use self::child::{SUBCOMMAND, child_main};

/// How components are compiled.
#[derive(Clone, Debug, Default)]
pub struct CompileSettings {
    /// The private folder of compiled components. Without one, components are compiled at every start.
    pub cache: Option<PathBuf>,
    /// The program with the hidden subcommand, which is this one (`/proc/self/exe`). Without one, components are compiled in
    /// this process.
    pub program: Option<PathBuf>,
}

/// Where a component comes from, which decides the process that compiles it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Part of this program: compiled in this process.
    BuiltIn,
    /// A file from the operator.
    Foreign,
}

/// Compiles components as the settings say.
pub(crate) struct Compiler {
    cache: Option<Cache>,
    program: Option<PathBuf>,
}

/// Whether the folder of compiled plugins can be used; it is created if it does not exist.
///
/// # Errors
/// [`CacheError`] with what to do. Without it Sesame works, and compiles plugins at each start.
pub fn check_cache(path: &Path) -> Result<(), CacheError> {
    Cache::open(path).map(drop)
}

impl Compiler {
    pub(crate) fn new(settings: CompileSettings) -> Self {
        let cache = settings.cache.as_deref().and_then(|path| {
            let opened = Cache::open(path);
            opened
                .inspect_err(|error| {
                    let error = message::cause::chain(error);
                    if Condition::warning("plugin cache", &path.display().to_string()).is_due(&error) {
                        tracing::warn!(error, "plugin cache unusable; plugins are compiled at each start");
                    }
                })
                .ok()
        });
        Self { cache, program: settings.program }
    }

    /// Whether the cache has a file for this component. Whether that file is intact is checked when it is read.
    pub(crate) fn has(&self, engine: &Engine, sha256: &[u8; 32]) -> bool {
        self.cache.as_ref().is_some_and(|cache| cache.has(engine, sha256))
    }

    /// The compiled component. A cache that cannot be written is logged and not used.
    pub(crate) fn compile(
        &self,
        engine: &Engine,
        bytes: &[u8],
        sha256: &[u8; 32],
        trust: Trust,
    ) -> Result<Component, ComponentError> {
        if let Some(artefact) = self.cache.as_ref().and_then(|cache| cache.find(engine, sha256)) {
            match artefact.load(engine) {
                Ok(component) => return Ok(component),
                Err(error) => tracing::warn!(error = one_line(&error), "cached plugin unusable; compiling it again"),
            }
        }
        let malformed = |error: wasmtime::Error| ComponentError::Malformed(one_line(&error));
        let artefact = match &self.program {
            Some(program) if trust == Trust::Foreign => child::compile_in_child(program, bytes)?,
            _ => Artefact::compile(engine, bytes).map_err(malformed)?,
        };
        if let Some(Err(error)) = self.cache.as_ref().map(|cache| cache.keep(engine, sha256, &artefact)) {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot cache the compiled plugin");
        }
        artefact.load(engine).map_err(malformed)
    }
}
