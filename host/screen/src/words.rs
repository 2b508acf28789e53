//! Words, numbers and times that all pictures share.

use std::time::Duration;

use message::{Fate, text::one_line};
use observe::overview::{Channel, Direction, Overview, Queue, Severity};
use terminal::Style;

/// The most of one foreign text that is shown on a line.
const LONGEST: usize = 500;

/// The state of a plugin that is in service.
const READY: &str = "ready";
/// The states of a plugin that an operator took out of service.
const ENDED: [&str; 2] = ["disabled", "removed"];

/// Foreign text, made safe for one line.
pub(crate) fn safe(text: &str) -> String {
    one_line(text, LONGEST)
}

/// Whether a channel takes up messages, in one word, and why not.
pub(crate) fn state(channel: &Channel) -> (&'static str, Style, Option<&str>) {
    match (&channel.paused, &channel.out_of_service) {
        (Some(reason), _) => ("paused", Style::Bad, Some(reason)),
        (None, Some(reason)) => ("out of service", Style::Bad, Some(reason)),
        (None, None) => (READY, Style::Good, None),
    }
}

/// How bad something is: the word and the colour.
pub(crate) fn severity(severity: Severity) -> (&'static str, Style) {
    match severity {
        Severity::Warning => ("warning", Style::Doubtful),
        Severity::Critical => ("critical", Style::Bad),
    }
}

/// The colour of a plugin's state.
pub(crate) fn plugin_style(state: &str) -> Style {
    match state {
        READY => Style::Good,
        "compiling" => Style::Doubtful,
        state if ENDED.contains(&state) => Style::Plain,
        _ => Style::Bad,
    }
}

fn count(channel: &Channel, wanted: impl Fn(Fate) -> bool) -> u64 {
    let fates = Fate::ALL.into_iter().filter(|fate| wanted(*fate));
    fates.filter_map(|fate| channel.fates.get(fate.word())).sum()
}

/// How many messages arrived: at the broker, or in the incoming queue.
pub(crate) fn arrived(channel: &Channel) -> u64 {
    count(channel, Fate::is_success)
}

/// How many messages were rejected.
pub(crate) fn rejected(channel: &Channel) -> u64 {
    count(channel, |fate| fate == Fate::Rejected)
}

/// The word for messages that arrived.
pub(crate) fn arrived_word(channel: &Channel) -> &'static str {
    match channel.direction {
        Direction::Send => Fate::Sent.word(),
        Direction::Receive => Fate::Stored.word(),
    }
}

/// The queue that messages come from or go to.
pub(crate) fn main_queue(channel: &Channel) -> Option<&Queue> {
    let name = match channel.direction {
        Direction::Send => "outgoing",
        Direction::Receive => "incoming",
    };
    channel.queues.iter().find(|queue| queue.name == name)
}

/// How many messages are in a queue, and the age of the oldest.
pub(crate) fn depth(queue: &Queue, now: u64) -> String {
    match queue.oldest.filter(|_| queue.messages > 0) {
        Some(oldest) => format!("{} ({})", queue.messages, since(oldest, now)),
        None => queue.messages.to_string(),
    }
}

/// How long ago a moment was.
pub(crate) fn since(moment: u64, now: u64) -> String {
    terminal::age(Duration::from_millis(now.saturating_sub(moment)))
}

/// In how many days something ends, or that it has ended.
pub(crate) fn until(moment: u64, now: u64) -> String {
    if moment > now {
        format!("in {}", terminal::age(Duration::from_millis(moment - now)))
    } else {
        format!("{} ago", since(moment, now))
    }
}

/// A number of things per second.
pub(crate) fn rate(per_second: Option<f64>) -> String {
    match per_second {
        None => "-".to_owned(),
        Some(rate) if rate < 0.05 => "0/s".to_owned(),
        Some(rate) if rate < 9.95 => format!("{rate:.1}/s"),
        Some(rate) => format!("{rate:.0}/s"),
    }
}

/// A time in seconds, with three digits at most.
pub(crate) fn seconds(time: f64) -> String {
    let (value, unit) = match time {
        0.0 => return "0 s".to_owned(),
        time if time < 0.001 => (time * 1e6, "µs"),
        time if time < 1.0 => (time * 1e3, "ms"),
        time => (time, "s"),
    };
    if value < 9.95 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

/// A number of bytes, with three digits at most.
#[must_use]
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    #[expect(clippy::cast_precision_loss, reason = "it is shown with three digits")]
    let mut value = number as f64;
    let mut units = UNITS.into_iter();
    let mut unit = units.next().unwrap_or_default();
    for larger in units {
        if value < 1000.0 {
            break;
        }
        (value, unit) = (value / 1024.0, larger);
    }
    if value < 9.95 && unit != "B" { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

/// Whether channels run and nothing is wrong.
#[must_use]
pub fn is_well(overview: &Overview) -> bool {
    !overview.channels.is_empty() && overview.troubles.is_empty()
}

/// The state of everything, in a few words.
pub(crate) fn overall(overview: &Overview) -> (String, Style) {
    if overview.channels.is_empty() && overview.troubles.is_empty() {
        return ("no channel runs".to_owned(), Style::Bad);
    }
    let number = |severity| overview.troubles.iter().filter(|trouble| trouble.severity == severity).count();
    let (critical, warnings) = (number(Severity::Critical), number(Severity::Warning));
    let warned = terminal::count(warnings, "warning");
    match (critical, warnings) {
        (0, 0) => ("all is well".to_owned(), Style::Good),
        (0, _) => (warned, Style::Doubtful),
        (_, 0) => (format!("{critical} critical"), Style::Bad),
        (_, _) => (format!("{critical} critical, {warned}"), Style::Bad),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use observe::overview::*;

    use super::*;

    pub(crate) const NOW: u64 = 1_800_000_000_000;

    pub(crate) fn ago(seconds: u64) -> u64 {
        NOW - seconds * 1000
    }

    /// A sender that had 12 messages sent and one rejected, and 3 waiting.
    pub(crate) fn sender() -> Channel {
        let queue = |name: &str, messages, oldest| Queue { name: name.to_owned(), messages, oldest };
        let plugin = Plugin {
            name: "builtin:any-record".to_owned(),
            version: Some("1.0.0".to_owned()),
            state: "ready".to_owned(),
            calls: 13,
            rejects: 1,
            p50: Some(0.4),
            p99: Some(12.0),
            ..Plugin::default()
        };
        Channel {
            name: "cpu".to_owned(),
            broker: "egi".to_owned(),
            destination: "/queue/global.accounting.cpu".to_owned(),
            directory: "/var/spool/apel/outgoing".to_owned(),
            in_flight: 2,
            fates: [("sent".to_owned(), 12), ("rejected".to_owned(), 1)].into(),
            rejections: [("plugin".to_owned(), 1)].into(),
            steps: vec![Step { name: "seal".to_owned(), count: 12, time: 120.0, bytes: 24_000 }],
            queues: vec![queue("outgoing", 3, Some(ago(182))), queue("reject", 1, Some(ago(90_000)))],
            plugins: vec![plugin],
            acknowledgements: Some(Acknowledgements { awaited: 4, oldest: Some(ago(60)), ..Default::default() }),
            ..Channel::default()
        }
    }

    pub(crate) fn receiver() -> Channel {
        let queue = |name: &str, messages| Queue { name: name.to_owned(), messages, oldest: None };
        Channel {
            name: "central".to_owned(),
            direction: Direction::Receive,
            broker: "egi".to_owned(),
            destination: "/queue/global.accounting.cpu".to_owned(),
            directory: "/var/spool/apel".to_owned(),
            fates: [("stored".to_owned(), 7)].into(),
            queues: vec![queue("deferred", 0), queue("incoming", 0), queue("reject", 0)],
            signers: vec![Signer { name: "/C=UK/CN=site.example.org".to_owned(), last: ago(7200) }],
            ..Channel::default()
        }
    }

    /// A Sesame in which all is well.
    pub(crate) fn well() -> Overview {
        let expiry = |purpose: &str, days: u64| Expiry {
            purpose: purpose.to_owned(),
            file: format!("/etc/sesame/{purpose}.pem"),
            ends: NOW + days * 86_400_000,
        };
        Overview {
            version: "0.1.0".to_owned(),
            process: 4711,
            started: ago(273_600),
            at: NOW,
            looked_at: Some(ago(1)),
            channels: vec![sender(), receiver()],
            brokers: vec![Broker { name: "egi".to_owned(), sessions: 2, opened: 3, lost: 1, ..Broker::default() }],
            expiries: vec![expiry("own", 100), expiry("recipient", 40)],
            places: vec![Place {
                directory: "/var/spool/apel".to_owned(),
                journal: 5 << 20,
                free: Some(40 << 30),
                min_free: 1 << 30,
            }],
            ..Overview::default()
        }
    }

    pub(crate) fn trouble(severity: Severity, about: &str, text: &str) -> Trouble {
        Trouble { severity, channel: None, about: about.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn numbers_have_few_digits() {
        let rates = [(0.0, "0/s"), (0.04, "0/s"), (0.3, "0.3/s"), (9.96, "10/s"), (512.4, "512/s")];
        assert!(rates.iter().all(|(value, shown)| rate(Some(*value)) == *shown));
        assert_eq!(rate(None), "-");
        let times = [(0.0, "0 s"), (0.0004, "400 µs"), (0.0123, "12 ms"), (1.26, "1.3 s"), (61.0, "61 s")];
        assert!(times.iter().all(|(value, shown)| seconds(*value) == *shown));
        let sizes = [(0, "0 B"), (999, "999 B"), (1000, "1.0 KiB"), (5 << 20, "5.0 MiB"), (u64::MAX, "16777216 TiB")];
        for (value, shown) in sizes {
            assert_eq!(bytes(value), shown);
        }
    }

    #[test]
    fn the_worst_gives_the_colour() {
        let mut overview = well();
        assert_eq!(overall(&overview), ("all is well".to_owned(), Style::Good));
        overview.troubles = vec![trouble(Severity::Warning, "a", "b")];
        assert_eq!(overall(&overview), ("1 warning".to_owned(), Style::Doubtful));
        overview.troubles.insert(0, trouble(Severity::Critical, "a", "b"));
        assert_eq!(overall(&overview), ("1 critical, 1 warning".to_owned(), Style::Bad));
    }

    #[test]
    fn a_paused_channel_is_that_before_it_is_out_of_service() {
        let mut channel = sender();
        assert_eq!(state(&channel), ("ready", Style::Good, None));
        channel.paused = Some("p".to_owned());
        assert_eq!(state(&channel), ("paused", Style::Bad, Some("p")));
        channel.out_of_service = Some("o".to_owned());
        assert_eq!(state(&channel), ("paused", Style::Bad, Some("p")));
        channel.paused = None;
        assert_eq!(state(&channel), ("out of service", Style::Bad, Some("o")));
        assert_eq!((arrived(&channel), rejected(&channel), channel.section().as_str()), (12, 1, "send.cpu"));
    }

    #[test]
    fn ends_are_ahead_or_past() {
        assert_eq!(until(NOW + 90_061_000, NOW), "in 1d 1h");
        assert_eq!(until(ago(61), NOW), "1m 1s ago");
    }
}
