//! One screen of text: what runs, its state, what is wrong and what to do.

use observe::overview::{Acknowledgements, CERTIFICATE_DAYS, Channel, Overview, Plugin};
use terminal::{Line, Style, Table};

use crate::History;
use crate::words::{
    arrived, arrived_word, depth, main_queue, overall, plugin_style, rate, rejected, severity, since, state, until,
};

/// The most certificates and lists that are shown, those that end first.
const MOST_EXPIRIES: usize = 5;
/// A look at the queues that is older, in milliseconds, is said to be.
const OLD: u64 = 60_000;
/// Certificates that end within so many milliseconds stand out.
const SOON: u64 = CERTIFICATE_DAYS * 86_400_000;

/// The lines of the screen; `history` holds the rates, as far as they are known.
#[must_use]
pub fn lines(overview: &Overview, history: &History) -> Vec<Line> {
    let mut lines = vec![head(overview)];
    let blocks = [
        troubles(overview),
        channels(overview, history),
        acknowledgements(overview),
        plugins(overview),
        brokers(overview),
        expiries(overview),
    ];
    for block in blocks.into_iter().filter(|block| !block.is_empty()) {
        lines.push(Line::default());
        lines.extend(block);
    }
    lines
}

fn head(overview: &Overview) -> Line {
    let Overview { version, process, started, at, .. } = overview;
    let (text, style) = overall(overview);
    let up = format!(", up {} (since {}): ", since(*started, *at), terminal::seconds(started / 1000));
    Line::of(Style::Heading, format!("Sesame {version}"))
        .and(Style::Plain, format!(", process {process}"))
        .and(Style::Plain, up)
        .and(style, text)
}

fn troubles(overview: &Overview) -> Vec<Line> {
    let line = |(word, style), about: &str, text: &str| {
        Line::of(style, format!("{word:<8}")).and(Style::Plain, format!(" {about}: {text}"))
    };
    let known = overview.troubles.iter();
    let mut lines: Vec<Line> =
        known.map(|trouble| line(severity(trouble.severity), &trouble.about, &trouble.text)).collect();
    for channel in &overview.channels {
        let about = channel.section();
        if let (word, style, Some(reason)) = state(channel)
            && !overview.troubles.iter().any(|trouble| trouble.about == about)
        {
            lines.push(line(("critical", style), &about, &format!("{word}: {reason}")));
        }
    }
    lines
}

fn channels(overview: &Overview, history: &History) -> Vec<Line> {
    let mut table = Table::new(&["CHANNEL", "STATE", "RATE", "PASSED", "REJECTED", "IN FLIGHT", "BROKER", "QUEUES"]);
    for channel in &overview.channels {
        let plain = |text: String| (Style::Plain, text);
        let (word, style, _) = state(channel);
        let rejected = rejected(channel);
        let worried = if rejected > 0 { Style::Doubtful } else { Style::Plain };
        table.styled([
            plain(channel.section()),
            (style, word.to_owned()),
            plain(rate(history.rate(&channel.section()))),
            plain(format!("{} {}", arrived(channel), arrived_word(channel))),
            (worried, rejected.to_string()),
            plain(channel.in_flight.to_string()),
            plain(channel.broker.clone()),
            plain(queues(channel, overview.at)),
        ]);
    }
    if overview.channels.is_empty() {
        return vec![Line::of(Style::Doubtful, "no channel runs")];
    }
    let mut lines = table.lines();
    if let Some(looked) = overview.looked_at.filter(|looked| overview.at.saturating_sub(*looked) > OLD) {
        let text = format!("queues as of {}, {} ago", terminal::seconds(looked / 1000), since(looked, overview.at));
        lines.push(Line::of(Style::Doubtful, text));
    }
    lines
}

/// The main queue, and the others that are not empty.
fn queues(channel: &Channel, now: u64) -> String {
    let main = main_queue(channel);
    let others =
        channel.queues.iter().filter(|queue| queue.messages > 0 && main.is_none_or(|main| main.name != queue.name));
    let shown = main.into_iter().chain(others);
    shown.map(|queue| format!("{} {}", queue.name, depth(queue, now))).collect::<Vec<_>>().join(", ")
}

fn acknowledgements(overview: &Overview) -> Vec<Line> {
    let mut table = Table::new(&["ACKNOWLEDGEMENTS", "AWAITED", "OVERDUE", "OWED", "MISSING"]);
    let mut any = false;
    for channel in &overview.channels {
        let Some(Acknowledgements { awaited, oldest, overdue, owed, missing }) = &channel.acknowledgements else {
            continue;
        };
        any = true;
        let worry = |number: u64| (if number > 0 { Style::Doubtful } else { Style::Plain }, number.to_string());
        let waiting = match oldest.filter(|_| *awaited > 0) {
            Some(oldest) => format!("{awaited} ({})", since(oldest, overview.at)),
            None => awaited.to_string(),
        };
        let plain = |text| (Style::Plain, text);
        table.styled([
            plain(channel.section()),
            plain(waiting),
            worry(*overdue),
            plain(owed.to_string()),
            worry(*missing),
        ]);
    }
    if any { table.lines() } else { Vec::new() }
}

/// Plugins that are not in service, or failed.
fn plugins(overview: &Overview) -> Vec<Line> {
    let mut table = Table::new(&["PLUGIN", "CHANNEL", "STATE", "ERRORS", "FAULT"]);
    let mut any = false;
    for channel in &overview.channels {
        for plugin in channel.plugins.iter().filter(|plugin| !is_well(plugin)) {
            any = true;
            let plain = |text| (Style::Plain, text);
            table.styled([
                plain(plugin.name.clone()),
                plain(channel.section()),
                (plugin_style(&plugin.state), plugin.state.clone()),
                plain(plugin.errors.to_string()),
                plain(plugin.fault.clone().unwrap_or_default()),
            ]);
        }
    }
    if any { table.lines() } else { Vec::new() }
}

fn is_well(plugin: &Plugin) -> bool {
    plugin.fault.is_none() && plugin.errors == 0 && plugin_style(&plugin.state) == Style::Good
}

fn brokers(overview: &Overview) -> Vec<Line> {
    let mut table = Table::new(&["BROKER", "SESSIONS", "CONNECTING", "OPENED", "LOST", "SILENT", "NOT REACHED"]);
    for broker in &overview.brokers {
        let counts = [broker.connecting, broker.opened, broker.lost, broker.silent, broker.failed];
        let sessions = (if broker.connecting > 0 { Style::Bad } else { Style::Plain }, broker.sessions.to_string());
        let counts = counts.map(|number| (Style::Plain, number.to_string()));
        table.styled([(Style::Plain, broker.name.clone()), sessions].into_iter().chain(counts));
    }
    if overview.brokers.is_empty() { Vec::new() } else { table.lines() }
}

fn expiries(overview: &Overview) -> Vec<Line> {
    let mut all: Vec<_> = overview.expiries.iter().collect();
    all.sort_by_key(|expiry| expiry.ends);
    let mut table = Table::new(&["CERTIFICATE OR CRL", "ENDS", "FILE"]);
    for expiry in all.iter().take(MOST_EXPIRIES) {
        let style =
            if expiry.purpose == "crl" || expiry.ends > overview.at + SOON { Style::Plain } else { Style::Doubtful };
        let style = if expiry.ends <= overview.at { Style::Bad } else { style };
        table.styled([
            (Style::Plain, expiry.purpose.clone()),
            (style, until(expiry.ends, overview.at)),
            (Style::Plain, expiry.file.clone()),
        ]);
    }
    if all.is_empty() { Vec::new() } else { table.lines() }
}

#[cfg(test)]
mod tests {
    use observe::overview::Severity;

    use super::*;
    use crate::words::tests::{NOW, trouble, well};

    fn text(overview: &Overview) -> String {
        let mut history = History::default();
        history.add(overview);
        let mut later = overview.clone();
        later.at += 1000;
        later.channels.iter_mut().for_each(|channel| *channel.fates.entry("sent".to_owned()).or_default() += 5);
        history.add(&later);
        let written: Vec<String> = lines(overview, &history).iter().map(|line| line.plain()).collect();
        written.join("\n") + "\n"
    }

    #[test]
    fn one_screen_shows_everything() {
        let expected = "\
Sesame 0.1.0, process 4711, up 3d 4h (since 2027-01-12T04:00:00Z): all is well

CHANNEL          STATE  RATE   PASSED    REJECTED  IN FLIGHT  BROKER  QUEUES
send.cpu         ready  5.0/s  12 sent   1         2          egi     outgoing 3 (3m 2s), reject 1 (1d 1h)
receive.central  ready  5.0/s  7 stored  0         0          egi     incoming 0

ACKNOWLEDGEMENTS  AWAITED  OVERDUE  OWED  MISSING
send.cpu          4 (1m)   0        0     0

BROKER  SESSIONS  CONNECTING  OPENED  LOST  SILENT  NOT REACHED
egi     2         0           3       1     0       0

CERTIFICATE OR CRL  ENDS        FILE
recipient           in 40d      /etc/sesame/recipient.pem
own                 in 100d     /etc/sesame/own.pem
";
        let shown = text(&well());
        let squeezed = |text: &str| {
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
        };
        assert_eq!(squeezed(&shown), squeezed(expected), "{shown}");
    }

    #[test]
    fn troubles_come_first_and_a_reason_is_said_once() {
        let mut overview = well();
        overview.troubles = vec![trouble(Severity::Critical, "broker egi", "no host can be reached: look at it")];
        if let [first, second] = &mut overview.channels[..] {
            first.paused = Some("plugin x fails".to_owned());
            second.out_of_service = Some("no session".to_owned());
        }
        overview.troubles.push(trouble(Severity::Warning, "receive.central", "no session"));
        let shown = text(&overview);
        let lines: Vec<&str> = shown.lines().skip(2).take(4).collect();
        let expected = [
            "critical broker egi: no host can be reached: look at it",
            "warning  receive.central: no session",
            "critical send.cpu: paused: plugin x fails",
            "",
        ];
        assert_eq!(lines, expected, "{shown}");
    }

    #[test]
    fn an_old_look_at_the_queues_is_said_to_be() {
        let mut overview = well();
        overview.looked_at = Some(overview.at - 60_000);
        assert!(!text(&overview).contains("queues as of"));
        overview.looked_at = Some(overview.at - 90_000);
        let shown = text(&overview);
        assert!(shown.contains("\nqueues as of 2027-01-15T") && shown.contains("Z, 1m 3"), "{shown}");
    }

    #[test]
    fn only_plugins_that_are_not_well_are_listed() {
        let mut overview = well();
        assert!(!text(&overview).contains("PLUGIN"));
        if let Some(plugin) = overview.channels.iter_mut().flat_map(|channel| &mut channel.plugins).next() {
            plugin.state = "broken".to_owned();
            plugin.fault = Some("not a component".to_owned());
        }
        let shown = text(&overview);
        assert!(shown.contains("builtin:any-record  send.cpu  broken  0       not a component"), "{shown}");
    }

    #[test]
    fn what_ended_and_what_acts_on_a_terminal_is_shown() {
        let mut overview = well();
        overview.expiries.iter_mut().for_each(|expiry| expiry.ends = NOW - 60_000);
        overview.troubles = vec![trouble(Severity::Warning, "\u{1b}]0;x\u{7}", "a\nb\u{202e}")];
        let shown = text(&overview);
        assert!(shown.contains("own                 1m ago"), "{shown}");
        assert!(shown.contains("\\u001b]0;x\\u0007: a\\u000ab\\u202e"), "{shown}");
        assert!(!shown.chars().any(|c| c != '\n' && message::text::is_unsafe(c)));
    }
}
