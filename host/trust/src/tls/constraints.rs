//! Name constraints of the issuers, checked for the name we connect to (RFC 5280, section 4.2.1.10).
//!
//! OpenSSL compares the names *in* the certificate with the name constraints of its issuers. It compares a wildcard
//! literally: `*.example.org` is not within an excluded `secret.example.org`, so the certificate is accepted, and RFC
//! 9525 section 6.3 still lets it match `secret.example.org`. OpenSSL also ignores a common name such as
//! `host/ce.example.org`, which grid certificates have and `allow-cn` accepts. Therefore the name we connect to must
//! itself be permitted by every issuer of the path and excluded by none. The certificate stays valid for its other
//! names.

use rustls::pki_types::ServerName;

use crate::asn1::{self, Asn1Error, Element, Reader, context};
use crate::certificate::{self, extension};
use crate::{CertPath, DistinguishedName, PathError};

/// `dNSName` of a GeneralName.
const DNS_NAME: u8 = 0x82;

/// The DNS subtrees of one issuer.
#[derive(Debug, Default, PartialEq, Eq)]
struct Subtrees {
    permitted: Vec<String>,
    excluded: Vec<String>,
}

/// Checks the DNS name we connect to against the name constraints of every issuer in the path. For addresses OpenSSL's
/// check suffices, since no wildcard matches an address.
pub(super) fn check(path: &CertPath, name: &ServerName<'_>) -> Result<(), PathError> {
    let ServerName::DnsName(name) = name else { return Ok(()) };
    let name = name.as_ref().trim_end_matches('.').to_ascii_lowercase();
    for issuer in path.certificates().iter().skip(1) {
        let refused = |reason: String| match DistinguishedName::from_x509(issuer.subject_name()) {
            Ok(subject) => PathError::Invalid { subject, reason },
            Err(error) => PathError::Unreadable(error),
        };
        let der = issuer.to_der().map_err(|error| PathError::OpenSsl(error.to_string()))?;
        let subtrees = Subtrees::of(&der).map_err(|_| refused("its name constraints cannot be read".to_owned()))?;
        if let Some(base) = subtrees.excluded.iter().find(|base| within(&name, base)) {
            return Err(refused(format!("its name constraints exclude {base:?}, which includes {name}")));
        }
        if !subtrees.permitted.is_empty() && !subtrees.permitted.iter().any(|base| within(&name, base)) {
            let permitted = subtrees.permitted.join(", ");
            return Err(refused(format!("its name constraints permit only {permitted}, not {name}")));
        }
    }
    Ok(())
}

impl Subtrees {
    /// `NameConstraints ::= SEQUENCE { permittedSubtrees [0] GeneralSubtrees OPTIONAL, excludedSubtrees [1] … }`.
    fn of(certificate: &[u8]) -> Result<Self, Asn1Error> {
        let Some(value) = certificate::extension_value(certificate, extension::NAME_CONSTRAINTS)? else {
            return Ok(Self::default());
        };
        let mut fields = Reader::der(value).take(asn1::SEQUENCE)?.inside();
        let subtrees = Self {
            permitted: dns_names(fields.optional(context(0))?)?,
            excluded: dns_names(fields.optional(context(1))?)?,
        };
        fields.end()?;
        Ok(subtrees)
    }
}

/// The DNS names of `SEQUENCE OF SEQUENCE { base GeneralName, … }`, in lower case.
fn dns_names(subtrees: Option<Element<'_>>) -> Result<Vec<String>, Asn1Error> {
    let mut names = Vec::new();
    let Some(subtrees) = subtrees else { return Ok(names) };
    let mut reader = subtrees.inside();
    while !reader.is_empty() {
        let base = reader.take(asn1::SEQUENCE)?.inside().any()?;
        if base.tag == DNS_NAME {
            let text = std::str::from_utf8(base.content).map_err(|_| Asn1Error::Unexpected)?;
            names.push(text.trim_end_matches('.').to_ascii_lowercase());
        }
    }
    Ok(names)
}

/// Whether a name is the base or below it. A base that begins with a dot includes only names below it; the empty base
/// includes all names.
fn within(name: &str, base: &str) -> bool {
    match base.strip_prefix('.') {
        _ if base.is_empty() => true,
        Some(_) => name.len() > base.len() && name.ends_with(base),
        None => name.strip_suffix(base).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subtree_includes_its_base_and_names_below_it() {
        for (name, base, expected) in [
            ("secret.example.org", "secret.example.org", true),
            ("mq.secret.example.org", "secret.example.org", true),
            ("topsecret.example.org", "secret.example.org", false),
            ("example.org", "secret.example.org", false),
            ("mq.example.org", ".example.org", true),
            ("example.org", ".example.org", false),
            ("mq.example.org", "", true),
        ] {
            assert_eq!(within(name, base), expected, "{name} {base}");
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_octets_never_panic(octets in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..120)) {
            let _ = Subtrees::of(&octets);
            let mut reader = Reader::der(&octets);
            if let Ok(element) = reader.any() {
                let _ = dns_names(Some(element));
            }
        }
    }
}
