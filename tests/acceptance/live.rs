//! What a running Sesame says of itself: `sesame tap`, the private socket and SIGUSR1, while real messages pass.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use ::sesame::service::SOCKET;
use rustix::process::Signal;
use serde_json::Value;

use crate::checker::Workload;
use crate::harness::{Child, eventually};
use crate::peers::broker::shared;
use crate::peers::{Kind, require};
use crate::queues;
use crate::sesame::{Pair, Site, Way, own_destination, program};
use crate::stock_plugins;

/// What the socket answers: the body.
fn get(socket: &Path, path: &str) -> Option<Value> {
    let mut stream = UnixStream::connect(socket).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    assert!(head.starts_with("HTTP/1.0 200"), "{answer}");
    Some(serde_json::from_str(body).unwrap())
}

/// A tap that watches.
fn tap(site: &Site, name: &str, arguments: &[&str]) -> Child {
    let mut command = Command::new(program());
    command.arg("--config").arg(site.configuration()).arg("tap").args(arguments);
    let child = Child::start("sesame tap", &mut command, &site.folder.join(format!("{name}.log")));
    eventually("a tap", || child.log().contains("watching").then_some(()));
    child
}

/// The event of a tap with this fate.
fn event(tap: &Child, fate: &str) -> Value {
    eventually("an event", || {
        let log = tap.log();
        let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.into_iter().find(|event| event["fate"] == fate)
    })
}

/// What another user gets at the socket in this directory.
fn as_another_user(directory: &Path) -> String {
    let script = "import socket; s = socket.socket(socket.AF_UNIX); s.settimeout(60)\n\
                  try: s.connect('sesame.sock')\nexcept PermissionError: print('denied'); raise SystemExit\n\
                  try: s.sendall(b'GET /api/overview HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n'); print(s.recv(9))\n\
                  except (BrokenPipeError, ConnectionResetError): print(b'')";
    let mut command = Command::new(require("setpriv"));
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--", "python3", "-c", script]);
    // The first Python of the path may be in a folder of this user.
    let output = command.env("PATH", "/usr/bin:/bin").current_dir(directory).output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned()
}

#[test]
fn a_tap_sees_what_becomes_of_each_message_and_the_overview_counts_the_same() {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Tls, "", "pipeline = [\"builtin:any-record\"]\n");
    let mut receiving = pair.receiver.start(&["receive"]);
    let mut sending = pair.sender.start(&["send", "--watch"]);
    let at_sender = tap(&pair.sender, "tap-send", &["--json"]);
    let at_receiver = tap(&pair.receiver, "tap-receive", &["central", "--json"]);
    let mut rejected = tap(&pair.receiver, "tap-rejected", &["--fate", "rejected", "--headers", "--count", "1"]);
    queues::add(&pair.outgoing(), b" \n");
    queues::add(&pair.outgoing(), b"this is no record\n");
    queues::add(&pair.outgoing(), &stock_plugins::message(&[stock_plugins::job("X", 1)]));

    let empty = event(&at_sender, "rejected");
    assert!(empty["code"] == "empty" && empty["channel"] == "cpu" && empty["direction"] == "send", "{empty}");
    let sent = event(&at_sender, "sent");
    assert_eq!(
        (&sent["verdicts"][0]["plugin"], &sent["verdicts"][0]["answer"]),
        (&Value::from("builtin:passthrough"), &Value::from("unchanged"),)
    );
    let refused = event(&at_receiver, "rejected");
    assert_eq!(
        (refused["code"].as_str(), refused["plugin"].as_str()),
        (Some("plugin-invalid"), Some("builtin:any-record"))
    );
    assert_eq!(refused["verdicts"][0]["answer"], "rejected", "{refused}");
    assert_eq!(refused["signer"].as_str(), Some(pair.sender.host.subject.as_str()), "{refused}");
    let stored = event(&at_receiver, "stored");
    assert!(stored["element"].as_str().unwrap().starts_with("incoming/"), "{stored}");
    assert!(!stored["headers"].as_array().unwrap().is_empty(), "{stored}");
    assert_eq!(rejected.exit_code(), 0);
    let shown = rejected.log();
    assert!(shown.contains("<- central  rejected") && shown.contains("    empa-id: "), "{shown}");
    let all = at_receiver.log() + &at_sender.log() + &shown;
    assert!(!all.contains("this is no record"), "a payload is shown: {all}");

    let (state, spool) = (pair.sender.folder.join("cpu-outgoing.state"), pair.receiver.spool("central"));
    let sender = eventually("the counts of the sender", || {
        get(&state.join(SOCKET), "/api/overview").filter(|all| all["channels"][0]["fates"]["sent"] == 2)
    });
    let channel = &sender["channels"][0];
    assert!(channel["fates"]["rejected"] == 1 && channel["rejections"]["empty"] == 1, "{sender}");
    let receiver = get(&spool.join(SOCKET), "/api/overview").unwrap();
    let channel = &receiver["channels"][0];
    assert!(channel["fates"]["stored"] == 1 && channel["rejections"]["plugin-invalid"] == 1, "{receiver}");
    assert_eq!(get(&spool.join(SOCKET), "/api/recent").unwrap()[0], refused);
    let steps = get(&spool.join(SOCKET), &format!("/api/trace?id={}", stored["id"].as_str().unwrap())).unwrap();
    assert_eq!(steps[0]["fate"], "stored", "{steps}");

    let troubles = eventually("the trouble of the reject queue", || {
        let all = get(&spool.join(SOCKET), "/api/overview")?["troubles"].clone();
        all.as_array().unwrap().iter().any(|one| one["text"].as_str().unwrap().contains("reject queue")).then_some(all)
    });
    assert_eq!(troubles[0]["about"], "receive.central", "{troubles}");
    receiving.signal(Signal::USR1);
    eventually("the status in the log", || {
        let log = receiving.log();
        (log.contains("status of a channel") && log.contains("1 in the reject queue")).then_some(())
    });

    assert_eq!(spool.join(SOCKET).metadata().unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&spool, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(as_another_user(&spool), "denied");
    std::fs::set_permissions(spool.join(SOCKET), std::fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(as_another_user(&spool), "b''", "another user is not answered whatever the mode");

    assert_eq!((sending.stop(), receiving.stop()), (0, 0));
    assert!(!spool.join(SOCKET).exists() && !state.join(SOCKET).exists());
    let mut at_receiver = at_receiver;
    assert_eq!(at_receiver.exit_code(), 1);
    assert!(at_receiver.log().contains("has stopped"), "{}", at_receiver.log());
    pair.receiver.run(&["tap"]).expect(69).says("no Sesame runs with this configuration");
}

#[test]
fn a_tap_that_hangs_delays_no_message() {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Plain, "", "");
    let mut receiving = pair.receiver.start(&["receive"]);
    let mut hanging = tap(&pair.receiver, "tap", &["--json"]);
    hanging.signal(Signal::STOP);
    let messages = Workload::queued_in(&pair.outgoing(), 2000, 200);
    pair.sender.run(&["send"]).expect(0);
    messages.arrives(&pair);
    hanging.signal(Signal::CONT);
    event(&hanging, "stored");
    assert_eq!(receiving.stop(), 0);
    assert_eq!(hanging.exit_code(), 1);
}

#[test]
fn processes_of_one_configuration_are_asked_together_and_one_that_was_killed_is_not() {
    let destination = own_destination();
    let site = Site::of("both.example.org").on(shared(Kind::RabbitMq), Way::Plain).sending("cpu", &destination, "");
    let subject = site.host.subject.clone();
    let site = site.receiving("central", &destination, &[&subject], "");
    let mut receiving = site.start(&["receive"]);
    let mut sending = site.start(&["send", "--watch"]);
    let mut both = tap(&site, "both", &["--json", "--count", "2"]);
    queues::add(&site.outgoing("cpu"), b"Site: X\n");
    assert_eq!(both.exit_code(), 0);
    event(&both, "sent");
    event(&both, "stored");

    receiving.kill();
    let socket = site.spool("central").join(SOCKET);
    assert!(socket.exists() && get(&socket, "/api/overview").is_none(), "what was killed leaves its socket");
    let line = site.run(&["status", "--nagios"]).expect(2).output;
    assert!(line.contains("receive.central: does not run: "), "{line}");
    let mut one = tap(&site, "one", &["--json", "--count", "1"]);
    queues::add(&site.outgoing("cpu"), b"Site: X\n");
    assert_eq!(one.exit_code(), 0);
    let mut receiving = site.start(&["receive"]);
    let again = get(&socket, "/api/overview").expect("it is replaced");
    assert_eq!(again["channels"][0]["name"], "central", "{again}");
    receiving.signal(Signal::STOP);
    let line = site.run(&["status", "--nagios"]).expect(2).output;
    assert!(line.contains("receive.central: the running Sesame at ") && line.contains(" does not answer"), "{line}");
    receiving.signal(Signal::CONT);
    assert_eq!((sending.stop(), receiving.stop()), (0, 0));
}
