//! Where AMS is, and the names of what it has: projects, topics and subscriptions.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

/// How many characters of an invalid name an error shows.
const SHOWN: usize = 80;

/// A host, by name or by IP address, and a TCP port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    host: Arc<str>,
    port: u16,
}

/// A text that is no [`Endpoint`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a host, or host:port, such as msg.argo.grnet.gr")]
pub struct InvalidEndpoint(String);

impl Endpoint {
    /// The port of the API.
    pub const API: u16 = 443;
    /// The port of the authentication service, which takes client certificates.
    pub const AUTHENTICATION: u16 = 8443;

    /// An endpoint on [`Self::API`].
    ///
    /// # Errors
    /// [`InvalidEndpoint`] where `host` is neither a host name nor an IP address, the latter without brackets.
    pub fn new(host: &str) -> Result<Self, InvalidEndpoint> {
        let name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let named = !host.is_empty() && host.bytes().all(name);
        if !named && host.parse::<IpAddr>().is_err() {
            return Err(InvalidEndpoint(host.chars().take(SHOWN).collect()));
        }
        Ok(Self { host: host.into(), port: Self::API })
    }

    /// The same host with another port, such as [`Self::AUTHENTICATION`].
    #[must_use]
    pub fn at_port(&self, port: u16) -> Self {
        Self { host: Arc::clone(&self.host), port }
    }

    /// Name or IP address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    /// Reads `host`, `host:port` and `[IPv6]:port`; without a port it is [`Endpoint::API`].
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidEndpoint(text.chars().take(SHOWN).collect());
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, rest)) => {
                let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or_else(invalid)?) };
                host.parse::<Ipv6Addr>().map_err(|_| invalid())?;
                (host, port)
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let endpoint = Self::new(host).map_err(|_| invalid())?;
        let Some(port) = port else { return Ok(endpoint) };
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|port| *port > 0 && digits).ok_or_else(invalid)?;
        Ok(endpoint.at_port(port))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A text that cannot be the name of a project, topic or subscription.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} name {name:?} is not made of letters, digits, \"-\" and \"_\"")]
pub struct InvalidName {
    /// What it should name: `project`, `topic` or `subscription`.
    pub kind: &'static str,
    /// The text, cut short.
    pub name: String,
}

fn checked(kind: &'static str, name: &str) -> Result<Arc<str>, InvalidName> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if name.is_empty() || !name.bytes().all(legal) {
        return Err(InvalidName { kind, name: name.chars().take(SHOWN).collect() });
    }
    Ok(name.into())
}

/// Defines the type of a name that AMS accepts in a URL.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text as a name.
            ///
            /// # Errors
            /// [`InvalidName`] where it is empty or has a character other than `[A-Za-z0-9_-]`, which AMS refuses.
            pub fn new(name: &str) -> Result<Self, InvalidName> {
                checked($kind, name).map(Self)
            }

            /// The name as AMS has it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// The name of a project: the namespace of topics and subscriptions (SSM's `ams_project`).
    Project, "project"
);
name!(
    /// The name of a topic, to which a sender publishes (SSM's `destination` in `sender.cfg`).
    Topic, "topic"
);
name!(
    /// The name of a subscription, from which a receiver pulls (SSM's `destination` in `receiver.cfg`).
    Subscription, "subscription"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_reads_back_what_it_shows() {
        for (text, shown) in [
            ("msg.argo.grnet.gr", "msg.argo.grnet.gr:443"),
            ("localhost:8443", "localhost:8443"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("[::1]", "[::1]:443"),
            ("[::1]:8443", "[::1]:8443"),
        ] {
            let endpoint = text.parse::<Endpoint>().unwrap();
            assert_eq!(endpoint.to_string(), shown);
            assert_eq!(shown.parse::<Endpoint>().unwrap(), endpoint);
        }
    }

    #[test]
    fn an_endpoint_is_not_a_url() {
        for bad in [
            "",
            "https://host",
            "host/v1",
            "host:",
            "host:0",
            "host:65536",
            "host:+1",
            "u@host",
            "a b",
            "::1:5",
            "[x]",
            "[::1]5",
            "host\n",
            "[127.0.0.1]:1",
        ] {
            let error = bad.parse::<Endpoint>().unwrap_err();
            assert_eq!(error.to_string(), format!("{bad:?} is not a host, or host:port, such as msg.argo.grnet.gr"));
        }
    }

    #[test]
    fn a_name_has_no_character_that_means_something_in_a_url() {
        assert_eq!(Project::new("EGI-accounting_1").unwrap().as_str(), "EGI-accounting_1");
        for bad in ["", "a/b", "a:b", "a b", "ä", "a?b", "..", "a%20b", "a\nb"] {
            assert!(Topic::new(bad).is_err() && Subscription::new(bad).is_err(), "{bad:?}");
            let said = Project::new(bad).unwrap_err().to_string();
            assert_eq!(said, format!("project name {bad:?} is not made of letters, digits, \"-\" and \"_\""));
        }
    }
}
