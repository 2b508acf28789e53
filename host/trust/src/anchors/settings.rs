//! Where trust anchors are read from, and why there are none.

use std::path::PathBuf;

use crate::crls::CrlMode;

/// Where trust comes from and how strict it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustSettings {
    /// CA directories and PEM files: anchors, intermediate authorities, CRLs, signing policies.
    pub anchors: Vec<PathBuf>,
    /// Whether CRLs are required.
    pub crls: CrlMode,
    /// Whether `.signing_policy` files are enforced where present.
    pub signing_policy: bool,
    /// Whether certificates and CRLs may be signed over SHA-1.
    pub allow_sha1_digest: bool,
}

impl TrustSettings {
    /// The defaults for one CA directory or PEM file.
    #[must_use]
    pub fn new(anchors: impl Into<PathBuf>) -> Self {
        Self { anchors: vec![anchors.into()], crls: CrlMode::IfPresent, signing_policy: true, allow_sha1_digest: false }
    }
}

/// Why there is no trust store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// A configured file or directory cannot be read.
    #[error("cannot read trust anchors {}: {}; set trust.anchors to a CA directory or PEM files that may be read", path.display(), message::cause::io_words(*kind))]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// What the system said.
        kind: std::io::ErrorKind,
    },
    /// No self-signed certificate was found.
    #[error(
        "no trust anchor in {}; set trust.anchors to a CA directory with hashed names or to PEM files",
        list(paths)
    )]
    NoAnchors {
        /// Where they were looked for.
        paths: Vec<PathBuf>,
    },
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
