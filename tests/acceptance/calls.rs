//! Everyday calls of each language in a plugin, and what every function of WASI answers behind them: the tables of
//! `docs/src/plugins/calls.md` are what comes out, and two runs of which nothing real is alike give the same bytes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use crate::harness::Folder;
use crate::languages::{author, done, sesame};
use crate::peers::guests;
use crate::sesame::program;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The calls under a heading of the page, and what it says that they answer.
fn table(heading: &str) -> Vec<(String, String)> {
    let page = std::fs::read_to_string(repository().join("docs/src/plugins/calls.md")).unwrap();
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let cell = |text: &str| text.trim().trim_matches('`').replace("\\|", "|");
    rows.map(|row| {
        let (call, answer) = row.trim_matches(['|', ' ']).split_once("` | `").unwrap();
        (cell(call), cell(answer))
    })
    .collect()
}

/// A component and the cases it is asked.
struct Asked {
    folder: Folder,
    component: PathBuf,
}

impl Asked {
    fn new(name: &str, component: &Path) -> Self {
        Self { folder: Folder::new(name), component: component.to_owned() }
    }

    /// Asks it this message, under this id.
    fn case(&self, case: &str, message: &str, id: &str) {
        self.folder.write(&format!("cases/{case}/message"), message);
        self.folder.write(&format!("cases/{case}/context.toml"), format!("message-id = {id:?}\n"));
    }

    fn run(&self) -> Output {
        let (component, cases) = (self.component.to_str().unwrap(), self.folder.join("cases"));
        sesame(self.folder.path(), &["plugin", "test", component, cases.to_str().unwrap(), "--update"])
    }

    fn output(&self, case: &str) -> String {
        std::fs::read_to_string(self.folder.join("cases").join(case).join("output")).unwrap()
    }

    /// Why it failed.
    fn reason(&self, case: &str) -> String {
        let expected = std::fs::read_to_string(self.folder.join("cases").join(case).join("expected.toml")).unwrap();
        let expected: toml::Table = expected.parse().unwrap();
        assert_eq!(expected["verdict"].as_str(), Some("failed"), "{case}: {expected}");
        expected["reason"].as_str().unwrap().to_owned()
    }

    /// Its answers are those of the page, call by call, and the same whenever it is asked.
    #[track_caller]
    fn answers_as_the_page_says(&self, heading: &str, at_least: usize) {
        for (case, message, id) in [("all", "all", "1"), ("once", "chance", "1"), ("again", "chance", "1")] {
            self.case(case, message, id);
        }
        self.case("another", "chance", "2");
        done(self.run());
        let (page, output) = (table(heading), self.output("all"));
        let found: Vec<(&str, &str)> = output.lines().filter_map(|line| line.split_once('\t')).collect();
        for ((call, answer), (found_call, found_answer)) in page.iter().zip(&found) {
            assert_eq!(
                (call.as_str(), answer.as_str()),
                (*found_call, *found_answer),
                "docs/src/plugins/calls.md, {heading}"
            );
        }
        assert_eq!(page.len(), found.len(), "docs/src/plugins/calls.md, {heading}: rows are missing or left over");
        assert!(found.len() >= at_least, "{}", found.len());
        assert_eq!(self.output("once"), self.output("again"), "a retry has other random numbers");
        assert_ne!(self.output("once"), self.output("another"), "every message has the same random numbers");
    }
}

/// A project with the plugin of `tests/authors/calls`, built as the guide says.
fn project(language: &str, main: &str) -> (Folder, PathBuf) {
    let folder = Folder::new(&format!("calls-{language}"));
    done(sesame(folder.path(), &["plugin", "new", "calls", "--lang", language, "--role", "transformer"]));
    let project = folder.join("calls");
    std::fs::copy(repository().join("tests/authors/calls").join(main), project.join(main)).unwrap();
    std::fs::remove_file(project.join("calls.toml")).unwrap();
    done(sesame(&project, &["plugin", "build"]));
    let component = project.join("calls.wasm");
    (folder, component)
}

/// Where the source of `tests/authors/calls` has this text: the number of the line.
fn line_of(main: &str, text: &str) -> usize {
    let source = std::fs::read_to_string(repository().join("tests/authors/calls").join(main)).unwrap();
    source.lines().position(|line| line.contains(text)).unwrap() + 1
}

#[test]
fn everyday_calls_in_python_answer_what_the_page_says_and_name_call_and_line_where_they_cannot() {
    let (_project, component) = project("python", "plugin.py");
    let asked = Asked::new("calls-python-cases", &component);
    for what in ["open", "import", "connect"] {
        asked.case(what, &format!("run {what}"), "1");
    }
    asked.answers_as_the_page_says("Python", 60);
    for (what, line, error) in [
        (
            "open",
            line_of("plugin.py", "        open(\""),
            "FileNotFoundError: [Errno 44] No such file or directory: '/etc/hosts', in open(",
        ),
        (
            "import",
            line_of("plugin.py", "        import colorsys"),
            "ModuleNotFoundError: No module named 'colorsys'; import it at the top of the module, in import colorsys",
        ),
        (
            "connect",
            line_of("plugin.py", "        socket.create_connection"),
            "PermissionError: [Errno 2] Permission denied, in socket.create_connection(",
        ),
    ] {
        let (reason, expected) = (asked.reason(what), format!("plugin.py, line {line}: {error}"));
        assert!(reason.contains(&expected), "{expected:?} not in {reason:?}");
    }
}

#[test]
fn everyday_calls_in_javascript_answer_what_the_page_says_and_name_call_and_line_where_they_cannot() {
    let (_project, component) = project("js", "plugin.js");
    let asked = Asked::new("calls-js-cases", &component);
    for what in ["fetch", "timer"] {
        asked.case(what, &format!("run {what}"), "1");
    }
    asked.answers_as_the_page_says("JavaScript", 60);
    for (what, call) in [("fetch", "fetch"), ("timer", "setTimeout")] {
        let line = line_of("plugin.js", &format!("=== '{what}')"));
        let (reason, place) = (asked.reason(what), format!("plugin.js:{line}:"));
        let error = format!("ReferenceError: {call} is not defined");
        assert!(reason.contains(&place) && reason.contains(&error), "{place} {error:?} not in {reason:?}");
    }
}

#[test]
fn everyday_calls_in_rust_answer_what_the_page_says() {
    let asked = Asked::new("calls-rust-cases", &guests::component("calls"));
    for what in ["temp_dir", "spawn"] {
        asked.case(what, &format!("run {what}"), "1");
    }
    asked.answers_as_the_page_says("Rust", 25);
    assert!(asked.reason("temp_dir").contains("panicked at "), "{}", asked.reason("temp_dir"));
    assert!(asked.reason("spawn").contains("failed to spawn thread"), "{}", asked.reason("spawn"));
}

#[test]
fn everyday_calls_in_c_answer_what_the_page_says() {
    let (_project, component) = project("c", "plugin.c");
    Asked::new("calls-c-cases", &component).answers_as_the_page_says("C", 20);
}

#[test]
fn everyday_calls_in_cpp_answer_what_the_page_says() {
    let (_project, component) = project("cpp", "plugin.cpp");
    Asked::new("calls-cpp-cases", &component).answers_as_the_page_says("C++", 15);
}

#[test]
fn everyday_calls_in_go_answer_what_the_page_says() {
    let (_project, component) = project("go", "plugin.go");
    let asked = Asked::new("calls-go-cases", &component);
    asked.case("deadlock", "deadlock", "1");
    asked.answers_as_the_page_says("Go", 30);
    assert!(asked.reason("deadlock").contains("all goroutines are asleep"), "{}", asked.reason("deadlock"));
}

#[test]
fn what_a_plugin_prints_is_in_its_log_within_the_limit_of_the_log() {
    let asked = Asked::new("calls-log", &guests::component("calls"));
    asked.case("all", "all", "1");
    let output = asked.run();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said.matches(" seen plugin=\"calls.wasm\"").count(), 2, "{said}");
    asked.folder.write("quiet.toml", "log-limit = 5\n");
    let quiet = asked.folder.join("quiet.wasm");
    std::fs::copy(&asked.component, &quiet).unwrap();
    let asked = Asked { component: quiet, ..asked };
    let said = String::from_utf8_lossy(&asked.run().stderr).into_owned();
    assert_eq!(said.matches(" seen plugin=").count(), 1, "{said}");
    assert!(said.contains("further lines not written: log limit reached"), "{said}");
}

/// The functions of `wit/wasi`, as `HANDLE.FUNCTION` or `INTERFACE.FUNCTION`.
fn functions() -> BTreeSet<String> {
    let wit = std::fs::read_to_string(repository().join("wit/wasi/0.2.12.wit")).unwrap();
    let (mut functions, mut interface, mut resource) = (BTreeSet::new(), String::new(), None::<String>);
    for line in wit.lines() {
        let text = line.trim();
        let word = text.split([' ', ';', '(', ':', '{']).nth(1).unwrap_or_default().to_owned();
        if text.starts_with("interface ") {
            interface = word;
        } else if text.starts_with("resource ") && text.ends_with('{') {
            resource = Some(word);
        } else if line == "    }" {
            resource = None;
        } else if let Some((name, rest)) = text.split_once(':').filter(|_| text.contains("func(")) {
            assert!(rest.contains("func("), "{line}");
            let holder = resource.as_ref().unwrap_or(&interface);
            functions.insert(format!("{holder}.{}", name.trim_start_matches('%')));
        } else if text.starts_with("constructor(") {
            functions.insert(format!("{}.constructor", resource.as_ref().unwrap()));
        }
    }
    functions
}

/// Handles that no guest is given, so that their functions cannot be called.
const NEVER_GIVEN: [&str; 12] = [
    "error",
    "future-incoming-response",
    "future-trailers",
    "incoming-body",
    "incoming-datagram-stream",
    "incoming-request",
    "incoming-response",
    "outgoing-datagram-stream",
    "resolve-address-stream",
    "response-outparam",
    "tcp-socket",
    "udp-socket",
];

/// They end the call, or take a handle that is never given.
const NOT_CALLED: [&str; 4] =
    ["exit.exit", "exit.exit-with-code", "types.filesystem-error-code", "types.http-error-code"];

/// Asks the guest that calls everything, with this environment and these files around it.
fn ask_everything(marker: &str) -> String {
    let asked = Asked::new("stand-ins", &guests::component("stand-ins"));
    asked.case("all", "all", "0001");
    asked.folder.write("etc/passwd", marker);
    let (component, cases) = (asked.component.to_str().unwrap(), asked.folder.join("cases"));
    let mut command = author(asked.folder.path(), program().to_str().unwrap());
    command.args(["plugin", "test", component, cases.to_str().unwrap(), "--update"]);
    command.envs([("HOME", asked.folder.path().to_str().unwrap()), ("LANG", marker), ("TZ", marker), (marker, marker)]);
    done(command.output().unwrap());
    asked.output("all")
}

#[test]
fn every_function_answers_the_same_at_another_time_in_another_place_with_other_entropy() {
    let first = ask_everything("UTC");
    std::thread::sleep(Duration::from_millis(1100));
    let second = ask_everything("Asia/Tokyo");
    let called: BTreeSet<String> =
        first.lines().filter_map(|line| line.split_once('\t')).map(|(name, _)| name.to_owned()).collect();
    for (one, other) in first.lines().zip(second.lines()) {
        assert_eq!(one, other);
    }
    assert_eq!(first, second);
    let expected: BTreeSet<String> = functions()
        .into_iter()
        .filter(|name| !NOT_CALLED.contains(&name.as_str()))
        .filter(|name| !NEVER_GIVEN.contains(&name.split_once('.').unwrap().0))
        .collect();
    assert_eq!(called, expected, "tests/guests/stand-ins calls all that can be called");
    assert!(expected.len() > 90, "{}", expected.len());
}

#[test]
fn stand_ins_are_shown_by_inspect_and_refused_by_name_where_a_sidecar_denies_them() {
    let folder = Folder::new("deny");
    let component = folder.join("clocks.wasm");
    std::fs::copy(guests::component("clocks"), &component).unwrap();
    let inspected = done(sesame(folder.path(), &["plugin", "inspect", component.to_str().unwrap()]));
    for expected in [
        ": stand-in: fixed at the message's received-at",
        "wasi:cli/environment@0.2.6: linked (empty)",
        "sesame:plugin/types@1.0.0: granted",
        "verdict      can be used",
    ] {
        assert!(inspected.contains(expected), "{expected} not in\n{inspected}");
    }
    folder.write("clocks.toml", "deny-stand-ins = true\n");
    let asked = Asked { folder, component };
    asked.case("denied", "x", "1");
    done(asked.run());
    let reason = asked.reason("denied");
    assert!(reason.contains("imports wasi:clocks/monotonic-clock@0.2"), "{reason}");
    assert!(reason.contains("which its sidecar denies with `deny-stand-ins`"), "{reason}");
}

#[test]
fn a_plugin_in_python_that_asks_no_clock_for_its_dates_works() {
    let (folder, case) = (Folder::new("days"), repository().join("tests/authors/calls/days"));
    done(sesame(folder.path(), &["plugin", "new", "days", "--lang", "python"]));
    let project = folder.join("days");
    std::fs::copy(case.join("plugin.py"), project.join("plugin.py")).unwrap();
    std::fs::remove_file(project.join("days.toml")).unwrap();
    done(sesame(&project, &["plugin", "build"]));
    let cases = case.join("cases");
    let said = done(sesame(&project, &["plugin", "test", "days.wasm", cases.to_str().unwrap()]));
    assert!(said.contains("1 passed, 0 failed"), "{said}");
}
