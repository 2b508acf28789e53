//! What metrics and the dashboard cost while 500 messages arrive each second: CPU of three receivers side by side. One shows
//! nothing; one is scraped each second, in OpenMetrics; one is scraped and has the dashboard open.
//!
//! The broker is the embedded one, in this process; all receivers get the same signed messages of 1 kB at the same
//! moments, each from a queue of its own, so that whatever else the machine does meets all. Each round has new processes,
//! and which of them is started first changes from round to round. The queues that are looked at for the metrics grow, as
//! where nothing takes the messages. For the dashboard this process asks for what the page asks for, as often.

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

/// What each receiver is for; its queue and its folder are named so.
const WAYS: [&str; 3] = ["off", "scraped", "dashboard"];

/// Measures and prints.
pub(crate) fn measure(report: &mut Report) {
    let rounds = setting("SESAME_FIGURES_REPEAT", 3);
    report.note(&format!(
        "three receivers side by side, 500 signed messages of 1 kB a second each, for {} s: one without metrics, one \
         scraped each second, one with the dashboard open as well; median of {rounds} rounds",
        MEASURED.as_secs()
    ));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let broker = runtime.block_on(Broker::start(None)).unwrap();
    let message = sign(&pki().host("sender.example.org"), &text(SIZE));
    let rounds: Vec<_> = (0..rounds).map(|number| round(&broker, &message, number)).collect();
    let of = |spent: &dyn Fn(&[f64; 3]) -> f64| median(rounds.iter().map(spent).collect());
    let off = of(&|spent| spent[0]);
    report.figure("CPU with metrics off, of one processor", off, "%");
    for (at, name) in [(1, "metrics"), (2, "metrics and dashboard")] {
        let more = of(&|spent| spent[at] - spent[0]);
        report.figure(&format!("CPU with {name}"), of(&|spent| spent[at]), "%");
        report.goal(&format!("more CPU by {name}, of one processor"), more, "%", Goal::AtMost(1.0));
        report.figure("the same, of the CPU with metrics off", more / off * 100.0, "%");
    }
}

/// Per cent of a processor that each receiver takes.
fn round(broker: &Broker, message: &[u8], number: u32) -> [f64; 3] {
    let folder = Folder::new("figures-metrics-cpu");
    let ports = [ports::free(), ports::free()];
    let queues = WAYS.map(|way| format!("/queue/figures.{way}.{number}"));
    let listen = |port| format!("[observe]\nlisten = \"127.0.0.1:{port}\"\n");
    let settings = [String::new(), listen(ports[0]), listen(ports[1])];
    let sites = [0, 1, 2].map(|at| site(&folder.join(WAYS[at]), broker, &queues[at], &settings[at]));
    let mut running = [0, 1, 2].map(|_| None);
    for turn in 0..sites.len() {
        let at = (turn + number as usize) % sites.len();
        running[at] = Some(sites[at].start(&["run"]));
    }
    let running = running.map(Option::unwrap);
    let over = AtomicBool::new(false);
    let (spent, looks) = std::thread::scope(|scope| {
        let looking = [
            scope.spawn(|| each_second(&over, |_| scrape(ports[0]))),
            scope.spawn(|| each_second(&over, |_| scrape(ports[1]))),
            scope.spawn(|| each_second(&over, |second| dashboard(ports[1], second))),
        ];
        let mut load = Load { broker, message, queues: &queues, given: 0, next: Instant::now() };
        load.give(WARM);
        let (before, began) = (running.each_ref().map(Running::cpu_in_all), Instant::now());
        load.give(MEASURED);
        let (after, took) = (running.each_ref().map(Running::cpu_in_all), began.elapsed().as_secs_f64());
        over.store(true, Ordering::Relaxed);
        let spent = [0, 1, 2].map(|at| (after[at] - before[at]) / took * 100.0);
        (spent, looking.map(|thread| thread.join().unwrap()))
    });
    assert!(looks.iter().all(|looks| *looks >= MEASURED.as_secs()), "answered each second: {looks:?}");
    for queue in &queues {
        until("everything to be taken", LIMIT, || broker.depth(queue) == 0 && broker.in_flight(queue) == 0);
    }
    running.into_iter().for_each(Running::stop);
    spent
}

fn site(folder: &Path, broker: &Broker, queue: &str, more: &str) -> Installation {
    Installation::receiving(folder, &format!("localhost:{}", broker.address().port()), queue, (more, ""))
}

/// Messages given to both queues, in step.
struct Load<'a> {
    broker: &'a Broker,
    message: &'a [u8],
    queues: &'a [String; 3],
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

/// How often `look` was answered; the first looks are repeated until the receiver listens.
fn each_second(over: &AtomicBool, look: impl Fn(u64) -> bool) -> u64 {
    let (mut answered, mut seconds, mut next) = (0, 0, Instant::now());
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        next += Duration::from_secs(1);
        answered += u64::from(look(seconds));
        seconds += 1;
    }
    answered
}

fn scrape(port: u16) -> bool {
    let page = get(port, "/metrics", "application/openmetrics-text;version=1.0.0");
    page.is_some_and(|page| page.contains("sesame_build_info") && page.contains("# EOF"))
}

/// What a dashboard asks for in this second: all else with each tenth overview.
fn dashboard(port: u16, second: u64) -> bool {
    let more: &[&str] = if second.is_multiple_of(10) { &["/api/control", "/api/recent"] } else { &[] };
    let answered = |path: &str| get(port, path, "*/*").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"));
    answered("/api/overview") && more.iter().all(|path| answered(path))
}

fn get(port: u16, path: &str, accept: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nConnection: close\r\n\r\n").ok()?;
    let mut page = String::new();
    stream.read_to_string(&mut page).ok()?;
    Some(page)
}
