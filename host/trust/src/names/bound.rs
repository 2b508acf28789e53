//! A subject in the form in which AMS finds a user by it.
//!
//! The authentication service of AMS writes the subject of a client certificate as text and looks that text up among the
//! DNs that were registered for its users. The types that Go names come in Go's order, whatever their order in the
//! certificate, several values of one type joined by `+`. Of common names and serial numbers Go keeps the last one. The
//! e-mail address before them and the domain components after them are added by the service, without escapes. All other
//! types are left out.

use openssl::nid::Nid;
use openssl::x509::{X509NameEntryRef, X509NameRef};

const MAIL: Type = Type { nid: Nid::PKCS9_EMAILADDRESS, label: "E", values: Values::Plain };
const DOMAIN: Type = Type { nid: Nid::DOMAINCOMPONENT, label: "DC", values: Values::Plain };

/// The types that Go names, in its order.
const NAMED: [Type; 9] = [
    Type { nid: Nid::SERIALNUMBER, label: "SERIALNUMBER", values: Values::Last },
    Type { nid: Nid::COMMONNAME, label: "CN", values: Values::Last },
    Type { nid: Nid::ORGANIZATIONALUNITNAME, label: "OU", values: Values::Escaped },
    Type { nid: Nid::ORGANIZATIONNAME, label: "O", values: Values::Escaped },
    Type { nid: Nid::POSTALCODE, label: "POSTALCODE", values: Values::Escaped },
    Type { nid: Nid::STREETADDRESS, label: "STREET", values: Values::Escaped },
    Type { nid: Nid::LOCALITYNAME, label: "L", values: Values::Escaped },
    Type { nid: Nid::STATEORPROVINCENAME, label: "ST", values: Values::Escaped },
    Type { nid: Nid::COUNTRYNAME, label: "C", values: Values::Escaped },
];

/// An attribute type and how its values are written.
struct Type {
    nid: Nid,
    label: &'static str,
    values: Values,
}

/// Which values of a type are written, and how.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Values {
    /// All, as they are.
    Plain,
    /// All, with escapes.
    Escaped,
    /// The last one, with escapes.
    Last,
}

/// A subject as AMS binds it to a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundName {
    /// The text that is registered.
    pub text: String,
    /// The parts of the subject that are not in it, such as `UID`, each once.
    pub left_out: Vec<String>,
}

impl BoundName {
    /// The form of this subject.
    #[must_use]
    pub fn of(subject: &X509NameRef) -> Self {
        let mut text = MAIL.write(subject).map_or_else(String::new, |mail| mail + ",");
        text += &NAMED.iter().filter_map(|kind| kind.write(subject)).collect::<Vec<_>>().join(",");
        text.extend(DOMAIN.write(subject).map(|domain| format!(",{domain}")));
        Self { text, left_out: left_out(subject) }
    }
}

impl Type {
    /// All values of this type; `None` if there are none.
    fn write(&self, subject: &X509NameRef) -> Option<String> {
        let entries = subject.entries_by_nid(self.nid);
        let entries: Vec<&X509NameEntryRef> = match self.values {
            Values::Last => entries.last().into_iter().collect(),
            Values::Plain | Values::Escaped => entries.collect(),
        };
        let written = entries.into_iter().map(|entry| {
            let value = entry.data().to_string().unwrap_or_default();
            let value = if self.values == Values::Plain { value } else { escaped(&value) };
            format!("{}={value}", self.label)
        });
        let written: Vec<String> = written.collect();
        (!written.is_empty()).then(|| written.join("+"))
    }
}

fn left_out(subject: &X509NameRef) -> Vec<String> {
    let mut list = Vec::new();
    for kind in NAMED.iter().filter(|kind| kind.values == Values::Last) {
        if subject.entries_by_nid(kind.nid).count() > 1 {
            list.push(format!("all but the last {}", kind.label));
        }
    }
    let known = |nid| [MAIL, DOMAIN].iter().chain(&NAMED).any(|kind| kind.nid == nid);
    for entry in subject.entries().filter(|entry| !known(entry.object().nid())) {
        let label = match entry.object().nid() {
            Nid::UNDEF => entry.object().to_string(),
            nid => nid.short_name().map_or_else(|_| entry.object().to_string(), str::to_owned),
        };
        if !list.contains(&label) {
            list.push(label);
        }
    }
    list
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
