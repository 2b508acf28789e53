//! How long a start takes with a backlog: to the first SEND with messages waiting in the outgoing queue, to the first ACK with
//! messages waiting at the broker.

use std::time::{Duration, Instant};

use testkit::broker::Headers;

use crate::Plan;
use crate::checker::body;
use crate::harness::patience::within;
use crate::peers::openssl::{pki, sign};
use crate::scene::Scene;
use crate::table::Row;

const LIMIT: Duration = Duration::from_secs(1);

pub(crate) fn measure(plan: Plan) -> Vec<Row> {
    let (backlog, starts) = (plan.cases(10_000, 100_000), plan.cases(2, 10));
    let mut row = Row::new(format!("first SEND and first ACK within 1 s of a start, {backlog} waiting"));
    let mut scene = Scene::new("", "");
    let host = pki().host("sender.example.org");
    // Each has the content of its number; so that signing takes no hours, the first is signed and all of them are it, under
    // ids of their own.
    let signed = sign(&host, &body(0, 300));
    for number in 0..backlog {
        scene.broker.put(
            &scene.pair.destination,
            Headers::new().with("empa-id", format!("m-{number}")),
            signed.clone(),
        );
    }
    // What the process before said is still read by the broker.
    let before = |scene: &Scene| {
        let mut last = scene.broker.counters();
        loop {
            std::thread::sleep(Duration::from_millis(100));
            let now = scene.broker.counters();
            if std::mem::replace(&mut last, now) == now {
                break now;
            }
        }
    };
    let now = |scene: &Scene| scene.broker.counters();
    for number in 0..starts {
        let (acknowledged, begun) = (before(&scene).acknowledged, Instant::now());
        let receiver = scene.receive();
        let first =
            within(Duration::from_secs(60), || (now(&scene).acknowledged > acknowledged).then(|| begun.elapsed()));
        say(&mut row, "ACK", number, first);
        drop(receiver);
    }
    let _ = scene.fill(backlog, 300);
    for number in 0..starts {
        let (sends, begun) = (before(&scene).sends, Instant::now());
        let sender = scene.send();
        let first = within(Duration::from_secs(60), || (now(&scene).sends > sends).then(|| begun.elapsed()));
        say(&mut row, "SEND", number, first);
        drop(sender);
    }
    row.measured(2 * starts);
    vec![row]
}

fn say(row: &mut Row, what: &str, number: u32, first: Option<Duration>) {
    match first {
        Some(time) if time <= LIMIT => {
            row.figure(format!("start {number}: first {what} after {:.2} s", time.as_secs_f64()))
        }
        Some(time) => row.fault(format!("start {number}: first {what} after {:.2} s", time.as_secs_f64())),
        None => row.fault(format!("start {number}: no {what}")),
    }
}
