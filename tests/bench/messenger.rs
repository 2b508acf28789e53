//! The Python way beside ours, on the same messages through the same RabbitMQ: `stomp.py`, `dirq` and a process of
//! `openssl` for each step, one message after the other (`ssm.py` of the acceptance tests).
//!
//! Starting Python, connecting and looking at the result are left out: a run with one message is subtracted.

use std::time::Instant;

use crate::end_to_end::{Between, body, through};
use crate::harness::Folder;
use crate::image::{FileSystem, Image};
use crate::peers::broker::Broker;
use crate::peers::openssl::pki;
use crate::peers::python::{Link, SsmReceiver, SsmSender, send_as_ssm};
use crate::peers::{Kind, broker};
use crate::report::{Goal, Report};
use crate::{queues, setting};

/// Messages of the Python way.
const BY_HAND: usize = 100;

/// Measures and prints.
pub(crate) fn measure(report: &mut Report) {
    let count = setting("SESAME_FIGURES_MESSAGES", 2_000);
    report.note(&format!(
        "{count} messages of 30 kB by Sesame, {BY_HAND} the Python way; RabbitMQ, TLS, signed and encrypted"
    ));
    let image = Image::mounted(FileSystem::Ext4, 4096);
    let broker = broker::Broker::own(Kind::RabbitMq);
    let destination = "/queue/sesame.figures.messenger";
    broker.declare(destination);
    let [few, many] = [1, 1 + BY_HAND].map(|count| by_python(&broker, destination, count));
    let rate = |few: f64, many: f64| BY_HAND as f64 / (many - few);
    let (python_sent, python_received) = (rate(few.0, many.0), rate(few.1, many.1));
    let round = through(&Between::rabbitmq(&broker, destination), &image.path().join("sesame"), count);
    report.figure("sent the Python way", python_sent, "messages/s");
    report.figure("received the Python way", python_received, "messages/s");
    report.figure("sent", round.sent, "messages/s");
    report.figure("received", round.received, "messages/s");
    report.goal("sent, times the Python way", round.sent / python_sent, "x", Goal::AtLeast(120.0));
    report.goal("received, times the Python way", round.received / python_received, "x", Goal::AtLeast(120.0));
    assert_eq!((round.lost, round.twice), (0, 0), "messages lost or stored twice");
}

/// Seconds of a sender and then of a receiver.
fn by_python(broker: &Broker, destination: &str, count: usize) -> (f64, f64) {
    let folder = Folder::new("figures-python");
    let queue = folder.join("outgoing");
    std::fs::create_dir(&queue).unwrap();
    (0..count).for_each(|number| drop(queues::add(&queue, &body(u32::try_from(number).unwrap()))));
    let (signer, receiver) = (pki().host("sender.example.org"), pki().host("receiver.example.org"));
    let link = |host| Link { broker: broker.tls(), host: Some(host) };
    let encrypt_for = Some(&receiver);
    let (link_out, link_in) = (link(&signer), link(&receiver));
    let sender = SsmSender { link: link_out, destination, signer: &signer, encrypt_for, queue: &queue, format: "dirq" };
    let start = Instant::now();
    assert_eq!(send_as_ssm(&sender).len(), count);
    let sent = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let (stored, rejected) = SsmReceiver::start(&link_in, destination, &receiver, &[&signer.subject], count).finish();
    assert_eq!((stored.len(), rejected.len()), (count, 0));
    (sent, start.elapsed().as_secs_f64())
}
