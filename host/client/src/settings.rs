//! The settings of a publisher.

use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::time::Duration;

use ::ams::{Endpoint, Project};
use ::stomp::Address;
use smime::Peer;
use transport::{AmsBroker, Broker, StompBroker};
use trust::TrustSettings;

use crate::SetupError;

/// How long a message is tried where nothing else is set: as long as `sesame publish` does.
const DEADLINE: Duration = Duration::from_secs(300);

/// Where messages go, and who signs them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The broker, made by [`stomp()`] or [`ams()`] or in full.
    pub broker: Broker,
    /// A queue of a STOMP broker, such as `/queue/global.accounting.cpu`, or the name of a topic of AMS.
    pub destination: String,
    /// Our certificate, in PEM. It signs, and it is shown to the broker unless there is a
    /// [`broker_credential`](Self::broker_credential). Read again when the file changes, as all files here.
    pub certificate: PathBuf,
    /// Its key, in PEM, not encrypted, which only its owner may read.
    pub key: PathBuf,
    /// Another certificate and its key for the broker, such as one with clientAuth.
    pub broker_credential: Option<(PathBuf, PathBuf)>,
    /// The authorities that the certificates of broker and recipient are checked with, and how.
    pub trust: TrustSettings,
    /// The receiver's certificate, for which messages are encrypted. `None`: they are signed only.
    pub recipient: Option<PathBuf>,
    /// The program of the receiver. Default: SSM, which takes UTF-8 text only.
    pub peer: Peer,
    /// The longest content, in bytes. Default: 16 MiB. Broker and AMS have limits of their own.
    pub max_payload: usize,
    /// How long one message is tried. Default: 300 s.
    pub deadline: Duration,
    /// Whether the destination may be one whose receipt proves nothing, such as `/topic/NAME`: a message that no one
    /// subscribes to is lost. Default: no.
    pub allow_topic: bool,
}

impl Settings {
    /// Signed messages to an SSM receiver, with the defaults. `anchors` is a CA directory with hashed names, or a file of
    /// certificates in PEM.
    #[must_use]
    pub fn new(
        broker: impl Into<Broker>,
        destination: impl Into<String>,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
        anchors: impl Into<PathBuf>,
    ) -> Self {
        Self {
            broker: broker.into(),
            destination: destination.into(),
            certificate: certificate.into(),
            key: key.into(),
            broker_credential: None,
            trust: TrustSettings::new(anchors),
            recipient: None,
            peer: Peer::default(),
            max_payload: usize::try_from(smime::MAX_PAYLOAD).unwrap_or(usize::MAX),
            deadline: DEADLINE,
            allow_topic: false,
        }
    }
}

/// A STOMP broker over TLS, with the defaults of [`StompBroker::new`]. `host` is a name or an IP address.
///
/// # Errors
/// [`SetupError::Address`].
pub fn stomp(host: &str, port: u16) -> Result<StompBroker, SetupError> {
    let text = if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let address = text.parse::<Address>().map_err(|error| SetupError::Address(error.to_string()))?;
    Ok(StompBroker::new(vec![address]))
}

/// A project of AMS at `host` or `host:port`, with the defaults of [`AmsBroker::new`]: our certificate gets the token.
///
/// # Errors
/// [`SetupError::Endpoint`], [`SetupError::Project`].
pub fn ams(host: &str, project: &str) -> Result<AmsBroker, SetupError> {
    Ok(AmsBroker::new(host.parse::<Endpoint>()?, Project::new(project)?))
}
