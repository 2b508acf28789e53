//! Which process listens at an address that we want.

use std::fmt;
use std::path::Path;

use crate::Address;

/// A process, and the name of its program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListeningProcess {
    process: u32,
    name: String,
    /// False where its files cannot be looked at: a Sesame hides them, as it holds a key.
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

/// A socket of a table below `/proc/net`.
struct Socket {
    inode: String,
    /// The user that it belongs to, where the table has it.
    user: Option<String>,
}

/// The process that listens there, or else the only one that may: it hides its files, is the same program as we are and runs
/// as the user of the socket. None where there is no such process or several, or the unit hides others.
pub(crate) fn holder(address: &Address) -> Option<ListeningProcess> {
    let socket = match address {
        Address::Tcp(to) => {
            let port = format!(":{:04X}", to.port());
            ["tcp", "tcp6"].iter().find_map(|table| listening(&table_of(table), &port))
        }
        Address::Unix(path) => bound(&table_of("unix"), path),
    }?;
    let link = format!("socket:[{}]", socket.inode);
    let own = name_of(Path::new("/proc/self"));
    let mut perhaps = Vec::new();
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let name = name_of(&entry.path());
        match std::fs::read_dir(entry.path().join("fd")) {
            Ok(files) => {
                let mut links = files.flatten().filter_map(|file| std::fs::read_link(file.path()).ok());
                if links.any(|to| to.as_os_str() == link.as_str()) {
                    return Some(ListeningProcess { process, name, certain: true });
                }
            }
            Err(_) if name == own => {
                perhaps.push((ListeningProcess { process, name, certain: false }, user_of(&entry.path())))
            }
            Err(_) => {}
        }
    }
    only(perhaps, socket.user.as_deref())
}

/// The only candidate that runs as `user`; none where several do.
fn only(candidates: Vec<(ListeningProcess, Option<String>)>, user: Option<&str>) -> Option<ListeningProcess> {
    let may = |of: &Option<String>| user.is_none_or(|user| of.as_deref() == Some(user));
    let mut left = candidates.into_iter().filter(|(_, of)| may(of)).map(|(process, _)| process);
    left.next().filter(|_| left.next().is_none())
}

/// The user as which a process runs.
fn user_of(process: &Path) -> Option<String> {
    let status = std::fs::read_to_string(process.join("status")).ok()?;
    // Real, effective, saved and file system user.
    status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().nth(1).map(str::to_owned)
}

/// The name of a process.
fn name_of(process: &Path) -> String {
    let name = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
    message::text::one_line(name.trim(), 32)
}

fn table_of(name: &str) -> String {
    std::fs::read_to_string(Path::new("/proc/net").join(name)).unwrap_or_default()
}

/// The socket that listens at this port: `:24F8`.
fn listening(table: &str, port: &str) -> Option<Socket> {
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let listens = fields.get(1)?.ends_with(port) && *fields.get(3)? == LISTENS;
        let text = |at: usize| fields.get(at).map(|field| (*field).to_owned());
        listens.then(|| Some(Socket { inode: text(9)?, user: text(7) })).flatten()
    })
}

/// The socket at this path.
fn bound(table: &str, path: &Path) -> Option<Socket> {
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let inode = || fields.get(6).map(|inode| (*inode).to_owned());
        (Path::new(fields.get(7)?) == path).then(|| Some(Socket { inode: inode()?, user: None })).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_only_candidate_of_the_socket_s_user() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                     0: 0100007F:2502 00000000:0000 0A 00000000:00000000 00:00000000 00000000   995        0 77 1 0\n";
        let socket = listening(table, ":2502").unwrap();
        assert_eq!((socket.inode.as_str(), socket.user.as_deref()), ("77", Some("995")));
        let process = |process| ListeningProcess { process, name: "sesame".to_owned(), certain: false };
        let of = |number, user: &str| (process(number), Some(user.to_owned()));
        let user = socket.user.as_deref();
        assert_eq!(only(vec![of(3048, "995"), of(32195, "0")], user), Some(process(3048)));
        assert_eq!(only(vec![of(3048, "995"), of(3049, "995")], user), None);
        assert_eq!(only(vec![of(3048, "0"), (process(1), None)], user), None);
        assert_eq!(only(vec![of(1, "0")], None), Some(process(1)));
        assert_eq!(user_of(Path::new("/proc/self")), Some(rustix::process::geteuid().as_raw().to_string()));
    }

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
