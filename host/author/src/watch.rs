//! `sesame plugin watch`: builds and tests a project at each change of its files, and shows what differs.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Component, Path};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::Context as _;
use notify::{Event, EventKind, RecursiveMode, Watcher as _};

use super::test::{Tested, each, line, sum};
use super::{Build, Host, Watch, build, output};
use message::cause::chain;
use terminal::{EXIT_FAILED, say};

/// After a change, how long no other may come: an editor saves a file in several steps.
const GATHER: Duration = Duration::from_millis(200);
/// Folders that the tools of the languages write to.
const OF_TOOLS: [&str; 5] = ["build", "target", "node_modules", "__pycache__", "fuzz"];

pub(super) fn run(arguments: &Watch, host: &Host) -> anyhow::Result<u8> {
    let folder = &arguments.folder;
    let folder = folder.canonicalize().with_context(|| format!("cannot open the project {}", folder.display()))?;
    let (sender, changes) = channel();
    let mut watcher = notify::recommended_watcher(sender).context("cannot watch files")?;
    watcher.watch(&folder, RecursiveMode::Recursive).with_context(|| format!("cannot watch {}", folder.display()))?;
    let mut last = BTreeMap::new();
    loop {
        match build_and_test(&folder, host) {
            Ok(Some(tested)) => last = compare(&last, &tested),
            Ok(None) => {}
            Err(error) => say(&format!("sesame: {}", chain(error.as_ref()))),
        }
        output::line("waiting for changes; end with Ctrl-C");
        if !wait(&changes, &folder) {
            say("sesame: the files of the project cannot be watched any more");
            return Ok(EXIT_FAILED);
        }
    }
}

/// `None` where the component is refused, which was said.
fn build_and_test(folder: &Path, host: &Host) -> anyhow::Result<Option<Vec<Tested>>> {
    let component = build::build(&Build { folder: folder.to_owned(), output: None }, host)?;
    each(&component, &folder.join("cases"), false, host, line)
}

/// Shows which results are others than the last time; returns them all.
fn compare(last: &BTreeMap<String, bool>, tested: &[Tested]) -> BTreeMap<String, bool> {
    let now: BTreeMap<String, bool> =
        tested.iter().map(|tested| (tested.name.clone(), !tested.verdict.is_failed())).collect();
    changes(last, &now).iter().for_each(|change| output::line(change));
    sum(tested);
    now
}

fn changes(last: &BTreeMap<String, bool>, now: &BTreeMap<String, bool>) -> Vec<String> {
    let changed = now.iter().filter(|(name, passed)| last.get(*name).is_some_and(|before| before != *passed));
    changed.map(|(name, passed)| format!("{} {name}", if *passed { "passes now:" } else { "fails now:" })).collect()
}

/// Waits for a change of the project's own files, and until no other follows. False where none is reported any more.
fn wait(changes: &Receiver<notify::Result<Event>>, folder: &Path) -> bool {
    loop {
        match changes.recv() {
            Ok(Ok(event)) if matters(&event, folder) => break,
            // An overflow: something may have changed.
            Ok(Err(_)) => break,
            Ok(Ok(_)) => {}
            Err(_) => return false,
        }
    }
    loop {
        match changes.recv_timeout(GATHER) {
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
}

fn matters(event: &Event, folder: &Path) -> bool {
    !matches!(event.kind, EventKind::Access(_)) && event.paths.iter().any(|path| is_ours(path, folder))
}

/// Whether an author changes this file: no tool, editor or build makes it.
fn is_ours(path: &Path, folder: &Path) -> bool {
    let Ok(inside) = path.strip_prefix(folder) else { return false };
    let names: Vec<&OsStr> = inside.components().map(Component::as_os_str).collect();
    let hidden = names.iter().any(|name| name.as_encoded_bytes().starts_with(b"."));
    let of_a_tool = names.first().is_some_and(|first| OF_TOOLS.iter().any(|name| first == name))
        || names.contains(&OsStr::new("__pycache__"));
    let made = inside.extension().is_some_and(|end| end == "wasm") || inside == Path::new("Cargo.lock");
    let backup = names.last().is_none_or(|last| last.as_encoded_bytes().ends_with(b"~"));
    !hidden && !of_a_tool && !made && !backup
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tools_and_editors_write_is_no_change() {
        let folder = Path::new("/p");
        for ours in ["plugin.py", "src/lib.rs", "cases/one/message", "sesame/build/x.c", "wit/world.wit"] {
            assert!(is_ours(&folder.join(ours), folder), "{ours}");
        }
        for others in
            ["build/x", "target/a/b", ".git/index", "plugin.wasm", "plugin.py~", ".plugin.py.swp", "Cargo.lock", ""]
        {
            assert!(!is_ours(&folder.join(others), folder), "{others}");
        }
        assert!(!is_ours(Path::new("/q/plugin.py"), folder));
    }

    #[test]
    fn what_passes_or_fails_now_is_shown() {
        let results = |pairs: &[(&str, bool)]| pairs.iter().map(|(name, ok)| ((*name).to_owned(), *ok)).collect();
        let last = results(&[("a", true), ("b", false), ("c", true)]);
        let now = results(&[("a", false), ("b", true), ("c", true), ("d", false)]);
        assert_eq!(changes(&last, &now), ["fails now: a", "passes now: b"]);
    }
}
