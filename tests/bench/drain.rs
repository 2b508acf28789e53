//! Very many messages from end to end: a sender empties its queue into the broker, and then a receiver takes them all from there
//! while a consumer takes what it stored, and holds each against what was queued.
//!
//! The broker is the embedded one, over plain TCP, in this process, as the consumer is. Messages of 1 kB, signed only; queues
//! and journals are on the disk.

use std::path::Path;
use std::time::{Duration, Instant};

use ::testkit::broker::Broker;

use crate::crypto::text;
use crate::harness::Folder;
use crate::installation::{Installation, Running, until};
use crate::peers::openssl::pki;
use crate::report::{Goal, Report};
use crate::{queues, setting};

const SIZE: usize = 1_000;
/// How long a sender watches a file that may still be being written.
const SETTLED: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(1_800);
const DESTINATION: &str = "/queue/figures";

/// When a tenth of the messages had passed, when nine tenths, and when all.
#[derive(Debug)]
struct Course {
    total: usize,
    began: Instant,
    first: Option<Duration>,
    ninth: Option<Duration>,
    all: Duration,
    /// The most memory of the process, in bytes.
    peak: u64,
}

impl Course {
    fn new(total: usize) -> Self {
        Self { total, began: Instant::now(), first: None, ninth: None, all: Duration::ZERO, peak: 0 }
    }

    /// Notes that so many have passed; whether that is all.
    fn passed(&mut self, count: usize, process: &Running) -> bool {
        let now = self.began.elapsed();
        assert!(now < LIMIT, "{count} of {} messages in {} s", self.total, LIMIT.as_secs());
        for (tenths, mark) in [(1, &mut self.first), (9, &mut self.ninth)] {
            if count * 10 >= self.total * tenths {
                mark.get_or_insert(now);
            }
        }
        self.all = now;
        self.peak = process.resident_peak().max(self.peak);
        count >= self.total
    }

    fn report(&self, report: &mut Report, side: &str, (rate, memory): (f64, f64)) {
        let seconds = |time: Duration| time.as_secs_f64();
        let total = self.total as f64;
        report.goal(&format!("{side}, all of them"), total / seconds(self.all), "messages/s", Goal::AtLeast(rate));
        let (first, ninth) = (self.first.unwrap_or_default(), self.ninth.unwrap_or_default());
        let rates = [first, self.all.saturating_sub(ninth)].map(|time| total / 10.0 / seconds(time));
        report.figure(&format!("{side}, the first tenth"), rates[0], "messages/s");
        report.figure(&format!("{side}, the last tenth"), rates[1], "messages/s");
        report.goal(&format!("{side}, peak resident memory"), self.peak as f64 / 1e6, "MB", Goal::AtMost(memory));
    }
}

/// Measures and prints.
pub(crate) fn measure(report: &mut Report) {
    let count = setting("SESAME_FIGURES_DRAINED", 1_000_000);
    report.note(&format!("{count} messages of 1 kB from a queue to the broker, and from there to a consumer"));
    let folder = Folder::new("figures-drain");
    let queue = folder.join("outgoing");
    std::fs::create_dir(&queue).unwrap();
    (0..count).for_each(|number| drop(queues::add(&queue, &body(number))));
    rustix::fs::sync();
    std::thread::sleep(SETTLED);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let broker = runtime.block_on(Broker::start(None)).unwrap();
    let sent = send(folder.path(), &queue, &broker, count as usize);
    sent.report(report, "sent", (1_500.0, 64.0));
    let received = receive(folder.path(), &broker, count);
    received.report(report, "received", (3_000.0, 100.0));
}

fn body(number: u32) -> Vec<u8> {
    let mut body = format!("Number: {number}\n").into_bytes();
    body.extend(text(SIZE - body.len()));
    body
}

fn number(body: &[u8]) -> Option<u32> {
    let line = body.strip_prefix(b"Number: ")?.split(|byte| *byte == b'\n').next()?;
    std::str::from_utf8(line).ok()?.parse().ok()
}

fn send(folder: &Path, queue: &Path, broker: &Broker, count: usize) -> Course {
    let sections = format!(
        "[broker.own]\nhosts = [\"localhost:{}\"]\ntls = false\n[send.cpu]\nbroker = \"own\"\nqueue = {queue:?}\n\
         destination = \"{DESTINATION}\"\nmin-free = 0\n",
        broker.address().port()
    );
    let site = Installation::new(&folder.join("sender"), &pki().host("sender.example.org"), &sections);
    let mut sender = site.start(&["send", "--watch"]);
    let mut course = Course::new(count);
    while !course.passed(broker.depth(DESTINATION), &sender) {
        sender.must_run();
        std::thread::sleep(Duration::from_millis(20));
    }
    until("the queue to be empty", LIMIT, || queues::outgoing(queue).is_empty());
    sender.stop();
    course
}

/// Each message must come once.
fn receive(folder: &Path, broker: &Broker, count: u32) -> Course {
    let address = format!("localhost:{}", broker.address().port());
    let site = Installation::receiving(&folder.join("receiver"), &address, DESTINATION, ("", ""));
    let incoming = folder.join("receiver/spool/incoming");
    let mut seen = vec![false; count as usize];
    let mut receiver = site.start(&["receive"]);
    let (mut course, mut taken) = (Course::new(seen.len()), 0);
    while !course.passed(taken, &receiver) {
        receiver.must_run();
        let elements = queues::elements(&incoming);
        if elements.is_empty() {
            std::thread::sleep(Duration::from_millis(20));
        }
        for element in elements {
            let found = element.bytes("body");
            let number = number(found).unwrap_or_else(|| panic!("{} is not of this run", element.name));
            assert!(found == body(number), "message {number} is torn");
            assert!(!std::mem::replace(&mut seen[number as usize], true), "message {number} came twice");
            std::fs::remove_dir_all(incoming.join(&element.name)).unwrap();
            taken += 1;
        }
    }
    assert_eq!(broker.depth(DESTINATION), 0, "the broker has something left");
    receiver.stop();
    course
}
