//! The running processes of a configuration, asked over their private sockets.
//!
//! # Where
//! A process listens at `sesame.sock` in the state directory of each sender and in the spool of each receiver that it runs,
//! where only its user can connect. What has no listener there does not run, or is not of this configuration.
//!
//! # Limits
//! An answer has at most 64 MiB, and 10 s may pass without more of it; a process that is stopped in a debugger does not stop
//! the one that asks.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use observe::overview::{Broker, Overview};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::Config;
use crate::service::SOCKET;

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

/// The sockets of a configuration's channels.
#[derive(Clone, Debug)]
pub struct Sockets {
    paths: Vec<PathBuf>,
}

impl Sockets {
    /// Those of these channels; of all where none is named.
    #[must_use]
    pub fn of(config: &Config, channels: &[String]) -> Self {
        let is_wanted = |name: &String| channels.is_empty() || channels.contains(name);
        let senders = config.senders.iter().filter(|(name, _)| is_wanted(name)).map(|(_, sender)| &sender.state);
        let receivers =
            config.receivers.iter().filter(|(name, _)| is_wanted(name)).map(|(_, receiver)| &receiver.spool);
        let mut paths: Vec<PathBuf> = senders.chain(receivers).map(|directory| directory.join(SOCKET)).collect();
        paths.sort();
        paths.dedup();
        Self { paths }
    }

    /// The overview of each process that listens; at least one.
    ///
    /// # Errors
    /// [`LiveError`].
    pub fn overviews(&self) -> Result<Vec<Overview>, LiveError> {
        self.processes()?.into_iter().map(|(socket, overview)| said(&socket, overview)).collect()
    }

    /// Asks each process that listens for what is at this path; at least one answer.
    ///
    /// # Errors
    /// [`LiveError`].
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, LiveError> {
        self.connect()?.into_iter().map(|(socket, stream)| read(&socket, stream, path)).collect()
    }

    /// A connection to each process that listens; at least one.
    ///
    /// # Errors
    /// [`LiveError`].
    pub fn connect(&self) -> Result<Vec<(PathBuf, UnixStream)>, LiveError> {
        let processes = self.processes()?.into_iter();
        processes.map(|(socket, _)| open(&socket).map(|stream| (socket, stream))).collect()
    }

    /// One socket of each process that listens, and its overview; at least one.
    fn processes(&self) -> Result<Vec<(PathBuf, Value)>, LiveError> {
        let mut processes = BTreeMap::new();
        let mut refused = None;
        for path in &self.paths {
            let asked = open(path).and_then(|stream| read::<Value>(path, stream, "/api/overview"));
            match asked.and_then(|overview| Ok((said::<Process>(path, overview.clone())?, overview))) {
                // A process listens at the directories of all its channels.
                Ok((process, overview)) => drop(processes.entry(process).or_insert_with(|| (path.clone(), overview))),
                Err(LiveError::NotRunning) => {}
                Err(error) => refused = Some(error),
            }
        }
        if processes.is_empty() {
            Err(refused.unwrap_or(LiveError::NotRunning))
        } else {
            Ok(processes.into_values().collect())
        }
    }
}

/// Whether no process listens: there is no socket, or a process left it behind.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::ConnectionRefused)
}

/// Connects.
fn open(path: &Path) -> Result<UnixStream, LiveError> {
    let connected = observe::connect(path).and_then(|stream| {
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
    whole.troubles.sort_by(|one, other| (other.severity, &one.about).cmp(&(one.severity, &other.about)));
    whole.troubles.dedup();
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

    use observe::overview::{Channel, Direction, Expiry, Severity, Trouble};

    use super::*;

    fn at(paths: &[PathBuf]) -> Sockets {
        Sockets { paths: paths.to_vec() }
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
        let trouble = |severity| Trouble { severity, about: "f".to_owned(), text: "t".to_owned() };
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
