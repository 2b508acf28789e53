//! The host side of one instance: its meter, log, captured standard error and WASI state.

use std::sync::Arc;

use wasmtime::component::{HasSelf, Linker};

use crate::component::bindings;
use crate::instance::host_log::PluginLog;
use crate::instance::limits::Meter;
use crate::instance::pace::Pace;
use crate::instance::stderr::Stderr;
use crate::instance::wasi::{self, Facts, Wasi};
use crate::resources::GrantedTable;

/// The data of one store.
#[derive(Debug)]
pub(crate) struct HostState {
    pub(crate) meter: Meter,
    pub(crate) log: PluginLog,
    pub(crate) stderr: Stderr,
    pub(crate) wasi: Wasi,
    pub(crate) tables: Arc<[GrantedTable]>,
    pub(crate) pace: Pace,
}

impl HostState {
    pub(crate) fn new(meter: Meter, log: PluginLog, facts: Facts) -> Self {
        let (stderr, wasi) = (Stderr::default(), Wasi::new(facts));
        Self { meter, log, stderr, wasi, tables: Arc::default(), pace: Pace::default() }
    }

    /// The same for a plugin that is granted these tables.
    pub(crate) fn with_tables(mut self, tables: &Arc<[GrantedTable]>) -> Self {
        self.tables = Arc::clone(tables);
        self
    }
}

impl Drop for HostState {
    fn drop(&mut self) {
        self.wasi.end_lines(&mut self.log);
    }
}

impl bindings::types::Host for HostState {}

/// Links everything that a plugin may import, interface by interface.
pub(crate) fn link(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<HostState>> {
    let mut linker = Linker::new(engine);
    let l = &mut linker;
    bindings::types::add_to_linker::<_, HasSelf<_>>(l, |state: &mut HostState| state)?;
    bindings::log::add_to_linker::<_, HasSelf<_>>(l, |state: &mut HostState| state)?;
    bindings::tables::add_to_linker::<_, HasSelf<_>>(l, |state: &mut HostState| state)?;
    #[cfg(test)]
    {
        use bindings::made_up;

        made_up::types::add_to_linker::<_, HasSelf<_>>(l, |state: &mut HostState| state)?;
        made_up::log::add_to_linker::<_, HasSelf<_>>(l, |state: &mut HostState| state)?;
    }
    wasi::link(l)?;
    Ok(linker)
}
