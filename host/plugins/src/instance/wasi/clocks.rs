//! Clocks and random numbers, derived from the message: the wall clock is fixed at its `received-at`, the monotonic clock
//! advances by [`STEP`] each time it is read and jumps to the end of whatever a guest waits for, and random numbers are hashes
//! of the message id and the component.

use std::num::NonZeroU64;

use sha2::{Digest as _, Sha256};
use wasmtime::component::Resource;

use super::bindings::wasi::clocks::{monotonic_clock, wall_clock};
use super::bindings::wasi::io::poll;
use super::bindings::wasi::random::{insecure, insecure_seed, random};
use crate::instance::state::HostState;

/// The step of the monotonic clock, nanoseconds: 1 ms.
const STEP: u64 = 1_000_000;

/// The start of the monotonic clock, nanoseconds: one day, because programs subtract from an instant.
const BEGIN: u64 = 86_400 * 1_000_000_000;

/// What a guest waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pollable {
    /// Always ready, such as a stream.
    Ready,
    /// An instant of monotonic time.
    At(u64),
}

/// The monotonic clock of one instance.
#[derive(Debug)]
pub(super) struct Monotonic(u64);

impl Default for Monotonic {
    fn default() -> Self {
        Self(BEGIN)
    }
}

impl Monotonic {
    fn read(&mut self) -> u64 {
        self.0 = self.0.saturating_add(STEP);
        self.0
    }

    fn is_due(&self, pollable: Pollable) -> bool {
        match pollable {
            Pollable::Ready => true,
            Pollable::At(instant) => instant <= self.0,
        }
    }

    /// Advances to the first of these instants, if none is due yet.
    fn wait(&mut self, pollables: &[Pollable]) {
        if pollables.iter().any(|pollable| self.is_due(*pollable)) {
            return;
        }
        let instants = pollables.iter().filter_map(|pollable| match pollable {
            Pollable::At(instant) => Some(*instant),
            Pollable::Ready => None,
        });
        self.0 = instants.min().unwrap_or(self.0).max(self.0);
    }
}

impl wall_clock::Host for HostState {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(super::instant(self.wasi.facts.received_at))
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(super::instant(1))
    }
}

impl monotonic_clock::Host for HostState {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.wasi.monotonic.read())
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(STEP)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<Pollable>> {
        self.wasi.push(Pollable::At(when))
    }

    fn subscribe_duration(&mut self, when: u64) -> wasmtime::Result<Resource<Pollable>> {
        let instant = self.wasi.monotonic.0.saturating_add(when);
        self.wasi.push(Pollable::At(instant))
    }
}

impl poll::HostPollable for HostState {
    fn ready(&mut self, pollable: Resource<Pollable>) -> wasmtime::Result<bool> {
        let pollable = *self.wasi.table.get(&pollable)?;
        // Otherwise a guest that polls in a loop would never see its timer end.
        self.wasi.monotonic.read();
        Ok(self.wasi.monotonic.is_due(pollable))
    }

    fn block(&mut self, pollable: Resource<Pollable>) -> wasmtime::Result<()> {
        let pollable = *self.wasi.table.get(&pollable)?;
        self.wasi.monotonic.wait(&[pollable]);
        Ok(())
    }

    fn drop(&mut self, pollable: Resource<Pollable>) -> wasmtime::Result<()> {
        self.wasi.table.delete(pollable)?;
        Ok(())
    }
}

impl poll::Host for HostState {
    fn poll(&mut self, pollables: Vec<Resource<Pollable>>) -> wasmtime::Result<Vec<u32>> {
        wasmtime::ensure!(!pollables.is_empty(), "polled an empty list, which never ends");
        let wanted: Vec<Pollable> =
            pollables.iter().map(|one| self.wasi.table.get(one).copied()).collect::<Result<_, _>>()?;
        self.wasi.monotonic.wait(&wanted);
        let due = wanted.iter().zip(0..).filter(|(pollable, _)| self.wasi.monotonic.is_due(**pollable));
        Ok(due.map(|(_, at)| at).collect())
    }
}

/// The three random interfaces, so that none repeats the numbers of another.
#[derive(Clone, Copy, Debug)]
enum Stream {
    Random = 1,
    Insecure = 2,
    Seed = 3,
}

/// The random numbers of one instance: SHA-256 over the facts, the interface and a counter.
#[derive(Debug, Default)]
pub(super) struct Random {
    /// Computed at first use.
    seed: Option<[u8; 32]>,
    blocks: u64,
}

impl Random {
    fn block(&mut self, stream: Stream, at: Option<NonZeroU64>, facts: &super::Facts) -> [u8; 32] {
        let seed = *self.seed.get_or_insert_with(|| facts.seed());
        let mut sha = Sha256::new_with_prefix(seed);
        sha.update([stream as u8]);
        sha.update(at.map_or(0, NonZeroU64::get).to_le_bytes());
        sha.finalize().into()
    }

    fn next(&mut self, stream: Stream, facts: &super::Facts) -> [u8; 32] {
        self.blocks = self.blocks.wrapping_add(1);
        self.block(stream, NonZeroU64::new(self.blocks), facts)
    }
}

/// Random bytes of one call: no deadline ends a call of the host.
const AT_ONCE: u64 = 16 << 20;

impl HostState {
    fn random_bytes(&mut self, stream: Stream, length: u64) -> wasmtime::Result<Vec<u8>> {
        self.meter.would_hold(length)?;
        wasmtime::ensure!(length <= AT_ONCE, "requested more than {AT_ONCE} random bytes in one call");
        let length = usize::try_from(length)?;
        let mut bytes = Vec::with_capacity(length.next_multiple_of(32));
        while bytes.len() < length {
            bytes.extend(self.wasi.random.next(stream, &self.wasi.facts));
        }
        bytes.truncate(length);
        Ok(bytes)
    }

    fn random_number(&mut self, stream: Stream) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.wasi.random.next(stream, &self.wasi.facts);
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

impl random::Host for HostState {
    fn get_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(Stream::Random, length)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.random_number(Stream::Random))
    }
}

impl insecure::Host for HostState {
    fn get_insecure_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(Stream::Insecure, length)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.random_number(Stream::Insecure))
    }
}

impl insecure_seed::Host for HostState {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] =
            self.wasi.random.block(Stream::Seed, None, &self.wasi.facts);
        Ok((u64::from_le_bytes([a, b, c, d, e, f, g, h]), u64::from_le_bytes([i, j, k, l, m, n, o, p])))
    }
}
