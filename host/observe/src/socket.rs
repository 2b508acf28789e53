//! The socket of the listener.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};

use crate::Address;
use crate::address::LONGEST_PATH;
use crate::listening::{ListeningProcess, holder};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;
/// Who may connect to a Unix socket: its owner and the group.
const MODE: u32 = 0o660;
/// Who may connect to a private socket: its owner.
const PRIVATE: u32 = 0o600;
/// How long to wait for room in the queue of connections of one who may have our path.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why nothing can listen at an address.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program listens there.
    #[error(
        "{address} is in use by {}: stop that program, or choose another address; if it is Sesame with the same \
         configuration, run its channels and these in one process, with sesame run",
        holder.as_ref().map_or("another program".to_owned(), ToString::to_string)
    )]
    InUse {
        /// The address.
        address: Address,
        /// Who listens there, as far as this user may know.
        holder: Option<ListeningProcess>,
    },
    /// What is at the path is no socket.
    #[error("{} exists and is not a socket; remove it, or choose another path", path.display())]
    NoSocket {
        /// The path.
        path: PathBuf,
    },
    /// The folder of a path is missing, or another user's.
    #[error("cannot listen on {address}: its folder must be there and writable by the user Sesame runs as")]
    NoFolder {
        /// The address.
        address: Address,
        /// The error.
        #[source]
        source: io::Error,
    },
    /// The system refuses.
    #[error("cannot listen on {address}")]
    Io {
        /// The address.
        address: Address,
        /// The error.
        #[source]
        source: io::Error,
    },
}

/// A socket that listens; connections wait until it is served.
#[derive(Debug)]
pub struct Listener {
    pub(crate) address: Address,
    pub(crate) socket: Socket,
    /// Only our own user and root are answered.
    pub(crate) private: bool,
}

#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener, OwnPath),
}

/// The path of our socket, which is removed at the end unless another has taken its place.
#[derive(Debug)]
pub(crate) struct OwnPath(SocketFile);

/// The file of a socket that listens.
#[derive(Clone, Debug)]
pub struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl SocketFile {
    /// Whether it is still at its path: someone may have deleted it, and then no one can connect any more.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.path.symlink_metadata().is_ok_and(|facts| facts.ino() == self.inode)
    }
}

impl Listener {
    /// Listens at `address`. Needs a runtime.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn bind(address: &Address) -> Result<Self, BindError> {
        let socket = match address {
            Address::Tcp(to) => tcp(*to).map(Socket::Tcp),
            Address::Unix(path) => {
                remove_stale(path, address)?;
                unix(path, MODE)
            }
        };
        let socket = socket.map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => in_use(address),
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied if matches!(address, Address::Unix(_)) => {
                BindError::NoFolder { address: address.clone(), source }
            }
            _ => BindError::Io { address: address.clone(), source },
        })?;
        Ok(Self { address: address.clone(), socket, private: false })
    }

    /// Listens at the socket `name` in `directory`, for our own user and root alone. The caller holds the directory: a
    /// socket that is there was left by a process that ended, and is replaced. Needs a runtime.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn private(directory: &Path, name: &str) -> Result<Self, BindError> {
        let path = directory.join(name);
        let address = Address::Unix(path.clone());
        let failed = |source| BindError::Io { address: address.clone(), source };
        match path.symlink_metadata() {
            Ok(facts) if !facts.file_type().is_socket() => return Err(BindError::NoSocket { path }),
            Ok(_) => std::fs::remove_file(&path).map_err(failed)?,
            Err(_) => {}
        }
        let socket = unix(&path, PRIVATE).map_err(failed)?;
        Ok(Self { address, socket, private: true })
    }

    /// The file where it listens, if it is a Unix socket.
    #[must_use]
    pub fn file(&self) -> Option<SocketFile> {
        match &self.socket {
            Socket::Tcp(_) => None,
            Socket::Unix(_, OwnPath(file)) => Some(file.clone()),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }
}

pub(crate) fn in_use(address: &Address) -> BindError {
    BindError::InUse { address: address.clone(), holder: holder(address) }
}

fn tcp(address: std::net::SocketAddr) -> io::Result<tokio::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(listener)
}

/// Removes the socket of a process that ended without removing it.
fn remove_stale(path: &Path, address: &Address) -> Result<(), BindError> {
    let Ok(facts) = path.symlink_metadata() else { return Ok(()) };
    if !facts.file_type().is_socket() {
        return Err(BindError::NoSocket { path: path.to_owned() });
    }
    match connect(path, PATIENCE) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|source| BindError::Io { address: address.clone(), source })
        }
        _ => Err(in_use(address)),
    }
}

/// A path to the same file that the kernel takes for a socket, good while the descriptor is open.
fn reachable(path: &Path) -> io::Result<(Option<std::fs::File>, PathBuf)> {
    if path.as_os_str().len() <= LONGEST_PATH {
        return Ok((None, path.to_owned()));
    }
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let directory = std::fs::File::open(directory)?;
    let short = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
    Ok((Some(directory), short))
}

/// Connects to the socket at a path, however long it is. Where the one who listens accepts no connection and as many wait
/// as may, it gives up after `patience`. No later write waits for longer, either.
///
/// # Errors
/// As of [`UnixStream::connect`]; `TimedOut`; and where the directory of a long path cannot be opened.
pub fn connect(path: &Path, patience: Duration) -> io::Result<UnixStream> {
    let (_directory, reachable) = reachable(path)?;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(patience))?;
    let address = SocketAddrUnix::new(&reachable)?;
    match rustix::io::retry_on_intr(|| rustix::net::connect(&socket, &address)) {
        Ok(()) => Ok(UnixStream::from(socket)),
        Err(Errno::AGAIN) => Err(io::Error::new(io::ErrorKind::TimedOut, "it accepts no connection")),
        Err(error) => Err(error.into()),
    }
}

fn unix(path: &Path, mode: u32) -> io::Result<Socket> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // Linux makes the file with this mode less the umask: at no time may more connect than should.
    rustix::fs::fchmod(socket.as_fd(), rustix::fs::Mode::from_raw_mode(mode))?;
    let (_directory, reachable) = reachable(path)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(&reachable)?)?;
    let own = OwnPath(SocketFile { path: path.to_owned(), inode: path.symlink_metadata()?.ino() });
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(Socket::Unix(tokio::net::UnixListener::from_std(UnixListener::from(socket))?, own))
}

impl Drop for OwnPath {
    fn drop(&mut self) {
        if self.0.is_there() {
            let _ = std::fs::remove_file(&self.0.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_is_taken_is_named() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::Tcp(taken.local_addr().unwrap());
        let error = Listener::bind(&address).unwrap_err();
        assert!(matches!(error, BindError::InUse { .. }), "{error}");
        let own = format!("{address} is in use by process {} (", std::process::id());
        assert!(error.to_string().starts_with(&own), "{error}");
    }

    #[tokio::test]
    async fn the_group_may_connect_and_a_stale_socket_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("observe.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "std leaves the socket, as a process that is killed does");
        let listener = Listener::bind(&Address::Unix(path.clone())).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, MODE);
        let again = Listener::bind(&Address::Unix(path.clone())).unwrap_err();
        assert!(matches!(again, BindError::InUse { .. }), "{again}");
        drop(listener);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_private_socket_is_for_its_user_and_replaces_what_was_left() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("x".repeat(200));
        std::fs::create_dir(&long).unwrap();
        for directory in [folder.path(), &long] {
            let path = directory.join("sesame.sock");
            let left = Listener::private(directory, "sesame.sock").unwrap();
            let listener = Listener::private(directory, "sesame.sock").unwrap();
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, PRIVATE);
            drop(left);
            connect(&path, PATIENCE).expect("that of the later one is there");
            assert!(listener.file().unwrap().is_there());
            std::fs::remove_file(&path).unwrap();
            assert!(!listener.file().unwrap().is_there());
            let after = Listener::private(directory, "sesame.sock").unwrap();
            assert!(after.file().unwrap().is_there() && !listener.file().unwrap().is_there());
            drop(listener);
            assert!(after.file().unwrap().is_there());
            drop(after);
            assert!(!path.exists());
        }
        std::fs::write(folder.path().join("sesame.sock"), "x").unwrap();
        let error = Listener::private(folder.path(), "sesame.sock").unwrap_err();
        assert!(matches!(error, BindError::NoSocket { .. }), "{error}");
        let error = Listener::private(&folder.path().join("none"), "sesame.sock").unwrap_err();
        assert!(matches!(error, BindError::Io { .. }), "{error}");
    }

    #[test]
    fn a_listener_that_accepts_nothing_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("full.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        let mut waiting = Vec::new();
        let error = loop {
            match connect(&path, Duration::from_millis(50)) {
                Ok(stream) => waiting.push(stream),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "after {} connections", waiting.len());
    }

    #[tokio::test]
    async fn a_file_of_another_is_never_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "x").unwrap();
        let error = Listener::bind(&Address::Unix(path.clone())).unwrap_err();
        assert!(matches!(error, BindError::NoSocket { .. }), "{error}");
        let missing = folder.path().join("none/observe.sock");
        let error = Listener::bind(&Address::Unix(missing)).unwrap_err();
        assert!(error.to_string().contains("its folder must be there"), "{error}");
        assert!(path.exists());
    }
}
