//! Through AMS: signed and encrypted, HTTPS, on loopback, both queues on an ext4 image; the service is the test server, in this
//! process. In the same run the same messages go through RabbitMQ, and the Python way through the same service.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::end_to_end::{Between, Round, Sites, body, through};
use crate::harness::Folder;
use crate::image::{FileSystem, Image};
use crate::installation::{Running, until};
use crate::peers::ams::{Ams, PROJECT, SUBSCRIPTION, TOPIC};
use crate::peers::openssl::{feed, pki};
use crate::peers::{Kind, broker, python};
use crate::report::{Goal, Report, median};
use crate::{queues, setting};

/// Messages of the Python way.
const BY_HAND: u32 = 50;
/// Messages that wait at most while memory is watched.
const WAITING: usize = 1_000;
const LIMIT: Duration = Duration::from_secs(1_800);

/// Measures and prints.
pub(crate) fn measure(report: &mut Report) {
    let (count, rounds) = (setting("SESAME_FIGURES_MESSAGES", 2_000), setting("SESAME_FIGURES_REPEAT", 3));
    report.note(&format!("{count} messages of 30 kB, HTTPS, signed and encrypted; median of {rounds}"));
    let image = Image::mounted(FileSystem::Ext4, 4096);
    let rabbitmq = broker::Broker::own(Kind::RabbitMq);
    let ams = Ams::start();
    for name in ["sender.example.org", "receiver.example.org"] {
        ams.admit(&pki().host(name));
    }
    let (mut by_stomp, mut by_ams) = (Vec::new(), Vec::new());
    for number in 0..rounds {
        let destination = format!("/queue/sesame.figures.ams.{number}");
        rabbitmq.declare(&destination);
        let folder = image.path().join(format!("round-{number}"));
        by_stomp.push(through(&Between::rabbitmq(&rabbitmq, &destination), &folder, count));
        by_ams.push(through(&Between::ams(&ams), &folder, count));
        forget(&ams);
    }
    drop(rabbitmq);
    let of = |rounds: &[Round], value: fn(&Round) -> f64| median(rounds.iter().map(value).collect());
    let (sent, received) = (of(&by_ams, |round| round.sent), of(&by_ams, |round| round.received));
    report.figure("sent through AMS, sender alone", sent, "messages/s");
    report.figure("received through AMS, receiver alone", received, "messages/s");
    report.figure("through AMS, both at once", of(&by_ams, |round| round.both), "messages/s");
    let ratio = |value: f64, stomp: fn(&Round) -> f64| value / of(&by_stomp, stomp);
    report.goal("sent, of the rate through RabbitMQ", ratio(sent, |round| round.sent), "x", Goal::AtLeast(0.8));
    report.goal(
        "received, of the rate through RabbitMQ",
        ratio(received, |round| round.received),
        "x",
        Goal::AtLeast(0.8),
    );
    report.figure("sender, CPU of a message", of(&by_ams, |round| round.sender_cpu.0 + round.sender_cpu.1) * 1e6, "us");
    report.figure(
        "receiver, CPU of a message",
        of(&by_ams, |round| round.receiver_cpu.0 + round.receiver_cpu.1) * 1e6,
        "us",
    );
    let total = |value: fn(&Round) -> usize| by_ams.iter().chain(&by_stomp).map(value).sum::<usize>();
    let (lost, twice) = (total(|round| round.lost), total(|round| round.twice));

    let [python_sent, python_received] = by_python(&ams);
    report.figure("sent the Python way", python_sent, "messages/s");
    report.figure("received the Python way", python_received, "messages/s");
    report.goal("sent, times the Python way", sent / python_sent, "x", Goal::AtLeast(60.0));
    report.goal("received, times the Python way", received / python_received, "x", Goal::AtLeast(60.0));
    drop(image);

    memory(report, &ams);
    report.goal("messages lost", lost as f64, "", Goal::AtMost(0.0));
    report.goal("messages stored twice", twice as f64, "", Goal::AtMost(0.0));
    assert_eq!((lost, twice), (0, 0), "messages lost or stored twice");
}

/// Messages a second of a sender and of a receiver that do one at a time.
fn by_python(ams: &Ams) -> [f64; 2] {
    let folder = Folder::new("figures-python");
    let (outgoing, incoming) = (folder.join("outgoing"), folder.join("incoming"));
    for queue in [&outgoing, &incoming] {
        std::fs::create_dir(queue).unwrap();
    }
    (0..BY_HAND).for_each(|number| std::fs::write(outgoing.join(format!("{number:08}")), body(number)).unwrap());
    let (sender, receiver) = (pki().host("sender.example.org"), pki().host("receiver.example.org"));
    let list = folder.write("dns", format!("{}\n", sender.subject));
    let client = |action: &str, host: &crate::peers::openssl::Host, queue: &Path| {
        let mut client = python::ams_client("ams_way.py", &pki().authority());
        client.arg(action).arg("--folder").arg(queue);
        client.arg("--host").arg(&host.certificate).arg("--key-file").arg(&host.key);
        client.args(["--server", "localhost", "--project", PROJECT, "--topic", TOPIC, "--subscription", SUBSCRIPTION]);
        client.args(["--api", &ams.server.address().port().to_string()]);
        client.args(["--authn", &ams.server.authentication_address().port().to_string()]);
        client
    };
    let mut send = client("send", &sender, &outgoing);
    let sent = rate(send.arg("--encrypt-for").arg(&receiver.certificate));
    let mut receive = client("receive", &receiver, &incoming);
    receive.arg("--authorised").arg(list).arg("--anchors").arg(pki().anchors());
    let received = rate(receive.args(["--count", &BY_HAND.to_string()]));
    assert_eq!(std::fs::read_dir(&incoming).unwrap().count(), BY_HAND as usize);
    [sent, received]
}

/// Runs a client of the Python way and gives its messages a second.
fn rate(client: &mut Command) -> f64 {
    let said: serde_json::Value = serde_json::from_slice(&feed(client, b"")).unwrap();
    f64::from(BY_HAND) / said["seconds"].as_f64().unwrap()
}

/// Lets very many messages pass, and compares the most memory each side had after a tenth and at the end.
fn memory(report: &mut Report, ams: &Ams) {
    let count = setting("SESAME_FIGURES_LONG", 100_000) as usize;
    let folder = Folder::new("figures-ams");
    let sites = Sites::new(&Between::ams(ams), folder.path(), "");
    let receiver = sites.receiver.start(&["run"]);
    let sender = sites.sender.start(&["run"]);
    let peaks = |sides: [&Running; 2]| sides.map(|side| side.resident_peak() as f64 / 1e6);
    let (mut queued, mut stored, mut early) = (0, 0, None);
    until("all messages to be stored", LIMIT, || {
        while queued < count && queues::count(&sites.outgoing) < WAITING {
            (0..WAITING / 2).for_each(|_| drop(queues::add(&sites.outgoing, &body(0))));
            queued += WAITING / 2;
        }
        stored += take(&sites.incoming);
        forget(ams);
        if early.is_none() && stored >= count / 10 {
            early = Some(peaks([&sender, &receiver]));
        }
        stored >= count
    });
    let (early, late) = (early.unwrap(), peaks([&sender, &receiver]));
    for (at, side) in ["sender", "receiver"].iter().enumerate() {
        report.figure(&format!("{side}, peak resident memory"), late[at], "MB");
        let name = format!("{side}, that peak to the one after a tenth");
        report.goal(&name, late[at] / early[at], "x", Goal::AtMost(1.1));
    }
    report.goal("messages stored of those queued", stored as f64 / queued as f64, "x", Goal::Exactly(1.0));
    sender.stop();
    receiver.stop();
}

/// Takes away what was stored, as a consumer does, and says how much it was.
fn take(incoming: &Path) -> usize {
    let elements = queues::elements(incoming);
    elements.iter().for_each(|element| std::fs::remove_dir_all(incoming.join(&element.name)).unwrap());
    elements.len()
}

/// Drops what is acknowledged, as AMS does after some days.
fn forget(ams: &Ams) {
    let offset = ams.server.offset(PROJECT, SUBSCRIPTION).unwrap();
    ams.server.drop_before(PROJECT, TOPIC, offset);
}
