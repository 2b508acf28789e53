//! Compilation of components: from the cache if possible, otherwise in a child process with limits, or in this process if
//! no program for the child is configured.
//!
//! Compilation takes 0.1 s for a Rust plugin and 15 s for one in Python. Call it on a thread that nothing waits for; this
//! module does not choose the thread.

mod artefact;
mod cache;
mod child;
mod progress;
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
pub use self::progress::watch_compilation;

/// How components are compiled.
#[derive(Clone, Debug, Default)]
pub struct CompileSettings {
    /// The private folder of compiled components. Without one, components are compiled at every start.
    pub cache: Option<PathBuf>,
    /// Where other commands of this user keep theirs: what is there is not compiled again. Root, which loads nothing from the
    /// folder of another user, keeps its own in the first.
    pub also: Vec<PathBuf>,
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
    /// Where components are kept: the folder of the settings, and for root its own if that is another user's.
    kept: Vec<Cache>,
    /// Where others have kept them.
    also: Vec<Cache>,
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
        let mut kept: Vec<Cache> = settings.cache.as_deref().and_then(opened).into_iter().collect();
        let mut also = settings.also.as_slice();
        if kept.iter().any(Cache::is_for_another)
            && let Some((own, others)) = also.split_first()
        {
            kept.extend(opened(own));
            also = others;
        }
        let also = also.iter().filter_map(|path| Cache::there(path).ok());
        Self { also: also.collect(), kept, program: settings.program }
    }

    fn caches(&self) -> impl Iterator<Item = &Cache> {
        self.kept.iter().chain(&self.also)
    }

    /// Whether a cache has a file for this component. Whether that file is intact is checked when it is read.
    pub(crate) fn has(&self, engine: &Engine, sha256: &[u8; 32]) -> bool {
        self.caches().any(|cache| cache.has(engine, sha256))
    }

    /// The compiled component, if it was compiled before.
    fn found(&self, engines: &[&Engine], sha256: &[u8; 32]) -> Option<Component> {
        let engine = engines.first()?;
        let artefact = self.caches().find_map(|cache| cache.find(engine, sha256))?;
        let loaded = artefact.load(engines);
        loaded
            .inspect_err(|error| tracing::warn!(error = one_line(error), "cached plugin unusable; compiling it again"))
            .ok()
    }

    /// The compiled component of `plugin` in the first of these engines that has room for it; all run the same code. A cache
    /// that cannot be written is logged and not used.
    pub(crate) fn compile(
        &self,
        engines: &[&Engine],
        bytes: &[u8],
        sha256: &[u8; 32],
        trust: Trust,
        plugin: &str,
    ) -> Result<Component, ComponentError> {
        if let Some(component) = self.found(engines, sha256) {
            return Ok(component);
        }
        let Some(engine) = engines.first() else {
            return Err(ComponentError::Compile("there is no engine".to_owned()));
        };
        let turn = self.kept.first().and_then(|cache| cache.turn(engine, sha256));
        // Another process may have compiled it while this one waited.
        if let Some(component) = turn.as_ref().and_then(|_| self.found(engines, sha256)) {
            return Ok(component);
        }
        let artefact = self.artefact(engine, bytes, trust, plugin)?;
        for cache in &self.kept {
            if let Err(error) = cache.keep(engine, sha256, &artefact) {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot cache the compiled plugin");
            }
        }
        artefact.load(engines).map_err(malformed)
    }

    /// The same for what is not worth keeping.
    pub(crate) fn compile_once(
        &self,
        engine: &Engine,
        bytes: &[u8],
        trust: Trust,
        plugin: &str,
    ) -> Result<Component, ComponentError> {
        self.artefact(engine, bytes, trust, plugin)?.load(&[engine]).map_err(malformed)
    }

    fn artefact(&self, engine: &Engine, bytes: &[u8], trust: Trust, plugin: &str) -> Result<Artefact, ComponentError> {
        match &self.program {
            Some(program) if trust == Trust::Foreign => child::compile_in_child(program, bytes, plugin),
            _ => Artefact::compile(engine, bytes).map_err(malformed),
        }
    }
}

fn malformed(error: wasmtime::Error) -> ComponentError {
    ComponentError::Malformed(one_line(&error))
}

/// The folder, or none after a warning why it cannot be used.
fn opened(path: &Path) -> Option<Cache> {
    let warn = |error: &CacheError| {
        let error = message::cause::chain(error);
        if Condition::warning("plugin cache", &path.display().to_string()).is_due(&error) {
            tracing::warn!(error, "plugin cache unusable; plugins are compiled at each start");
        }
    };
    Cache::open(path).inspect_err(warn).ok()
}
