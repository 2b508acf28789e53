//! What an operator reads: each folder of `cases/` is a wrong configuration and, in `error.txt`, the exact text.
//!
//! `SESAME_WRITE_EXPECTED=1` overwrites the texts; read them before you keep them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;

fn parse(text: &str) -> Result<Config, ConfigErrors> {
    Config::parse(text, Path::new("sesame.toml"), Files::Ignore)
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

const CHANNELS: &str = r#"
[broker.egi]
hosts = ["mq.example.org:61614"]
[send.cpu]
broker = "egi"
queue = "/var/spool/apel/outgoing"
destination = "/queue/cpu"
[receive.central]
broker = "egi"
destination = "/queue/cpu"
authorised = "/etc/sesame/dns"
spool = "/var/spool/apel"
"#;

const AMS_CHANNELS: &str = r#"
[broker.argo]
kind = "ams"
host = "msg.argo.grnet.gr"
project = "accounting"
[receive.argo]
broker = "argo"
subscription = "repository"
authorised = "/etc/sesame/dns"
spool = "/var/spool/argo"
"#;

#[test]
fn every_mistake_names_line_key_and_remedy() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in fs::read_dir(folder("src/config/cases")).unwrap().map(|entry| entry.unwrap().path()) {
        let text = fs::read_to_string(case.join("sesame.toml")).unwrap();
        let shown = match parse(&text) {
            Ok(_) => "accepted".to_owned(),
            Err(errors) => format!("{errors}\n"),
        };
        let expected = case.join("error.txt");
        if std::env::var_os("SESAME_WRITE_EXPECTED").is_some() {
            fs::write(&expected, &shown).unwrap();
        }
        if fs::read_to_string(&expected).unwrap_or_default() != shown {
            wrong.push(format!("{}:\n{shown}", case.display()));
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 30, "only {count} cases were found");
}

#[test]
fn the_effective_configuration_reads_back_equal() {
    let more = r#"
[observe]
listen = "0.0.0.0:9464"
allow-remote = true
[broker.egi.credential]
certificate = "/etc/sesame/tls.pem"
key = "/etc/sesame/tls.key"
[send.cpu.credential]
certificate = "/etc/sesame/cpu \"1\".pem"
key = "/etc/sesame/cpu.key"
[send.cpu.trust]
crls = "require"
anchors = ["/a", "/b"]
[send.cpu.route]
cloud = "/queue/cloud"
[send.cpu.acknowledgements]
mode = "required"
from = "/queue/acknowledgements.cpu"
receivers = ["/C=UK/O=eScience/CN=central.example.org", "CN=b,O=a\\, b"]
repeat-after = "90m"
[receive.central.acknowledgements]
"/C=UK/O=eScience/CN=ce.example.org" = "/queue/acknowledgements.cpu"
"CN=se.example.org,O=a\\, b" = "/queue/acknowledgements.se"
[receive.central.route]
cloud = "incoming-cloud"
[plugin."builtin:passthrough"]
channels = ["cpu"]
deadline = "250ms"
[plugin."builtin:passthrough".config]
sites = ["UKI-TEST", "\u00e9\n\"\\"]
limit = 0x10
share = 0.25
since = 2026-11-22
nested = { deep = { er = true }, list = [1, [2]] }
"#;
    let config = parse(&format!("{CHANNELS}{more}")).unwrap();
    let printed = config.effective_toml();
    assert_eq!(parse(&printed).unwrap(), config, "{printed}");
    assert_eq!(config.senders["cpu"].trust.refresh, config.trust.refresh);
    assert_eq!(config.receivers["central"].credential, config.credential);
    assert_eq!(config.plugin["builtin:passthrough"].config["limit"], 16);
    let ams =
        format!("{AMS_CHANNELS}[send.jobs]\nbroker = \"argo\"\nqueue = \"/var/spool/out\"\ndestination = \"jobs\"\n");
    let config = parse(&ams).unwrap();
    assert_eq!(parse(&config.effective_toml()).unwrap(), config);
    assert_eq!(parse(&Config::default().effective_toml()).unwrap(), Config::default());
}

#[test]
fn the_general_credential_may_name_one_file_and_the_other_is_the_default() {
    let default = Config::default().credential;
    let read = |line: &str| parse(&format!("{CHANNELS}[credential]\n{line}\n")).unwrap().credential;
    let key = read("key = \"/etc/sesame/hostkey.pem\"");
    assert_eq!((key.certificate, key.key), (default.certificate, "/etc/sesame/hostkey.pem".into()));
    let certificate = read("certificate = \"/etc/sesame/hostcert.pem\"");
    assert_eq!((certificate.certificate, certificate.key), ("/etc/sesame/hostcert.pem".into(), default.key));
}

#[test]
fn what_takes_a_restart_is_told_by_key() {
    let config = parse(CHANNELS).unwrap();
    let more = r#"
[plugins]
folder = "/a"
cache = "/b"
require-signed = true
[limits]
grace = "3s"
workers = 3
[log]
level = "debug"
format = "json"
[index]
url = "postgresql://sesame@localhost/accounting"
name = "one"
"#;
    let later = parse(&format!("{CHANNELS}{more}")).unwrap();
    let keys = ["plugins.cache", "plugins.require-signed", "limits.grace", "limits.workers", "log.format", "index"];
    assert_eq!(config.needs_restart(&later), keys);
    assert_eq!(config.needs_restart(&config), [""; 0]);
}

#[test]
fn what_follows_from_other_keys_is_worked_out() {
    let config = parse(&format!("[journal]\nretention = \"30d\"\n{CHANNELS}")).unwrap();
    let sender = &config.senders["cpu"];
    assert_eq!(sender.state, Path::new("/var/spool/apel/outgoing.state"));
    assert_eq!(sender.reject, Path::new("/var/spool/apel/outgoing.reject"));
    assert_eq!(config.receivers["central"].max_age, config.journal.retention);
    assert_eq!(config.receivers["central"].missing_after, Some(Duration::from_secs(900)));
    let never = parse(&format!("{CHANNELS}missing-after = \"never\"\n")).unwrap();
    assert_eq!(never.receivers["central"].missing_after, None);
    assert_eq!(parse(&never.effective_toml()).unwrap(), never);
}

#[test]
fn files_that_are_not_there_are_told_together() {
    let dir = tempfile::tempdir().unwrap();
    let text =
        CHANNELS.replace("/var/spool/apel", "/nowhere/spool").replace("/etc/sesame", &dir.path().to_string_lossy());
    let more = format!(
        "[credential]\ncertificate = {:?}\nkey = {:?}\n[trust]\nanchors = \"/nowhere/ca\"\n",
        dir.path(),
        dir.path().join("k")
    );
    let text = format!("{text}{more}[plugins]\nfolder = \"/nowhere/plugins.d\"\n");
    let errors = Config::parse(&text, Path::new("sesame.toml"), Files::Check).unwrap_err();
    let keys: Vec<(&str, usize)> = errors.mistakes().iter().map(|m| (m.key.as_str(), m.line.unwrap())).collect();
    let expected = [
        ("send.cpu.queue", 6),
        ("receive.central.authorised", 11),
        ("receive.central.spool", 12),
        ("credential.certificate", 14),
        ("credential.key", 15),
        ("trust.anchors", 17),
        ("plugins.folder", 19),
    ];
    assert_eq!(keys, expected, "{errors}");
    assert!(
        errors.to_string().contains("certificate: ") && errors.to_string().contains(" is not a file; "),
        "{errors}"
    );
}

#[test]
fn queues_that_are_one_through_a_symbolic_link_are_found() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("real")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("real"), dir.path().join("link")).unwrap();
    let queue = |name: &str, path: &str| {
        format!("[send.{name}]\nbroker = \"egi\"\ndestination = \"/queue/a\"\nqueue = {:?}\n", dir.path().join(path))
    };
    let text = format!("[broker.egi]\nhosts = [\"a:1\"]\n{}{}", queue("one", "real/queue"), queue("two", "link/queue"));
    assert!(parse(&text).is_ok());
    let errors = Config::parse(&text, Path::new("sesame.toml"), Files::Check).unwrap_err().to_string();
    assert!(errors.contains("overlaps with queue of [send.one]"), "{errors}");
}

#[test]
fn a_file_that_is_not_there_or_not_text_is_one_mistake() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sesame.toml");
    let shown = Config::load(&path).unwrap_err().to_string();
    assert_eq!(
        shown,
        format!("{}: does not exist; put the configuration there or name another with --config FILE", path.display())
    );
    fs::write(&path, b"\xff\xfe").unwrap();
    assert!(Config::load(&path).unwrap_err().to_string().contains("is not UTF-8 text; save it as UTF-8"));
}

#[test]
fn channels_are_chosen_by_name_and_kind() {
    let config = parse(CHANNELS).unwrap();
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let all = config.select(&[], Kind::Any).unwrap();
    assert_eq!((all.senders, all.receivers), (names(&["cpu"]), names(&["central"])));
    let senders = config.select(&[], Kind::Send).unwrap();
    assert_eq!((senders.senders, senders.receivers), (names(&["cpu"]), names(&[])));
    let shown = |name: &str, kind| config.select(&names(&[name]), kind).unwrap_err().to_string();
    assert_eq!(shown("gpu", Kind::Any), "unknown channel \"gpu\" (channels: cpu, central)");
    assert_eq!(shown("cpu", Kind::Receive), "channel \"cpu\" is a [send.cpu], which this command does not take");
    let shown = Config::default().select(&[], Kind::Receive).unwrap_err().to_string();
    assert_eq!(shown, "no channel is configured: add a section [receive.NAME]");
}

#[test]
fn a_plugin_section_has_the_keys_of_a_sidecar() {
    let digest = "e3".repeat(32);
    let section = format!(
        "[plugin.\"builtin:passthrough\"]\nsigner = \"/C=UK/*\"\ndestination = [\"/queue/*\"]\ncontent-type = \"Text/Plain\"\n\
        output-limit = \"1MiB\"\nlog-limit = 0\nsha256 = {digest:?}\n"
    );
    let config = parse(&format!("{CHANNELS}{section}")).unwrap();
    let settings = &config.plugin["builtin:passthrough"];
    assert_eq!(settings.signers.as_deref(), Some(&["/C=UK/*".to_owned()][..]));
    assert_eq!(settings.content_types.as_deref(), Some(&["text/plain".to_owned()][..]));
    assert_eq!((settings.max_log, settings.sha256), (0, Some([0xe3; 32])));
    assert_eq!(parse(&config.effective_toml()).unwrap(), config);
    let errors = parse(&format!("{CHANNELS}{section}").replace("e3e3", "e3z3")).unwrap_err().to_string();
    assert!(errors.contains("is not a SHA-256; write the 64 hexadecimal digits"), "{errors}");
}

#[test]
fn tables_and_secrets_read_back_and_show_no_content() {
    let section = r#"
        [table.sites]
        file = "/etc/sesame/sites.csv"
        [table.users]
        file = "/etc/sesame/users"
        format = "json"
        key = "dn"
        [secret.salt]
        file = "/etc/sesame/salt"
        [plugin."builtin:passthrough"]
        tables = ["sites", "users"]
        [plugin."builtin:passthrough".config]
        key = { secret = "salt" }
    "#;
    let config = parse(&format!("{CHANNELS}{section}")).unwrap();
    let (sites, users) = (&config.tables["sites"], &config.tables["users"]);
    assert_eq!((sites.format, sites.key.as_deref()), (tables::Format::Csv, None));
    assert_eq!((users.format, users.key.as_deref()), (tables::Format::Json, Some("dn")));
    assert_eq!(config.plugin["builtin:passthrough"].tables, ["sites", "users"]);
    let effective = config.effective_toml();
    assert!(effective.contains("\"secret\" = \"salt\""), "{effective}");
    assert_eq!(parse(&effective).unwrap(), config);
}

#[test]
fn a_file_that_ends_early_never_stops_the_program_with_a_panic() {
    let text = shipped_in_use();
    for end in (0..text.len()).step_by(13) {
        let _ = parse(text.get(..end).unwrap_or(&text));
    }
}

fn shipped() -> String {
    fs::read_to_string(folder("../../conf/sesame.toml")).unwrap()
}

/// The shipped configuration with its settings in use: "#key = value" without the "#".
fn shipped_in_use() -> String {
    let setting = |line: &str| line.starts_with('#') && !line.starts_with("# ") && line.len() > 1;
    let text = shipped();
    let lines = text.lines().map(|line| if setting(line) { line.split_at(1).1 } else { line });
    let alone = |line: &&str| line.starts_with("login-file") || line.starts_with("compare-to");
    lines.filter(|line| !alone(line)).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_shipped_configuration_is_the_defaults() {
    assert_eq!(parse(&shipped()).unwrap(), Config::default());
}

#[test]
fn the_shipped_channels_are_the_defaults_but_for_their_examples() {
    let mut config = parse(&shipped_in_use()).unwrap();
    config.limits.workers = None;
    (config.observe.listen, config.observe.control, config.index) = (None, None, None);
    broker::stomp_mut(config.brokers.get_mut("egi").unwrap()).login = None;
    config.broker_credentials.clear();
    let argo = broker::ams_mut(config.brokers.get_mut("argo").unwrap());
    (argo.token_file, argo.proxy) = (None, None);
    for sender in config.senders.values_mut() {
        (sender.recipient_certificate, sender.pipeline) = (None, None);
        let awaited = sender.acknowledgements.take().unwrap();
        assert_eq!((awaited.mode, awaited.repeat_after), (Mode::Optional, defaults::REPEAT_AFTER));
        sender.routes.clear();
    }
    for receiver in config.receivers.values_mut() {
        (receiver.banned, receiver.pipeline) = (None, None);
        receiver.routes.clear();
        receiver.acknowledgements.clear();
    }
    for settings in config.plugin.values_mut() {
        (settings.channels, settings.signers, settings.destinations) = (None, None, None);
        (settings.content_types, settings.sha256) = (None, None);
        settings.tables.clear();
    }
    config.tables.clear();
    config.secrets.clear();
    let named = CHANNELS.replace("/queue/cpu", "/queue/global.accounting.cpu");
    let named = named.replace("[\"mq.example.org:61614\"]", "[\"mq1.example.org:61614\", \"mq2.example.org:61614\"]");
    let named = named + AMS_CHANNELS;
    let defaults = parse(&format!("{named}[plugin.\"builtin:passthrough\"]\n")).unwrap();
    assert_eq!(config.effective_toml(), defaults.effective_toml());
    assert_eq!(config, defaults);
}

#[test]
fn the_shipped_configuration_has_every_key_and_no_other() {
    let text = shipped_in_use() + "\n";
    let document = Document::new(Path::new("sesame.toml"), &text, Files::Ignore);
    let table = document.parse(&text).unwrap();
    Config::read(&document.root(&table));
    let elsewhere = |key: &String| key.starts_with("send.NAME.credential") || key.starts_with("send.NAME.trust");
    let read: BTreeSet<String> = document.asked().into_iter().filter(|key| !elsewhere(key)).collect();
    let mut written = keys(&text.parse().unwrap(), "");
    written.extend(["broker.NAME.login-file".to_owned(), "plugin.NAME.compare-to".to_owned()]);
    assert_eq!(read, written);
}

fn keys(table: &toml::Table, section: &str) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for (key, value) in table {
        let named = ["broker", "send", "receive", "table", "secret", "plugin"].contains(&section);
        let key = match section {
            "" => key.clone(),
            _ => format!("{section}.{}", if named { "NAME" } else { key }),
        };
        match value {
            toml::Value::Table(inner)
                if !key.ends_with(".route") && !key.ends_with(".config") && key != "receive.NAME.acknowledgements" =>
            {
                keys.extend(self::keys(inner, &key));
                if !named {
                    keys.insert(key);
                }
            }
            _ => _ = keys.insert(key),
        }
    }
    keys
}

#[test]
fn every_shipped_key_has_a_sentence() {
    let text = shipped();
    let mut said = false;
    for line in text.lines() {
        let setting = line.trim_start_matches('#');
        match line.starts_with("# ") {
            true => said = true,
            false if setting.is_empty() => said = false,
            false => assert!(said, "{line}"),
        }
    }
}

#[test]
fn warns_of_what_is_allowed_and_unwise() {
    let text = format!("[trust]\ncrls = \"ignore\"\n{}", CHANNELS.replace("hosts", "tls = false\nhosts"));
    let warnings = parse(&text).unwrap().warnings();
    assert!(
        warnings.contains(&"broker.egi.tls: messages travel to mq.example.org:61614 without TLS".to_owned()),
        "{warnings:?}"
    );
    assert!(
        warnings.contains(&"send.cpu.trust: a revoked certificate is accepted, for crls = \"ignore\"".to_owned()),
        "{warnings:?}"
    );
}
