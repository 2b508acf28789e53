//! By what others know a certificate, and what to do when a new one has other names.

use std::path::Path;

use crate::Signer;

/// Subject and issuer of a certificate, as they are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateNames {
    /// The subject.
    pub subject: String,
    /// The issuer.
    pub issuer: String,
}

impl CertificateNames {
    /// The names in a certificate.
    #[must_use]
    pub fn of(facts: &Signer) -> Self {
        Self { subject: facts.subject.line(), issuer: facts.issuer.line() }
    }

    /// A warning where our own certificate in `file` had other names before: brokers and receivers know us by them.
    #[must_use]
    pub fn own_change(&self, before: &Self, file: &Path) -> Option<String> {
        let mut changes = Vec::new();
        let mut remedies = Vec::new();
        if self.subject != before.subject {
            changes.push(change("subject", &before.subject, &self.subject));
            remedies.push(
                "register the new DN with the broker (AMS: in GOCDB) and with the receivers that authorise the old one",
            );
        }
        if self.issuer != before.issuer {
            changes.push(change("issuer", &before.issuer, &self.issuer));
            remedies.push("make sure that broker and receivers trust the new issuer");
        }
        let warning =
            || format!("certificate {} has {}: {}", file.display(), changes.join(" and "), remedies.join("; "));
        (!changes.is_empty()).then(warning)
    }

    /// A warning where the certificate that we encrypt for had another subject before.
    #[must_use]
    pub fn recipient_change(&self, before: &Self, file: &Path) -> Option<String> {
        (self.subject != before.subject).then(|| {
            format!(
                "recipient certificate {} has {}: ask the receiver whether this is its certificate",
                file.display(),
                change("subject", &before.subject, &self.subject)
            )
        })
    }
}

fn change(what: &str, before: &str, now: &str) -> String {
    format!("another {what} ({before} before, {now} now)")
}
