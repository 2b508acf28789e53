//! A message that was opened.

use std::sync::Arc;
use std::time::SystemTime;

use message::MessageId;
use message::acknowledgement::Sequence;
use trust::{CertPath, Digest, Signer};

/// A message with verified signature and certification path, whose signer is not yet authorised.
///
/// Only [`open`](super::open()) creates it, and [`Apart`](super::Apart), from what a process of ours answers that ran the
/// same checks:
///
/// ```compile_fail
/// let opened = sesame_smime::Opened { payload: b"forged".to_vec() };
/// ```
///
/// It cannot be copied:
///
/// ```compile_fail
/// fn twice(opened: sesame_smime::Opened) -> (sesame_smime::Opened, sesame_smime::Opened) {
///     (opened.clone(), opened)
/// }
/// ```
#[derive(Debug)]
pub struct Opened {
    pub(super) payload: Vec<u8>,
    pub(super) content_type: Option<String>,
    pub(super) signed_id: Option<MessageId>,
    pub(super) signed_to: Option<String>,
    pub(super) sequence: Option<Sequence>,
    pub(super) signer: Arc<Signer>,
    pub(super) path: Option<CertPath>,
    pub(super) signing_time: Option<SystemTime>,
    pub(super) digest: Digest,
    pub(super) encrypted: bool,
}

impl Opened {
    /// The content, byte for byte as sealed.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The content by value.
    #[must_use]
    pub fn into_payload(self) -> Vec<u8> {
        self.payload
    }

    /// The media type in the signed part, as received.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// The message id in the signed part, which takes precedence over the frame's header.
    #[must_use]
    pub fn signed_id(&self) -> Option<&MessageId> {
        self.signed_id.as_ref()
    }

    /// The signed addressee, if the message has one.
    #[must_use]
    pub fn signed_to(&self) -> Option<&str> {
        self.signed_to.as_deref()
    }

    /// The message's place in what its signer sends to the destination, if it names one.
    #[must_use]
    pub fn sequence(&self) -> Option<&Sequence> {
        self.sequence.as_ref()
    }

    /// The signer.
    #[must_use]
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// The certification path of the signer; `None` if another process checked it.
    #[must_use]
    pub fn path(&self) -> Option<&CertPath> {
        self.path.as_ref()
    }

    /// The signing time, as claimed by the signer.
    #[must_use]
    pub fn signing_time(&self) -> Option<SystemTime> {
        self.signing_time
    }

    /// The message digest of the signature.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether the message was encrypted.
    #[must_use]
    pub fn encrypted(&self) -> bool {
        self.encrypted
    }
}
