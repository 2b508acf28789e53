//! Every state that a crash can leave, and what recovery makes of it.

use super::*;

/// Creates the state `(draft, row, visible)` on disk for one message and returns the path of the visible name.
fn make_state(spool: &Spool, draft: bool, row: bool, visible: bool) -> PathBuf {
    drop(spool.start().unwrap());
    let queue = Queue::open(&spool.root().join("incoming"), Modes::default()).unwrap();
    let written = queue.draft(&element(spool.root(), "incoming", "ours").fields, false).unwrap();
    let target = queue.element(&written.target);
    let relative = |path: &Path| path.strip_prefix(spool.root()).unwrap().to_str().unwrap().to_owned();
    if row {
        let moves = [crate::journal::Move { from: relative(&written.temporary), to: relative(&target) }];
        let (key, facts) = (key("a", "ours"), Facts::at(SystemTime::now()));
        let entry = crate::journal::Entry {
            key: &key,
            disposition: &Disposition::Stored,
            facts: &facts,
            moves: &moves,
            redelivered: false,
            again: false,
            raw_digest: None,
            resolves: None,
            sequence: None,
            acknowledge: None,
            index: crate::journal::Indexed::default(),
        };
        spool.journal().commit(&[entry], &[]).unwrap();
    }
    if !draft {
        std::fs::remove_dir_all(&written.temporary).unwrap();
    }
    if visible {
        std::fs::create_dir_all(&target).unwrap();
        for (name, bytes) in element(spool.root(), "incoming", "theirs").fields {
            std::fs::write(target.join(name), bytes).unwrap();
        }
    }
    target
}

#[test]
fn every_state_a_crash_can_leave_has_the_recovery_of_the_table() {
    let _turn = scenario("");
    for state in 0..8 {
        let (draft, row, visible) = (state & 1 != 0, state & 2 != 0, state & 4 != 0);
        let spool = Spool::new();
        make_state(&spool, draft, row, visible);
        let mut expected: Vec<&str> = Vec::new();
        expected.extend((draft && row).then_some("ours"));
        expected.extend(visible.then_some("theirs"));
        for round in 0..2 {
            let engine = spool.start().unwrap();
            let recovered = engine.recovered();
            assert_eq!(spool.bodies("incoming"), expected, "{draft} {row} {visible}");
            assert_eq!((spool.drafts(), spool.journal().pending().unwrap().len()), (0, 0));
            let first = round == 0;
            assert_eq!(recovered.published, usize::from(first && draft && row));
            assert_eq!(recovered.swept, usize::from(first && draft && !row));
        }
        // Seen if and only if there was a row.
        let engine = spool.start().unwrap();
        let again = engine.submit(store(spool.root(), "a", "ours")).wait().unwrap();
        assert_eq!(again.outcome() == &Outcome::Duplicate, row);
    }
}

#[test]
fn recovery_does_not_recreate_a_missing_queue_with_committed_elements() {
    let _turn = scenario("");
    let spool = Spool::new();
    make_state(&spool, true, true, false);
    std::fs::rename(spool.root().join("incoming"), spool.root().join("away")).unwrap();
    assert!(matches!(spool.start().unwrap_err(), CommitError::SpoolMissing { .. }));
    std::fs::rename(spool.root().join("away"), spool.root().join("incoming")).unwrap();
    drop(spool.start().unwrap());
    assert_eq!(spool.bodies("incoming"), ["ours"]);
}
