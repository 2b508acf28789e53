//! What must hold between sections: names used once, no two channels on one directory, room for a frame.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Config;
use super::channel::{Stage, is_name};
use settings::Section;
use settings::values::show_size;
use settings::{complain, nearest};
use transport::{Broker, Destination, StompBroker};

pub(super) fn check(config: &Config, root: &Section<'_, '_>) {
    names(root);
    rooms(config, root);
    unseen_credentials(config, root);
    directories(config, root);
    plugins(config, root);
    shared_files(config, root);
    shared_acknowledgements(config, root);
    acknowledgements_among_records(config, root);
}

/// Names of brokers and channels are words, and no sender is called like a receiver: commands take channel names.
fn names(root: &Section<'_, '_>) {
    let names = |kind| root.sections(kind).into_iter().map(|(name, _)| name).collect::<BTreeSet<_>>();
    let (senders, receivers) = (names("send"), names("receive"));
    for (kind, names) in [
        ("broker", &names("broker")),
        ("send", &senders),
        ("receive", &receivers),
        ("table", &names("table")),
        ("secret", &names("secret")),
    ] {
        for name in names.iter().filter(|name| !is_name(name)) {
            let remedy = "use letters, digits, \".\", \"_\" and \"-\", at most 64";
            root.complain_at(&[kind, name], complain("cannot be a name", remedy));
        }
    }
    for name in senders.intersection(&receivers) {
        let problem = format!("[send.{name}] has the same name, and commands take only the name");
        root.complain_at(&["receive", name], complain(problem, "give one of the two channels another name"));
    }
}

/// A credential of a broker that no one is shown.
fn unseen_credentials(config: &Config, root: &Section<'_, '_>) {
    for name in config.broker_credentials.keys() {
        let reason = match config.brokers.get(name) {
            Some(Broker::Stomp(broker)) if !broker.tls => "tls = false",
            Some(Broker::Ams(broker)) if broker.token_file.is_some() => "token-file",
            _ => continue,
        };
        let problem = format!("is never shown to the broker because of {reason}");
        root.complain_at(&["broker", name, "credential"], complain(problem, format!("remove it, or {reason}")));
    }
}

/// A frame must fit into memory, and a channel's largest message into a frame: sealing may make it twice as long.
fn rooms(config: &Config, root: &Section<'_, '_>) {
    for (name, broker) in &config.brokers {
        let Broker::Stomp(broker) = broker else { continue };
        if broker.max_frame > config.limits.memory {
            let (frame, memory) = (show_size(broker.max_frame), show_size(config.limits.memory));
            let problem = format!("a frame of {frame} would not fit into the memory of [limits], {memory}");
            root.complain_at(
                &["broker", name, "max-frame"],
                complain(problem, "lower it, or raise memory in [limits]"),
            );
        }
    }
    let senders = config.senders.iter().map(|(name, sender)| ("send", name, &sender.broker, sender.max_payload));
    let receivers =
        config.receivers.iter().map(|(name, receiver)| ("receive", name, &receiver.broker, receiver.max_payload));
    for (kind, name, broker, max_payload) in senders.chain(receivers) {
        // What fits into a message of AMS is known once it is sealed.
        let Some(Broker::Stomp(StompBroker { max_frame, .. })) = config.brokers.get(broker) else { continue };
        if max_payload.saturating_mul(2) > *max_frame {
            let problem = format!(
                "a sealed message of {} may need a frame of twice its size, the limit of broker {broker:?} is {}",
                show_size(max_payload),
                show_size(*max_frame)
            );
            let remedy = "lower it, or raise max-frame of the broker";
            root.complain_at(&[kind, name, "max-payload"], complain(problem, remedy));
        }
    }
}

/// What a channel does with a directory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Others' files and directories may lie in it.
    Shared,
    /// All that lies in it is ours.
    Owned,
}

struct Claim<'c> {
    path: PathBuf,
    usage: Use,
    /// `send` or `receive`.
    kind: &'static str,
    channel: &'c str,
    key: &'static str,
}

impl<'c> Claim<'c> {
    fn send(channel: &'c str, key: &'static str, path: &Path, usage: Use) -> Self {
        Self { path: path.to_owned(), usage, kind: "send", channel, key }
    }

    fn receive(channel: &'c str, path: PathBuf, usage: Use) -> Self {
        Self { path, usage, kind: "receive", channel, key: "spool" }
    }

    fn same_channel(&self, other: &Self) -> bool {
        self.kind == other.kind && self.channel == other.channel
    }

    fn clashes_with(&self, other: &Self) -> bool {
        let inside = |inner: &Self, outer: &Self| outer.usage == Use::Owned && inner.path.starts_with(&outer.path);
        self.path == other.path || inside(self, other) || inside(other, self)
    }
}

/// The directories of every channel; the first of a channel is the one that its operator named.
fn claims(config: &Config) -> Vec<Claim<'_>> {
    let mut claims = Vec::new();
    for (channel, sender) in &config.senders {
        claims.push(Claim::send(channel, "queue", &sender.queue, Use::Shared));
        claims.push(Claim::send(channel, "state", &sender.state, Use::Owned));
        claims.push(Claim::send(channel, "reject", &sender.reject, Use::Owned));
    }
    for (channel, receiver) in &config.receivers {
        claims.push(Claim::receive(channel, receiver.spool.clone(), Use::Shared));
        let own = ["incoming", "reject", "deferred"].into_iter();
        let queues: BTreeSet<&str> = own.chain(receiver.routes.values().map(String::as_str)).collect();
        claims.extend(queues.into_iter().map(|queue| Claim::receive(channel, receiver.spool.join(queue), Use::Owned)));
    }
    claims
}

/// The path without symbolic links, as far as it exists.
fn real(path: &Path) -> PathBuf {
    match (std::fs::canonicalize(path), path.parent(), path.file_name()) {
        (Ok(real), _, _) => real,
        (Err(_), Some(parent), Some(name)) => real(parent).join(name),
        (Err(_), _, _) => path.to_owned(),
    }
}

/// No directory is used twice, and nothing lies in a directory that a channel takes for its own. Of two channels that get in
/// each other's way more than once, the first instance is reported.
fn directories(config: &Config, root: &Section<'_, '_>) {
    let mut claims = claims(config);
    if root.looks_at_files() {
        claims.iter_mut().for_each(|claim| claim.path = real(&claim.path));
    }
    let mut reported: Vec<(&Claim<'_>, &Claim<'_>)> = Vec::new();
    for (number, later) in claims.iter().enumerate() {
        for earlier in claims.iter().take(number).filter(|earlier| earlier.clashes_with(later)) {
            let receivers_own = later.kind == "receive" && later.same_channel(earlier);
            if !receivers_own
                && !reported.iter().any(|(one, other)| one.same_channel(earlier) && other.same_channel(later))
            {
                reported.push((earlier, later));
            }
        }
    }
    for (earlier, later) in reported {
        let path = later.path.display();
        let problem = format!("{path} overlaps with {} of [{}.{}]", earlier.key, earlier.kind, earlier.channel);
        let remedy = "give each channel directories of its own";
        root.complain_at(&[later.kind, later.channel, later.key], complain(problem, remedy));
    }
}

/// Every `[plugin.NAME]` belongs to a plugin that a pipeline lists, or to the stock one.
fn plugins(config: &Config, root: &Section<'_, '_>) {
    let senders = config.senders.values().map(|sender| &sender.pipeline);
    let receivers = config.receivers.values().map(|receiver| &receiver.pipeline);
    let mut listed: BTreeSet<String> = senders.chain(receivers).flatten().flatten().map(Stage::to_string).collect();
    listed.insert(plugins::PASSTHROUGH.to_owned());
    let channels = ["send", "receive"].into_iter().flat_map(|kind| root.sections(kind));
    let channels: BTreeSet<String> = channels.map(|(name, _)| name).collect();
    let named = |kind| root.sections(kind).into_iter().map(|(name, _)| name).collect::<BTreeSet<String>>();
    let (tables, secrets) = (named("table"), named("secret"));
    for (name, section) in root.sections("plugin") {
        if let Some(settings) = config.plugin.get(&name) {
            settings.check_channels(&section, &channels);
            settings.check_resources(&section, &tables, &secrets);
        }
        if !listed.contains(&name) {
            let remedy = match nearest(&name, listed.iter().map(String::as_str)) {
                Some(meant) => format!("did you mean [plugin.{meant:?}]?"),
                None => {
                    "add it to a channel's pipeline; a plugin of the folder has its settings in its sidecar".to_owned()
                }
            };
            root.complain_at(&["plugin", &name], complain("is in no channel's pipeline", remedy));
        }
    }
}

/// The files of the general credential and trust, where a channel uses them.
fn shared_files(config: &Config, root: &Section<'_, '_>) {
    let channels: Vec<_> = ["send", "receive"].into_iter().flat_map(|kind| root.sections(kind)).collect();
    if channels.iter().any(|(_, section)| !section.has("credential")) {
        config.credential.check_files(&root.section("credential"));
    }
    if channels.iter().any(|(_, section)| !section.has("trust")) {
        config.trust.check_files(&root.section("trust"));
    }
}
/// Senders that take acknowledgements from one source are one receiver to the broker, which needs one identity.
fn shared_acknowledgements(config: &Config, root: &Section<'_, '_>) {
    for (name, sender) in &config.senders {
        let mut others = config.senders.iter().take_while(|(other, _)| *other != name);
        let clash = others.find(|(_, other)| {
            other.shares_acknowledgements(sender)
                && (&other.credential, &other.trust) != (&sender.credential, &sender.trust)
        });
        if let Some((other, _)) = clash {
            let problem = format!("is that of [send.{other}], which has another credential or trust");
            let remedy = "name a queue for each, or give both the same credential and trust";
            root.complain_at(&["send", name, "acknowledgements", "from"], complain(problem, remedy));
        }
    }
}
/// Acknowledgements and records in one queue: each side would take what is meant for the other.
fn acknowledgements_among_records(config: &Config, root: &Section<'_, '_>) {
    let of_records = |broker: &str, destination: &Destination| {
        let sender = config.senders.iter().find(|(_, sender)| {
            sender.broker == broker
                && std::iter::once(&sender.destination).chain(sender.routes.values()).any(|it| it == destination)
        });
        let receiver = config.receivers.iter().find(|(_, it)| it.broker == broker && it.destination == *destination);
        let sender = sender.map(|(name, _)| format!("send.{name}"));
        sender.or_else(|| receiver.map(|(name, _)| format!("receive.{name}")))
    };
    let complaint = |section: String| {
        let problem = format!("is where the records of [{section}] go");
        complain(problem, "name a queue that nothing but acknowledgements goes to")
    };
    for (name, sender) in &config.senders {
        let Some(awaited) = &sender.acknowledgements else { continue };
        if let Some(section) = of_records(&sender.broker, &awaited.from) {
            root.complain_at(&["send", name, "acknowledgements", "from"], complaint(section));
        }
    }
    for (name, receiver) in &config.receivers {
        for (signer, destination) in &receiver.acknowledgements {
            if let Some(section) = of_records(&receiver.broker, destination) {
                root.complain_at(&["receive", name, "acknowledgements", &signer.line()], complaint(section));
            }
        }
    }
}
