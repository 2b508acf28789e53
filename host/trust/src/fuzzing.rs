//! Entry points for the fuzz targets: parsers that other crates do not call directly.

use crate::policy;

/// Parses a signing policy and evaluates it for the authorities that it names. Returns whether it could be parsed.
#[must_use]
pub fn signing_policy(text: &str) -> bool {
    policy::parse(text).is_ok_and(|entries| {
        for entry in &entries {
            let _ = policy::allows(&entry.patterns, &entry.authority);
        }
        !entries.is_empty()
    })
}
