//! What is wrong with a running service, found in its overview: the one place that decides it, for `sesame status`, `top`, the
//! dashboard and the log. The alert rules in `conf/observe` have the same thresholds.

use observe::overview::{
    CERTIFICATE_DAYS, Channel, Expiry, Overview, Place, QUEUE_HOURS, ROOM_TIMES, SILENT_HOURS, Severity, Trouble,
    WatchedFile,
};

use super::read::{CRL, OTHER};
use crate::channel::NO_SESSION;

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
/// Silent signers of a channel that are named; the others are counted.
const MOST_NAMED: usize = 20;

/// Everything that is wrong, the worst first.
pub(super) fn of(overview: &Overview) -> Vec<Trouble> {
    let mut found = Vec::new();
    for channel in &overview.channels {
        let before = found.len();
        of_channel(channel, overview.at, &mut found);
        found.iter_mut().skip(before).for_each(|trouble| trouble.channel = Some(channel.section()));
    }
    of_brokers(overview, &mut found);
    overview.expiries.iter().for_each(|expiry| found.extend(of_expiry(expiry, overview.at)));
    overview.files.iter().for_each(|file| found.extend(of_file(file)));
    overview.places.iter().for_each(|place| found.extend(of_place(place)));
    found.sort_by_key(|trouble| std::cmp::Reverse(trouble.severity));
    found
}

fn warning(about: &str, text: String) -> Trouble {
    Trouble { severity: Severity::Warning, channel: None, about: about.to_owned(), text }
}

fn critical(about: &str, text: String) -> Trouble {
    Trouble { severity: Severity::Critical, channel: None, about: about.to_owned(), text }
}

/// A duration in hours, or in days where it is long.
fn long(milliseconds: u64) -> String {
    if milliseconds < 3 * DAY { format!("{} h", milliseconds / HOUR) } else { format!("{} days", milliseconds / DAY) }
}

fn of_channel(channel: &Channel, now: u64, found: &mut Vec<Trouble>) {
    let about = &channel.section();
    match (&channel.paused, &channel.out_of_service) {
        (Some(why), _) => found.push(critical(about, format!("paused: {why}"))),
        (None, Some(why)) => found.push(critical(about, format!("not in service: {why}; see the log"))),
        (None, None) => {}
    }
    for plugin in &channel.plugins {
        let Some(fault) = &plugin.fault else { continue };
        let text = format!("plugin {}: {fault}", plugin.name);
        // An earlier file of it may still serve.
        found.push(if plugin.version.is_some() { warning(about, text) } else { critical(about, text) });
    }
    found.extend(channel.unreadable.iter().map(|what| critical(about, format!("queue {}: {what}", channel.directory))));
    of_queues(channel, about, now, found);
    of_acknowledgements(channel, about, found);
    of_signers(channel, now, found);
}

fn of_queues(channel: &Channel, about: &str, now: u64, found: &mut Vec<Trouble>) {
    for queue in channel.queues.iter().filter(|queue| queue.messages > 0) {
        let (name, messages) = (&channel.name, queue.messages);
        match queue.name.as_str() {
            "reject" => found.push(warning(
                about,
                format!(
                    "{messages} in the reject queue: `sesame queue list {name} --queue reject --long` shows why, \
                     `sesame queue retry {name} ELEMENT` tries one again, `sesame queue purge {name} --older-than 90d` \
                     deletes old ones"
                ),
            )),
            "outgoing" | "deferred" => {
                let age = queue.oldest.map_or(0, |oldest| now.saturating_sub(oldest));
                if age > QUEUE_HOURS * HOUR {
                    let queue = &queue.name;
                    let text = format!("the oldest of {messages} messages in {queue} has waited for {}", long(age));
                    found.push(warning(
                        about,
                        format!("{text}: `sesame queue list {name}` shows them, the log says why"),
                    ));
                }
            }
            _ => {}
        }
    }
}

fn of_acknowledgements(channel: &Channel, about: &str, found: &mut Vec<Trouble>) {
    let (Some(known), name) = (&channel.acknowledgements, &channel.name) else { return };
    if known.overdue > 0 {
        let text = format!(
            "{} sent messages are not acknowledged: `sesame queue list {name} --queue unacknowledged --long` shows them; ask \
             the receiver",
            known.overdue
        );
        found.push(warning(about, text));
    }
    if known.missing > 0 {
        let text =
            format!("{} messages are missing: `sesame gaps {name}` lists them; ask their senders", known.missing);
        found.push(warning(about, text));
    }
}

fn of_signers(channel: &Channel, now: u64, found: &mut Vec<Trouble>) {
    let about = channel.section();
    let silence = |last: u64| now.saturating_sub(last);
    let is_silent = |last: u64| silence(last) > SILENT_HOURS * HOUR;
    let silent: Vec<_> =
        channel.signers.iter().filter(|signer| signer.name != OTHER && is_silent(signer.last)).collect();
    for signer in silent.iter().take(MOST_NAMED) {
        let text = format!("{about}: no message for {}; ask the site", long(silence(signer.last)));
        found.push(warning(&signer.name, text));
    }
    if let Some(more) = silent.len().checked_sub(MOST_NAMED).filter(|more| *more > 0) {
        found.push(warning(&about, format!("no message from {more} further signers for more than {SILENT_HOURS} h")));
    }
}

/// Brokers to which channels have no session.
fn of_brokers(overview: &Overview, found: &mut Vec<Trouble>) {
    for broker in &overview.brokers {
        let waits =
            |channel: &&Channel| channel.broker == broker.name && channel.out_of_service.as_deref() == Some(NO_SESSION);
        let waiting: Vec<String> = overview.channels.iter().filter(waits).map(Channel::section).collect();
        if !waiting.is_empty() {
            let text = format!(
                "{} without a session: {}; `sesame check` says what is wrong, and nothing is lost meanwhile",
                if waiting.len() == 1 { "a channel is" } else { "channels are" },
                waiting.join(", "),
            );
            found.push(critical(&format!("broker {}", broker.name), text));
        }
    }
}

fn of_expiry(expiry: &Expiry, now: u64) -> Option<Trouble> {
    let Expiry { purpose, file, ends } = expiry;
    if purpose == CRL {
        let late = now.checked_sub(*ends).filter(|late| *late > 0)?;
        let text =
            format!("the next revocation list has been due for {}: check what fetches it (fetch-crl)", long(late));
        // Messages of signers under its authority are deferred.
        return Some(critical(file, text));
    }
    let what = if purpose == "own" { "our certificate" } else { "the recipient's certificate" };
    if *ends <= now {
        return Some(critical(file, format!("{what} has expired: replace the file, it is read again by itself")));
    }
    let rest = ends - now;
    (rest < CERTIFICATE_DAYS * DAY).then(|| warning(file, format!("{what} expires in {}: renew it", long(rest))))
}

fn of_file(WatchedFile { file, fault, .. }: &WatchedFile) -> Option<Trouble> {
    let text = format!("changed and cannot be used, and Sesame would not start again with it: {}", fault.as_ref()?);
    Some(critical(file, text))
}

fn of_place(place: &Place) -> Option<Trouble> {
    let Place { directory, free, min_free, .. } = place;
    let free = (*free)?;
    let (has, least) = (free >> 20, min_free >> 20);
    if free < *min_free {
        let text = format!("{has} MiB free, less than min-free, {least} MiB: its channels pause; make room");
        return Some(critical(directory, text));
    }
    let soon = free < min_free.saturating_mul(ROOM_TIMES);
    soon.then(|| {
        warning(directory, format!("{has} MiB free; below min-free, {least} MiB, its channels pause: make room"))
    })
}

#[cfg(test)]
mod tests {
    use observe::overview::{Acknowledgements, Broker, Direction, Plugin, Queue, Signer};

    use super::*;

    const NOW: u64 = 1_000 * DAY;

    fn texts(overview: &Overview) -> Vec<String> {
        let line = |trouble: Trouble| format!("{:?} {}: {}", trouble.severity, trouble.about, trouble.text);
        of(&Overview { at: NOW, ..overview.clone() }).into_iter().map(line).collect()
    }

    fn starts(overview: &Overview, expected: &[&str]) {
        let found = texts(overview);
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found} does not start with {expected}");
        }
    }

    fn receiver() -> Channel {
        Channel {
            name: "central".to_owned(),
            direction: Direction::Receive,
            broker: "egi".to_owned(),
            ..Channel::default()
        }
    }

    fn of_one(channel: Channel) -> Overview {
        Overview { channels: vec![channel], ..Overview::default() }
    }

    #[test]
    fn nothing_is_wrong_where_all_is_well() {
        let queue = |name: &str, messages| Queue { name: name.to_owned(), messages, oldest: Some(NOW - HOUR / 2) };
        let queues = vec![queue("incoming", 5), queue("deferred", 1), queue("reject", 0)];
        let signers = vec![Signer { name: "/CN=a".to_owned(), last: NOW - 36 * HOUR }];
        let plugins = vec![Plugin { state: "ready".to_owned(), errors: 3, ..Plugin::default() }];
        let mut overview = of_one(Channel { queues, signers, plugins, ..receiver() });
        let ends = |purpose: &str, ends| Expiry { purpose: purpose.to_owned(), ends, ..Expiry::default() };
        overview.expiries = vec![ends("own", NOW + 31 * DAY), ends("crl", NOW + 1)];
        overview.files = vec![WatchedFile { purpose: "own".to_owned(), ..WatchedFile::default() }];
        overview.places = vec![Place { free: Some(200), min_free: 100, ..Place::default() }];
        assert_eq!(texts(&overview), [""; 0]);
    }

    #[test]
    fn a_channel_that_is_paused_or_without_a_session_is_critical() {
        let paused = Some("plugin x fails".to_owned());
        let out_of_service = Some("paused, because plugin x fails for every message".to_owned());
        starts(
            &of_one(Channel { paused, out_of_service, ..receiver() }),
            &["Critical receive.central: paused: plugin x fails"],
        );
        let mut away = of_one(Channel { out_of_service: Some(NO_SESSION.to_owned()), ..receiver() });
        away.brokers = vec![Broker { name: "egi".to_owned(), ..Broker::default() }];
        starts(
            &away,
            &[
                "Critical receive.central: not in service: no session with the broker",
                "Critical broker egi: a channel is without a session: receive.central",
            ],
        );
    }

    #[test]
    fn a_channel_that_waits_for_its_disk_is_no_trouble_of_the_broker() {
        let full = Some("disk: less than min-free is free for /spool".to_owned());
        let mut overview = of_one(Channel { out_of_service: full, ..receiver() });
        overview.brokers = vec![Broker { name: "egi".to_owned(), ..Broker::default() }];
        starts(&overview, &["Critical receive.central: not in service: disk: less than min-free is free for /spool"]);
    }

    #[test]
    fn a_broken_plugin_is_critical_unless_an_earlier_file_of_it_serves() {
        let broken = |name: &str, version: Option<&str>| Plugin {
            name: name.to_owned(),
            version: version.map(str::to_owned),
            fault: Some("is no component".to_owned()),
            ..Plugin::default()
        };
        let plugins = vec![broken("a", Some("1.0")), broken("b", None)];
        starts(
            &of_one(Channel { plugins, ..receiver() }),
            &[
                "Critical receive.central: plugin b: is no component",
                "Warning receive.central: plugin a: is no component",
            ],
        );
    }

    #[test]
    fn queues_acknowledgements_and_silent_signers_are_warnings() {
        let queue = |name: &str, messages, oldest| Queue { name: name.to_owned(), messages, oldest };
        let queues = vec![queue("deferred", 3, Some(NOW - 2 * HOUR)), queue("reject", 2, Some(NOW))];
        let signer = |name: String, last| Signer { name, last };
        let mut signers = vec![signer("other".to_owned(), 0)];
        signers.extend((0..25).map(|number| signer(format!("/CN={number}"), NOW - 40 * HOUR)));
        let acknowledgements = Some(Acknowledgements { overdue: 4, missing: 5, ..Acknowledgements::default() });
        let found = texts(&of_one(Channel { queues, signers, acknowledgements, ..receiver() }));
        let expected = [
            "Warning receive.central: the oldest of 3 messages in deferred has waited for 2 h: ",
            "Warning receive.central: 2 in the reject queue: ",
            "Warning receive.central: 4 sent messages are not acknowledged: ",
            "Warning receive.central: 5 messages are missing: `sesame gaps central`",
            "Warning /CN=0: receive.central: no message for 40 h; ask the site",
        ];
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found} does not start with {expected}");
        }
        assert_eq!(found.len(), 4 + MOST_NAMED + 1, "{found:#?}");
        assert!(found.last().unwrap().contains("no message from 5 further signers"), "{found:#?}");
    }

    #[test]
    fn certificates_lists_and_disks_are_seen_before_they_end() {
        let expiry = |purpose: &str, ends| Expiry { purpose: purpose.to_owned(), file: format!("/{purpose}"), ends };
        let place = |free| Place { directory: format!("/{free}"), free: Some(free), min_free: 100, journal: 0 };
        let overview = Overview {
            expiries: vec![expiry("own", NOW + 29 * DAY), expiry("recipient", NOW), expiry("crl", NOW - 5 * HOUR)],
            files: vec![WatchedFile {
                file: "/new".to_owned(),
                fault: Some("key /k does not belong to certificate /new".to_owned()),
                ..WatchedFile::default()
            }],
            places: vec![place(99), place(199), place(200)],
            ..Overview::default()
        };
        starts(
            &overview,
            &[
                "Critical /recipient: the recipient's certificate has expired",
                "Critical /crl: the next revocation list has been due for 5 h",
                "Critical /new: changed and cannot be used, and Sesame would not start again with it: key /k does not",
                "Critical /99: 0 MiB free, less than min-free",
                "Warning /own: our certificate expires in 29 days",
                "Warning /199: 0 MiB free; below min-free",
            ],
        );
    }
}
