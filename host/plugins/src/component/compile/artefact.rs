//! Compiled components, and the one place that turns them into running code.
//!
//! # Why `unsafe`
//! `Component::deserialize` trusts native code: anyone who writes the bytes controls this process. An [`Artefact`] therefore
//! comes from three sources only: compiled in this process; compiled by a child that runs this same program and returned
//! through a pipe that we opened; or read from the cache folder, which is ours, closed to other users, and whose files
//! carry the digest of what we wrote. There is no safe way to load compiled code, and compiling at every start would take
//! 15 s for a plugin written in Python. wasmtime itself refuses an artefact of another version or another configuration of
//! the engine.

use wasmtime::Engine;
use wasmtime::component::Component;

/// Native code of a component that this program compiled.
pub(super) struct Artefact(Vec<u8>);

impl Artefact {
    /// Compiles `component` in this process.
    pub(super) fn compile(engine: &Engine, component: &[u8]) -> wasmtime::Result<Self> {
        engine.precompile_component(component).map(Self)
    }

    /// From what a child of ours wrote into our pipe. Only `child` calls this.
    pub(super) fn from_child(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// From a file of the cache folder whose digest matched. Only `cache` calls this.
    pub(super) fn from_cache(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Loads it into the first of these engines that has room for it. All run the same code.
    pub(super) fn load(&self, engines: &[&Engine]) -> wasmtime::Result<Component> {
        let mut last = Err(wasmtime::format_err!("no engine"));
        for engine in engines {
            last = self.load_into(engine);
            if last.is_ok() {
                break;
            }
        }
        last
    }

    #[expect(unsafe_code, reason = "loading native code of our own making, see the head of this file")]
    fn load_into(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: the three constructors above are the only ones, and each guarantees where the bytes come from.
        unsafe { Component::deserialize(engine, &self.0) }
    }
}
