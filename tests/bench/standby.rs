//! How long it takes until a standby goes on, with RabbitMQ's single active consumer and ActiveMQ's exclusive consumer: from
//! the `kill -9` of the active receiver to the first message in the queue of the other.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::crypto::text;
use crate::harness::Folder;
use crate::installation::{Installation, Running, until};
use crate::peers::broker::{BOTH, Broker};
use crate::peers::openssl::{pki, sign};
use crate::queues;
use crate::report::{Goal, Report, median};
use crate::setting;

const LIMIT: Duration = Duration::from_secs(60);

/// Measures and prints.
pub(crate) fn measure(report: &mut Report) {
    let repeat = setting("SESAME_FIGURES_REPEAT", 5);
    report.note(&format!("{repeat} active receivers killed on each broker, their standby subscribed before"));
    let message = String::from_utf8(sign(&pki().host("sender.example.org"), &text(1000))).unwrap();
    for kind in BOTH {
        let broker = Broker::own(kind);
        let times: Vec<f64> = (0..repeat).map(|number| fail_over(&broker, number, &message)).collect();
        report.figure(&format!("{kind:?}: a standby goes on, median"), median(times.clone()), "s");
        let slowest = times.into_iter().fold(0.0, f64::max);
        report.goal(&format!("{kind:?}: a standby goes on, slowest"), slowest, "s", Goal::AtMost(5.0));
    }
}

/// Seconds until the standby has stored a message.
fn fail_over(broker: &Broker, number: u32, message: &str) -> f64 {
    let folder = Folder::new("figures-standby");
    let destination = broker.declare_single_active(&format!("standby-{number}"));
    let [active, standby] = ["active", "standby"].map(|name| site(&folder.join(name), broker, &destination));
    let [first, second] = [&active, &standby].map(subscribed);
    let stored = |name: &str| queues::count(&folder.join(name).join("spool/incoming"));
    broker.put(&destination, "empa-id:before\n", message);
    until("the active receiver to store", LIMIT, || stored("active") == 1);
    // Killed.
    drop(first);
    let since = Instant::now();
    broker.put(&destination, "empa-id:after\n", message);
    until("the standby to store", LIMIT, || stored("standby") == 1);
    let seconds = since.elapsed().as_secs_f64();
    second.stop();
    seconds
}

fn subscribed(site: &Installation) -> Running {
    let running = site.start(&["receive"]);
    until("the receiver to subscribe", LIMIT, || running.log().contains("subscribed"));
    running
}

fn site(folder: &Path, broker: &Broker, destination: &str) -> Installation {
    Installation::receiving(folder, &broker.plain(), destination, ("", "exclusive = true\n"))
}
