//! `sesame tap`: what becomes of messages, as it happens, asked of the running Sesame. Never their payload.
//!
//! Nothing waits for it: where it is slower than the messages, it misses some and says so.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use anyhow::anyhow;
use clap::Args;
use observe::overview::{Direction, Event};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::context::{say, select};
use super::status::say_unanswered;
use super::{EXIT_DONE, EXIT_FAILED, output};
use crate::config::{Config, Kind};
use crate::live::{LiveError, Sockets};
use message::Fate;

/// Events that wait to be printed.
const WAITING: usize = 256;
/// Without a line for so long, empty ones included, the process hangs.
const SILENCE: Duration = Duration::from_secs(60);

/// `sesame tap`.
#[derive(Args, Debug)]
pub struct Tap {
    /// Channels, as NAME, send.NAME or receive.NAME [default: all]
    #[arg(value_name = "CHANNEL")]
    pub channels: Vec<String>,
    /// Only messages with this fate, such as rejected; repeatable.
    #[arg(long, value_name = "FATE", value_parser = fate)]
    pub fate: Vec<Fate>,
    /// Show the headers of each message.
    #[arg(long)]
    pub headers: bool,
    /// Print one JSON object per message.
    #[arg(long)]
    pub json: bool,
    /// End after so many messages.
    #[arg(long, value_name = "NUMBER")]
    pub count: Option<u64>,
}

fn fate(text: &str) -> Result<Fate, String> {
    let passing = |fate: &&Fate| fate.is_of(message::Direction::Outbound) || fate.is_of(message::Direction::Inbound);
    let known: Vec<&Fate> = Fate::ALL.iter().filter(passing).collect();
    let words = || known.iter().map(|fate| fate.word()).collect::<Vec<_>>().join(", ");
    known.iter().find(|fate| fate.word() == text).map(|fate| **fate).ok_or_else(|| format!("there are {}", words()))
}

/// What the reader of one process says.
enum Heard {
    Event(Box<Event>),
    /// Nothing has happened for a while.
    Nothing,
    Ended(PathBuf, String),
}

pub(super) fn run(config: &Config, arguments: &Tap) -> anyhow::Result<u8> {
    let names: Vec<String> = arguments.channels.iter().map(|name| config.without_section(name).to_owned()).collect();
    if let Err(status) = select(config, &names, Kind::Any) {
        return Ok(status);
    }
    let (connected, missing) = match Sockets::of(config, &names).connect() {
        Ok(connected) => connected,
        Err(unanswered) => return Ok(say_unanswered(&unanswered)),
    };
    for one in missing.iter().filter(|one| !matches!(one.why, LiveError::NotRunning) || !names.is_empty()) {
        say(&format!("sesame: {}: {}", one.section(), one.trouble(&names).text));
    }
    let mut running = connected.len();
    let (to, heard) = mpsc::sync_channel(WAITING);
    for (path, stream) in connected {
        let to = to.clone();
        let lines =
            begin(stream).map_err(|error| anyhow!("the running Sesame at {path:?} does not answer: {error}"))?;
        std::thread::spawn(move || follow(path, lines, &to));
    }
    drop(to);
    say("sesame: watching; each message is shown as something becomes of it");
    let mut left = arguments.count;
    for one in heard {
        match one {
            Heard::Event(event) => {
                if event.missed > 0 {
                    say(&format!("sesame: {} messages passed too fast to be shown", event.missed));
                }
                if !is_wanted(&event, &names, &arguments.fate) {
                    continue;
                }
                if show(&event, arguments).is_err() {
                    // The reader of our lines has read enough, as `head` has.
                    return Ok(EXIT_DONE);
                }
                left = left.map(|left| left.saturating_sub(1));
                if left == Some(0) {
                    return Ok(EXIT_DONE);
                }
            }
            Heard::Nothing if is_unread(io::stdout()) => return Ok(EXIT_DONE),
            Heard::Nothing => {}
            Heard::Ended(path, why) => {
                running -= 1;
                say(&format!("sesame: the running Sesame at {} {why}", path.display()));
                if running == 0 {
                    return Ok(EXIT_FAILED);
                }
            }
        }
    }
    Ok(EXIT_FAILED)
}

/// Asks for events; what follows the head are lines.
fn begin(mut stream: UnixStream) -> io::Result<BufReader<UnixStream>> {
    stream.set_read_timeout(Some(SILENCE))?;
    // In HTTP/1.0 an answer has no chunks and ends with the connection.
    stream.write_all(b"GET /api/events HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut lines = BufReader::new(stream);
    let mut status = String::new();
    lines.read_line(&mut status)?;
    let mut line = status.clone();
    while !line.trim_end().is_empty() {
        line.clear();
        lines.read_line(&mut line)?;
    }
    if status.split(' ').nth(1) == Some("200") {
        return Ok(lines);
    }
    let mut why = String::new();
    lines.read_line(&mut why)?;
    Err(io::Error::other(format!("{} {}", status.trim_end(), why.trim_end())))
}

fn follow(path: PathBuf, mut lines: BufReader<UnixStream>, to: &mpsc::SyncSender<Heard>) {
    let mut line = String::new();
    let why = loop {
        line.clear();
        match lines.read_line(&mut line) {
            Ok(0) => break "has stopped".to_owned(),
            Ok(_) if line.trim_end().is_empty() => {
                if to.send(Heard::Nothing).is_err() {
                    return;
                }
            }
            Ok(_) => match serde_json::from_str(&line) {
                Ok(event) => {
                    if to.send(Heard::Event(Box::new(event))).is_err() {
                        return;
                    }
                }
                Err(error) => break format!("sends something else than events: {error}"),
            },
            Err(error) => break format!("does not answer any more: {error}"),
        }
    };
    let _ = to.send(Heard::Ended(path, why));
}

/// Whether no one reads any more what is written: the reader of a pipe has gone.
fn is_unread(out: impl AsFd) -> bool {
    let mut polled = [PollFd::new(&out, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&now)).is_ok() && polled[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

fn is_wanted(event: &Event, channels: &[String], fates: &[Fate]) -> bool {
    let channel = channels.is_empty() || channels.contains(&event.channel);
    channel && (fates.is_empty() || fates.iter().any(|fate| fate.word() == event.fate))
}

fn show(event: &Event, arguments: &Tap) -> io::Result<()> {
    if arguments.json {
        output::try_line(&serde_json::to_string(event)?)?;
    } else {
        output::try_line(&line(event))?;
        if arguments.headers {
            for (name, value) in &event.headers {
                output::try_line(&format!("    {name}: {value}"))?;
            }
        }
    }
    Ok(())
}

/// Time, channel and fate, then what is known.
fn line(event: &Event) -> String {
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(event.at);
    let arrow = match event.direction {
        Direction::Send => "->",
        Direction::Receive => "<-",
    };
    let mut line = format!("{}  {arrow} {}  {:<9}", output::time(at), event.channel, event.fate);
    let facts = [
        ("", &event.id),
        ("element ", &event.element),
        ("signer ", &event.signer),
        ("plugin ", &event.plugin),
        ("reason ", &event.reason),
    ];
    for (name, value) in facts {
        if let Some(value) = value {
            line.push_str(&format!("  {name}{value}"));
        }
    }
    if let Some(bytes) = event.bytes {
        line.push_str(&format!("  {bytes} bytes"));
    }
    if !event.verdicts.is_empty() {
        let verdicts: Vec<String> =
            event.verdicts.iter().map(|verdict| format!("{} {}", verdict.plugin, verdict.answer)).collect();
        line.push_str(&format!("  [{}]", verdicts.join(", ")));
    }
    line
}

#[cfg(test)]
mod tests {
    use observe::overview::Verdict;

    use super::*;

    #[test]
    fn a_line_has_what_is_known() {
        let mut event = Event {
            at: 1_700_000_000_000,
            channel: "central".to_owned(),
            direction: Direction::Receive,
            fate: "stored".to_owned(),
            id: Some("a/b".to_owned()),
            ..Event::default()
        };
        assert_eq!(line(&event), "2023-11-14T22:13:20.000Z  <- central  stored     a/b");
        event.signer = Some("/CN=x".to_owned());
        event.bytes = Some(7);
        event.verdicts = vec![Verdict { plugin: "check".to_owned(), answer: "unchanged".to_owned() }];
        assert!(line(&event).ends_with("  a/b  signer /CN=x  7 bytes  [check unchanged]"), "{}", line(&event));
    }

    #[test]
    fn only_fates_that_messages_meet_can_be_asked_for() {
        assert_eq!(fate("rejected"), Ok(Fate::Rejected));
        assert_eq!(
            fate("gone").unwrap_err(),
            "there are sent, waiting, stored, deferred, dropped, rejected, duplicate"
        );
    }

    #[test]
    fn a_pipe_that_no_one_reads_is_noticed() {
        let (reader, writer) = io::pipe().unwrap();
        assert!(!is_unread(&writer));
        drop(reader);
        assert!(is_unread(&writer));
        assert!(!is_unread(std::fs::File::open("/dev/null").unwrap()));
    }

    #[test]
    fn events_are_filtered_by_channel_and_fate() {
        let event = Event { channel: "cpu".to_owned(), fate: "sent".to_owned(), ..Event::default() };
        let (cpu, gpu) = (["cpu".to_owned()], ["gpu".to_owned()]);
        assert!(is_wanted(&event, &[], &[]) && is_wanted(&event, &cpu, &[Fate::Sent]));
        assert!(!is_wanted(&event, &gpu, &[]) && !is_wanted(&event, &cpu, &[Fate::Rejected]));
    }
}
