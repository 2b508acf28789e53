//! What the authentication service of AMS makes of a certificate: the DN that it looks up, and why it may refuse a token.

use trust::{BoundName, Credential};

use super::Found;

/// The DN of a certificate as AMS has it, and what AMS lacks in it.
pub(super) fn certificate(credential: &Credential) -> Vec<Found> {
    let file = credential.files().0.display();
    let BoundName { text, left_out } = BoundName::of(credential.certificate().subject_name());
    let mut found = Vec::new();
    let left_out = left_out.join(", ");
    if text.is_empty() {
        let text = format!("AMS can bind no part of the DN of {file} to a user: ask your CA for a subject with a CN");
        found.push(warning(text));
    } else {
        let text = format!("AMS looks up {file} as {text}: its administrators need the DN in this form");
        found.push(Found::ok("credential", text));
        if !left_out.is_empty() {
            found.push(warning(format!(
                "AMS cannot bind {left_out} in the DN of {file}, and takes certificates that differ only there for the \
                 same user: have the DN registered in the form above"
            )));
        }
    }
    found.extend(revocation(credential));
    found
}

/// Why AMS cannot find out whether the certificate is revoked: where it verifies certificates, it refuses one without an
/// address of a CRL, and fails for one whose CRL it cannot fetch over HTTP.
fn revocation(credential: &Credential) -> Option<Found> {
    let file = credential.files().0.display();
    let addresses = credential.crl_addresses();
    let remedy = "ask your CA for a certificate with one, or AMS for a token to use with token-file";
    if addresses.is_empty() {
        return Some(warning(format!(
            "{file} has no CRL distribution point with an address, so AMS may refuse a token (403): {remedy}"
        )));
    }
    let other = addresses.iter().find(|address| {
        let scheme = address.split(':').next().unwrap_or_default();
        !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
    })?;
    Some(warning(format!(
        "AMS reads CRLs over HTTP only and may refuse a token, as {file} has the CRL distribution point {other}: ask your \
         CA for a certificate with HTTP addresses alone, or AMS for a token to use with token-file"
    )))
}

fn warning(text: String) -> Found {
    Found::warning("credential", text)
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;
    use testkit::pki::{Authority, KeyKind, Request};
    use trust::asn1;

    /// A certificate of this subject with CRL distribution points at these addresses, as AMS sees it.
    fn seen(subject: &str, addresses: &[&str]) -> Vec<Found> {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::root(&Request::authority("/C=UK/CN=Test CA")).unwrap();
        let mut request = Request { key: KeyKind::P256, ..Request::host(subject) };
        let names: Vec<u8> =
            addresses.iter().flat_map(|address| asn1::encode(asn1::context_primitive(6), address.as_bytes())).collect();
        let full = asn1::encode(asn1::context(0), &asn1::encode(asn1::context(0), &names));
        let points = asn1::encode(asn1::SEQUENCE, &asn1::encode(asn1::SEQUENCE, &full));
        if !addresses.is_empty() {
            request.extensions = vec![("2.5.29.31".to_owned(), false, points)];
        }
        let (own, key) = authority.issue(&request).unwrap().write(folder.path(), "own").unwrap();
        certificate(&Credential::load(&own, &key).unwrap())
    }

    #[track_caller]
    fn only_warning(found: &[Found]) -> &str {
        let warnings: Vec<&Found> = found.iter().filter(|found| found.level == Level::Warning).collect();
        assert_eq!(warnings.len(), 1, "{found:?}");
        &warnings[0].text
    }

    const CRL: &str = "http://ca.example.org/crl";

    #[test]
    fn a_certificate_that_ams_takes_is_shown_as_it_is_registered() {
        let found = seen("/DC=org/DC=example/O=Site/CN=host.example.org/emailAddress=a@b.c", &[CRL, "HTTPS://b/crl"]);
        assert!(matches!(&found[..], [only] if only.level == Level::Ok), "{found:?}");
        assert!(found[0].text.contains(" as E=a@b.c,CN=host.example.org,O=Site,DC=org+DC=example: "), "{found:?}");
    }

    #[test]
    fn what_ams_cannot_bind_is_a_warning() {
        let found = seen("/O=Site/UID=x/CN=Robot/CN=host", &[CRL]);
        assert!(found[0].text.contains(" as CN=host,O=Site: "), "{found:?}");
        assert!(
            only_warning(&found).starts_with("AMS cannot bind all but the last CN, UID in the DN of "),
            "{found:?}"
        );
        let found = seen("/UID=x", &[CRL]);
        assert!(found[0].text.starts_with("AMS can bind no part of the DN of "), "{found:?}");
        assert_eq!(found[0].level, Level::Warning);
    }

    #[test]
    fn without_a_crl_that_ams_can_fetch_it_may_refuse_a_token() {
        let found = seen("/CN=host", &[]);
        let warning = only_warning(&found);
        assert!(
            warning.contains("own.pem has no CRL distribution point with an address, so AMS may refuse"),
            "{warning}"
        );
        let found = seen("/CN=host", &[CRL, "ldap://ca.example.org/crl"]);
        assert!(
            only_warning(&found).contains("has the CRL distribution point ldap://ca.example.org/crl: "),
            "{found:?}"
        );
    }
}
