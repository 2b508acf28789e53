//! Which process listens at an address that we want.

use std::fmt;
use std::path::Path;

use crate::Address;

/// A process, and the name of its program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListeningProcess {
    process: u32,
    name: String,
    /// False where its files cannot be looked at: a Sesame of the same user hides them, as it holds a key.
    certain: bool,
}

impl fmt::Display for ListeningProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let perhaps = if self.certain { "" } else { "another program, perhaps " };
        write!(f, "{perhaps}process {} ({})", self.process, self.name)
    }
}

/// The state of a socket that listens, in `/proc/net/tcp`.
const LISTENS: &str = "0A";

/// The process that listens there, or else one that hides its files and is the same program as we are; none where there is
/// no such process, or the unit hides others.
pub(crate) fn holder(address: &Address) -> Option<ListeningProcess> {
    let inode = match address {
        Address::Tcp(to) => {
            let port = format!(":{:04X}", to.port());
            ["tcp", "tcp6"].iter().find_map(|table| listening(&table_of(table), &port))
        }
        Address::Unix(path) => bound(&table_of("unix"), path),
    }?;
    let socket = format!("socket:[{inode}]");
    let own = name_of(Path::new("/proc/self"));
    let mut perhaps = None;
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let name = name_of(&entry.path());
        match std::fs::read_dir(entry.path().join("fd")) {
            Ok(files) => {
                let mut links = files.flatten().filter_map(|file| std::fs::read_link(file.path()).ok());
                if links.any(|to| to.as_os_str() == socket.as_str()) {
                    return Some(ListeningProcess { process, name, certain: true });
                }
            }
            Err(_) if name == own => perhaps = Some(ListeningProcess { process, name, certain: false }),
            Err(_) => {}
        }
    }
    perhaps
}

/// The name of a process.
fn name_of(process: &Path) -> String {
    let name = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
    message::text::one_line(name.trim(), 32)
}

fn table_of(name: &str) -> String {
    std::fs::read_to_string(Path::new("/proc/net").join(name)).unwrap_or_default()
}

/// The inode of the socket that listens at this port: `:24F8`.
fn listening(table: &str, port: &str) -> Option<String> {
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let listens = fields.get(1)?.ends_with(port) && *fields.get(3)? == LISTENS;
        listens.then(|| fields.get(9).map(|inode| (*inode).to_owned())).flatten()
    })
}

/// The inode of the socket at this path.
fn bound(table: &str, path: &Path) -> Option<String> {
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (Path::new(fields.get(7)?) == path).then(|| fields.get(6).map(|inode| (*inode).to_owned())).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_ourselves() {
        let own = std::process::id();
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(holder(&Address::Tcp(tcp.local_addr().unwrap())).unwrap().process, own);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let found = holder(&Address::Unix(path)).unwrap();
        assert_eq!(found.process, own);
        assert!(found.to_string().starts_with(&format!("process {own} (")), "{found}");
        assert_eq!(holder(&Address::Unix(folder.path().join("none"))), None);
    }
}
