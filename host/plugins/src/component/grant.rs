//! What a component gets for each name that it imports: the interfaces of WASI that `instance/wasi` answers, and what
//! `plugin inspect` shows for each.

use crate::component::contract::CONTRACT;

/// What a component gets for an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// An interface of the contract.
    Contract,
    /// Needed by the standard library of a language; what the guest gets.
    Linked(&'static str),
    /// A stand-in, which a sidecar can refuse; what it returns.
    StandIn(&'static str),
    /// Not available: the component is refused.
    Refused,
}

/// The names, without version, in the order of WASI's own; all are of version 0.2.
const INTERFACES: [(&str, Grant); 29] = [
    ("wasi:io/error", Grant::Linked("")),
    ("wasi:io/poll", Grant::Linked("waiting takes no time")),
    ("wasi:io/streams", Grant::Linked("")),
    ("wasi:cli/environment", Grant::Linked("empty")),
    ("wasi:cli/exit", Grant::Linked("ends the call")),
    ("wasi:cli/stdin", Grant::Linked("empty")),
    ("wasi:cli/stdout", Grant::Linked("to the plugin's log")),
    ("wasi:cli/stderr", Grant::Linked("to the plugin's log")),
    ("wasi:cli/terminal-input", Grant::Linked("no terminal")),
    ("wasi:cli/terminal-output", Grant::Linked("no terminal")),
    ("wasi:cli/terminal-stdin", Grant::Linked("no terminal")),
    ("wasi:cli/terminal-stdout", Grant::Linked("no terminal")),
    ("wasi:cli/terminal-stderr", Grant::Linked("no terminal")),
    ("wasi:clocks/wall-clock", Grant::StandIn("fixed at the message's received-at")),
    ("wasi:clocks/monotonic-clock", Grant::StandIn("advances 1 ms a call; timers end at once")),
    ("wasi:random/random", Grant::StandIn("from message id and component, the same in each attempt")),
    ("wasi:random/insecure", Grant::StandIn("from message id and component, the same in each attempt")),
    ("wasi:random/insecure-seed", Grant::StandIn("from message id and component, the same in each attempt")),
    ("wasi:filesystem/types", Grant::StandIn("an empty directory, read-only")),
    ("wasi:filesystem/preopens", Grant::StandIn("/, an empty directory, read-only")),
    ("wasi:sockets/network", Grant::StandIn("no network")),
    ("wasi:sockets/instance-network", Grant::StandIn("no network")),
    ("wasi:sockets/ip-name-lookup", Grant::StandIn("refuses with access-denied")),
    ("wasi:sockets/tcp", Grant::StandIn("no network")),
    ("wasi:sockets/tcp-create-socket", Grant::StandIn("refuses with access-denied")),
    ("wasi:sockets/udp", Grant::StandIn("no network")),
    ("wasi:sockets/udp-create-socket", Grant::StandIn("refuses with access-denied")),
    ("wasi:http/types", Grant::StandIn("requests that are not sent")),
    ("wasi:http/outgoing-handler", Grant::StandIn("refuses with HTTP-request-denied")),
];

/// What the import `name` gets, by its name alone: `contract` checks whether the contract has it.
pub(crate) fn grant_of(name: &str) -> Grant {
    let (interface, version) = name.split_once('@').unwrap_or((name, ""));
    if let Some(interface) = interface.strip_prefix(CONTRACT) {
        let exported = matches!(interface, "lifecycle" | "validator" | "transformer" | "router");
        return if exported { Grant::Refused } else { Grant::Contract };
    }
    // A draft of 0.2 is a different interface with the same name.
    let served = version.strip_prefix("0.2.").is_some_and(|patch| patch.bytes().all(|b| b.is_ascii_digit()));
    let known = INTERFACES.iter().find(|(known, _)| *known == interface && served);
    known.map_or(Grant::Refused, |(_, grant)| *grant)
}

impl Grant {
    /// As `plugin inspect` shows it.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::Contract => "granted".to_owned(),
            Self::Linked("") => "linked".to_owned(),
            Self::Linked(what) => format!("linked ({what})"),
            Self::StandIn(answers) => format!("stand-in: {answers}"),
            Self::Refused => "NOT granted".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_interface_of_the_world_is_listed_for_plugin_inspect() {
        let wit = include_str!("../../../../wit/wasi/0.2.12.wit");
        let world = wit.split_once("world stand-ins {").unwrap().1;
        let linked: Vec<&str> = world.lines().filter_map(|line| line.trim().strip_prefix("import ")).collect();
        let linked: Vec<&str> = linked.iter().map(|name| name.trim_end_matches("@0.2.12;")).collect();
        for (name, _) in INTERFACES {
            assert!(linked.contains(&name), "{name} is not linked");
            assert_ne!(grant_of(&format!("{name}@0.2.0")), Grant::Refused, "{name}");
            assert_eq!(grant_of(&format!("{name}@0.3.0")), Grant::Refused, "{name}");
        }
        assert_eq!(linked.len(), INTERFACES.len());
    }
}
