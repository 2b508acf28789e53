//! A private broker of either kind: its own ports, its own data, plain and TLS, killed and restarted at will.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use super::openssl::{Host, pki};
use super::{activemq, python, rabbitmq};
use crate::harness::patience::patience;
use crate::harness::{Child, Folder, eventually, ports};

/// Login and passcode of the user that both brokers know. Hosts log in with their certificates, see [`KNOWN_HOSTS`].
pub(crate) const LOGIN: &str = "accounting";
/// The passcode of [`LOGIN`].
pub(crate) const PASSCODE: &str = "open-sesame";
/// The common names of the certificates that the brokers let in.
pub(crate) const KNOWN_HOSTS: [&str; 5] =
    ["sender.example.org", "receiver.example.org", "other.example.org", "ec.example.org", WRITER];
/// The one of them that RabbitMQ lets read from no queue.
pub(crate) const WRITER: &str = "writer.example.org";

/// Which program a broker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    RabbitMq,
    ActiveMq,
}

/// Both of them, for a test that every broker must pass.
pub(crate) const BOTH: [Kind; 2] = [Kind::RabbitMq, Kind::ActiveMq];

/// The ports and the folder a broker is to use.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    pub(crate) plain: u16,
    pub(crate) tls: u16,
    /// For what a broker needs besides: RabbitMQ's name service and its distribution port.
    pub(crate) others: [u16; 2],
    pub(crate) host: Host,
}

impl Place {
    fn new(folder: PathBuf, name: &str) -> Self {
        let others = [ports::free(), ports::free()];
        Self { folder, plain: ports::free(), tls: ports::free(), others, host: pki().host(name) }
    }
}

/// A broker that runs as long as the value lives.
#[derive(Debug)]
pub(crate) struct Broker {
    kind: Kind,
    place: Place,
    process: Mutex<Option<Child>>,
    /// RabbitMQ's name service; it outlives crashes of the broker.
    _helper: Option<Child>,
    /// Removed with the broker, if it is not the one that all tests share.
    _folder: Option<Folder>,
}

/// The broker of this kind that all tests share; each test takes a queue of its own.
pub(crate) fn shared(kind: Kind) -> &'static Broker {
    static BROKERS: [OnceLock<Broker>; 2] = [const { OnceLock::new() }; 2];
    let name = format!("{kind:?}");
    BROKERS[kind as usize].get_or_init(|| Broker::start(kind, Folder::for_the_run(&name), None, "localhost"))
}

impl Broker {
    /// A broker of one test's own, to be killed.
    pub(crate) fn own(kind: Kind) -> Self {
        Self::presenting(kind, "localhost")
    }

    /// A broker whose certificate is for `name`.
    pub(crate) fn presenting(kind: Kind, name: &str) -> Self {
        let folder = Folder::new(&format!("{kind:?}"));
        Self::start(kind, folder.path().to_owned(), Some(folder), name)
    }

    /// A RabbitMQ with a configuration of the test's own. It must have the plain listener and load `definitions.json`.
    pub(crate) fn configured(configuration: impl FnOnce(&Place) -> String) -> Self {
        let folder = Folder::new("RabbitMq");
        let place = Place::new(folder.path().to_owned(), "localhost");
        let helper = Some(rabbitmq::prepare(&place));
        write(&place.folder, "rabbitmq.conf", &configuration(&place));
        let process = Mutex::new(None);
        let broker = Self { kind: Kind::RabbitMq, place, process, _helper: helper, _folder: Some(folder) };
        broker.restart();
        broker
    }

    /// Nodes of RabbitMQ in one cluster, each with its own ports and data.
    pub(crate) fn cluster(nodes: usize) -> Vec<Self> {
        let mut cluster = vec![Self::own(Kind::RabbitMq)];
        while cluster.len() < nodes {
            let first = &cluster[0].place;
            let folder = Folder::new("RabbitMq");
            let others = [first.others[0], ports::free()];
            let place = Place { others, ..Place::new(folder.path().to_owned(), "localhost") };
            rabbitmq::configure(&place);
            let node =
                Self { kind: Kind::RabbitMq, place, process: Mutex::new(None), _helper: None, _folder: Some(folder) };
            node.restart();
            rabbitmq::join(&node.place, first);
            cluster.push(node);
        }
        cluster
    }

    /// Runs `rabbitmqctl`; what it prints.
    pub(crate) fn ctl(&self, arguments: &[&str]) -> String {
        rabbitmq::ctl(&self.place, arguments)
    }

    fn start(kind: Kind, path: PathBuf, folder: Option<Folder>, name: &str) -> Self {
        let place = Place::new(path, name);
        let helper = match kind {
            Kind::RabbitMq => Some(rabbitmq::prepare(&place)),
            Kind::ActiveMq => activemq::prepare(&place),
        };
        let broker = Self { kind, place, process: Mutex::new(None), _helper: helper, _folder: folder };
        broker.restart();
        broker
    }

    /// `localhost:PORT` of the plain listener.
    pub(crate) fn plain(&self) -> String {
        format!("localhost:{}", self.place.plain)
    }

    /// `localhost:PORT` of the TLS listener, which wants a client certificate.
    pub(crate) fn tls(&self) -> String {
        format!("localhost:{}", self.place.tls)
    }

    /// `kill -9`.
    pub(crate) fn kill(&self) {
        self.process.lock().unwrap().take().expect("the broker runs").kill();
    }

    /// Starts the broker again on the same ports and data, and waits until it answers.
    pub(crate) fn restart(&self) {
        let mut command = match self.kind {
            Kind::RabbitMq => rabbitmq::command(&self.place),
            Kind::ActiveMq => activemq::command(&self.place),
        };
        let log = self.place.folder.join("output.log");
        let child = Child::start(&format!("{:?}", self.kind), &mut command, &log);
        *self.process.lock().unwrap() = Some(child);
        eventually(&format!("{:?} to answer CONNECT", self.kind), || {
            let mut process = self.process.lock().unwrap();
            let child = process.as_mut().expect("just started");
            if let Some(status) = child.ended() {
                panic!("{:?} ended at once with {status}:\n{}", self.kind, child.last_words());
            }
            answers(self.place.plain, PASSCODE).then_some(())
        });
        eventually("the TLS listener", || TcpStream::connect((Ipv4Addr::LOCALHOST, self.place.tls)).ok());
    }

    /// Makes a queue that is there for good. RabbitMQ keeps the name of a new queue in memory for some seconds, and a
    /// queue whose name is lost takes its messages along; a site's queues are older than that.
    pub(crate) fn declare(&self, destination: &str) {
        self.declare_with(destination, "");
        if self.kind == Kind::RabbitMq {
            rabbitmq::remember_queues(&self.place);
        }
    }

    /// The same with arguments of RabbitMQ, one `name:value` a line.
    pub(crate) fn declare_with(&self, destination: &str, arguments: &str) {
        // A message that comes meanwhile stays in the queue: it is not acknowledged.
        let ack = if arguments.contains("ack:") { "" } else { "ack:client-individual\n" };
        let frames = format!("SUBSCRIBE\nid:1\ndestination:{destination}\n{ack}{arguments}receipt:1\n\n\0");
        // A broker that has just started, or is busy, may not answer the first time.
        let answer = eventually(&format!("an answer about {destination}"), || {
            let answer = converse(self.place.plain, PASSCODE, &frames);
            (answer.contains("receipt-id:1") || answer.contains("ERROR")).then_some(answer)
        });
        assert!(!answer.contains("ERROR"), "cannot make {destination}: {answer}");
    }

    /// Makes a quorum queue of RabbitMQ with a delivery limit.
    pub(crate) fn declare_quorum(&self, name: &str, limit: u32) {
        rabbitmq::declare_quorum(&self.place, name, limit);
    }

    /// Makes a queue that is served to one subscriber at a time: in RabbitMQ by an argument of the queue, in ActiveMQ by what
    /// its subscribers ask for. Gives the destination.
    pub(crate) fn declare_single_active(&self, name: &str) -> String {
        match self.kind {
            Kind::RabbitMq => {
                rabbitmq::declare_single_active(&self.place, name);
                format!("/amq/queue/{name}")
            }
            Kind::ActiveMq => format!("/queue/{name}"),
        }
    }

    /// Connects, subscribes and is cut off without an ACK; gives what came.
    pub(crate) fn cut_off(&self, destination: &str) -> String {
        let frames =
            format!("SUBSCRIBE\nid:1\ndestination:{destination}\nack:client-individual\nprefetch-count:100\n\n\0");
        self.converse_until(&frames, &[], Duration::from_millis(500))
    }

    /// Deletes a queue of RabbitMQ and all that is in it.
    pub(crate) fn delete_queue(&self, name: &str) {
        rabbitmq::delete_queue(&self.place, name);
    }

    /// Says these frames after CONNECT on the plain listener, and gives what is answered until it holds any of `words`, the
    /// broker closes or nothing comes for `silence`.
    pub(crate) fn converse_until(&self, frames: &str, words: &[&str], silence: Duration) -> String {
        converse_until(self.place.plain, frames, words, silence)
    }

    /// Sends a message as a client that is not Sesame; further headers are one `name:value` a line.
    pub(crate) fn put(&self, destination: &str, headers: &str, body: &str) {
        let send = format!("SEND\ndestination:{destination}\npersistent:true\nreceipt:sent\n{headers}\n{body}\0");
        let answer = self.converse_until(&send, &["receipt-id:sent"], patience());
        assert!(answer.contains("receipt-id:sent"), "{destination}: {answer}");
    }

    /// Whether the plain listener takes [`LOGIN`] with this passcode.
    pub(crate) fn lets_in(&self, passcode: &str) -> bool {
        answers(self.place.plain, passcode)
    }

    /// How many messages wait in a queue.
    pub(crate) fn waiting(&self, destination: &str) -> usize {
        match self.kind {
            Kind::RabbitMq => rabbitmq::waiting(&self.place, destination),
            Kind::ActiveMq => python::browse(&self.plain(), destination),
        }
    }
}

/// Whether something on this port answers a CONNECT frame with CONNECTED.
fn answers(port: u16, passcode: &str) -> bool {
    converse(port, passcode, "").starts_with("CONNECTED")
}

/// Connects, says `frames` and DISCONNECT, and gives all that was answered.
fn converse(port: u16, passcode: &str, frames: &str) -> String {
    let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return String::new() };
    drop(stream.set_read_timeout(Some(Duration::from_secs(5))));
    let connect = format!("CONNECT\naccept-version:1.2\nhost:/\nlogin:{LOGIN}\npasscode:{passcode}\n\n\0");
    drop(stream.write_all(format!("{connect}{frames}DISCONNECT\nreceipt:bye\n\n\0").as_bytes()));
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"receipt-id:bye") && matches!(stream.read(&mut byte), Ok(1)) {
        answer.push(byte[0]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn converse_until(port: u16, frames: &str, words: &[&str], silence: Duration) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(silence)).unwrap();
    let connect = format!("CONNECT\naccept-version:1.2\nhost:/\nlogin:{LOGIN}\npasscode:{PASSCODE}\n\n\0");
    stream.write_all(format!("{connect}{frames}").as_bytes()).unwrap();
    let (mut answer, mut piece) = (String::new(), [0; 4096]);
    while !words.iter().any(|words| answer.contains(words))
        && let Ok(length @ 1..) = stream.read(&mut piece)
    {
        answer.push_str(&String::from_utf8_lossy(&piece[..length]));
    }
    answer
}

/// Runs a program that must succeed, for preparing a broker.
#[track_caller]
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed with {}:\n{said}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Writes a broker's configuration file.
pub(crate) fn write(folder: &Path, name: &str, content: &str) {
    std::fs::write(folder.join(name), content).unwrap();
}
