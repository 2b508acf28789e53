//! The authentication port: a token for a client certificate.

use std::fmt::Write as _;

use openssl::nid::Nid;
use openssl::x509::{X509, X509NameRef};
use serde_json::json;

use super::Shared;
use super::answer::Answer;
use super::request::token_host;

/// The types by which a subject can be found, in the order in which Go writes them.
const TYPES: [(Nid, &str); 11] = [
    (Nid::PKCS9_EMAILADDRESS, "E"),
    (Nid::SERIALNUMBER, "SERIALNUMBER"),
    (Nid::COMMONNAME, "CN"),
    (Nid::ORGANIZATIONALUNITNAME, "OU"),
    (Nid::ORGANIZATIONNAME, "O"),
    (Nid::POSTALCODE, "POSTALCODE"),
    (Nid::STREETADDRESS, "STREET"),
    (Nid::LOCALITYNAME, "L"),
    (Nid::STATEORPROVINCENAME, "ST"),
    (Nid::COUNTRYNAME, "C"),
    (Nid::DOMAINCOMPONENT, "DC"),
];

/// A subject as the authentication service writes it to find the user: values of one type are joined by `+`.
#[must_use]
pub fn bound_name(subject: &X509NameRef) -> String {
    let mut text = String::new();
    for (nid, label) in TYPES {
        let mut before = if text.is_empty() { "" } else { "," };
        for entry in subject.entries_by_nid(nid) {
            let value = entry.data().to_string().unwrap_or_default();
            let _ = write!(text, "{before}{label}={}", escaped(&value));
            before = "+";
        }
    }
    text
}

/// Go escapes what RFC 2253 says.
fn escaped(value: &str) -> String {
    let mut text = String::new();
    for (place, letter) in value.char_indices() {
        let last = place + letter.len_utf8() == value.len();
        let special = match letter {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => true,
            '#' => place == 0,
            ' ' => place == 0 || last,
            _ => false,
        };
        if special {
            text.push('\\');
        }
        text.push(letter);
    }
    text
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
