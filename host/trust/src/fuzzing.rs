//! Doors for the fuzz targets: parsers that no other crate calls by themselves.

use crate::policy;

/// Reads a signing policy, and asks it about the authorities that it names; whether it could be read.
#[must_use]
pub fn signing_policy(text: &str) -> bool {
    policy::parse(text).is_ok_and(|entries| {
        for entry in &entries {
            let _ = policy::allows(&entry.patterns, &entry.authority);
        }
        !entries.is_empty()
    })
}
