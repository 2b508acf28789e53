//! What an index that receivers share costs, and what a second receiver brings.
//!
//! The broker is the embedded one, in this process; PostgreSQL is Debian's, on this machine, with its data on the disk. The
//! messages are signed, of 1 kB, all at the broker before the receivers begin, and the clock runs from the first that is
//! acknowledged to the last. CPU is that of the receiver's process; what PostgreSQL takes is a figure of its own. The two runs
//! of a pair follow each other, in turn with the one first and the other.
//!
//! For two receivers the plugin is the work: it computes for some milliseconds a message, and each receiver has one thread
//! for plugins, as it has on a machine of its own with one processor.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ::stomp::frame::Headers;
use ::testkit::broker::Broker;

use crate::crypto::text;
use crate::image::{FileSystem, Image};
use crate::installation::{Installation, Running, until};
use crate::peers::guests::component;
use crate::peers::openssl::{pki, sign};
use crate::peers::postgres::Postgres;
use crate::queues;
use crate::report::{Goal, Report, median};
use crate::setting;

const SIZE: usize = 1000;
const LIMIT: Duration = Duration::from_secs(300);
/// What the plugin computes for each message, in milliseconds about.
const WORK: u32 = 5;

/// What one run took.
struct Run {
    /// Messages a second.
    rate: f64,
    /// Microseconds of CPU a message, of all receivers.
    cpu: f64,
    /// The same of PostgreSQL.
    database: f64,
}

/// Measures and prints.
pub(crate) fn measure(report: &mut Report) {
    let (pairs, count) = (setting("SESAME_FIGURES_PAIRS", 10), setting("SESAME_FIGURES_SHARED", 20_000));
    report.note(&format!("{pairs} pairs of runs, {count} signed messages of 1 kB each, spools in memory"));
    let memory = Image::mounted(FileSystem::Memory { inodes: 1_000_000 }, 4096);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let broker = runtime.block_on(Broker::start(None)).unwrap();
    let postgres = Postgres::own();
    let message = sign(&pki().host("sender.example.org"), &text(SIZE));
    let mut number = 0;
    let mut run = |receivers: usize, shared: bool, work: bool, count: u32| {
        number += 1;
        let folder = memory.path().join(number.to_string());
        let scene = Scene { broker: &broker, postgres: &postgres, folder: &folder, shared, work, number };
        let run = scene.run(receivers, &message, count);
        std::fs::remove_dir_all(&folder).unwrap();
        run
    };
    let mut in_turn = |number: u32, first: (usize, bool, bool), second: (usize, bool, bool), count: u32| {
        let mut of = |(receivers, shared, work)| run(receivers, shared, work, count);
        if number.is_multiple_of(2) {
            let one = of(first);
            (one, of(second))
        } else {
            let other = of(second);
            (of(first), other)
        }
    };
    let costs: Vec<_> = (0..pairs).map(|number| in_turn(number, (1, false, false), (1, true, false), count)).collect();
    let of = |value: &dyn Fn(&(Run, Run)) -> f64| median(costs.iter().map(value).collect());
    report.figure("one receiver, index of its own", of(&|pair| pair.0.rate), "messages/s");
    report.figure("one receiver, shared index", of(&|pair| pair.1.rate), "messages/s");
    report.figure("CPU a message, index of its own", of(&|pair| pair.0.cpu), "us");
    report.figure("CPU a message, shared index", of(&|pair| pair.1.cpu), "us");
    report.figure("CPU of PostgreSQL a message", of(&|pair| pair.1.database), "us");
    let more = of(&|pair| (pair.1.cpu / pair.0.cpu - 1.0) * 100.0);
    report.goal("more CPU a message with a shared index", more, "%", Goal::AtMost(10.0));
    let few = (count / 10).max(500);
    let twice: Vec<_> = (0..pairs).map(|number| in_turn(number, (1, true, true), (2, true, true), few)).collect();
    let of = |value: &dyn Fn(&(Run, Run)) -> f64| median(twice.iter().map(value).collect());
    report.figure("one receiver, plugin-bound", of(&|pair| pair.0.rate), "messages/s");
    report.figure("two receivers, plugin-bound", of(&|pair| pair.1.rate), "messages/s");
    report.goal("two receivers, times one", of(&|pair| pair.1.rate / pair.0.rate), "x", Goal::AtLeast(1.6));
}

/// Where a run takes place.
struct Scene<'a> {
    broker: &'a Broker,
    postgres: &'a Postgres,
    folder: &'a Path,
    shared: bool,
    work: bool,
    number: u32,
}

impl Scene<'_> {
    fn run(&self, receivers: usize, message: &[u8], count: u32) -> Run {
        let destination = format!("/queue/index-{}", self.number);
        let sites: Vec<Installation> = (0..receivers).map(|number| self.site(number, &destination)).collect();
        let put = |name: String| self.broker.put(&destination, Headers::new().with("empa-id", name), message.to_vec());
        // Plugins are compiled and connections made before the run that counts.
        let running: Vec<Running> = sites.iter().map(|site| site.start(&["receive"])).collect();
        until("the receivers to begin", LIMIT, || running.iter().all(|one| one.log().contains("subscribed")));
        (0..receivers * 4).for_each(|number| put(format!("{}-first-{number}", self.number)));
        until("the first messages to be taken", LIMIT, || self.left(&destination) == 0);
        running.into_iter().for_each(Running::stop);
        (0..count).for_each(|number| put(format!("{}-{number}", self.number)));
        let running: Vec<Running> = sites.iter().map(|site| site.start(&["receive"])).collect();
        until("the receivers to begin", LIMIT, || self.left(&destination) < count as usize);
        let (began, left) = (Instant::now(), self.left(&destination));
        let (cpu, database) = (cpu(&running), self.database_cpu());
        until("all messages to be taken", LIMIT, || self.left(&destination) == 0);
        let seconds = began.elapsed().as_secs_f64();
        let each = |spent: f64| spent / left as f64 * 1e6;
        let run = Run {
            rate: left as f64 / seconds,
            cpu: each(self::cpu(&running) - cpu),
            database: each(self.database_cpu() - database),
        };
        running.into_iter().for_each(Running::stop);
        let stored = |number| queues::count(&self.folder.join(format!("{number}/spool/incoming")));
        let stored: usize = (0..receivers).map(stored).sum();
        assert_eq!(stored, count as usize + receivers * 4, "messages lost or stored twice");
        run
    }

    fn left(&self, destination: &str) -> usize {
        self.broker.depth(destination) + self.broker.in_flight(destination)
    }

    /// Seconds of CPU of the server and its sessions so far.
    fn database_cpu(&self) -> f64 {
        if !self.shared {
            return 0.0;
        }
        let pids = Command::new("pgrep").args(["-f", "^postgres: |/bin/postgres -D"]).output().unwrap().stdout;
        let pids = String::from_utf8(pids).unwrap();
        let spent = |pid: u32| {
            let (own, kernel) = crate::clock::cpu_of(pid);
            own + kernel
        };
        pids.lines().filter_map(|pid| pid.parse().ok()).map(spent).sum()
    }

    fn site(&self, number: usize, destination: &str) -> Installation {
        let folder = self.folder.join(number.to_string());
        let index =
            if self.shared { self.postgres.section(&format!("r{}-{number}", self.number), "") } else { String::new() };
        let limits = if self.work { "[limits]\nworkers = 1\n" } else { "" };
        let broker = format!("localhost:{}", self.broker.address().port());
        let site = Installation::receiving(&folder, &broker, destination, (&format!("{limits}{index}"), ""));
        if self.work {
            let plugins = folder.join("site/plugins.d");
            let sidecar = format!("[config]\nvalidate = \"sleep\"\nsize = {WORK}\n");
            std::fs::write(plugins.join("work.toml"), sidecar).unwrap();
            std::fs::copy(component("behaviour"), plugins.join("work.wasm")).unwrap();
        }
        site
    }
}

/// Seconds of CPU of all of them so far.
fn cpu(running: &[Running]) -> f64 {
    running.iter().map(Running::cpu_in_all).sum()
}
