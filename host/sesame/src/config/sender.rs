//! `[send.NAME]`: a queue on disk whose messages go to a broker.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::acknowledgements::{Acknowledgements, Mode};
use super::broker::Protocol;
use super::channel::{self, Repetition, Stage, Storage, Surroundings};
use super::defaults;
use super::process::{Credential, HOUR, Trust};
use super::values;
use settings::Section;
use settings::Writer;
use settings::complain;
use settings::word;
use smime::Peer;
use spool::Format;
use transport::Destination;

const FORMATS: &[(&str, Format)] = &[("dirq", Format::Dirq), ("directory", Format::Directory)];

const PEERS: &[(&str, Peer)] = &[("ssm", Peer::Ssm), ("sesame", Peer::Sesame)];

/// A channel that sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Name of a `[broker.NAME]`.
    pub broker: String,
    /// The outgoing queue.
    pub queue: PathBuf,
    /// Its layout.
    pub format: Format,
    /// The default route.
    pub destination: Destination,
    /// Whether a destination may be something else than a queue.
    pub allow_topic: bool,
    /// Whom to encrypt for; absent: sign only.
    pub recipient_certificate: Option<PathBuf>,
    /// Who reads what is sealed.
    pub peer: Peer,
    /// Stages in order; absent: the plugin folder, else `builtin:passthrough`.
    pub pipeline: Option<Vec<Stage>>,
    /// Messages in flight without a receipt.
    pub window: u32,
    /// The largest message that is sent, in bytes.
    pub max_payload: u64,
    /// How often the queue is looked through, beside the kernel's notices.
    pub poll: Duration,
    /// Prepared messages and the journal, by default `QUEUE.state`.
    pub state: PathBuf,
    /// Refused messages, by default `QUEUE.reject`.
    pub reject: PathBuf,
    /// How long refused messages are kept; absent: for ever.
    pub reject_retention: Option<Duration>,
    /// How often a message is tried whose plugin could not answer.
    pub repetition: Repetition,
    /// Rights and room of what is written.
    pub storage: Storage,
    /// Destinations by route name.
    pub routes: BTreeMap<String, Destination>,
    /// Whether to wait for acknowledgements; absent: no.
    pub acknowledgements: Option<Acknowledgements>,
    /// Whether records are counted by site, as `[journal]` says.
    pub count_records: bool,
    /// Whose signature it bears.
    pub credential: Credential,
    /// Whose certificates are believed.
    pub trust: Trust,
}

impl Sender {
    pub(super) fn read(section: &Section<'_, '_>, around: &Surroundings<'_>) -> Option<Self> {
        let allow_topic = section.flag("allow-topic").unwrap_or(defaults::ALLOW_TOPIC);
        let broker = channel::read_broker(section, around);
        let protocol = broker.as_ref().map_or(Protocol::Stomp, |(_, protocol)| *protocol);
        let target = |text: &str| values::target(protocol, text, allow_topic);
        let destination = channel::read_destination(section, values::target_example(protocol), target);
        let queue = section.required("queue", section.path("queue"), "add queue = \"/var/spool/apel/outgoing\"");
        let beside = |suffix: &str| queue.as_deref().map(|queue| with_suffix(queue, suffix)).unwrap_or_default();
        let (credential, trust) = channel::read_identity(section, around);
        let longest = 24 * HOUR;
        let sender = Self {
            broker: String::new(),
            queue: PathBuf::new(),
            format: section.choice("format", FORMATS).unwrap_or(Format::Dirq),
            destination: Destination::stomp(""),
            allow_topic,
            recipient_certificate: section.path("recipient-certificate"),
            peer: section.choice("peer", PEERS).unwrap_or(Peer::Ssm),
            pipeline: channel::read_pipeline(section),
            window: section.number("window", 1..=4096).unwrap_or(defaults::WINDOW),
            max_payload: channel::read_max_payload(section),
            poll: section.duration("poll", Duration::from_millis(10)..=longest).unwrap_or(defaults::POLL),
            state: section.path("state").unwrap_or_else(|| beside("state")),
            reject: section.path("reject").unwrap_or_else(|| beside("reject")),
            reject_retention: section.retention("reject-retention").flatten(),
            repetition: Repetition::read(section),
            storage: Storage::read(section),
            routes: channel::read_routes(section, target),
            acknowledgements: Acknowledgements::read(section, protocol, section.has("recipient-certificate")),
            count_records: around.journal.count_records,
            credential,
            trust,
        };
        section.finish();
        let sender = Self { broker: broker?.0, queue: queue?, destination: destination?, ..sender };
        sender.check(section);
        Some(sender)
    }

    /// What it waits for, unless that is off.
    #[must_use]
    pub fn awaited(&self) -> Option<&Acknowledgements> {
        self.acknowledgements.as_ref().filter(|acknowledgements| acknowledgements.mode != Mode::Off)
    }

    /// Whether acknowledgements for both come from one source, also where one of them asks for no more.
    #[must_use]
    pub fn shares_acknowledgements(&self, other: &Self) -> bool {
        let both = self.acknowledgements.as_ref().zip(other.acknowledgements.as_ref());
        self.broker == other.broker && both.is_some_and(|(one, other)| one.from == other.from)
    }

    fn check(&self, section: &Section<'_, '_>) {
        if let Some(certificate) = &self.recipient_certificate {
            if *certificate == self.credential.certificate {
                let problem = "is our own certificate: the receiver could not read the messages";
                let remedy = "give the certificate of the receiver, or remove the key to sign only";
                section.complain("recipient-certificate", complain(problem, remedy));
            }
            section.readable_file("recipient-certificate", certificate);
        }
        for (key, path) in [("state", &self.state), ("reject", &self.reject)] {
            if path.starts_with(&self.queue) {
                let problem = format!("{} is inside the queue", path.display());
                section.complain(key, complain(problem, "choose a directory beside the queue, on the same disk"));
            }
        }
        section.directory("queue", &self.queue);
        if section.has("state") {
            section.directory("state", &self.state);
        }
        if section.has("reject") {
            section.directory("reject", &self.reject);
        }
    }

    pub(super) fn write(&self, writer: &mut Writer, name: &str, general: (&Credential, &Trust)) {
        writer
            .section(&["send", name])
            .text("broker", &self.broker)
            .path("queue", &self.queue)
            .text("format", word(FORMATS, self.format))
            .text("destination", &self.destination)
            .flag("allow-topic", self.allow_topic)
            .path_if("recipient-certificate", self.recipient_certificate.as_ref())
            .text("peer", word(PEERS, self.peer))
            .list_if("pipeline", self.pipeline.as_ref())
            .number("window", self.window)
            .size("max-payload", self.max_payload)
            .duration("poll", self.poll)
            .path("state", &self.state)
            .path("reject", &self.reject)
            .retention("reject-retention", self.reject_retention);
        self.repetition.write(writer);
        self.storage.write(writer);
        channel::write_below(writer, ["send", name], (&self.credential, &self.trust), general, &self.routes);
        if let Some(acknowledgements) = &self.acknowledgements {
            acknowledgements.write(writer, name);
        }
    }
}

/// `/a/outgoing` and `state` make `/a/outgoing.state`.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(suffix);
    path.with_file_name(name)
}
