//! The contract lasts: what is in `wit/` must take every plugin that was built for a released text of the same major
//! version, and the check that says so must refuse what would break one.

use std::fs;
use std::path::PathBuf;

use wit_component::semver_check;
use wit_parser::{PackageId, Resolve};

const WORLDS: [&str; 3] = ["validator-plugin", "transformer-plugin", "router-plugin"];

fn wit(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../wit").join(name)
}

fn text(name: &str) -> String {
    let path = wit(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

/// Under another version, because two packages of one name and version cannot be compared.
fn compare(released: &str, edited: &str) -> Result<(), String> {
    let edited = edited.replacen("package sesame:plugin@1.", "package sesame:plugin@1.999", 1);
    for world in WORLDS {
        let mut resolve = Resolve::default();
        let mut push = |name: &str, text: &str| resolve.push_str(name, text).map_err(|error| format!("{error:#}"));
        let (before, after): (PackageId, PackageId) = (push("released.wit", released)?, push("edited.wit", &edited)?);
        let (before, after) = (
            resolve.select_world(&[before], Some(world)).map_err(|error| format!("{error:#}"))?,
            resolve.select_world(&[after], Some(world)).map_err(|error| format!("{error:#}"))?,
        );
        semver_check(resolve, before, after).map_err(|error| format!("{world}: {error:#}"))?;
    }
    Ok(())
}

#[test]
fn takes_every_plugin_of_a_released_text_of_its_major_version() {
    let today = text("plugin.wit");
    let released = fs::read_dir(wit("released")).expect("wit/released").map(|entry| entry.unwrap().path());
    let of_this_major: Vec<PathBuf> = released
        .filter(|path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"1.")))
        .collect();
    assert!(!of_this_major.is_empty(), "no released text of major version 1 in wit/released");
    for path in of_this_major {
        let before = fs::read_to_string(&path).unwrap();
        if let Err(error) = compare(&before, &today) {
            panic!("wit/plugin.wit breaks plugins built for {}: {error}", path.display());
        }
    }
}

#[test]
fn every_text_is_a_package_of_its_name_and_tools_read_the_folder_as_one() {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(wit("")).unwrap();
    assert!(resolve.packages[package].name.to_string().starts_with("sesame:plugin@1."));
    for entry in fs::read_dir(wit("released")).expect("wit/released") {
        let path = entry.unwrap().path();
        let version = path.file_stem().unwrap().to_str().unwrap();
        let mut resolve = Resolve::default();
        let package = resolve.push_str("released.wit", &fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(resolve.packages[package].name.to_string(), format!("sesame:plugin@{version}"));
    }
}

/// What is changed, the text it replaces, and the new text.
type Edit = (&'static str, &'static str, &'static str);

const BREAKING: [Edit; 17] = [
    ("a field added", "    attempt: u32,\n", "    attempt: u32,\n    weight: option<u32>,\n"),
    ("a field removed", "    attempt: u32,\n", ""),
    ("a field renamed", "    attempt: u32,\n", "    tries: u32,\n"),
    ("a field of another type", "    attempt: u32,\n", "    attempt: u64,\n"),
    ("two fields in another order", "    channel: string,\n", ""),
    ("a case added to failure", "    internal(string),\n", "    internal(string),\n    later,\n"),
    ("a case removed from failure", "    internal(string),\n", ""),
    ("a case added to verdict", "    unchanged,\n", "    unchanged,\n    postponed,\n"),
    ("a severity added", "enum severity { error, warning, info }", "enum severity { error, warning, info, hint }"),
    ("a level added", "enum level { trace, debug, info,", "enum level { trace, debug, info, notice,"),
    ("a direction added", "    inbound,\n", "    inbound,\n    internal,\n"),
    ("a parameter added", "validate: func(msg: message)", "validate: func(msg: message, strict: bool)"),
    ("another result", "result<list<string>, failure>", "result<string, failure>"),
    ("a function renamed", "  transform: func(", "  change: func("),
    ("a function that old plugins do not export", "  init: func(", "  finish: func();\n  init: func("),
    ("a function that old plugins import, gone", "  write: func(", "  say: func("),
    ("an export that old plugins do not have", "  export lifecycle;\n", "  export lifecycle;\n  export late;\n"),
];

const SAFE: [Edit; 3] = [
    ("a comment", "/// Answer, and write to its log.", "/// Answer and log."),
    ("a new interface", "interface router {", "interface state { read: func() -> string; }\ninterface router {"),
    ("a new world", "world router-plugin {", "world no-plugin { import log; }\nworld router-plugin {"),
];

/// The released text with one edit, which must have changed something.
fn edited((what, from, to): Edit) -> (String, String) {
    let released = text("released/1.0.0.wit");
    let mut edited = released.replace(from, to);
    assert_ne!(released, edited, "{what}: {from:?} is not in the text");
    if to.contains("export late") {
        edited.push_str("interface late { late: func(); }\n");
    }
    if what.starts_with("two fields") {
        edited = edited.replace("    destination: string,\n", "    destination: string,\n    channel: string,\n");
    }
    (released, edited)
}

/// Version 1.1 as one package: the interfaces of 1.0, and `tables`, which each world imports.
#[test]
fn version_1_1_only_adds() {
    let tables = text("tables/tables.wit");
    let package = Resolve::default().push_str("tables.wit", &tables).map(drop);
    package.unwrap_or_else(|error| panic!("wit/tables/tables.wit: {error:#}"));
    let (head, interface) = tables.split_once("interface tables {").unwrap();
    assert!(head.contains("package sesame:plugin@1.1.0;"), "{head}");
    let imports = text("plugin.wit").replace("  import log;\n", "  import log;\n  import tables;\n");
    assert_eq!(imports.matches("import tables;").count(), WORLDS.len());
    let joined = format!("{imports}\ninterface tables {{{interface}");
    compare(&text("released/1.0.0.wit"), &joined).unwrap();
    let broken = joined.replace("  init: func(", "  prepare: func(");
    assert!(compare(&text("released/1.0.0.wit"), &broken).is_err(), "the check compares the rest of it, too");
}

#[test]
fn refuses_what_would_break_a_plugin() {
    for edit in BREAKING {
        let (released, edited) = edited(edit);
        let error = compare(&released, &edited).err().unwrap_or_else(|| panic!("{} was let through", edit.0));
        assert!(error.contains("not semver-compatible"), "{}: {error}", edit.0);
    }
}

#[test]
fn lets_through_what_breaks_none() {
    for edit in SAFE {
        let (released, edited) = edited(edit);
        compare(&released, &edited).unwrap_or_else(|error| panic!("{} was refused: {error}", edit.0));
    }
}
