//! The running processes of a configuration, asked over their private sockets.
//!
//! # Where
//! A process listens at `sesame.sock` in the state directory of each sender and in the spool of each receiver that it runs,
//! where only its user can connect. What has no listener there does not run, or is not of this configuration.
//!
//! # Limits
//! An answer has at most 64 MiB, and 10 s may pass without more of it; a process that is stopped in a debugger does not stop
//! the one that asks. Once one does not answer, the other sockets are asked at the same time.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use observe::overview::{Broker, Direction, Overview, Severity, Trouble};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::Config;
use crate::service::SOCKET;
use message::cause;

/// The longest wait for an answer, or for more of it.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest answer.
const LARGEST: u64 = 64 << 20;

/// Why no process answers.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// No process listens.
    #[error("no Sesame runs with this configuration: start it, for instance with `systemctl start sesame`")]
    NotRunning,
    /// The socket is another user's.
    #[error(
        "cannot ask the running Sesame at {0:?}: run this command as the user of Sesame (`sudo -u sesame`), or as root"
    )]
    NotPermitted(PathBuf, #[source] io::Error),
    /// It listens, and there is no answer.
    #[error("the running Sesame at {0:?} does not answer; its log may say why")]
    Failed(PathBuf, #[source] io::Error),
    /// It answers something else.
    #[error("the running Sesame at {path:?} answers {answer:?}: is it of another version?")]
    Unexpected {
        /// Its socket.
        path: PathBuf,
        /// The status, or the mistake in the answer.
        answer: String,
    },
}

/// Which process answers. The kernel is not asked: it gives no id of a process in another namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Process {
    process: u32,
    started: u64,
}

/// The channels that a process runs.
#[derive(Debug, Deserialize)]
struct Running {
    #[serde(default)]
    channels: Vec<Named>,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
    direction: Direction,
}

/// The sockets of a configuration's channels.
#[derive(Clone, Debug)]
pub struct Sockets {
    channels: Vec<ChannelSocket>,
}

#[derive(Clone, Debug)]
struct ChannelSocket {
    name: String,
    direction: Direction,
    path: PathBuf,
}

/// A channel of the configuration that no process is known to run.
#[derive(Debug)]
pub struct Missing {
    name: String,
    direction: Direction,
    /// Why: no process listens, or it does not answer.
    pub why: LiveError,
}

impl Missing {
    /// The channel's section.
    #[must_use]
    pub fn section(&self) -> String {
        self.direction.section(&self.name)
    }

    /// What is wrong then. That no process runs a sender is well where cron sends its queue, unless it is among those that
    /// the command `named`.
    #[must_use]
    pub fn trouble(&self, named: &[String]) -> Trouble {
        let section = self.section();
        let is_named = named.iter().any(|name| *name == self.name || *name == section);
        let (severity, text) = match &self.why {
            LiveError::NotRunning if self.direction == Direction::Send && !is_named => (
                Severity::Warning,
                "no process runs it, so `sesame send` must send its queue, from cron for instance; name the channels that are \
                 to run, as in `sesame status CHANNEL`"
                    .to_owned(),
            ),
            LiveError::NotRunning => (
                Severity::Critical,
                "does not run: start it, for instance with `systemctl start sesame`, or remove its section".to_owned(),
            ),
            error => (Severity::Critical, cause::chain(error)),
        };
        Trouble { severity, channel: Some(section.clone()), about: section, text }
    }
}

/// What there is of each process that answers, with its socket, and the channels that none of them runs.
pub type Answers<T> = (Vec<(PathBuf, T)>, Vec<Missing>);

/// What was found at the sockets.
#[derive(Debug, Default)]
struct Found {
    /// One socket of each process that listens, and its overview.
    processes: BTreeMap<Process, (PathBuf, Value)>,
    running: BTreeSet<String>,
    missing: Vec<Missing>,
}

impl Found {
    fn has(&self, socket: &ChannelSocket) -> bool {
        self.running.contains(&socket.direction.section(&socket.name))
    }

    fn add(&mut self, socket: &ChannelSocket, answer: Result<Value, LiveError>) {
        let ChannelSocket { name, direction, path } = socket;
        let read = answer.and_then(|answer| {
            Ok((said::<Process>(path, answer.clone())?, said::<Running>(path, answer.clone())?, answer))
        });
        match read {
            Ok((process, Running { channels }, answer)) => {
                if channels.is_empty() {
                    // It is being started.
                    self.running.insert(direction.section(name));
                }
                self.running.extend(channels.iter().map(|one| one.direction.section(&one.name)));
                self.processes.entry(process).or_insert_with(|| (path.clone(), answer));
                if !self.has(socket) {
                    self.missing.push(Missing {
                        name: name.clone(),
                        direction: *direction,
                        why: LiveError::NotRunning,
                    });
                }
            }
            Err(why) => self.missing.push(Missing { name: name.clone(), direction: *direction, why }),
        }
    }

    /// Asks several sockets at the same time.
    fn add_together(&mut self, sockets: &[ChannelSocket]) {
        let left: Vec<&ChannelSocket> = sockets.iter().filter(|socket| !self.has(socket)).collect();
        std::thread::scope(|scope| {
            let asked: Vec<_> = left.into_iter().map(|one| (one, scope.spawn(move || ask(&one.path)))).collect();
            for (socket, thread) in asked {
                if let Ok(answer) = thread.join() {
                    self.add(socket, answer);
                }
            }
        });
    }
}

impl Sockets {
    /// Those of these channels; of all where none is named.
    #[must_use]
    pub fn of(config: &Config, channels: &[String]) -> Self {
        let one = |direction, name: &String, directory: &Path| ChannelSocket {
            name: name.clone(),
            direction,
            path: directory.join(SOCKET),
        };
        let senders = config.senders.iter().map(|(name, sender)| one(Direction::Send, name, &sender.state));
        let receivers = config.receivers.iter().map(|(name, receiver)| one(Direction::Receive, name, &receiver.spool));
        let is_wanted = |one: &ChannelSocket| channels.is_empty() || channels.contains(&one.name);
        Self { channels: senders.chain(receivers).filter(is_wanted).collect() }
    }

    /// The overview of each process that answers, at least one, and the channels that none of them runs.
    ///
    /// # Errors
    /// [`LiveError`].
    pub fn overviews(&self) -> Result<(Vec<Overview>, Vec<Missing>), LiveError> {
        let (processes, missing) = self.processes()?;
        let overviews: Result<_, _> = processes.into_iter().map(|(socket, overview)| said(&socket, overview)).collect();
        Ok((overviews?, missing))
    }

    /// Asks each process that answers for what is at this path; at least one answer.
    ///
    /// # Errors
    /// [`LiveError`].
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, LiveError> {
        self.connect()?.0.into_iter().map(|(socket, stream)| read(&socket, stream, path)).collect()
    }

    /// A connection to each process that answers, at least one, and the channels that none of them runs.
    ///
    /// # Errors
    /// [`LiveError`].
    pub fn connect(&self) -> Result<Answers<UnixStream>, LiveError> {
        let (processes, missing) = self.processes()?;
        let connections: Result<_, _> =
            processes.into_iter().map(|(socket, _)| open(&socket).map(|stream| (socket, stream))).collect();
        Ok((connections?, missing))
    }

    /// One socket of each process that answers, and its overview; at least one. A process is asked once, however many
    /// channels it runs: it listens in the directories of all of them.
    fn processes(&self) -> Result<Answers<Value>, LiveError> {
        let mut found = Found::default();
        let mut left = self.channels.as_slice();
        while let [socket, rest @ ..] = left {
            left = rest;
            if found.has(socket) {
                continue;
            }
            let answer = ask(&socket.path);
            let hangs = matches!(answer, Err(LiveError::Failed(..)));
            found.add(socket, answer);
            if hangs {
                // It may have the others, too.
                found.add_together(std::mem::take(&mut left));
            }
        }
        let Found { processes, mut missing, running } = found;
        // Where a directory has changed, its channel may still run in the one before.
        missing.retain(|one| !running.contains(&one.section()));
        if !processes.is_empty() {
            return Ok((processes.into_values().collect(), missing));
        }
        let why = missing.into_iter().map(|one| one.why);
        Err(why
            .reduce(|one, other| if matches!(one, LiveError::NotRunning) { other } else { one })
            .unwrap_or(LiveError::NotRunning))
    }
}

/// The overview of the process that listens at a socket.
fn ask(path: &Path) -> Result<Value, LiveError> {
    open(path).and_then(|stream| read(path, stream, "/api/overview"))
}

/// Whether no process listens: there is no socket, or a process left it behind.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::ConnectionRefused)
}

/// Connects.
fn open(path: &Path) -> Result<UnixStream, LiveError> {
    let connected = observe::connect(path, PATIENCE).and_then(|stream| {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    });
    connected.map_err(|error| match error.kind() {
        _ if is_absent(&error) => LiveError::NotRunning,
        ErrorKind::PermissionDenied => LiveError::NotPermitted(path.to_owned(), error),
        _ => LiveError::Failed(path.to_owned(), error),
    })
}

/// Asks for what is at a path.
fn read<T: DeserializeOwned>(socket: &Path, mut stream: UnixStream, path: &str) -> Result<T, LiveError> {
    let failed = |error| LiveError::Failed(socket.to_owned(), error);
    // In HTTP/1.0 an answer has no chunks and ends with the connection.
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut answer = Vec::new();
    stream.take(LARGEST).read_to_end(&mut answer).map_err(failed)?;
    let unexpected = |answer: &str| LiveError::Unexpected { path: socket.to_owned(), answer: answer.to_owned() };
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(|| unexpected("nothing"))?;
    let (head, body) = answer.split_at(end);
    let status = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    if status.split(|byte| *byte == b' ').nth(1) != Some(b"200") {
        return Err(unexpected(&String::from_utf8_lossy(status)));
    }
    serde_json::from_slice(body).map_err(|error| unexpected(&error.to_string()))
}

/// An answer that was read, as what it is to be.
fn said<T: DeserializeOwned>(socket: &Path, answer: Value) -> Result<T, LiveError> {
    serde_json::from_value(answer)
        .map_err(|error| LiveError::Unexpected { path: socket.to_owned(), answer: error.to_string() })
}

/// What several processes say, as one.
#[must_use]
pub fn merged(all: Vec<Overview>) -> Overview {
    let mut all = all.into_iter();
    let mut whole = all.next().unwrap_or_default();
    for other in all {
        whole.started = whole.started.min(other.started);
        whole.at = whole.at.max(other.at);
        whole.looked_at = whole.looked_at.min(other.looked_at);
        whole.troubles.extend(other.troubles);
        whole.channels.extend(other.channels);
        for broker in other.brokers {
            match whole.brokers.iter_mut().find(|known| known.name == broker.name) {
                Some(known) => add(known, &broker),
                None => whole.brokers.push(broker),
            }
        }
        whole.expiries.extend(other.expiries);
        whole.files.extend(other.files);
        whole.places.extend(other.places);
    }
    sort(&mut whole.troubles);
    whole.channels.sort_by(|one, other| (one.direction as u8, &one.name).cmp(&(other.direction as u8, &other.name)));
    whole.brokers.sort_by(|one, other| one.name.cmp(&other.name));
    whole
        .expiries
        .sort_by(|one, other| (one.ends, &one.file, &one.purpose).cmp(&(other.ends, &other.file, &other.purpose)));
    whole.expiries.dedup();
    whole.files.sort_by(|one, other| (&one.purpose, &one.file).cmp(&(&other.purpose, &other.file)));
    whole.files.dedup();
    whole.places.sort_by(|one, other| one.directory.cmp(&other.directory));
    whole.places.dedup_by(|one, other| one.directory == other.directory);
    whole
}

/// The worst first, each once.
pub(crate) fn sort(troubles: &mut Vec<Trouble>) {
    troubles.sort_by(|one, other| (other.severity, &one.about).cmp(&(one.severity, &other.about)));
    troubles.dedup();
}

fn add(known: &mut Broker, other: &Broker) {
    known.sessions += other.sessions;
    known.connecting += other.connecting;
    known.opened += other.opened;
    known.failed += other.failed;
    known.lost += other.lost;
    known.silent += other.silent;
    known.blocked += other.blocked;
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use observe::overview::{Channel, Expiry};

    use super::*;

    fn at(paths: &[PathBuf]) -> Sockets {
        let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        let socket =
            |path: &PathBuf| ChannelSocket { name: name(path), direction: Direction::Receive, path: path.clone() };
        Sockets { channels: paths.iter().map(socket).collect() }
    }

    /// Listens at a path and answers every request so.
    fn answering(path: &Path, answer: &'static str) {
        let listener = UnixListener::bind(path).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0; 1000];
                let read = stream.read(&mut request).unwrap();
                if request[..read].starts_with(b"GET /api/overview HTTP/1.0\r\nHost: localhost\r\n") {
                    stream.write_all(answer.as_bytes()).unwrap();
                }
            }
        });
    }

    #[test]
    fn one_process_is_asked_once_however_many_sockets_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["a", "b", "c"].map(|name| folder.path().join(name));
        let (seven, eight) = (Process { process: 7, started: 1 }, Process { process: 7, started: 2 });
        answering(&paths[0], "HTTP/1.0 200 OK\r\nx: y\r\n\r\n{\"process\": 7, \"started\": 1}");
        answering(&paths[1], "HTTP/1.0 200 OK\r\n\r\n{\"process\": 7, \"started\": 1, \"more\": 0}");
        answering(&paths[2], "HTTP/1.0 200 OK\r\n\r\n{\"process\": 7, \"started\": 2}");
        assert_eq!(at(&paths).get::<Process>("/api/overview").unwrap(), [seven, eight]);
    }

    #[test]
    fn channels_that_no_process_runs_or_that_do_not_answer_are_missing() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["a", "b", "c", "d"].map(|name| folder.path().join(name));
        let own = r#"{"process": 7, "started": 1, "channels": [{"name": "a", "direction": "receive"}, {"name": "b",
            "direction": "receive"}]}"#;
        answering(&paths[0], Box::leak(format!("HTTP/1.0 200 OK\r\n\r\n{own}").into_boxed_str()));
        // At `b` no one listens; the process of `a` has it, from before its directory was changed.
        answering(&paths[2], "");
        let (processes, missing) = at(&paths).processes().unwrap();
        assert_eq!(processes.len(), 1);
        let missing: Vec<_> = missing.iter().map(|one| (one.section(), one.trouble(&[]).text)).collect();
        let sections: Vec<_> = missing.iter().map(|(section, _)| section.as_str()).collect();
        assert_eq!(sections, ["receive.c", "receive.d"]);
        assert!(
            missing[0].1.contains("answers \"nothing\"") && missing[1].1.starts_with("does not run: "),
            "{missing:?}"
        );
    }

    #[test]
    fn a_process_that_hangs_does_not_hide_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["a", "b", "c"].map(|name| folder.path().join(name));
        let failed = |path: &Path| Err(LiveError::Failed(path.to_owned(), ErrorKind::WouldBlock.into()));
        answering(&paths[1], "HTTP/1.0 200 OK\r\n\r\n{\"process\": 7, \"started\": 1}");
        let sockets = at(&paths);
        let mut found = Found::default();
        found.add(&sockets.channels[0], failed(&paths[0]));
        found.add_together(&sockets.channels[1..]);
        assert_eq!(found.processes.len(), 1);
        let missing: Vec<_> = found.missing.iter().map(|one| one.trouble(&[])).collect();
        let about: Vec<_> = missing.iter().map(|trouble| (&*trouble.about, trouble.severity)).collect();
        assert_eq!(about, [("receive.a", Severity::Critical), ("receive.c", Severity::Critical)]);
        assert!(missing[0].text.contains("does not answer"), "{missing:?}");
    }

    #[test]
    fn a_sender_that_does_not_run_may_be_one_of_cron_unless_it_is_named() {
        let missing = |direction, why| Missing { name: "cpu".to_owned(), direction, why };
        let severity = |one: &Missing, named: &[&str]| {
            one.trouble(&named.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).severity
        };
        let sender = missing(Direction::Send, LiveError::NotRunning);
        assert_eq!(severity(&sender, &[]), Severity::Warning);
        assert_eq!(severity(&sender, &["gpu"]), Severity::Warning);
        assert_eq!([severity(&sender, &["cpu"]), severity(&sender, &["send.cpu"])], [Severity::Critical; 2]);
        assert_eq!(severity(&missing(Direction::Receive, LiveError::NotRunning), &[]), Severity::Critical);
        let hung = LiveError::Failed("/s".into(), ErrorKind::TimedOut.into());
        assert_eq!(severity(&missing(Direction::Send, hung), &[]), Severity::Critical);
    }

    #[test]
    fn why_no_process_answers() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let error = |name: &str| at(&[path("none"), path(name)]).get::<Process>("/api/overview").unwrap_err();
        assert!(matches!(error("none"), LiveError::NotRunning));
        drop(UnixListener::bind(path("left")).unwrap());
        assert!(matches!(error("left"), LiveError::NotRunning));
        answering(&path("busy"), "HTTP/1.0 503 Service Unavailable\r\n\r\n");
        assert!(error("busy").to_string().contains("answers \"HTTP/1.0 503 Service Unavailable\""));
        answering(&path("old"), "HTTP/1.0 200 OK\r\n\r\n{}");
        assert!(error("old").to_string().contains("is it of another version?"));
        answering(&path("gone"), "");
        assert!(error("gone").to_string().contains("answers \"nothing\""));
    }

    #[test]
    fn a_path_that_is_too_long_for_a_socket_is_reached_through_its_directory() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("x".repeat(150));
        std::fs::create_dir(&long).unwrap();
        let short = folder.path().join("short");
        answering(&short, "HTTP/1.0 200 OK\r\n\r\n{\"process\": 7, \"started\": 1}");
        std::fs::rename(short, long.join(SOCKET)).unwrap();
        assert_eq!(at(&[long.join(SOCKET)]).get::<Process>("/api/overview").unwrap()[0].process, 7);
    }

    #[test]
    fn several_processes_are_one_overview() {
        let channel = |name: &str, direction| Channel { name: name.to_owned(), direction, ..Channel::default() };
        let broker = |sessions| Broker { name: "egi".to_owned(), sessions, ..Broker::default() };
        let trouble = |severity| Trouble { severity, channel: None, about: "f".to_owned(), text: "t".to_owned() };
        let one = Overview {
            started: 5,
            at: 10,
            looked_at: Some(9),
            channels: vec![channel("central", Direction::Receive)],
            brokers: vec![broker(1)],
            troubles: vec![trouble(Severity::Warning)],
            expiries: vec![Expiry { file: "f".to_owned(), ..Expiry::default() }],
            ..Overview::default()
        };
        let mut other = Overview { started: 3, at: 11, looked_at: None, ..one.clone() };
        other.channels = vec![channel("cpu", Direction::Send)];
        other.troubles.insert(0, trouble(Severity::Critical));
        let whole = merged(vec![one, other]);
        assert_eq!((whole.started, whole.at, whole.looked_at), (3, 11, None));
        let names: Vec<&str> = whole.channels.iter().map(|channel| channel.name.as_str()).collect();
        assert_eq!(names, ["cpu", "central"]);
        assert_eq!((whole.brokers.len(), whole.brokers[0].sessions), (1, 2));
        assert_eq!((whole.troubles.len(), whole.troubles[0].severity), (2, Severity::Critical));
        assert_eq!(whole.expiries.len(), 1);
    }
}
