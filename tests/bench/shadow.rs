//! What a plugin in shadow costs its channel: messages a second of a receiver with the validator `sites` of the tests, without
//! and with a shadow of it that agrees, or fails in one of three ways at every message that it is called with.
//!
//! The broker is the embedded one, in this process. The receiver is a process of its own, a new one for each run. Messages are
//! signed, of 1 kB, each under an id of its own; they are all at the broker before the receiver begins, and the clock runs from
//! the first that is acknowledged to the last. The two runs of a pair follow each
//! other, in turn with the one first and the other; the loss is the median over the pairs, which are all printed. The spool
//! is in memory: both processors are busy then, so that a shadow takes the most that it can, and runs do not differ by what
//! a disk does.

use std::path::Path;
use std::time::{Duration, Instant};

use ::stomp::frame::Headers;
use ::testkit::broker::Broker;

use crate::crypto::text;
use crate::image::{FileSystem, Image};
use crate::installation::{Installation, Running, until};
use crate::peers::guests::component;
use crate::peers::openssl::{pki, sign};
use crate::report::{Goal, Report, median};
use crate::setting;

const SIZE: usize = 1000;
const LIMIT: Duration = Duration::from_secs(120);

/// Measures and prints.
pub(crate) fn measure(report: &mut Report) {
    let (pairs, count) = (setting("SESAME_FIGURES_PAIRS", 10), setting("SESAME_FIGURES_SHADOWED", 20_000));
    report.note(&format!(
        "{pairs} pairs of runs, {count} signed messages of 1 kB each, a receiver with a validator in Rust, spool in memory"
    ));
    let memory = Image::mounted(FileSystem::Memory { inodes: 1_000_000 }, 4096);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let broker = runtime.block_on(Broker::start(None)).unwrap();
    let message = sign(&pki().host("sender.example.org"), &text(SIZE));
    for (name, how) in
        [("agrees", "accept"), ("loops", "loop"), ("traps", "unreachable"), ("eats memory", "eat-memory")]
    {
        let mut rates = Vec::new();
        for number in 0..pairs {
            let run = |shadow: Option<&str>| {
                let kind = if shadow.is_some() { "with" } else { "without" };
                let destination = format!("/queue/{how}-{kind}-{number}");
                let site = memory.path().join(format!("{how}-{kind}-{number}"));
                let rate = rate(&broker, &destination, &site, &message, count, shadow);
                std::fs::remove_dir_all(&site).unwrap();
                rate
            };
            rates.push(if number % 2 == 0 {
                let without = run(None);
                (without, run(Some(how)))
            } else {
                let with = run(Some(how));
                (run(None), with)
            });
        }
        let of = |value: fn(&(f64, f64)) -> f64| median(rates.iter().map(value).collect());
        report.figure(&format!("without a shadow, beside one that {name}"), of(|pair| pair.0), "messages/s");
        report.figure(&format!("with a shadow that {name}"), of(|pair| pair.1), "messages/s");
        let mut losses: Vec<f64> = rates.iter().map(|(without, with)| (1.0 - with / without) * 100.0).collect();
        losses.sort_by(f64::total_cmp);
        let loss = median(losses.clone());
        let losses: Vec<String> = losses.iter().map(|loss| format!("{loss:.1}")).collect();
        report.note(&format!("losses of the pairs, in percent: {}", losses.join(" ")));
        report.goal(&format!("a shadow that {name} takes"), loss, "%", Goal::AtMost(5.0));
    }
}

/// Messages a second of one run.
fn rate(broker: &Broker, destination: &str, folder: &Path, message: &[u8], count: u32, shadow: Option<&str>) -> f64 {
    let site = site(folder, broker, destination);
    install(folder, "sites", "[config]\nsites = [\"UKI-TEST\"]\n", "sites");
    if let Some(how) = shadow {
        let sidecar = format!("mode = \"shadow\"\ncompare-to = \"sites\"\n[config]\nvalidate = \"{how}\"\n");
        install(folder, "sites-new", &sidecar, "behaviour");
    }
    let put = |name: String| {
        broker.put(destination, Headers::new().with("empa-id", name), message.to_vec());
    };
    // The first start compiles, and the plugins of both kinds are in the cache for the run that counts.
    let first = site.start(&["receive"]);
    put(format!("{destination}-first").replace('/', "-"));
    until("the first message to be taken", LIMIT, || empty(broker, destination));
    until("the shadow to be compiled", LIMIT, || shadow.is_none() || called(&first));
    first.stop();
    (0..count).for_each(|number| put(format!("m-{number}")));
    let receiver = site.start(&["receive"]);
    until("the receiver to begin", LIMIT, || {
        broker.depth(destination) + broker.in_flight(destination) < count as usize
    });
    let began = Instant::now();
    let left = broker.depth(destination) + broker.in_flight(destination);
    while !empty(broker, destination) {
        assert!(began.elapsed() < LIMIT, "the messages were not taken");
        std::thread::sleep(Duration::from_millis(1));
    }
    let rate = left as f64 / began.elapsed().as_secs_f64();
    receiver.stop();
    rate
}

fn empty(broker: &Broker, destination: &str) -> bool {
    broker.depth(destination) == 0 && broker.in_flight(destination) == 0
}

/// Whether the log says that both plugins are in service.
fn called(receiver: &Running) -> bool {
    receiver.log().matches("plugin in service").count() >= 2
}

fn site(folder: &Path, broker: &Broker, destination: &str) -> Installation {
    Installation::receiving(folder, &format!("localhost:{}", broker.address().port()), destination, ("", ""))
}

fn install(folder: &Path, name: &str, sidecar: &str, guest: &str) {
    let plugins = folder.join("site/plugins.d");
    std::fs::write(plugins.join(format!("{name}.toml")), sidecar).unwrap();
    std::fs::copy(component(guest), plugins.join(format!("{name}.wasm"))).unwrap();
}
