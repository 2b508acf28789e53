//! How a channel seals and where its outputs go: for the sender, and for `sesame explain` and `check`.

use crate::config;
use smime::SealPolicy;
use transport::Destination;

/// How a channel seals.
pub(crate) fn seal_policy(settings: &config::Sender) -> SealPolicy {
    let max_payload = usize::try_from(settings.max_payload).unwrap_or(usize::MAX);
    SealPolicy { peer: settings.peer, cipher: None, max_payload }
}

/// The destinations of an output: those of its routes, else the channel's own; each once.
pub(crate) fn destinations(settings: &config::Sender, routes: &[String]) -> Vec<Destination> {
    let own = &settings.destination;
    let mut destinations: Vec<Destination> =
        routes.iter().map(|route| settings.routes.get(route).unwrap_or(own).clone()).collect();
    if destinations.is_empty() {
        destinations.push(own.clone());
    }
    destinations.sort();
    destinations.dedup();
    destinations
}
