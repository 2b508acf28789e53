//! How a channel seals and where its outputs go: for the sender, and for `sesame explain`.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use crate::config;
use message::{MessageId, locked};
use smime::{SealError, SealPolicy, Sealed, Sealer, ToSeal};
use transport::{Destination, Identity};
use trust::{Credential, OwnFault, RecipientCertificate, RecipientSource, Role, Trust, TrustStore};

/// How long a [`Seal`] is used, by the clock that certificates are compared with when it is made.
const LIFETIME: Duration = Duration::from_secs(1);

/// What seals the messages of a channel, from one state of credential and recipient.
pub(crate) struct Seal {
    sealer: Sealer,
    /// The recipient's name, which binds a message to the recipient.
    to: Option<String>,
}

impl Seal {
    /// Judges certificate and recipient as they are now: what they seal would be refused otherwise.
    ///
    /// # Errors
    /// [`SealError`] where key, recipient and settings do not go together, or where our certificate or the recipient's is
    /// not good now.
    pub(crate) fn new(
        settings: &config::Sender,
        identity: &Identity,
        recipient: Option<Arc<RecipientCertificate>>,
    ) -> Result<Self, SealError> {
        let max_payload = usize::try_from(settings.max_payload).unwrap_or(usize::MAX);
        let policy = SealPolicy { peer: settings.peer, cipher: None, max_payload };
        let to = recipient.as_deref().and_then(addressee);
        let (credential, now) = (identity.credential.current(), SystemTime::now());
        check_own(&credential, &identity.trust, now)?;
        recipient.as_ref().map_or(Ok(()), |to| to.check(&identity.trust, now)).map_err(SealError::Recipient)?;
        Ok(Self { sealer: Sealer::new(credential, recipient, policy)?, to })
    }

    /// What plugins see of sealing, so that they can compute how large a message is on the wire.
    ///
    /// # Errors
    /// [`SealError`].
    pub(crate) fn properties(&self, id: &MessageId) -> Result<Vec<(String, String)>, SealError> {
        Ok(self.sealer.overhead(id, self.to.as_deref())?.properties())
    }

    /// How large plain text of this length is on the wire, at most, in bytes; `None` where that is unknown.
    pub(crate) fn text_size(&self, id: &MessageId, payload: usize) -> Option<usize> {
        self.sealer.overhead(id, self.to.as_deref()).ok().map(|overhead| overhead.text_size(payload))
    }

    /// Signs content and, where the channel has a recipient, encrypts it.
    ///
    /// # Errors
    /// [`SealError`].
    pub(crate) fn seal(&self, id: &MessageId, content_type: Option<&str>, payload: &[u8]) -> Result<Sealed, SealError> {
        self.sealer.seal(&ToSeal { id, to: self.to.as_deref(), content_type, payload })
    }
}

/// Makes the [`Seal`] of a sender, and keeps it for as long as it is what the files and the clock say.
pub(super) struct Sealing {
    settings: Arc<config::Sender>,
    identity: Identity,
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
    pub(super) fn new(
        settings: Arc<config::Sender>,
        identity: Identity,
        recipient: Option<Arc<RecipientSource>>,
    ) -> Self {
        Self { settings, identity, recipient, last: Mutex::default() }
    }

    /// What seals now.
    ///
    /// # Errors
    /// As [`Seal::new`]. An error is not kept: the next call looks again.
    pub(super) fn current(&self) -> Result<Arc<Seal>, SealError> {
        self.at(SystemTime::now())
    }

    fn at(&self, now: SystemTime) -> Result<Arc<Seal>, SealError> {
        let files = Files {
            credential: self.identity.credential.current(),
            recipient: self.recipient.as_ref().map(|source| source.current()),
            trust: self.identity.trust.snapshot(),
        };
        let mut last = locked(&self.last);
        if let Some(cached) = last.as_ref().filter(|cached| cached.is_fresh(&files, now)) {
            return Ok(Arc::clone(&cached.seal));
        }
        // Nothing of earlier files is kept, whatever comes of the new ones.
        *last = None;
        let seal = Arc::new(Seal::new(&self.settings, &self.identity, files.recipient.clone())?);
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

/// The destinations of an output: those of its routes, else the channel's own; each once.
pub(crate) fn destinations(settings: &config::Sender, routes: &[String]) -> Vec<Destination> {
    let own = &settings.destination;
    let mut destinations: Vec<Destination> =
        routes.iter().map(|route| settings.routes.get(route).unwrap_or(own).clone()).collect();
    if destinations.is_empty() {
        destinations.push(own.clone());
    }
    destinations.sort();
    destinations.dedup();
    destinations
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::channel::Registry;
    use crate::config::{Config, Files};
    use testkit::pki::{Authority, Directory, KeyKind, Request};

    /// A sender's files, and what seals from them.
    struct Site {
        folder: tempfile::TempDir,
        authority: Authority,
        anchors: Directory,
        registry: Registry,
        sealing: Sealing,
    }

    impl Site {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let authority = Authority::root(&Request::authority("/C=UK/O=eScience/CN=Test CA")).unwrap();
            let anchors = Directory::create(folder.path().join("ca")).unwrap();
            anchors.add_authority(&authority.own.certificate).unwrap();
            authority.issue(&own()).unwrap().write(folder.path(), "own").unwrap();
            let config = configuration(folder.path());
            let sender = config.senders["cpu"].clone();
            let registry = Registry::new(&config.limits);
            let identity = registry.identity(&sender.credential, &sender.trust).unwrap();
            let sealing = Sealing::new(Arc::new(sender), identity, None);
            Self { folder, authority, anchors, registry, sealing }
        }

        /// Replaces the sender's certificate and key.
        fn renew(&self, request: &Request) {
            self.authority.issue(request).unwrap().write(self.folder.path(), "own").unwrap();
            self.registry.refresh();
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
        site.registry.refresh();
        assert_eq!([is_new(now), is_new(now)], [true, false]);
    }

    fn configuration(folder: &Path) -> Config {
        std::fs::create_dir(folder.join("outgoing")).unwrap();
        let root = folder.display();
        let text = format!(
            r#"
            [credential]
            certificate = "{root}/own.pem"
            key = "{root}/own.key"
            [trust]
            anchors = "{root}/ca"
            [broker.egi]
            hosts = ["127.0.0.1:1"]
            tls = false
            [send.cpu]
            broker = "egi"
            queue = "{root}/outgoing"
            destination = "/queue/cpu"
            "#
        );
        Config::parse(&text, Path::new("test.toml"), Files::Check).unwrap()
    }
}
