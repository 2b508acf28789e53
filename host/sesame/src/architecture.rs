//! What this crate promises about its own sources, checked by reading them: who may give up a message's last copy, and
//! which module may name which. Tests are left out of the reading.

use std::collections::BTreeSet;
use std::path::Path;

/// The modules of the crate, lowest first. A module names only modules of lower layers, so there is no cycle, and sender
/// and receiver do not name each other.
const LAYERS: [&[&str]; 7] = [
    &["log", "memory", "shutdown"],
    &["config"],
    &["channel"],
    &["receiver", "sender"],
    &["service"],
    &["demo"],
    &["cli"],
];
/// Files of `src` that are no module of a layer.
const ROOTS: [&str; 3] = ["lib", "main", "architecture"];

/// A source file without its tests and comments.
struct Source {
    /// Its path below `src`.
    path: String,
    code: String,
}

impl Source {
    /// The top-level module it belongs to.
    fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// The functions with a line that contains one of the `calls`.
    fn functions_with(&self, calls: &[&str]) -> Vec<String> {
        let mut function = "";
        let mut found = Vec::new();
        for line in self.code.lines() {
            if let Some((before, after)) = line.split_once("fn ")
                && (before.is_empty() || before.ends_with(' '))
            {
                function = after.split(['(', '<']).next().unwrap_or_default();
            }
            if calls.iter().any(|call| line.contains(call)) {
                found.push(format!("{} in fn {function}", self.path));
            }
        }
        found
    }

    /// The modules of the crate that it names, without its own.
    fn names(&self) -> BTreeSet<&str> {
        let not_in_a_name = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
        let named = self.code.split("crate::").skip(1).filter_map(|rest| rest.split(not_in_a_name).next());
        named.filter(|name| *name != self.module()).collect()
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut found) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let is_test = path.file_stem().is_some_and(|stem| stem == "tests");
            if is_test {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.split("\nmod tests {").next().unwrap_or_default();
                let code =
                    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
                let path = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
                found.push(Source { path, code });
            }
        }
    }
    found.retain(|source| source.module() != "architecture");
    found
}

fn callers(calls: &[&str]) -> Vec<String> {
    let mut found: Vec<String> = sources().iter().flat_map(|source| source.functions_with(calls)).collect();
    found.sort();
    found
}

#[test]
fn messages_are_acknowledged_only_where_the_proof_is_taken() {
    assert_eq!(
        callers(&[".acknowledge(", "AckToken::acknowledge"]),
        ["receiver/mod.rs in fn acknowledge", "receiver/mod.rs in fn acknowledge_ping"],
        "call `receiver::acknowledge`: it needs a `spool::Stored`, the proof that the message is durable (a ping holds \
         nothing to store)"
    );
}

/// `LockedElement::remove`, of one element, is private to the crate `spool`.
#[test]
fn outgoing_elements_are_removed_only_where_the_proof_is_taken() {
    assert_eq!(
        callers(&["LockedElement::remove", "::remove_all(", ".remove_all("]),
        ["sender/mod.rs in fn remove"],
        "call `sender::remove`: it needs a `sender::Settled` for each element, the proof that the element is durable \
         elsewhere"
    );
}

#[test]
fn modules_name_only_modules_of_lower_layers() {
    let layer = |module: &str| LAYERS.iter().position(|layer| layer.contains(&module));
    let mut wrong = BTreeSet::new();
    for source in sources().iter().filter(|source| !ROOTS.contains(&source.module())) {
        let Some(own) = layer(source.module()) else {
            wrong.insert(format!("{} belongs to no layer: add its module to LAYERS", source.path));
            continue;
        };
        for named in source.names() {
            if layer(named).is_none_or(|named| named >= own) {
                wrong.insert(format!("{} names crate::{named}, which is in no lower layer", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
