//! A full disk: deliveries wait at the broker, the log says so, and all is well when there is room again.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::checker::{Workload, when_stored};
use crate::harness::{Folder, eventually};
use crate::peers::Kind;
use crate::peers::broker::{shared, succeed};
use crate::queues;
use crate::sesame::{Pair, Way};

/// A small journaled file system in a file, mounted while the value lives.
#[derive(Debug)]
pub(crate) struct Disk {
    mounted: PathBuf,
    _folder: Folder,
}

impl Disk {
    pub(crate) fn mounted_at(path: &Path, mebibytes: u64) -> Self {
        let folder = Folder::new("disk");
        let image = folder.join("image");
        std::fs::File::create(&image).unwrap().set_len(mebibytes << 20).unwrap();
        succeed(Command::new("/sbin/mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image));
        succeed(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(path));
        Self { mounted: path.to_owned(), _folder: folder }
    }

    /// Takes all but `kibibytes` of what is free, with one file, which may be filled again.
    pub(crate) fn fill(&self, kibibytes: u64) -> PathBuf {
        let stat = rustix::fs::statvfs(&self.mounted).unwrap();
        let free = stat.f_bavail * stat.f_frsize;
        let ballast = self.mounted.join("ballast");
        let wanted = usize::try_from(free.saturating_sub(kibibytes << 10)).unwrap();
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&ballast).unwrap();
        match file.write_all(&vec![b'x'; wanted]) {
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => {} // The receiver took the rest meanwhile.
            other => other.unwrap(),
        }
        ballast
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.mounted).status());
    }
}

#[test]
fn a_receiver_waits_for_room_and_loses_nothing() {
    let broker = shared(Kind::RabbitMq);
    let pair = Pair::on(broker, Way::Plain, "", "prefetch = 16\n");
    let disk = Disk::mounted_at(&pair.receiver.spool("central"), 64);
    let ballast = disk.fill(2_500);
    let messages = Workload::queued_in(&pair.outgoing(), 100, 60_000);
    pair.sender.run(&["send"]).expect(0);
    let mut receiver = pair.receiver.start(&["receive"]);
    eventually("a word about the disk", || {
        let log = receiver.log().to_lowercase();
        ["no space", "disk", "full"].iter().any(|word| log.contains(word)).then_some(())
    });
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert!(receiver.ended().is_none(), "it gave up:\n{}", receiver.last_words());
    assert!(broker.waiting(&pair.destination) > 0, "deliveries were acknowledged without room for them");
    std::fs::remove_file(ballast).unwrap();
    messages.arrives(&pair);
    assert_eq!(receiver.stop(), 0);
    drop(receiver);
    drop(disk);
}

#[test]
fn a_killed_receiver_finds_its_way_on_a_full_disk() {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Plain, "", "prefetch = 16\n");
    let disk = Disk::mounted_at(&pair.receiver.spool("central"), 64);
    let messages = Workload::queued_in(&pair.outgoing(), 60, 30_000);
    pair.sender.run(&["send"]).expect(0);
    let mut receiver = pair.receiver.start(&["receive"]);
    when_stored(&pair.incoming(), 10);
    let ballast = disk.fill(200);
    std::thread::sleep(std::time::Duration::from_secs(2));
    receiver.kill();
    let mut receiver = pair.receiver.start(&["receive"]);
    std::thread::sleep(std::time::Duration::from_secs(2));
    std::fs::remove_file(ballast).unwrap();
    if receiver.ended().is_some() {
        receiver = pair.receiver.start(&["receive"]);
    }
    messages.arrives(&pair);
    assert_eq!(queues::count(&pair.incoming()), 60);
    receiver.kill();
    drop(disk);
}
