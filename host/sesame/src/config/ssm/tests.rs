//! Files as SSM has them, good and bad.

use super::*;
use crate::log::Level;
use spool::Format;
use trust::CrlMode;

const SENDER: &str = "\
# Configuration of the sender.
[sender]
protocol = STOMP

[broker]
host: mq.example.org
port: 61614

[certificates]
certificate: /etc/grid-security/hostcert.pem
key: /etc/grid-security/hostkey.pem
capath: /etc/grid-security/certificates
server_cert: /etc/grid-security/servercert.pem
verify_server_cert: false

[messaging]
ams_project: accounting
destination: /queue/global.accounting.cpu.central
path: /var/spool/apel/outgoing
path_type: dirq

[logging]
logfile: /var/log/apel/ssmsend.log
level: DEBUG
console: true
";

const RECEIVER: &str = "\
[DEFAULT]
use_ssl = no
[broker]
host = mq.example.org
port = 61613
[certificates]
certificate = /etc/grid-security/hostcert.pem
key = /etc/grid-security/hostkey.pem
capath = /etc/grid-security/certificates
check_crls = true
[messaging]
destination = /topic/100%%
path = /var/spool/apel/receiver
; a comment
[daemon]
pidfile = /var/run/apel/ssm.pid
";

fn translated(text: &str, name: &str) -> Result<Config, ConfigErrors> {
    super::translated(text, Path::new("/etc/apel/x.cfg"), name, Path::new("/etc/apel/dns"), Files::Ignore)
}

/// The mistakes, one a line, without the file and the remedy.
fn mistakes(text: &str) -> String {
    let errors = translated(text, "sender").unwrap_err();
    let line = |found: &Mistake| {
        let line = found.line.map(|line| format!("{line}: ")).unwrap_or_default();
        format!("{line}{}: {}", found.key, found.problem)
    };
    errors.mistakes().iter().map(line).collect::<Vec<_>>().join("\n")
}

fn stomp(config: &Config, name: &str) -> transport::StompBroker {
    crate::config::broker::stomp_mut(&mut config.brokers[name].clone()).clone()
}

#[test]
fn a_sender_is_read_as_it_is() {
    let config = translated(SENDER, "sender").unwrap();
    let (broker, sender) = (stomp(&config, "sender"), &config.senders["sender"]);
    assert_eq!((broker.hosts[0].to_string().as_str(), broker.tls), ("mq.example.org:61614", true));
    assert_eq!(sender.broker, "sender");
    assert_eq!(sender.credential.certificate, Path::new("/etc/grid-security/hostcert.pem"));
    assert_eq!(sender.credential.key, Path::new("/etc/grid-security/hostkey.pem"));
    assert_eq!(sender.trust.anchors, [Path::new("/etc/grid-security/certificates")]);
    assert_eq!(sender.recipient_certificate.as_deref(), Some(Path::new("/etc/grid-security/servercert.pem")));
    assert_eq!((sender.destination.as_str(), sender.allow_topic), ("/queue/global.accounting.cpu.central", false));
    assert_eq!((sender.queue.as_path(), sender.format), (Path::new("/var/spool/apel/outgoing"), Format::Dirq));
    assert_eq!(config.log.level, Level::Debug);
    assert!(config.receivers.is_empty());
    let expected = [
        "/etc/apel/x.cfg:14: certificates.verify_server_cert: has no effect",
        "/etc/apel/x.cfg:23: logging.logfile: is not written",
    ];
    assert_eq!(config.notes.len(), expected.len(), "{:?}", config.notes);
    for (note, expected) in config.notes.iter().zip(expected) {
        assert!(note.starts_with(expected), "{note}");
    }
    assert_eq!(config.warnings()[..2], config.notes[..]);
}

#[test]
fn a_sender_may_not_send_to_what_is_no_queue() {
    for other in ["/topic/a", "/exchange/amq.direct/a", "a", "/queue/a,/queue/b", "queue://a"] {
        let text = SENDER.replace("/queue/global.accounting.cpu.central", other);
        let found = mistakes(&text);
        assert!(found.contains("messaging.destination: ") && found.contains("is not a queue"), "{other}: {found}");
        assert_eq!(found.lines().count(), 1, "{found}");
    }
    for queue in ["/queue/a", "/amq/queue/a"] {
        let text = SENDER.replace("/queue/global.accounting.cpu.central", queue);
        assert!(!translated(&text, "sender").unwrap().senders["sender"].allow_topic, "{queue}");
    }
    let text = SENDER.replace("/queue/global.accounting.cpu.central", "/topic/a");
    let errors = translated(&text, "sender").unwrap_err();
    let remedy = &errors.mistakes()[0].remedy;
    assert!(remedy.contains("/queue/") && remedy.contains("sesame.toml"), "{remedy}");
    let wild = mistakes(&SENDER.replace("/queue/global.accounting.cpu.central", "/queue/a.>"));
    assert!(wild.contains("messaging.destination: ") && wild.contains("wildcard"), "{wild}");
}

#[test]
fn a_receiver_is_known_by_its_sections() {
    let config = translated(RECEIVER, "receiver").unwrap();
    let (broker, receiver) = (stomp(&config, "receiver"), &config.receivers["receiver"]);
    assert_eq!((broker.hosts[0].to_string().as_str(), broker.tls), ("mq.example.org:61613", false));
    assert_eq!((receiver.destination.as_str(), receiver.allow_topic), ("/topic/100%", true));
    assert_eq!(receiver.spool, Path::new("/var/spool/apel/receiver"));
    assert_eq!(receiver.authorised, Path::new("/etc/apel/dns"));
    assert_eq!(receiver.trust.crls, CrlMode::Require);
    assert!(config.senders.is_empty());
    assert_eq!(config.notes.len(), 2, "{:?}", config.notes);
    assert!(config.notes[0].contains(":16: daemon.pidfile: is not written"), "{:?}", config.notes);
    assert!(config.notes[1].contains("messaging.destination: is not a queue"), "{:?}", config.notes);
    let stated = format!("[receiver]\nprotocol: stomp\n{}", RECEIVER.replace("check_crls = true", "check_crls: no"));
    let config = translated(&stated, "receiver").unwrap();
    assert_eq!(config.receivers["receiver"].trust.crls, CrlMode::IfPresent);
    assert!(config.notes[0].contains("check_crls: has no effect"), "{:?}", config.notes);
}

#[test]
fn what_is_translated_can_be_kept_as_a_configuration() {
    for (text, name) in [(SENDER, "sender"), (RECEIVER, "receiver")] {
        let config = translated(text, name).unwrap();
        let again = Config::parse(&config.effective_toml(), Path::new("sesame.toml"), Files::Ignore).unwrap();
        assert_eq!(again, Config { notes: Vec::new(), ..config });
    }
}

#[test]
fn mistakes_are_told_together_with_the_lines_and_keys_of_the_file() {
    let bad = SENDER
        .replace("port: 61614", "port: stomp")
        .replace("key: /etc", "key: etc")
        .replace("destination: /queue/global.accounting.cpu.central", "destination: \u{7f}")
        .replace("path_type: dirq", "path_type: maildir");
    let expected = "\
6: broker.host: \"stomp\" is not a port
11: certificates.key: \"etc/grid-security/hostkey.pem\" is a relative path
18: messaging.destination: \"\\u{7f}\" holds a line end or another control character
20: messaging.path_type: \"maildir\" is not a choice";
    assert_eq!(mistakes(&bad), expected);
}

#[test]
fn what_lacks_is_told_by_section_and_key() {
    let lacking = "[broker]\nhost: \n[messaging]\ndestination: /queue/a\n";
    let keys = [
        "broker.host",
        "broker.port",
        "certificates.capath",
        "certificates.certificate",
        "certificates.key",
        "messaging.path",
    ];
    let expected: Vec<String> = keys.iter().map(|key| format!("{key}: is missing")).collect();
    assert_eq!(mistakes(lacking), expected.join("\n"));
}

#[test]
fn what_cannot_be_followed_is_a_mistake() {
    for (from, to, expected) in [
        ("= STOMP", "= HTTP", "3: sender.protocol: \"HTTP\" is not a protocol"),
        ("port: 61614", "port: 61614\nuse_ssl: maybe", "8: broker.use_ssl: \"maybe\" is neither"),
        ("level: DEBUG", "level: LOUD", "24: logging.level: \"LOUD\" is not a level"),
        ("port: 61614", "  port: 61614", "7: : is indented, and so continues the value of the line before it"),
        ("port: 61614", "port: 61614\nPort = 1", "8: broker.port: is there twice"),
        ("console: true", "console", "25: logging: \"console\" has no value"),
        ("console: true", "token s3cr3t", "25: logging: \"token\" has no value"),
        ("console: true", "console: %(level)s", "25: logging.console: refers to another key, which is not supported"),
        ("[logging]", "[broker]", "22: : section [broker] appears twice"),
        ("[sender]", "sender", "2: : is before the first section"),
    ] {
        let shown = mistakes(&SENDER.replacen(from, to, 1));
        assert!(shown.lines().any(|line| line == expected), "{expected}\nnot in\n{shown}");
    }
}

#[test]
fn a_key_that_is_not_known_is_told_and_changes_nothing() {
    let config = translated(&SENDER.replace("path_type", "pathtype"), "sender").unwrap();
    assert!(config.notes.iter().any(|note| note.ends_with(":20: messaging.pathtype: is not known and has no effect")));
}

#[test]
fn several_files_are_several_channels() {
    let home = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    };
    let minimal = |path: &str| {
        let home = home.path().display();
        format!(
            "[broker]\nhost: h\nport: 1\n[certificates]\ncertificate: {home}/file\nkey: {home}/file\ncapath: {home}\n\
             [messaging]\ndestination: /queue/a\npath: {home}/{path}\n"
        )
    };
    write("file", "");
    let (cpu, storage) = (write("sender.cfg", &minimal("a")), write("sender-storage.cfg", &minimal("b")));
    let config = load(&[cpu.clone(), storage], Path::new("/nowhere"), None, Files::Check).unwrap();
    assert_eq!(config.senders.keys().collect::<Vec<_>>(), ["sender", "sender-storage"]);
    let own = write("sesame.toml", "[limits]\nworkers = 3\n[log]\nlevel = \"warn\"\n");
    let config = load(std::slice::from_ref(&cpu), Path::new("/nowhere"), Some(&own), Files::Check).unwrap();
    assert_eq!((config.limits.workers, config.log.level, config.senders.len()), (Some(3), Level::Warn, 1));
    let same = write("more/sender.cfg", &minimal("c"));
    let odd = write("my sender.cfg", "");
    let errors = load(&[cpu, same, odd, home.path().join("none.cfg")], Path::new("/nowhere"), None, Files::Check)
        .unwrap_err()
        .to_string();
    for expected in [
        "more/sender.cfg: has the name of another channel",
        "my sender.cfg: cannot be used: its name",
        "none.cfg: does not exist; put SSM's",
    ] {
        assert!(errors.contains(expected), "{expected} not in {errors}");
    }
}

const AMS: &str = "\
[sender]
protocol: AMS
[broker]
host: msg.argo.grnet.gr
port: 61614
use_ssl: true
[certificates]
certificate: /etc/grid-security/hostcert.pem
key: /etc/grid-security/hostkey.pem
capath: /etc/grid-security/certificates
[messaging]
ams_project: accounting
destination: gLite-APEL
token: s3cr3t
path: /var/spool/apel/outgoing
path_type: directory
";

#[test]
fn ams_is_read_as_it_is_in_both_roles() {
    let mut config = translated(AMS, "sender").unwrap();
    let sender = &config.senders["sender"];
    assert_eq!((sender.destination.as_str(), sender.format), ("gLite-APEL", Format::Directory));
    let broker = crate::config::broker::ams_mut(config.brokers.get_mut("sender").unwrap());
    assert_eq!(broker.host.to_string(), "msg.argo.grnet.gr:443");
    assert_eq!(broker.authentication.to_string(), "msg.argo.grnet.gr:8443");
    assert_eq!(broker.project.as_str(), "accounting");
    assert_eq!(broker.token_otherwise, Some(Token::new("s3cr3t").unwrap()));
    let mut config = translated(&AMS.replace("[sender]", "[receiver]"), "receiver").unwrap();
    assert_eq!(config.receivers["receiver"].destination.as_str(), "gLite-APEL");
    assert!(crate::config::broker::ams_mut(config.brokers.get_mut("receiver").unwrap()).token_otherwise.is_some());
}

#[test]
fn the_token_of_ams_is_shown_nowhere() {
    let config = translated(AMS, "sender").unwrap();
    assert!(config.notes.iter().any(|note| note.contains(":14: messaging.token: ") && note.contains("token-file")));
    for shown in [format!("{config:?}"), config.effective_toml(), config.warnings().join("\n")] {
        assert!(!shown.contains("s3cr3t"), "{shown}");
    }
    let without = translated(&AMS.replace("token: s3cr3t\n", ""), "sender").unwrap();
    assert_ne!(without.brokers, config.brokers, "a changed token is a changed broker");
    for line in ["token: s3cr3t t0k3n", "token s3cr3t", "token: %s3cr3t", "token: s3cr3t\ntoken: s3cr3t"] {
        let errors = translated(&AMS.replace("token: s3cr3t", line), "sender").unwrap_err().to_string();
        assert!(errors.contains(":14: ") || errors.contains(":15: "), "{errors}");
        assert!(!errors.contains("s3cr3t"), "{errors}");
    }
}

#[test]
fn mistakes_of_ams_have_the_lines_and_keys_of_the_file() {
    for (from, to, expected) in [
        ("ams_project: accounting", "", "messaging.ams_project: is missing"),
        ("host: msg", "host: https://msg", "4: broker.host: "),
        ("project: accounting", "project: a/b", "12: messaging.ams_project: "),
        ("gLite-APEL", "/queue/a", "13: messaging.destination: "),
    ] {
        for role in ["[sender]", "[receiver]"] {
            let shown = mistakes(&AMS.replace(from, to).replace("[sender]", role));
            assert!(shown.starts_with(expected), "{expected}\nnot in\n{shown}");
        }
    }
}
