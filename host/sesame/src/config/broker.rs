//! `[broker.NAME]`: where a STOMP broker is and how to talk to it.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::defaults;
use super::process::HOUR;
use super::values::{self, Address};
use settings::Section;
use settings::Writer;
use settings::complain;

const SECOND: Duration = Duration::from_secs(1);

/// A broker, or several that replace each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
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

/// Why name and passcode cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The file cannot be read.
    #[error("cannot read {}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others than the owner may read the file.
    #[error("{} may be read by others than its owner: run chmod 600", .0.display())]
    Exposed(PathBuf),
    /// The line is not there.
    #[error("{} has no {line} on line {number}", .file.display())]
    Missing {
        /// The file.
        file: PathBuf,
        /// `login` or `passcode`.
        line: &'static str,
        /// From 1.
        number: usize,
    },
}

impl Login {
    /// The file that holds the passcode.
    #[must_use]
    pub fn file(&self) -> &Path {
        match self {
            Self::Passcode { file, .. } | Self::File(file) => file,
        }
    }

    /// Reads name and passcode, in this order, from at most 4 KiB of the file.
    ///
    /// # Errors
    /// [`LoginError`] where the file cannot be read, may be read by others, or lacks a line.
    pub fn read(&self) -> Result<(String, String), LoginError> {
        let file = self.file();
        let text = read_private(file)?;
        let mut lines = text.lines();
        let mut line = |line, number| match lines.next().map(str::trim_end) {
            Some(text) if !text.is_empty() => Ok(text.to_owned()),
            _ => Err(LoginError::Missing { file: file.to_owned(), line, number }),
        };
        match self {
            Self::Passcode { login, .. } => Ok((login.clone(), line("passcode", 1)?)),
            Self::File(_) => Ok((line("login", 1)?, line("passcode", 2)?)),
        }
    }
}

fn read_private(file: &Path) -> Result<String, LoginError> {
    use std::os::unix::fs::MetadataExt as _;
    let unreadable = |source| LoginError::Unreadable { file: file.to_owned(), source };
    let open = std::fs::File::open(file).map_err(unreadable)?;
    if open.metadata().map_err(unreadable)?.mode() & 0o077 != 0 {
        return Err(LoginError::Exposed(file.to_owned()));
    }
    let mut text = String::new();
    open.take(4096).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}

impl Broker {
    pub(super) fn read(section: &Section<'_, '_>) -> Option<Self> {
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

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.list("hosts", &self.hosts).flag("tls", self.tls).text("virtual-host", &self.virtual_host);
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
        assert!(matches!(Login::File(exposed.path().into()).read(), Err(LoginError::Exposed(_))));
        let short = private_file("a\n", 0o600);
        assert!(matches!(Login::File(short.path().into()).read(), Err(LoginError::Missing { number: 2, .. })));
        assert!(matches!(Login::File("/nowhere".into()).read(), Err(LoginError::Unreadable { .. })));
    }
}
