//! A report as a file: JSON, or JSON in a signed message. One that is read may come from anyone.
//!
//! # Limits
//! A file has at most [`MOST_BYTES`].

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use super::super::context::Context;
use crate::channel::trust_settings;
use crate::config::Config;
use message::Month;
use message::cause::chain;
use message::text::escaped;
use smime::{OpenPolicy, Opened};
use trust::TrustStore;

/// The format that this Sesame writes and reads.
pub(super) const FORMAT: u32 = 1;
/// The largest file that is read, in bytes.
pub(super) const MOST_BYTES: u64 = 32 << 20;
/// The media type of a signed report.
pub(super) const CONTENT_TYPE: &str = "application/sesame-report; version=1";

/// A report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Report {
    #[serde(rename = "sesame-report")]
    pub(super) format: u32,
    pub(super) month: String,
    /// When it was made.
    pub(super) made: String,
    pub(super) rows: Vec<Row>,
}

impl Report {
    /// The report as JSON on one line.
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Which side a line is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Side {
    Sender,
    Receiver,
}

impl Side {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sender => "sender",
            Self::Receiver => "receiver",
        }
    }
}

/// What one channel exchanged with one peer in one stream, of one site and format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) side: Side,
    pub(super) channel: String,
    /// Our DN with its issuer.
    pub(super) own: String,
    /// At a sender the destination, at a receiver the DN of the signer with its issuer.
    pub(super) peer: String,
    /// Empty where messages have no numbers.
    pub(super) stream: String,
    pub(super) site: String,
    /// Empty of numbers that are missing.
    pub(super) format: String,
    /// At a receiver what arrived.
    pub(super) sent: Amount,
    pub(super) acknowledged: Amount,
    pub(super) rejected: Amount,
    pub(super) missing: Amount,
    pub(super) overdue: Amount,
    pub(super) duplicates: Amount,
}

impl Row {
    /// A line with nothing in it. `known` is whether the records can be counted.
    pub(super) fn new(
        (side, channel, own): (Side, &str, &str),
        (peer, stream, site, format): &(String, String, String, String),
        known: bool,
    ) -> Self {
        let none = Amount { messages: 0, records: known.then_some(0) };
        Self {
            side,
            channel: channel.to_owned(),
            own: own.to_owned(),
            peer: peer.clone(),
            stream: stream.clone(),
            site: site.clone(),
            format: format.clone(),
            sent: none,
            acknowledged: none,
            rejected: none,
            missing: none,
            overdue: none,
            duplicates: none,
        }
    }
}

/// How many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Amount {
    pub(super) messages: u64,
    /// `None` if they were not counted.
    pub(super) records: Option<u64>,
}

impl Amount {
    pub(super) fn add(&mut self, other: Self) {
        self.messages = self.messages.saturating_add(other.messages);
        self.records = match (self.records, other.records) {
            (Some(one), Some(other)) => Some(one.saturating_add(other)),
            (one, other) => one.or(other),
        };
    }
}

/// A report that was read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) report: Report,
    /// Who signed it, if it is signed.
    pub(super) signer: Option<String>,
}

/// Reads a report. Only a signed one needs a configuration, for the trust anchors.
pub(super) fn read(context: &Context, path: &Path) -> anyhow::Result<Read> {
    let mut raw = Vec::new();
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    file.take(MOST_BYTES + 1).read_to_end(&mut raw).with_context(|| format!("cannot read {}", path.display()))?;
    let of_file = || path.display().to_string();
    if raw.len() as u64 > MOST_BYTES {
        bail!("{} is larger than {} MiB, so it is no report", path.display(), MOST_BYTES >> 20);
    }
    if raw.trim_ascii_start().starts_with(b"{") {
        return Ok(Read { report: parse(&raw).with_context(of_file)?, signer: None });
    }
    let config = context.config().context("a signed report is verified with the trust anchors of the configuration")?;
    let opened = open(&raw, &config).with_context(of_file)?;
    if opened.content_type() != Some(CONTENT_TYPE) {
        bail!("{} is signed, but is no report", path.display());
    }
    let report = parse(opened.payload()).with_context(of_file)?;
    let signer = opened.signer();
    if !is_of(&report, &crate::receiver::signer_key(signer)) {
        bail!("{} is signed by {}, and has figures of another", path.display(), escaped(&signer.subject.line()));
    }
    Ok(Read { report, signer: Some(signer.subject.line()) })
}

/// Whether every line of a report is about the channels of this signer, as the journal names it.
pub(super) fn is_of(report: &Report, signer: &str) -> bool {
    report.rows.iter().all(|row| row.own == signer)
}

pub(super) fn parse(content: &[u8]) -> anyhow::Result<Report> {
    #[derive(Deserialize)]
    struct Head {
        #[serde(rename = "sesame-report")]
        format: u32,
    }
    let head: Head = serde_json::from_slice(content).context("is no report of sesame report --json")?;
    if head.format != FORMAT {
        bail!("is of format {}, and this Sesame reads format {FORMAT}", head.format);
    }
    let report: Report = serde_json::from_slice(content).context("is no report of sesame report --json")?;
    report.month.parse::<Month>().context("has no month")?;
    Ok(report)
}

/// Opens a signed report with the anchors of the configuration: those for all channels, or those of a channel.
fn open(raw: &[u8], config: &Config) -> anyhow::Result<Opened> {
    let of_channels = config.senders.values().map(|sender| &sender.trust);
    let of_channels = of_channels.chain(config.receivers.values().map(|receiver| &receiver.trust));
    let mut tried: Vec<&crate::config::Trust> = Vec::new();
    let mut fault = None;
    for trust in std::iter::once(&config.trust).chain(of_channels) {
        if tried.contains(&trust) {
            continue;
        }
        tried.push(trust);
        match open_with(raw, trust) {
            Ok(opened) => return Ok(opened),
            Err(error) => fault = Some(error),
        }
    }
    Err(fault.unwrap_or_else(|| anyhow::anyhow!("there are no trust anchors")))
}

fn open_with(raw: &[u8], trust: &crate::config::Trust) -> anyhow::Result<Opened> {
    let store = TrustStore::load(&trust_settings(trust))?;
    let policy = OpenPolicy {
        encryption_required: false,
        allow_sha1: false,
        max_payload: usize::try_from(MOST_BYTES).unwrap_or(usize::MAX),
        max_age: None,
        names: Vec::new(),
    };
    smime::open(raw, &[], &store, &policy, SystemTime::now())
        .map_err(|error| anyhow::anyhow!("is neither JSON nor a message with a good signature: {}", chain(&error)))
}
