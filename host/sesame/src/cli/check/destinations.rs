//! Asks every broker what the destinations of its channels, and of their acknowledgements, are: a queue, a topic or a subscription that is not there, a
//! stream, a queue that was declared with arguments; and compares the largest message with the largest frame that RabbitMQ takes.
//!
//! Nothing is sent or received, and no queue is declared that is not there.

use super::brokers::identity_of;
use super::{Found, acknowledgements};
use crate::channel::Channel;
use crate::config::{self, Config, Credential, Trust};
use crate::sender::seal_policy;
use crate::service::Shared;
use message::MessageId;
use smime::Seal;
use stomp::{Form, Promise, QueueState, rabbitmq};
use transport::{Broker, Connected, Destination, Examined, Identity, Link};

/// The frame that RabbitMQ takes at most unless `stomp.max_frame_size` says otherwise, since 3.12.2
/// (rabbitmq-server pull request 8802), in bytes.
const RABBITMQ_FRAME: usize = 4 << 20;
/// Room for the headers of a frame, in bytes.
const FRAME_HEADERS: usize = 4096;

/// What is looked at with one connection.
struct Target<'a> {
    channel: Channel,
    broker: &'a str,
    credential: &'a Credential,
    trust: &'a Trust,
    places: Vec<Place<'a>>,
    sender: Option<&'a config::Sender>,
}

/// A destination, and what a section of the configuration has it for.
struct Place<'a> {
    subject: String,
    destination: &'a Destination,
    /// Messages are sent there, not received from it.
    sends: bool,
}

/// Looks at the destinations of all channels whose broker answers.
pub(super) async fn check(config: &Config, shared: &Shared) -> Vec<Found> {
    let mut found = Vec::new();
    for target in targets(config) {
        let Some(broker) = config.brokers.get(target.broker) else { continue };
        // A broken identity or broker was reported before.
        let Some(identity) = identity_of(shared, target.credential, target.trust) else { continue };
        let Some((link, connected)) = connect(broker, &identity, shared).await else { continue };
        let server = connected.session.server().to_owned();
        for place in &target.places {
            found.extend(look(place, &link, &connected).await);
        }
        found.extend(among_records(&target, &link, &server).await);
        connected.session.disconnect(super::brokers::DISCONNECT_GRACE).await;
        if rabbitmq::is_rabbitmq(&server)
            && let Some(sender) = target.sender
            && let Some(signs) = identity_of(shared, &sender.credential, &sender.trust)
        {
            found.extend(largest_frame(&target.channel.section(), sender, &signs, shared, &server));
        }
    }
    found
}

fn targets(config: &Config) -> Vec<Target<'_>> {
    let senders = config.senders.iter().map(|(name, sender)| Target {
        channel: Channel::sender(name),
        broker: &sender.broker,
        credential: config.credential_at(&sender.broker, &sender.credential),
        trust: &sender.trust,
        places: places_of_sender(name, sender),
        sender: Some(sender),
    });
    let receivers = config.receivers.iter().map(|(name, receiver)| Target {
        channel: Channel::receiver(name),
        broker: &receiver.broker,
        credential: config.credential_at(&receiver.broker, &receiver.credential),
        trust: &receiver.trust,
        places: places_of_receiver(name, receiver),
        sender: None,
    });
    senders.chain(receivers).collect()
}

fn places_of_sender<'a>(name: &str, sender: &'a config::Sender) -> Vec<Place<'a>> {
    let section = Channel::sender(name).section();
    let to = std::iter::once(&sender.destination).chain(sender.routes.values());
    let mut places: Vec<Place<'_>> =
        to.map(|destination| Place { subject: section.clone(), destination, sends: true }).collect();
    let subject = acknowledgements::subject("send", name);
    places.extend(sender.awaited().map(|awaited| Place { subject, destination: &awaited.from, sends: false }));
    places
}

/// The destination, and those of acknowledgements, each once.
fn places_of_receiver<'a>(name: &str, receiver: &'a config::Receiver) -> Vec<Place<'a>> {
    let from = Place { subject: Channel::receiver(name).section(), destination: &receiver.destination, sends: false };
    let mut places = vec![from];
    let subject = acknowledgements::subject("receive", name);
    for destination in receiver.acknowledgements.values() {
        if !places.iter().any(|place| place.destination == destination) {
            places.push(Place { subject: subject.clone(), destination, sends: true });
        }
    }
    places
}

async fn connect(broker: &Broker, identity: &Identity, shared: &Shared) -> Option<(Link, Connected)> {
    let link = Link::new(broker, identity, shared.registry.memory()).ok()?;
    let connected = link.connect_once().await.ok()?;
    Some((link, connected))
}

async fn look(place: &Place<'_>, link: &Link, connected: &Connected) -> Option<Found> {
    let Place { subject, destination, .. } = place;
    if let Some(examined) = link.examine(destination).await {
        return Some(match examined {
            Examined::Fit(text) => Found::ok(subject, text),
            Examined::Doubtful(text) => Found::warning(subject, text),
            Examined::Unfit(text) => Found::error(subject, text),
        });
    }
    let (Some(link), Destination::Stomp(destination)) = (link.stomp(), destination) else { return None };
    let server = connected.session.server();
    if rabbitmq::is_activemq(server) {
        return (destination.form() == Form::AmqQueue).then(|| {
            let text = format!("{destination} is a form of RabbitMQ; {server} takes all of it for the name of a queue");
            Found::warning(subject, text)
        });
    }
    if !rabbitmq::is_rabbitmq(server) && destination.form() != Form::AmqQueue {
        return None;
    }
    let passive = destination.without_declaring()?;
    let mut state = link.look_at_queue(connected, &passive).await;
    if matches!(state, QueueState::There { .. }) && destination.form() == Form::Queue {
        // It is there, so this declares nothing new; it shows whether it could.
        state = link.look_at_queue(connected, destination).await;
    }
    Some(judge(place, destination, &state))
}

fn judge(place: &Place<'_>, destination: &stomp::Destination, state: &QueueState) -> Found {
    let subject = &place.subject;
    let declares = destination.promise() == Promise::Held;
    match (state, state.complaint(destination)) {
        (QueueState::Missing, _) if declares => {
            let text =
                format!("{destination} is not declared yet; the first that uses it declares it as a durable queue");
            Found::ok(subject, text)
        }
        (QueueState::There { kind }, _) => Found::ok(subject, format!("{destination} is a {kind} queue")),
        (QueueState::Denied { .. }, Some(why)) if declares && place.sends => Found::warning(subject, why),
        (QueueState::Unclear { .. }, Some(why)) => Found::warning(subject, why),
        (_, why) => Found::error(subject, why.unwrap_or_default()),
    }
}

/// Acknowledgements where records go, under names that the configuration cannot know to be of one place.
async fn among_records(target: &Target<'_>, link: &Link, server: &str) -> Vec<Found> {
    let section = target.channel.section();
    let (records, acknowledgements): (Vec<_>, Vec<_>) =
        target.places.iter().partition(|place| place.subject == section);
    if acknowledgements.is_empty() {
        return Vec::new();
    }
    let subscription = target.places.iter().find(|place| matches!(place.destination, Destination::Subscription(_)));
    let topic = match subscription {
        Some(place) => link.topic_of(place.destination).await,
        None => None,
    };
    let clash = |place: &&Place<'_>| {
        let among = |of: &&Place<'_>| one_place(place.destination, of.destination, server, topic.as_deref());
        let records = records.iter().copied().find(among)?;
        let text = format!(
            "{} is where the records of {} go: name one that nothing but acknowledgements goes to",
            place.destination, records.destination
        );
        Some(Found::error(place.subject.clone(), text))
    };
    acknowledgements.iter().filter_map(clash).collect()
}

/// Whether what is sent to either of two destinations comes from the other. `topic` is that of a subscription among them.
fn one_place(one: &Destination, other: &Destination, server: &str, topic: Option<&str>) -> bool {
    match (one, other) {
        (Destination::Stomp(one), Destination::Stomp(other)) => {
            let queue = one.without_declaring();
            rabbitmq::is_rabbitmq(server) && queue.is_some() && queue == other.without_declaring()
        }
        (Destination::Topic(name), Destination::Subscription(_))
        | (Destination::Subscription(_), Destination::Topic(name)) => {
            topic.and_then(|topic| topic.rsplit('/').next()) == Some(name.as_str())
        }
        _ => false,
    }
}

/// Whether the largest message that is sent fits in a frame of RabbitMQ.
fn largest_frame(
    subject: &str,
    sender: &config::Sender,
    identity: &Identity,
    shared: &Shared,
    server: &str,
) -> Option<Found> {
    let recipient = match &sender.recipient_certificate {
        Some(file) => Some(shared.registry.recipient(file, identity).ok()?.current()),
        None => None,
    };
    let id = MessageId::parse("00000000/00000000000000").ok()?;
    let seal = Seal::new(seal_policy(sender), identity.credential.current(), &identity.trust, recipient).ok()?;
    let wire = |payload: u64| seal.text_size(&id, usize::try_from(payload).unwrap_or(usize::MAX));
    too_large_for_rabbitmq(sender.max_payload, wire, server).map(|text| Found::warning(subject, text))
}

fn too_large_for_rabbitmq(max_payload: u64, wire: impl Fn(u64) -> usize, server: &str) -> Option<String> {
    let fits = |payload: u64| wire(payload).saturating_add(FRAME_HEADERS) <= RABBITMQ_FRAME;
    let largest = wire(max_payload);
    if fits(max_payload) {
        return None;
    }
    let (mut low, mut high) = (0, max_payload);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if fits(middle) { low = middle } else { high = middle }
    }
    // A round figure leaves room for text that signing has to encode.
    let advised = low / 10_000 * 10_000;
    Some(format!(
        "a message of max-payload = {max_payload} bytes is {largest} on the wire, and RabbitMQ takes frames of \
         {RABBITMQ_FRAME} since 3.12.2 unless stomp.max_frame_size in rabbitmq.conf allows more (this is {server}): set \
         max-payload = {advised}, or have the broker's limit raised"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_limit_is_judged_by_what_it_becomes_on_the_wire() {
        let encrypted = |payload: u64| usize::try_from((payload + 4000).div_ceil(48) * 65).unwrap();
        assert_eq!(too_large_for_rabbitmq(3_000_000, encrypted, "RabbitMQ/4.1.0"), None);
        let text = too_large_for_rabbitmq(3_500_000, encrypted, "RabbitMQ/4.1.0").unwrap();
        assert!(text.contains("max-payload = 3090000") && text.contains("RabbitMQ/4.1.0"), "{text}");
        assert!(text.contains("4194304") && text.contains("3.12.2") && text.contains("stomp.max_frame_size"), "{text}");
        let signed = |payload: u64| usize::try_from(payload + 4000).unwrap();
        assert_eq!(too_large_for_rabbitmq(3_500_000, signed, "RabbitMQ/4.1.0"), None);
        assert!(too_large_for_rabbitmq(4 << 20, signed, "RabbitMQ/4.1.0").is_some());
    }

    #[test]
    fn two_names_of_one_place_are_known() {
        let stomp = |text: &str| Destination::stomp(text);
        let rabbitmq = "RabbitMQ/3.10.8";
        for (one, other, server, expected) in [
            ("/queue/a", "/amq/queue/a", rabbitmq, true),
            ("/amq/queue/a", "/amq/queue/a", rabbitmq, true),
            ("/queue/a", "/amq/queue/b", rabbitmq, false),
            ("/topic/a", "/topic/b", rabbitmq, false),
            ("/queue/a", "/amq/queue/a", "ActiveMQ/5.17.2", false),
        ] {
            assert_eq!(one_place(&stomp(one), &stomp(other), server, None), expected, "{one} {other} {server}");
        }
        let topic = Destination::Topic(ams::Topic::new("jobs").unwrap());
        let subscription = Destination::Subscription(ams::Subscription::new("jobs").unwrap());
        let of = |topic_of| one_place(&subscription, &topic, "", topic_of);
        assert!(of(Some("/projects/accounting/topics/jobs")));
        assert!(!of(Some("/projects/accounting/topics/acknowledgements")) && !of(None));
    }

    #[test]
    fn each_state_of_a_queue_is_judged_by_who_uses_it() {
        let config = super::super::super::queue::Site::new().config.clone();
        let all = targets(&config);
        let places: Vec<&Place<'_>> = all.iter().flat_map(|target| &target.places).collect();
        let sender = places.iter().find(|place| place.sends).unwrap();
        let receiver = places.iter().find(|place| !place.sends).unwrap();
        let (queue, named) = (stomp::Destination::parse("/queue/a"), stomp::Destination::parse("/amq/queue/a"));
        let level = |place: &Place<'_>, destination, state: &QueueState| judge(place, destination, state).level;
        use super::super::Level::{Error, Ok, Warning};
        let denied = QueueState::Denied { words: "ACCESS_REFUSED".to_owned() };
        let otherwise = QueueState::DeclaredOtherwise { words: "inequivalent arg 'x-max-length'".to_owned() };
        for (state, expected) in [
            (QueueState::There { kind: "quorum".to_owned() }, [Ok, Ok, Ok, Ok]),
            (QueueState::Missing, [Ok, Error, Ok, Error]),
            (QueueState::Stream, [Error; 4]),
            (otherwise, [Error; 4]),
            (denied, [Warning, Error, Error, Error]),
            (QueueState::Unclear { why: "no answer".to_owned() }, [Warning; 4]),
        ] {
            let found = [
                level(sender, &queue, &state),
                level(sender, &named, &state),
                level(receiver, &queue, &state),
                level(receiver, &named, &state),
            ];
            assert_eq!(found, expected, "{state:?}");
        }
    }
}
