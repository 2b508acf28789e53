//! Components composed by `wac plug`: the outer is in Rust, `tests/guests/lenient`, which the documentation shows as well.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::Folder;
use crate::languages::{JAVASCRIPT, Language, PYTHON, done, sesame};
use crate::peers::{guests, tools};

/// `plugin.wasm` in this folder: the outer with this inner component.
fn compose(folder: &Folder, inner: &Path) -> PathBuf {
    let plugin = folder.join("plugin.wasm");
    let wac = tools().join("bin/wac");
    assert!(wac.exists(), "{} is not there: run tests/setup", wac.display());
    let outer = guests::component("lenient");
    let command = Command::new(wac).arg("plug").arg("--plug").arg(inner).arg(outer).arg("-o").arg(&plugin).output();
    done(command.unwrap());
    plugin
}

/// Runs the plugin on one message with this sidecar; its answer is the expected one.
#[track_caller]
fn passes(folder: &Folder, sidecar: &str, message: &str, expected: &str) {
    folder.write("plugin.toml", sidecar);
    folder.write("cases/one/message", message);
    folder.write("cases/one/expected.toml", expected);
    done(sesame(folder.path(), &["plugin", "test", "plugin.wasm", "cases"]));
}

const SITES: &str = "[config]\ntolerate = [\"site.unknown\"]\ninner = { sites = [\"UKI-TEST\"] }\n";

/// The template's validator in this language works inside the outer one.
fn works_as_the_inner(language: &Language) {
    let folder = Folder::new("composed");
    let plugin = compose(&folder, &language.project().join("sites.wasm"));
    let shown = done(sesame(folder.path(), &["plugin", "inspect", plugin.to_str().unwrap()]));
    for expected in ["name         lenient 0.1.0", "roles        validator\n", "verdict      can be used"] {
        assert!(shown.contains(expected), "{expected} not in\n{shown}");
    }
    let warning = "verdict = \"accepted\"\n[[finding]]\nseverity = \"warning\"\ncode = \"site.unknown\"\nrecord = 1\n";
    passes(&folder, SITES, "Site: ELSEWHERE\n%%\n", warning);
    passes(&folder, SITES, "Site: UKI-TEST\n%%\n", "verdict = \"accepted\"\n");
    let missing = "verdict = \"invalid\"\n[[finding]]\nseverity = \"error\"\ncode = \"site.missing\"\n";
    passes(&folder, SITES, "Name: a\n%%\n", missing);
    // The inner one refuses its part of the configuration.
    let refused = "verdict = \"failed\"\nreason = \"list at least one site\"\n";
    passes(&folder, "[config]\ntolerate = []\ninner = { sites = [] }\n", "Site: UKI-TEST\n", refused);
}

#[test]
fn a_validator_in_python_works_inside_one_in_rust() {
    works_as_the_inner(&PYTHON);
}

#[test]
fn a_validator_in_javascript_works_inside_one_in_rust() {
    works_as_the_inner(&JAVASCRIPT);
}

#[test]
fn a_stock_plugin_works_inside_one_in_rust() {
    let folder = Folder::new("composed-stock");
    compose(&folder, &Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/any-record.wasm"));
    for (tolerate, verdict, severity) in
        [("", "invalid", "error"), ("\"message.type-not-recognised\"", "accepted", "warning")]
    {
        let sidecar = format!("[config]\ntolerate = [{tolerate}]\ninner = {{}}\n");
        let finding = format!("[[finding]]\nseverity = \"{severity}\"\ncode = \"message.type-not-recognised\"\n");
        passes(&folder, &sidecar, "no record\n", &format!("verdict = \"{verdict}\"\n{finding}"));
    }
}

/// Bytes of memory for one call with this message.
fn memory(folder: &Folder, component: &Path) -> u64 {
    let message = folder.write("message", "Site: UKI-TEST\n%%\n");
    let arguments = ["plugin", "bench", component.to_str().unwrap(), "--json", "--message", message.to_str().unwrap()];
    let output = sesame(folder.path(), &arguments);
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    told["messages"][0]["memory-bytes"].as_u64().unwrap()
}

#[test]
fn memory_is_limited_for_all_parts_together() {
    let folder = Folder::new("composed-memory");
    let inner = JAVASCRIPT.project().join("sites.wasm");
    let plugin = compose(&folder, &inner);
    folder.write("plugin.toml", SITES);
    let (alone, together) = (memory(&folder, &inner), memory(&folder, &plugin));
    assert!(together >= alone + (1 << 20), "{alone} alone, {together} together: a module in Rust has 1 MiB of stack");
    // Enough for either.
    let limit = format!("memory = {}\n", together - 1);
    let expected = "verdict = \"failed\"\nreason = \"exceeded its memory limit\"\n";
    passes(&folder, &format!("{limit}{SITES}"), "Site: UKI-TEST\n%%\n", expected);
    let limit = format!("memory = {together}\n");
    passes(&folder, &format!("{limit}{SITES}"), "Site: UKI-TEST\n%%\n", "verdict = \"accepted\"\n");
}

#[test]
fn time_memory_and_failures_of_an_inner_part_are_those_of_the_plugin() {
    let folder = Folder::new("composed-limits");
    compose(&folder, &guests::component("behaviour"));
    for (settings, validate, reason) in [
        ("deadline = \"200ms\"", "loop", "took longer than its deadline of 200 ms"),
        ("memory = \"16MiB\"", "eat-memory", "exceeded its memory limit of 16 MiB"),
        ("", "panic", "stopped with a panic"),
        ("", "internal", "reports an internal error"),
    ] {
        let config = format!("[config]\ntolerate = []\ninner = {{ validate = {validate:?}, text = \"said\" }}\n");
        let expected = format!("verdict = \"failed\"\nreason = {reason:?}\n");
        passes(&folder, &format!("{settings}\n{config}"), "Site: UKI-TEST\n", &expected);
    }
}

#[test]
fn what_an_inner_part_imports_is_refused_by_name() {
    let folder = Folder::new("composed-import");
    // It imports an interface that this host does not know: another name of the same length, which keeps every offset.
    let mut bytes = std::fs::read(guests::component("files")).unwrap();
    let (from, to) = (b"wasi:filesystem/", b"wasi:filescheme/");
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
    }
    let inner = folder.write("inner.wasm", bytes);
    compose(&folder, &inner);
    let output = sesame(folder.path(), &["plugin", "inspect", "plugin.wasm"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("would be refused: it imports wasi:filescheme/"), "{said}");
}

#[test]
fn an_outer_part_alone_is_refused_with_the_command_that_composes_it() {
    let outer = guests::component("lenient");
    let output = sesame(outer.parent().unwrap(), &["plugin", "inspect", outer.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("sesame:plugin/validator@1.0.0, which a plugin must export: compose it"), "{said}");
}

#[test]
fn the_documentation_shows_the_outer_part_that_is_tested() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = std::fs::read_to_string(root.join("docs/src/plugins/composition.md")).unwrap();
    let source = std::fs::read_to_string(root.join("tests/guests/lenient/src/lib.rs")).unwrap();
    assert!(page.contains(&format!("```rust\n{source}```")), "docs/src/plugins/composition.md shows another source");
}
