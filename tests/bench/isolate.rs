//! What opening in processes of their own costs a receiver: messages a second, and CPU a message with that of the processes.
//!
//! As in `shadow`: the broker is embedded, the receiver is a process of its own, a new one for each run; all messages are at
//! the broker before it begins; the two runs of a pair follow each other, in turn with the one first and the other; the spool
//! is in memory. Messages are of 1 kB, signed, or signed and encrypted.

use std::path::Path;
use std::time::{Duration, Instant};

use ::stomp::frame::Headers;
use ::testkit::broker::Broker;

use crate::clock::cpu_of;
use crate::crypto::text;
use crate::image::{FileSystem, Image};
use crate::installation::{Installation, until};
use crate::peers::openssl::{encrypt, pki, sign};
use crate::report::{Goal, Report, median};
use crate::setting;

const SIZE: usize = 1000;
const LIMIT: Duration = Duration::from_secs(120);

/// Messages a second, and CPU a message in microseconds.
type Run = (f64, f64);

/// Measures and prints.
pub(crate) fn measure(report: &mut Report) {
    let (pairs, count) = (setting("SESAME_FIGURES_PAIRS", 10), setting("SESAME_FIGURES_ISOLATED", 10_000));
    report.note(&format!("{pairs} pairs of runs, {count} messages of 1 kB each, no plugins, spool in memory"));
    let memory = Image::mounted(FileSystem::Memory { inodes: 1_000_000 }, 4096);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let broker = runtime.block_on(Broker::start(None)).unwrap();
    let signed = sign(&pki().host("sender.example.org"), &text(SIZE));
    let encrypted = encrypt(&pki().host("receiver.example.org"), &signed);
    for (name, message) in [("signed", &signed), ("encrypted", &encrypted)] {
        let mut runs: Vec<(Run, Run)> = Vec::new();
        for number in 0..pairs {
            let run = |isolate: bool| {
                let destination = format!("/queue/{name}-{isolate}-{number}");
                let site = memory.path().join(format!("{name}-{isolate}-{number}"));
                let figures = run(&broker, &destination, &site, message, count, isolate);
                std::fs::remove_dir_all(&site).unwrap();
                figures
            };
            runs.push(if number % 2 == 0 {
                let without = run(false);
                (without, run(true))
            } else {
                let with = run(true);
                (run(false), with)
            });
        }
        let of = |value: fn(&(Run, Run)) -> f64| median(runs.iter().map(value).collect());
        report.figure(&format!("{name}, opened in the daemon"), of(|pair| pair.0.0), "messages/s");
        report.figure(&format!("{name}, opened apart"), of(|pair| pair.1.0), "messages/s");
        report.figure(&format!("{name}, CPU a message in the daemon"), of(|pair| pair.0.1), "us");
        report.figure(&format!("{name}, CPU a message apart"), of(|pair| pair.1.1), "us");
        let mut losses: Vec<f64> = runs.iter().map(|(without, with)| (1.0 - with.0 / without.0) * 100.0).collect();
        losses.sort_by(f64::total_cmp);
        let loss = median(losses.clone());
        let losses: Vec<String> = losses.iter().map(|loss| format!("{loss:.1}")).collect();
        report.note(&format!("losses of the pairs, in percent: {}", losses.join(" ")));
        report.goal(&format!("opening {name} messages apart takes"), loss, "%", Goal::AtMost(5.0));
    }
}

fn run(broker: &Broker, destination: &str, folder: &Path, message: &[u8], count: u32, isolate: bool) -> Run {
    let address = format!("localhost:{}", broker.address().port());
    let isolate = format!("[process]\nisolate = {isolate}");
    let site = Installation::receiving(folder, &address, destination, (&isolate, ""));
    for number in 0..count {
        broker.put(destination, Headers::new().with("empa-id", format!("m-{number}")), message.to_vec());
    }
    let left = || broker.depth(destination) + broker.in_flight(destination);
    let receiver = site.start(&["receive"]);
    until("the receiver to begin", LIMIT, || left() < count as usize);
    let (began, first, before) = (Instant::now(), left(), cpu(receiver.id()));
    while left() > 0 {
        assert!(began.elapsed() < LIMIT, "the messages were not taken");
        std::thread::sleep(Duration::from_millis(1));
    }
    let (elapsed, used) = (began.elapsed().as_secs_f64(), cpu(receiver.id()) - before);
    receiver.stop();
    (first as f64 / elapsed, used / first as f64 * 1e6)
}

/// CPU of a process and its children, in seconds.
fn cpu(process: u32) -> f64 {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let children = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
    let children: Vec<u32> =
        children.flat_map(|text| text.split_whitespace().map(|id| id.parse().unwrap()).collect::<Vec<_>>()).collect();
    children.into_iter().chain([process]).map(cpu_of).map(|(user, system)| user + system).sum()
}
