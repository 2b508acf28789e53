//! Broker, sender and receiver are killed in random order, with RabbitMQ and ActiveMQ, while messages are under way.

use std::time::{Duration, Instant};

use crate::Plan;
use crate::checker::{Account, Workload};
use crate::harness::patience::within;
use crate::peers::Kind;
use crate::peers::broker::Broker;
use crate::sesame::{Pair, Way, encrypted_for, recipient};
use crate::table::Row;
use crate::{queues, scene};

/// Messages that are queued before each kill.
const MESSAGES: u32 = 40;
const SIZE: usize = 3_000;
/// The longest time between two kills, in milliseconds.
const BETWEEN: u64 = 600;
const LIMIT: Duration = Duration::from_secs(180);

pub(crate) fn strike(plan: Plan) -> Vec<Row> {
    [Kind::RabbitMq, Kind::ActiveMq].map(|kind| strike_with(kind, plan)).into()
}

fn strike_with(kind: Kind, plan: Plan) -> Row {
    let each = plan.cases(1, 60) as usize;
    let mut row = Row::new(format!("{kind:?}, sender and receiver killed in random order"));
    let broker = Broker::own(kind);
    let pair = Pair::on(&broker, Way::Tls, &encrypted_for(&recipient()), "");
    broker.declare(&pair.destination);
    let mut random = plan.random();
    let mut victims: Vec<u8> = [0, 1, 2].repeat(each);
    random.shuffle(&mut victims);
    let send = || pair.sender.start(&["send", "--watch"]);
    let receive = || pair.receiver.start(&["receive"]);
    let (mut sender, mut receiver) = (send(), receive());
    let mut next = 0;
    for victim in &victims {
        let _ = scene::fill(&pair, next..next + MESSAGES, SIZE);
        next += MESSAGES;
        std::thread::sleep(Duration::from_millis(random.u64(1..=BETWEEN)));
        match victim {
            0 => {
                broker.kill();
                broker.restart();
            }
            1 => {
                sender.kill();
                sender = send();
            }
            _ => {
                receiver.kill();
                receiver = receive();
            }
        }
    }
    let workload = Workload::of(next, SIZE);
    let begun = Instant::now();
    let settled = || {
        let stored = queues::count(&pair.incoming()) >= workload.len();
        (stored && scene::is_settled(&pair, workload.len(), broker.waiting(&pair.destination))).then_some(())
    };
    match within(LIMIT, settled) {
        Some(()) => {
            row.figure(format!("{next} messages; settled {:.1} s after the last kill", begun.elapsed().as_secs_f64()))
        }
        None => row.fault(format!("not settled {} s after the last kill", LIMIT.as_secs())),
    }
    drop((sender, receiver));
    let account: Account = scene::account(&pair, &workload);
    row.count_all(u32::try_from(victims.len()).unwrap(), &account);
    row
}
