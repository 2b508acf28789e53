//! Load: many senders and receivers on one queue of RabbitMQ, and messages of 100 MB.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::Plan;
use crate::checker::{Workload, body};
use crate::harness::Child;
use crate::harness::patience::within;
use crate::peers::broker::{Broker, Place};
use crate::peers::rabbitmq;
use crate::queues;
use crate::scene;
use crate::sesame::{Pair, Site, Way, own_destination};
use crate::table::Row;

/// All must be settled within this time.
const LIMIT: Duration = Duration::from_secs(300);
/// An element must be this old to be sent, since it is renamed into place.
const AGE: Duration = Duration::from_millis(50);

pub(crate) fn strike(plan: Plan) -> Vec<Row> {
    let broker = Broker::configured(configuration);
    vec![crowd(plan, &broker), large(plan, &broker)]
}

/// Many senders, each a process with its own certificate, and several receivers, each with its own spool.
fn crowd(plan: Plan, broker: &Broker) -> Row {
    const SIZE: usize = 2_000;
    let (senders, receivers, each) = (plan.cases(6, 50), plan.cases(2, 5), plan.cases(30, 200));
    let mut row = Row::new(format!("{senders} senders and {receivers} receivers on one queue"));
    let destination = own_destination();
    broker.declare(&destination);
    let sites: Vec<Site> = (0..senders)
        .map(|number| {
            let site = Site::of(&format!("sender-{number}.example.org")).on(broker, Way::Plain);
            site.sending("cpu", &destination, "")
        })
        .collect();
    let subjects: Vec<String> = sites.iter().map(|site| site.host.subject.clone()).collect();
    let subjects: Vec<&str> = subjects.iter().map(String::as_str).collect();
    let central: Vec<Site> = (0..receivers)
        .map(|_| {
            let site = Site::of("receiver.example.org").on(broker, Way::Plain);
            site.receiving("central", &destination, &subjects, "prefetch = 16\n")
        })
        .collect();
    for (site, first) in sites.iter().zip((0..).step_by(each as usize)) {
        for number in first..first + each {
            queues::add_after(&site.outgoing("cpu"), &body(number, SIZE), AGE);
        }
    }
    let begun = Instant::now();
    let mut programs: Vec<Child> = central.iter().map(|site| site.start(&["receive"])).collect();
    programs.extend(sites.iter().map(|site| site.start(&["send", "--watch"])));
    let workload = Workload::of(senders * each, SIZE);
    let incoming: Vec<_> = central.iter().map(|site| site.queue("central", "incoming")).collect();
    let stored = || incoming.iter().map(|queue| queues::count(queue)).sum::<usize>();
    let left = || sites.iter().any(|site| !queues::outgoing(&site.outgoing("cpu")).is_empty());
    let settled = || (stored() >= workload.len() && broker.waiting(&destination) == 0 && !left()).then_some(());
    match within(LIMIT, settled) {
        Some(()) => {
            let seconds = begun.elapsed().as_secs_f64();
            let share = incoming.iter().map(|queue| queues::count(queue)).min().unwrap_or_default();
            row.figure(format!(
                "{:.0} messages/s from the start on; the receiver with the fewest stored {share} of {}",
                workload.len() as f64 / seconds,
                workload.len(),
            ));
        }
        None => row.fault(format!("not settled after {} s: {} stored", LIMIT.as_secs(), stored())),
    }
    if let Some(ended) = programs.iter_mut().find_map(Child::ended) {
        row.fault(format!("a process ended: {ended:?}"));
    }
    drop(programs);
    let queues: Vec<&Path> = incoming.iter().map(|queue| queue.as_path()).collect();
    row.count_all(senders + receivers, &workload.account_among(&queues));
    row
}

/// Messages of 100 MB, by a RabbitMQ that takes so much.
fn large(plan: Plan, broker: &Broker) -> Row {
    const LARGE: usize = 100_000_000;
    let count = plan.cases(1, 10);
    let mut row = Row::new("messages of 100 MB");
    let site = |name: &str| {
        let site = Site::of(name).at(&[&broker.plain()], Way::Plain, "max-frame = \"300MiB\"\n");
        site.with_sections("[limits]\nmemory = \"1GiB\"\n")
    };
    let limit = "max-payload = \"112MiB\"\n";
    let receive = format!("{limit}prefetch = 1\n");
    let pair = Pair::of(site("sender.example.org"), site("receiver.example.org"), limit, &receive);
    broker.declare(&pair.destination);
    let workload = scene::fill(&pair, 0..count, LARGE);
    let begun = Instant::now();
    let (receiver, sender) = (pair.receiver.start(&["receive"]), pair.sender.start(&["send", "--watch"]));
    let refused = || !queues::elements(&pair.reject()).is_empty();
    let settled = || scene::is_settled(&pair, workload.len(), broker.waiting(&pair.destination));
    match within(LIMIT, || (settled() || refused()).then_some(())) {
        Some(()) => row.figure(format!(
            "{:.1} s each; most memory: sender {} MiB, receiver {} MiB",
            begun.elapsed().as_secs_f64() / f64::from(count),
            sender.peak_memory() >> 20,
            receiver.peak_memory() >> 20,
        )),
        None => row.fault(format!("not settled after {} s: {}", LIMIT.as_secs(), receiver.last_words())),
    }
    drop((sender, receiver));
    row.count_all(count, &scene::account(&pair, &workload));
    row
}

/// RabbitMQ as the other parts have it, with room for messages of 100 MB.
fn configuration(place: &Place) -> String {
    const LIMIT: &str = "max_message_size = 4194304";
    let usual = rabbitmq::configuration(place);
    assert!(usual.contains(LIMIT), "{usual}");
    usual.replace(LIMIT, "max_message_size = 134217728")
}
