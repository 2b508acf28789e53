//! A file system of its own, in a file, mounted by a loop device, whose power can be cut.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::Folder;
use crate::peers::require;

/// What it is made with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FileSystem {
    Ext4,
    Xfs,
    /// In memory, with at most so many inodes.
    Memory {
        inodes: u32,
    },
}

impl FileSystem {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "XFS",
            Self::Memory { .. } => "tmpfs",
        }
    }
}

/// A mounted image, unmounted and removed when the value is dropped.
#[derive(Debug)]
pub(crate) struct Image {
    folder: Folder,
    kind: FileSystem,
    megabytes: u64,
}

impl Image {
    pub(crate) fn mounted(kind: FileSystem, megabytes: u64) -> Self {
        let image = Self { folder: Folder::new("image"), kind, megabytes };
        std::fs::File::create(image.file()).unwrap().set_len(megabytes << 20).unwrap();
        std::fs::create_dir(image.path()).unwrap();
        let make =
            |program: &str, options: &[&str]| run(Command::new(require(program)).args(options).arg(image.file()));
        match kind {
            FileSystem::Ext4 => make("mkfs.ext4", &["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"]),
            FileSystem::Xfs => make("mkfs.xfs", &["-q"]),
            FileSystem::Memory { .. } => {}
        }
        image.mount();
        image
    }

    /// Mounts it again, which replays its log.
    pub(crate) fn mount_again(&self) {
        run(Command::new("umount").arg(self.path()));
        self.mount();
    }

    /// From now on nothing reaches the disk under the image: `EXT4_IOC_SHUTDOWN`, which is `XFS_IOC_GOINGDOWN`, without a flush
    /// of the log. `unforced` is written in the moment before and synced by no program, unless one does so in that very moment:
    /// that it is gone shows that the cut was one. Nothing comes between, as far as a high priority does it.
    pub(crate) fn cut(&self, unforced: &Path) {
        const STOP: &str = "import fcntl, os, struct, sys\n\
                            image = os.open(sys.argv[1], os.O_RDONLY)\n\
                            os.setpriority(os.PRIO_PROCESS, 0, -20)\n\
                            with open(sys.argv[2], 'w') as unforced: unforced.write('gone')\n\
                            fcntl.ioctl(image, 0x8004587d, struct.pack('I', 2))";
        run(Command::new("python3").args(["-c", STOP]).arg(self.path()).arg(unforced));
    }

    fn mount(&self) {
        let mut command = Command::new("mount");
        match self.kind {
            FileSystem::Ext4 | FileSystem::Xfs => command.args(["-o", "loop"]).arg(self.file()),
            FileSystem::Memory { inodes } => {
                let options = format!("size={}m,nr_inodes={inodes}", self.megabytes);
                command.args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            }
        };
        run(command.arg(self.path()));
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join("mounted")
    }

    fn file(&self) -> PathBuf {
        self.folder.join("image")
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.path()).status());
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed; a file system image needs root and loop devices:\n{words}");
}
