//! A journaled file system of its own: ext4 in a file, mounted by a loop device.
//!
//! What a sync costs depends on the file system under it; this one is the same on every machine, save for the disk that
//! the image lies on.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::Folder;

/// A mounted image, unmounted and removed when the value is dropped.
#[derive(Debug)]
pub(crate) struct Image {
    folder: Folder,
}

impl Image {
    /// Makes and mounts an image of this many megabytes.
    pub(crate) fn mounted(megabytes: u64) -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "mounting a file system image needs root: run tests/figures as root"
        );
        let image = Self { folder: Folder::new("figures-image") };
        let file = std::fs::File::create(image.file()).unwrap();
        file.set_len(megabytes << 20).unwrap();
        drop(file);
        std::fs::create_dir(image.path()).unwrap();
        run(Command::new("mkfs.ext4")
            .args(["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"])
            .arg(image.file()));
        image.mount();
        image
    }

    /// Mounts it again, which replays its log.
    pub(crate) fn mount_again(&self) {
        run(Command::new("umount").arg(self.path()));
        self.mount();
    }

    fn mount(&self) {
        run(Command::new("mount").args(["-o", "loop"]).arg(self.file()).arg(self.path()));
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join("mounted")
    }

    fn file(&self) -> PathBuf {
        self.folder.join("image.ext4")
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let path = self.path();
        if is_mounted(&path) {
            drop(Command::new("umount").arg(&path).status());
        }
        assert!(!is_mounted(&path) || std::thread::panicking(), "cannot unmount {}", path.display());
    }
}

fn is_mounted(path: &Path) -> bool {
    let text = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    text.lines().any(|line| line.split(' ').nth(1).is_some_and(|mounted| Path::new(mounted) == path))
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed with {}; a file system image needs root and loop devices:\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}
