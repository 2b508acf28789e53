//! Acknowledgements: whether a sender waits for them, and where a receiver sends them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::broker::Protocol;
use super::defaults;
use super::process::DAY;
use super::values;
use settings::{Complaint, Section, Writer, complain, word};
use transport::Destination;
use trust::DistinguishedName;

/// Whether a sender waits for acknowledgements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It asks for none, and waits only for what it kept before.
    Off,
    /// It keeps what it sent to a destination whose receiver has acknowledged something before.
    Optional,
    /// It keeps everything that it sent until it is acknowledged.
    Required,
}

const MODES: &[(&str, Mode)] = &[("off", Mode::Off), ("optional", Mode::Optional), ("required", Mode::Required)];

/// `[send.NAME.acknowledgements]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgements {
    /// Whether to wait for them.
    pub mode: Mode,
    /// Where they come from, at the channel's broker.
    pub from: Destination,
    /// Whose acknowledgements count; empty: those of the owner of `recipient-certificate`.
    pub receivers: Vec<DistinguishedName>,
    /// A message that is not acknowledged for so long is sent again; the time doubles from one repeat to the next.
    pub repeat_after: Duration,
}

impl Acknowledgements {
    /// Reads the section of a sender, if it has one. `encrypts`: whether the sender has a recipient certificate.
    pub(super) fn read(channel: &Section<'_, '_>, protocol: Protocol, encrypts: bool) -> Option<Self> {
        if !channel.has(KEY) {
            return None;
        }
        let section = channel.section(KEY);
        let example = match protocol {
            Protocol::Stomp => "add from = \"/queue/acknowledgements.SITE\"",
            Protocol::Ams => "add from = \"SUBSCRIPTION\"",
        };
        let from = section.parsed("from", example, |text| {
            values::source(protocol, text, false).map_err(|complaint| no_topic(protocol, complaint))
        });
        let from = section.required("from", from, example);
        let receivers = section.texts("receivers").unwrap_or_default();
        let receivers: Vec<DistinguishedName> = receivers.iter().filter_map(|text| read_name(&section, text)).collect();
        if receivers.is_empty() && !encrypts && !section.has("receivers") {
            let problem = "is missing, and there is no recipient-certificate that names the receiver";
            section.complain("receivers", complain(problem, "add receivers = [\"DN of the receiver's certificate\"]"));
        }
        // All repeats together must end before receivers forget the message.
        let range = Duration::from_secs(1)..=DAY;
        let read = Self {
            mode: section.choice("mode", MODES).unwrap_or(Mode::Optional),
            from: Destination::stomp(""),
            receivers,
            repeat_after: section.duration("repeat-after", range).unwrap_or(defaults::REPEAT_AFTER),
        };
        section.finish();
        Some(Self { from: from?, ..read })
    }

    pub(super) fn write(&self, writer: &mut Writer, name: &str) {
        let receivers: Vec<String> = self.receivers.iter().map(DistinguishedName::line).collect();
        let section = writer.section(&["send", name, KEY]);
        section.text("mode", word(MODES, self.mode)).text("from", &self.from);
        section.list_if("receivers", Some(&receivers).filter(|list| !list.is_empty()));
        section.duration("repeat-after", self.repeat_after);
    }
}

/// A topic would lose acknowledgements, so that the channel's `allow-topic` has no say.
fn no_topic(protocol: Protocol, complaint: Complaint) -> Complaint {
    if protocol == Protocol::Ams {
        return complaint;
    }
    Complaint { remedy: "name a queue such as \"/queue/acknowledgements.SITE\"".to_owned(), ..complaint }
}

/// The key of both sections.
const KEY: &str = "acknowledgements";

fn read_name(section: &Section<'_, '_>, text: &str) -> Option<DistinguishedName> {
    match DistinguishedName::parse(text) {
        Ok(name) => Some(name),
        Err(error) => {
            let remedy = "write it as `openssl x509 -noout -subject -nameopt rfc2253` prints it, or in slash form";
            section.complain("receivers", complain(format!("{text:?} is not a DN: {error}"), remedy));
            None
        }
    }
}

/// `[receive.NAME.acknowledgements]`: where acknowledgements for a signer go, at the channel's broker.
pub(super) fn read_destinations(
    channel: &Section<'_, '_>,
    protocol: Protocol,
) -> BTreeMap<DistinguishedName, Destination> {
    let mut destinations = BTreeMap::new();
    for (text, destination) in channel.map(KEY) {
        let name = DistinguishedName::parse(&text).map_err(|error| {
            complain(format!("is not a DN: {error}"), "write the signer's DN as the list of signers has it")
        });
        let parsed = name.and_then(|name| {
            Ok((
                name,
                values::target(protocol, &destination, false).map_err(|complaint| no_topic(protocol, complaint))?,
            ))
        });
        match parsed {
            Ok((name, _)) if destinations.contains_key(&name) => {
                channel.complain_at(&[KEY, &text], complain("names a signer that is there already", "remove one line"));
            }
            Ok((name, destination)) => {
                destinations.insert(name, destination);
            }
            Err(complaint) => channel.complain_at(&[KEY, &text], complaint),
        }
    }
    destinations
}

pub(super) fn write_destinations(
    writer: &mut Writer,
    name: &str,
    destinations: &BTreeMap<DistinguishedName, Destination>,
) {
    if destinations.is_empty() {
        return;
    }
    let section = writer.section(&["receive", name, KEY]);
    for (signer, destination) in destinations {
        section.text(&signer.line(), destination);
    }
}
