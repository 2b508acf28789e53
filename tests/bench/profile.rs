//! Where the CPU of a message goes, and its system calls: the sender alone and the receiver alone, as in `end_to_end`.
//!
//! Twice: under `perf`, which samples where the whole process is, the kernel included; and under `strace`, which counts
//! system calls and slows everything down, so that a batch has other messages than otherwise. The start of the process is
//! part of it, as in the CPU that `end_to_end` reports.

use std::path::Path;
use std::process::Command;

use crate::end_to_end::{Between, Sites};
use crate::image::{FileSystem, Image};
use crate::installation::Running;
use crate::peers::{Kind, broker};
use crate::report::Report;
use crate::setting;

/// How many items are shown.
const ITEMS: usize = 10;
/// System calls that a message makes less often than this are not shown.
const SELDOM: f64 = 0.02;
/// Plugins are compiled by these.
const FIRST: u32 = 20;

/// Measures and prints.
pub(crate) fn measure(report: &mut Report) {
    let count = setting("SESAME_FIGURES_MESSAGES", 2_000);
    report.note(&format!("{count} messages of 30 kB each way, RabbitMQ, TLS, signed and encrypted"));
    let image = Image::mounted(FileSystem::Ext4, 4096);
    let broker = broker::Broker::own(Kind::RabbitMq);
    let destination = "/queue/sesame.figures.profile";
    broker.declare(destination);
    let folder = image.path().join("profile");
    let sites = Sites::new(&Between::rabbitmq(&broker, destination), &folder, "");
    sites.compile(0..FIRST);
    let (sampled, counted) = (FIRST..FIRST + count, FIRST + count..FIRST + 2 * count);
    let file = |name: &str| folder.join(name).display().to_string();

    let (sender, receiver) = (file("sender.perf"), file("receiver.perf"));
    let perf = |output| ["perf", "record", "--quiet", "--event=cpu-clock", "--freq=4000", "--output", output];
    sites.fill(&sampled);
    sites.sender.start_under(&perf(&sender), &["send"]).finish();
    drain(&sites, sites.receiver.start_under(&perf(&receiver), &["receive"]), count);
    sites.account(&sampled);
    for (role, file) in [("sender", &sender), ("receiver", &receiver)] {
        for (symbol, percent) in items(file).into_iter().take(ITEMS) {
            report.figure(&format!("{role}: {symbol}"), percent, "%");
        }
    }

    let (sender, receiver) = (file("sender.strace"), file("receiver.strace"));
    let strace = |output| ["strace", "--follow-forks", "--summary-only", "--output", output];
    sites.fill(&counted);
    sites.sender.start_under(&strace(&sender), &["send"]).finish();
    drain(&sites, sites.receiver.start_under(&strace(&receiver), &["receive"]), count);
    sites.account(&counted);
    for (role, file) in [("sender", &sender), ("receiver", &receiver)] {
        let calls = calls(Path::new(file));
        let each = |calls: u64| calls as f64 / f64::from(count);
        report.figure(
            &format!("{role}: system calls of a message"),
            each(calls.iter().map(|(_, calls)| calls).sum()),
            "",
        );
        for (call, times) in calls.iter().filter(|(_, times)| each(*times) >= SELDOM) {
            report.figure(&format!("{role}: {call}"), each(*times), "");
        }
    }
    drop(broker);
}

fn drain(sites: &Sites, receiver: Running, count: u32) {
    sites.wait(receiver, count as usize);
}

/// The functions in which most samples were taken, with their share in percent.
fn items(file: &str) -> Vec<(String, f64)> {
    let report = Command::new("perf")
        .args([
            "report",
            "--stdio",
            "--quiet",
            "--no-children",
            "--sort=symbol",
            "--percent-limit=0.2",
            "--input",
            file,
        ])
        .output()
        .unwrap();
    assert!(report.status.success(), "perf report: {}", String::from_utf8_lossy(&report.stderr));
    let line = |line: &str| {
        let (percent, symbol) = line.trim().split_once('%')?;
        let symbol = symbol.trim().replace("[.] ", "").replace("[k] ", "kernel ");
        Some((symbol, percent.parse().ok()?))
    };
    String::from_utf8_lossy(&report.stdout).lines().filter_map(line).collect()
}

/// The system calls in a summary of `strace`, the most frequent first.
fn calls(summary: &Path) -> Vec<(String, u64)> {
    let text = std::fs::read_to_string(summary).unwrap();
    let line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (name, calls) = (fields.last()?, fields.get(3)?.parse().ok()?);
        (*name != "total").then(|| ((*name).to_owned(), calls))
    };
    let mut calls: Vec<(String, u64)> = text.lines().filter_map(line).collect();
    calls.sort_by_key(|(_, calls)| std::cmp::Reverse(*calls));
    calls
}
