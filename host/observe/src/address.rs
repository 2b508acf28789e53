//! Where the listener listens.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// An address of the machine, or a socket in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An address and a port.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAddress {
    /// Not `ADDRESS:PORT`, with numbers.
    #[error("is not an address with a port")]
    Form,
    /// Port 0.
    #[error("has port 0")]
    NoPort,
    /// A path that does not begin with `/`, or is too long for a socket.
    #[error("does not name a socket by a whole path of at most {LONGEST_PATH} bytes")]
    Path,
}

/// The longest path that the kernel takes for a socket, in bytes.
pub(crate) const LONGEST_PATH: usize = 107;

impl Address {
    /// Reads `127.0.0.1:9464`, `[::1]:9464` or `unix:/run/sesame/observe.sock`.
    ///
    /// # Errors
    /// [`NoAddress`].
    pub fn parse(text: &str) -> Result<Self, NoAddress> {
        if let Some(path) = text.strip_prefix("unix:") {
            let fits = path.starts_with('/') && path.len() <= LONGEST_PATH && !path.ends_with('/');
            return if fits { Ok(Self::Unix(PathBuf::from(path))) } else { Err(NoAddress::Path) };
        }
        let address: SocketAddr = text.parse().map_err(|_| NoAddress::Form)?;
        if address.port() == 0 { Err(NoAddress::NoPort) } else { Ok(Self::Tcp(address)) }
    }

    /// Whether only programs on this machine can connect.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_as_it_was_read() {
        for (text, local) in [
            ("127.0.0.1:9464", true),
            ("127.5.0.1:1", true),
            ("[::1]:9464", true),
            ("[::ffff:127.0.0.1]:9464", true),
            ("unix:/run/sesame/observe.sock", true),
            ("0.0.0.0:9464", false),
            ("[::]:9464", false),
            ("192.0.2.1:9464", false),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.to_string().as_str(), address.is_local()), (text, local));
        }
    }

    #[test]
    fn names_and_half_addresses_are_refused() {
        for text in ["", "9464", ":9464", "localhost:9464", "127.0.0.1", "127.0.0.1:x", "::1:9464", "127.0.0.1:70000"] {
            assert_eq!(Address::parse(text), Err(NoAddress::Form), "{text}");
        }
        assert_eq!(Address::parse("127.0.0.1:0"), Err(NoAddress::NoPort));
        for path in ["unix:", "unix:observe.sock", "unix:/run/", &format!("unix:/{}", "a".repeat(LONGEST_PATH))] {
            assert_eq!(Address::parse(path), Err(NoAddress::Path), "{path}");
        }
    }
}
