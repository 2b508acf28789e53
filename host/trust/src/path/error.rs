//! Why a certificate is not accepted.

use std::path::PathBuf;

use super::{NameError, Role};
use crate::DistinguishedName;
use crate::oids::accepted;
use crate::times::readable;
use message::Code;

/// Why a certificate is not accepted. Each has a stable [`code`](PathError::code).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// A proxy certificate, or one issued by a proxy.
    #[error("{subject} is a proxy certificate")]
    Proxy {
        /// The proxy.
        subject: DistinguishedName,
    },
    /// No path leads to a trust anchor.
    #[error("no trust anchor for issuer {issuer}")]
    Untrusted {
        /// The name for which no issuer was found.
        issuer: DistinguishedName,
    },
    /// An issuer of that name is known, but the signature does not verify with its key.
    #[error("{subject} is not signed with the key of the known {issuer}")]
    BadSignature {
        /// The certificate whose signature does not verify.
        subject: DistinguishedName,
        /// The issuer it names.
        issuer: DistinguishedName,
    },
    /// The path is longer than ten issuers.
    #[error("the certification path is longer than {limit} issuers")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// The search for a path reached its limit.
    #[error("no certification path found within {limit} attempts")]
    TooManyPaths {
        /// The limit.
        limit: usize,
    },
    /// An issuer in the path may not issue certificates.
    #[error("{issuer} is not a certificate authority")]
    IssuerNotCa {
        /// The issuer.
        issuer: DistinguishedName,
    },
    /// An issuer's key usage lacks keyCertSign.
    #[error("the key usage of {issuer} does not allow it to sign certificates (no keyCertSign)")]
    IssuerKeyUsage {
        /// The issuer.
        issuer: DistinguishedName,
    },
    /// A rule of RFC 5280 is violated, such as path length, name constraints or an unknown critical extension.
    #[error("certificate of {subject}: {reason}")]
    Invalid {
        /// The certificate in question.
        subject: DistinguishedName,
        /// The violated rule.
        reason: String,
    },
    /// A CRL lists it.
    #[error("{subject} is revoked: serial {serial} is listed in {}", crl.display())]
    Revoked {
        /// The revoked certificate.
        subject: DistinguishedName,
        /// Its serial number, hexadecimal.
        serial: String,
        /// The CRL.
        crl: PathBuf,
    },
    /// Past its validity.
    #[error("{subject} expired on {}", readable(*not_after))]
    Expired {
        /// The expired certificate, the leaf or one of its issuers.
        subject: DistinguishedName,
        /// The end of its validity, in seconds since 1970.
        not_after: u64,
    },
    /// Before its validity.
    #[error("{subject} is not valid before {}", readable(*not_before))]
    NotYetValid {
        /// The certificate, the leaf or one of its issuers.
        subject: DistinguishedName,
        /// The start of its validity, in seconds since 1970.
        not_before: u64,
    },
    /// The authority's signing policy does not cover the name.
    #[error("the signing policy of {issuer} does not cover {subject}")]
    Namespace {
        /// The authority.
        issuer: DistinguishedName,
        /// The name it signed.
        subject: DistinguishedName,
    },
    /// The authority has a signing policy that cannot be read.
    #[error("cannot read the signing policy of {issuer}, {}", file.display())]
    PolicyUnusable {
        /// The authority.
        issuer: DistinguishedName,
        /// The policy file.
        file: PathBuf,
    },
    /// A key that is too short or of a refused kind.
    #[error("the key of {subject} is not accepted: {key}; accepted are {}", accepted::KEYS)]
    WeakKey {
        /// The certificate with the key.
        subject: DistinguishedName,
        /// The kind of the key.
        key: String,
    },
    /// The signature algorithm is too weak, or unknown.
    #[error(
        "the certificate of {subject} is signed with {algorithm}; accepted are {}",
        accepted::CERTIFICATE_SIGNATURES
    )]
    WeakSignature {
        /// The certificate with the signature.
        subject: DistinguishedName,
        /// The algorithm.
        algorithm: String,
    },
    /// The certificate of a certificate authority where a host certificate is required.
    #[error("{subject} is a certificate authority")]
    CaAsLeaf {
        /// The authority.
        subject: DistinguishedName,
    },
    /// Its key usage does not allow the role.
    #[error("the key usage of {subject} does not allow it to be a {}", .role.noun())]
    KeyUsage {
        /// The certificate.
        subject: DistinguishedName,
        /// The role it was checked for.
        role: Role,
    },
    /// Its extended key usage does not allow the role.
    #[error("the extended key usage of {subject} does not allow it to be a {}", .role.noun())]
    ExtendedKeyUsage {
        /// The certificate.
        subject: DistinguishedName,
        /// The role it was checked for.
        role: Role,
    },
    /// The CRL is past its next update, or has none.
    #[error("the CRL of {issuer}, {}, {}", file.display(), stale(*.next_update))]
    CrlStale {
        /// The authority.
        issuer: DistinguishedName,
        /// The CRL.
        file: PathBuf,
        /// Its next update, in seconds since 1970.
        next_update: Option<u64>,
    },
    /// The CRL's date of issue lies in the future.
    #[error("the CRL of {issuer}, {}, is not valid before {}", file.display(), readable(*this_update))]
    CrlNotYetValid {
        /// The authority.
        issuer: DistinguishedName,
        /// The CRL.
        file: PathBuf,
        /// Its date of issue, in seconds since 1970.
        this_update: u64,
    },
    /// There is no CRL, and the setting requires one.
    #[error("no CRL of {issuer}")]
    CrlMissing {
        /// The authority.
        issuer: DistinguishedName,
    },
    /// There is a CRL that cannot be used.
    #[error("the CRL of {issuer}, {}, cannot be used: {reason}", file.display())]
    CrlUnusable {
        /// The authority.
        issuer: DistinguishedName,
        /// The CRL.
        file: PathBuf,
        /// The reason.
        reason: String,
    },
    /// A name or a certificate that cannot be read.
    #[error("cannot read the certificate: {0}")]
    Unreadable(#[from] NameError),
    /// OpenSSL failed.
    #[error("cannot check the certificate: {0}")]
    OpenSsl(String),
}

fn stale(next_update: Option<u64>) -> String {
    next_update.map_or_else(|| "has no next update".to_owned(), |time| format!("expired on {}", readable(time)))
}

impl Role {
    /// The role as a noun for error texts.
    #[must_use]
    pub fn noun(self) -> &'static str {
        match self {
            Self::MessageSigner => "signer of messages",
            Self::Broker => "broker",
            Self::Recipient => "recipient",
            Self::PluginSigner => "signer of plugins",
        }
    }
}

impl PathError {
    /// The code for a message whose signer's certificate is refused with this error.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Proxy { .. } => Code::Proxy,
            Self::Untrusted { .. } | Self::BadSignature { .. } => Code::SignerUntrusted,
            Self::TooDeep { .. } => Code::Depth,
            Self::TooManyPaths { .. } => Code::PathBudget,
            Self::IssuerNotCa { .. } => Code::Chain,
            Self::IssuerKeyUsage { .. } | Self::Invalid { .. } => Code::InvalidCertificate,
            Self::Revoked { .. } => Code::Revoked,
            Self::Expired { .. } => Code::Expired,
            Self::NotYetValid { .. } => Code::NotYetValid,
            Self::Namespace { .. } => Code::Namespace,
            Self::PolicyUnusable { .. } => Code::PolicyUnusable,
            Self::WeakKey { .. } => Code::WeakKey,
            Self::WeakSignature { .. } => Code::WeakSignature,
            Self::CaAsLeaf { .. } => Code::CaAsSigner,
            Self::KeyUsage { .. } => Code::KeyUsage,
            Self::ExtendedKeyUsage { .. } => Code::ExtendedKeyUsage,
            Self::CrlStale { .. } => Code::CrlStale,
            Self::CrlNotYetValid { .. } => Code::CrlNotYetValid,
            Self::CrlMissing { .. } => Code::CrlMissing,
            Self::CrlUnusable { .. } => Code::CrlUnusable,
            Self::Unreadable(_) => Code::UnreadableCertificate,
            Self::OpenSsl(_) => Code::Openssl,
        }
    }

    /// The rank for choosing among several errors: the lowest is reported. Revocation comes first; errors that the
    /// owner of the certificate must fix come before those that the operator of the CA directory must fix; errors of a
    /// longer path come before "untrusted".
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Self::Revoked { .. } => 0,
            Self::Proxy { .. } => 1,
            Self::Expired { .. } | Self::NotYetValid { .. } => 2,
            Self::WeakKey { .. } => 3,
            Self::WeakSignature { .. } => 4,
            Self::Namespace { .. } => 5,
            Self::CaAsLeaf { .. } | Self::KeyUsage { .. } | Self::ExtendedKeyUsage { .. } => 6,
            Self::IssuerNotCa { .. } | Self::IssuerKeyUsage { .. } | Self::Invalid { .. } => 7,
            Self::CrlStale { .. } | Self::CrlNotYetValid { .. } => 8,
            Self::CrlMissing { .. } | Self::CrlUnusable { .. } | Self::PolicyUnusable { .. } => 9,
            Self::TooDeep { .. } | Self::TooManyPaths { .. } => 10,
            Self::BadSignature { .. } => 11,
            Self::Untrusted { .. } => 12,
            Self::Unreadable(_) | Self::OpenSsl(_) => 13,
        }
    }

    /// Whether other parties also refuse the certificate with this subject. That is the case for errors of the
    /// certificate itself and for its revocation or signing policy. A missing anchor, an expired issuer certificate or
    /// a stale CRL in our CA directory does not affect others, and SHA-1 signatures are accepted with a setting.
    #[must_use]
    pub(crate) fn holds_elsewhere(&self, leaf: &DistinguishedName) -> bool {
        match self {
            Self::Proxy { .. }
            | Self::Revoked { .. }
            | Self::Namespace { .. }
            | Self::CaAsLeaf { .. }
            | Self::KeyUsage { .. }
            | Self::ExtendedKeyUsage { .. } => true,
            Self::Expired { subject, .. }
            | Self::NotYetValid { subject, .. }
            | Self::WeakKey { subject, .. }
            | Self::Invalid { subject, .. } => subject == leaf,
            _ => false,
        }
    }

    /// Whether the cause is in our own CA directory or OpenSSL, so that the certificate may be accepted once that is
    /// fixed.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        matches!(
            self,
            Self::CrlStale { .. }
                | Self::CrlNotYetValid { .. }
                | Self::CrlMissing { .. }
                | Self::CrlUnusable { .. }
                | Self::PolicyUnusable { .. }
                | Self::OpenSsl(_)
        )
    }
}
