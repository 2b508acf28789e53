//! `sesame gaps`: the messages that receivers lack, by signer, and how to dismiss them. It needs no lock and works beside a
//! running Sesame, which logs what was dismissed.

use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::json;

use super::context::{Unreadable, journal_in, say, say_not_run, select, typed_sequence};
use super::{EXIT_CONFIGURATION, EXIT_DONE, EXIT_FAILED, output};
use crate::channel::JOURNAL;
use crate::config::{Config, Kind};
use crate::receiver::subject_of_key;
use message::acknowledgement::Sequence;
use spool::journal::{Dismissed, Gap, Journal, Omitted};

/// `sesame gaps`.
#[derive(Args, Debug)]
pub struct Gaps {
    /// Receiving channels [receive.NAME] [default: all]
    #[arg(value_name = "CHANNEL")]
    pub channels: Vec<String>,
    /// Print one JSON object per gap.
    #[arg(long)]
    pub json: bool,
    /// Dismiss gaps that are known to be lost or explained, instead of listing them: "STREAM FIRST", a whole STREAM, or all
    /// of a signer, by its DN; repeatable. A message of them that comes later is still taken.
    #[arg(long, value_name = "WHICH", conflicts_with = "json")]
    pub dismiss: Vec<String>,
}

/// What is printed of one gap.
struct Line<'a> {
    channel: &'a str,
    /// Subject and issuer, as in the journal.
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
    if config.receivers.is_empty() && !config.senders.is_empty() {
        say(
            "sesame: this configuration has no receiver: the receiving side sees gaps, so run `sesame gaps` there; `sesame queue \
             list --queue unacknowledged --long` lists what this side waits for",
        );
        return Ok(EXIT_CONFIGURATION);
    }
    let selection = match select(config, &arguments.channels, Kind::Receive) {
        Ok(selection) => selection,
        Err(status) => return Ok(status),
    };
    if !arguments.dismiss.is_empty() {
        return dismiss(config, &selection.receivers, &arguments.dismiss);
    }
    let mut status = EXIT_DONE;
    let mut table = output::Table::new(&["CHANNEL", "STREAM", "FIRST", "LAST", "MESSAGES", "MISSING", "SIGNER"]);
    let now = SystemTime::now();
    let mut none = true;
    for name in &selection.receivers {
        let Some(receiver) = config.receivers.get(name) else { continue };
        let (gaps, omitted) = match read(&receiver.spool, name) {
            Ok(Some(read)) => read,
            Ok(None) => {
                say_not_run(name, &receiver.spool);
                continue;
            }
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

/// The gaps of a channel, and those that are only counted.
type Missing = (Vec<Gap>, Vec<Omitted>);

/// What the journal in a spool has; `None` where there is none.
fn read(spool: &std::path::Path, channel: &str) -> Result<Option<Missing>, Unreadable> {
    let Some(journal) = journal_in(spool)? else { return Ok(None) };
    Ok(Some((journal.gaps(channel)?, journal.omitted(channel)?)))
}

/// Dismisses the gaps of these channels that a text chooses, and prints them. Exits with 1 if a text chooses none.
fn dismiss<'a>(
    config: &Config,
    channels: impl IntoIterator<Item = &'a String>,
    texts: &[String],
) -> anyhow::Result<u8> {
    let which: Vec<Which<'_>> = texts.iter().map(|text| Which::read(text)).collect();
    let mut used = vec![false; which.len()];
    let mut status = EXIT_DONE;
    for name in channels {
        let Some(receiver) = config.receivers.get(name) else { continue };
        let Some((mut gaps, mut omitted)) = read(&receiver.spool, name)? else {
            say_not_run(name, &receiver.spool);
            continue;
        };
        let mut chosen = |signer: &str, stream: &str, first: Option<u64>| {
            let mut any = false;
            for (which, used) in which.iter().zip(&mut used) {
                let fits = which.fits(signer, stream, first);
                (*used, any) = (*used || fits, any || fits);
            }
            any
        };
        gaps.retain(|gap| chosen(&gap.signer, &gap.stream, Some(gap.first)));
        omitted.retain(|one| chosen(&one.signer, &one.stream, None));
        if gaps.is_empty() && omitted.is_empty() {
            continue;
        }
        let done = Journal::open(&receiver.spool.join(JOURNAL))?.dismiss_gaps(name, &gaps, &omitted)?;
        done.iter().for_each(|gap| output::line(&dismissed_line(name, gap)));
        if done.len() < gaps.len() + omitted.len() {
            say("sesame: some of these gaps changed meanwhile and stay; run the command again");
            status = EXIT_FAILED;
        }
    }
    for (text, _) in texts.iter().zip(&used).filter(|(_, used)| !**used) {
        say(&format!(
            "sesame: no gap is chosen by {text:?}: `sesame gaps` lists them; write \"STREAM FIRST\", STREAM, or the DN of the \
             signer as it is shown there"
        ));
        status = EXIT_FAILED;
    }
    Ok(status)
}

/// Which gaps to dismiss.
enum Which<'a> {
    /// The one that begins with this number.
    First(Sequence),
    /// Those of a stream, or of a signer.
    Named(&'a str),
}

impl<'a> Which<'a> {
    fn read(text: &'a str) -> Self {
        typed_sequence(text).map_or(Self::Named(text.trim()), Self::First)
    }

    /// Whether a gap is chosen; `first` is `None` of those that are only counted.
    fn fits(&self, signer: &str, stream: &str, first: Option<u64>) -> bool {
        match self {
            Self::First(sequence) => stream == sequence.stream() && first == Some(sequence.number()),
            Self::Named(name) => [stream, signer, subject_of_key(signer)].contains(name),
        }
    }
}

fn dismissed_line(channel: &str, gap: &Dismissed) -> String {
    let range = match gap.range {
        Some((first, last)) if first == last => first.to_string(),
        Some((first, last)) => format!("{first} to {last}"),
        None => "more gaps".to_owned(),
    };
    let messages = output::count(usize::try_from(gap.messages).unwrap_or(usize::MAX), "message");
    let signer = subject_of_key(&gap.signer);
    format!("dismissed  {}  {range}  {messages}  channel {channel}  signer {signer}", gap.stream)
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
    let (channel, stream, signer) = (line.channel.to_owned(), line.stream.to_owned(), subject_of_key(line.signer));
    table.row([channel, stream, first, last, line.messages.to_string(), age, signer.to_owned()]);
}

fn json_of(line: &Line<'_>) -> serde_json::Value {
    json!({
        "channel": line.channel, "signer": subject_of_key(line.signer), "stream": line.stream,
        "first": line.range.map(|(first, _)| first), "last": line.range.map(|(_, last)| last),
        "messages": line.messages, "since": output::time(line.since), "overdue": line.overdue,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_chosen_by_its_first_number_its_stream_or_its_signer() {
        const STREAM: &str = "00c0ffee00c0ffee";
        let fits = |text: &str, first| Which::read(text).fits("/CN=a issuer=/CN=ca", STREAM, first);
        assert!(fits(&format!("{STREAM} 4"), Some(4)) && fits(&format!(" {STREAM}   4 "), Some(4)));
        assert!(!fits(&format!("{STREAM} 5"), Some(4)) && !fits(&format!("{STREAM} 4"), None));
        for whole in [STREAM, "/CN=a", "/CN=a issuer=/CN=ca"] {
            assert!(fits(whole, Some(4)) && fits(whole, None), "{whole}");
        }
        assert!(!fits("/CN=b", Some(4)) && !fits("00c0ffee00c0ffe0", None));
    }

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
