//! Memory for deliveries, counted in bytes and shared by every session of the process.
//!
//! A session reserves memory before it reads a body; the delivery carries the [`Reservation`], and dropping it frees
//! the memory. A session that cannot reserve memory stops reading, so that the broker stops sending.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes per permit of the semaphore, which counts permits in 32 bits.
const UNIT: usize = 1024;

/// The memory that all deliveries together may use. Clones share it.
#[derive(Clone, Debug)]
pub struct MemoryBudget {
    units: Arc<Semaphore>,
    total: u32,
}

/// A part of the budget; dropping it frees the memory.
#[derive(Debug)]
pub struct Reservation {
    permit: OwnedSemaphorePermit,
}

impl MemoryBudget {
    /// A budget of `bytes`, rounded up to whole kilobytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let total = units(bytes).min(u32::MAX >> 3);
        Self { units: Arc::new(Semaphore::new(total as usize)), total }
    }

    /// How many bytes are free now.
    #[must_use]
    pub fn available(&self) -> usize {
        self.units.available_permits() * UNIT
    }

    /// The whole budget, in bytes.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total as usize * UNIT
    }

    /// Waits until `bytes` are free and reserves them. A request above the whole budget gets the whole budget, so that
    /// a message too large for it is still received, alone.
    pub async fn reserve(self, bytes: usize) -> Option<Reservation> {
        let wanted = units(bytes).min(self.total);
        self.units.acquire_many_owned(wanted).await.ok().map(|permit| Reservation { permit })
    }

    /// Reserves `bytes` if they are free.
    #[must_use]
    pub fn try_reserve(&self, bytes: usize) -> Option<Reservation> {
        let wanted = units(bytes).min(self.total);
        Arc::clone(&self.units).try_acquire_many_owned(wanted).ok().map(|permit| Reservation { permit })
    }
}

impl Default for MemoryBudget {
    /// 128 MiB.
    fn default() -> Self {
        Self::new(128 * 1024 * 1024)
    }
}

impl Reservation {
    /// Its size in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.permit.num_permits() * UNIT
    }

    /// Takes a part of `bytes` out of it; `None` if it has fewer.
    pub fn split(&mut self, bytes: usize) -> Option<Self> {
        self.permit.split(units(bytes) as usize).map(|permit| Self { permit })
    }

    /// Frees what exceeds `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        let excess = self.permit.num_permits().saturating_sub(units(bytes) as usize);
        drop(self.permit.split(excess));
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dropped_reservation_is_free_again() {
        let budget = MemoryBudget::new(4096);
        let first = budget.try_reserve(3000).unwrap();
        assert_eq!((first.bytes(), budget.available()), (3072, 1024));
        assert!(budget.try_reserve(2000).is_none());
        drop(first);
        assert_eq!(budget.clone().reserve(2000).await.unwrap().bytes(), 2048);
    }

    #[tokio::test]
    async fn a_request_above_the_budget_gets_the_whole_budget() {
        let budget = MemoryBudget::new(4096);
        let mut all = budget.clone().reserve(1 << 40).await.unwrap();
        assert_eq!((all.bytes(), budget.available()), (4096, 0));
        all.shrink_to(100);
        assert_eq!((all.bytes(), budget.available()), (1024, 3072));
    }

    #[test]
    fn parts_of_a_reservation_are_freed_one_by_one() {
        let budget = MemoryBudget::new(4096);
        let mut all = budget.try_reserve(4096).unwrap();
        let part = all.split(2000).unwrap();
        assert!(all.split(3000).is_none());
        drop(all);
        assert_eq!((part.bytes(), budget.available()), (2048, 2048));
        drop(part);
        assert_eq!(budget.available(), 4096);
    }
}
