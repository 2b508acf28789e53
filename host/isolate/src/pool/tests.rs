//! Programs that are no children of ours: none of them holds the parent up for good.

use super::*;

fn pool(program: &str) -> Pool {
    Pool::with_deadline(program.into(), 2, Duration::from_millis(300))
}

#[test]
fn a_program_that_ends_or_is_missing_makes_messages_wait() {
    for (program, words) in [("/bin/false", "exited with status 1"), ("/nowhere/sesame", "No such file")] {
        let pool = pool(program);
        let Err(NotOpened::Unavailable(why)) = pool.sandbox() else { panic!("{program}") };
        assert!(why.contains(words), "{why}");
        // Not again at once.
        let Err(NotOpened::Unavailable(why)) = pool.sandbox() else { panic!("{program}") };
        assert!(why.contains("crashed"), "{why}");
        assert_eq!(pool.counts(), (0, 0), "no message was concerned");
    }
}

#[test]
fn a_program_that_says_nothing_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("sleeps");
    std::fs::write(&script, "#!/bin/sh\nexec sleep 60\n").unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let began = Instant::now();
    let Err(NotOpened::Unavailable(why)) = pool(script.to_str().unwrap()).sandbox() else { panic!() };
    assert!(why.contains("was killed"), "{why}");
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[test]
fn ends_are_named() {
    assert_eq!(ended_with(ExitStatus::from_raw(3 << 8)), "exited with status 3");
    assert!(ended_with(ExitStatus::from_raw(31)).contains("signal 31 (SIGSYS"));
    assert_eq!(ended_with(ExitStatus::from_raw(10)), "ended by signal 10");
}
