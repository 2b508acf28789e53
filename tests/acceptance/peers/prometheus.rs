//! Prometheus with the shipped configuration and rules, made quick: it scrapes and evaluates each second.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::require;
use crate::harness::{Child, Folder, eventually, ports};

/// A file of `conf/observe`.
pub(crate) fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conf/observe").join(name)
}

/// A running Prometheus.
#[derive(Debug)]
pub(crate) struct Prometheus {
    port: u16,
    _process: Child,
    _folder: Folder,
}

impl Prometheus {
    /// Scrapes what listens at these ports, by the example that is shipped, with these rules.
    pub(crate) fn scraping(targets: &[u16], rules: &str) -> Self {
        let folder = Folder::new("prometheus");
        let rules = folder.write("rules.yml", rules);
        let targets: Vec<String> = targets.iter().map(|port| format!("\"127.0.0.1:{port}\"")).collect();
        let mut configuration = std::fs::read_to_string(shipped("prometheus.yml")).unwrap();
        for (from, to) in [
            ("interval: 30s", "interval: 1s"),
            ("/usr/share/sesame/observe/sesame-alerts.yml", &rules.display().to_string()),
            ("\"127.0.0.1:9464\"", &targets.join(", ")),
        ] {
            assert!(configuration.contains(from), "{from} is not in the example");
            configuration = configuration.replace(from, to);
        }
        let configuration = folder.write("prometheus.yml", configuration);
        let port = ports::free();
        let mut command = Command::new(require("prometheus"));
        command.arg(format!("--config.file={}", configuration.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let mut process = Child::start("prometheus", &mut command, &folder.join("prometheus.log"));
        eventually("Prometheus to be ready", || {
            assert!(process.ended().is_none(), "{}", process.last_words());
            get(port, "/-/ready").map(|_| ())
        });
        Self { port, _process: process, _folder: folder }
    }

    /// What its API answers.
    fn ask(&self, path: &str) -> Option<Value> {
        let answer: Value = serde_json::from_str(&get(self.port, path)?).unwrap();
        assert_eq!(answer["status"], "success", "{answer}");
        Some(answer["data"].clone())
    }

    /// Every rule, as Prometheus read it.
    pub(crate) fn rules(&self) -> Vec<Value> {
        let data = self.ask("/api/v1/rules").unwrap();
        let groups = data["groups"].as_array().unwrap();
        groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
    }

    /// The alerts of a rule that fire.
    fn firing(&self, alert: &str) -> Vec<Value> {
        let data = self.ask("/api/v1/alerts").unwrap_or_default();
        let alerts = data["alerts"].as_array().cloned().unwrap_or_default();
        let fires = |found: &Value| found["labels"]["alertname"] == alert && found["state"] == "firing";
        alerts.into_iter().filter(fires).collect()
    }

    /// Waits until an alert with these labels fires; gives it.
    #[track_caller]
    pub(crate) fn fires(&self, alert: &str, labels: &[(&str, &str)]) -> Value {
        eventually(&format!("{alert} to fire"), || self.firing(alert).into_iter().find(|found| has(found, labels)))
    }

    /// Waits until no alert with these labels fires.
    #[track_caller]
    pub(crate) fn resolves(&self, alert: &str, labels: &[(&str, &str)]) {
        self.resolves_while(alert, labels, || {});
    }

    /// The same while something is done again and again.
    #[track_caller]
    pub(crate) fn resolves_while(&self, alert: &str, labels: &[(&str, &str)], mut act: impl FnMut()) {
        eventually(&format!("{alert} to be resolved"), || {
            act();
            self.is_quiet(alert, labels).then_some(())
        });
    }

    /// Whether no alert with these labels fires now.
    pub(crate) fn is_quiet(&self, alert: &str, labels: &[(&str, &str)]) -> bool {
        !self.firing(alert).iter().any(|found| has(found, labels))
    }
}

fn has(alert: &Value, labels: &[(&str, &str)]) -> bool {
    labels.iter().all(|(label, value)| alert["labels"][label] == **value)
}

/// The body of an answer with status 200. In HTTP 1.0, so that it comes in one piece.
fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    (head.split(' ').nth(1)? == "200").then(|| body.to_owned())
}
