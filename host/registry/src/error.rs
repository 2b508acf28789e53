//! What can go wrong with a registry, in words that name it and the remedy.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use dial::DialError;
use message::owner_only::OwnerOnlyError;
use message::text::one_line;
use oci_client::errors::{DigestError, OciDistributionError};

use crate::guard::Fault;

/// How much is shown of what a registry says.
const SHOWN: usize = 300;

/// Why an artifact was not pushed or pulled.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The text names no artifact.
    #[error("{text:?} does not name an artifact, {reason}: write HOST[:PORT]/REPOSITORY with :TAG or @sha256:DIGEST")]
    Name {
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A digest is given where a tag is needed.
    #[error("cannot push to {0}: what is pushed has a digest afterwards; give a :TAG instead")]
    PushToDigest(String),
    /// Something other than a registry on this machine is to be asked over HTTP.
    #[error("registry {0} is not on this machine: without --plain-http it is asked over TLS")]
    PlainHttp(String),
    /// No connection.
    #[error("cannot connect to {at} for registry {registry}: check the name, and that this machine may connect to it")]
    Connect {
        /// The registry.
        registry: String,
        /// The server: the registry's, or one that it names.
        at: String,
        /// Why.
        #[source]
        source: Box<DialError>,
    },
    /// The server's certificate is not accepted.
    #[error(
        "registry {registry}: the certificate of {at} is refused, {reason}: if that server is the right one, name its \
         authority with --ca FILE"
    )]
    Certificate {
        /// The registry.
        registry: String,
        /// The server.
        at: String,
        /// Why.
        reason: String,
    },
    /// The connection ended, or what came is not HTTP.
    #[error("registry {registry}: lost the connection to {at}, {reason}: try again")]
    Lost {
        /// The registry.
        registry: String,
        /// The server.
        at: String,
        /// What happened.
        reason: String,
    },
    /// Nothing comes.
    #[error("registry {registry}: {at} sends nothing for {} s: try again, or use another registry", after.as_secs_f32())]
    Silent {
        /// The registry.
        registry: String,
        /// The server.
        at: String,
        /// For how long nothing came.
        after: Duration,
    },
    /// The whole takes too long.
    #[error("registry {registry}: not finished after {} s: try again, or give it more with --timeout", after.as_secs_f32())]
    Late {
        /// The registry.
        registry: String,
        /// The deadline.
        after: Duration,
    },
    /// An answer is longer than what is asked for can be.
    #[error("registry {registry}: {at} sends more than {limit} bytes: that is no plugin")]
    TooLong {
        /// The registry.
        registry: String,
        /// The server.
        at: String,
        /// The most that is taken, in bytes.
        limit: u64,
    },
    /// The registry would have the credentials sent to another server.
    #[error(
        "registry {registry} wants your credentials sent to {to}: they were not; if {to} is its token server, allow it \
         with --token-server {to}"
    )]
    CredentialsElsewhere {
        /// The registry.
        registry: String,
        /// The other server.
        to: String,
    },
    /// The registry refers to a place without TLS.
    #[error("registry {registry} refers to {to} without TLS, which is not followed: use another registry")]
    Unencrypted {
        /// The registry.
        registry: String,
        /// The other server.
        to: String,
    },
    /// A registry that is asked over HTTP refers to another server.
    #[error("registry {registry} refers to {to}, and --plain-http asks {registry} alone: use another registry")]
    Elsewhere {
        /// The registry.
        registry: String,
        /// The other server.
        to: String,
    },
    /// The registry wants credentials, or others.
    #[error("registry {registry} refuses access: {}", advice(*.with))]
    Unauthorised {
        /// The registry.
        registry: String,
        /// Whether there were credentials.
        with: bool,
    },
    /// There is no such artifact.
    #[error("registry {registry} has no {what}: check repository and tag")]
    NotFound {
        /// The registry.
        registry: String,
        /// What is not there.
        what: String,
    },
    /// The registry says no.
    #[error("registry {registry} answers with status {status}: {said}")]
    Refused {
        /// The registry.
        registry: String,
        /// The status of HTTP.
        status: u16,
        /// Its words.
        said: String,
    },
    /// An answer that is not as the specification has it.
    #[error("registry {registry} does not keep to the OCI specification, {reason}: use another registry")]
    Protocol {
        /// The registry.
        registry: String,
        /// What is wrong.
        reason: String,
    },
    /// Other content than what the digest names.
    #[error(
        "registry {registry} sends another {what} than {digest} names: nothing of it is used; ask who runs the registry"
    )]
    Digest {
        /// The registry.
        registry: String,
        /// What was asked for.
        what: &'static str,
        /// Its digest.
        digest: String,
    },
    /// The size is not that of the descriptor.
    #[error(
        "registry {registry} sends {got} bytes of the {what} {digest}, whose size is {said}: nothing of it is used; ask \
         who runs the registry"
    )]
    Size {
        /// The registry.
        registry: String,
        /// What was asked for.
        what: &'static str,
        /// Its digest.
        digest: String,
        /// The size in the descriptor.
        said: u64,
        /// Bytes that came; at least so many where there were more.
        got: u64,
    },
    /// The artifact is too large for a plugin.
    #[error("the {what} of {name} has {size} bytes, and at most {limit} are taken: it is no plugin of Sesame")]
    TooLarge {
        /// The artifact.
        name: String,
        /// Which part of it.
        what: &'static str,
        /// Its size in bytes.
        size: u64,
        /// The most, in bytes.
        limit: u64,
    },
    /// The artifact is something else than a component.
    #[error("{name} is not a WebAssembly component as wkg pushes it, {reason}: check the name")]
    OtherArtifact {
        /// The artifact.
        name: String,
        /// What it is instead.
        reason: String,
    },
    /// A file that the component's manifest names is not there.
    #[error(
        "registry {registry} has the component and not its {what} {digest}: push the plugin there again, or copy it with \
         its referrers"
    )]
    AttachedMissing {
        /// The registry.
        registry: String,
        /// Which file.
        what: &'static str,
        /// Its digest.
        digest: String,
    },
    /// The tag is pinned to another digest.
    #[error(
        "{name} was {pinned} when it was first pulled and is {now} now: ask its author whether that is meant, then pin the \
         new one with --repin"
    )]
    Moved {
        /// The artifact.
        name: String,
        /// Its digest in the file of pins.
        pinned: String,
        /// Its digest now.
        now: String,
    },
    /// A file of ours cannot be read or written.
    #[error("cannot {verb} {path}")]
    File {
        /// `read` or `write`.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file of the credentials.
    #[error(transparent)]
    Credentials(#[from] OwnerOnlyError),
    /// A file has no usable credentials or pins.
    #[error("{path}: {reason}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// `oci-client` cannot be set up without them, also where others are named.
    #[error("this system has no certificates of authorities: install the package ca-certificates")]
    NoAuthorities,
    /// This machine gives no listener.
    #[error("cannot listen on the loopback interface")]
    Guard(#[source] io::Error),
}

fn advice(with: bool) -> &'static str {
    if with {
        "check user name and password, and that this user may do it"
    } else {
        "give --user and --password-file, or log in with docker"
    }
}

impl RegistryError {
    /// The error for what the guard kept.
    pub(crate) fn of_fault(registry: &str, fault: Fault) -> Self {
        let registry = registry.to_owned();
        match fault {
            Fault::Connect { at, source } => match *source {
                // What follows the semicolon is the remedy for a broker.
                DialError::CertificateRefused { at, reason } => {
                    let reason = reason.split("; ").next().unwrap_or_default();
                    Self::Certificate { registry, at, reason: one_line(reason, SHOWN) }
                }
                source => Self::Connect { registry, at, source: Box::new(source) },
            },
            Fault::Lost { at, reason } => Self::Lost { registry, at, reason: one_line(&reason, SHOWN) },
            Fault::Silent { at, after } => Self::Silent { registry, at, after },
            Fault::TooLong { at, limit } => Self::TooLong { registry, at, limit },
            Fault::CredentialsElsewhere { to } => Self::CredentialsElsewhere { registry, to },
            Fault::Unencrypted { to } => Self::Unencrypted { registry, to },
            Fault::Elsewhere { to } => Self::Elsewhere { registry, to },
            Fault::Place { named } => {
                Self::Protocol { registry, reason: format!("it refers to {:?}", one_line(&named, SHOWN)) }
            }
            Fault::Stranger => Self::Protocol { registry, reason: "a request of another process".to_owned() },
        }
    }

    /// The error for what `oci-client` says, where the guard kept nothing. `what` was asked for, `with` credentials.
    pub(crate) fn of_client(registry: &str, error: OciDistributionError, what: &str, with: bool) -> Self {
        use OciDistributionError as E;
        let registry = registry.to_owned();
        match error {
            E::UnauthorizedError { .. } | E::AuthenticationFailure(_) => Self::Unauthorised { registry, with },
            E::RegistryError { envelope, .. } => {
                use oci_client::errors::OciErrorCode as C;
                let code = envelope.errors.first().map(|error| &error.code);
                match code {
                    Some(C::ManifestUnknown | C::NameUnknown | C::NotFound | C::BlobUnknown) => {
                        Self::NotFound { registry, what: what.to_owned() }
                    }
                    Some(C::Unauthorized | C::Denied) => Self::Unauthorised { registry, with },
                    _ => Self::Protocol { registry, reason: one_line(&envelope.to_string(), SHOWN) },
                }
            }
            E::ServerError { code: 401 | 403, .. } => Self::Unauthorised { registry, with },
            E::ServerError { code: 404, .. } => Self::NotFound { registry, what: what.to_owned() },
            E::ServerError { code, message, .. } => {
                let said =
                    if message.trim().is_empty() { "no words".to_owned() } else { one_line(message.trim(), SHOWN) };
                Self::Refused { registry, status: code, said }
            }
            E::DigestError(DigestError::VerificationError { expected, .. }) => {
                Self::Digest { registry, what: "manifest", digest: one_line(&expected, SHOWN) }
            }
            other => Self::Protocol { registry, reason: one_line(&message::cause::chain(&other), SHOWN) },
        }
    }
}
