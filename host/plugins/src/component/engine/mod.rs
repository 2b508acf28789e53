//! The engines of the process, and the places in the pool of one of them. `ticker` advances their epochs.
//!
//! Both engines run the same compiled code. One has a pool of memories and tables that stay mapped between two instances, with
//! the first content of their component in place: an instance costs no system call that changes the address space. The other
//! maps them for each instance. It is for components that do not fit in the pool, and for hosts on which the address space for
//! the pool cannot be reserved.
//!
//! # Isolation
//! When an instance ends, the beginning of each memory ([`KEPT_MEMORY`]) and of each table is overwritten with its first
//! content, and the rest is given back to the kernel, so that the next instance finds the first content there too. wasmtime can
//! also ask the kernel which pages were written and overwrite only those (`pagemap_scan`). That is off: it overlooks pages that
//! were swapped out (wasmtime#14357).
//!
//! There is no async, and no fuel: an epoch deadline costs a guest less.

#[cfg(test)]
mod isolation;
mod ticker;

use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use message::locked;
use wasmtime::component::Component;
use wasmtime::{Config, Enabled, Engine, PoolingAllocationConfig, WasmBacktraceDetails};

pub(crate) use self::ticker::{Ticker, Ticking};

/// Time between two ticks of the epoch: the resolution of every deadline.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Stack of a guest. A thread that calls one needs at least four times as much.
pub(crate) const GUEST_STACK: usize = 512 << 10;

/// Entries of all tables of an instance in total: calls through function pointers need thousands, not millions.
pub(crate) const TABLE_ENTRIES: usize = 1 << 20;

/// Memories in the pool, and as many tables. Of each, 4 GiB of address space are reserved, and no memory.
const PLACES: u32 = 640;

/// Memories, and tables, of a component that fits in the pool.
const PLACES_OF_ONE: u32 = 8;

/// Bytes of each memory and of each table that are overwritten; what a guest wrote beyond is given back to the kernel.
const KEPT_MEMORY: usize = 16 << 20;
const KEPT_TABLE: usize = 128 << 10;

/// Memories that stay mapped for components that are not running.
const WARM: u32 = 16;

/// Bytes of bookkeeping that wasmtime may take for an instance; components are limited otherwise.
const BOOKKEEPING: usize = 64 << 20;

/// An engine that compiles, with the settings of both.
pub(crate) fn engine() -> wasmtime::Result<Engine> {
    Engine::new(&config())
}

/// An engine with a pool.
pub(crate) fn pooled() -> wasmtime::Result<Engine> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(u32::MAX)
        .total_core_instances(u32::MAX)
        .max_core_instance_size(BOOKKEEPING)
        .max_component_instance_size(BOOKKEEPING)
        .total_memories(PLACES)
        .max_memories_per_component(PLACES_OF_ONE)
        .max_memories_per_module(PLACES_OF_ONE)
        .linear_memory_keep_resident(KEPT_MEMORY)
        .total_tables(PLACES)
        .max_tables_per_component(PLACES_OF_ONE)
        .max_tables_per_module(PLACES_OF_ONE)
        .table_elements(TABLE_ENTRIES)
        .table_keep_resident(KEPT_TABLE)
        .max_unused_warm_slots(WARM)
        .pagemap_scan(Enabled::No);
    Engine::new(config().allocation_strategy(pool))
}

fn config() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .wasm_memory64(false)
        .wasm_relaxed_simd(false)
        .epoch_interruption(true)
        .consume_fuel(false)
        .memory_init_cow(true)
        .concurrency_support(false)
        .max_wasm_stack(GUEST_STACK)
        .wasm_backtrace_max_frames(NonZeroUsize::new(8))
        .wasm_backtrace_details(WasmBacktraceDetails::Enable);
    config
}

/// The places of a pool that are free. An instance waits until there are enough for it: never longer than the calls that hold
/// them may take, and a thread that holds some waits for no others.
#[derive(Debug)]
pub(crate) struct Places {
    free: Mutex<u32>,
    freed: Condvar,
}

/// Places that an instance holds, until it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    places: Arc<Places>,
    count: u32,
}

impl Places {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { free: Mutex::new(PLACES), freed: Condvar::new() })
    }

    /// The places that one instance of this component takes.
    pub(crate) fn of(component: &Component) -> u32 {
        let needed = component.resources_required().map(|needed| needed.num_memories.max(needed.num_tables));
        needed.unwrap_or(PLACES_OF_ONE).max(1)
    }

    pub(crate) fn hold(self: &Arc<Self>, count: u32) -> Held {
        let mut free = locked(&self.free);
        while *free < count {
            free = self.freed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= count;
        Held { places: Arc::clone(self), count }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        *locked(&self.places.free) += self.count;
        self.places.freed.notify_all();
    }
}
