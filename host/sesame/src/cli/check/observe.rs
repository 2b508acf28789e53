//! `[observe]`: whether metrics can be shown where the configuration says, and who can read them.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::Found;
use crate::channel::LOCK;
use crate::config::Config;
use message::cause::chain;
use observe::{Address, BindError, Occupant, occupant};
use spool::{SpoolError, SpoolLock};

const SUBJECT: &str = "observe";
/// Folders that systemd makes for a unit, as long as it runs.
const MADE_BY_SYSTEMD: &str = "/run";

/// Where metrics are to be shown, if anywhere.
pub(super) fn listener(config: &Config) -> Vec<Found> {
    let Some(address) = &config.observe.listen else { return Vec::new() };
    let found = match occupant(address) {
        Ok(Occupant::NoOne) if runs(config) => {
            let text = format!(
                "nothing listens on {address}, though a Sesame runs: `systemctl reload sesame` makes it read [observe]; its \
                 log says why it does not listen"
            );
            Found::warning(SUBJECT, text)
        }
        Ok(Occupant::NoOne) => Found::ok(SUBJECT, format!("metrics and health will be shown on {address}")),
        Ok(Occupant::Sesame) if runs(config) => {
            Found::ok(SUBJECT, format!("metrics and health are shown on {address}"))
        }
        Ok(Occupant::Sesame) => {
            let text = format!(
                "{address} is in use by a Sesame with other queues: choose another address in [observe], or stop that Sesame"
            );
            Found::error(SUBJECT, text)
        }
        Err(BindError::NoFolder { .. }) if made_at_start(address, config) => {
            let text = format!(
                "the folder of {address} is not there: the unit of systemd makes /run/sesame when it starts; where Sesame is \
                 started otherwise, make it"
            );
            Found::warning(SUBJECT, text)
        }
        Err(error) => Found::error(SUBJECT, chain(&error)),
    };
    let readers = match address {
        Address::Unix(path) => readers(address, path),
        Address::Tcp(_) if address.is_local() => None,
        Address::Tcp(_) => {
            let text = format!(
                "anyone who can connect to {address} reads the metrics, without a password: let a firewall choose"
            );
            Some(Found::warning(SUBJECT, text))
        }
    };
    [Some(found), readers].into_iter().flatten().collect()
}

/// Whether a folder is missing that systemd may make.
fn made_at_start(address: &Address, config: &Config) -> bool {
    let Address::Unix(path) = address else { return false };
    path.starts_with(MADE_BY_SYSTEMD) && path.parent().is_some_and(|folder| !folder.exists()) && !runs(config)
}

/// Whether a process holds a queue of this configuration.
fn runs(config: &Config) -> bool {
    let states = config.senders.values().map(|sender| &sender.state);
    let mut places = states.chain(config.receivers.values().map(|receiver| &receiver.spool));
    places.any(|place| {
        let lock = place.join(LOCK);
        lock.exists() && matches!(SpoolLock::acquire(&lock), Err(SpoolError::AlreadyHeld { .. }))
    })
}

/// Who may connect to a socket: its owner, and the group where it can reach the folder.
fn readers(address: &Address, path: &Path) -> Option<Found> {
    let folder = path.parent()?;
    let facts = folder.metadata().ok()?;
    let mode = facts.mode();
    // A folder may pass on its group.
    let made = if mode & 0o2000 == 0 { rustix::process::getegid().as_raw() } else { facts.gid() };
    let group = path.symlink_metadata().map_or(made, |socket| socket.gid());
    let reached = if facts.gid() == group { mode & 0o010 != 0 } else { mode & 0o001 != 0 };
    let shown = folder.display();
    if reached {
        let text = format!("the user Sesame runs as and the members of the {} may connect to {address}", named(group));
        return Some(Found::ok(SUBJECT, text));
    }
    let text = format!(
        "only the user Sesame runs as can connect to {address}: the {} cannot enter {shown}; if it should, let it \
         (`chgrp {group} {shown}; chmod g+x {shown}`)",
        named(group)
    );
    Some(Found::warning(SUBJECT, text))
}

/// A group with its name where the machine knows one.
fn named(group: u32) -> String {
    let list = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let name = list.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(group)).then(|| message::text::one_line(name, 64))
    });
    name.map_or_else(|| format!("group {group}"), |name| format!("group {name}"))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::super::queue::Site;
    use super::super::Level;
    use super::*;

    fn checked(config: &mut Config, listen: &str) -> Vec<(Level, String)> {
        config.observe.listen = Some(Address::parse(listen).unwrap());
        listener(config).into_iter().map(|found| (found.level, found.text)).collect()
    }

    #[test]
    fn a_port_is_free_or_taken() {
        let site = Site::new();
        let mut config = site.config.clone();
        config.observe.listen = None;
        assert!(listener(&config).is_empty());
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let serving = std::thread::spawn(move || drop(taken.accept()));
        let found = checked(&mut config, &address);
        assert!(
            matches!(&found[..], [(Level::Error, text)] if text.contains("in use by another program")),
            "{found:?}"
        );
        serving.join().unwrap();
        let found = checked(&mut config, &address);
        assert!(matches!(&found[..], [(Level::Ok, text)] if text.contains("will be shown")), "{found:?}");
        let held = SpoolLock::acquire(&config.receivers["central"].spool.join(LOCK)).unwrap();
        let found = checked(&mut config, &address);
        assert!(matches!(&found[..], [(Level::Warning, text)] if text.contains("though a Sesame runs")), "{found:?}");
        drop(held);
    }

    #[test]
    fn says_who_may_connect_to_a_socket() {
        let site = Site::new();
        let mut config = site.config.clone();
        let folder = site.folder.path().join("run");
        let listen = format!("unix:{}/observe.sock", folder.display());
        let found = checked(&mut config, &listen);
        assert!(matches!(&found[..], [(Level::Error, text)] if text.contains("folder must be there")), "{found:?}");
        std::fs::create_dir(&folder).unwrap();
        for (mode, level, words) in [
            (0o750, Level::Ok, "may connect"),
            (0o700, Level::Warning, "cannot enter"),
            (0o705, Level::Warning, "chmod g+x"),
        ] {
            std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).unwrap();
            let found = checked(&mut config, &listen);
            assert_eq!(found[0].0, Level::Ok, "{found:?}");
            assert!(found[1].0 == level && found[1].1.contains(words), "{mode:o}: {found:?}");
        }
        let found = checked(&mut config, "unix:/run/no-such-folder/observe.sock");
        assert!(matches!(&found[..], [(Level::Warning, text)] if text.contains("unit of systemd")), "{found:?}");
    }
}
