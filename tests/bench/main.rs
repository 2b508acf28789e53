//! Figures: how fast the program is, measured on the machine at hand and compared with its goals.
//!
//! `tests/figures` builds and runs this; words after it choose parts by name (`tests/figures end_to_end`). Each line is a
//! name, a value with its unit, and where there is one the goal with `reached` or `not reached`, which is computed. Medians
//! of several runs are reported; CPU time is what the kernel counted for the thread or the process. Whatever else the machine
//! does disturbs the times of day, so the load stands at the head and the foot.
//!
//! | file | part |
//! |---|---|
//! | `crypto` | seal and open beside the bare private-key operation |
//! | `decryption` | whether the time of a failed decryption shows why it failed (`decryption_time`) |
//! | `commits` | the commit engine on a journaled file system |
//! | `end_to_end` | 2,000 messages through RabbitMQ |
//! | `pipeline` | the stock pipeline, and its share of a message's CPU; the stock validators and their sizes |
//! | `languages` | the sample plugins in each language, beside a plain embedding of wasmtime; the time to the first test |
//! | `lookups` | a lookup in a table of a million rows, from a plugin |
//! | `faults` | 1,000 messages through a plugin that traps on every tenth |
//! | `messenger` | the Python way through the same RabbitMQ |
//! | `backlog` | a sender with 1,000,000 messages waiting, and its rate with the last 20,000 |
//! | `drain` | 1,000,000 messages from a sender's queue to the broker, and on to a receiver and its consumer |
//! | `idle` | a daemon with 20 channels and nothing to do |
//! | `replace` | a plugin replaced under 500 messages a second |
//! | `shadow` | a receiver without and with plugins in shadow that agree, loop, trap and eat memory |
//! | `index` | a receiver with the index that receivers share, beside one with its own, and two of them beside one |
//! | `standby` | the time until a standby goes on when the active receiver is killed |
//! | `isolate` | a receiver without and with processes that open its messages, signed and encrypted |
//! | `demo` | `sesame demo` |
//! | `ams` | the same end to end through AMS, beside RabbitMQ and the Python way; memory over 100,000 messages |
//! | `acknowledgements` | CPU of signed acknowledgements, repair of losses, a million messages retained |
//! | `profile` | where the CPU of a message goes, and its system calls, by `perf` and `strace` |
//! | `metrics` | a scrape with 1,000 signers and 20 plugins |
//! | `metrics_cpu` | CPU of metrics that are scraped each second, and of the dashboard, at 500 messages a second |
//!
//! | variable | meaning |
//! |---|---|
//! | `SESAME_FIGURES_MESSAGES` | messages that go end to end (2000) |
//! | `SESAME_FIGURES_BACKLOG` | messages that wait (1000000) |
//! | `SESAME_FIGURES_DRAINED` | messages of `drain` (1000000) |
//! | `SESAME_FIGURES_IDLE` | seconds without anything to do (60) |
//! | `SESAME_FIGURES_REPEAT` | runs end to end, of which the median is reported (3) |
//! | `SESAME_FIGURES_VALIDATOR` | the component that is measured as validator (`builtin:job-records`) |
//! | `SESAME_FIGURES_TRIES` | failed decryptions of each kind (10000) |
//! | `SESAME_FIGURES_LONG` | messages through AMS while memory is watched (100000) |
//! | `SESAME_FIGURES_RETAINED` | messages retained in the journal (1000000) |
//! | `SESAME_FIGURES_PAIRS` | pairs of runs without and with a shadow, a shared index or isolation (10) |
//! | `SESAME_FIGURES_SHARED` | messages of a run with a shared index (20000) |
//! | `SESAME_FIGURES_ISOLATED` | messages of each run of `isolate` (10000) |
//! | `SESAME_FIGURES_SHADOWED` | messages of each of them (20000) |
//! | `SESAME_FIGURES_REPLACEMENTS` | replacements of a plugin (10) |
//!
//! This is no test: it fails only when something cannot be measured, and when a message is lost or comes twice.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "a measurement that cannot be made stops by panicking, and says why"
)]

#[allow(dead_code, reason = "shared with the acceptance tests, which use all of it")]
#[path = "../acceptance/harness/mod.rs"]
mod harness;
#[allow(dead_code, reason = "shared with tests/endurance, which uses all of it")]
#[path = "../endurance/image.rs"]
mod image;
#[allow(dead_code, unused_imports, reason = "shared with the acceptance tests, which use all of it")]
#[path = "../acceptance/peers/mod.rs"]
mod peers;
#[allow(dead_code, reason = "shared with the acceptance tests, which use all of it")]
#[path = "../acceptance/queues.rs"]
mod queues;

mod acknowledgements;
mod ams;
mod backlog;
mod clock;
mod commits;
mod crypto;
mod decryption;
mod demo;
mod drain;
mod end_to_end;
mod faults;
mod idle;
mod index;
mod installation;
mod isolate;
mod languages;
mod lookups;
mod messenger;
mod metrics;
mod metrics_cpu;
mod pipeline;
mod plain;
mod profile;
mod replace;
mod report;
mod shadow;
mod standby;
mod stock;

use report::Report;

/// A part: its name and what measures it.
type Part = (&'static str, fn(&mut Report));

/// In this order: the share of the pipeline is taken of what end to end measured.
const PARTS: [Part; 23] = [
    ("crypto", crypto::measure),
    ("decryption_time", decryption::measure),
    ("commits", commits::measure),
    ("end_to_end", end_to_end::measure),
    ("pipeline", pipeline::measure),
    ("languages", languages::measure),
    ("lookups", lookups::measure),
    ("faults", faults::measure),
    ("messenger", messenger::measure),
    ("backlog", backlog::measure),
    ("drain", drain::measure),
    ("idle", idle::measure),
    ("replace", replace::measure),
    ("shadow", shadow::measure),
    ("index", index::measure),
    ("standby", standby::measure),
    ("isolate", isolate::measure),
    ("demo", demo::measure),
    ("ams", ams::measure),
    ("acknowledgements", acknowledgements::measure),
    ("profile", profile::measure),
    ("metrics", metrics::measure),
    ("metrics_cpu", metrics_cpu::measure),
];

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let known = |word: &String| PARTS.iter().any(|(name, _)| name == word);
    if let Some(word) = wanted.iter().find(|word| !known(word)) {
        let names: Vec<&str> = PARTS.iter().map(|(name, _)| *name).collect();
        eprintln!("there is no part {word:?}; there are: {}", names.join(", "));
        std::process::exit(2);
    }
    // As the program does.
    ::sesame::memory::keep_heap();
    let mut report = Report::begin();
    for (name, measure) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            report.heading(name);
            measure(&mut report);
        }
    }
    report.end();
}

/// A number from the environment.
fn setting(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The binary under measurement: the one cargo built beside this, unless `SESAME_BIN` names another.
fn program() -> std::path::PathBuf {
    let built = option_env!("CARGO_BIN_EXE_sesame").map(std::path::PathBuf::from);
    std::env::var_os("SESAME_BIN").map(std::path::PathBuf::from).or(built).expect("a built sesame")
}
