//! A sender with very many messages waiting: how long until its first SEND, and how much memory it takes.
//!
//! The broker is the embedded one, over plain TCP, in this process, which has nothing else to do then; it takes everything
//! and is asked how much it has. Messages of 30 kB in a `dirq` queue, signed only.

use std::time::{Duration, Instant};

use ::testkit::broker::Broker;

use crate::crypto::text;
use crate::harness::Folder;
use crate::installation::{Installation, until};
use crate::peers::openssl::pki;
use crate::report::{Goal, Report, median};
use crate::{queues, setting};

const SIZE: usize = 30_000;
/// How long the sender is left at work while its memory is watched.
const WATCHED: Duration = Duration::from_secs(20);
/// Or until the broker, which keeps all of them in memory, has so many.
const ENOUGH: usize = 30_000;
const STARTS: usize = 3;
const DESTINATION: &str = "/queue/figures";

/// Measures and prints.
pub(crate) fn measure(report: &mut Report) {
    let waiting = setting("SESAME_FIGURES_BACKLOG", 100_000);
    report.note(&format!("{waiting} messages of 30 kB in outgoing; median of {STARTS} starts"));
    let folder = Folder::new("figures-backlog");
    let queue = folder.join("outgoing");
    std::fs::create_dir(&queue).unwrap();
    let body = text(SIZE);
    (0..waiting).for_each(|_| drop(queues::add(&queue, &body)));
    rustix::fs::sync();
    let channel =
        format!("[send.cpu]\nbroker = \"own\"\nqueue = {queue:?}\ndestination = \"{DESTINATION}\"\nmin-free = 0\n");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut firsts = Vec::new();
    let mut peak = 0;
    let mut sent = 0;
    for start in 0..STARTS {
        let broker = runtime.block_on(Broker::start(None)).unwrap();
        let link = format!("[broker.own]\nhosts = [\"localhost:{}\"]\ntls = false\n", broker.address().port());
        let host = pki().host("sender.example.org");
        let site = Installation::new(&folder.join("sender"), &host, &format!("{link}{channel}"));
        let sender = site.start(&["send"]);
        until("the first SEND", Duration::from_secs(120), || broker.depth(DESTINATION) > 0);
        firsts.push(sender.since.elapsed().as_secs_f64());
        // All but the last are ended at once: they have sent next to nothing.
        if start + 1 == STARTS {
            let watched = Instant::now();
            while watched.elapsed() < WATCHED && !sender.has_ended() && broker.depth(DESTINATION) < ENOUGH {
                std::thread::sleep(Duration::from_millis(100));
                peak = sender.resident_peak().max(peak);
            }
            sent = broker.depth(DESTINATION);
        }
        drop(sender);
    }
    report.goal("start to first SEND", median(firsts), "s", Goal::AtMost(2.0));
    report.figure("sent while its memory was watched", sent as f64, "messages");
    report.goal("peak resident memory of the sender", peak as f64 / 1e6, "MB", Goal::AtMost(100.0));
}
