//! `sesame gaps`: the messages that receivers lack, by signer. It needs no lock and works beside a running Sesame.

use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::json;

use super::context::{say, select};
use super::{EXIT_DONE, EXIT_FAILED, output};
use crate::channel::JOURNAL;
use crate::config::{Config, Kind};
use spool::journal::{Gap, Journal, JournalError, Omitted};

/// `sesame gaps`.
#[derive(Args, Debug)]
pub struct Gaps {
    /// Receiving channels [receive.NAME] [default: all]
    #[arg(value_name = "CHANNEL")]
    pub channels: Vec<String>,
    /// Print one JSON object per gap.
    #[arg(long)]
    pub json: bool,
}

/// What is printed of one gap.
struct Line<'a> {
    channel: &'a str,
    signer: &'a str,
    stream: &'a str,
    /// First and last number; `None` of gaps that are only counted.
    range: Option<(u64, u64)>,
    messages: u64,
    since: SystemTime,
    overdue: bool,
}

/// Exits with 1 if a gap is overdue.
pub(super) fn run(config: &Config, arguments: &Gaps) -> anyhow::Result<u8> {
    let selection = match select(config, &arguments.channels, Kind::Receive) {
        Ok(selection) => selection,
        Err(status) => return Ok(status),
    };
    let mut status = EXIT_DONE;
    let mut table = output::Table::new(&["CHANNEL", "STREAM", "FIRST", "LAST", "MESSAGES", "MISSING", "SIGNER"]);
    let now = SystemTime::now();
    let mut none = true;
    for name in &selection.receivers {
        let Some(receiver) = config.receivers.get(name) else { continue };
        let path = receiver.spool.join(JOURNAL);
        if !path.exists() {
            continue;
        }
        let (gaps, omitted) = match read(&path, name) {
            Ok(read) => read,
            Err(error) => {
                say(&format!("sesame: {}", message::cause::chain(&error)));
                status = EXIT_FAILED;
                continue;
            }
        };
        for line in lines(name, (&gaps, &omitted), receiver.missing_after, now) {
            none = false;
            if line.overdue {
                status = EXIT_FAILED;
            }
            if arguments.json { output::json(&json_of(&line)) } else { add(&mut table, &line) }
        }
    }
    if arguments.json {
        return Ok(status);
    }
    if !none {
        table.print();
    } else if status == EXIT_DONE {
        output::line("no message is missing");
    }
    Ok(status)
}

fn read(path: &std::path::Path, channel: &str) -> Result<(Vec<Gap>, Vec<Omitted>), JournalError> {
    let journal = Journal::open_to_read(path)?;
    Ok((journal.gaps(channel)?, journal.omitted(channel)?))
}

fn lines<'a>(
    channel: &'a str,
    (gaps, omitted): (&'a [Gap], &'a [Omitted]),
    after: Option<Duration>,
    now: SystemTime,
) -> Vec<Line<'a>> {
    let overdue =
        |since: SystemTime| after.is_some_and(|after| now.duration_since(since).is_ok_and(|missing| missing >= after));
    let gaps = gaps.iter().map(|gap| Line {
        channel,
        signer: &gap.signer,
        stream: &gap.stream,
        range: Some((gap.first, gap.last)),
        messages: gap.messages(),
        since: gap.since,
        overdue: overdue(gap.since),
    });
    let omitted = omitted.iter().map(|one| Line {
        channel,
        signer: &one.signer,
        stream: &one.stream,
        range: None,
        messages: one.messages,
        since: one.since,
        overdue: after.is_some(),
    });
    let mut lines: Vec<Line<'_>> = gaps.chain(omitted).collect();
    lines.sort_by_key(|line| (line.signer, line.stream));
    lines
}

fn add(table: &mut output::Table, line: &Line<'_>) {
    let (first, last) = match line.range {
        Some((first, last)) => (first.to_string(), last.to_string()),
        None => ("more".to_owned(), "gaps".to_owned()),
    };
    let age = output::age_since(line.since);
    let age = if line.overdue { format!("{age}, overdue") } else { age };
    let (channel, stream, signer) = (line.channel.to_owned(), line.stream.to_owned(), line.signer.to_owned());
    table.row([channel, stream, first, last, line.messages.to_string(), age, signer]);
}

fn json_of(line: &Line<'_>) -> serde_json::Value {
    json!({
        "channel": line.channel, "signer": line.signer, "stream": line.stream,
        "first": line.range.map(|(first, _)| first), "last": line.range.map(|(_, last)| last),
        "messages": line.messages, "since": output::time(line.since), "overdue": line.overdue,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_overdue_after_the_time_and_never_without_one() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let text = |text: &str| text.to_owned();
        let since = now - Duration::from_secs(60);
        let gaps = [Gap { signer: text("/CN=b"), stream: text("s"), first: 2, last: 4, since }];
        let omitted = [Omitted { signer: text("/CN=a"), stream: text("t"), messages: 9, since }];
        let overdue = |after: Option<u64>| {
            let lines = lines("c", (&gaps, &omitted), after.map(Duration::from_secs), now);
            lines.iter().map(|line| (line.signer.to_owned(), line.messages, line.overdue)).collect::<Vec<_>>()
        };
        let expected = |a, b| [(text("/CN=a"), 9, a), (text("/CN=b"), 3, b)];
        assert_eq!(overdue(Some(60)), expected(true, true));
        assert_eq!(overdue(Some(61)), expected(true, false));
        assert_eq!(overdue(None), expected(false, false));
    }
}
