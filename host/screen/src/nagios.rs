//! One line for Nagios, Icinga and what speaks like them, after the guidelines of the Monitoring Plugins.
//!
//! `SESAME STATE - text | performance data`. The state is also the exit status: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN. A
//! Sesame that should run and does not is CRITICAL; UNKNOWN is what could not be found out, such as a wrong configuration.
//!
//! # Performance data
//! `'label'=value[unit];[warn];[crit];[min]`. Messages that passed are counters (`c`), ages and rests are seconds (`s`), room
//! is bytes (`B`). NRPE cuts an answer at 4,096 bytes, so a line has at most 4,000: figures of later channels are left out.

use std::fmt::Write as _;

use message::text::escaped;
use observe::overview::{CERTIFICATE_DAYS, Channel, Direction, Overview, QUEUE_HOURS, Severity};

use crate::words::{arrived, main_queue, rejected};

/// The most bytes of a line.
const LONGEST: usize = 4000;
/// The most bytes of its text.
const LONGEST_TEXT: usize = 1000;
/// The most troubles that are said.
const MOST_TROUBLES: usize = 3;

/// A state of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// All is well.
    Ok,
    /// Messages pass; someone should look.
    Warning,
    /// Messages do not pass.
    Critical,
    /// It could not be found out.
    Unknown,
}

/// What a check prints, and its exit status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The line, without its end.
    pub line: String,
    /// How it ends.
    pub state: State,
}

impl State {
    /// The exit status.
    #[must_use]
    pub const fn exit_status(self) -> u8 {
        self as u8
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// An answer without figures.
#[must_use]
pub fn bare(state: State, text: &str) -> Answer {
    Answer { line: format!("SESAME {} - {}", state.word(), safe(text)), state }
}

/// What an overview means.
#[must_use]
pub fn answer(overview: &Overview) -> Answer {
    let worst = overview.troubles.iter().map(|trouble| trouble.severity).max();
    let state = match worst {
        _ if overview.channels.is_empty() => State::Critical,
        None => State::Ok,
        Some(Severity::Warning) => State::Warning,
        Some(Severity::Critical) => State::Critical,
    };
    let mut answer = bare(state, &text(overview));
    let mut separator = " | ";
    for item in figures(overview) {
        if answer.line.len() + separator.len() + item.len() > LONGEST {
            break;
        }
        answer.line.push_str(separator);
        answer.line.push_str(&item);
        separator = " ";
    }
    answer
}

fn text(overview: &Overview) -> String {
    let mut text = String::new();
    if overview.channels.is_empty() {
        text.push_str("no channel runs; ");
    }
    for trouble in overview.troubles.iter().take(MOST_TROUBLES) {
        let _ = write!(text, "{}: {}; ", trouble.about, trouble.text);
    }
    let more = overview.troubles.len().saturating_sub(MOST_TROUBLES);
    if more > 0 {
        let _ = write!(text, "{more} more; ");
    }
    let waiting: u64 = overview.channels.iter().filter_map(main_queue).map(|queue| queue.messages).sum();
    let passed: u64 = overview.channels.iter().map(arrived).sum();
    let channels = terminal::count(overview.channels.len(), "channel");
    let _ = write!(text, "{channels}, {passed} passed, {waiting} waiting");
    text
}

/// Text that ends neither the line nor what comes before the performance data.
fn safe(text: &str) -> String {
    let text = escaped(&text.trim().replace('\n', "; ")).replace('|', "/");
    match text.char_indices().find(|(at, c)| at + c.len_utf8() > LONGEST_TEXT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// A label: what would end it is replaced.
fn label(parts: &[&str]) -> String {
    let joined = parts.join(".");
    let label: String = joined.chars().map(|c| if matches!(c, '\'' | '=' | '|') { '_' } else { c }).collect();
    format!("'{}'", escaped(&label))
}

/// The performance data: of all, then of each channel.
fn figures(overview: &Overview) -> Vec<String> {
    let number = |severity| overview.troubles.iter().filter(|trouble| trouble.severity == severity).count();
    let mut figures = vec![
        format!("'warnings'={};0;;0", number(Severity::Warning)),
        format!("'criticals'={};;0;0", number(Severity::Critical)),
        format!("'uptime'={}s;;;0", overview.at.saturating_sub(overview.started) / 1000),
    ];
    if let Some(first) =
        overview.expiries.iter().filter(|expiry| expiry.purpose != "crl").map(|expiry| expiry.ends).min()
    {
        let soon = CERTIFICATE_DAYS * 86_400;
        figures.push(format!("'certificate'={}s;{soon}:;0:", signed_seconds(first, overview.at)));
    }
    for broker in &overview.brokers {
        figures.push(format!("{}={};;;0", label(&["broker", &broker.name, "sessions"]), broker.sessions));
    }
    figures.extend(overview.channels.iter().flat_map(|channel| of_channel(channel, overview.at)));
    for place in &overview.places {
        if let Some(free) = place.free {
            figures.push(format!("{}={free}B;;{}:;0", label(&["free", &place.directory]), place.min_free));
        }
    }
    figures
}

fn of_channel(channel: &Channel, now: u64) -> Vec<String> {
    let section = channel.section();
    let named = |name: &str| label(&[&section, name]);
    let mut figures = vec![
        format!("{}={}c", named("passed"), arrived(channel)),
        format!("{}={}c", named("rejected"), rejected(channel)),
        format!("{}={};;;0", named("in-flight"), channel.in_flight),
    ];
    if let Some(queue) = main_queue(channel) {
        let oldest = queue.oldest.filter(|_| queue.messages > 0).map_or(0, |oldest| now.saturating_sub(oldest) / 1000);
        figures.push(format!("{}={};;;0", named(&queue.name), queue.messages));
        // What a consumer leaves in `incoming` is its own affair.
        let limit = match channel.direction {
            Direction::Send => (QUEUE_HOURS * 3600).to_string(),
            Direction::Receive => String::new(),
        };
        figures.push(format!("{}={oldest}s;{limit};;0", named("oldest")));
    }
    if let Some(known) = &channel.acknowledgements {
        figures.push(match channel.direction {
            Direction::Send => format!("{}={};0;;0", named("overdue"), known.overdue),
            Direction::Receive => format!("{}={};0;;0", named("missing"), known.missing),
        });
    }
    figures
}

/// Seconds until a moment, below zero where it is past.
fn signed_seconds(moment: u64, now: u64) -> String {
    match moment.checked_sub(now) {
        Some(rest) => (rest / 1000).to_string(),
        None => format!("-{}", (now - moment) / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::tests::{sender, trouble, well};

    #[test]
    fn all_is_well_in_one_line_with_figures() {
        let answer = answer(&well());
        assert_eq!((answer.state, answer.state.exit_status()), (State::Ok, 0));
        let (text, figures) = answer.line.split_once(" | ").unwrap();
        assert_eq!(text, "SESAME OK - 2 channels, 19 passed, 3 waiting");
        let expected = "'warnings'=0;0;;0 'criticals'=0;;0;0 'uptime'=273600s;;;0 'certificate'=3456000s;2592000:;0: 'broker.egi.sessions'=2;;;0 \
            'send.cpu.passed'=12c 'send.cpu.rejected'=1c 'send.cpu.in-flight'=2;;;0 'send.cpu.outgoing'=3;;;0 \
            'send.cpu.oldest'=182s;3600;;0 'send.cpu.overdue'=0;0;;0 'receive.central.passed'=7c 'receive.central.rejected'=0c \
            'receive.central.in-flight'=0;;;0 'receive.central.incoming'=0;;;0 'receive.central.oldest'=0s;;;0 \
            'free./var/spool/apel'=42949672960B;;1073741824:;0";
        assert_eq!(figures, expected);
    }

    #[test]
    fn the_worst_trouble_is_the_state_and_the_first_are_said() {
        let mut overview = well();
        overview.troubles = vec![trouble(Severity::Warning, "/c.pem", "ends in 3 days: renew it")];
        let warned = answer(&overview);
        assert_eq!(warned.state.exit_status(), 1);
        assert!(
            warned.line.starts_with("SESAME WARNING - /c.pem: ends in 3 days: renew it; 2 channels"),
            "{}",
            warned.line
        );
        let critical = |number: usize| trouble(Severity::Critical, "broker egi", &format!("away {number}"));
        overview.troubles.splice(0..0, (1..=4).map(critical));
        let failed = answer(&overview);
        assert_eq!(failed.state.exit_status(), 2);
        let expected =
            "SESAME CRITICAL - broker egi: away 1; broker egi: away 2; broker egi: away 3; 2 more; 2 channels";
        assert!(failed.line.starts_with(expected), "{}", failed.line);
        assert_eq!(bare(State::Unknown, "x").state.exit_status(), 3);
        overview.channels.clear();
        overview.troubles.clear();
        assert_eq!(answer(&overview).state, State::Critical);
    }

    #[test]
    fn foreign_text_ends_neither_line_nor_label() {
        let mut overview = well();
        overview.troubles = vec![trouble(Severity::Warning, "a|b", "c\nd\u{1b}[2J")];
        overview.places.iter_mut().for_each(|place| place.directory = "/a' =|\n".to_owned());
        let line = answer(&overview).line;
        assert!(line.starts_with("SESAME WARNING - a/b: c; d\\u{1b}[2J; "), "{line}");
        assert_eq!((line.matches('|').count(), line.lines().count()), (1, 1), "{line}");
        assert!(line.contains("'free./a_ __\\n'="), "{line}");
        overview.troubles = vec![trouble(Severity::Warning, "a", &"ß".repeat(5000))];
        assert!(answer(&overview).line.len() < 2500);
    }

    #[test]
    fn a_line_ends_before_nrpe_would_cut_it() {
        let mut overview = well();
        overview.channels = (0..500).map(|number| Channel { name: format!("c{number}"), ..sender() }).collect();
        let line = answer(&overview).line;
        assert!((LONGEST - 100..=LONGEST).contains(&line.len()), "{}", line.len());
        let last = line.rsplit(' ').next().unwrap();
        assert!(last.starts_with("'send.c") && last.contains("'="), "{last}");
    }
}
