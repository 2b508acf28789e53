//! What the authentication service of AMS makes of a certificate: the DN that it looks up, and why it may refuse a token.

use trust::{BoundName, Credential};

use super::Found;

/// The DN of a certificate as AMS has it, and what AMS lacks in it.
pub(super) fn certificate(credential: &Credential) -> Vec<Found> {
    let file = credential.files().0.display();
    let BoundName { text, left_out } = BoundName::of(credential.certificate().subject_name());
    let mut found = vec![if text.is_empty() {
        warning(format!("AMS can bind no part of the DN of {file} to a user: ask your CA for a subject with a CN"))
    } else {
        Found::ok("credential", format!("AMS looks up {file} as {text}: its administrators need the DN in this form"))
    }];
    if !left_out.is_empty() {
        let parts = left_out.join(", ");
        found.push(warning(format!(
            "AMS cannot bind {parts} in the DN of {file}, and takes certificates that differ only there for the same \
             user: have the DN registered as above, without {parts}"
        )));
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
