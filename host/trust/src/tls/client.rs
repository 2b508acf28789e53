//! Defects for which brokers refuse our certificate as that of a TLS client.

use std::time::SystemTime;

use openssl::x509::{X509ExtendedKeyUsage, X509KeyUsage};

use crate::Credential;
use crate::asn1::{self, Reader};
use crate::certificate::{self, extension};
use crate::times::{readable, seconds, unix};

/// The first bit of the Netscape certificate type: SSL client.
const NETSCAPE_CLIENT: u8 = 0x80;

/// The defects of a certificate as that of a TLS client, with the remedy and the file name; `None` if there are none.
///
/// Some brokers are lenient; the common ones are not (RFC 5280 4.2.1.3 and 4.2.1.12, RFC 8446 4.4.2.4).
#[must_use]
pub fn client_faults(credential: &Credential, now: SystemTime) -> Option<String> {
    let faults: Vec<String> = [validity(credential, now), usages(credential)].into_iter().flatten().collect();
    (!faults.is_empty()).then(|| faults.join("; "))
}

fn validity(credential: &Credential, now: SystemTime) -> Option<String> {
    let certificate = credential.certificate();
    let file = credential.files().0.display();
    let (now, from, until) = (seconds(now), unix(certificate.not_before()), unix(certificate.not_after()));
    if now > until {
        return Some(format!("{file} expired on {}: have it renewed", readable(until)));
    }
    (now < from).then(|| format!("{file} is not valid before {}: check the clock", readable(from)))
}

/// The usages that a TLS client needs and the certificate lacks.
fn usages(credential: &Credential) -> Option<String> {
    let certificate = credential.certificate().to_owned();
    let file = credential.files().0.display();
    let mut lacking = Vec::new();
    let client = X509ExtendedKeyUsage::SSL_CLIENT | X509ExtendedKeyUsage::ANYEKU;
    if certificate.extended_key_usage().is_some_and(|purposes| !purposes.intersects(client)) {
        lacking.push("clientAuth in its extended key usage");
    }
    if certificate.key_usage().is_some_and(|usage| !usage.contains(X509KeyUsage::DIGITAL_SIGNATURE)) {
        lacking.push("digitalSignature in its key usage");
    }
    if is_netscape_server(&credential.facts().certificate_der) {
        lacking.push("\"SSL client\" in its Netscape certificate type");
    }
    let lacking = (!lacking.is_empty()).then(|| lacking.join(" and "))?;
    Some(format!(
        "{file} lacks {lacking}, which brokers such as RabbitMQ require of a TLS client: ask your CA for a certificate \
         with both serverAuth and clientAuth"
    ))
}

fn is_netscape_server(certificate: &[u8]) -> bool {
    let Ok(Some(kind)) = certificate::extension_value(certificate, extension::NETSCAPE_TYPE) else { return false };
    let bits = Reader::der(kind).take(asn1::BIT_STRING).ok();
    bits.is_some_and(|bits| bits.content.get(1).is_none_or(|first| first & NETSCAPE_CLIENT == 0))
}
