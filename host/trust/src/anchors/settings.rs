//! Settings of the trust store, and errors of loading it.

use std::path::PathBuf;

use crate::crls::CrlMode;

/// The files of the trust store and the rules for using them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustSettings {
    /// CA directories and PEM files: anchors, intermediate authorities, CRLs, signing policies.
    pub anchors: Vec<PathBuf>,
    /// Whether CRLs are required.
    pub crls: CrlMode,
    /// Whether `.signing_policy` files are enforced where present.
    pub signing_policy: bool,
    /// Whether signatures with SHA-1 are accepted on certificates and CRLs.
    pub allow_sha1_digest: bool,
}

impl TrustSettings {
    /// The defaults for one CA directory or PEM file.
    #[must_use]
    pub fn new(anchors: impl Into<PathBuf>) -> Self {
        Self { anchors: vec![anchors.into()], crls: CrlMode::IfPresent, signing_policy: true, allow_sha1_digest: false }
    }
}

/// Why the trust store cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// A configured file or directory cannot be read.
    #[error("cannot read trust anchors {}: {}; set trust.anchors to a readable CA directory or PEM files", path.display(), message::cause::io_words(*kind))]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// The system error.
        kind: std::io::ErrorKind,
    },
    /// No self-signed certificate was found.
    #[error(
        "no trust anchor in {}; set trust.anchors to a CA directory with hashed names or to PEM files",
        list(paths)
    )]
    NoAnchors {
        /// The configured paths.
        paths: Vec<PathBuf>,
    },
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
