//! Checks at start whether a file system provides what the guarantees of the spool require.
//!
//! Nothing is refused here: the caller logs the warnings and decides.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxFlags};

/// Why a spool on this file system may lose messages or be unreadable for other programs, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpoolWarning {
    /// A file system in memory.
    #[error(
        "{path:?} is in memory ({kind}): all messages in it are lost when the machine stops; \
         put the spool on a disk"
    )]
    Memory {
        /// The spool.
        path: PathBuf,
        /// `tmpfs` or `ramfs`.
        kind: String,
    },
    /// An overlay, as in a container without a volume.
    #[error(
        "{path:?} is on an overlay, which is deleted with its container and has link counts that Python's dirq misreads; \
         mount a volume there"
    )]
    Overlay {
        /// The spool.
        path: PathBuf,
    },
    /// A file system whose link counts do not count subdirectories.
    #[error(
        "{path:?} is on {kind}, where Python's dirq (1.8) misreads link counts and finds no elements; \
         keep a queue that dirq reads on ext4 or XFS"
    )]
    NoLinkCounts {
        /// The spool.
        path: PathBuf,
        /// `btrfs`.
        kind: String,
    },
    /// A network file system.
    #[error(
        "{path:?} is on {kind}, where locks and syncs may be unreliable; \
         use a local file system, or make sure that only one machine uses this spool"
    )]
    Network {
        /// The spool.
        path: PathBuf,
        /// Such as `nfs4`.
        kind: String,
    },
    /// A file system in user space.
    #[error("{path:?} is on {kind}, whose syncs depend on the program behind it; use a local file system")]
    UserSpace {
        /// The spool.
        path: PathBuf,
        /// Such as `fuse.sshfs`.
        kind: String,
    },
    /// ext4 without a journal.
    #[error(
        "{path:?} is on {kind} without a journal: after a power cut it needs a repair and may lose whole directories; \
         add a journal with `tune2fs -O has_journal {device}` while it is not mounted"
    )]
    NoJournal {
        /// The spool.
        path: PathBuf,
        /// `ext2` or `ext4`.
        kind: String,
        /// The block device.
        device: String,
    },
    /// A mount option with which a sync may not reach the disk.
    #[error("{path:?} is mounted with `{option}`: a power cut may lose synced data; mount it without that option")]
    WeakMount {
        /// The spool.
        path: PathBuf,
        /// The option.
        option: String,
    },
}

impl SpoolWarning {
    /// A short form, for a log line that also has the path.
    #[must_use]
    pub fn brief(&self) -> String {
        match self {
            Self::Memory { kind, .. } => format!("the spool is in memory ({kind})"),
            Self::Overlay { .. } => "the spool is on an overlay".to_owned(),
            Self::NoLinkCounts { kind, .. } | Self::Network { kind, .. } | Self::UserSpace { kind, .. } => {
                format!("the spool is on {kind}")
            }
            Self::NoJournal { kind, .. } => format!("the spool is on {kind} without a journal"),
            Self::WeakMount { option, .. } => format!("the spool's file system is mounted with `{option}`"),
        }
    }
}

/// The mount that `path` is on.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    kind: String,
    source: String,
    options: Vec<String>,
}

/// Inspects the file system of an existing directory.
///
/// # Errors
/// The system error, if `path` or `/proc/self/mountinfo` cannot be read.
pub fn inspect(path: &Path) -> io::Result<Vec<SpoolWarning>> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    let mount = find_mount(&table, &MountKey::of(path)?);
    Ok(mount.map_or_else(Vec::new, |mount| warnings(path, &mount, has_journal)))
}

/// The key for finding a line of `mountinfo`.
///
/// The id is exact. The device is not: on btrfs `stat` returns a separate device for each subvolume, which no line
/// contains.
#[derive(Debug)]
enum MountKey {
    Id(String),
    Device(String),
}

impl MountKey {
    /// The mount's id (`STATX_MNT_ID`, Linux 5.8), else the device.
    fn of(path: &Path) -> io::Result<Self> {
        let wanted = StatxFlags::MNT_ID;
        if let Ok(status) = rustix::fs::statx(CWD, path, AtFlags::empty(), wanted)
            && StatxFlags::from_bits_retain(status.stx_mask).contains(wanted)
        {
            return Ok(Self::Id(status.stx_mnt_id.to_string()));
        }
        let device = fs::metadata(path)?.dev();
        Ok(Self::Device(format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device))))
    }

    fn names(&self, id: &str, device: &str) -> bool {
        match self {
            Self::Id(own) => own == id,
            Self::Device(own) => own == device,
        }
    }
}

/// Finds a mount in the text of `mountinfo` (proc(5)): fields, ` - `, then type, source and options.
fn find_mount(table: &str, key: &MountKey) -> Option<Mount> {
    table.lines().rev().find_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut fields = mount.split(' ');
        let (id, _parent, device) = (fields.next()?, fields.next()?, fields.next()?);
        if !key.names(id, device) {
            return None;
        }
        let mut options: Vec<String> = fields.nth(2)?.split(',').map(str::to_owned).collect();
        let mut rest = file_system.split(' ');
        let (kind, source) = (rest.next()?.to_owned(), rest.next()?.to_owned());
        options.extend(rest.next().unwrap_or_default().split(',').map(str::to_owned));
        Some(Mount { kind, source, options })
    })
}

fn warnings(path: &Path, mount: &Mount, has_journal: impl Fn(&str) -> Option<bool>) -> Vec<SpoolWarning> {
    let (path, kind) = (path.to_owned(), mount.kind.clone());
    let mut warnings = Vec::new();
    match kind.as_str() {
        "tmpfs" | "ramfs" => warnings.push(SpoolWarning::Memory { path: path.clone(), kind }),
        "overlay" => warnings.push(SpoolWarning::Overlay { path: path.clone() }),
        "btrfs" => warnings.push(SpoolWarning::NoLinkCounts { path: path.clone(), kind }),
        "nfs" | "nfs4" | "cifs" | "smb3" | "9p" | "ceph" | "afs" | "lustre" | "glusterfs" | "gpfs" => {
            warnings.push(SpoolWarning::Network { path: path.clone(), kind });
        }
        fuse if fuse == "fuse" || fuse.starts_with("fuse.") => {
            warnings.push(SpoolWarning::UserSpace { path: path.clone(), kind });
        }
        "ext2" => warnings.push(SpoolWarning::NoJournal { path: path.clone(), kind, device: mount.source.clone() }),
        "ext3" | "ext4" if has_journal(&mount.source) == Some(false) => {
            warnings.push(SpoolWarning::NoJournal { path: path.clone(), kind, device: mount.source.clone() });
        }
        _ => {}
    }
    let weak = |option: &&String| matches!(option.as_str(), "nobarrier" | "barrier=0" | "data=writeback");
    warnings.extend(
        mount.options.iter().filter(weak).map(|o| SpoolWarning::WeakMount { path: path.clone(), option: o.clone() }),
    );
    warnings
}

/// Whether the kernel has a journal for a block device; `None` if that is unknown. A journal inside the file system has
/// an entry such as `loop0-8` in `/proc/fs/jbd2`.
fn has_journal(source: &str) -> Option<bool> {
    let device = fs::canonicalize(source).ok()?;
    let name = device.file_name()?.to_str()?.to_owned();
    fs::metadata("/proc/fs/ext4").ok()?;
    let Ok(entries) = fs::read_dir("/proc/fs/jbd2") else { return Some(false) };
    let journals = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut of_device = journals.filter(|journal| journal.rsplit_once('-').is_some_and(|(device, _)| device == name));
    Some(of_device.next().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard\n\
30 22 0:25 / /dev/shm rw,nosuid - tmpfs tmpfs rw,size=1g\n\
31 22 7:0 / /mnt/spool\\040x rw,relatime - ext4 /dev/loop0 rw,nobarrier\n\
43 22 0:39 / /mnt/b rw,relatime - btrfs /dev/loop1 rw,space_cache=v2,subvolid=5,subvol=/\n";

    #[test]
    fn finds_a_mount_by_its_device() {
        let by_device = |device: &str| find_mount(TABLE, &MountKey::Device(device.to_owned()));
        let mount = by_device("7:0").unwrap();
        assert_eq!((mount.kind.as_str(), mount.source.as_str()), ("ext4", "/dev/loop0"));
        assert!(mount.options.contains(&"nobarrier".to_owned()));
        assert_eq!(by_device("9:9"), None);
        // As on btrfs: the device in the line is 0:39, but files there have another.
        let mount = find_mount(TABLE, &MountKey::Id("43".to_owned())).unwrap();
        assert_eq!(mount.kind, "btrfs");
        assert_eq!(find_mount(TABLE, &MountKey::Id("39".to_owned())), None);
    }

    #[test]
    fn warns_about_unsuitable_file_systems() {
        let judged = |kind: &str, options: &[&str], journal| {
            let mount = Mount {
                kind: kind.to_owned(),
                source: "/dev/x".to_owned(),
                options: options.iter().map(|&option| option.to_owned()).collect(),
            };
            warnings(Path::new("/s"), &mount, |_| journal)
        };
        assert!(matches!(judged("tmpfs", &[], None)[..], [SpoolWarning::Memory { .. }]));
        assert!(matches!(judged("overlay", &[], None)[..], [SpoolWarning::Overlay { .. }]));
        assert!(matches!(judged("btrfs", &[], None)[..], [SpoolWarning::NoLinkCounts { .. }]));
        assert!(matches!(judged("nfs4", &[], None)[..], [SpoolWarning::Network { .. }]));
        assert!(matches!(judged("fuse.sshfs", &[], None)[..], [SpoolWarning::UserSpace { .. }]));
        assert!(matches!(judged("ext4", &[], Some(false))[..], [SpoolWarning::NoJournal { .. }]));
        assert!(matches!(judged("ext4", &["nobarrier"], Some(true))[..], [SpoolWarning::WeakMount { .. }]));
        assert!(judged("ext4", &["rw"], Some(true)).is_empty());
        assert!(judged("xfs", &[], None).is_empty());
    }

    #[test]
    fn inspects_the_file_system_it_runs_on() {
        inspect(&std::env::temp_dir()).unwrap();
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(
            find_mount(&table, &MountKey::of(Path::new("/proc")).unwrap()).is_some_and(|mount| mount.kind == "proc")
        );
    }
}
