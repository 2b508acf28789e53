//! Sealing with certificates that are good now: own certificate, recipient and trust anchors are judged as they are at that
//! moment, since what they seal would be refused otherwise.
//!
//! [`Seal`] is made from one state of the files; [`Sealing`] follows the files and the clock.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use super::seal::{SealError, SealPolicy, Sealed, Sealer, ToSeal};
use message::acknowledgement::Sequence;
use message::{MessageId, locked};
use trust::{Credential, CredentialSource, OwnFault, RecipientCertificate, RecipientSource, Role, Trust, TrustStore};

/// What `max-payload` of a channel is where it is not set, in bytes.
pub const MAX_PAYLOAD: u64 = 16 << 20;

/// How long a [`Seal`] is used, by the clock that certificates are compared with when it is made.
const LIFETIME: Duration = Duration::from_secs(1);

/// What seals messages, from one state of credential and recipient.
pub struct Seal {
    sealer: Sealer,
    /// The recipient's name, which binds a message to the recipient.
    to: Option<String>,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal").field("to", &self.to).finish_non_exhaustive()
    }
}

impl Seal {
    /// Judges certificate and recipient as they are now: what they seal would be refused otherwise.
    ///
    /// # Errors
    /// [`SealError`] where key, recipient and settings do not go together, or where our certificate or the recipient's is
    /// not good now.
    pub fn new(
        policy: SealPolicy,
        credential: Arc<Credential>,
        trust: &Trust,
        recipient: Option<Arc<RecipientCertificate>>,
    ) -> Result<Self, SealError> {
        let to = recipient.as_deref().and_then(addressee);
        let now = SystemTime::now();
        check_own(&credential, trust, now)?;
        recipient.as_ref().map_or(Ok(()), |to| to.check(trust, now)).map_err(SealError::Recipient)?;
        Ok(Self { sealer: Sealer::new(credential, recipient, policy)?, to })
    }

    /// What plugins see of sealing, so that they can compute how large a message is on the wire.
    #[must_use]
    pub fn properties(&self, id: &MessageId) -> Vec<(String, String)> {
        self.sealer.overhead(id, self.to.as_deref()).properties()
    }

    /// How large plain text of this length is on the wire, at most, in bytes.
    #[must_use]
    pub fn text_size(&self, id: &MessageId, payload: usize) -> usize {
        self.sealer.overhead(id, self.to.as_deref()).text_size(payload)
    }

    /// Signs content and, where there is a recipient, encrypts it.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(
        &self,
        (id, sequence): (&MessageId, Option<&Sequence>),
        content_type: Option<&str>,
        payload: &[u8],
    ) -> Result<Sealed, SealError> {
        self.sealer.seal(&ToSeal { id, to: self.to.as_deref(), sequence, content_type, payload })
    }
}

/// Makes the [`Seal`] of a sender of messages, and keeps it for as long as it is what the files and the clock say.
pub struct Sealing {
    policy: SealPolicy,
    credential: Arc<CredentialSource>,
    trust: Arc<Trust>,
    recipient: Option<Arc<RecipientSource>>,
    last: Mutex<Option<Cached>>,
}

/// A [`Seal`], what it was made from, and when.
struct Cached {
    seal: Arc<Seal>,
    files: Files,
    at: SystemTime,
}

impl Cached {
    /// Whether the files are the same and the clock went on by less than [`LIFETIME`]. A clock that was set is not trusted.
    fn is_fresh(&self, files: &Files, now: SystemTime) -> bool {
        self.files.same_as(files) && now.duration_since(self.at).is_ok_and(|age| age < LIFETIME)
    }
}

/// The files as they were last read.
struct Files {
    credential: Arc<Credential>,
    recipient: Option<Arc<RecipientCertificate>>,
    trust: Arc<TrustStore>,
}

impl Files {
    /// Whether nothing was read again in between.
    fn same_as(&self, others: &Self) -> bool {
        let recipients = match (&self.recipient, &others.recipient) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        };
        recipients && Arc::ptr_eq(&self.credential, &others.credential) && Arc::ptr_eq(&self.trust, &others.trust)
    }
}

impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealing").field("recipient", &self.recipient).finish_non_exhaustive()
    }
}

impl Sealing {
    /// Seals with what these sources have at each moment.
    #[must_use]
    pub fn new(
        policy: SealPolicy,
        credential: Arc<CredentialSource>,
        trust: Arc<Trust>,
        recipient: Option<Arc<RecipientSource>>,
    ) -> Self {
        Self { policy, credential, trust, recipient, last: Mutex::default() }
    }

    /// What seals now.
    ///
    /// # Errors
    /// As [`Seal::new`]. An error is not kept: the next call looks again.
    pub fn current(&self) -> Result<Arc<Seal>, SealError> {
        self.at(SystemTime::now())
    }

    fn at(&self, now: SystemTime) -> Result<Arc<Seal>, SealError> {
        let files = Files {
            credential: self.credential.current(),
            recipient: self.recipient.as_ref().map(|source| source.current()),
            trust: self.trust.snapshot(),
        };
        let mut last = locked(&self.last);
        if let Some(cached) = last.as_ref().filter(|cached| cached.is_fresh(&files, now)) {
            return Ok(Arc::clone(&cached.seal));
        }
        // Nothing of earlier files is kept, whatever comes of the new ones.
        *last = None;
        let seal =
            Arc::new(Seal::new(self.policy, Arc::clone(&files.credential), &self.trust, files.recipient.clone())?);
        *last = Some(Cached { seal: Arc::clone(&seal), files, at: now });
        Ok(seal)
    }
}

/// A fault of our certificate that other parties find as well; what only our CA directory says against it is no reason to
/// hold messages back, for the receiver has a directory of its own.
fn check_own(credential: &Credential, trust: &Trust, now: SystemTime) -> Result<(), SealError> {
    let checked = trust.snapshot().check_own(credential.certificate(), credential.chain(), Role::MessageSigner, now);
    match checked {
        Err(OwnFault { error: fault, elsewhere: true }) => {
            Err(SealError::OwnCertificate { file: credential.files().0.to_owned(), fault })
        }
        _ => Ok(()),
    }
}

/// The name of a recipient, where it can stand in the signed part: SSM looks for the names of encodings there.
fn addressee(recipient: &RecipientCertificate) -> Option<String> {
    let name = recipient.facts().subject.rfc4514();
    let lower = name.to_ascii_lowercase();
    let plain = name.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    (plain && !lower.contains("base64") && !lower.contains("quoted-printable")).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Peer;
    use testkit::pki::{Authority, Directory, KeyKind, Request};
    use trust::TrustSettings;

    /// The files of one who sends, and what seals from them.
    struct Site {
        folder: tempfile::TempDir,
        authority: Authority,
        anchors: Directory,
        credential: Arc<CredentialSource>,
        trust: Arc<Trust>,
        sealing: Sealing,
    }

    impl Site {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let authority = Authority::root(&Request::authority("/C=UK/O=eScience/CN=Test CA")).unwrap();
            let anchors = Directory::create(folder.path().join("ca")).unwrap();
            anchors.add_authority(&authority.own.certificate).unwrap();
            authority.issue(&own()).unwrap().write(folder.path(), "own").unwrap();
            let file = |name: &str| folder.path().join(name);
            let credential = Arc::new(CredentialSource::load(&file("own.pem"), &file("own.key")).unwrap());
            let trust = Arc::new(Trust::load(&TrustSettings::new(file("ca"))).unwrap());
            let policy = SealPolicy { peer: Peer::Ssm, cipher: None, max_payload: 1000 };
            let sealing = Sealing::new(policy, Arc::clone(&credential), Arc::clone(&trust), None);
            Self { folder, authority, anchors, credential, trust, sealing }
        }

        /// Replaces certificate and key.
        fn renew(&self, request: &Request) {
            self.authority.issue(request).unwrap().write(self.folder.path(), "own").unwrap();
            self.credential.refresh();
        }
    }

    fn own() -> Request {
        Request { key: KeyKind::P256, ..Request::host("/C=UK/O=eScience/CN=ce.example.org") }
    }

    #[test]
    fn one_seal_serves_many_messages_until_a_file_changes() {
        let site = Site::new();
        let now = SystemTime::now();
        let first = site.sealing.at(now).unwrap();
        let is_first = |at: SystemTime| Arc::ptr_eq(&first, &site.sealing.at(at).unwrap());
        assert!(is_first(now + LIFETIME / 2));
        site.renew(&Request { not_before: -7200, not_after: -3600, ..own() });
        assert!(site.sealing.at(now).is_err_and(|error| error.stops_the_channel()), "an expired certificate was used");
        site.renew(&own());
        assert!(!is_first(now));
    }

    #[test]
    fn a_seal_is_made_again_when_anchors_change_or_the_clock_goes_on_or_back() {
        let site = Site::new();
        let now = SystemTime::now();
        let mut known = site.sealing.at(now).unwrap();
        let mut is_new = |at: SystemTime| {
            let made = site.sealing.at(at).unwrap();
            !Arc::ptr_eq(&made, &std::mem::replace(&mut known, Arc::clone(&made)))
        };
        assert_eq!(
            [is_new(now), is_new(now + LIFETIME), is_new(now + LIFETIME), is_new(now)],
            [false, true, false, true]
        );
        let other = Authority::root(&Request::authority("/C=UK/O=eScience/CN=Other CA")).unwrap();
        site.anchors.add_authority(&other.own.certificate).unwrap();
        site.trust.refresh();
        assert_eq!([is_new(now), is_new(now)], [true, false]);
    }
}
