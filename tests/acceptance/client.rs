//! What a program publishes with the library, a Sesame stores once, however often it comes.

use client::{Message, MessageId, Peer, Publisher, Settings};
use tokio::runtime::Runtime;

use crate::harness::eventually;
use crate::harness::patience::patience;
use crate::peers::Kind;
use crate::peers::broker::shared;
use crate::peers::openssl::pki;
use crate::queues;
use crate::sesame::{Site, Way, own_destination, recipient};

fn is_stored_once(kind: Kind) {
    let (broker, destination) = (shared(kind), own_destination());
    // The brokers know a user of this name.
    let program = pki().host("sender.example.org");
    let site = Site::with(recipient()).on(broker, Way::Tls);
    let site = site.receiving("central", &destination, &[&program.subject], "encryption = \"required\"");
    let (_, port) = broker.tls().split_once(':').map(|(host, port)| (host.to_owned(), port.to_owned())).unwrap();
    let at = client::stomp("localhost", port.parse().unwrap()).unwrap();
    let mut settings = Settings::new(at, destination.as_str(), program.certificate, program.key, pki().anchors());
    (settings.recipient, settings.peer) = (Some(recipient().certificate), Peer::Sesame);
    settings.deadline = patience();
    let publisher = Publisher::new(settings).unwrap();
    let message = |id: &str| Message::new(format!("of {id}, \0\r\n")).with_id(MessageId::parse(id).unwrap());
    let publish = async |id: &str| publisher.publish(message(id)).await.unwrap();
    Runtime::new().unwrap().block_on(async {
        let (one, two) = tokio::join!(publish("one"), publish("two"));
        assert_eq!((one.attempts, two.broker), (1, broker.tls()));
        publish("one").await;
        publish("three").await;
        publisher.close().await;
    });
    assert_eq!(broker.waiting(&destination), 4);

    let _receiver = site.start(&["receive"]);
    let incoming = site.queue("central", "incoming");
    eventually("all messages", || (queues::count(&incoming) >= 3 && broker.waiting(&destination) == 0).then_some(()));
    let mut stored: Vec<(String, String)> =
        queues::elements(&incoming).iter().map(|element| (element.id(), element.text("body"))).collect();
    stored.sort();
    assert_eq!(stored, ["one", "three", "two"].map(|id| (id.to_owned(), format!("of {id}, \0\r\n"))));
}

#[test]
fn through_rabbitmq() {
    is_stored_once(Kind::RabbitMq);
}

#[test]
fn through_activemq() {
    is_stored_once(Kind::ActiveMq);
}
