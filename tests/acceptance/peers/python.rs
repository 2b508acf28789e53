//! The Python side: directory queues by `dirq`, STOMP by `stomp.py`, a stand-in for SSM made of both and `openssl`, and
//! AMS by `argo-ams-library`, by AUDITOR's plugin for APEL, and as ARC uses it.
//!
//! The scripts are in `python/` beside this file's folder and run in the environments that `tests/setup` makes.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::ams::{Ams, PROJECT, TOPIC};
use super::openssl::{Host, feed, pki};
use crate::harness::{Child, Folder, eventually, patience};

/// An element of a directory queue as `dirq` read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) body: String,
    pub(crate) signer: String,
    pub(crate) id: String,
    pub(crate) error: Option<String>,
}

/// A message as a `stomp.py` client sends or got it.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Frame {
    /// A message with an id, as SSM labels it.
    pub(crate) fn labelled(id: &str, body: &[u8]) -> Self {
        Self { headers: vec![("empa-id".into(), id.into())], body: body.to_vec() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// How a client reaches a broker.
#[derive(Clone, Debug)]
pub(crate) struct Link<'a> {
    pub(crate) broker: String,
    /// TLS with this certificate, or plain.
    pub(crate) host: Option<&'a Host>,
}

/// Adds bodies to a QueueSimple; gives the names of the elements.
pub(crate) fn add(folder: &Path, bodies: &[&[u8]]) -> Vec<String> {
    let lines: String = bodies.iter().map(|body| json!({ "body": BASE64.encode(body) }).to_string() + "\n").collect();
    let names = feed(script("queues.py").arg("add").arg(folder), lines.as_bytes());
    String::from_utf8(names).unwrap().lines().map(str::to_owned).collect()
}

/// The elements a QueueSimple holds: name and body.
pub(crate) fn outgoing(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let lines = json_lines(&feed(script("queues.py").arg("outgoing").arg(folder), b""));
    lines.iter().map(|line| (text(line, "element"), BASE64.decode(text(line, "body")).unwrap())).collect()
}

/// Locks, reads and removes what is in a queue with fields, declared as `schema` says: `incoming`, `reject` or `loader`.
pub(crate) fn take_elements(folder: &Path, schema: &str) -> Vec<Element> {
    let lines = json_lines(&feed(script("queues.py").arg("take").arg(folder).arg(schema), b""));
    let element = |line: &Value| Element {
        body: text(line, "body"),
        signer: text(line, "signer"),
        id: text(line, "empaid"),
        error: line.get("error").map(|error| error.as_str().unwrap().to_owned()),
    };
    lines.iter().map(element).collect()
}

/// Sends frames with `stomp.py` and waits for the receipt of each.
pub(crate) fn send(link: &Link<'_>, destination: &str, frames: &[Frame]) {
    let line = |frame: &Frame| {
        let headers: serde_json::Map<_, _> = frame.headers.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
        json!({ "headers": headers, "body": BASE64.encode(&frame.body) }).to_string() + "\n"
    };
    let lines: String = frames.iter().map(line).collect();
    feed(&mut client("send", link, destination), lines.as_bytes());
}

/// Whether the broker lets this client in within so many seconds.
pub(crate) fn may_connect(link: &Link<'_>, patience: u32) -> bool {
    let mut command = client("send", link, "/queue/peers.nothing");
    command
        .args(["--patience", &patience.to_string()])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap()
        .status
        .success()
}

/// Takes `count` messages with `stomp.py`.
pub(crate) fn take(link: &Link<'_>, destination: &str, count: usize) -> Vec<Frame> {
    let mut command = client("take", link, destination);
    let frame = |line: &Value| Frame {
        headers: line["headers"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(k, v)| (k.clone(), v.as_str().unwrap().into()))
            .collect(),
        body: BASE64.decode(text(line, "body")).unwrap(),
    };
    json_lines(&feed(command.args(["--count", &count.to_string()]), b"")).iter().map(frame).collect()
}

/// How many messages wait in an ActiveMQ queue.
pub(crate) fn browse(broker: &str, destination: &str) -> usize {
    let link = Link { broker: broker.to_owned(), host: None };
    let count = feed(&mut client("browse", &link, destination), b"");
    String::from_utf8(count).unwrap().trim().parse().unwrap()
}

/// What an SSM stand-in sends.
#[derive(Debug)]
pub(crate) struct SsmSender<'a> {
    pub(crate) link: Link<'a>,
    pub(crate) destination: &'a str,
    pub(crate) signer: &'a Host,
    pub(crate) encrypt_for: Option<&'a Host>,
    pub(crate) queue: &'a Path,
    pub(crate) format: &'a str,
}

/// Sends what is in the queue as SSM does, and gives the ids it used. Its SENDs are not persistent, as SSM's are not.
pub(crate) fn send_as_ssm(sender: &SsmSender<'_>) -> Vec<String> {
    let mut command = ssm("send", &sender.link, sender.destination, sender.signer);
    command.arg("--queue").arg(sender.queue).args(["--format", sender.format]);
    if let Some(recipient) = sender.encrypt_for {
        command.arg("--encrypt-for").arg(&recipient.certificate);
    }
    String::from_utf8(feed(&mut command, b"")).unwrap().lines().map(str::to_owned).collect()
}

/// An SSM stand-in that receives.
#[derive(Debug)]
pub(crate) struct SsmReceiver {
    child: Child,
    spool: Folder,
    count: usize,
}

impl SsmReceiver {
    /// Subscribes and waits for `count` messages of the authorised signers.
    pub(crate) fn start(link: &Link<'_>, destination: &str, host: &Host, authorised: &[&str], count: usize) -> Self {
        let spool = Folder::new("ssm");
        let list = spool.write("dns", authorised.join("\n") + "\n");
        let mut command = ssm("receive", link, destination, host);
        command.arg("--spool").arg(spool.path()).arg("--authorised").arg(list);
        command.arg("--anchors").arg(pki().anchors()).args(["--count", &count.to_string()]);
        let child = Child::start("the SSM stand-in", &mut command, &spool.join("output.log"));
        eventually("the SSM stand-in to subscribe", || child.log().contains("\"queue\": null").then_some(()));
        Self { child, spool, count }
    }

    /// Waits until all have come; gives what is in incoming and in reject.
    #[track_caller]
    pub(crate) fn finish(mut self) -> (Vec<Element>, Vec<Element>) {
        assert_eq!(self.child.exit_code(), 0, "the SSM stand-in failed:\n{}", self.child.last_words());
        let incoming = take_elements(&self.spool.join("incoming"), "incoming");
        let reject = take_elements(&self.spool.join("reject"), "reject");
        assert_eq!(incoming.len() + reject.len(), self.count, "the SSM stand-in lost a message");
        (incoming, reject)
    }
}

fn ssm(action: &str, link: &Link<'_>, destination: &str, host: &Host) -> Command {
    let mut command = script("ssm.py");
    command.arg(action).args(["--destination", destination]);
    command.arg("--host").arg(&host.certificate).arg("--key-file").arg(&host.key);
    add_link(&mut command, link);
    command
}

fn client(action: &str, link: &Link<'_>, destination: &str) -> Command {
    let mut command = script("client.py");
    command.arg(action).args(["--destination", destination]);
    add_link(&mut command, link);
    command
}

fn add_link(command: &mut Command, link: &Link<'_>) {
    command.args(["--broker", &link.broker, "--patience", &patience().as_secs().to_string()]);
    if let Some(host) = link.host {
        command.arg("--certificate").arg(&host.certificate).arg("--key").arg(&host.key);
    }
}

/// A client of AMS whose script is `name`; `authority` is the file with the anchor it trusts.
pub(crate) fn ams_client(name: &str, authority: &Path) -> Command {
    ams_client_in("ams", name, authority)
}

/// The same in an environment of `tests/setup`.
fn ams_client_in(environment: &str, name: &str, authority: &Path) -> Command {
    let python = super::tools().join(environment).join("bin/python");
    assert!(python.exists(), "missing peer: {} is not there; run tests/setup", python.display());
    let mut command = script_in(&python, name);
    command.env("REQUESTS_CA_BUNDLE", authority).env("NO_PROXY", "localhost");
    command
}

/// AUDITOR's plugin for APEL as `host` publishes a sync message and a summary; gives the texts it signed.
pub(crate) fn publish_as_auditor(ams: &Ams, host: &Host) -> Vec<String> {
    let mut command = ams_client_in("auditor", "auditor.py", &pki().authority());
    let lines = json_lines(&feed(add_ams(&mut command, ams, host), b""));
    lines.iter().map(|line| line.as_str().unwrap().to_owned()).collect()
}

/// Publishes this text as ARC's accounting publisher does on `host`; gives the message's id.
pub(crate) fn publish_as_arc(ams: &Ams, host: &Host, text: &str) -> String {
    let mut command = ams_client("arc.py", &pki().authority());
    let id = feed(add_ams(&mut command, ams, host), text.as_bytes());
    String::from_utf8(id).unwrap().trim().to_owned()
}

fn add_ams<'a>(command: &'a mut Command, ams: &Ams, host: &Host) -> &'a mut Command {
    command.args(["--host", "localhost", "--project", PROJECT, "--topic", TOPIC]);
    command.args(["--api", &ams.server.address().port().to_string()]);
    command.args(["--authn", &ams.server.authentication_address().port().to_string()]);
    command.arg("--certificate").arg(&host.certificate).arg("--key").arg(&host.key)
}

fn script(name: &str) -> Command {
    script_in(&interpreter(), name)
}

fn script_in(python: &Path, name: &str) -> Command {
    let mut command = Command::new(python);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/acceptance/python");
    command.args(["-B", "-W", "ignore"]).arg(folder.join(name));
    command
}

/// The interpreter of the environment with `dirq` and `stomp.py`.
fn interpreter() -> PathBuf {
    let tools = super::tools();
    let python = tools.join("venv/bin/python");
    assert!(python.exists(), "missing peer: dirq and stomp.py are not in {}; run tests/setup", tools.display());
    python
}

fn json_lines(bytes: &[u8]) -> Vec<Value> {
    String::from_utf8_lossy(bytes).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[track_caller]
fn text(line: &Value, name: &str) -> String {
    line[name].as_str().unwrap_or_else(|| panic!("no field {name} in {line}")).to_owned()
}
