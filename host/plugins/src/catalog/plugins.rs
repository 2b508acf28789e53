//! The plugin side of the process: the engines with their linkers, one compiler, and the components that are in use.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, Weak};

use message::locked;
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::catalog::provenance::{Provenance, ProvenanceSettings};
use crate::component::compile::{CompileSettings, Compiler, Trust};
use crate::component::contract::BuiltFor;
use crate::component::engine::{Class, Ticker, engine};
use crate::component::surface::{Surface, check_form};
use crate::component::{ComponentError, one_line};
use crate::instance::Loaded;
use crate::instance::state::{HostState, link};

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
    small: Machine,
    large: Machine,
    compiler: Compiler,
    /// Held while a component is compiled: one at a time.
    compiling: Mutex<()>,
    provenance: Provenance,
    loaded: Mutex<HashMap<[u8; 32], Weak<Loaded>>>,
    pub(super) ticker: Arc<Ticker>,
}

/// An engine with its linker.
pub(super) struct Machine {
    pub(super) engine: Engine,
    pub(super) linker: Linker<HostState>,
}

impl Machine {
    fn new(class: Class) -> Result<Self, StartError> {
        let failed = |error: wasmtime::Error| StartError::Engine(one_line(&error));
        let engine = engine(class).map_err(failed)?;
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
        let (small, large) = (Machine::new(Class::Small)?, Machine::new(Class::Large)?);
        Ok(Arc::new(Self {
            compiler: Compiler::new(settings),
            compiling: Mutex::default(),
            provenance,
            loaded: Mutex::default(),
            ticker: Arc::new(Ticker::start(&[&small.engine, &large.engine]).map_err(StartError::Ticker)?),
            small,
            large,
        }))
    }

    /// The signature checks.
    pub(crate) fn provenance(&self) -> &Provenance {
        &self.provenance
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
        let (component, machine) = self.compile(plugin, bytes, &sha256, trust)?;
        let loaded = Arc::new(Loaded::link(&component, &machine.linker, &self.ticker, sha256)?);
        let mut all = locked(&self.loaded);
        all.retain(|_, weak| weak.strong_count() > 0);
        all.insert(sha256, Arc::downgrade(&loaded));
        Ok(loaded)
    }

    /// Whether the component in `bytes` is loaded or cached, or is no component: loading or refusing it then takes almost no
    /// time.
    pub(crate) fn is_compiled(&self, bytes: &[u8]) -> bool {
        let sha256: [u8; 32] = Sha256::digest(bytes).into();
        check_form(bytes).is_err()
            || self.known(&sha256).is_some()
            || self.compiler.has(&self.machine(bytes).engine, &sha256)
    }

    fn known(&self, sha256: &[u8; 32]) -> Option<Arc<Loaded>> {
        locked(&self.loaded).get(sha256).and_then(Weak::upgrade)
    }

    /// The compiled component, and the engine it is for. A file that cannot be a plugin is refused before it is compiled.
    pub(super) fn compile(
        &self,
        plugin: &str,
        bytes: &[u8],
        sha256: &[u8; 32],
        trust: Trust,
    ) -> Result<(Component, &Machine), ComponentError> {
        let surface = Surface::read(bytes)?;
        surface.check()?;
        let machine = self.machine(bytes);
        if !self.compiler.has(&machine.engine, sha256)
            && let Ok(head) = self.compiler.compile_once(&machine.engine, surface.head(bytes), trust, plugin)
        {
            machine.check_imports(&head)?;
        }
        Ok((self.compiler.compile(&machine.engine, bytes, sha256, trust, plugin)?, machine))
    }

    pub(super) fn machine(&self, bytes: &[u8]) -> &Machine {
        match Class::of(bytes) {
            Class::Small => &self.small,
            Class::Large => &self.large,
        }
    }
}
