//! How a channel seals and where its outputs go: for the sender, and for `sesame explain`.

use std::sync::Arc;
use std::time::SystemTime;

use crate::channel::Identity;
use crate::config;
use message::MessageId;
use smime::{SealError, SealPolicy, Sealed, Sealer, ToSeal};
use stomp::Destination;
use trust::{Credential, OwnFault, RecipientCertificate, Role, Trust};

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
