//! Root may read and write everything, and the service runs as another user: whether that user can use the files too.
//!
//! The user is the one of the systemd unit, where one is installed. Only owners, groups and modes are looked at: an access
//! control list may allow more.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::Found;
use crate::channel::{JOURNAL, LOCK};
use crate::config::Config;

/// Where systemd reads units, the first one first.
const UNITS: [&str; 5] = [
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];
const UNIT: &str = "sesame.service";

/// What a user may do with a file: the bits of a mode for one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Read = 0o4,
    /// Read and write.
    Change = 0o6,
    /// Add and remove entries of a directory.
    Fill = 0o7,
}

impl Access {
    fn words(self) -> &'static str {
        match self {
            Self::Read => "cannot be read",
            Self::Change | Self::Fill => "cannot be written",
        }
    }
}

/// A user, by name and numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Account {
    name: String,
    user: u32,
    groups: BTreeSet<u32>,
}

/// What the user of the service cannot use, if root asks; another user gets the advice to be that user.
pub(super) fn check(config: &Config) -> Vec<Found> {
    let Some(account) = Account::of_unit(Path::new("/")) else { return Vec::new() };
    let process = rustix::process::geteuid();
    if !process.is_root() {
        return account.is_not(process.as_raw()).into_iter().collect();
    }
    let name = &account.name;
    let text = format!("{UNIT} runs as {name}: to see what it sees, run sudo -u {name} sesame check");
    let mut found = vec![Found::ok("user", text)];
    found.extend(unusable(config, &account));
    found
}

fn unusable(config: &Config, account: &Account) -> Vec<Found> {
    let Account { name, .. } = account;
    let mut found = Vec::new();
    for (path, access) in wanted(config) {
        let Some(obstacle) = account.obstacle(&path, access) else { continue };
        let Ok(facts) = obstacle.metadata() else { continue };
        let (owner, mode) = (facts.uid(), facts.mode() & 0o7777);
        let through = if obstacle == path { String::new() } else { format!(" because of {}", obstacle.display()) };
        let text = format!(
            "{} {} by {name}{through} (owner {owner}, mode {mode:04o}): chown it to {name}, or let {name} use it by its group",
            path.display(),
            access.words(),
        );
        found.push(Found::warning("user", text));
    }
    found
}

/// What the channels need, each once.
fn wanted(config: &Config) -> Vec<(PathBuf, Access)> {
    let mut wanted: Vec<(PathBuf, Access)> = Vec::new();
    let mut add = |path: &Path, access| {
        let entry = (path.to_owned(), access);
        if path.exists() && !wanted.contains(&entry) {
            wanted.push(entry);
        }
    };
    let senders = config.senders.values().map(|sender| (&sender.broker, &sender.credential, &sender.trust));
    let receivers = config.receivers.values().map(|it| (&it.broker, &it.credential, &it.trust));
    for (broker, credential, trust) in senders.chain(receivers) {
        for credential in [credential, config.credential_at(broker, credential)] {
            add(&credential.certificate, Access::Read);
            add(&credential.key, Access::Read);
        }
        trust.anchors.iter().for_each(|anchors| add(anchors, Access::Read));
    }
    let state = |directory: &Path, add: &mut dyn FnMut(&Path, Access)| {
        add(directory, Access::Fill);
        add(&directory.join(JOURNAL), Access::Change);
        add(&directory.join(LOCK), Access::Change);
    };
    for sender in config.senders.values() {
        add(&sender.queue, Access::Fill);
        add(&sender.reject, Access::Fill);
        state(&sender.state, &mut add);
    }
    for receiver in config.receivers.values() {
        add(&receiver.authorised, Access::Read);
        state(&receiver.spool, &mut add);
    }
    wanted
}

impl Account {
    /// The user of the unit below `root`; none where there is no unit, or it runs as root.
    fn of_unit(root: &Path) -> Option<Self> {
        let name = unit_user(root)?;
        let passwd = std::fs::read_to_string(root.join("etc/passwd")).ok()?;
        let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
        let entry = passwd.lines().map(fields).find(|entry| entry.first() == Some(&name))?;
        let (user, group) = (entry.get(2)?.parse().ok()?, entry.get(3)?.parse().ok()?);
        let mut groups = BTreeSet::from([group]);
        for entry in std::fs::read_to_string(root.join("etc/group")).unwrap_or_default().lines().map(fields) {
            let member = entry.get(3).is_some_and(|members| members.split(',').any(|member| member == name));
            groups.extend(entry.get(2).filter(|_| member).and_then(|number| number.parse::<u32>().ok()));
        }
        (user != 0).then_some(Self { name, user, groups })
    }

    /// What another user reads before anything else: what follows holds for that user alone.
    fn is_not(&self, user: u32) -> Option<Found> {
        let name = &self.name;
        let text = format!(
            "{UNIT} runs as {name}, and this command as user {user}, who need not have its rights: run sudo -u {name} sesame \
             check"
        );
        (self.user != user).then(|| Found::warning("user", text))
    }

    /// The file or directory that keeps this user from `path`.
    fn obstacle<'a>(&self, path: &'a Path, access: Access) -> Option<&'a Path> {
        let closed = path
            .ancestors()
            .skip(1)
            .filter(|parent| !parent.as_os_str().is_empty())
            .find(|parent| !self.may(parent, 0o1));
        closed.or_else(|| (!self.may(path, access as u32)).then_some(path))
    }

    fn may(&self, path: &Path, wanted: u32) -> bool {
        let Ok(facts) = path.metadata() else { return true };
        let class = match (facts.uid() == self.user, self.groups.contains(&facts.gid())) {
            (true, _) => 6,
            (false, true) => 3,
            (false, false) => 0,
        };
        facts.mode() >> class & wanted == wanted
    }
}

/// `User=` of the installed unit, with its drop-ins.
fn unit_user(root: &Path) -> Option<String> {
    let unit = UNITS.iter().find_map(|folder| std::fs::read_to_string(root.join(folder).join(UNIT)).ok())?;
    let mut texts = vec![unit];
    for folder in UNITS.iter().rev() {
        let Ok(entries) = std::fs::read_dir(root.join(folder).join(format!("{UNIT}.d"))) else { continue };
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.retain(|file| file.extension().is_some_and(|ending| ending == "conf"));
        files.sort();
        texts.extend(files.iter().filter_map(|file| std::fs::read_to_string(file).ok()));
    }
    let lines = texts.iter().flat_map(|text| text.lines());
    let last = lines.filter_map(|line| line.trim().strip_prefix("User=")).next_back()?;
    Some(last.trim().to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::super::queue::Site;
    use super::*;

    fn mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn stranger() -> Account {
        Account { name: "sesame".to_owned(), user: 4_000_000_000, groups: BTreeSet::from([4_000_000_000]) }
    }

    #[test]
    fn the_user_is_that_of_the_unit_with_its_drop_ins() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        assert_eq!(Account::of_unit(root.path()), None);
        write("etc/passwd", "root:x:0:0::/:/bin/sh\nsesame:x:990:991::/:/bin/false\napel:x:800:801::/:/bin/false\n");
        write("etc/group", "root:x:0:\napel:x:801:sesame,other\n");
        write("usr/lib/systemd/system/sesame.service", "[Service]\nUser=sesame\nGroup=sesame\n");
        let found = Account::of_unit(root.path()).unwrap();
        assert_eq!((found.name.as_str(), found.user, found.groups), ("sesame", 990, BTreeSet::from([991, 801])));
        write("etc/systemd/system/sesame.service.d/user.conf", "[Service]\nUser=apel\n");
        let last = Account::of_unit(root.path()).unwrap();
        assert_eq!((last.user, last.is_not(800)), (800, None));
        assert!(last.is_not(801).unwrap().text.contains(&format!("run sudo -u {} sesame check", last.name)));
        write("etc/systemd/system/sesame.service.d/zz.conf", "[Service]\nUser=root\n");
        assert_eq!(Account::of_unit(root.path()), None);
    }

    #[test]
    fn what_the_user_cannot_use_is_named_with_the_remedy() {
        let site = Site::new();
        let folder = site.folder.path();
        mode(folder, 0o755);
        let sender = site.config.senders.values().next().unwrap();
        let texts = || unusable(&site.config, &stranger()).into_iter().map(|found| found.text).collect::<Vec<_>>();
        mode(&sender.queue, 0o750);
        let key = &sender.credential.key;
        mode(key, 0o400);
        let found = texts();
        for (path, words) in [(&sender.queue, "cannot be written by sesame"), (key, "cannot be read by sesame")] {
            let start = format!("{} {words} (owner ", path.display());
            let line = found.iter().find(|text| text.starts_with(&start));
            assert!(line.is_some_and(|text| text.ends_with("let sesame use it by its group")), "{start}: {found:?}");
        }
        mode(&sender.queue, 0o777);
        mode(key, 0o444);
        let shown = |path: &Path| format!("{} cannot", path.display());
        assert!(!texts().iter().any(|text| text.starts_with(&shown(key)) || text.starts_with(&shown(&sender.queue))));
        mode(folder, 0o700);
        let because = format!("because of {} ", folder.display());
        assert!(texts().iter().all(|text| text.contains(&because)) && !texts().is_empty(), "{:?}", texts());
    }
}
