//! `sesame report`: the messages and records of a month by site, at a sender and at a receiver, and the comparison of two
//! such reports. It needs no lock and works beside a running Sesame.

mod compare;
mod file;
mod show;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, bail};
use clap::Args;

use super::context::{Context, say, select};
use super::{EXIT_DONE, EXIT_FAILED, EXIT_USAGE, output};
use crate::channel::JOURNAL;
use crate::config::{self, Config, Kind, Selection};
use file::{Amount, FORMAT, MOST_BYTES, Report as Content, Row, Side};
use message::cause::chain;
use message::text::escaped_json;
use message::{MessageId, Month};
use smime::{Peer, SealPolicy, Sealer, ToSeal};
use spool::journal::{self, Amounts, Journal, Outcome, UNCOUNTED};
use trust::Credential;

/// `sesame report`.
#[derive(Args, Debug)]
pub struct Report {
    /// Channels [send.NAME], [receive.NAME] [default: all]
    #[arg(value_name = "CHANNEL")]
    pub channels: Vec<String>,
    /// Month in UTC, such as 2026-10 [default: the last full month]
    #[arg(long, value_name = "MONTH")]
    pub month: Option<Month>,
    /// Only what went to this destination or came from this signer.
    #[arg(long, value_name = "PEER")]
    pub peer: Option<String>,
    /// Print CSV.
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    /// Print one JSON object; with --compare, one per difference.
    #[arg(long)]
    pub json: bool,
    /// Print the JSON as an S/MIME message, signed with the certificate of the channels.
    #[arg(long, conflicts_with = "csv")]
    pub sign: bool,
    /// Compare two reports in JSON, signed or not; the exit status is 1 if they differ and 2 on an error.
    #[arg(
        long,
        num_args = 2,
        value_names = ["A", "B"],
        conflicts_with_all = ["channels", "month", "peer", "csv", "sign"]
    )]
    pub compare: Vec<PathBuf>,
}

pub(super) fn run(context: &Context, arguments: &Report) -> anyhow::Result<u8> {
    if let [one, other] = arguments.compare.as_slice() {
        return Ok(compare::run(context, (one, other), arguments.json).unwrap_or_else(|error| {
            say(&format!("sesame: {}", chain(AsRef::<dyn std::error::Error>::as_ref(&error))));
            EXIT_USAGE
        }));
    }
    let config = &context.config()?;
    let selection = match select(config, &arguments.channels, Kind::Any) {
        Ok(selection) => selection,
        Err(status) => return Ok(status),
    };
    let now = SystemTime::now();
    let month = arguments.month.unwrap_or_else(|| Month::of(now).previous());
    let mut content =
        Content { format: FORMAT, month: month.to_string(), made: crate::channel::moment(now), rows: Vec::new() };
    let mut status = EXIT_DONE;
    for (side, name) in channels(&selection) {
        match rows(config, (side, name), month) {
            Ok(rows) => content.rows.extend(rows),
            Err(error) => {
                say(&format!("sesame: {name}: {}", chain(AsRef::<dyn std::error::Error>::as_ref(&error))));
                status = EXIT_FAILED;
            }
        }
    }
    if let Some(peer) = &arguments.peer {
        content.rows.retain(|row| is_peer(&row.peer, peer));
    }
    if arguments.sign {
        if status != EXIT_DONE {
            bail!("a report that lacks a channel is not signed");
        }
        let credential = credential(config, &selection)?;
        output::raw(&sign(credential, &content)?).context("cannot write the report")?;
    } else if arguments.json {
        output::line(&content.text());
    } else if arguments.csv {
        output::raw(show::csv(&content).as_bytes()).context("cannot write the report")?;
    } else {
        show::table(&content);
    }
    Ok(status)
}

/// A signer is named with its issuer or without.
fn is_peer(peer: &str, wanted: &str) -> bool {
    peer == wanted || peer.strip_prefix(wanted).is_some_and(|rest| rest.starts_with(" issuer="))
}

fn channels(selection: &Selection) -> impl Iterator<Item = (Side, &str)> {
    let senders = selection.senders.iter().map(|name| (Side::Sender, name.as_str()));
    senders.chain(selection.receivers.iter().map(|name| (Side::Receiver, name.as_str())))
}

/// The state directory of a channel, and its credential.
fn parts<'a>(config: &'a Config, (side, name): (Side, &str)) -> Option<(&'a Path, &'a config::Credential)> {
    match side {
        Side::Sender => config.senders.get(name).map(|sender| (sender.state.as_path(), &sender.credential)),
        Side::Receiver => config.receivers.get(name).map(|receiver| (receiver.spool.as_path(), &receiver.credential)),
    }
}

/// The lines about a channel; none if it has no journal yet.
fn rows(config: &Config, (side, name): (Side, &str), month: Month) -> anyhow::Result<Vec<Row>> {
    let Some((state, credential)) = parts(config, (side, name)) else { return Ok(Vec::new()) };
    let path = state.join(JOURNAL);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let journal = Journal::open_to_read(&path)?;
    // As the journal of the receiver names us. Without the key it stays unknown, and the report is made all the same.
    let own = Credential::load(&credential.certificate, &credential.key);
    let own = own.map_or_else(|_| String::new(), |own| crate::receiver::signer_key(own.facts()));
    let of_side = match side {
        Side::Sender => journal::Side::Sent,
        Side::Receiver => journal::Side::Received,
    };
    let mut lines = lines((side, name, &own), &journal.amounts(of_side, name, month)?);
    if side == Side::Receiver {
        for gap in journal.gaps(name)?.iter().filter(|gap| Month::of(gap.since) == month) {
            add_missing(&mut lines, (name, &own), (&gap.signer, &gap.stream), gap.messages());
        }
        for gap in journal.omitted(name)?.iter().filter(|gap| Month::of(gap.since) == month) {
            add_missing(&mut lines, (name, &own), (&gap.signer, &gap.stream), gap.messages);
        }
    }
    Ok(lines.into_values().collect())
}

/// By peer, stream, site and format.
type Lines = BTreeMap<(String, String, String, String), Row>;

fn lines((side, channel, own): (Side, &str, &str), amounts: &Amounts) -> Lines {
    let mut lines = Lines::new();
    for (cell, amount) in amounts {
        let known = ![UNCOUNTED, crate::channel::UNKNOWN].contains(&cell.format.as_str());
        let amount = Amount { messages: amount.messages, records: known.then_some(amount.records) };
        let key = (cell.peer.clone(), cell.stream.clone(), cell.site.clone(), cell.format.clone());
        let row = lines.entry(key).or_insert_with_key(|key| Row::new((side, channel, own), key, known));
        match cell.outcome {
            Outcome::Duplicate => row.duplicates.add(amount),
            _ => row.sent.add(amount),
        }
        match cell.outcome {
            Outcome::Accepted => row.acknowledged.add(amount),
            Outcome::Rejected => row.rejected.add(amount),
            Outcome::Awaited => row.missing.add(amount),
            Outcome::Overdue => {
                row.missing.add(amount);
                row.overdue.add(amount);
            }
            Outcome::Unanswered | Outcome::Duplicate => {}
        }
    }
    lines
}

/// Messages that a receiver lacks, of which nothing but the numbers is known.
fn add_missing(lines: &mut Lines, (channel, own): (&str, &str), (signer, stream): (&str, &str), messages: u64) {
    let key = (signer.to_owned(), stream.to_owned(), String::new(), String::new());
    let row = lines.entry(key).or_insert_with_key(|key| Row::new((Side::Receiver, channel, own), key, false));
    row.missing.add(Amount { messages, records: None });
}

/// The credential of all these channels.
fn credential(config: &Config, selection: &Selection) -> anyhow::Result<Credential> {
    let mut all = channels(selection).filter_map(|channel| parts(config, channel)).map(|(_, credential)| credential);
    let first = all.next().context("there is no channel")?;
    if all.any(|other| other != first) {
        bail!("the channels have different certificates: name those of one certificate");
    }
    Ok(Credential::load(&first.certificate, &first.key)?)
}

/// The report as a signed message.
fn sign(credential: Credential, content: &Content) -> anyhow::Result<Vec<u8>> {
    let max_payload = usize::try_from(MOST_BYTES).unwrap_or(usize::MAX);
    let policy = SealPolicy { peer: Peer::Sesame, cipher: None, max_payload };
    let sealer = Sealer::new(Arc::new(credential), None, policy)?;
    let payload = format!("{}\n", escaped_json(&content.text()));
    let (id, payload, content_type) = (MessageId::fresh(), payload.as_bytes(), Some(file::CONTENT_TYPE));
    let sealed = sealer.seal(&ToSeal { id: &id, to: None, sequence: None, content_type, payload })?;
    Ok(sealed.into_bytes())
}
