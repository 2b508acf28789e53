//! The shared index: whether this receiver could use it, and who else does.

use super::Found;
use crate::config::Config;
use crate::service::Shared;
use index::Operator;
use message::cause::chain;

const SUBJECT: &str = "index";

pub(super) fn check(config: &Config, shared: &Shared) -> Vec<Found> {
    let Some(section) = &config.index else { return Vec::new() };
    vec![match shared.registry.index(config) {
        Ok(Some(settings)) => connect(settings, &section.name),
        Ok(None) => return Vec::new(),
        Err(error) => Found::error(SUBJECT, chain(&error)),
    }]
}

fn connect(settings: index::Settings, name: &str) -> Found {
    let server = settings.server.clone();
    let receivers = Operator::connect(settings).and_then(|operator| operator.receivers());
    let receivers = match receivers {
        Ok(receivers) => receivers,
        Err(error) if error.0.contains(index::NOT_MADE) => {
            return Found::ok(SUBJECT, format!("connected to {server}; the first receiver makes the tables"));
        }
        Err(error) => return Found::error(SUBJECT, error.0),
    };
    if let Some(fenced) = receivers.iter().find(|receiver| receiver.name == name && receiver.fenced.is_some()) {
        let since = fenced.fenced.as_deref().unwrap_or_default();
        let text = format!("receiver {name} was fenced {since} and does not start: see `sesame index admit --help`");
        return Found::error(SUBJECT, text);
    }
    let others: Vec<&str> = receivers
        .iter()
        .filter(|other| other.name != name && other.connected)
        .map(|other| other.name.as_str())
        .collect();
    let with = if others.is_empty() { "no other receiver is running".to_owned() } else { others.join(", ") };
    Found::ok(SUBJECT, format!("connected to {server} as {name}; shared with: {with}"))
}
