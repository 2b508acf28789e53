//! A sender with very many messages waiting: how long until its first SEND, how much memory it takes, and whether it sends
//! as fast as one that has the last few of them.
//!
//! The broker is the embedded one, over plain TCP, in this process, which has nothing else to do then; it takes everything
//! and is asked how much it has. Messages of 3 kB in a `dirq` queue, signed only.

use std::path::Path;
use std::time::{Duration, Instant};

use ::testkit::broker::Broker;

use crate::crypto::text;
use crate::harness::Folder;
use crate::installation::{Installation, until};
use crate::peers::openssl::pki;
use crate::report::{Goal, Report, median};
use crate::{queues, setting};

const SIZE: usize = 3_000;
/// Messages over which the rate is taken.
const RATED: usize = 20_000;
/// Messages that are left then: at the end of a queue a sender looks for more.
const SPARE: usize = 1_000;
const STARTS: usize = 3;
/// How long a sender watches a file that may still be being written.
const SETTLED: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(300);
const DESTINATION: &str = "/queue/figures";

/// One start of a sender.
struct Start {
    /// Seconds until its first SEND.
    first: f64,
    /// Messages a second over the first so many.
    rate: f64,
    /// The most memory it had resident, in bytes.
    peak: f64,
}

/// Measures and prints.
pub(crate) fn measure(report: &mut Report) {
    let waiting = setting("SESAME_FIGURES_BACKLOG", 1_000_000) as usize;
    report.note(&format!("{waiting} messages of 3 kB in outgoing; medians of {STARTS} starts"));
    let folder = Folder::new("figures-backlog");
    let queue = folder.join("outgoing");
    fill(&queue, waiting.max(2 * STARTS * RATED));
    let many: Vec<Start> = (0..STARTS).map(|_| start(&folder, &queue)).collect();
    let few: Vec<Start> = (0..STARTS)
        .map(|number| {
            let queue = folder.join(format!("last-{number}"));
            fill(&queue, RATED + SPARE);
            start(&folder, &queue)
        })
        .collect();
    let of = |starts: &[Start], value: fn(&Start) -> f64| median(starts.iter().map(value).collect());
    report.goal("start to first SEND", of(&many, |start| start.first), "s", Goal::AtMost(0.2));
    report.goal("peak resident memory of the sender", of(&many, |start| start.peak) / 1e6, "MB", Goal::AtMost(64.0));
    let rates = [&many, &few].map(|starts| of(starts, |start| start.rate));
    report.figure("the same with the last of them", of(&few, |start| start.first), "s");
    report.figure("sent while all were waiting", rates[0], "messages/s");
    report.figure("sent of the last", rates[1], "messages/s");
    let ratio = rates[0].min(rates[1]) / rates[0].max(rates[1]);
    report.goal("the slower of these to the faster", ratio, "x", Goal::AtLeast(0.95));
}

/// Starts a sender on this queue and ends it when it has sent so many.
fn start(folder: &Folder, queue: &Path) -> Start {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let broker = runtime.block_on(Broker::start(None)).unwrap();
    let sections = format!(
        "[broker.own]\nhosts = [\"localhost:{}\"]\ntls = false\n[send.cpu]\nbroker = \"own\"\nqueue = {queue:?}\n\
         destination = \"{DESTINATION}\"\nmin-free = 0\n",
        broker.address().port()
    );
    let site = Installation::new(&folder.join("sender"), &pki().host("sender.example.org"), &sections);
    let sender = site.start(&["send"]);
    until("the first SEND", LIMIT, || broker.depth(DESTINATION) > 0);
    let first = sender.since.elapsed().as_secs_f64();
    let (began, already) = (Instant::now(), broker.depth(DESTINATION));
    let mut peak = 0;
    until("the messages", LIMIT, || {
        peak = sender.resident_peak().max(peak);
        broker.depth(DESTINATION) >= RATED
    });
    let rate = (broker.depth(DESTINATION) - already) as f64 / began.elapsed().as_secs_f64();
    drop(sender);
    Start { first, rate, peak: peak as f64 }
}

/// Fills a queue, and waits until the disk has it.
fn fill(queue: &Path, count: usize) {
    std::fs::create_dir(queue).unwrap();
    let body = text(SIZE);
    (0..count).for_each(|_| drop(queues::add(queue, &body)));
    rustix::fs::sync();
    std::thread::sleep(SETTLED);
}
