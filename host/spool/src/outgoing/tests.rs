//! Tests of the outgoing queue: order, locks, foreign entries and removal.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::time::{Instant, SystemTime};

use rustix::fs::{CWD, FileType as Kind, Mode};

use super::*;
use crate::failpoint::scenario;

const OLD: Duration = Duration::from_secs(100);

struct Spool {
    folder: tempfile::TempDir,
    format: Format,
}

impl Spool {
    fn new(format: Format) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), format }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    fn own(&self) -> Outgoing {
        fs::create_dir_all(self.path()).unwrap();
        let lock = SpoolLock::acquire(&self.folder.path().join("lock")).unwrap();
        Outgoing::own(&self.path(), self.format, std::sync::Arc::new(lock)).unwrap()
    }

    /// Puts a file into the queue as a plain copy would, `age` ago.
    fn put(&self, name: &str, text: &str, age: Duration) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(SystemTime::now() - age).unwrap();
        path
    }
}

fn names(outgoing: &Outgoing) -> Vec<String> {
    let mut scan = outgoing.scan().unwrap();
    std::iter::from_fn(|| scan.next(|_| false).unwrap()).map(|name| name.to_string()).collect()
}

fn lock(outgoing: &Outgoing, name: &str) -> Option<LockedElement> {
    outgoing.lock(&outgoing.name(name).unwrap()).unwrap()
}

const A: &str = "6b031200/6b03120000001a";
const B: &str = "6b031200/6b03120000002a";
const C: &str = "6b03123c/6b03123d00001a";

/// Root can read every directory: a file in the place of one plays a directory of another user.
#[test]
fn a_directory_that_cannot_be_read_keeps_no_other_element_back() {
    let _turn = scenario("");
    let spool = Spool::new(Format::Dirq);
    for name in [A, C] {
        spool.put(name, "x", OLD);
    }
    spool.put("6b031201", "x", OLD);
    let outgoing = spool.own();
    assert_eq!(names(&outgoing), [A, C]);
    assert_eq!(outgoing.count().unwrap(), 2);
    let waiting = outgoing.waiting().unwrap();
    let kind = ForeignKind::Unreadable(std::io::ErrorKind::NotADirectory);
    assert_eq!(waiting.foreign, [Foreign { name: ElementName("6b031201".into()), kind }]);
    assert!(waiting.foreign[0].holds_elements());
    let stale = spool.put("6b03123c/6b03123d00001a.tmp", "x", Duration::from_secs(2 * 24 * 3600));
    assert!(outgoing.purge(|| false).is_err());
    assert!(!stale.exists(), "what can be purged is");
}

#[test]
fn a_dirq_is_listed_by_name_and_a_directory_by_age() {
    let _turn = scenario("");
    let spool = Spool::new(Format::Dirq);
    for name in [C, B, A, "6b031200/notanelement", "6b031200/6b03120000003a.tmp"] {
        spool.put(name, "x", OLD);
    }
    fs::create_dir_all(spool.path().join("nested/6b031200")).unwrap();
    let outgoing = spool.own();
    assert_eq!(names(&outgoing), [A, B, C]);
    assert_eq!(outgoing.count().unwrap(), 3);
    let mut scan = outgoing.scan().unwrap();
    assert_eq!(scan.next(|name| name.to_string() == A).unwrap().unwrap().to_string(), B);

    let spool = Spool::new(Format::Directory);
    for (name, age) in [("new file", 10), ("z", 30), ("b\nc", 20), ("x.tmp", 50), (".hidden", 50)] {
        spool.put(name, "x", Duration::from_secs(age));
    }
    let outgoing = spool.own();
    assert_eq!(names(&outgoing), ["z", "b\\nc", "new file"]);
    assert_eq!(outgoing.count().unwrap(), 3);
}

#[test]
fn an_element_is_locked_read_and_removed_as_dirq_does() {
    let _turn = scenario("");
    let spool = Spool::new(Format::Dirq);
    let path = spool.put(A, "hello", OLD);
    let outgoing = spool.own();
    let element = lock(&outgoing, A).unwrap();
    assert!(lock(&outgoing, A).is_none());
    let lck = path.with_file_name("6b03120000001a.lck");
    assert_eq!(lck.metadata().unwrap().ino(), path.metadata().unwrap().ino());
    assert_eq!(element.message_id().as_str(), A);
    assert_eq!(element.read(100).unwrap(), b"hello");
    assert_eq!(element.read(100).unwrap(), b"hello");
    drop(element);
    assert!(!lck.exists());
    let element = lock(&outgoing, A).unwrap();
    assert_eq!(element.remove().unwrap(), Removal::Removed);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
    assert!(lock(&outgoing, A).is_none());
}

#[test]
fn refusals_are_typed() {
    let _turn = scenario("");
    let spool = Spool::new(Format::Directory);
    spool.put("empty", "", OLD);
    spool.put("large", "123456", OLD);
    let outgoing = spool.own();
    let read = |name: &str| lock(&outgoing, name).unwrap().read(5).unwrap_err();
    assert!(matches!(read("empty"), ReadError::Empty { .. }));
    assert!(matches!(read("large"), ReadError::TooLarge { size: 6, limit: 5, .. }));
}

#[test]
fn other_than_regular_files_are_never_opened_and_are_reported() {
    let _turn = scenario("");
    for format in [Format::Dirq, Format::Directory] {
        let spool = Spool::new(format);
        let place = |n: u8| match format {
            Format::Dirq => format!("6b031200/6b0312000000{n:02x}"),
            Format::Directory => format!("f{n}"),
        };
        spool.put(&place(9), "good", OLD);
        let path = |n| spool.path().join(place(n));
        symlink("/etc/passwd", path(1)).unwrap();
        fs::create_dir(path(2)).unwrap();
        rustix::fs::mknodat(CWD, path(3), Kind::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        fs::hard_link(path(9), path(4)).unwrap();
        let outgoing = spool.own();
        let start = Instant::now();
        let mut scan = outgoing.scan().unwrap();
        let mut listed: Vec<String> =
            std::iter::from_fn(|| scan.next(|_| false).unwrap()).map(|name| name.to_string()).collect();
        listed.sort();
        assert_eq!(listed, [place(4), place(9)]);
        let mut kinds: Vec<_> = scan.foreign().iter().map(|foreign| (foreign.name.to_string(), foreign.kind)).collect();
        kinds.sort_by(|a, b| a.0.cmp(&b.0));
        let expected = [ForeignKind::Link, ForeignKind::Directory, ForeignKind::Special];
        assert_eq!(kinds, (1..4).map(|n| (place(n), expected[usize::from(n) - 1])).collect::<Vec<_>>());
        for n in 1..4 {
            let error = outgoing.lock(&outgoing.name(&place(n)).unwrap()).unwrap_err();
            assert!(matches!(error, ReadError::NotRegular { .. }), "{error}");
        }
        assert!(start.elapsed() < Duration::from_secs(1));
    }
}

#[test]
fn a_file_being_copied_is_not_locked_until_it_is_complete() {
    let _turn = scenario("");
    let spool = Spool::new(Format::Directory);
    let outgoing = spool.own();
    fs::write(spool.path().join("copy"), "half").unwrap();
    assert!(lock(&outgoing, "copy").is_none());
    assert!(outgoing.is_settling(&outgoing.name("copy").unwrap()));
    spool.put("done", "whole", OLD);
    assert!(lock(&outgoing, "done").is_some());
    let name = outgoing.add(None, b"ours").unwrap();
    assert!(outgoing.lock(&name).unwrap().is_some());
}

#[test]
fn foreign_locks_are_honoured_and_our_own_taken_over() {
    let _turn = scenario("");
    let spool = Spool::new(Format::Dirq);
    let path = spool.put(A, "x", OLD);
    let lck = path.with_file_name("6b03120000001a.lck");
    let outgoing = spool.own();
    // Young and foreign.
    fs::hard_link(&path, &lck).unwrap();
    assert!(lock(&outgoing, A).is_none());
    // Old and foreign.
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(SystemTime::now() - Duration::from_secs(601))
        .unwrap();
    assert!(lock(&outgoing, A).is_some());
    // Ours, of a crashed process.
    std::mem::forget(lock(&outgoing, A).unwrap());
    assert!(lck.exists());
    drop(outgoing);
    // The forgotten element keeps the first queue alive, so its lock is another file here.
    let other = SpoolLock::acquire(&spool.folder.path().join("lock2")).unwrap();
    let successor = Outgoing::own(&spool.path(), Format::Dirq, std::sync::Arc::new(other)).unwrap();
    assert!(lock(&Outgoing::open(&spool.path(), Format::Dirq).unwrap(), A).is_none());
    assert!(lock(&successor, A).is_some());
    assert!(!lck.exists());
}

#[test]
fn content_that_replaced_a_sent_element_is_restored() {
    let _turn = scenario("");
    for format in [Format::Dirq, Format::Directory] {
        let name = if format == Format::Dirq { "12345678/1234567890abcd" } else { "records" };
        // Overwritten in place, and replaced by another file.
        for replace in [false, true] {
            let spool = Spool::new(format);
            let path = spool.put(name, "one", OLD);
            let outgoing = spool.own();
            let element = lock(&outgoing, name).unwrap();
            let id = element.message_id();
            assert_eq!(element.read(10).unwrap(), b"one");
            if replace {
                fs::remove_file(&path).unwrap();
            }
            fs::write(&path, "two").unwrap();
            let Removal::Restored(restored) = element.remove().unwrap() else { panic!() };
            let [listed] = &names(&outgoing)[..] else { panic!() };
            assert_eq!(*listed, restored.to_string());
            let element = lock(&outgoing, listed).unwrap();
            assert_eq!(element.read(10).unwrap(), b"two");
            assert_ne!(element.message_id(), id);
        }
    }
}

#[test]
fn a_file_changed_after_its_lock_is_not_read() {
    let _turn = scenario("");
    let spool = Spool::new(Format::Dirq);
    let path = spool.put(A, "one", OLD);
    let outgoing = spool.own();
    let element = lock(&outgoing, A).unwrap();
    fs::write(path, "three").unwrap();
    assert!(matches!(element.read(10).unwrap_err(), ReadError::Changed { .. }));
}

#[test]
fn an_interrupted_removal_is_settled_by_the_next_scan() {
    let turn = scenario("");
    for format in [Format::Dirq, Format::Directory] {
        for changed in [false, true] {
            let name = if format == Format::Dirq { A } else { "records" };
            let spool = Spool::new(format);
            let path = spool.put(name, "one", OLD);
            let outgoing = spool.own();
            let element = lock(&outgoing, name).unwrap();
            if changed {
                fs::write(&path, "two").unwrap();
            }
            turn.set("S08@1=err");
            element.remove().unwrap_err();
            turn.set("");
            assert!(!path.exists());
            drop(names(&outgoing));
            assert_eq!(names(&outgoing).len(), usize::from(changed), "{format:?} {changed}");
            for entry in fs::read_dir(path.parent().unwrap()).unwrap() {
                assert!(!entry.unwrap().file_name().to_string_lossy().ends_with(".aside"));
            }
        }
    }
}

#[test]
fn removal_by_another_process_is_not_an_error() {
    let _turn = scenario("");
    let spool = Spool::new(Format::Dirq);
    let path = spool.put(A, "x", OLD);
    let outgoing = spool.own();
    let element = lock(&outgoing, A).unwrap();
    fs::remove_file(path).unwrap();
    assert_eq!(element.remove().unwrap(), Removal::Gone);
}

#[test]
fn ids_are_stable_unique_and_valid() {
    let identity = Identity { inode: 1, size: 2, modified: 3 };
    let id = |name: &str, identity: &Identity| {
        message_id(Format::Directory, &ElementName(name.into()), identity).as_str().to_owned()
    };
    let first = id("summary-2026.txt", &identity);
    assert!(first.starts_with("summary-2026.txt-") && first.len() == 25, "{first}");
    assert_eq!(first, id("summary-2026.txt", &Identity { size: 9, ..identity }));
    assert_ne!(first, id("summary-2026.txt", &Identity { inode: 2, ..identity }));
    assert_ne!(first, id("summary-2026.txt", &Identity { modified: 4, ..identity }));
    for strange in ["my file", "a\nb", "x-base64", "Quoted-Printable.txt", &"n".repeat(250), "\u{e9}"] {
        let id = id(strange, &identity);
        assert_eq!(id.len(), 64 + 9, "{strange}");
    }
}

#[test]
fn adds_durably_and_returns_the_name() {
    let _turn = scenario("");
    let spool = Spool::new(Format::Dirq);
    let outgoing = spool.own();
    let name = outgoing.add(None, b"content").unwrap();
    assert_eq!(names(&outgoing), [name.to_string()]);
    let spool = Spool::new(Format::Directory);
    let outgoing = spool.own();
    assert_eq!(outgoing.add(Some("cpu.txt"), b"one").unwrap().to_string(), "cpu.txt");
    let second = outgoing.add(Some("cpu.txt"), b"two").unwrap().to_string();
    assert!(second.starts_with("cpu.txt-"));
    assert_eq!(outgoing.count().unwrap(), 2);
    for bad in ["", "a/b", ".hidden", "x.tmp"] {
        assert!(matches!(outgoing.add(Some(bad), b"x").unwrap_err(), SpoolError::BadElementName { .. }));
    }
}

#[test]
fn a_purge_spares_elements_writers_and_live_locks() {
    let _turn = scenario("");
    let spool = Spool::new(Format::Dirq);
    let hours = |n: u64| Duration::from_secs(n * 3600);
    spool.put(A, "x", hours(100));
    spool.put("6b031200/6b03120000002a.tmp", "x", hours(23));
    spool.put("6b031200/6b03120000003a.tmp", "x", hours(25));
    spool.put("6b031200/6b03120000004a.lck", "x", hours(1));
    spool.put("6b031200/6b03120000005a.lck", "x", Duration::from_secs(5));
    for name in ["6b031180", "6b0312f0", "6b0312ff"] {
        fs::create_dir(spool.path().join(name)).unwrap();
    }
    let outgoing = spool.own();
    let stopped = outgoing.purge(|| true).unwrap();
    assert_eq!((stopped.directories, stopped.leftovers, stopped.locks), (0, 0, 0));
    let purged = outgoing.purge(|| false).unwrap();
    assert_eq!((purged.directories, purged.leftovers, purged.locks), (2, 1, 1));
    assert_eq!(names(&outgoing), [A]);
    assert!(spool.path().join("6b0312ff").is_dir());
}

#[test]
fn a_purge_spares_the_locks_of_elements_in_flight() {
    let _turn = scenario("");
    let spool = Spool::new(Format::Dirq);
    let element = spool.put(A, "x", OLD);
    let outgoing = spool.own();
    let locked = lock(&outgoing, A).unwrap();
    fs::remove_file(&element).unwrap();
    let lock_file = element.with_extension("lck");
    assert_eq!((outgoing.purge(|| false).unwrap().locks, lock_file.exists()), (0, true));
    fs::rename(&lock_file, spool.path().join(B).with_extension("lck")).unwrap();
    assert_eq!(outgoing.purge(|| false).unwrap().locks, 1, "nothing of this process is in flight under that name");
    drop(locked);
}

#[test]
fn many_elements_are_removed_with_few_syncs() {
    let turn = scenario("");
    let spool = Spool::new(Format::Dirq);
    let elements: Vec<String> = (0..64).map(|n| format!("6b031200/6b031200{n:06x}")).collect();
    for name in &elements {
        spool.put(name, "x", OLD);
    }
    let outgoing = spool.own();
    let locked: Vec<LockedElement> = elements.iter().map(|name| lock(&outgoing, name).unwrap()).collect();
    turn.set("");
    let removals = LockedElement::remove_all(locked);
    assert!(removals.into_iter().all(|removal| removal.unwrap() == Removal::Removed));
    // A rename, an unlink and the lock of each, and one sync of their directory.
    assert_eq!(turn.hits("step"), 3 * 64 + 1);
    assert_eq!(outgoing.count().unwrap(), 0);
}

#[test]
fn a_large_queue_returns_its_first_element_at_once_and_all_in_order() {
    let _turn = scenario("");
    let spool = Spool::new(Format::Directory);
    fs::create_dir_all(spool.path()).unwrap();
    for n in 0..3000 {
        File::create(spool.path().join(format!("f{n}"))).unwrap();
    }
    let outgoing = spool.own();
    assert_eq!(names(&outgoing).len(), 3000);
}

#[test]
fn foreign_entries_are_reported_with_a_remedy() {
    let _turn = scenario("");
    let hour = Duration::from_secs(3600);
    let spool = Spool::new(Format::Directory);
    for (name, age) in [("a.tmp", hour), ("b.tmp", OLD), (".hidden", OLD), ("c", OLD), (".sesame-x.tmp", hour)] {
        spool.put(name, "x", age);
    }
    let waiting = spool.own().waiting().unwrap();
    assert_eq!((waiting.count, waiting.first.map(|name| name.to_string()).as_deref()), (1, Some("c")));
    let mut kinds: Vec<_> = waiting.foreign.iter().map(|foreign| (foreign.name.to_string(), foreign.kind)).collect();
    kinds.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(kinds, [(".hidden".to_owned(), ForeignKind::Hidden), ("a.tmp".to_owned(), ForeignKind::Temporary)]);
    let text = waiting.foreign.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(
        text.contains("a.tmp is named like a file that is being written and is never sent; rename it without .tmp"),
        "{text}"
    );

    let spool = Spool::new(Format::Dirq);
    let misnamed =
        ["6b031200/6B03120000001A", "6b031200/6b0312000000a", "6b031200/x.tmp", "6B031200/6b03120000001a", "loose"];
    let passing = ["6b031200/6b03120000003a.tmp", "6b031200/6b03120000003a.lck", "6b031200/.nfs0001"];
    for name in misnamed.iter().chain(&passing).chain(&[A]) {
        spool.put(name, "x", hour);
    }
    let waiting = spool.own().waiting().unwrap();
    assert_eq!(waiting.count, 1);
    let mut found: Vec<_> = waiting.foreign.iter().map(|foreign| foreign.name.to_string()).collect();
    found.sort();
    let mut expected: Vec<&str> =
        misnamed.iter().map(|name| name.strip_suffix("/6b03120000001a").unwrap_or(name)).collect();
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert!(waiting.foreign.iter().all(|foreign| foreign.kind == ForeignKind::Name));
}
