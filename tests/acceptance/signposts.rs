//! What operators see every day: `check` at a terminal and in scripts, runs from cron, the journal of systemd.

use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::eventually;
use crate::peers::Kind;
use crate::peers::broker::shared;
use crate::peers::scripted::unreachable_broker;
use crate::queues;
use crate::sesame::{Pair, Site, Way, own_destination, program};

const RECORD: &[u8] = b"APEL-summary-job-message: v0.2\nSite: UKI-TEST\n%%\n";

/// A journal of systemd in a mount namespace of its own, as those of the machine must not get our lines. The command runs as
/// a service does, with standard error connected to the journal; then all entries are printed.
const IN_A_JOURNAL: &str = r#"
set -e
mkdir -p /run/systemd /run/log
mount -t tmpfs tmpfs /run/systemd
mount -t tmpfs tmpfs /run/log
mkdir /run/systemd/journal
/usr/lib/systemd/systemd-journald &
journald=$!
trap 'kill $journald' EXIT
for try in $(seq 200); do [ -S /run/systemd/journal/stdout ] && break; sleep 0.05; done
systemd-cat --identifier=stream sh -c 'export JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2); exec "$@"' sh "$@" || true
journalctl --sync
journalctl --directory=/run/log/journal --output=json --all SYSLOG_IDENTIFIER=sesame + SYSLOG_IDENTIFIER=stream
"#;

/// What `sesame send` of this site writes to a journal.
fn journal_of(site: &Site) -> Vec<Value> {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--fork", "--kill-child", "sh", "-c", IN_A_JOURNAL, "sh"]).arg(program());
    command.arg("--config").arg(site.configuration()).arg("send").stderr(Stdio::piped());
    let output = command.output().expect("unshare of util-linux");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn message(entry: &Value) -> &str {
    entry["MESSAGE"].as_str().unwrap_or_default()
}

#[test]
fn under_systemd_each_line_is_an_entry_of_the_journal_with_its_fields() {
    let site = Site::of("sender.example.org").on(shared(Kind::RabbitMq), Way::Tls);
    let site = site.sending("cpu", &own_destination(), "");
    queues::add(&site.outgoing("cpu"), b" ");
    queues::add(&site.outgoing("cpu"), RECORD);
    let entries = journal_of(&site);
    let find = |begin: &str| {
        let mut found = entries.iter().filter(|entry| message(entry).starts_with(begin));
        (found.next().unwrap_or_else(|| panic!("{begin} in {entries:#?}")), found.count())
    };
    let (rejected, others) = find("message rejected channel=cpu id=");
    assert_eq!(others, 0);
    for (name, value) in [("PRIORITY", "4"), ("SESAME_CHANNEL", "cpu"), ("_TRANSPORT", "journal")] {
        assert_eq!(rejected[name], value, "{rejected}");
    }
    let reason = rejected["SESAME_REASON"].as_str().unwrap();
    assert!(message(rejected).contains(reason), "{rejected}");
    assert_eq!(find("message sent ").0["PRIORITY"], "6");
    // The summary is no log line.
    let streamed: Vec<&str> =
        entries.iter().filter(|entry| entry["SYSLOG_IDENTIFIER"] == "stream").map(message).collect();
    assert!(matches!(&streamed[..], [summary] if summary.starts_with("cpu: 1 sent, 1 rejected")), "{streamed:?}");
}

#[test]
fn the_configuration_may_keep_the_log_on_standard_error() {
    let site = Site::of("sender.example.org").with_sections("format = \"text\"").on(shared(Kind::RabbitMq), Way::Tls);
    let site = site.sending("cpu", &own_destination(), "");
    queues::add(&site.outgoing("cpu"), RECORD);
    let entries = journal_of(&site);
    let sent = entries.iter().find(|entry| message(entry).contains("message sent")).unwrap();
    assert_eq!((&sent["_TRANSPORT"], sent.get("SESAME_CHANNEL")), (&Value::from("stdout"), None));
    let site =
        Site::of("sender.example.org").with_sections("format = \"journal\"").on(shared(Kind::RabbitMq), Way::Tls);
    let site = site.sending("cpu", &own_destination(), "");
    if !std::path::Path::new("/run/systemd/journal/socket").exists() {
        site.run(&["send"]).expect(0).says("cannot reach the journal: logging to standard error").says("cpu: 0 sent");
    }
}

/// The output of `sesame check --offline` at a terminal.
fn check_at_a_terminal(site: &Site, variable: (&str, &str)) -> String {
    let line = format!("{} --config {} check --offline", program().display(), site.configuration().display());
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]).stdin(Stdio::null());
    let output = command.env("TERM", "xterm").env_remove("NO_COLOR").env(variable.0, variable.1).output();
    let output = output.expect("script of util-linux");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().replace("\r\n", "\n")
}

#[test]
fn check_shows_groups_and_colour_at_a_terminal_and_plain_lines_elsewhere() {
    let site = Site::of("sender.example.org").on(shared(Kind::RabbitMq), Way::Plain);
    let site = site.sending("cpu", &own_destination(), "");
    let shown = check_at_a_terminal(&site, ("LANG", "C"));
    for heading in
        ["Configuration", "Certificates and keys", "Trust anchors and signers", "Queues and disks", "Plugins"]
    {
        assert!(shown.contains(&format!("\u{1b}[1m{heading}\u{1b}[0m\n")), "{heading} in\n{shown}");
    }
    assert!(shown.contains("\u{1b}[32m  ok      \u{1b}[0m send.cpu: queue "), "{shown}");
    assert!(shown.contains("\u{1b}[33m  warning \u{1b}[0m configuration: broker.test.tls: "), "{shown}");
    assert!(shown.trim_end().ends_with(" ok; the brokers were not tried"), "{shown}");
    let piped = site.run(&["check", "--offline"]).expect(0).output;
    assert!(!piped.contains('\u{1b}') && piped.lines().all(|line| !line.starts_with(' ')), "{piped}");
    assert!(
        piped.contains("\nok       send.cpu: queue ") && piped.ends_with("; the brokers were not tried\n"),
        "{piped}"
    );
    for plain in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        assert_eq!(check_at_a_terminal(&site, plain), piped);
    }
}

#[test]
fn a_strict_check_tells_warnings_from_errors_by_its_exit_status() {
    let site = Site::of("sender.example.org").on(shared(Kind::RabbitMq), Way::Plain);
    let site = site.sending("cpu", &own_destination(), "");
    site.run(&["check"]).expect(0).says("without TLS");
    site.run(&["check", "--strict"]).expect(3).says("0 errors, ");
    let away =
        Site::of("sender.example.org").at(&[&unreachable_broker()], Way::Plain, "").sending("cpu", "/queue/x", "");
    away.run(&["check", "--strict"]).expect(1).says("cannot connect");
}

#[test]
fn a_quiet_run_says_nothing_when_all_was_sent_and_why_when_not() {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Tls, "", "");
    // Warnings about the disk of this machine are due once.
    pair.sender.run(&["send", "--quiet"]).expect(0);
    queues::add(&pair.outgoing(), RECORD);
    let quiet = pair.sender.run(&["send", "--quiet"]).expect(0);
    assert_eq!((quiet.output.as_str(), quiet.log.as_str()), ("", ""));
    assert_eq!(queues::outgoing(&pair.outgoing()).len(), 0);
    let file = pair.sender.folder.write("record", RECORD).display().to_string();
    let published = pair.sender.run(&["publish", "--quiet", "cpu", &file]).expect(0);
    assert_eq!((published.output.as_str(), published.log.as_str()), ("", ""));
    queues::add(&pair.outgoing(), b" ");
    pair.sender.run(&["send", "--quiet"]).expect(1).says("message rejected").says("1 rejected");
    let level = pair.sender.run(&["send", "--quiet", "--log-level", "info"]).expect(0).all();
    assert!(!level.contains("cpu: 0 sent"), "{level}");
    pair.sender.run(&["send", "--quiet", "--watch"]).expect(2);
}

#[test]
fn a_broker_that_is_away_is_logged_once_by_runs_from_cron_and_each_run_says_why_it_failed() {
    let address = unreachable_broker();
    let site = Site::of("sender.example.org").at(&[&address], Way::Tls, "").sending("cpu", "/queue/x", "");
    queues::add(&site.outgoing("cpu"), RECORD);
    let run = || site.run(&["send", "--quiet", "--deadline", "1s"]).expect(1);
    run().says(&format!("cannot connect broker={address}"));
    let second = run();
    assert!(!second.log.contains("cannot connect"), "{}", second.log);
    second.says("cpu: 0 sent, 0 rejected, 1 waiting; ").says(&address);
}

#[test]
fn a_daemon_logs_a_broker_that_is_away_once() {
    let address = unreachable_broker();
    let site = Site::of("sender.example.org").at(&[&address], Way::Tls, "").sending("cpu", "/queue/x", "");
    queues::add(&site.outgoing("cpu"), RECORD);
    let mut daemon = site.start(&["send", "--watch", "--log-level", "debug"]);
    let attempts = |log: &str| log.matches("waiting before the next attempt").count();
    let log = eventually("four attempts", || Some(daemon.log()).filter(|log| attempts(log) > 3));
    assert_eq!(log.matches("cannot connect").count(), 1, "{log}");
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn trace_takes_the_number_of_a_stream_with_and_without_quotes() {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Plain, "", "");
    queues::add(&pair.outgoing(), RECORD);
    pair.sender.run(&["send"]).expect(0);
    let stream = "0123456789abcdef";
    let quoted = pair.sender.run(&["trace", &format!("{stream} 2")]).expect(1).says("no journal knows number");
    assert_eq!(pair.sender.run(&["trace", stream, "2"]).expect(1).log, quoted.log);
    pair.sender.run(&["trace", "one", "other"]).expect(2).says("put an ID with a space in quotes");
}

/// A folder and everything below it.
fn tree(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    if folder.is_dir() && !folder.is_symlink() {
        for entry in std::fs::read_dir(folder).unwrap() {
            found.extend(tree(&entry.unwrap().path()));
        }
    }
    found
}

#[test]
fn what_root_s_commands_leave_belongs_to_the_owner_of_the_queue() {
    const OWNER: u32 = 65_534;
    let of_us = std::fs::metadata("/proc/self").unwrap().uid();
    assert_eq!(of_us, 0, "this test runs as root, because it gives files to another user");
    let site = Site::of("sender.example.org").on(shared(Kind::RabbitMq), Way::Plain);
    let site = site.sending("cpu", &own_destination(), "");
    let (good, bad) = (site.folder.write("good", RECORD), site.folder.write("bad", "this is no record"));
    site.configuration();
    // Root runs no plugins of another user.
    let all = tree(site.folder.path()).into_iter().filter(|path| !path.ends_with("plugins.d"));
    all.for_each(|path| chown(path, Some(OWNER), Some(OWNER)).unwrap());
    let outgoing = site.outgoing("cpu");
    site.run(&["queue", "add", "cpu", &good.display().to_string()]).expect(0);
    let check = |stage: &str| {
        let queues = std::fs::read_dir(outgoing.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
        let name = outgoing.file_name().unwrap().to_string_lossy().into_owned();
        let ours = queues.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(&name));
        let all: Vec<PathBuf> = ours.flat_map(|path| tree(&path)).collect();
        for path in &all {
            let facts = path.symlink_metadata().unwrap();
            assert_eq!((facts.uid(), facts.gid()), (OWNER, OWNER), "{} after {stage}", path.display());
        }
        all.len()
    };
    assert!(check("queue add") > 2);
    site.run(&["send"]).expect(0);
    assert!(check("send") > 2);
    site.run(&["publish", "cpu", &good.display().to_string()]).expect(0);
    let rejecting = site.changed("[send.cpu]", "[send.cpu]\npipeline = [\"builtin:any-record\"]");
    rejecting.run(&["queue", "add", "cpu", &bad.display().to_string()]).expect(0);
    rejecting.run(&["send"]).expect(1).says("message rejected").says("element=\"reject/00000000/");
    assert!(check("a rejection") > 6);
}
