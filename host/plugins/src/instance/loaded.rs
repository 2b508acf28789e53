//! From a compiled component to one that is ready for messages: linking, one trial instance, `describe`.

use std::fmt;
use std::sync::Arc;

use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Engine, Store};

use super::{arm, fault, prepare};
use crate::component::contract::{self, BuiltFor, Exports};
use crate::component::engine::{Held, Places, Ticker, Ticking};
use crate::component::schema::{ConfigError, Schema};
use crate::component::{ComponentError, Description, Powers, Roles, one_line};
use crate::instance::host_log::PluginLog;
use crate::instance::limits::{Limits, Meter};
use crate::instance::state::HostState;
use crate::instance::wasi::Facts;
use crate::instance::worker::ByteBudget;
use crate::resources::Redaction;
use crate::text::clean;

/// A component that is linked and passed every check: an instance of it is made for each message.
pub(crate) struct Loaded {
    pub(crate) sha256: [u8; 32],
    pub(crate) powers: Powers,
    pub(crate) pre: InstancePre<HostState>,
    pub(crate) exports: Box<dyn Exports<HostState>>,
    pub(crate) built_for: BuiltFor,
    pub(crate) description: Description,
    /// The schema of the configuration.
    schema: Option<Schema>,
    /// Where its instances are made in the pool: how many places each takes.
    places: Option<(Arc<Places>, u32)>,
    /// Without the clock no deadline ends a call.
    ticker: Arc<Ticker>,
    /// What bounds its messages where it is in shadow.
    pub(crate) shadow_budget: Arc<ByteBudget>,
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Loaded({})", message::hex(&self.sha256))
    }
}

impl Loaded {
    /// Links `component` and tries it in one instance. `pool` is that of its engine, if it has one.
    pub(crate) fn link(
        component: &Component,
        linker: &Linker<HostState>,
        (ticker, shadow_budget): (&Arc<Ticker>, &Arc<ByteBudget>),
        pool: Option<Arc<Places>>,
        sha256: [u8; 32],
    ) -> Result<Self, ComponentError> {
        let engine = component.engine();
        let built_for = BuiltFor::read(component)?;
        let wrong = |e: wasmtime::Error| ComponentError::WrongType(one_line(&e));
        let pre = linker.instantiate_pre(component).map_err(wrong)?;
        let exports = contract::find(built_for.major, built_for.roles, &pre).map_err(wrong)?;
        let description = Description::default();
        let powers = Powers::of(component);
        let places = pool.map(|places| (places, Places::of(component)));
        let (schema, ticker, shadow_budget) = (None, Arc::clone(ticker), Arc::clone(shadow_budget));
        let mut loaded =
            Self { sha256, powers, pre, exports, built_for, description, schema, places, ticker, shadow_budget };
        loaded.description = loaded.probe(engine)?;
        loaded.schema = loaded.description.config_schema.as_deref().map(Schema::read).transpose()?;
        Ok(loaded)
    }

    /// What an instance needs as long as it lives. Waits until there is room for it.
    pub(crate) fn hold(&self) -> (Option<Held>, Ticking) {
        (self.places.as_ref().map(|(places, count)| places.hold(*count)), self.ticker.run())
    }

    /// Validates the plugin's table against its schema, if it has one.
    pub(crate) fn check_config(&self, config: &serde_json::Value) -> Result<(), ConfigError> {
        self.schema.as_ref().map_or(Ok(()), |schema| schema.check(config))
    }

    pub(crate) fn roles(&self) -> Roles {
        self.built_for.roles
    }

    /// Makes one instance, compares the types of its exports and has it describe itself.
    fn probe(&self, engine: &Engine) -> Result<Description, ComponentError> {
        let limits = Limits { memory: 512 << 20, ..Limits::default() };
        let state = HostState::new(
            Meter::new(limits.memory),
            PluginLog::new("", "", limits.log, &Redaction::default()),
            Facts::of_load(self.sha256),
        );
        let _held = self.hold();
        let mut store = Store::new(engine, state);
        prepare(&mut store, &limits);
        let probe = |store: &Store<HostState>, error: wasmtime::Error| {
            ComponentError::Probe(fault(&error, store, &limits).to_string())
        };
        let instance = self.pre.instantiate(&mut store).map_err(|error| probe(&store, error))?;
        self.exports.compare(&mut store, &instance).map_err(|e| ComponentError::WrongType(one_line(&e)))?;
        arm(&mut store, &limits);
        let d = self.exports.describe(&mut store, &instance).map_err(|error| probe(&store, error))?;
        Ok(Description {
            name: clean(&d.name, 64),
            version: clean(&d.version, 64),
            summary: clean(&d.summary, 400),
            config_schema: d.config_schema,
            properties: d.properties,
        })
    }
}
