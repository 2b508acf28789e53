//! The comparison of two reports.
//!
//! What a sender sent is compared with what a receiver received of it, and what was rejected on both sides, by stream, site
//! and format. Of a receiver's report counts what the sender signed, and what belongs to a stream of the sender.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::bail;
use serde_json::json;

use super::super::context::{Context, say};
use super::file::{Amount, Read, Report, Row, Side, read};
use super::show::cell;
use super::{EXIT_DONE, EXIT_FAILED, output};
use message::text::escaped;

/// By stream, site and format.
type Key = (String, String, String);

/// What is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) sent: Amount,
    pub(super) rejected: Amount,
}

/// A line that differs, with the figures of both.
pub(super) type Difference = (Key, Figures, Figures);

pub(super) fn run(context: &Context, (one, other): (&Path, &Path), as_json: bool) -> anyhow::Result<u8> {
    let (one, other) = ((one, read(context, one)?), (other, read(context, other)?));
    let differences = differences(&one.1.report, &other.1.report)?;
    if as_json {
        // Not among the differences, which a program reads.
        for (name, (path, read)) in [("A", &one), ("B", &other)] {
            say(&format!("{name}: {}", describe(path, read)));
        }
        for ((stream, site, format), a, b) in &differences {
            let figures = |of: &Figures| json!({ "sent": of.sent, "rejected": of.rejected });
            output::json(
                &json!({ "stream": stream, "site": site, "format": format, "a": figures(a), "b": figures(b) }),
            );
        }
        return Ok(if differences.is_empty() { EXIT_DONE } else { EXIT_FAILED });
    }
    for (name, (path, read)) in [("A", &one), ("B", &other)] {
        output::line(&format!("{name}: {}", describe(path, read)));
    }
    if differences.is_empty() {
        output::line("no difference");
        return Ok(EXIT_DONE);
    }
    let mut table = output::Table::new(&["SITE", "FORMAT", "SENT A", "SENT B", "REJECTED A", "REJECTED B", "STREAM"]);
    for ((stream, site, format), a, b) in &differences {
        let [site, format, stream] = [site, format, stream].map(|text| match text.as_str() {
            "" => "-".to_owned(),
            text => escaped(text).into_owned(),
        });
        table.row([site, format, cell(a.sent), cell(b.sent), cell(a.rejected), cell(b.rejected), stream]);
    }
    table.print();
    Ok(EXIT_FAILED)
}

fn describe(path: &Path, read: &Read) -> String {
    let channels: BTreeSet<String> =
        read.report.rows.iter().map(|row| format!("{} {}", row.side.name(), escaped(&row.channel))).collect();
    let channels = if channels.is_empty() { "nothing".to_owned() } else { Vec::from_iter(channels).join(", ") };
    let signed = match &read.signer {
        Some(signer) => format!("signed by {}", escaped(signer)),
        None => "not signed".to_owned(),
    };
    format!("{}: {channels}, {}, {signed}", path.display(), read.report.month)
}

/// Where the reports differ.
pub(super) fn differences(one: &Report, other: &Report) -> anyhow::Result<Vec<Difference>> {
    if one.month != other.month {
        bail!("the reports are of different months, {} and {}", one.month, other.month);
    }
    let (first, second) = (side(one)?, side(other)?);
    let of_sender = match (first, second) {
        (Some(Side::Sender), Some(Side::Receiver)) => Some(one),
        (Some(Side::Receiver), Some(Side::Sender)) => Some(other),
        _ => None,
    };
    let of_sender = of_sender.map(Sent::of);
    let counts = |row: &&Row| of_sender.as_ref().is_none_or(|sent| row.side == Side::Sender || sent.has(row));
    let figures = |report: &Report| sum(report.rows.iter().filter(|row| counts(row)));
    let (mut one, other) = (figures(one), figures(other));
    let mut differences = Vec::new();
    for (key, of_other) in other {
        let of_one = one.remove(&key).unwrap_or_default();
        if differ(&of_one, &of_other) {
            differences.push((key, of_one, of_other));
        }
    }
    let only_one = one.into_iter().filter(|(_, figures)| differ(figures, &Figures::default()));
    differences.extend(only_one.map(|(key, figures)| (key, figures, Figures::default())));
    differences.sort_by(|(one, ..), (other, ..)| one.cmp(other));
    Ok(differences)
}

fn differ(one: &Figures, other: &Figures) -> bool {
    let figures =
        |of: &Figures| [of.sent, of.rejected].map(|amount| (amount.messages, amount.records.unwrap_or_default()));
    figures(one) != figures(other)
}

/// The side of a report; `None` if it has no lines.
fn side(report: &Report) -> anyhow::Result<Option<Side>> {
    let Some(first) = report.rows.first() else { return Ok(None) };
    if report.rows.iter().any(|row| row.side != first.side) {
        bail!("a report has senders and receivers: make one for the channels of each kind");
    }
    Ok(Some(first.side))
}

/// By what a line of a receiver is about a sender.
struct Sent<'a> {
    names: BTreeSet<&'a str>,
    streams: BTreeSet<&'a str>,
}

impl<'a> Sent<'a> {
    fn of(sender: &'a Report) -> Self {
        let streams = sender.rows.iter().map(|row| row.stream.as_str()).filter(|stream| !stream.is_empty());
        Self { names: sender.rows.iter().map(|row| row.own.as_str()).collect(), streams: streams.collect() }
    }

    /// Whether a line of a receiver is about what this sender sent.
    fn has(&self, row: &Row) -> bool {
        // A sender that does not know its name cannot be distinguished from others.
        self.names.contains("") || self.names.contains(row.peer.as_str()) || self.streams.contains(row.stream.as_str())
    }
}

fn sum<'a>(rows: impl Iterator<Item = &'a Row>) -> BTreeMap<Key, Figures> {
    let mut sums: BTreeMap<Key, Figures> = BTreeMap::new();
    for row in rows {
        let figures = sums.entry((row.stream.clone(), row.site.clone(), row.format.clone())).or_default();
        figures.sent.add(row.sent);
        figures.rejected.add(row.rejected);
    }
    sums
}
