//! The names by which brokers and peers knew each channel when it last ran: a certificate that was replaced while no Sesame
//! ran is noticed all the same.
//!
//! # On disk
//! `certificates.json` beside the journal of a spool or state directory, mode 0640, written aside and renamed: for each
//! channel the subject and issuer of the certificates that it uses. A file that cannot be read counts as missing: nothing is
//! compared then.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use message::daily::Condition;
use message::{Direction, files};
use rustix::fs::{CWD, OFlags};
use serde::{Deserialize, Serialize};

use super::directory;
use crate::channel::{Channel, Registry};
use crate::config::Config;
use trust::{CertificateNames, RecipientCertificate, Signer};

/// The name of the file.
const FILE: &str = "certificates.json";
/// The largest file that is read.
const MAX_BYTES: u64 = 1 << 20;

/// What a channel uses a certificate for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Use {
    /// Signs or decrypts.
    Credential,
    /// Connects to the broker.
    Broker,
    /// Encrypts for its holder.
    Recipient,
}

/// The names in a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Names {
    subject: String,
    issuer: String,
}

/// The certificates of each channel of a directory, by the section of the channel.
type Record = BTreeMap<String, BTreeMap<Use, Names>>;

/// A certificate that a channel uses now.
struct Used {
    purpose: Use,
    file: PathBuf,
    names: Names,
}

impl Used {
    fn new(purpose: Use, file: &Path, facts: &Signer) -> Self {
        let CertificateNames { subject, issuer } = CertificateNames::of(facts);
        Self { purpose, file: file.to_owned(), names: Names { subject, issuer } }
    }

    /// A warning if the certificate for this purpose had other names before.
    fn change(&self, before: &Names) -> Option<String> {
        let names = |Names { subject, issuer }| CertificateNames { subject, issuer };
        let (before, now) = (names(before.clone()), names(self.names.clone()));
        match self.purpose {
            Use::Credential | Use::Broker => now.own_change(&before, &self.file),
            Use::Recipient => now.recipient_change(&before, &self.file),
        }
    }
}

/// Warnings of certificates with other names than those with which the channels last ran, each once.
pub(crate) fn changes(config: &Config, channels: &[Channel], registry: &Registry) -> Vec<String> {
    let mut warnings = Vec::new();
    for channel in channels {
        let known = directory(config, channel).map(read).unwrap_or_default().remove(&channel.section());
        let Some(known) = known else { continue };
        for used in used(config, channel, registry) {
            let change = known.get(&used.purpose).and_then(|before| used.change(before));
            warnings.extend(change.filter(|change| !warnings.contains(change)));
        }
    }
    warnings
}

/// Logs what changed since the channels last ran, and records what they use now.
pub(super) fn look(config: &Config, channels: &[Channel], registry: &Registry) {
    // Where the names cannot be recorded, each start would say the same.
    let due = |warning: &String| Condition::warning("a certificate was replaced", "").is_due(warning);
    for warning in changes(config, channels, registry).into_iter().filter(due) {
        tracing::warn!(warning, "a certificate was replaced");
    }
    record(config, channels, registry);
}

/// Records what the channels use now. A failure costs no more than a later warning.
pub(super) fn record(config: &Config, channels: &[Channel], registry: &Registry) {
    for channel in channels {
        let Some(directory) = directory(config, channel) else { continue };
        let used = used(config, channel, registry).into_iter().map(|used| (used.purpose, used.names));
        let used: BTreeMap<Use, Names> = used.collect();
        let mut record = read(directory);
        let before = record.insert(channel.section(), used.clone());
        if before != Some(used)
            && let Err(error) = write(directory, &record)
        {
            tracing::debug!(directory = %directory.display(), %error, "cannot record the names of certificates");
        }
    }
}

/// The certificates of a channel; those that cannot be used are reported elsewhere.
fn used(config: &Config, channel: &Channel, registry: &Registry) -> Vec<Used> {
    let (broker, credential, trust, recipient) = match channel.direction() {
        Direction::Outbound => {
            let Some(sender) = config.senders.get(channel.name()) else { return Vec::new() };
            (&sender.broker, &sender.credential, &sender.trust, sender.recipient_certificate.as_ref())
        }
        Direction::Inbound => {
            let Some(receiver) = config.receivers.get(channel.name()) else { return Vec::new() };
            (&receiver.broker, &receiver.credential, &receiver.trust, None)
        }
    };
    let mut list = Vec::new();
    if let Ok(identity) = registry.identity(credential, trust) {
        let own = identity.credential.current();
        list.push(Used::new(Use::Credential, own.files().0, own.facts()));
        let recipient = recipient.and_then(|file| RecipientCertificate::load(file, &identity.trust, None).ok());
        list.extend(recipient.map(|recipient| Used::new(Use::Recipient, recipient.file(), recipient.facts())));
    }
    if config.brokers.get(broker).is_some_and(transport::Broker::sees_certificate)
        && let Ok(identity) = registry.identity(config.credential_at(broker, credential), trust)
    {
        let own = identity.credential.current();
        list.push(Used::new(Use::Broker, own.files().0, own.facts()));
    }
    list
}

fn read(directory: &Path) -> Record {
    let mut bytes = Vec::new();
    let read = File::open(directory.join(FILE)).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes));
    read.ok().and_then(|_| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

fn write(directory: &Path, record: &Record) -> io::Result<()> {
    let aside = directory.join(format!(".{FILE}.new"));
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
    files::open(CWD, &aside, flags, 0o640)?.write_all(&serde_json::to_vec(record)?)?;
    std::fs::rename(&aside, directory.join(FILE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Files;
    use testkit::pki::{Authority, Directory, KeyKind, Request};

    /// A sender with a certificate for each purpose.
    struct Site {
        folder: tempfile::TempDir,
        authority: Authority,
        config: Config,
    }

    impl Site {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let authority = Authority::root(&Request::authority("/C=UK/CN=Test CA")).unwrap();
            let anchors = Directory::create(folder.path().join("ca")).unwrap();
            anchors.add_authority(&authority.own.certificate).unwrap();
            for directory in ["outgoing", "outgoing.state"] {
                std::fs::create_dir(folder.path().join(directory)).unwrap();
            }
            let text = r#"
                credential = { certificate = "ROOT/own.pem", key = "ROOT/own.key" }
                trust.anchors = "ROOT/ca"
                [broker.argo]
                kind = "ams"
                host = "localhost"
                project = "accounting"
                credential = { certificate = "ROOT/tls.pem", key = "ROOT/tls.key" }
                [send.cpu]
                broker = "argo"
                queue = "ROOT/outgoing"
                destination = "jobs"
                recipient-certificate = "ROOT/peer.pem"
            "#;
            let text = text.replace("ROOT", &folder.path().display().to_string());
            for stem in ["own", "tls", "peer"] {
                issue(&authority, &folder, stem, stem);
            }
            let config = Config::parse(&text, Path::new("test.toml"), Files::Check).unwrap();
            Self { folder, authority, config }
        }

        /// What a program that starts now sees.
        fn changes(&self) -> Vec<String> {
            changes(&self.config, &[Channel::sender("cpu")], &Registry::new(&self.config.limits))
        }

        fn run(&self) {
            look(&self.config, &[Channel::sender("cpu")], &Registry::new(&self.config.limits));
        }
    }

    fn issue(authority: &Authority, folder: &tempfile::TempDir, stem: &str, name: &str) {
        let key = if stem == "peer" { KeyKind::Rsa(2048) } else { KeyKind::P256 };
        let request = Request { key, ..Request::host(&format!("/C=UK/CN={name}")) };
        authority.issue(&request).unwrap().write(folder.path(), stem).unwrap();
    }

    #[test]
    fn a_certificate_that_was_replaced_while_nothing_ran_is_noticed_until_the_next_run() {
        let site = Site::new();
        assert_eq!(site.changes(), Vec::<String>::new(), "nothing is known before the first run");
        site.run();
        for stem in ["own", "tls", "peer"] {
            issue(&site.authority, &site.folder, stem, stem);
        }
        assert_eq!(site.changes(), Vec::<String>::new(), "renewed under the same names");
        for stem in ["own", "tls", "peer"] {
            issue(&site.authority, &site.folder, stem, &format!("new-{stem}"));
            let changes = site.changes();
            let names = format!("{stem}.pem has another subject (/C=UK/CN={stem} before, /C=UK/CN=new-{stem} now): ");
            assert!(matches!(&changes[..], [one] if one.contains(&names)), "{changes:?}");
            site.run();
            assert_eq!(site.changes(), Vec::<String>::new());
        }
    }

    #[test]
    fn one_certificate_for_several_purposes_is_one_warning() {
        let mut site = Site::new();
        let own = site.config.senders["cpu"].credential.clone();
        site.config.senders.insert("gpu".to_owned(), site.config.senders["cpu"].clone());
        site.config.broker_credentials.insert("argo".to_owned(), own);
        site.run();
        issue(&site.authority, &site.folder, "own", "new");
        assert_eq!(site.changes().len(), 1, "{:?}", site.changes());
    }

    #[test]
    fn a_file_that_cannot_be_read_or_written_stops_nothing() {
        let site = Site::new();
        let file = site.folder.path().join("outgoing.state").join(FILE);
        for broken in ["", "{", r#"{"send.cpu":{"other":{}}}"#] {
            std::fs::write(&file, broken).unwrap();
            issue(&site.authority, &site.folder, "own", "other");
            assert_eq!(site.changes(), Vec::<String>::new());
            site.run();
            assert!(read(file.parent().unwrap()).contains_key("send.cpu"));
        }
        std::fs::remove_dir_all(file.parent().unwrap()).unwrap();
        site.run();
    }
}
