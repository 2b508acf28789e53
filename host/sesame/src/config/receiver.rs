//! `[receive.NAME]`: a destination whose messages are opened, checked and stored on disk.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::acknowledgements;
use super::broker::Protocol;
use super::channel::{self, Repetition, Stage, Storage, Surroundings};
use super::defaults;
use super::process::{Credential, DAY, Trust};
use super::values;
use settings::Section;
use settings::Writer;
use settings::word;
use settings::{Complaint, complain};
use transport::Destination;
use trust::{DistinguishedName, Unlisted};

const UNLISTED: &[(&str, Unlisted)] = &[("reject", Unlisted::Reject), ("drop", Unlisted::Drop)];

/// Whether messages must come encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// Signed is enough.
    Optional,
    /// What came unencrypted is refused.
    Required,
}

const ENCRYPTION: &[(&str, Encryption)] = &[("optional", Encryption::Optional), ("required", Encryption::Required)];

/// What waits behind a deferred message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeferredOrder {
    /// The later messages of the same signer on this channel.
    Signer,
    /// Nothing.
    None,
}

const DEFERRED_ORDER: &[(&str, DeferredOrder)] = &[("signer", DeferredOrder::Signer), ("none", DeferredOrder::None)];

/// A channel that receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// Name of a `[broker.NAME]`.
    pub broker: String,
    /// What to receive from.
    pub destination: Destination,
    /// Whether the destination may be something else than a queue.
    pub allow_topic: bool,
    /// DN list: whose messages are stored.
    pub authorised: PathBuf,
    /// DN list that wins over `authorised`.
    pub banned: Option<PathBuf>,
    /// What becomes of messages of other signers.
    pub unlisted: Unlisted,
    /// `incoming`, `reject`, `deferred`, the routes' queues and the journal lie here.
    pub spool: PathBuf,
    /// Deliveries that are not acknowledged yet.
    pub prefetch: u32,
    /// Whether ActiveMQ is to give the queue to one subscriber at a time.
    pub exclusive: bool,
    /// Whether messages must come encrypted.
    pub encryption: Encryption,
    /// Messages signed longer ago are refused; by default the journal's retention.
    pub max_age: Duration,
    /// The largest content that is stored, in bytes.
    pub max_payload: u64,
    /// Stages in order; absent: the plugin folder, else `builtin:passthrough`.
    pub pipeline: Option<Vec<Stage>>,
    /// What waits behind a deferred message.
    pub deferred_order: DeferredOrder,
    /// How often a deferred message is tried.
    pub repetition: Repetition,
    /// How long refused messages are kept; absent: for ever.
    pub reject_retention: Option<Duration>,
    /// Rights and room of what is written.
    pub storage: Storage,
    /// How long numbered messages may be missing before they are reported; absent: they never are.
    pub missing_after: Option<Duration>,
    /// Where acknowledgements for a signer go; none are sent for others.
    pub acknowledgements: BTreeMap<DistinguishedName, Destination>,
    /// Whether records are counted by site, as `[journal]` says.
    pub count_records: bool,
    /// Names of queue directories in the spool, by route name.
    pub routes: BTreeMap<String, String>,
    /// What decrypts, and presents us to the broker.
    pub credential: Credential,
    /// Whose certificates are believed.
    pub trust: Trust,
}

/// No gap is reported.
const NEVER: &str = "never";

/// What else lies in a spool.
const TAKEN: &[&str] = &["reject", "deferred", "journal"];

impl Receiver {
    pub(super) fn read(section: &Section<'_, '_>, around: &Surroundings<'_>) -> Option<Self> {
        let allow_topic = section.flag("allow-topic").unwrap_or(defaults::ALLOW_TOPIC);
        let broker = channel::read_broker(section, around);
        let protocol = broker.as_ref().map_or(Protocol::Stomp, |(_, protocol)| *protocol);
        let source = |text: &str| values::source(protocol, text, allow_topic);
        let destination = channel::read_destination(section, values::source_example(protocol), source);
        let authorised = section.path("authorised");
        let authorised =
            section.required("authorised", authorised, "add authorised = \"/etc/sesame/dns\", a list of DNs");
        let spool = section.required("spool", section.path("spool"), "add spool = \"/var/spool/apel\"");
        let (credential, trust) = channel::read_identity(section, around);
        let receiver = Self {
            broker: String::new(),
            destination: Destination::stomp(""),
            allow_topic,
            authorised: PathBuf::new(),
            banned: section.path("banned"),
            unlisted: section.choice("unlisted", UNLISTED).unwrap_or(Unlisted::Reject),
            spool: PathBuf::new(),
            prefetch: section.number("prefetch", 1..=10_000).unwrap_or(defaults::PREFETCH),
            exclusive: Self::read_exclusive(section, protocol),
            encryption: section.choice("encryption", ENCRYPTION).unwrap_or(Encryption::Optional),
            max_age: Self::read_max_age(section, around),
            max_payload: channel::read_max_payload(section),
            pipeline: channel::read_pipeline(section),
            deferred_order: section.choice("deferred-order", DEFERRED_ORDER).unwrap_or(DeferredOrder::Signer),
            repetition: Repetition::read(section),
            reject_retention: section.retention("reject-retention").flatten(),
            storage: Storage::read(section),
            missing_after: Self::read_missing_after(section, around),
            routes: channel::read_routes(section, queue_name),
            acknowledgements: acknowledgements::read_destinations(section, protocol),
            count_records: around.journal.count_records,
            credential,
            trust,
        };
        section.finish();
        let receiver =
            Self { broker: broker?.0, destination: destination?, authorised: authorised?, spool: spool?, ..receiver };
        receiver.check(section);
        Some(receiver)
    }

    /// A replay must be recognised by the journal or refused for its age, so the age may not be the longer of the two.
    fn read_max_age(section: &Section<'_, '_>, around: &Surroundings<'_>) -> Duration {
        let retention = around.journal.retention;
        let age = section.duration("max-age", Duration::from_secs(1)..=DAY.saturating_mul(36_500));
        if age.is_some_and(|age| age > retention) {
            let kept = settings::values::show_duration(retention);
            let problem = format!("is longer than the journal is kept, \"{kept}\": a replay would be stored again");
            section.complain("max-age", complain(problem, "lower it, or raise retention in [journal]"));
        }
        age.unwrap_or(retention)
    }

    /// AMS does without: it gives a message to one puller until the deadline for its acknowledgement.
    fn read_exclusive(section: &Section<'_, '_>, protocol: Protocol) -> bool {
        let exclusive = section.flag("exclusive").unwrap_or(defaults::EXCLUSIVE);
        if exclusive && protocol == Protocol::Ams {
            section.complain("exclusive", complain("is for queues of STOMP", "remove this line"));
        }
        exclusive
    }

    /// A length of time, or `"never"`. The journal forgets what is missing for longer than it is kept.
    fn read_missing_after(section: &Section<'_, '_>, around: &Surroundings<'_>) -> Option<Duration> {
        let remedy = "write \"never\" or a number and its unit: \"15m\"";
        let retention = around.journal.retention;
        let read = section.parsed("missing-after", remedy, |text| match text {
            NEVER => Ok(None),
            _ => match settings::values::duration(text) {
                Ok(Duration::ZERO) => {
                    Err(complain("\"0s\" would report every message that comes out of order", remedy))
                }
                Ok(after) if after > retention => {
                    let kept = settings::values::show_duration(retention);
                    let problem = format!("is longer than the journal is kept, \"{kept}\": nothing would be reported");
                    Err(complain(problem, "lower it, or raise retention in [journal]"))
                }
                Ok(after) => Ok(Some(after)),
                Err(Complaint { problem, .. }) => Err(complain(problem, remedy)),
            },
        });
        read.unwrap_or(Some(defaults::MISSING_AFTER))
    }

    /// The key of the destination.
    fn destination_key(&self) -> &'static str {
        if matches!(self.destination, Destination::Subscription(_)) { "subscription" } else { "destination" }
    }

    fn check(&self, section: &Section<'_, '_>) {
        section.readable_file("authorised", &self.authorised);
        if let Some(banned) = &self.banned {
            if *banned == self.authorised {
                let remedy = "give it a file of its own, or remove the key";
                section.complain("banned", complain("is the list of authorised signers", remedy));
            }
            section.readable_file("banned", banned);
        }
        section.directory("spool", &self.spool);
    }

    pub(super) fn write(&self, writer: &mut Writer, name: &str, general: (&Credential, &Trust)) {
        writer
            .section(&["receive", name])
            .text("broker", &self.broker)
            .text(self.destination_key(), &self.destination)
            .flag("allow-topic", self.allow_topic)
            .path("authorised", &self.authorised)
            .path_if("banned", self.banned.as_ref())
            .text("unlisted", word(UNLISTED, self.unlisted))
            .path("spool", &self.spool)
            .number("prefetch", self.prefetch)
            .flag("exclusive", self.exclusive)
            .text("encryption", word(ENCRYPTION, self.encryption))
            .duration("max-age", self.max_age)
            .size("max-payload", self.max_payload)
            .list_if("pipeline", self.pipeline.as_ref())
            .text("deferred-order", word(DEFERRED_ORDER, self.deferred_order))
            .retention("reject-retention", self.reject_retention)
            .text(
                "missing-after",
                &self.missing_after.map_or_else(|| NEVER.to_owned(), settings::values::show_duration),
            );
        self.repetition.write(writer);
        self.storage.write(writer);
        channel::write_below(writer, ["receive", name], (&self.credential, &self.trust), general, &self.routes);
        acknowledgements::write_destinations(writer, name, &self.acknowledgements);
    }
}

/// A route's target: the name of a directory beside `incoming`.
fn queue_name(text: &str) -> Result<String, Complaint> {
    let remedy = "write the name of a directory in the spool, such as \"incoming-cloud\"";
    if !channel::is_name(text) {
        return Err(complain(format!("{text:?} cannot be the name of a queue directory"), remedy));
    }
    if TAKEN.iter().any(|taken| text == *taken || text.starts_with("journal.")) {
        return Err(complain(format!("{text:?} is used for something else in the spool"), remedy));
    }
    Ok(text.to_owned())
}
