//! A sender, a receiver and a broker of this process between them, and messages that are accounted for after each fault.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use testkit::broker::Broker;
use tokio::runtime::Runtime;

use crate::checker::{Account, Workload, body};
use crate::harness::patience::within;
use crate::harness::{Child, Folder};
use crate::peers::openssl::pki;
use crate::queues;
use crate::sesame::{Pair, Site, Way, own_destination};

/// Small windows, so that there is a middle of the flow to strike, and many commits.
pub(crate) const SEND: &str = "window = 2\n";
pub(crate) const RECEIVE: &str = "prefetch = 2\n";
/// After a fault all must be settled within this time.
const LIMIT: Duration = Duration::from_secs(60);

/// What was left of a workload in the end.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Nothing was under way any more.
    pub(crate) settled: bool,
    pub(crate) account: Account,
}

/// Says in the end that all is over, also when its holder panics.
#[derive(Debug)]
pub(crate) struct Over<'a>(pub(crate) &'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Both sides and the broker.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) pair: Pair,
    pub(crate) broker: Broker,
    _runtime: Runtime,
    next: u32,
    /// The queue of acknowledgements, where there are any.
    acknowledgements: Option<String>,
}

/// A broker in this process.
fn broker() -> (Broker, Runtime) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    (runtime.block_on(Broker::start(None)).unwrap(), runtime)
}

impl Scene {
    /// `send` and `receive` are further lines of the channels.
    pub(crate) fn new(send: &str, receive: &str) -> Self {
        Self::with("", (send, receive))
    }

    /// `more` are further lines of the broker's section, the others of the channels.
    pub(crate) fn with(more: &str, channels: (&str, &str)) -> Self {
        let own = broker();
        let address = own.0.address().to_string();
        Self::of(own, [&address, &address], None, more, channels)
    }

    /// With this broker, which the sender and the receiver have at these addresses; in `top`, where one is given. `more` are
    /// further lines of the broker's section, the others of the channels.
    fn of(own: (Broker, Runtime), hosts: [&str; 2], top: Option<&Path>, more: &str, channels: (&str, &str)) -> Self {
        let (broker, runtime) = own;
        let pair = pair(hosts, top, more, channels);
        Self { pair, broker, _runtime: runtime, next: 0, acknowledgements: None }
    }

    /// The same where the receiver acknowledges every message and the sender keeps what is not acknowledged.
    pub(crate) fn acknowledged() -> Self {
        let queue = own_destination();
        let subject = |name: &str| pki().host(name).subject;
        let send = format!(
            "{SEND}[send.cpu.acknowledgements]\nmode = \"required\"\nfrom = \"{queue}\"\nreceivers = [{:?}]\n",
            subject("receiver.example.org")
        );
        let receive =
            format!("{RECEIVE}[receive.central.acknowledgements]\n{:?} = \"{queue}\"\n", subject("sender.example.org"));
        Self { acknowledgements: Some(queue), ..Self::new(&send, &receive) }
    }

    /// The same with both sites in this folder.
    pub(crate) fn within(top: &Path) -> Self {
        let own = broker();
        let address = own.0.address().to_string();
        Self::of(own, [&address, &address], Some(top), "", (SEND, RECEIVE))
    }

    /// The same where each side reaches the broker by an address of its own, which `via` makes of the broker's. `more` are
    /// further lines of the broker's section.
    pub(crate) fn via<T>(more: &str, via: impl Fn(&str) -> (T, String)) -> (Self, [T; 2]) {
        let own = broker();
        let address = own.0.address().to_string();
        let ((first, sender), (second, receiver)) = (via(&address), via(&address));
        (Self::of(own, [&sender, &receiver], None, more, (SEND, RECEIVE)), [first, second])
    }

    /// Queues so many messages more.
    pub(crate) fn fill(&mut self, count: u32, size: usize) -> Workload {
        let numbers = self.next..self.next + count;
        self.next = numbers.end;
        fill(&self.pair, numbers, size)
    }

    pub(crate) fn send(&self) -> Child {
        self.pair.sender.start(&["send", "--watch"])
    }

    pub(crate) fn receive(&self) -> Child {
        self.pair.receiver.start(&["receive"])
    }

    /// Starts the receiver and the sender.
    pub(crate) fn start(&self) -> [Child; 2] {
        [self.receive(), self.send()]
    }

    /// The same by another program, which gets the program and its arguments after these words.
    pub(crate) fn start_by(&self, launcher: &[&str]) -> [Child; 2] {
        [self.pair.receiver.start_by(launcher, &["receive"]), self.pair.sender.start_by(launcher, &["send", "--watch"])]
    }

    /// Whether so many messages have come and nothing else is under way, acknowledgements included.
    pub(crate) fn is_settled(&self, count: usize) -> bool {
        let at_broker = |queue: &str| self.broker.depth(queue) + self.broker.in_flight(queue);
        let kept = || self.pair.sender.folder.join("cpu-outgoing.state/retained").read_dir().map_or(0, Iterator::count);
        is_settled(&self.pair, count, at_broker(&self.pair.destination))
            && self.acknowledgements.as_ref().is_none_or(|queue| kept() == 0 && at_broker(queue) == 0)
    }

    /// Waits until a workload is settled, accounts for it and takes its elements away, as a consumer does.
    pub(crate) fn account(&self, workload: &Workload) -> Outcome {
        let settled = within(LIMIT, || self.is_settled(workload.len()).then_some(())).is_some();
        Outcome { settled, account: account(&self.pair, workload) }
    }
}

/// Queues messages with these numbers.
pub(crate) fn fill(pair: &Pair, numbers: Range<u32>, size: usize) -> Workload {
    numbers.clone().for_each(|number| add(pair, number, size));
    Workload::numbered(numbers, size)
}

/// Queues the message of this number, which may be sent at once.
pub(crate) fn add(pair: &Pair, number: u32, size: usize) {
    queues::add_after(&pair.outgoing(), &body(number, size), Duration::from_millis(50));
}

/// A sender and a receiver, each with its address of the broker; in `top`, where one is given.
fn pair(hosts: [&str; 2], top: Option<&Path>, more: &str, (send, receive): (&str, &str)) -> Pair {
    let site = |name: &str, host: &str| {
        let folder = top.map_or_else(|| Folder::new("endurance"), |top| Folder::within(top, "site"));
        Site::within(folder, pki().host(name)).at(&[host], Way::Plain, more)
    };
    let (sender, receiver) = (site("sender.example.org", hosts[0]), site("receiver.example.org", hosts[1]));
    Pair::of(sender, receiver, send, receive)
}

/// Whether `count` messages have come, `waiting` wait at the broker, and the sender has nothing left.
pub(crate) fn is_settled(pair: &Pair, count: usize, waiting: usize) -> bool {
    let outgoing = pair.outgoing();
    waiting == 0
        && queues::outgoing(&outgoing).is_empty()
        && queues::locks(&outgoing).is_empty()
        && queues::count(&pair.incoming()) >= count
}

/// What is in the queues of a receiver, compared with what was queued; the elements are taken away.
pub(crate) fn account(pair: &Pair, workload: &Workload) -> Account {
    let incoming = pair.incoming();
    let mut account = workload.account(&incoming);
    account
        .unexpected
        .extend(queues::elements(&pair.reject()).into_iter().map(|element| format!("reject/{}", element.name)));
    for queue in [incoming, pair.reject()] {
        for element in queues::elements(&queue) {
            std::fs::remove_dir_all(queue.join(&element.name)).unwrap();
        }
    }
    account
}
