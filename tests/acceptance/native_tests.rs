//! Plugins outside WebAssembly: the test that `sesame plugin new` writes for each language that has one, on the same cases as
//! the component, its coverage, and the types of Python.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::harness::Folder;
use crate::languages::{C, GO, JAVASCRIPT, Language, PYTHON, RUST, TYPESCRIPT, author, done, sesame, turn};
use crate::peers::tools;

/// The command that runs the test of a project.
fn native(language: &Language) -> (PathBuf, &'static [&'static str]) {
    match language.word {
        "rust" => ("cargo".into(), &["test", "--quiet"]),
        "python" => (tools().join("authors/bin/python"), &["-m", "pytest", "-q"]),
        "go" => ("go".into(), &["test", "."]),
        _ => ("node".into(), &["--test"]),
    }
}

/// Whether the language has one.
pub(crate) fn is_there(language: &Language) -> bool {
    !matches!(language.word, "c" | "cpp" | "zig")
}

pub(crate) fn run(language: &Language, project: &Path) -> Output {
    let (program, arguments) = native(language);
    author(project, program.to_str().unwrap()).args(arguments).output().unwrap()
}

fn copy(language: &Language, folder: &Folder) -> PathBuf {
    let project = folder.join("sites");
    done(Command::new("cp").arg("-a").arg(language.project()).arg(&project).output().unwrap());
    project
}

/// The project's own test passes on its cases, and fails with the difference when a case expects something else.
fn agrees_with_the_cases(language: &Language) {
    let folder = Folder::new("native");
    let project = copy(language, &folder);
    let _turn = turn(language);
    done(run(language, &project));
    let expected = project.join("cases/refuses-an-unlisted-site/expected.toml");
    let text = std::fs::read_to_string(&expected).unwrap();
    std::fs::write(&expected, text.replace("site.unknown", "site.odd")).unwrap();
    let output = run(language, &project);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!output.status.success(), "{}: {said}", language.word);
    for part in ["refuses-an-unlisted-site", "- code = \"site.odd\"", "+ code = \"site.unknown\""] {
        assert!(said.contains(part), "{}: {part} not in\n{said}", language.word);
    }
}

#[test]
fn cargo_test_runs_a_plugin_on_its_cases() {
    agrees_with_the_cases(&RUST);
}

#[test]
fn pytest_runs_a_plugin_on_its_cases() {
    agrees_with_the_cases(&PYTHON);
}

#[test]
fn node_test_runs_a_plugin_in_javascript_on_its_cases() {
    agrees_with_the_cases(&JAVASCRIPT);
}

#[test]
fn node_test_runs_a_plugin_in_typescript_on_its_cases() {
    agrees_with_the_cases(&TYPESCRIPT);
}

#[test]
fn go_test_runs_a_plugin_on_its_cases() {
    agrees_with_the_cases(&GO);
}

#[test]
fn a_test_without_sesame_says_what_is_missing() {
    let folder = Folder::new("native-alone");
    let project = copy(&JAVASCRIPT, &folder);
    let mut command = author(&project, "node");
    let output = command.arg("--test").env("SESAME", folder.join("nowhere")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains("put sesame into PATH, or its path into SESAME"), "{said}");
}

#[test]
fn coverage_shows_the_lines_of_the_plugin_that_its_cases_run() {
    for (language, main) in
        [(&PYTHON, "plugin.py"), (&JAVASCRIPT, "plugin.js"), (&TYPESCRIPT, "plugin.ts"), (&GO, "plugin.go")]
    {
        let folder = Folder::new("coverage");
        let project = copy(language, &folder);
        let said = done(sesame(&project, &["plugin", "test", "sites.wasm", "cases", "--coverage"]));
        assert!(said.contains("4 passed, 0 failed"), "{said}");
        let of_main = |line: &&str| line.trim_start_matches("ℹ ").trim_start_matches("sites/").starts_with(main);
        let line = said.lines().find(of_main).unwrap_or_else(|| panic!("{}: {said}", language.word));
        let mut numbers = line.split([' ', '\t', '%', '|']).filter_map(|word| word.parse::<f64>().ok());
        assert!(numbers.any(|number| (50.0..=100.0).contains(&number)), "{line}");
        assert!(!said.contains("sesame.js |") && !said.contains("sesame_plugin.py "), "{said}");
    }
}

#[test]
fn a_language_without_coverage_says_so() {
    let project = C.project();
    let output = sesame(project, &["plugin", "test", "sites.wasm", "cases", "--coverage"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("there is no coverage for plugins in C, C++ and Zig"), "{said}");
}

#[test]
fn mypy_checks_a_plugin_in_python_against_the_contract() {
    let folder = Folder::new("mypy");
    let mypy = |project: &Path| {
        let mut command = author(project, tools().join("authors/bin/python").to_str().unwrap());
        command.args(["-m", "mypy", "--strict", "--cache-dir", folder.join("cache").to_str().unwrap(), "plugin.py"]);
        command.output().unwrap()
    };
    for role in ["validator", "transformer", "router"] {
        done(sesame(folder.path(), &["plugin", "new", role, "--lang", "python", "--role", role]));
        done(mypy(&folder.join(role)));
    }
    let main = folder.join("validator/plugin.py");
    let source = std::fs::read_to_string(&main).unwrap();
    for (from, to, says) in [
        ("message.payload.decode", "message.content.decode", "has no attribute \"content\""),
        ("record=record", "record=\"one\"", "expected \"int | None\""),
        ("\"validator\")", "\"router\")", "No overload variant of \"export\""),
    ] {
        std::fs::write(&main, source.replace(from, to)).unwrap();
        let output = mypy(&folder.join("validator"));
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && said.contains(says), "{to}: {said}");
    }
}
