//! What this crate promises about its own sources, checked by reading them: who may give up a message's last copy, and
//! which module may name which. Tests are left out of the reading.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The modules of the crate, lowest first. A module names only modules of lower layers, so there is no cycle, and sender
/// and receiver do not name each other.
const LAYERS: [&[&str]; 8] = [
    &["log", "memory", "shutdown"],
    &["config"],
    &["channel"],
    &["receiver", "sender"],
    &["retry"],
    &["service"],
    &["demo", "live"],
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
        heads(&self.code, "crate::").into_iter().filter(|name| *name != self.module()).collect()
    }
}

fn sources() -> Vec<Source> {
    sources_of("sesame")
}

/// Those of a crate, which is named as its folder in `host`.
fn sources_of(krate: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(krate).join("src");
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

/// Where this crate and `transport` have one of the `calls`.
fn callers(calls: &[&str]) -> Vec<String> {
    let sources = sources().into_iter().chain(sources_of("transport"));
    let mut found: Vec<String> = sources.flat_map(|source| source.functions_with(calls)).collect();
    found.sort();
    found
}

#[test]
fn messages_are_acknowledged_only_where_the_proof_is_taken() {
    assert_eq!(
        callers(&[".acknowledge(", "AckToken::acknowledge"]),
        [
            "connection/ams/puller.rs in fn confirm",
            "connection/delivery.rs in fn acknowledge",
            "receiver/mod.rs in fn acknowledge",
            "receiver/mod.rs in fn acknowledge_ping",
            "service/listener.rs in fn confirm"
        ],
        "call `receiver::acknowledge`: it needs a `spool::Stored`, the proof that the message is durable (a ping holds \
         nothing to store)"
    );
}

/// `LockedElement::remove`, of one element, is private to the crate `spool`.
#[test]
fn outgoing_elements_are_removed_only_where_the_proof_is_taken() {
    assert_eq!(
        callers(&["LockedElement::remove", "::remove_all(", ".remove_all(", "::take_over(", ".take_over("]),
        ["sender/mod.rs in fn keep", "sender/mod.rs in fn remove"],
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

/// Senders and receivers work the same over every transport.
#[test]
fn senders_and_receivers_name_no_protocol() {
    let named: Vec<String> = sources()
        .iter()
        .filter(|source| ["sender", "receiver"].contains(&source.module()))
        .filter(|source| ["stomp::", "Stomp", "ams::", "Ams"].iter().any(|word| source.code.contains(word)))
        .map(|source| source.path.clone())
        .collect();
    assert!(named.is_empty(), "ask `transport` instead: {named:#?}");
}

fn ends_a_name(c: char) -> bool {
    !(c.is_ascii_alphanumeric() || c == '_')
}

/// What the paths in `code` that begin with `prefix` name next: one name, or the first names of a group in braces.
fn heads<'a>(code: &'a str, prefix: &str) -> Vec<&'a str> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        let before = code.get(..at).unwrap_or_default();
        let rest = code.get(at + prefix.len()..).unwrap_or_default();
        if before.ends_with("::") || before.ends_with(|c: char| !ends_a_name(c)) || rest.starts_with("super::") {
            continue;
        }
        let Some(group) = rest.strip_prefix('{') else {
            found.extend(rest.split(ends_a_name).next());
            continue;
        };
        let (mut depth, mut start) = (1, 0);
        for (end, c) in group.char_indices() {
            depth += i32::from(c == '{') - i32::from(c == '}');
            if (c == ',' && depth == 1) || depth == 0 {
                let item = group.get(start..end).unwrap_or_default().trim_start();
                found.extend(item.split(ends_a_name).next());
                start = end + 1;
            }
            if depth == 0 {
                break;
            }
        }
    }
    found
}

/// Which top-level module a name at the root of the crate belongs to, from the `use` declarations of `lib.rs`.
fn exports(root: &str) -> BTreeMap<&str, &str> {
    let mut found = BTreeMap::new();
    for declaration in root.split("pub use ").skip(1).chain(root.split("pub(crate) use ").skip(1)) {
        let declaration = declaration.split(';').next().unwrap_or_default();
        let declaration = declaration.strip_prefix("self::").unwrap_or(declaration);
        let Some((module, names)) = declaration.split_once("::") else { continue };
        for name in names.split(ends_a_name) {
            found.insert(name, module);
        }
    }
    found
}

/// Where the top-level modules of a crate name each other: a place for each name that closes a cycle.
fn tangle(krate: &str) -> BTreeSet<String> {
    let sources = sources_of(krate);
    let root = sources.iter().find(|source| source.path == "lib.rs").map_or("", |source| source.code.as_str());
    let exports = exports(root);
    let modules: BTreeSet<&str> = sources.iter().map(Source::module).filter(|module| !ROOTS.contains(module)).collect();
    let mut named: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for source in sources.iter().filter(|source| modules.contains(source.module())) {
        let depth = source.path.trim_end_matches("/mod.rs").split('/').count();
        let up = "super::".repeat(depth);
        let heads = heads(&source.code, "crate::").into_iter().chain(heads(&source.code, &up));
        for head in heads {
            let Some(module) = modules.get(head).or_else(|| exports.get(head)).copied() else { continue };
            if module != source.module() {
                named.entry(source.module()).or_default().insert(module, &source.path);
            }
        }
    }
    let reached = |from: &str| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(module) = next.pop() {
            next.extend(
                named.get(module).into_iter().flat_map(BTreeMap::keys).copied().filter(|name| seen.insert(*name)),
            );
        }
        seen.into_iter().map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let mut places = BTreeSet::new();
    for (module, others) in &named {
        for (other, path) in others.iter().filter(|(other, _)| reached(other).contains(*module)) {
            places.insert(format!("{krate}/src/{path} names {other}, from where {module} is reached"));
        }
    }
    places
}

#[test]
fn modules_of_a_crate_do_not_name_each_other() {
    let crates = [
        "ams",
        "author",
        "client",
        "dial",
        "isolate",
        "message",
        "observe",
        "plugins",
        "registry",
        "sesame",
        "settings",
        "smime",
        "spool",
        "stomp",
        "terminal",
        "testkit",
        "transport",
        "trust",
    ];
    let places: BTreeSet<String> = crates.into_iter().flat_map(tangle).collect();
    assert!(places.is_empty(), "move what both need into a module that names neither: {places:#?}");
}

/// The packages of this workspace's lock file, each with what it depends on, for its tests too.
fn locked_packages() -> BTreeMap<String, Vec<String>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock");
    let lock: toml::Table = std::fs::read_to_string(file).unwrap().parse().unwrap();
    let text = |value: &toml::Value| value.as_str().unwrap().split(' ').next().unwrap_or_default().to_owned();
    let packages = lock["package"].as_array().unwrap().iter();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages {
        let needed = package.get("dependencies").and_then(toml::Value::as_array).into_iter().flatten().map(text);
        found.entry(text(&package["name"])).or_default().extend(needed);
    }
    found
}

/// What a package depends on, through others too.
fn dependencies(package: &str) -> BTreeSet<String> {
    let packages = locked_packages();
    let (mut found, mut next) = (BTreeSet::new(), vec![package.to_owned()]);
    while let Some(package) = next.pop() {
        let needed = packages.get(&package).unwrap_or_else(|| panic!("{package} is not in Cargo.lock"));
        next.extend(needed.iter().filter(|name| found.insert((*name).clone())).cloned());
    }
    found
}

/// Programs that only publish build neither the plugin host nor SQLite.
#[test]
fn the_client_has_no_plugins_and_no_spool() {
    let heavy = ["wasmtime", "rusqlite", "libsqlite3-sys", "sesame-plugins", "sesame-spool", "sesame"];
    let of = |package: &str| {
        let all = dependencies(package);
        heavy.into_iter().filter(|name| all.contains(*name)).collect::<Vec<_>>()
    };
    assert_eq!(of("sesame"), heavy[..5], "what is looked for is found");
    assert_eq!(of("sesame-client"), [""; 0]);
}
