//! What stands behind one instance: its meter, its log, its captured standard error, and the little of WASI that a
//! language's standard library asks for.

use wasmtime::component::{HasData, HasSelf, Linker, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::p2::bindings::{cli, io, sync};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::bindings;
use super::host_log::PluginLog;
use super::limits::Meter;
use super::stderr::Stderr;

/// Streams and the like that a guest may hold at once.
const RESOURCES: usize = 64;

/// The WASI interfaces that are linked, all of version 0.2: an empty environment, leaving, and standard streams of
/// which only standard error is kept. Never files, sockets, clocks, random numbers or HTTP.
pub(super) const GRANTED_WASI: [&str; 13] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/stderr",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/terminal-stderr",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
];

/// The data of one store.
pub(super) struct HostState {
    pub(super) meter: Meter,
    pub(super) log: PluginLog,
    pub(super) stderr: Stderr,
    /// Made when a guest first asks for it, which a Rust guest does only when it panics.
    wasi: Option<WasiCtx>,
    table: ResourceTable,
}

impl HostState {
    pub(super) fn new(meter: Meter, log: PluginLog) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES);
        Self { meter, log, stderr: Stderr::default(), wasi: None, table }
    }
}

impl WasiView for HostState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let stderr = &self.stderr;
        let ctx = self.wasi.get_or_insert_with(|| WasiCtx::builder().stderr(stderr.clone()).build());
        WasiCtxView { ctx, table: &mut self.table }
    }
}

impl bindings::types::Host for HostState {}

/// The host's side of `wasi:io`, which needs the table alone.
struct Io;

impl HasData for Io {
    type Data<'a> = &'a mut ResourceTable;
}

/// Everything a plugin may import, interface by interface, so that what is not written here does not exist for it.
pub(super) fn link(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<HostState>> {
    let mut linker = Linker::new(engine);
    let l = &mut linker;
    bindings::types::add_to_linker::<_, HasSelf<_>>(l, |state: &mut HostState| state)?;
    bindings::log::add_to_linker::<_, HasSelf<_>>(l, |state: &mut HostState| state)?;
    bindings::v0_9::types::add_to_linker::<_, HasSelf<_>>(l, |state: &mut HostState| state)?;
    bindings::v0_9::log::add_to_linker::<_, HasSelf<_>>(l, |state: &mut HostState| state)?;
    cli::environment::add_to_linker::<_, WasiCli>(l, HostState::cli)?;
    cli::exit::add_to_linker::<_, WasiCli>(l, HostState::cli)?;
    cli::stdin::add_to_linker::<_, WasiCli>(l, HostState::cli)?;
    cli::stdout::add_to_linker::<_, WasiCli>(l, HostState::cli)?;
    cli::stderr::add_to_linker::<_, WasiCli>(l, HostState::cli)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(l, HostState::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(l, HostState::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(l, HostState::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(l, HostState::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(l, HostState::cli)?;
    io::error::add_to_linker::<HostState, Io>(l, |state| &mut state.table)?;
    sync::io::poll::add_to_linker::<HostState, Io>(l, |state| &mut state.table)?;
    sync::io::streams::add_to_linker::<HostState, Io>(l, |state| &mut state.table)?;
    Ok(linker)
}
