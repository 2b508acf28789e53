//! Tries every address of every broker once, as each identity that uses it: TCP, TLS, CONNECT with login.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::Found;
use crate::config::{Config, Credential, Trust};
use crate::service::Shared;
use transport::{Broker, Identity, Link};

/// How long a DISCONNECT may take.
pub(super) const DISCONNECT_GRACE: Duration = Duration::from_secs(2);

/// A broker as one identity sees it.
#[derive(Clone, Debug, PartialEq)]
struct Wanted<'a> {
    name: &'a str,
    broker: &'a Broker,
    credential: &'a Credential,
    trust: &'a Trust,
}

/// Tries all brokers that channels use. Where one address of a broker answers, the others are only warned about.
pub(super) async fn check(config: &Config, shared: &Shared) -> Vec<Found> {
    let mut found = Vec::new();
    let all = wanted(config);
    for wanted in &all {
        let several = all.iter().filter(|other| other.name == wanted.name).count() > 1;
        for mut one in check_one(wanted, shared).await {
            if several {
                one.text.push_str(&format!(" (with {})", wanted.credential.certificate.display()));
            }
            found.push(one);
        }
    }
    for name in config.brokers.keys() {
        let senders = config.senders.values().map(|sender| &sender.broker);
        let receivers = config.receivers.values().map(|receiver| &receiver.broker);
        if !senders.chain(receivers).any(|used| used == name) {
            found.push(Found::warning(format!("broker.{name}"), "not used by any channel; not checked"));
        }
    }
    found
}

/// Each broker with each identity, once.
fn wanted(config: &Config) -> Vec<Wanted<'_>> {
    let senders = config.senders.values().map(|channel| (&channel.broker, &channel.credential, &channel.trust));
    let receivers = config.receivers.values().map(|channel| (&channel.broker, &channel.credential, &channel.trust));
    let mut list: Vec<Wanted<'_>> = Vec::new();
    for (name, credential, trust) in senders.chain(receivers) {
        let Some(broker) = config.brokers.get(name) else { continue };
        let wanted = Wanted { name, broker, credential: config.credential_at(name, credential), trust };
        if !list.contains(&wanted) {
            list.push(wanted);
        }
    }
    list
}

/// The identity presented to a broker; `None` where it was reported as broken before.
pub(super) fn identity_of(shared: &Shared, credential: &Credential, trust: &Trust) -> Option<Identity> {
    shared.registry.identity(credential, trust).ok()
}

async fn check_one(wanted: &Wanted<'_>, shared: &Shared) -> Vec<Found> {
    let subject = format!("broker.{}", wanted.name);
    let Some(identity) = identity_of(shared, wanted.credential, wanted.trust) else {
        return vec![Found::error(subject, "not checked: credential or trust anchors are missing, see above")];
    };
    let mut tries = JoinSet::new();
    for (index, (address, broker)) in wanted.broker.addresses().into_iter().enumerate() {
        let link = match Link::new(&broker, &identity, shared.registry.memory()) {
            Ok(link) => Arc::new(link),
            Err(error) => return vec![Found::error(subject, message::cause::chain(&error))],
        };
        tries.spawn(async move { (index, attempt(&link, &address).await) });
    }
    let mut answers = tries.join_all().await;
    answers.sort_by_key(|(index, _)| *index);
    let reached = answers.iter().any(|(_, answer)| answer.is_ok());
    let found = |(_, answer): (usize, Result<String, String>)| match answer {
        Ok(text) => Found::ok(subject.clone(), text),
        Err(text) if reached => {
            Found::warning(subject.clone(), format!("{text}; another address of this broker answers"))
        }
        Err(text) => Found::error(subject.clone(), text),
    };
    answers.into_iter().map(found).collect()
}

/// What one address answers.
async fn attempt(link: &Link, address: &str) -> Result<String, String> {
    match link.connect_once().await {
        Ok(connected) => {
            let session = &connected.session;
            let text = format!("{address} answers, {}", session.peer());
            session.disconnect(DISCONNECT_GRACE).await;
            Ok(text)
        }
        Err(errors) => {
            let errors = if errors.is_empty() { "no address".to_owned() } else { errors.join("; ") };
            let remedy = remedy(&errors);
            Err(format!("cannot connect to {address}: {errors}{remedy}"))
        }
    }
}

/// What to do about an address that does not answer, where the error does not say it.
fn remedy(errors: &str) -> &'static str {
    let remedies = [
        ("cannot resolve host name", ": correct the name in `hosts`, or the name service of this machine"),
        (
            "refused the connection",
            ": correct the port in `hosts` (usually 61614), or ask the broker's operators whether it runs",
        ),
        ("does not speak TLS", ": name the port of STOMP over TLS, usually 61614"),
        ("ccess refused", ": ask the broker's operators to give this user access"),
    ];
    remedies.iter().find(|(words, _)| errors.contains(words)).map_or("", |(_, remedy)| remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_network_says_comes_with_a_remedy() {
        for (errors, words) in [
            ("cannot resolve host name mq.invalid: no address", "`hosts`"),
            ("127.0.0.1:1 refused the connection: no server listens on that port", "61614"),
            ("127.0.0.1:61613 does not speak TLS on that port; it answered \"AMQP\"", "61614"),
            ("the broker refused: Access refused for user 'CN=a'", "give this user access"),
        ] {
            assert!(remedy(errors).contains(words), "{errors}: {}", remedy(errors));
        }
        assert_eq!(remedy("certificate verify failed"), "");
    }
}
