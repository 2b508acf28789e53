//! Clocks: CPU of a thread and of a process, memory of a process, and the load of the machine.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What the kernel counts a process in, for a second: the same on every Linux that Rust runs on.
const TICKS: f64 = 100.0;

/// CPU that this thread has used, in seconds.
pub(crate) fn thread_cpu() -> f64 {
    seconds(ClockId::ThreadCPUTime)
}

/// CPU that this process has used, in seconds, all threads.
pub(crate) fn own_cpu() -> f64 {
    seconds(ClockId::ProcessCPUTime)
}

fn seconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    let whole = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(whole, u32::try_from(time.tv_nsec).unwrap_or_default()).as_secs_f64()
}

/// CPU that the process `id` has used itself, its children left out, in seconds: user and system.
pub(crate) fn cpu_of(id: u32) -> (f64, f64) {
    let Ok(text) = std::fs::read_to_string(format!("/proc/{id}/stat")) else { return (0.0, 0.0) };
    // The second field is the name in brackets, which may hold blanks.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
    (ticks(11) / TICKS, ticks(12) / TICKS)
}

/// The most memory that the process `id` has had resident, in bytes.
pub(crate) fn resident_peak(id: u32) -> u64 {
    status(id, "VmHWM:")
}

/// The memory that this process has resident, in bytes.
pub(crate) fn own_resident() -> u64 {
    status(std::process::id(), "VmRSS:")
}

/// A line of the process's status, in bytes.
fn status(id: u32, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|field| field.parse::<u64>().ok()).unwrap_or_default() << 10
}

/// The load of the machine: over one minute, five and fifteen.
pub(crate) fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}
