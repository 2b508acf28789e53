//! Checks that a certificate is valid for the name we connect to (RFC 6125, RFC 9525).

use std::net::IpAddr;

use openssl::x509::X509Ref;
use rustls::pki_types::ServerName;

use super::BrokerRefused;
use crate::DistinguishedName;

/// Compares the names in the certificate with the one we connect to.
pub(super) fn check(certificate: &X509Ref, name: &ServerName<'_>, allow_cn: bool) -> Result<(), BrokerRefused> {
    let presented = Presented::of(certificate);
    match name {
        ServerName::DnsName(dns) => presented.check_dns(dns.as_ref(), allow_cn),
        ServerName::IpAddress(address) => presented.check_address(IpAddr::from(*address)),
        _ => Err(BrokerRefused::Unreadable),
    }
}

/// The names a certificate is for.
struct Presented {
    dns: Vec<String>,
    addresses: Vec<IpAddr>,
    common_name: Option<String>,
}

impl Presented {
    fn of(certificate: &X509Ref) -> Self {
        let (mut dns, mut addresses) = (Vec::new(), Vec::new());
        for name in certificate.subject_alt_names().into_iter().flatten() {
            if let Some(text) = name.dnsname() {
                dns.push(text.to_owned());
            }
            addresses.extend(name.ipaddress().and_then(address));
        }
        let subject = DistinguishedName::from_x509(certificate.subject_name()).ok();
        let common_name = subject.and_then(|subject| subject.common_name().map(ToOwned::to_owned));
        Self { dns, addresses, common_name }
    }

    fn check_dns(&self, wanted: &str, allow_cn: bool) -> Result<(), BrokerRefused> {
        let wanted = wanted.trim_end_matches('.');
        if self.dns.iter().any(|pattern| matches(pattern, wanted)) {
            return Ok(());
        }
        // The common name of a grid host certificate may include the service: `host/ce.example.org`.
        let common_name = self.common_name.as_deref().map(|name| name.rsplit_once('/').map_or(name, |(_, host)| host));
        if self.dns.is_empty() && common_name.is_some_and(|name| matches(name, wanted)) {
            let wanted = wanted.to_owned();
            return if allow_cn { Ok(()) } else { Err(BrokerRefused::CommonNameOnly { wanted }) };
        }
        Err(self.wrong(wanted.to_owned()))
    }

    fn check_address(&self, wanted: IpAddr) -> Result<(), BrokerRefused> {
        if self.addresses.contains(&wanted) { Ok(()) } else { Err(self.wrong(wanted.to_string())) }
    }

    fn wrong(&self, wanted: String) -> BrokerRefused {
        let mut presented: Vec<String> = self.dns.clone();
        presented.extend(self.addresses.iter().map(ToString::to_string));
        if presented.is_empty() {
            presented.extend(self.common_name.iter().map(|name| format!("the common name {name:?}")));
        }
        BrokerRefused::WrongName { wanted, presented }
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// Compares case-insensitively; `*` may match the whole first label of a name with three labels or more.
fn matches(pattern: &str, wanted: &str) -> bool {
    let pattern = pattern.trim_end_matches('.');
    match pattern.strip_prefix("*.") {
        Some(parent) if parent.contains('.') && !parent.contains('*') => {
            wanted.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(parent))
        }
        Some(_) => false,
        None => !pattern.contains('*') && !pattern.is_empty() && pattern.eq_ignore_ascii_case(wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn compares_host_names() {
        for (pattern, wanted, expected) in [
            ("mq.example.org", "mq.example.org", true),
            ("MQ.Example.ORG", "mq.example.org", true),
            ("mq.example.org.", "mq.example.org", true),
            ("*.example.org", "mq.example.org", true),
            ("*.example.org", "a.mq.example.org", false),
            ("*.example.org", "example.org", false),
            ("*.org", "example.org", false),
            ("m*.example.org", "mq.example.org", false),
            ("*", "mq.example.org", false),
            ("", "", false),
            ("mq.example.org.evil.org", "mq.example.org", false),
        ] {
            assert_eq!(matches(pattern, wanted), expected, "{pattern} {wanted}");
        }
    }
}
