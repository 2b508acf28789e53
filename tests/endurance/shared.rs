//! Receivers of one queue that share an index in PostgreSQL: they, the sender, the broker and PostgreSQL are killed in random
//! order, while messages are under way.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::Plan;
use crate::checker::{Account, Workload, body};
use crate::harness::Child;
use crate::harness::patience::within;
use crate::peers::Kind;
use crate::peers::broker::Broker;
use crate::peers::postgres::Postgres;
use crate::queues;
use crate::sesame::{Site, Way, own_destination};
use crate::table::Row;

/// Messages that are queued before each kill.
const MESSAGES: u32 = 40;
const SIZE: usize = 3_000;
/// The longest time between two kills, in milliseconds.
const BETWEEN: u64 = 600;
/// An element must be this old to be sent, since it is renamed into place.
const AGE: Duration = Duration::from_millis(50);
const LIMIT: Duration = Duration::from_secs(180);
/// A small prefetch, so that there is a middle of the flow to strike, and short pauses of what waits.
const RECEIVE: &str = "prefetch = 8\nback-off-min = \"1s\"\n";

/// Who is killed, each as often as the others.
const SENDER: usize = 0;
const BROKER: usize = 1;
const INDEX: usize = 2;
/// From here on the receivers.
const FIRST: usize = 3;

pub(crate) fn strike(plan: Plan) -> Vec<Row> {
    let mut row = Row::new("receivers with a shared index, sender, RabbitMQ, PostgreSQL killed in random order");
    let sharing = Sharing::new();
    let mut random = plan.random();
    let all: Vec<usize> = (0..FIRST + sharing.receivers.len()).collect();
    let mut victims = all.repeat(plan.cases(1, 30) as usize);
    random.shuffle(&mut victims);
    let mut running: Vec<Option<Child>> = all.iter().map(|one| sharing.start(*one)).collect();
    let mut next = 0;
    for victim in &victims {
        for number in next..next + MESSAGES {
            queues::add_after(&sharing.sender.outgoing("cpu"), &body(number, SIZE), AGE);
        }
        next += MESSAGES;
        std::thread::sleep(Duration::from_millis(random.u64(1..=BETWEEN)));
        match *victim {
            BROKER => {
                sharing.broker.kill();
                sharing.broker.restart();
            }
            INDEX => {
                sharing.postgres.crash();
                sharing.postgres.start();
            }
            program => {
                drop(running[program].take());
                running[program] = sharing.start(program);
            }
        }
    }
    let (workload, begun) = (Workload::of(next, SIZE), Instant::now());
    match within(LIMIT, || sharing.is_settled(workload.len()).then_some(())) {
        Some(()) => row.figure(format!(
            "{next} messages, by the receivers {:?}; settled {:.1} s after the last kill",
            sharing.queue("incoming").each_ref().map(|queue| queues::count(queue)),
            begun.elapsed().as_secs_f64()
        )),
        None => row.fault(format!("not settled {} s after the last kill: {:?}", LIMIT.as_secs(), sharing.claims())),
    }
    drop(running);
    row.count_all(u32::try_from(victims.len()).unwrap(), &sharing.account(&workload));
    vec![row]
}

struct Sharing {
    broker: Broker,
    postgres: Postgres,
    sender: Site,
    receivers: [Site; 3],
    destination: String,
}

impl Sharing {
    fn new() -> Self {
        let (broker, postgres, destination) = (Broker::own(Kind::RabbitMq), Postgres::own(), own_destination());
        broker.declare(&destination);
        let sender = Site::of("sender.example.org").on(&broker, Way::Plain);
        let sender = sender.sending("cpu", &destination, "window = 8\n");
        let receivers = ["one", "two", "three"].map(|name| {
            let site = Site::of("receiver.example.org").on(&broker, Way::Plain);
            let site = site.receiving("central", &destination, &[&sender.host.subject], RECEIVE);
            site.with_sections(&postgres.section(name, ""))
        });
        Self { broker, postgres, sender, receivers, destination }
    }

    /// Starts the sender or a receiver.
    fn start(&self, program: usize) -> Option<Child> {
        match program {
            SENDER => Some(self.sender.start(&["send", "--watch"])),
            BROKER | INDEX => None,
            receiver => Some(self.receivers[receiver - FIRST].start(&["receive"])),
        }
    }

    fn queue(&self, name: &str) -> [PathBuf; 3] {
        self.receivers.each_ref().map(|site| site.queue("central", name))
    }

    /// Messages that a receiver has claimed and not reported as stored.
    fn claims(&self) -> Result<String, String> {
        self.postgres.sql("SELECT count(*) FROM sesame.message WHERE NOT stored")
    }

    fn is_settled(&self, messages: usize) -> bool {
        let count = |name: &str| self.queue(name).iter().map(|queue| queues::count(queue)).sum::<usize>();
        count("incoming") >= messages
            && count("deferred") == 0
            && queues::outgoing(&self.sender.outgoing("cpu")).is_empty()
            && self.broker.waiting(&self.destination) == 0
            && self.claims().is_ok_and(|count| count == "0")
    }

    fn account(&self, workload: &Workload) -> Account {
        let mut account = workload.account_among(&self.queue("incoming").each_ref().map(PathBuf::as_path));
        for queue in self.queue("reject") {
            let names = queues::elements(&queue).into_iter().map(|element| format!("reject/{}", element.name));
            account.unexpected.extend(names);
        }
        account
    }
}
