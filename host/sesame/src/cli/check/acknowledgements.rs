//! Acknowledgements: what a configuration allows and what yet keeps them from coming, or from counting. Each side is checked
//! for what it knows; their destinations are looked at with those of the channels.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::super::output;
use super::Found;
use crate::channel::{JOURNAL, trust_settings};
use crate::config::{self, Acknowledgements, Config, Mode};
use crate::sender::overdue_after;
use message::acknowledgement::MOST_BYTES;
use message::cause::chain;
use message::duration::words;
use smime::{Peer, SealPolicy, Sealer};
use spool::journal::{Journal, Retained};
use transport::Destination;
use trust::{Credential, DistinguishedName, RecipientCertificate, SignerLists, SignerListsSource, Trust, Unlisted};

/// What is found of both sides, without a broker.
pub(super) fn check(config: &Config) -> Vec<Found> {
    let mut found = Vec::new();
    for (name, sender) in &config.senders {
        let subject = subject("send", name);
        found.extend(match sender.awaited() {
            Some(awaited) => awaiting(&subject, config, sender, awaited),
            None => asks_for_none(&subject, sender).into_iter().collect(),
        });
        found.extend(kept(&subject, name, sender));
    }
    for (name, receiver) in config.receivers.iter().filter(|(_, receiver)| !receiver.acknowledgements.is_empty()) {
        found.extend(acknowledging(&subject("receive", name), config, receiver));
    }
    found
}

/// The section of the acknowledgements of a channel.
pub(super) fn subject(kind: &str, name: &str) -> String {
    format!("{kind}.{name}.acknowledgements")
}

fn asks_for_none(subject: &str, sender: &config::Sender) -> Option<Found> {
    sender.acknowledgements.as_ref()?;
    Some(Found::ok(subject, "none are asked for: mode is \"off\""))
}

/// A sender that waits for acknowledgements.
fn awaiting(subject: &str, config: &Config, sender: &config::Sender, awaited: &Acknowledgements) -> Vec<Found> {
    let what = match awaited.mode {
        Mode::Required => "every message is kept until it is acknowledged",
        Mode::Optional | Mode::Off => "messages are kept once the receiver has acknowledged one",
    };
    let recipient = recipient(sender);
    let named: Vec<&DistinguishedName> = match &recipient {
        Some(recipient) if awaited.receivers.is_empty() => vec![recipient],
        _ => awaited.receivers.iter().collect(),
    };
    let names: Vec<String> = named.iter().map(|name| name.line()).collect();
    let overdue = overdue_after(awaited.repeat_after);
    let mut found = Vec::new();
    // A recipient certificate that cannot be read was reported before.
    if !names.is_empty() {
        let text = format!(
            "{what}, and overdue {} after it was sent; those of {} count, from {}",
            words(overdue),
            names.join(" and "),
            awaited.from
        );
        found.push(Found::ok(subject, text));
    }
    let warnings = [
        recipient.as_ref().and_then(|recipient| reader_not_expected(awaited, recipient)),
        only_ourselves(config, sender, &named),
        forgotten_before(config.journal.retention, overdue),
    ];
    found.extend(warnings.into_iter().flatten().map(|text| Found::warning(subject, text)));
    found.extend(elsewhere(sender).map(|text| Found::error(subject, text)));
    found
}

/// The owner of the certificate that a sender encrypts for.
fn recipient(sender: &config::Sender) -> Option<DistinguishedName> {
    let file = sender.recipient_certificate.as_ref()?;
    let trust = Arc::new(Trust::load(&trust_settings(&sender.trust)).ok()?);
    Some(RecipientCertificate::load(file, &trust, None).ok()?.facts().subject.clone())
}

/// Only the owner of the recipient certificate can read what is sent, so only they can acknowledge it.
fn reader_not_expected(awaited: &Acknowledgements, recipient: &DistinguishedName) -> Option<String> {
    if awaited.receivers.is_empty() || awaited.receivers.contains(recipient) {
        return None;
    }
    Some(format!(
        "receivers lacks {}, the owner of recipient-certificate, who alone can read the messages: their acknowledgements \
         would be ignored; add this DN, or remove the key",
        recipient.line()
    ))
}

/// Our own DN as the only receiver, where no channel of ours receives with that certificate.
fn only_ourselves(config: &Config, sender: &config::Sender, named: &[&DistinguishedName]) -> Option<String> {
    let subject =
        |of: &config::Credential| Some(Credential::load(&of.certificate, &of.key).ok()?.facts().subject.clone());
    let own = subject(&sender.credential)?;
    let receives = config.receivers.values().any(|receiver| subject(&receiver.credential).as_ref() == Some(&own));
    let only = !named.is_empty() && named.iter().all(|name| **name == own);
    (only && !receives)
        .then(|| format!("the only receiver is {}, our own certificate: name the receiver's in receivers", own.line()))
}

/// The first answers about a message, such as those for some of its parts, are deleted with the journal's retention.
fn forgotten_before(retention: Duration, overdue: Duration) -> Option<String> {
    (retention < overdue).then(|| {
        format!(
            "the journal is kept for {}, and a message may wait for {} until it is overdue: sesame trace and sesame proof \
             would lack what receivers said first; lower repeat-after, or raise retention in [journal]",
            words(retention),
            words(overdue)
        )
    })
}

/// A state directory that no file of the queue can be moved to; the channel would not start.
fn elsewhere(sender: &config::Sender) -> Option<String> {
    let device = |path: &Path| path.ancestors().find_map(|there| there.metadata().ok()).map(|facts| facts.dev());
    (device(&sender.queue)? != device(&sender.state)?).then(|| {
        format!(
            "state {} is on another file system than queue {}, so messages cannot be kept there until they are \
             acknowledged and the channel does not start: name a state beside the queue",
            sender.state.display(),
            sender.queue.display()
        )
    })
}

/// Messages that wait, or no longer do.
fn kept(subject: &str, name: &str, sender: &config::Sender) -> Vec<Found> {
    let journal = sender.state.join(JOURNAL);
    if !journal.exists() {
        return Vec::new();
    }
    // One that cannot be read is reported with its directory.
    let Ok(Retained { messages, overdue, .. }) = Journal::open_to_read(&journal).and_then(|it| it.retained(name))
    else {
        return Vec::new();
    };
    let count = output::count(usize::try_from(messages).unwrap_or(usize::MAX), "message");
    if messages > 0 && sender.awaited().is_none() {
        let text = format!(
            "{count} kept until they are acknowledged, and the channel no longer waits for that: set mode to \"optional\" \
             or \"required\" until none is left"
        );
        return vec![Found::warning(subject, text)];
    }
    let mut found = Vec::new();
    if overdue > 0 {
        let text = format!(
            "{overdue} of {count} overdue: they were sent as often as allowed, and no receiver has acknowledged them; ask \
             the receiver's operators"
        );
        found.push(Found::warning(subject, text));
    }
    found
}

/// A receiver that sends acknowledgements.
fn acknowledging(subject: &str, config: &Config, receiver: &config::Receiver) -> Vec<Found> {
    let given = &receiver.acknowledgements;
    let mut found = Vec::new();
    if let Ok(lists) = SignerListsSource::load(&receiver.authorised, receiver.banned.as_deref(), Unlisted::Reject) {
        found.extend(signers(subject, &receiver.authorised, given, &lists.current()));
    }
    found.extend(shared(given).into_iter().map(|text| Found::warning(subject, text)));
    let overdue = overdue_after(config::REPEAT_AFTER);
    if config.journal.retention < overdue {
        let text = format!(
            "the journal is kept for {}, and senders with the default of repeat-after send a message again for up to {}: \
             what comes after it was forgotten is stored twice; raise retention in [journal]",
            words(config.journal.retention),
            words(overdue)
        );
        found.push(Found::warning(subject, text));
    }
    found.extend(unable_to_sign(receiver).map(|text| Found::error(subject, text)));
    found
}

/// Who gets acknowledgements, of those whose messages are stored.
fn signers(
    subject: &str,
    file: &Path,
    given: &BTreeMap<DistinguishedName, Destination>,
    lists: &SignerLists,
) -> Vec<Found> {
    let mut found = Vec::new();
    let (mut acknowledged, mut listed) = (0, 0);
    for signer in given.keys() {
        let line = signer.line();
        if !lists.authorised.names(signer) {
            let text = format!(
                "{line} is not authorised in {}, so nothing is ever acknowledged to this signer: correct the DN, or \
                 authorise it",
                file.display()
            );
            found.push(Found::warning(subject, text));
            continue;
        }
        listed += 1;
        if lists.banned.names_without_issuer(signer) {
            let text =
                format!("{line} is banned, so nothing is ever acknowledged to this signer: remove one of the lines");
            found.push(Found::warning(subject, text));
            continue;
        }
        acknowledged += 1;
    }
    let others = lists.authorised.signers().saturating_sub(listed);
    let text = format!(
        "{} acknowledgements, {} no destination for any",
        match acknowledged {
            1 => "1 authorised signer gets".to_owned(),
            count => format!("{count} authorised signers get"),
        },
        match others {
            1 => "1 has".to_owned(),
            count => format!("{count} have"),
        }
    );
    found.insert(0, Found::ok(subject, text));
    found
}

/// Queues that several signers are to read: a broker delivers each acknowledgement to one of them, mostly the wrong one.
fn shared(given: &BTreeMap<DistinguishedName, Destination>) -> Vec<String> {
    let mut readers: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (signer, destination) in given.iter().filter(|(_, to)| matches!(to, Destination::Stomp(_))) {
        readers.entry(destination.as_str()).or_default().push(signer.line());
    }
    let several = readers.into_iter().filter(|(_, signers)| signers.len() > 1);
    several
        .map(|(destination, signers)| {
            format!(
                "{destination} is for {}: if these are several senders, each removes acknowledgements that are meant for \
                 another; give each a queue of its own",
                signers.join(" and ")
            )
        })
        .collect()
}

/// Why no acknowledgement can be signed.
fn unable_to_sign(receiver: &config::Receiver) -> Option<String> {
    let credential = Credential::load(&receiver.credential.certificate, &receiver.credential.key).ok()?;
    let policy = SealPolicy { peer: Peer::Sesame, cipher: None, max_payload: MOST_BYTES };
    let error = Sealer::new(Arc::new(credential), None, policy).err()?;
    Some(format!("no acknowledgement can ever be sent: {}", chain(&error)))
}

#[cfg(test)]
mod tests {
    use super::super::super::queue::Site;
    use super::super::Level;
    use super::*;
    use testkit::pki::{Authority, Directory, Request};

    const OTHER: &str = "/C=UK/O=eScience/CN=other.example.org";
    const RECEIVER: &str = "/C=UK/O=eScience/CN=receiver.example.org";

    fn name(text: &str) -> DistinguishedName {
        DistinguishedName::parse(text).unwrap()
    }

    fn awaited(receivers: &[&str]) -> Acknowledgements {
        Acknowledgements {
            mode: Mode::Required,
            from: Destination::stomp("/queue/acknowledgements.cpu"),
            receivers: receivers.iter().map(|text| name(text)).collect(),
            repeat_after: config::REPEAT_AFTER,
        }
    }

    /// A site whose sender `cpu` waits for acknowledgements of these.
    fn waiting(receivers: &[&str]) -> (Site, Config) {
        let site = Site::new();
        let mut config = site.config.clone();
        config.senders.get_mut("cpu").unwrap().acknowledgements = Some(awaited(receivers));
        (site, config)
    }

    /// A site whose receiver `central` sends acknowledgements.
    fn giving(given: &[(&str, &str)]) -> (Site, Config) {
        let site = Site::new();
        let mut config = site.config.clone();
        let given = given.iter().map(|(signer, to)| (name(signer), Destination::stomp(to)));
        config.receivers.get_mut("central").unwrap().acknowledgements = given.collect();
        (site, config)
    }

    /// What is found at this level; all of it is of acknowledgements.
    #[track_caller]
    fn at(level: Level, config: &Config) -> Vec<String> {
        let found = check(config);
        assert!(found.iter().all(|found| found.subject.ends_with(".acknowledgements")), "{found:?}");
        found.into_iter().filter(|found| found.level == level).map(|found| found.text).collect()
    }

    #[track_caller]
    fn only_warning(config: &Config, words: &str) {
        let warnings = at(Level::Warning, config);
        assert!(matches!(&warnings[..], [one] if one.contains(words)), "{words}: {warnings:?}");
        assert!(at(Level::Error, config).is_empty(), "{:?}", at(Level::Error, config));
    }

    #[track_caller]
    fn only_facts(config: &Config, facts: &[&str]) {
        assert_eq!(at(Level::Ok, config), facts);
        assert!(check(config).iter().all(|found| found.level == Level::Ok), "{:?}", check(config));
    }

    #[test]
    fn nothing_is_said_where_neither_side_asks() {
        assert_eq!(check(&Site::new().config), []);
    }

    #[test]
    fn a_sender_that_waits_says_for_whom_and_how_long() {
        let (_site, mut config) = waiting(&[RECEIVER, OTHER]);
        let fact = format!(
            "every message is kept until it is acknowledged, and overdue 15 days 18 h after it was sent; those of \
             {RECEIVER} and {OTHER} count, from /queue/acknowledgements.cpu"
        );
        only_facts(&config, &[&fact]);
        let sender = config.senders.get_mut("cpu").unwrap();
        sender.acknowledgements.as_mut().unwrap().mode = Mode::Off;
        only_facts(&config, &["none are asked for: mode is \"off\""]);
    }

    #[test]
    fn the_owner_of_the_recipient_certificate_is_expected() {
        let (site, mut config) = waiting(&[]);
        let authority = Authority::root(&Request::authority("/C=UK/CN=Another CA")).unwrap();
        let anchors = Directory::create(site.folder.path().join("anchors")).unwrap();
        anchors.add_authority(&authority.own.certificate).unwrap();
        let receiver = authority.issue(&Request::host(RECEIVER)).unwrap();
        let sender = config.senders.get_mut("cpu").unwrap();
        sender.recipient_certificate = Some(receiver.write(site.folder.path(), "receiver").unwrap().0);
        sender.trust.anchors.push(anchors.path().to_owned());
        assert!(at(Level::Ok, &config)[0].contains(&format!("those of {RECEIVER} count")), "{:?}", check(&config));
        assert!(at(Level::Warning, &config).is_empty());
        config.senders.get_mut("cpu").unwrap().acknowledgements = Some(awaited(&[OTHER]));
        only_warning(&config, &format!("receivers lacks {RECEIVER}, the owner of recipient-certificate"));
        config.senders.get_mut("cpu").unwrap().acknowledgements = Some(awaited(&[OTHER, RECEIVER]));
        assert!(at(Level::Warning, &config).is_empty());
    }

    #[test]
    fn our_own_dn_as_the_only_receiver_is_one_only_if_we_receive() {
        let (_site, mut config) = waiting(&[OTHER]);
        let own = Credential::load(&config.credential.certificate, &config.credential.key).unwrap();
        let own = own.facts().subject.line();
        config.senders.get_mut("cpu").unwrap().acknowledgements = Some(awaited(&[&own]));
        assert!(at(Level::Warning, &config).is_empty());
        config.receivers.clear();
        only_warning(&config, &format!("the only receiver is {own}, our own certificate"));
        config.senders.get_mut("cpu").unwrap().acknowledgements = Some(awaited(&[&own, OTHER]));
        assert!(at(Level::Warning, &config).is_empty());
    }

    #[test]
    fn a_journal_that_forgets_before_a_message_is_overdue_is_warned_of() {
        let (_site, mut config) = waiting(&[OTHER]);
        let overdue = config::REPEAT_AFTER * 63;
        config.journal.retention = overdue;
        assert!(at(Level::Warning, &config).is_empty());
        config.journal.retention = overdue - Duration::from_secs(1);
        only_warning(&config, "the journal is kept for 15 days 17 h, and a message may wait for 15 days 18 h until");
        let (_site, mut config) = giving(&[(OTHER, "/queue/a")]);
        config.journal.retention = Duration::from_secs(86_400);
        only_warning(&config, "the journal is kept for 1 day, and senders with the default of repeat-after");
    }

    #[test]
    fn a_state_on_another_file_system_than_the_queue_is_an_error() {
        let (_site, mut config) = waiting(&[OTHER]);
        config.senders.get_mut("cpu").unwrap().state = "/proc/sesame.state".into();
        let errors = at(Level::Error, &config);
        assert!(matches!(&errors[..], [one] if one.contains("the channel does not start")), "{errors:?}");
        // Without acknowledgements it may lie anywhere.
        config.senders.get_mut("cpu").unwrap().acknowledgements = None;
        assert_eq!(check(&config), []);
    }

    #[test]
    fn signers_without_acknowledgements_are_counted_and_those_who_can_never_get_any_are_named() {
        let (site, mut config) = giving(&[(OTHER, "/queue/acknowledgements.other")]);
        only_facts(&config, &["1 authorised signer gets acknowledgements, 0 have no destination for any"]);
        let lists = &mut config.receivers.get_mut("central").unwrap();
        let banned = site.folder.path().join("banned");
        std::fs::write(&lists.authorised, format!("{OTHER}\n/C=UK/CN=a\n{RECEIVER}\n")).unwrap();
        std::fs::write(&banned, format!("\"{OTHER}\" issuer=\"/C=UK/CN=Old CA\"\n")).unwrap();
        lists.banned = Some(banned.clone());
        only_facts(&config, &["1 authorised signer gets acknowledgements, 2 have no destination for any"]);
        std::fs::write(&banned, format!("{OTHER}\n")).unwrap();
        only_warning(&config, &format!("{OTHER} is banned, so nothing is ever acknowledged"));
        std::fs::write(&banned, "").unwrap();
        let given = &mut config.receivers.get_mut("central").unwrap().acknowledgements;
        given.insert(name("/C=UK/CN=b"), Destination::stomp("/queue/b"));
        only_warning(&config, "/C=UK/CN=b is not authorised in ");
        assert_eq!(
            at(Level::Ok, &config),
            ["1 authorised signer gets acknowledgements, 2 have no destination for any"]
        );
    }

    #[test]
    fn one_queue_for_two_signers_is_warned_of() {
        let (_site, mut config) = giving(&[(OTHER, "/queue/a"), (RECEIVER, "/queue/a")]);
        let list = &config.receivers["central"].authorised;
        std::fs::write(list, format!("{OTHER}\n{RECEIVER}\n")).unwrap();
        only_warning(&config, &format!("/queue/a is for {OTHER} and {RECEIVER}: if these are several senders"));
        let given = &mut config.receivers.get_mut("central").unwrap().acknowledgements;
        given.insert(name(RECEIVER), Destination::stomp("/queue/b"));
        assert!(at(Level::Warning, &config).is_empty());
        // Each subscription of a topic gets all.
        for destination in config.receivers.get_mut("central").unwrap().acknowledgements.values_mut() {
            *destination = Destination::Topic(ams::Topic::new("acknowledgements").unwrap());
        }
        assert!(at(Level::Warning, &config).is_empty());
    }

    #[test]
    fn messages_that_wait_are_said_where_they_wait_in_vain() {
        use message::{MessageId, Output};
        use spool::journal::{Prepared, PreparedKey, Sent};
        use std::time::SystemTime;
        let (_site, mut config) = waiting(&[OTHER]);
        let state = config.senders["cpu"].state.clone();
        std::fs::create_dir_all(&state).unwrap();
        let journal = Journal::open(&state.join(JOURNAL)).unwrap();
        let id = MessageId::parse("6b031234/6b03126398f937").unwrap();
        let key = PreparedKey { id: id.clone(), digest: message::content_digest(b"x") };
        let mut rows = [Prepared {
            key: key.clone(),
            element: id.to_string(),
            outputs: vec![Output::default()],
            pipeline: String::new(),
            attempts: 0,
            counts: Vec::new(),
            dispatches: Vec::new(),
            repeated: false,
        }];
        journal.record_prepared("cpu", &mut rows).unwrap();
        let retain = Some(config::REPEAT_AFTER);
        let sent = Sent { key: key.clone(), broker: String::new(), at: SystemTime::now(), detail: None, retain };
        journal.record_sent("cpu", &[sent]).unwrap();
        assert!(at(Level::Warning, &config).is_empty());
        journal.mark_overdue("cpu", &key, false).unwrap();
        only_warning(&config, "1 of 1 message overdue");
        config.senders.get_mut("cpu").unwrap().acknowledgements = None;
        only_warning(&config, "1 message kept until they are acknowledged, and the channel no longer waits");
    }
}
