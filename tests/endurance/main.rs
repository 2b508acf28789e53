//! Endurance: faults struck while messages are under way, and an account of every message afterwards.
//!
//! `tests/endurance/run` builds and runs this. Each part strikes, lets both sides recover and then counts, for what was queued,
//! LOST, TORN, DUPLICATED and UNEXPECTED (`checker`). One table ends the run: promise, cases, the four counts. The exit
//! status is 0 when all counts are zero and every fault struck that had to.
//!
//! | file | part |
//! |---|---|
//! | `points` | the process is killed at each named point of sender, receiver and recovery |
//! | `calls` | the process is killed at a system call, or the call fails, for each call of a short run |
//! | `order` | no ACK and no removal before what must be synced is synced, in the system calls |
//! | `kills` | sender and receiver are killed at random moments under load |
//! | `brokers` | broker, sender and receiver are killed in random order, with RabbitMQ and ActiveMQ |
//! | `shared` | receivers with a shared index, the sender, RabbitMQ and PostgreSQL are killed in random order |
//! | `power` | power cuts under both spools and the journal, on ext4 and XFS |
//! | `network` | the connection is cut after a number of bytes, stands still, loses one direction, or passes byte by byte; the broker vanishes |
//! | `resources` | a full disk, a slow disk, few file descriptors, a process that stands still, a clock that jumps |
//! | `load` | many senders and receivers on one queue, and messages of 100 MB |
//! | `soak` | a load for a long time, with a fault of a random kind at regular moments |
//! | `start` | time from a start to the first SEND and the first ACK, with a backlog |
//!
//! Words after the command choose parts. `--long` makes the run of a release; without it, a part has few cases, so that the
//! run fits into `.ci/run`. `SESAME_ENDURANCE_SEED` repeats what a run of that seed chose at random; `SESAME_ENDURANCE_CASE` is the
//! one case of `calls` that is wanted, such as `fsync:error=EIO:when=3`. `tests/endurance/mutants` shows that the parts find faults.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a fault that cannot be struck stops its part by panicking, and says why"
)]

#[path = "../acceptance/checker.rs"]
#[allow(dead_code, reason = "shared with the acceptance tests, which use all of it")]
mod checker;
#[path = "../acceptance/harness/mod.rs"]
#[allow(dead_code, reason = "shared with the acceptance tests, which use all of it")]
mod harness;
#[path = "../acceptance/peers/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with the acceptance tests, which use all of it")]
mod peers;
#[path = "../acceptance/queues.rs"]
#[allow(dead_code, reason = "shared with the acceptance tests, which use all of it")]
mod queues;
#[path = "../acceptance/sesame.rs"]
#[allow(dead_code, reason = "shared with the acceptance tests, which use all of it")]
mod sesame;

mod brokers;
mod calls;
mod image;
mod kills;
mod load;
mod network;
mod order;
mod points;
mod power;
mod resources;
mod scene;
mod shared;
mod soak;
mod start;
mod table;
mod vanish;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use table::{Row, Table};

/// How much a part does, and what it chooses at random.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    long: bool,
    seed: u64,
}

impl Plan {
    /// The number of cases: of a short run, or of a long one.
    pub(crate) fn cases(&self, short: u32, long: u32) -> u32 {
        if self.long { long } else { short }
    }

    pub(crate) fn random(&self) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.seed)
    }
}

/// A part by its name; it gives one row or several.
type Part = (&'static str, fn(Plan) -> Vec<Row>);

const PARTS: [Part; 12] = [
    ("points", points::strike),
    ("calls", calls::strike),
    ("order", order::strike),
    ("kills", kills::strike),
    ("brokers", brokers::strike),
    ("shared", shared::strike),
    ("power", power::strike),
    ("network", network::strike),
    ("resources", resources::strike),
    ("load", load::strike),
    ("soak", soak::strike),
    ("start", start::measure),
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let known = |word: &&String| word.as_str() != "--long" && PARTS.iter().all(|(name, _)| name != word);
    if let Some(unknown) = words.iter().find(known) {
        let names: Vec<&str> = PARTS.iter().map(|(name, _)| *name).collect();
        eprintln!("endurance: no part {unknown}; parts are {}, and --long makes them long", names.join(", "));
        return ExitCode::from(2);
    }
    let seed = std::env::var("SESAME_ENDURANCE_SEED").ok().and_then(|text| text.parse().ok());
    let plan =
        Plan { long: words.iter().any(|word| word == "--long"), seed: seed.unwrap_or_else(|| fastrand::u64(..)) };
    println!("endurance: SESAME_ENDURANCE_SEED={}, version {}", plan.seed, env!("CARGO_PKG_VERSION"));
    let chosen: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let mut table = Table::default();
    for (name, part) in PARTS.iter().filter(|(name, _)| chosen.is_empty() || chosen.iter().any(|word| word == name)) {
        let begun = std::time::Instant::now();
        match catch_unwind(AssertUnwindSafe(|| part(plan))) {
            Ok(rows) => rows.into_iter().for_each(|row| table.take(row)),
            Err(_) => table.take(Row::failed(name)),
        }
        println!("{name}: {} s; so far {}", begun.elapsed().as_secs(), table.summary());
    }
    print!("{table}");
    if table.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
