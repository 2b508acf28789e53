//! Where a broker is and how to talk to it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ::ams::{Endpoint, Project, Token};
use ::stomp::Address;

use super::secret::{SecretError, SecretFile};

/// What a broker is like where the configuration does not say.
pub mod defaults {
    use std::time::Duration;

    /// [`StompBroker::tls`](super::StompBroker::tls).
    pub const TLS: bool = true;
    /// [`StompBroker::virtual_host`](super::StompBroker::virtual_host).
    pub const VIRTUAL_HOST: &str = "/";
    /// [`StompBroker::heart_beat`](super::StompBroker::heart_beat).
    pub const HEART_BEAT: Duration = Duration::from_secs(10);
    /// `connect_timeout` of either kind.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
    /// `receipt_timeout` of either kind.
    pub const RECEIPT_TIMEOUT: Duration = Duration::from_secs(60);
    /// `allow_cn` of either kind.
    pub const ALLOW_CN: bool = false;
    /// [`StompBroker::max_frame`](super::StompBroker::max_frame).
    pub const MAX_FRAME: u64 = 64 << 20;
    /// [`AmsBroker::max_message`](super::AmsBroker::max_message): what AMS stores of a message, as its documents have it.
    pub const MAX_MESSAGE: u64 = 1_000_000;
}

/// A broker, of either protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broker {
    /// One or several brokers of STOMP.
    Stomp(StompBroker),
    /// A project of the ARGO Messaging Service.
    Ams(AmsBroker),
}

/// A STOMP broker, or several that replace each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StompBroker {
    /// Tried in this order; at least one.
    pub hosts: Vec<Address>,
    /// TLS with our certificate; without it everything that is not sealed is readable on the way.
    pub tls: bool,
    /// The STOMP `host` header.
    pub virtual_host: String,
    /// Name and passcode, where the broker wants them beside or instead of a certificate.
    pub login: Option<Login>,
    /// Heart-beats in both directions; zero asks for none.
    pub heart_beat: Duration,
    /// From the first packet to CONNECTED.
    pub connect_timeout: Duration,
    /// How long the broker may take to confirm a message.
    pub receipt_timeout: Duration,
    /// Whether the broker's certificate may name its host in the common name alone.
    pub allow_cn: bool,
    /// The largest frame that is read or written, in bytes.
    pub max_frame: u64,
}

/// Where name and passcode come from. The passcode itself is never part of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// `login` and `passcode-file`: the name, and a file whose first line is the passcode.
    Passcode {
        /// The name.
        login: String,
        /// Its first line is the passcode.
        file: PathBuf,
    },
    /// `login-file`: the name on its first line, the passcode on its second.
    File(PathBuf),
}

impl Login {
    /// The file that holds the passcode.
    #[must_use]
    pub fn file(&self) -> &Path {
        match self {
            Self::Passcode { file, .. } | Self::File(file) => file,
        }
    }

    /// Reads name and passcode, in this order.
    ///
    /// # Errors
    /// [`SecretError`] where the file cannot be read, may be read by others, or lacks a line.
    pub fn read(&self) -> Result<(String, String), SecretError> {
        let file = SecretFile::read(self.file())?;
        match self {
            Self::Passcode { login, .. } => Ok((login.clone(), file.line("passcode", 1)?.to_owned())),
            Self::File(_) => Ok((file.line("login", 1)?.to_owned(), file.line("passcode", 2)?.to_owned())),
        }
    }
}

/// A project of AMS, and how to get in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmsBroker {
    /// The service.
    pub host: Endpoint,
    /// The project of all topics and subscriptions.
    pub project: Project,
    /// The file with the token; absent: `authentication` gives one for our certificate.
    pub token_file: Option<PathBuf>,
    /// The token of SSM's file, for when `authentication` gives none. It is in no TOML and in no `Debug`.
    pub token_otherwise: Option<Token>,
    /// The service that gives a token for a certificate.
    pub authentication: Endpoint,
    /// An HTTP proxy for both.
    pub proxy: Option<Endpoint>,
    /// From the first packet to the end of the TLS handshake.
    pub connect_timeout: Duration,
    /// How long the service may take to answer.
    pub receipt_timeout: Duration,
    /// Whether the service's certificate may name its host in the common name alone.
    pub allow_cn: bool,
    /// The longest stored text of a message, in bytes.
    pub max_message: u64,
}

impl From<StompBroker> for Broker {
    fn from(broker: StompBroker) -> Self {
        Self::Stomp(broker)
    }
}

impl From<AmsBroker> for Broker {
    fn from(broker: AmsBroker) -> Self {
        Self::Ams(broker)
    }
}

impl StompBroker {
    /// Brokers at `hosts` with the [`defaults`] and no login.
    #[must_use]
    pub fn new(hosts: Vec<Address>) -> Self {
        Self {
            hosts,
            tls: defaults::TLS,
            virtual_host: defaults::VIRTUAL_HOST.to_owned(),
            login: None,
            heart_beat: defaults::HEART_BEAT,
            connect_timeout: defaults::CONNECT_TIMEOUT,
            receipt_timeout: defaults::RECEIPT_TIMEOUT,
            allow_cn: defaults::ALLOW_CN,
            max_frame: defaults::MAX_FRAME,
        }
    }
}

impl Broker {
    /// Each address by itself, with how it is written.
    #[must_use]
    pub fn addresses(&self) -> Vec<(String, Self)> {
        match self {
            Self::Stomp(broker) => {
                let alone = |host: &Address| StompBroker { hosts: vec![host.clone()], ..broker.clone() };
                broker.hosts.iter().map(|host| (host.to_string(), Self::Stomp(alone(host)))).collect()
            }
            Self::Ams(broker) => vec![(broker.host.to_string(), self.clone())],
        }
    }

    /// Whether it, or the service that gives tokens for it, sees our certificate.
    #[must_use]
    pub fn sees_certificate(&self) -> bool {
        match self {
            Self::Stomp(broker) => broker.tls,
            Self::Ams(broker) => broker.token_file.is_none(),
        }
    }
}

impl AmsBroker {
    /// A project at `host` with the [`defaults`]; our certificate gets the token, on the usual port of the same host.
    #[must_use]
    pub fn new(host: Endpoint, project: Project) -> Self {
        Self {
            authentication: host.at_port(Endpoint::AUTHENTICATION),
            host,
            project,
            token_file: None,
            token_otherwise: None,
            proxy: None,
            connect_timeout: defaults::CONNECT_TIMEOUT,
            receipt_timeout: defaults::RECEIPT_TIMEOUT,
            allow_cn: defaults::ALLOW_CN,
            max_message: defaults::MAX_MESSAGE,
        }
    }

    /// Reads the token in the first line of its file, which only its owner may read.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn read_token(file: &Path) -> Result<Token, SecretError> {
        let secret = SecretFile::read(file)?;
        Token::new(secret.line("token", 1)?).map_err(|_| SecretError::NoToken(file.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use message::owner_only::OwnerOnlyError;

    use super::*;

    fn private_file(text: &str, mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn reads_name_and_passcode_without_their_line_ends() {
        let file = private_file("apel\nopen it\r\n", 0o600);
        assert_eq!(Login::File(file.path().into()).read().unwrap(), ("apel".into(), "open it".into()));
        let login = Login::Passcode { login: "me".into(), file: file.path().into() };
        assert_eq!(login.read().unwrap(), ("me".into(), "apel".into()));
    }

    #[test]
    fn refuses_a_passcode_that_others_may_read_or_that_is_not_there() {
        let exposed = private_file("a\nb\n", 0o640);
        assert!(matches!(
            Login::File(exposed.path().into()).read(),
            Err(SecretError::File(OwnerOnlyError::Exposed(_)))
        ));
        let short = private_file("a\n", 0o600);
        assert!(matches!(Login::File(short.path().into()).read(), Err(SecretError::Missing { number: 2, .. })));
        assert!(matches!(
            Login::File("/nowhere".into()).read(),
            Err(SecretError::File(OwnerOnlyError::Unreadable { .. }))
        ));
    }
}
