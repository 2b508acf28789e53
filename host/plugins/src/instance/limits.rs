//! What one call of a plugin may use, and the meter that wasmtime calls before a guest grows its memory or tables.
//!
//! # Limits
//! Time: an epoch deadline, which starts again for `init` and for each role function. Memory: all linear memories of the
//! instance in total, and all tables in total. Output: what one call returns, counted while it is copied out of the
//! guest, and exactly when it is checked. Stack: one size for the engine. wasmtime's own `StoreLimits` is not used because
//! it limits each memory separately, and an interpreter inside a component has several.

use std::time::Duration;

use crate::component::engine::{TABLE_ENTRIES, TICK};

/// Room for names, findings and headers beside the payloads a guest returns, in bytes.
const OUTPUT_ALLOWANCE: u64 = 1 << 20;

/// Core instances, memories and tables inside one component; a Python component has more than twenty.
const CORE_OBJECTS: usize = 200;

/// What a plugin may use: the values of its sidecar, or the defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest time of one call.
    pub deadline: Duration,
    /// Bytes of memory of one instance; four times the payload where that is more.
    pub memory: u64,
    /// Bytes of all payloads that one call returns.
    pub output: u64,
    /// Bytes of log text of one instance.
    pub log: u64,
    /// Whether a call that lasts leaves the processor to others, as in shadow. It may run for as long.
    pub yields: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(5), memory: 64 << 20, output: 64 << 20, log: 16 << 10, yields: false }
    }
}

impl Limits {
    /// The memory limit for a message with a payload of `payload` bytes.
    #[must_use]
    pub fn memory_for(&self, payload: usize) -> u64 {
        self.memory.max((payload as u64).saturating_mul(4))
    }

    /// The deadline in ticks, rounded up, and one more because the first tick may come at once.
    pub(crate) fn ticks(&self) -> u64 {
        let ticks = self.deadline.as_millis().div_ceil(TICK.as_millis());
        u64::try_from(ticks).unwrap_or(u64::MAX / 2).saturating_add(1)
    }

    /// Bytes that may be copied out of the guest in one call.
    pub(crate) fn hostcall_fuel(&self) -> usize {
        usize::try_from(self.output.saturating_add(OUTPUT_ALLOWANCE)).unwrap_or(usize::MAX)
    }
}

/// A guest tried to grow past its limit; the call ends with this error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GrowthRefused {
    /// All memories in total.
    #[error("memory limit of {limit} bytes reached: {wanted} bytes requested")]
    Memory { limit: u64, wanted: u64 },
    /// All tables in total.
    #[error("limit of {TABLE_ENTRIES} table entries reached")]
    Tables,
}

/// Counts what one instance holds.
#[derive(Debug)]
pub(crate) struct Meter {
    limit: u64,
    memory: u64,
    entries: usize,
}

impl Meter {
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, memory: 0, entries: 0 }
    }

    /// Checks that this many bytes fit into its memory limit, before they are made for it.
    pub(crate) fn would_hold(&self, bytes: u64) -> Result<(), GrowthRefused> {
        if bytes <= self.limit { Ok(()) } else { Err(GrowthRefused::Memory { limit: self.limit, wanted: bytes }) }
    }

    /// Bytes of all memories; they never shrink.
    pub(crate) fn memory(&self) -> u64 {
        self.memory
    }
}

impl wasmtime::ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let wanted = self.memory.saturating_add(desired.saturating_sub(current) as u64);
        if wanted > self.limit {
            return Err(GrowthRefused::Memory { limit: self.limit, wanted }.into());
        }
        self.memory = wanted;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let wanted = self.entries.saturating_add(desired.saturating_sub(current));
        if wanted > TABLE_ENTRIES {
            return Err(GrowthRefused::Tables.into());
        }
        self.entries = wanted;
        Ok(true)
    }

    fn instances(&self) -> usize {
        CORE_OBJECTS
    }

    fn tables(&self) -> usize {
        CORE_OBJECTS
    }

    fn memories(&self) -> usize {
        CORE_OBJECTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::ResourceLimiter as _;

    #[test]
    fn sums_all_memories_of_an_instance() {
        let mut meter = Meter::new(100);
        assert!(meter.memory_growing(0, 60, None).unwrap());
        let error = meter.memory_growing(0, 60, None).unwrap_err();
        assert_eq!(error.downcast_ref::<GrowthRefused>(), Some(&GrowthRefused::Memory { limit: 100, wanted: 120 }));
        assert!(meter.memory_growing(60, 100, None).unwrap());
    }

    #[test]
    fn sums_all_tables_of_an_instance() {
        let mut meter = Meter::new(100);
        assert!(meter.table_growing(0, TABLE_ENTRIES, None).unwrap());
        assert!(meter.table_growing(0, 1, None).is_err());
    }

    #[test]
    fn a_large_payload_raises_the_memory_limit() {
        let limits = Limits { memory: 64 << 20, ..Limits::default() };
        assert_eq!(limits.memory_for(1), 64 << 20);
        assert_eq!(limits.memory_for(32 << 20), 128 << 20);
    }

    #[test]
    fn a_deadline_is_never_rounded_to_nothing() {
        assert_eq!(Limits { deadline: Duration::from_millis(1), ..Limits::default() }.ticks(), 2);
        assert_eq!(Limits { deadline: Duration::from_secs(1), ..Limits::default() }.ticks(), 101);
    }
}
