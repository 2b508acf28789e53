//! Broker addresses: `host:port`.

use std::fmt;
use std::str::FromStr;

/// Host and port of a broker. The host is a name or an IP address; IPv6 addresses are written in brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// Name or IP address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// The text is not `host:port`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a broker address such as mq.example.org:61614")]
pub struct InvalidAddress(String);

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidAddress(text.chars().take(80).collect());
        let (host, port) = text.rsplit_once(':').ok_or_else(invalid)?;
        let bare = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').filter(|inner| inner.contains(':')).ok_or_else(invalid)?,
            None => host,
        };
        let name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let legal = if bare.len() == host.len() {
            !bare.is_empty() && bare.bytes().all(name)
        } else {
            bare.parse::<std::net::Ipv6Addr>().is_ok()
        };
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|port| *port > 0 && digits && legal).ok_or_else(invalid)?;
        Ok(Self { host: bare.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_its_own_display() {
        for text in ["mq.example.org:61614", "127.0.0.1:1", "[::1]:61613"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!("[::1]:61613".parse::<Address>().unwrap().host, "::1");
    }

    #[test]
    fn refuses_invalid_addresses() {
        for bad in
            ["", "host", "host:", ":1", "host:0", "host:65536", "host:+1", "a b:1", "[x]:1", "::1:5", "[::1:5", "u@h:1"]
        {
            assert!(bad.parse::<Address>().is_err(), "{bad:?}");
        }
    }
}
