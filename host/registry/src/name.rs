//! The name of an artifact: registry, repository, and a tag or a digest.

use std::fmt;
use std::str::FromStr;

use oci_client::Reference;

use crate::error::RegistryError;
use crate::pins::is_digest;

/// `HOST[:PORT]/REPOSITORY:TAG` or `HOST[:PORT]/REPOSITORY@sha256:DIGEST`; with both, the digest counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(pub(crate) Reference);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Name {
    type Err = RegistryError;

    fn from_str(text: &str) -> Result<Self, RegistryError> {
        let wrong = |reason: &str| RegistryError::Name { text: text.to_owned(), reason: reason.to_owned() };
        let first = text.split_once('/').map(|(first, _)| first);
        // Docker would complete it by its own registry, to which no one means to send a plugin.
        if !first.is_some_and(|first| first.contains(['.', ':']) || first == "localhost") {
            return Err(wrong("it does not begin with the host of a registry"));
        }
        let reference: Reference = text.parse().map_err(|error| wrong(&format!("{error}")))?;
        if reference.digest().is_some_and(|digest| !is_digest(digest)) {
            return Err(wrong("its digest is not sha256: and 64 digits"));
        }
        Ok(Self(reference))
    }
}

impl Name {
    /// The registry, as it was written.
    #[must_use]
    pub fn registry(&self) -> &str {
        self.0.registry()
    }

    /// The registry as docker keeps logins for it.
    #[must_use]
    pub fn login(&self) -> &str {
        self.0.resolve_registry()
    }

    /// The last part of the repository, which is free of anything that a file name may not have.
    #[must_use]
    pub fn last(&self) -> &str {
        let repository = self.0.repository();
        repository.rsplit_once('/').map_or(repository, |(_, last)| last)
    }

    /// Whether the content is named, and no tag.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        self.0.digest().is_some()
    }

    /// The same artifact by its digest.
    pub(crate) fn at(&self, digest: &str) -> Reference {
        Reference::with_digest(self.0.registry().to_owned(), self.0.repository().to_owned(), digest.to_owned())
    }

    /// Another tag of the same repository.
    pub(crate) fn tagged(&self, tag: &str) -> Reference {
        Reference::with_tag(self.0.registry().to_owned(), self.0.repository().to_owned(), tag.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_begins_with_a_registry_and_ends_with_a_tag_or_digest() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for (text, written, fixed) in [
            ("localhost:5000/plugins/check:1.0", "localhost:5000/plugins/check:1.0", false),
            ("oci.example.org/site/check", "oci.example.org/site/check:latest", false),
            (&format!("r.example.org/a/check@{digest}"), &format!("r.example.org/a/check@{digest}"), true),
            (&format!("r.example.org/a/check:1@{digest}"), &format!("r.example.org/a/check:1@{digest}"), true),
        ] {
            let name: Name = text.parse().unwrap();
            assert_eq!((name.to_string(), name.is_fixed(), name.last()), (written.to_owned(), fixed, "check"));
        }
        for wrong in [
            "check",
            "plugins/check:1",
            "r.example.org/UPPER",
            "r.example.org/a@sha256:12",
            "https://r.example.org/a",
            "",
        ] {
            let error = wrong.parse::<Name>().unwrap_err().to_string();
            assert!(error.contains("does not name an artifact"), "{error}");
        }
    }
}
