//! Whether something could listen at an address, seen without listening there.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Access, AtFlags, CWD};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::socket::{connect, in_use};
use crate::{Address, BindError};

/// How long the one who listens may take to answer.
const ANSWER: Duration = Duration::from_secs(2);
/// How much of an answer is read; the first metric is at its head.
const MOST: u64 = 8192;
/// The first metric of a Sesame.
const OURS: &str = "sesame_build_info";

/// Who is at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occupant {
    /// No one.
    NoOne,
    /// A Sesame shows its metrics there.
    Sesame,
}

/// Who listens at `address`, if anyone does. Makes no file and holds no port: a program that starts meanwhile gets it.
///
/// # Errors
/// [`BindError`], as where one would listen now; a Sesame that listens is none.
pub fn occupant(address: &Address) -> Result<Occupant, BindError> {
    match address {
        Address::Tcp(to) => match bound(*to) {
            Ok(()) => Ok(Occupant::NoOne),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                let answer = TcpStream::connect_timeout(to, ANSWER).and_then(|stream| {
                    stream.set_read_timeout(Some(ANSWER))?;
                    stream.set_write_timeout(Some(ANSWER))?;
                    ask(stream)
                });
                if answer.is_ok_and(|ours| ours) { Ok(Occupant::Sesame) } else { Err(in_use(address)) }
            }
            Err(source) => Err(BindError::Io { address: address.clone(), source }),
        },
        Address::Unix(path) => at_path(path, address),
    }
}

/// Binds and does not listen.
fn bound(address: SocketAddr) -> io::Result<()> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // As a listener does; only one that listens is in the way.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    Ok(rustix::net::bind(&socket, &address)?)
}

fn at_path(path: &Path, address: &Address) -> Result<Occupant, BindError> {
    if let Ok(facts) = path.symlink_metadata() {
        if !facts.file_type().is_socket() {
            return Err(BindError::NoSocket { path: path.to_owned() });
        }
        match connect(path, ANSWER) {
            // It is left of a process that ended, and is replaced.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            // It accepts no connection, so that no one can say who it is.
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(in_use(address)),
            Ok(stream) => {
                let timed = stream.set_read_timeout(Some(ANSWER)).and_then(|()| stream.set_write_timeout(Some(ANSWER)));
                let ours = timed.and_then(|()| ask(stream)).is_ok_and(|ours| ours);
                return if ours { Ok(Occupant::Sesame) } else { Err(in_use(address)) };
            }
            Err(source) => return Err(BindError::Io { address: address.clone(), source }),
        }
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    let free = rustix::fs::accessat(CWD, folder, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS);
    match free {
        Ok(()) => Ok(Occupant::NoOne),
        Err(error) => Err(BindError::NoFolder { address: address.clone(), source: error.into() }),
    }
}

/// Whether the one at the other end is a Sesame.
fn ask(mut stream: impl Read + Write) -> io::Result<bool> {
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut limited = stream.take(MOST);
    let mut piece = [0; 1024];
    while let length @ 1.. = limited.read(&mut piece)? {
        answer.extend_from_slice(piece.get(..length).unwrap_or_default());
        if String::from_utf8_lossy(&answer).contains(OURS) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn answering(mut stream: impl Read + Write, body: &str) {
        let mut request = [0; 512];
        let _ = stream.read(&mut request);
        let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    }

    #[test]
    fn a_port_is_free_or_held_by_a_sesame_or_by_another() {
        for (body, expected) in [("# TYPE sesame_build_info gauge\n", true), ("hello\n", false)] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = Address::Tcp(listener.local_addr().unwrap());
            let serving = std::thread::spawn(move || answering(listener.accept().unwrap().0, body));
            match occupant(&address) {
                Ok(found) => assert!(expected && found == Occupant::Sesame),
                Err(error) => assert!(!expected && matches!(error, BindError::InUse { .. }), "{error}"),
            }
            serving.join().unwrap();
            assert_eq!(occupant(&address).unwrap(), Occupant::NoOne);
        }
        let absent = Address::Tcp("192.0.2.1:9464".parse().unwrap());
        assert!(matches!(occupant(&absent).unwrap_err(), BindError::Io { .. }));
    }

    #[test]
    fn a_path_is_looked_at_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("observe.sock");
        let address = Address::Unix(path.clone());
        assert_eq!(occupant(&address).unwrap(), Occupant::NoOne);
        let listener = UnixListener::bind(&path).unwrap();
        let serving = std::thread::spawn(move || {
            answering(listener.accept().unwrap().0, OURS);
            listener
        });
        assert_eq!(occupant(&address).unwrap(), Occupant::Sesame);
        drop(serving.join().unwrap());
        assert_eq!(occupant(&address).unwrap(), Occupant::NoOne, "it is stale");
        assert!(path.exists());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "x").unwrap();
        assert!(matches!(occupant(&address).unwrap_err(), BindError::NoSocket { .. }));
        let nowhere = Address::Unix(folder.path().join("none/observe.sock"));
        assert!(matches!(occupant(&nowhere).unwrap_err(), BindError::NoFolder { .. }));
    }
}
