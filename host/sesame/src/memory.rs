//! The heap of the process.

use std::hint::black_box;

/// The block that is freed, in bytes. The C library keeps twice as much at the end of a heap from then on.
const BLOCK: usize = 4 << 20;

/// Lets the process keep the memory of one message for the next.
///
/// The GNU C library gives the end of its heap back to the system whenever 128 KiB of it are free, which the end of each
/// message of 30 kB brings about, and fetches it again, page by page, for the next: a tenth of the CPU that opening one
/// takes. The first large block that is freed raises that bound to twice its size, see `M_MMAP_THRESHOLD` in mallopt(3).
/// A daemon that has compiled a plugin has raised it already. With another C library this does nothing.
pub fn keep_heap() {
    drop(black_box(Vec::<u8>::with_capacity(black_box(BLOCK))));
}
