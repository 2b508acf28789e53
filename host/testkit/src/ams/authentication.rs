//! The authentication port: a token for a client certificate.

use openssl::x509::{X509, X509NameRef};
use serde_json::json;
use trust::BoundName;

use super::Shared;
use super::answer::Answer;
use super::request::token_host;

/// A subject as the authentication service writes it to find the user.
#[must_use]
pub fn bound_name(subject: &X509NameRef) -> String {
    BoundName::of(subject).text
}

/// The subject of a certificate in DER.
pub(super) fn subject(certificate: &[u8]) -> Option<String> {
    X509::from_der(certificate).ok().map(|certificate| bound_name(certificate.subject_name()))
}

/// Answers a request for a token by the holder of a certificate.
pub(super) fn carry_out(shared: &Shared, path: &str, subject: Option<&str>) -> Answer {
    let not_found = |what: &str| Answer::error(404, &format!("{what} was not found"), "NOT FOUND");
    let Some(host) = token_host(path) else {
        return Answer::no_such_path();
    };
    let Some(subject) = subject else {
        return Answer::error(400, "No certificate provided", "BAD REQUEST");
    };
    if !shared.settings.hosts.iter().any(|known| known == host) {
        return not_found("Host");
    }
    let mut store = shared.store();
    let name = store.bindings.get(subject);
    let Some(token) = name.and_then(|name| store.users.get(name)).map(|user| user.token.clone()) else {
        return not_found("Binding");
    };
    store.counters.tokens += 1;
    Answer::json(&json!({ "token": token }))
}
