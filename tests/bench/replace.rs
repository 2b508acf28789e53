//! A plugin replaced while 500 messages a second arrive: how long each message takes from the broker into the journal, in quiet
//! times and while a replacement is found, compiled and put into service.
//!
//! The broker is the embedded one, in this process; it is given a signed message of 1 kB every two milliseconds, each under an
//! id of its own. The receiver is a process of its own with the validator `sites` of the tests; every replacement is a component
//! that was never compiled before. The delay is the difference of two readings of the machine's clock: when the broker got the message, and
//! the moment of commit in the journal. What a replacement adds is the largest delay around one less the median in quiet times;
//! the largest in quiet times is reported beside it, for what the machine does otherwise is in both.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ::stomp::frame::Headers;
use ::testkit::broker::Broker;

use crate::crypto::text;
use crate::harness::Folder;
use crate::installation::{Installation, until};
use crate::peers::guests::component;
use crate::peers::openssl::{pki, sign};
use crate::report::{Goal, Report};
use crate::setting;

const SIZE: usize = 1000;
/// Between two messages: 500 a second.
const INTERVAL: Duration = Duration::from_millis(2);
/// Quiet time before each replacement.
const QUIET: Duration = Duration::from_secs(3);
/// After a replacement is in service, its consequences count for so long.
const AFTER: Duration = Duration::from_millis(500);
const LIMIT: Duration = Duration::from_secs(120);
const DESTINATION: &str = "/queue/figures";
const IN_SERVICE: &str = "pipeline in service";

/// Measures and prints.
pub(crate) fn measure(report: &mut Report) {
    let replacements = setting("SESAME_FIGURES_REPLACEMENTS", 10);
    report.note(&format!("a Rust validator replaced {replacements} times under 500 signed messages of 1 kB a second"));
    let folder = Folder::new("figures-replace");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let broker = runtime.block_on(Broker::start(None)).unwrap();
    let site = site(folder.path(), &broker);
    install(folder.path(), 0);
    let receiver = site.start(&["receive"]);
    let message = sign(&pki().host("sender.example.org"), &text(SIZE));
    let mut load = Load { broker: &broker, message, put: Vec::new(), next: Instant::now() };
    load.give(Duration::from_secs(1));
    until("the receiver to begin", LIMIT, || broker.depth(DESTINATION) == 0 && broker.in_flight(DESTINATION) == 0);
    let began = milliseconds();
    load.next = Instant::now();
    let log = folder.join("site/receive.log");
    let mut windows = Vec::new();
    for number in 1..=replacements {
        load.give(QUIET);
        let swaps = || std::fs::read_to_string(&log).unwrap().matches(IN_SERVICE).count();
        let (from, before) = (milliseconds(), swaps());
        install(folder.path(), number);
        load.give_until(|| swaps() > before);
        load.give(AFTER);
        windows.push((from, milliseconds()));
    }
    load.give(QUIET);
    until("everything to be taken", LIMIT, || broker.depth(DESTINATION) == 0 && broker.in_flight(DESTINATION) == 0);
    receiver.stop();
    tell(report, &load.put, &committed(folder.path()), began, &windows);
}

fn site(folder: &Path, broker: &Broker) -> Installation {
    let (sender, host) = (pki().host("sender.example.org"), pki().host("receiver.example.org"));
    let list = folder.join("dns");
    std::fs::write(&list, format!("{}\n", sender.subject)).unwrap();
    let sections = format!(
        "[broker.own]\nhosts = [\"localhost:{}\"]\ntls = false\n[receive.central]\nbroker = \"own\"\n\
         destination = \"{DESTINATION}\"\nauthorised = {list:?}\nspool = {:?}\nmin-free = 0\n",
        broker.address().port(),
        folder.join("spool"),
    );
    Installation::new(&folder.join("site"), &host, &sections)
}

/// Puts the validator in place by a rename; each number is another component.
fn install(folder: &Path, number: u32) {
    let plugins = folder.join("site/plugins.d");
    std::fs::write(plugins.join("sites.toml"), "[config]\nsites = [\"UKI-TEST\"]\n").unwrap();
    let custom = [0, 3, 1, b'x', number as u8];
    let bytes = [std::fs::read(component("sites")).unwrap(), custom.to_vec()].concat();
    std::fs::write(plugins.join(".new"), bytes).unwrap();
    std::fs::rename(plugins.join(".new"), plugins.join("sites.wasm")).unwrap();
}

/// Messages given to the broker, in step.
struct Load<'a> {
    broker: &'a Broker,
    message: Vec<u8>,
    /// When each was given, in milliseconds since 1970.
    put: Vec<f64>,
    next: Instant,
}

impl Load<'_> {
    fn give(&mut self, time: Duration) {
        let end = Instant::now() + time;
        self.give_until(|| Instant::now() >= end);
    }

    /// Asks `over` ten times a second.
    fn give_until(&mut self, mut over: impl FnMut() -> bool) {
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < LIMIT, "a replacement was not taken up");
            for _ in 0..50 {
                std::thread::sleep(self.next.saturating_duration_since(Instant::now()));
                self.next += INTERVAL;
                let headers = Headers::new().with("empa-id", format!("m-{}", self.put.len()));
                self.put.push(milliseconds());
                self.broker.put(DESTINATION, headers, self.message.clone());
            }
            if over() {
                return;
            }
        }
    }
}

/// When each message was committed, in milliseconds since 1970.
fn committed(folder: &Path) -> BTreeMap<usize, f64> {
    let journal = rusqlite::Connection::open(folder.join("spool/journal.sqlite")).unwrap();
    let mut statement = journal.prepare("SELECT id, committed FROM received").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))).unwrap();
    let number = |id: String| id.strip_prefix("m-").unwrap().parse().unwrap();
    rows.map(Result::unwrap).map(|(id, at)| (number(id), at as f64)).collect()
}

fn tell(report: &mut Report, put: &[f64], committed: &BTreeMap<usize, f64>, began: f64, windows: &[(f64, f64)]) {
    let (mut quiet, mut around) = (Vec::new(), Vec::new());
    for (number, at) in put.iter().enumerate().filter(|(_, at)| **at >= began) {
        let Some(stored) = committed.get(&number) else { continue };
        let replaced = windows.iter().any(|(from, to)| (from..=to).contains(&at));
        if replaced { &mut around } else { &mut quiet }.push((stored - at).max(0.0));
    }
    let lost = put.len() - committed.len();
    let took =
        windows.iter().map(|(from, to)| to - from - AFTER.as_secs_f64() * 1e3).sum::<f64>() / windows.len() as f64;
    let [quiet_half, quiet_most, quiet_all] = quantiles(quiet);
    let [half, most, all] = quantiles(around);
    report.figure("from rename to service, mean", took, "ms");
    report.figure("delay in quiet times, median", quiet_half, "ms");
    report.figure("delay in quiet times, 99.9 %", quiet_most, "ms");
    report.figure("delay in quiet times, largest", quiet_all, "ms");
    report.figure("delay around a replacement, median", half, "ms");
    report.figure("delay around a replacement, 99.9 %", most, "ms");
    report.figure("delay around a replacement, largest", all, "ms");
    report.goal("added by a replacement, at most", (all - quiet_half).max(0.0), "ms", Goal::AtMost(100.0));
    report.goal("messages lost", lost as f64, "", Goal::AtMost(0.0));
    assert_eq!(lost, 0, "messages lost");
}

/// Median, 99.9 % and maximum.
fn quantiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((values.len() - 1) as f64 * share) as usize];
    [at(0.5), at(0.999), at(1.0)]
}

fn milliseconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() * 1e3
}
