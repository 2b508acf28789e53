//! `[broker.NAME]`: where a broker is and how to talk to it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ams::AmsBroker;
use super::defaults;
use super::process::HOUR;
use super::secret::{SecretError, SecretFile};
use super::values::{self, Address};
use settings::Section;
use settings::Writer;
use settings::complain;

const SECOND: Duration = Duration::from_secs(1);

/// The protocol of a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Stomp,
    Ams,
}

const PROTOCOLS: &[(&str, Protocol)] = &[("stomp", Protocol::Stomp), ("ams", Protocol::Ams)];

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

impl Broker {
    /// The protocol, and the broker where it is complete.
    pub(super) fn read(section: &Section<'_, '_>) -> (Protocol, Option<Self>) {
        let protocol = section.choice("kind", PROTOCOLS).unwrap_or(Protocol::Stomp);
        let broker = match protocol {
            Protocol::Stomp => StompBroker::read(section).map(Self::Stomp),
            Protocol::Ams => AmsBroker::read(section).map(Self::Ams),
        };
        (protocol, broker)
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        match self {
            Self::Stomp(broker) => broker.write(writer),
            Self::Ams(broker) => broker.write(writer),
        }
    }

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

    /// The STOMP broker that it must be.
    #[cfg(test)]
    pub(crate) fn stomp_mut(&mut self) -> &mut StompBroker {
        match self {
            Self::Stomp(broker) => broker,
            Self::Ams(broker) => panic!("{broker:?} is no STOMP broker"),
        }
    }

    /// The project of AMS that it must be.
    #[cfg(test)]
    pub(crate) fn ams_mut(&mut self) -> &mut AmsBroker {
        match self {
            Self::Ams(broker) => broker,
            Self::Stomp(broker) => panic!("{broker:?} is not of kind \"ams\""),
        }
    }

    /// Whether messages travel in TLS with our certificate.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        match self {
            Self::Stomp(broker) => broker.tls,
            Self::Ams(_) => true,
        }
    }

    /// The most of a sealed message that it takes, in bytes, and the key that says so.
    #[must_use]
    pub fn largest(&self) -> (u64, &'static str) {
        match self {
            Self::Stomp(broker) => (broker.max_frame, "max-frame"),
            Self::Ams(broker) => (broker.max_message, "max-message"),
        }
    }
}

impl StompBroker {
    fn read(section: &Section<'_, '_>) -> Option<Self> {
        let hosts = Self::read_hosts(section);
        let broker = Self {
            hosts: Vec::new(),
            tls: section.flag("tls").unwrap_or(defaults::TLS),
            virtual_host: section.text("virtual-host").unwrap_or_else(|| defaults::VIRTUAL_HOST.to_owned()),
            login: Self::read_login(section),
            heart_beat: section.duration("heart-beat", Duration::ZERO..=HOUR).unwrap_or(defaults::HEART_BEAT),
            connect_timeout: section.duration("connect-timeout", SECOND..=HOUR).unwrap_or(defaults::CONNECT_TIMEOUT),
            receipt_timeout: section.duration("receipt-timeout", SECOND..=HOUR).unwrap_or(defaults::RECEIPT_TIMEOUT),
            allow_cn: section.flag("allow-cn").unwrap_or(defaults::ALLOW_CN),
            max_frame: section.size("max-frame", 64 * defaults::KIB..=defaults::GIB).unwrap_or(defaults::MAX_FRAME),
        };
        section.finish();
        Some(Self { hosts: hosts?, ..broker })
    }

    fn read_hosts(section: &Section<'_, '_>) -> Option<Vec<Address>> {
        let texts = section.list("hosts");
        let texts = section.required("hosts", texts, "add hosts = [\"mq.example.org:61614\"]")?;
        if texts.is_empty() {
            section.complain("hosts", complain("is an empty list", "name at least one: [\"mq.example.org:61614\"]"));
            return None;
        }
        let mut hosts = Vec::new();
        for text in &texts {
            match values::address(text) {
                Ok(host) if hosts.contains(&host) => {
                    section.complain("hosts", complain(format!("{text:?} is there twice"), "remove one of them"));
                }
                Ok(host) => hosts.push(host),
                Err(complaint) => section.complain("hosts", complaint),
            }
        }
        (hosts.len() == texts.len()).then_some(hosts)
    }

    fn read_login(section: &Section<'_, '_>) -> Option<Login> {
        let name = section.text("login");
        let passcode_file = section.path("passcode-file");
        let login_file = section.path("login-file");
        let login = match (name, passcode_file, login_file) {
            (None, None, None) => return None,
            (Some(login), Some(file), None) => Login::Passcode { login, file },
            (None, None, Some(file)) => Login::File(file),
            (_, _, Some(_)) => {
                let remedy = "keep login-file alone, or login with passcode-file";
                section.complain("login-file", complain("cannot be combined with login or passcode-file", remedy));
                return None;
            }
            (Some(_), None, None) => {
                let remedy = "add passcode-file = \"/etc/sesame/passcode\", a file that only its owner may read";
                section.complain("login", complain("is set without passcode-file", remedy));
                return None;
            }
            (None, Some(_), None) => {
                section.complain("passcode-file", complain("is set without login", "add login = \"name\""));
                return None;
            }
        };
        let key = if matches!(login, Login::File(_)) { "login-file" } else { "passcode-file" };
        section.readable_file(key, login.file());
        Some(login)
    }

    fn write(&self, writer: &mut Writer) {
        writer
            .text("kind", "stomp")
            .list("hosts", &self.hosts)
            .flag("tls", self.tls)
            .text("virtual-host", &self.virtual_host);
        match &self.login {
            Some(Login::Passcode { login, file }) => writer.text("login", login).path("passcode-file", file),
            Some(Login::File(file)) => writer.path("login-file", file),
            None => writer,
        }
        .duration("heart-beat", self.heart_beat)
        .duration("connect-timeout", self.connect_timeout)
        .duration("receipt-timeout", self.receipt_timeout)
        .flag("allow-cn", self.allow_cn)
        .size("max-frame", self.max_frame);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

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
        assert!(matches!(Login::File(exposed.path().into()).read(), Err(SecretError::Exposed(_))));
        let short = private_file("a\n", 0o600);
        assert!(matches!(Login::File(short.path().into()).read(), Err(SecretError::Missing { number: 2, .. })));
        assert!(matches!(Login::File("/nowhere".into()).read(), Err(SecretError::Unreadable { .. })));
    }
}
