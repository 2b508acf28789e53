//! What metrics cost while 500 messages arrive each second: CPU of two receivers side by side, one of which shows metrics
//! and is scraped each second, in OpenMetrics.
//!
//! The broker is the embedded one, in this process; both receivers get the same signed messages of 1 kB at the same
//! moments, each from a queue of its own, so that whatever else the machine does meets both. Each round has new processes,
//! and which of them is started first changes from round to round. The queues that are looked at for the metrics grow, as
//! where nothing takes the messages.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ::stomp::frame::Headers;
use ::testkit::broker::Broker;

use crate::crypto::text;
use crate::harness::{Folder, ports};
use crate::installation::{Installation, Running, until};
use crate::peers::openssl::{pki, sign};
use crate::report::{Goal, Report, median};
use crate::setting;

const SIZE: usize = 1000;
/// Between two messages: 500 a second.
const INTERVAL: Duration = Duration::from_millis(2);
/// How long a round is measured.
const MEASURED: Duration = Duration::from_secs(30);
/// Before that, until plugins and caches are warm.
const WARM: Duration = Duration::from_secs(3);
const LIMIT: Duration = Duration::from_secs(60);

/// Measures and prints.
pub(crate) fn measure(report: &mut Report) {
    let rounds = setting("SESAME_FIGURES_REPEAT", 3);
    report.note(&format!(
        "two receivers side by side, 500 signed messages of 1 kB a second each, for {} s; one is scraped each second; \
         median of {rounds} rounds",
        MEASURED.as_secs()
    ));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let broker = runtime.block_on(Broker::start(None)).unwrap();
    let message = sign(&pki().host("sender.example.org"), &text(SIZE));
    let (mut off, mut on, mut more) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..rounds {
        let (without, with) = round(&broker, &message, number);
        off.push(without);
        on.push(with);
        more.push(with - without);
    }
    let (off, more) = (median(off), median(more));
    report.figure("CPU with metrics off, of one processor", off, "%");
    report.figure("CPU with metrics on and scraped", median(on), "%");
    report.goal("more CPU by metrics, of one processor", more, "%", Goal::AtMost(1.0));
    report.figure("the same, of the CPU with metrics off", more / off * 100.0, "%");
}

/// Per cent of a processor that a receiver takes without metrics, and with them.
fn round(broker: &Broker, message: &[u8], number: u32) -> (f64, f64) {
    let folder = Folder::new("figures-metrics-cpu");
    let port = ports::free();
    let queue = |name: &str| format!("/queue/figures.{name}.{number}");
    let queues = [queue("off"), queue("on")];
    let listen = format!("[observe]\nlisten = \"127.0.0.1:{port}\"\n");
    let sites =
        [site(&folder.join("off"), broker, &queues[0], ""), site(&folder.join("on"), broker, &queues[1], &listen)];
    let (off, on) = if number.is_multiple_of(2) {
        let off = sites[0].start(&["run"]);
        (off, sites[1].start(&["run"]))
    } else {
        let on = sites[1].start(&["run"]);
        (sites[0].start(&["run"]), on)
    };
    let over = AtomicBool::new(false);
    let (spent, scrapes) = std::thread::scope(|scope| {
        let scraping = scope.spawn(|| scrape_each_second(port, &over));
        let mut load = Load { broker, message, queues: &queues, given: 0, next: Instant::now() };
        load.give(WARM);
        let (before, began) = ([cpu(&off), cpu(&on)], Instant::now());
        load.give(MEASURED);
        let (after, took) = ([cpu(&off), cpu(&on)], began.elapsed().as_secs_f64());
        over.store(true, Ordering::Relaxed);
        let share = |at: usize| (after[at] - before[at]) / took * 100.0;
        ((share(0), share(1)), scraping.join().unwrap())
    });
    assert!(scrapes >= MEASURED.as_secs(), "{scrapes} scrapes");
    for queue in &queues {
        until("everything to be taken", LIMIT, || broker.depth(queue) == 0 && broker.in_flight(queue) == 0);
    }
    off.stop();
    on.stop();
    spent
}

fn cpu(process: &Running) -> f64 {
    let (own, kernel) = process.cpu();
    own + kernel
}

fn site(folder: &Path, broker: &Broker, queue: &str, more: &str) -> Installation {
    std::fs::create_dir_all(folder).unwrap();
    let (sender, host) = (pki().host("sender.example.org"), pki().host("receiver.example.org"));
    let list = folder.join("dns");
    std::fs::write(&list, format!("{}\n", sender.subject)).unwrap();
    let sections = format!(
        "{more}[broker.own]\nhosts = [\"localhost:{}\"]\ntls = false\n[receive.central]\nbroker = \"own\"\n\
         destination = \"{queue}\"\nauthorised = {list:?}\nspool = {:?}\nmin-free = 0\n",
        broker.address().port(),
        folder.join("spool"),
    );
    Installation::new(&folder.join("site"), &host, &sections)
}

/// Messages given to both queues, in step.
struct Load<'a> {
    broker: &'a Broker,
    message: &'a [u8],
    queues: &'a [String; 2],
    given: u64,
    next: Instant,
}

impl Load<'_> {
    fn give(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            std::thread::sleep(self.next.saturating_duration_since(Instant::now()));
            self.next += INTERVAL;
            for queue in self.queues {
                let headers = Headers::new().with("empa-id", format!("m-{}", self.given));
                self.broker.put(queue, headers, self.message.to_vec());
            }
            self.given += 1;
        }
    }
}

/// How many scrapes there were; the first ones are repeated until the receiver listens.
fn scrape_each_second(port: u16, over: &AtomicBool) -> u64 {
    let (mut scrapes, mut next) = (0, Instant::now());
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        next += Duration::from_secs(1);
        scrapes +=
            u64::from(scrape(port).is_some_and(|page| page.contains("sesame_build_info") && page.contains("# EOF")));
    }
    scrapes
}

fn scrape(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let accept = "application/openmetrics-text;version=1.0.0";
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nConnection: close\r\n\r\n").ok()?;
    let mut page = String::new();
    stream.read_to_string(&mut page).ok()?;
    Some(page)
}
