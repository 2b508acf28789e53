//! From an outgoing queue through RabbitMQ into incoming: TLS with client certificates, signed and encrypted, both queues
//! on an ext4 image, the broker's own store wherever the target directory lies.
//!
//! Three times: the sender alone fills the broker, the receiver alone drains it, and both at once. The clock runs from the
//! start of the process to the last element removed, or stored. The messages have waited for some seconds by then: one
//! that was written and linked within the same tick of the clock is held back for [`SETTLED`]. Every message is numbered;
//! what is lost or comes twice stops the run.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::crypto::text;
use crate::image::{FileSystem, Image};
use crate::installation::{Installation, Running, until};
use crate::peers::ams::{Ams, SUBSCRIPTION, TOPIC};
use crate::peers::broker::Broker;
use crate::peers::openssl::pki;
use crate::peers::{Kind, broker};
use crate::report::{Goal, Report, median};
use crate::{queues, setting};

/// Content of a message, in bytes.
const SIZE: usize = 30_000;
/// How long a sender watches a file that may still be being written.
const SETTLED: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(300);
const GOAL: Goal = Goal::AtLeast(500.0);

/// CPU of the whole process for one message, by these names in the report.
pub(crate) const SENDER_CPU: &str = "sender alone, CPU of a message";
/// The same of the receiver.
pub(crate) const RECEIVER_CPU: &str = "receiver alone, CPU of a message";

/// What one run came to: messages a second, and CPU seconds of a message in the process itself and in the kernel.
pub(crate) struct Round {
    pub(crate) sent: f64,
    pub(crate) received: f64,
    pub(crate) both: f64,
    pub(crate) sender_cpu: (f64, f64),
    pub(crate) receiver_cpu: (f64, f64),
    pub(crate) lost: usize,
    pub(crate) twice: usize,
}

/// What lies between a sender and a receiver, as lines of their configurations.
pub(crate) struct Between {
    /// The section `[broker.test]`.
    broker: String,
    /// Where the sender sends to.
    target: String,
    /// What the receiver receives from.
    source: String,
}

impl Between {
    /// A queue of RabbitMQ, over TLS.
    pub(crate) fn rabbitmq(broker: &Broker, destination: &str) -> Self {
        let line = format!("destination = \"{destination}\"\n");
        Self {
            broker: format!("[broker.test]\nhosts = [\"{}\"]\ntls = true\n", broker.tls()),
            target: line.clone(),
            source: line,
        }
    }

    /// The topic and the subscription of the test server of AMS.
    pub(crate) fn ams(ams: &Ams) -> Self {
        Self {
            broker: format!("[broker.test]\n{}", ams.lines()),
            target: format!("destination = \"{TOPIC}\"\n"),
            source: format!("subscription = \"{SUBSCRIPTION}\"\n"),
        }
    }
}

/// Measures and prints.
pub(crate) fn measure(report: &mut Report) {
    let (count, rounds) = (setting("SESAME_FIGURES_MESSAGES", 2_000), setting("SESAME_FIGURES_REPEAT", 3));
    report.note(&format!(
        "{count} messages of 30 kB, RabbitMQ, TLS with client certificates, signed and encrypted; median of {rounds}"
    ));
    let image = Image::mounted(FileSystem::Ext4, 4096);
    let broker = broker::Broker::own(Kind::RabbitMq);
    let all: Vec<Round> = (0..rounds).map(|number| run(&broker, &image.path(), number, count)).collect();
    let of = |value: fn(&Round) -> f64| median(all.iter().map(value).collect());
    report.goal("sent, sender alone", of(|round| round.sent), "messages/s", GOAL);
    report.goal("received, receiver alone", of(|round| round.received), "messages/s", GOAL);
    report.figure("sent and received, both at once", of(|round| round.both), "messages/s");
    report.figure(SENDER_CPU, of(|round| round.sender_cpu.0 + round.sender_cpu.1) * 1e6, "us");
    report.figure("sender alone, of that in the kernel", of(|round| round.sender_cpu.1) * 1e6, "us");
    report.figure(RECEIVER_CPU, of(|round| round.receiver_cpu.0 + round.receiver_cpu.1) * 1e6, "us");
    report.figure("receiver alone, of that in the kernel", of(|round| round.receiver_cpu.1) * 1e6, "us");
    let total = |value: fn(&Round) -> usize| all.iter().map(value).sum::<usize>();
    let (lost, twice) = (total(|round| round.lost), total(|round| round.twice));
    report.goal("messages lost", lost as f64, "", Goal::AtMost(0.0));
    report.goal("messages stored twice", twice as f64, "", Goal::AtMost(0.0));
    drop(broker);
    assert_eq!((lost, twice), (0, 0), "messages lost or stored twice");
}

fn run(broker: &Broker, root: &Path, number: u32, count: u32) -> Round {
    let destination = format!("/queue/sesame.figures.{number}");
    broker.declare(&destination);
    through(&Between::rabbitmq(broker, &destination), &root.join(format!("round-{number}")), count)
}

/// One round; the folder is made and removed.
pub(crate) fn through(between: &Between, folder: &Path, count: u32) -> Round {
    let sites = Sites::new(between, folder, "");
    // Plugins are compiled at the first start of each; no message waits for that again.
    sites.at_once(0..20);
    let (sent, received, first) = sites.one_after_the_other(20..count + 20);
    let (both, second) = sites.at_once(count + 20..2 * count + 20);
    let count = f64::from(count);
    let per_message = |cpu: (f64, f64)| (cpu.0 / count, cpu.1 / count);
    std::fs::remove_dir_all(folder).unwrap();
    Round {
        sent: count / sent.wall,
        received: count / received.wall,
        both: count / both.wall,
        sender_cpu: per_message(sent.cpu),
        receiver_cpu: per_message(received.cpu),
        lost: first.lost + second.lost,
        twice: first.twice + second.twice,
    }
}

/// What one command took: seconds of time, and of CPU in itself and in the kernel.
pub(crate) struct Took {
    wall: f64,
    cpu: (f64, f64),
}

pub(crate) struct Account {
    pub(crate) lost: usize,
    pub(crate) twice: usize,
}

/// A sender and a receiver with their queues.
pub(crate) struct Sites {
    pub(crate) sender: Installation,
    pub(crate) receiver: Installation,
    pub(crate) outgoing: PathBuf,
    pub(crate) incoming: PathBuf,
}

impl Sites {
    /// `receive` are further lines of the receiver's channel.
    pub(crate) fn new(between: &Between, folder: &Path, receive: &str) -> Self {
        Self::with(between, folder, "", receive)
    }

    /// `send` and `receive` are further lines of the channels.
    pub(crate) fn with(between: &Between, folder: &Path, send: &str, receive: &str) -> Self {
        let (sender, receiver) = (pki().host("sender.example.org"), pki().host("receiver.example.org"));
        let (outgoing, spool) = (folder.join("outgoing"), folder.join("spool"));
        std::fs::create_dir_all(&outgoing).unwrap();
        let list = folder.join("dns");
        std::fs::write(&list, format!("{}\n", sender.subject)).unwrap();
        let Between { broker, target, source } = between;
        let sending = format!(
            "{broker}[send.cpu]\nbroker = \"test\"\nqueue = {outgoing:?}\n{target}\
             recipient-certificate = {:?}\nmin-free = 0\n{send}",
            receiver.certificate
        );
        let receiving = format!(
            "{broker}[receive.central]\nbroker = \"test\"\n{source}\
             authorised = {list:?}\nspool = {spool:?}\nencryption = \"required\"\nmin-free = 0\n{receive}"
        );
        Self {
            sender: Installation::new(&folder.join("sender"), &sender, &sending),
            receiver: Installation::new(&folder.join("receiver"), &receiver, &receiving),
            outgoing,
            incoming: spool.join("incoming"),
        }
    }

    /// The sender fills the broker, then the receiver drains it.
    fn one_after_the_other(&self, numbers: Range<u32>) -> (Took, Took, Account) {
        self.fill(&numbers);
        let (wall, cpu) = self.sender.start(&["send"]).finish();
        let sent = Took { wall, cpu };
        assert!(queues::outgoing(&self.outgoing).is_empty(), "the sender left something in outgoing");
        let received = self.wait(self.receiver.start(&["receive"]), numbers.len());
        (sent, received, self.account(&numbers))
    }

    /// Has plugins compiled, which happens at the first start alone.
    pub(crate) fn compile(&self, numbers: Range<u32>) {
        self.at_once(numbers);
    }

    /// Both work at the same time; the time is that until everything is stored.
    fn at_once(&self, numbers: Range<u32>) -> (Took, Account) {
        self.fill(&numbers);
        let receiver = self.receiver.start(&["receive"]);
        let sender = self.sender.start(&["send"]);
        let received = self.wait(receiver, numbers.len());
        sender.finish();
        (received, self.account(&numbers))
    }

    pub(crate) fn fill(&self, numbers: &Range<u32>) {
        numbers.clone().for_each(|number| drop(queues::add(&self.outgoing, &body(number))));
        rustix::fs::sync();
        std::thread::sleep(SETTLED);
    }

    pub(crate) fn wait(&self, mut receiver: Running, count: usize) -> Took {
        until("everything to be stored", LIMIT, || {
            receiver.must_run();
            queues::count(&self.incoming) >= count
        });
        let took = Took { wall: receiver.since.elapsed().as_secs_f64(), cpu: receiver.cpu() };
        receiver.stop();
        took
    }

    /// Counts what was stored and takes it away.
    pub(crate) fn account(&self, numbers: &Range<u32>) -> Account {
        let mut seen = vec![0_usize; numbers.len()];
        for element in queues::elements(&self.incoming) {
            let number = number(element.bytes("body")).filter(|number| numbers.contains(number));
            let number = number.unwrap_or_else(|| panic!("{} is not one of ours", element.name));
            assert_eq!(element.bytes("body"), body(number), "message {number} came changed");
            seen[(number - numbers.start) as usize] += 1;
        }
        std::fs::remove_dir_all(&self.incoming).unwrap();
        Account {
            lost: seen.iter().filter(|times| **times == 0).count(),
            twice: seen.iter().filter(|times| **times > 1).count(),
        }
    }
}

/// The content of a message: its number, then text.
pub(crate) fn body(number: u32) -> Vec<u8> {
    let head = format!("APEL-summary-job-message: v0.2\nMessage: {number}\n").into_bytes();
    let rest = text(SIZE - head.len());
    [head, rest].concat()
}

/// The number in the content of a message.
fn number(content: &[u8]) -> Option<u32> {
    let line = content.split(|byte| *byte == b'\n').nth(1)?;
    std::str::from_utf8(line).ok()?.strip_prefix("Message: ")?.parse().ok()
}
