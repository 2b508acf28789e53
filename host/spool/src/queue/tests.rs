//! Tests of the queue with fields: reading, counting, locking, removing and purging.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::Duration;

use super::*;
use crate::failpoint::scenario;

fn queue() -> (tempfile::TempDir, Queue) {
    let folder = tempfile::tempdir().unwrap();
    let queue = Queue::create(&folder.path().join("q"), Modes::default()).unwrap();
    (folder, queue)
}

/// Adds an element as the commit engine does.
fn add(queue: &Queue, body: &str) -> ElementPath {
    let draft = queue.draft(&[("body", body.as_bytes().to_vec()), ("empaid", b"id".to_vec())], true).unwrap();
    queue.publish(&draft.temporary, &draft.target, &mut std::collections::BTreeSet::new()).unwrap().unwrap()
}

#[test]
fn has_the_modes_and_the_layout_of_dirq() {
    let _turn = scenario("");
    let (_folder, queue) = queue();
    let element = add(&queue, "x");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(element.to_string().len(), 23);
    assert_eq!(element.directory, "00000000");
    assert_eq!(mode(&queue.element(&element)), 0o750);
    assert_eq!(mode(&queue.element(&element).join("body")), 0o640);
    assert!(queue.path().join("temporary").is_dir() && queue.path().join("obsolete").is_dir());
}

#[test]
fn lists_in_order_and_counts() {
    let _turn = scenario("");
    let (_folder, queue) = queue();
    let added: Vec<ElementPath> = (0..50).map(|n| add(&queue, &n.to_string())).collect();
    let listed: Vec<ElementPath> = queue.elements().unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(listed, added);
    assert_eq!(queue.count().unwrap(), 50);
}

#[test]
fn begins_a_new_directory_when_one_is_full() {
    let _turn = scenario("");
    let (_folder, queue) = queue();
    *queue.insertion.lock().unwrap() = Some(draft::Insertion { directory: 4, used: DIRECTORY_ELEMENTS - 1 });
    assert_eq!(add(&queue, "x").directory, "00000004");
    assert_eq!(add(&queue, "x").directory, "00000005");
    let again = Queue::open(queue.path(), Modes::default()).unwrap();
    assert_eq!(add(&again, "x").directory, "00000005");
}

#[test]
fn bad_elements_are_reported_and_the_others_read() {
    let _turn = scenario("");
    let (_folder, queue) = queue();
    let good = add(&queue, "good");
    let directory = queue.path().join("00000000");
    std::fs::create_dir(directory.join("00000000000001")).unwrap();
    std::fs::write(directory.join("00000000000002"), "a file").unwrap();
    std::fs::create_dir(directory.join("00000000000003")).unwrap();
    symlink("/etc/hostname", directory.join("00000000000003/body")).unwrap();
    std::fs::write(directory.join("not an element"), "x").unwrap();
    let listed: Vec<ElementPath> = queue.elements().unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(listed.len(), 4);
    let read: Vec<_> = listed.iter().map(|element| queue.read(element, 100)).collect();
    assert!(matches!(read[0], Err(ElementError::NoBody { .. })));
    assert!(matches!(read[1], Err(ElementError::Unreadable { .. })));
    assert!(matches!(read[2], Err(ElementError::Unreadable { .. })));
    assert_eq!(read[3].as_ref().unwrap().fields["body"], b"good");
    assert!(matches!(queue.read(&good, 5), Err(ElementError::TooLarge { limit: 5, .. })));
    let gone = ElementPath::parse("00000000/00000000000009").unwrap();
    assert!(matches!(queue.read(&gone, 5), Err(ElementError::Gone { .. })));
}

#[test]
fn an_element_has_one_lock_and_is_removed_under_it() {
    let _turn = scenario("");
    let (_folder, queue) = queue();
    let element = add(&queue, "x");
    let locked = queue.lock(&element).unwrap().unwrap();
    assert!(queue.lock(&element).unwrap().is_none());
    drop(locked);
    queue.lock(&element).unwrap().unwrap().remove().unwrap();
    assert_eq!(queue.count().unwrap(), 0);
    assert!(queue.lock(&element).unwrap().is_none());
    assert_eq!(std::fs::read_dir(queue.path().join("obsolete")).unwrap().count(), 0);
}

#[test]
fn a_purge_removes_empty_directories_except_the_last_and_old_left_overs() {
    let _turn = scenario("");
    let (_folder, queue) = queue();
    add(&queue, "x");
    for name in ["00000001", "00000002", "obsolete/00000000000001.gone"] {
        std::fs::create_dir(queue.path().join(name)).unwrap();
    }
    std::fs::create_dir(queue.path().join("temporary/00000000000001.new")).unwrap();
    let day = Duration::from_secs(86_400);
    assert_eq!(queue.purge(day, day).unwrap(), Purged { directories: 1, leftovers: 0, locks: 0 });
    assert_eq!(queue.purge(Duration::ZERO, day).unwrap(), Purged { directories: 0, leftovers: 1, locks: 0 });
    assert!(queue.path().join("temporary/00000000000001.new").exists());
    assert_eq!(queue.count().unwrap(), 1);
}
