//! The plugin side of the process: the engines with their linkers, the places in the pool, one compiler, and the components
//! that are in use.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

use message::locked;
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::catalog::provenance::{Provenance, ProvenanceSettings};
use crate::component::compile::{CompileSettings, Compiler, Trust};
use crate::component::contract::BuiltFor;
use crate::component::engine::{Places, Ticker, engine, pooled};
use crate::component::surface::{Surface, check_form};
use crate::component::{ComponentError, one_line};
use crate::instance::Loaded;
use crate::instance::state::{HostState, link};
use crate::instance::worker::ByteBudget;
use crate::resources::store::Store;

/// Why no plugin can be run at all.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// wasmtime cannot be set up on this machine.
    #[error("cannot start the plugin engine: {0}")]
    Engine(String),
    /// The thread that keeps the deadlines cannot be started.
    #[error("cannot start the plugin clock")]
    Ticker(#[source] std::io::Error),
}

/// Loads plugins. One per process, shared by all pipelines; a component that several channels use is compiled once.
pub struct Plugins {
    /// The engine with the pool, where there can be one.
    pooled: Option<Machine>,
    machine: Machine,
    places: Arc<Places>,
    compiler: Compiler,
    /// The cache's folder, if there is one.
    cache: Option<PathBuf>,
    /// Held while a component is compiled: one at a time.
    compiling: Mutex<()>,
    provenance: Provenance,
    store: Store,
    loaded: Mutex<HashMap<[u8; 32], Weak<Loaded>>>,
    ticker: Arc<Ticker>,
    /// The thread that calls plugins in shadow.
    shadow_budget: Arc<ByteBudget>,
}

/// An engine with its linker.
struct Machine {
    engine: Engine,
    linker: Linker<HostState>,
}

impl Machine {
    fn new(engine: wasmtime::Result<Engine>) -> Result<Self, StartError> {
        let failed = |error: wasmtime::Error| StartError::Engine(one_line(&error));
        let engine = engine.map_err(failed)?;
        Ok(Self { linker: link(&engine).map_err(failed)?, engine })
    }

    /// Whether this host provides everything that a component imports, with the same types.
    fn check_imports(&self, component: &Component) -> Result<(), ComponentError> {
        BuiltFor::check_imports(component)?;
        self.linker.instantiate_pre(component).map(drop).map_err(|error| ComponentError::WrongType(one_line(&error)))
    }
}

impl fmt::Debug for Plugins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugins").finish_non_exhaustive()
    }
}

impl Plugins {
    /// Sets up the engines and starts their clock. Signatures of plugins are not checked.
    ///
    /// # Errors
    /// [`StartError`], all of which stop the program.
    pub fn start(settings: CompileSettings) -> Result<Arc<Self>, StartError> {
        Self::with(settings, Provenance::default())
    }

    /// The same, for plugins that process messages: their signatures are checked.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start_checked(settings: CompileSettings, provenance: ProvenanceSettings) -> Result<Arc<Self>, StartError> {
        Self::with(settings, Provenance::new(provenance))
    }

    fn with(settings: CompileSettings, provenance: Provenance) -> Result<Arc<Self>, StartError> {
        let machine = Machine::new(engine())?;
        let cache = settings.cache.clone();
        // Where the address space of the process is limited there is none.
        let pooled = Machine::new(pooled()).ok();
        let engines: Vec<&Engine> = pooled.iter().chain([&machine]).map(|machine| &machine.engine).collect();
        let ticker = Ticker::start(&engines).map_err(StartError::Ticker)?;
        Ok(Arc::new(Self {
            cache,
            compiler: Compiler::new(settings),
            compiling: Mutex::default(),
            provenance,
            store: Store::default(),
            loaded: Mutex::default(),
            ticker: Arc::new(ticker),
            shadow_budget: Arc::default(),
            places: Places::new(),
            pooled,
            machine,
        }))
    }

    /// The folder of what is kept between two starts.
    pub(crate) fn cache(&self) -> Option<&Path> {
        self.cache.as_deref()
    }

    /// The signature checks.
    pub(crate) fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// The tables and secrets in use.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The component of `plugin` in `bytes`, checked, compiled and linked. This can take seconds.
    pub(crate) fn load(&self, plugin: &str, bytes: &[u8], trust: Trust) -> Result<Arc<Loaded>, ComponentError> {
        let sha256: [u8; 32] = Sha256::digest(bytes).into();
        if let Some(loaded) = self.known(&sha256) {
            return Ok(loaded);
        }
        let _turn = locked(&self.compiling);
        // Another thread may have compiled it while this one waited.
        if let Some(loaded) = self.known(&sha256) {
            return Ok(loaded);
        }
        let component = self.compile(plugin, bytes, &sha256, trust)?;
        let loaded = Arc::new(self.link(&component, sha256)?);
        let mut all = locked(&self.loaded);
        all.retain(|_, weak| weak.strong_count() > 0);
        all.insert(sha256, Arc::downgrade(&loaded));
        Ok(loaded)
    }

    /// Whether the component in `bytes` is loaded or cached, or is no component: loading or refusing it then takes almost no
    /// time.
    pub(crate) fn is_compiled(&self, bytes: &[u8]) -> bool {
        let sha256: [u8; 32] = Sha256::digest(bytes).into();
        check_form(bytes).is_err() || self.known(&sha256).is_some() || self.compiler.has(&self.machine.engine, &sha256)
    }

    fn known(&self, sha256: &[u8; 32]) -> Option<Arc<Loaded>> {
        locked(&self.loaded).get(sha256).and_then(Weak::upgrade)
    }

    /// The compiled component. A file that cannot be a plugin is refused before it is compiled.
    pub(super) fn compile(
        &self,
        plugin: &str,
        bytes: &[u8],
        sha256: &[u8; 32],
        trust: Trust,
    ) -> Result<Component, ComponentError> {
        let surface = Surface::read(bytes)?;
        surface.check()?;
        if !self.compiler.has(&self.machine.engine, sha256)
            && let Ok(head) = self.compiler.compile_once(&self.machine.engine, surface.head(bytes), trust, plugin)
        {
            self.machine.check_imports(&head)?;
        }
        let engines: Vec<&Engine> = self.machines().map(|machine| &machine.engine).collect();
        self.compiler.compile(&engines, bytes, sha256, trust, plugin)
    }

    /// The component linked, tried, and ready for messages.
    pub(super) fn link(&self, component: &Component, sha256: [u8; 32]) -> Result<Loaded, ComponentError> {
        let here = |machine: &&Machine| Engine::same(&machine.engine, component.engine());
        let machine = self.machines().find(here).unwrap_or(&self.machine);
        let pooled = self.pooled.iter().find(here).map(|_| Arc::clone(&self.places));
        Loaded::link(component, &machine.linker, (&self.ticker, &self.shadow_budget), pooled, sha256)
    }

    fn machines(&self) -> impl Iterator<Item = &Machine> {
        self.pooled.iter().chain([&self.machine])
    }
}
