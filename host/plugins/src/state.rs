//! What stands behind one instance: its meter, its log, its captured standard error, and what it has of WASI.

use wasmtime::component::{HasSelf, Linker};

use super::bindings;
use super::host_log::PluginLog;
use super::limits::Meter;
use super::stderr::Stderr;
use super::wasi::{self, Facts, Wasi};

/// The data of one store.
#[derive(Debug)]
pub(super) struct HostState {
    pub(super) meter: Meter,
    pub(super) log: PluginLog,
    pub(super) stderr: Stderr,
    pub(super) wasi: Wasi,
}

impl HostState {
    pub(super) fn new(meter: Meter, log: PluginLog, facts: Facts) -> Self {
        Self { meter, log, stderr: Stderr::default(), wasi: Wasi::new(facts) }
    }
}

impl Drop for HostState {
    fn drop(&mut self) {
        self.wasi.end_lines(&mut self.log);
    }
}

impl bindings::types::Host for HostState {}

/// Everything a plugin may import, interface by interface, so that what is not written here does not exist for it.
pub(super) fn link(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<HostState>> {
    let mut linker = Linker::new(engine);
    let l = &mut linker;
    bindings::types::add_to_linker::<_, HasSelf<_>>(l, |state: &mut HostState| state)?;
    bindings::log::add_to_linker::<_, HasSelf<_>>(l, |state: &mut HostState| state)?;
    #[cfg(test)]
    {
        bindings::made_up::types::add_to_linker::<_, HasSelf<_>>(l, |state: &mut HostState| state)?;
        bindings::made_up::log::add_to_linker::<_, HasSelf<_>>(l, |state: &mut HostState| state)?;
    }
    wasi::link(l)?;
    Ok(linker)
}
