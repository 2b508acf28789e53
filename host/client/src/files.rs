//! Certificates, keys and trust anchors: read at the start, and again when they change.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use message::cause::chain;
use message::{MessageId, locked};
use smime::{SealError, SealPolicy, Sealing};
use transport::Identity;
use trust::{CredentialSource, RecipientSource, Refreshed, Trust};

use crate::{Message, Settings, SetupError};

/// How often the files are looked at, since a CA directory has hundreds.
const LOOK: Duration = Duration::from_secs(60);

/// The files of a publisher, and what seals with them.
#[derive(Debug)]
pub(crate) struct Files {
    credential: Arc<CredentialSource>,
    at_broker: Arc<CredentialSource>,
    trust: Arc<Trust>,
    recipient: Option<Arc<RecipientSource>>,
    sealing: Sealing,
    looked: Mutex<Instant>,
}

impl Files {
    pub(crate) fn load(settings: &Settings) -> Result<Self, SetupError> {
        let trust = Arc::new(Trust::load(&settings.trust)?);
        let credential = Arc::new(CredentialSource::load(&settings.certificate, &settings.key)?);
        let at_broker = match &settings.broker_credential {
            Some((certificate, key)) => Arc::new(CredentialSource::load(certificate, key)?),
            None => Arc::clone(&credential),
        };
        let own = || Some(Arc::clone(&credential));
        let recipient = settings.recipient.as_ref();
        let recipient = recipient.map(|file| RecipientSource::load(file, Arc::clone(&trust), own())).transpose()?;
        let recipient = recipient.map(Arc::new);
        let policy = SealPolicy { peer: settings.peer, cipher: None, max_payload: settings.max_payload };
        let sealing = Sealing::new(policy, Arc::clone(&credential), Arc::clone(&trust), recipient.clone());
        Ok(Self { credential, at_broker, trust, recipient, sealing, looked: Mutex::new(Instant::now()) })
    }

    /// What the broker sees, and what it is checked with.
    pub(crate) fn identity(&self) -> Identity {
        Identity { trust: Arc::clone(&self.trust), credential: Arc::clone(&self.at_broker) }
    }

    /// Seals with the files as they are. Blocks.
    pub(crate) fn seal(&self, id: &MessageId, message: &Message) -> Result<Bytes, SealError> {
        if self.is_look_due() {
            self.look();
        }
        let seal = match self.sealing.current() {
            // Someone may have renewed the certificate since.
            Err(error) if error.stops_the_channel() => {
                self.look();
                self.sealing.current()?
            }
            seal => seal?,
        };
        let sealed = seal.seal((id, None), message.content_type.as_deref(), &message.content)?;
        Ok(Bytes::from(sealed.into_bytes()))
    }

    fn is_look_due(&self) -> bool {
        let mut looked = locked(&self.looked);
        let due = looked.elapsed() >= LOOK;
        if due {
            *looked = Instant::now();
        }
        due
    }

    fn look(&self) {
        report(&self.trust.refresh());
        report(&self.credential.refresh());
        report(&self.at_broker.refresh());
        if let Some(recipient) = &self.recipient {
            report(&recipient.refresh());
        }
    }
}

fn report<E: std::error::Error + 'static>(refreshed: &Refreshed<E>) {
    if let Refreshed::KeptLastGood(error) = refreshed {
        tracing::warn!(error = %chain(error), "a changed file cannot be used; what was read before stays in use");
    }
}
