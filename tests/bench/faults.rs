//! 1,000 messages through RabbitMQ to a receiver whose plugin traps on every tenth: exactly 100 are set aside, 900 delivered.
//!
//! Once with `on-error = "reject"`, once with `defer`, where each of the 100 has three attempts before it is rejected. And what
//! it costs every message that a crash of the process during the work on it would be remembered.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::spool::journal::Journal;
use ::spool::{CrashLimit, Turns};

use crate::end_to_end::{Between, Sites};
use crate::harness::Folder;
use crate::installation::until;
use crate::peers::Kind;
use crate::peers::broker::Broker;
use crate::peers::guests::component;
use crate::queues;
use crate::report::{Goal, Report};

const MESSAGES: usize = 1_000;
const LIMIT: Duration = Duration::from_secs(300);

/// Measures and prints.
pub(crate) fn measure(report: &mut Report) {
    report.note("1,000 messages through RabbitMQ to a receiver whose plugin traps on every tenth");
    let broker = Broker::own(Kind::RabbitMq);
    let folder = Folder::new("figures-faults");
    report.figure("to note a message in flight", in_flight(folder.path()) * 1e6, "us");
    for rule in ["reject", "defer"] {
        let (delivered, set_aside, seconds) = run(&broker, &folder.join(rule), rule);
        let (good, bad) = (MESSAGES - MESSAGES / 10, MESSAGES / 10);
        report.goal(&format!("on-error {rule}, delivered"), delivered as f64, "messages", Goal::Exactly(good as f64));
        report.goal(&format!("on-error {rule}, set aside"), set_aside as f64, "messages", Goal::Exactly(bad as f64));
        report.figure(&format!("on-error {rule}, until all are settled"), seconds, "s");
    }
}

/// Seconds to note the begin and the end of the work on one message.
fn in_flight(folder: &Path) -> f64 {
    const ROUNDS: u32 = 100_000;
    let journal = Arc::new(Journal::open(&folder.join("journal.sqlite")).unwrap());
    let crashes = CrashLimit::open(&folder.join("in-work"), journal, Turns::default()).unwrap();
    let started = Instant::now();
    for number in 0..ROUNDS {
        let mut digest = [0; 32];
        digest[..4].copy_from_slice(&number.to_le_bytes());
        drop(crashes.begin("central", &digest).unwrap());
    }
    started.elapsed().as_secs_f64() / f64::from(ROUNDS)
}

/// Delivered, in reject or deferred, and the seconds until then.
fn run(broker: &Broker, folder: &Path, rule: &str) -> (usize, usize, f64) {
    let destination = format!("/queue/sesame.faults.{rule}");
    broker.declare(&destination);
    let more = "attempts = 3\nback-off-min = \"100ms\"\ndeferred-order = \"none\"\n";
    let sites = Sites::new(&Between::rabbitmq(broker, &destination), folder, more);
    let plugins = folder.join("receiver/plugins.d");
    std::fs::copy(component("behaviour"), plugins.join("behaviour.wasm")).unwrap();
    let side_car = format!("on-error = \"{rule}\"\n[config]\nvalidate = \"unreachable\"\nwhen = \"every tenth\"\n");
    std::fs::write(plugins.join("behaviour.toml"), side_car).unwrap();
    for number in 0..MESSAGES {
        let what = if number % 10 == 9 { "every tenth" } else { "good" };
        queues::add(&sites.outgoing, format!("Message: {number}\n{what}\n").as_bytes());
    }
    sites.sender.start(&["send"]).finish();
    let started = Instant::now();
    let mut receiver = sites.receiver.start(&["receive"]);
    let spool = sites.incoming.parent().unwrap();
    let reject = || queues::count(&spool.join("reject"));
    until("everything to be settled", LIMIT, || {
        receiver.must_run();
        queues::count(&sites.incoming) + reject() >= MESSAGES
    });
    let seconds = started.elapsed().as_secs_f64();
    receiver.stop();
    (queues::count(&sites.incoming), reject() + queues::count(&spool.join("deferred")), seconds)
}
