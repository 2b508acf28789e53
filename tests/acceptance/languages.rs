//! Plugins in each language: the commands of the guide as they stand there, then the plugin they made in both roles of a
//! channel, and what an operator reads when it gives up.
//!
//! Each language's project is made and built once for the run.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::harness::{Folder, eventually};
use crate::native_tests;
use crate::peers::Kind;
use crate::peers::broker::shared;
use crate::peers::{guests, tools as installed};
use crate::queues::{self, Element};
use crate::sesame::{Pair, Site, Way, caches, program};

/// A language, as the guide's heading and the command line have it.
#[derive(Debug)]
pub(crate) struct Language {
    heading: &'static str,
    pub(crate) word: &'static str,
    /// The file that holds the plugin.
    pub(crate) main: &'static str,
    /// What stands there, and what takes its place to make the plugin give up at a message that says so; where nothing is
    /// said, the plugin of `tests/authors` takes its place, which has every role.
    gives_up: Option<(&'static str, &'static str)>,
    /// What the operator then reads.
    words: &'static str,
    built: OnceLock<PathBuf>,
}

pub(crate) static RUST: Language = Language {
    heading: "### Rust",
    word: "rust",
    main: "src/lib.rs",
    gives_up: Some((
        "        for line in text.lines() {\n",
        "        for line in text.lines() {\n            assert!(line != \"give up\", \"out of cheese\");\n",
    )),
    words: "panicked at src/lib.rs:53:13: out of cheese",
    built: OnceLock::new(),
};

pub(crate) static PYTHON: Language = Language {
    heading: "### Python",
    word: "python",
    main: "plugin.py",
    gives_up: None,
    words: "plugin.py, line 15: RuntimeError: out of cheese",
    built: OnceLock::new(),
};

pub(crate) static JAVASCRIPT: Language = Language {
    heading: "### JavaScript",
    word: "js",
    main: "plugin.js",
    gives_up: None,
    words: "plugin.js:11:",
    built: OnceLock::new(),
};

pub(crate) static TYPESCRIPT: Language = Language {
    heading: "### TypeScript",
    word: "ts",
    main: "plugin.ts",
    gives_up: None,
    words: "plugin.ts:9: RangeError: out of cheese",
    built: OnceLock::new(),
};

pub(crate) static CPP: Language = Language {
    heading: "### C++",
    word: "cpp",
    main: "plugin.cpp",
    gives_up: None,
    words: "panicked at plugin.cpp:24: out of cheese",
    built: OnceLock::new(),
};

pub(crate) static ZIG: Language = Language {
    heading: "### Zig",
    word: "zig",
    main: "plugin.zig",
    gives_up: None,
    words: "panicked at plugin.zig:33: out of cheese",
    built: OnceLock::new(),
};

pub(crate) static GO: Language = Language {
    heading: "### Go",
    word: "go",
    main: "plugin.go",
    gives_up: None,
    words: "panicked at plugin.go:59: out of cheese",
    built: OnceLock::new(),
};

pub(crate) static C: Language = Language {
    heading: "### C",
    word: "c",
    main: "plugin.c",
    gives_up: None,
    words: "panicked at plugin.c:24: out of cheese",
    built: OnceLock::new(),
};

/// The path of the tools that `tests/setup` installed, before everybody's.
pub(crate) fn tools() -> std::ffi::OsString {
    let tools = installed().join("bin");
    let sesame = program().parent().unwrap().to_owned();
    let others = std::env::var_os("PATH").unwrap();
    std::env::join_paths([sesame, tools].into_iter().chain(std::env::split_paths(&others))).unwrap()
}

/// A command as an author runs it. What cargo builds is kept from run to run, apart from the other tests' plugins, of which
/// one has the same name.
pub(crate) fn author(folder: &Path, program: &str) -> Command {
    let mut command = Command::new(program);
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("authors");
    command.current_dir(folder).env("PATH", tools()).env("CARGO_TARGET_DIR", target).env("XDG_CACHE_HOME", caches());
    command.env_remove("RUSTFLAGS");
    // What the guide has an author fetch is there already.
    command.env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", installed().join("wheels"));
    command.env("npm_config_offline", "true").env("npm_config_cache", installed().join("npm"));
    command
}

pub(crate) fn sesame(folder: &Path, arguments: &[&str]) -> Output {
    author(folder, program().to_str().unwrap()).args(arguments).output().unwrap()
}

#[track_caller]
pub(crate) fn done(output: Output) -> String {
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{said}", output.status);
    said
}

/// Held from the writing of a project in Rust to the end of its build: cargo distinguishes projects of one name in one target
/// folder by the times of their files alone. Those in other languages have no folder in common.
pub(crate) fn turn(language: &Language) -> Option<MutexGuard<'static, ()>> {
    static TURN: Mutex<()> = Mutex::new(());
    (language.word == RUST.word).then(|| TURN.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Language {
    /// The commands of the guide under this language's heading.
    fn commands(&self) -> String {
        let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugin-sdk/README.md");
        let guide = std::fs::read_to_string(guide).unwrap();
        let (_, section) = guide.split_once(&format!("{}\n", self.heading)).unwrap();
        let (_, commands) = section.split_once("```sh\n").unwrap();
        commands.split_once("```").unwrap().0.to_owned()
    }

    /// The project that the guide's commands make, with its component.
    #[track_caller]
    pub(crate) fn project(&self) -> &Path {
        self.built.get_or_init(|| {
            let folder = Folder::for_the_run(&format!("plugin-{}", self.word));
            let _turn = turn(self);
            let said = done(author(&folder, "sh").args(["-euc", &self.commands()]).output().unwrap());
            for expected in ["4 passed, 0 failed", "roles        validator", "verdict      can be used", "P99"] {
                assert!(said.contains(expected), "{}: {expected} not in\n{said}", self.word);
            }
            assert!(!said.contains("NOT granted"), "{said}");
            folder.join("sites")
        })
    }

    /// Puts the plugin into a site, with these sites in its configuration.
    fn install(&self, site: &Site, sites: &str) {
        std::fs::copy(self.project().join("sites.wasm"), site.folder.join("plugins.d/sites.wasm")).unwrap();
        site.folder.write("plugins.d/sites.toml", format!("[config]\nsites = [{sites}]\n"));
    }

    /// The plugin refuses what it should on its way out and on its way in, and lets the rest go on.
    fn works_in_both_roles(&self) {
        let pair = Pair::on(shared(Kind::RabbitMq), Way::Tls, "", "");
        self.install(&pair.sender, "\"UKI-TEST\", \"UKI-OTHER\"");
        self.install(&pair.receiver, "\"UKI-TEST\"");
        for body in ["Site: UKI-TEST\n%%\n", "Site: UKI-TEST\n%%\nSite: UKI-OTHER\n%%\n", "Site: ELSEWHERE\n%%\n"] {
            queues::add(&pair.outgoing(), body.as_bytes());
        }
        pair.sender.run(&["send"]).expect(1);
        refused(&pair.sender.refused("cpu"), "Site: ELSEWHERE\n%%\n", 1, "ELSEWHERE");
        let _receiver = pair.receiver.start(&["receive"]);
        refused(&pair.reject(), "Site: UKI-TEST\n%%\nSite: UKI-OTHER\n%%\n", 2, "UKI-OTHER");
        assert_eq!(one_in(&pair.incoming()).text("body"), "Site: UKI-TEST\n%%\n");
    }

    /// A plugin that gives up is reported with its own words and the place; the helper turns every answer into the contract's.
    fn answers_and_gives_up_with_its_words(&self) {
        self.project();
        let folder = Folder::for_the_run(&format!("plugin-{}-gives-up", self.word));
        let turn = turn(self);
        done(sesame(&folder, &["plugin", "new", "sites", "--lang", self.word]));
        let project = folder.join("sites");
        let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/authors");
        let (main, cases) = (project.join(self.main), project.join("cases"));
        let mut expected = 5;
        if let Some((from, to)) = self.gives_up {
            let source = std::fs::read_to_string(&main).unwrap();
            assert!(source.contains(from), "{}", self.word);
            std::fs::write(&main, source.replace(from, to)).unwrap();
        } else {
            std::fs::copy(ours.join(self.main), &main).unwrap();
            std::fs::copy(ours.join(format!("{}.toml", self.word)), project.join("sites.toml")).unwrap();
            std::fs::remove_dir_all(&cases).unwrap();
            done(Command::new("cp").arg("-r").arg(ours.join("cases")).arg(&cases).output().unwrap());
            add_roles(&project.join("wit/world.wit"));
            expected = 8;
        }
        let case = cases.join("gives-up");
        std::fs::create_dir(&case).unwrap();
        std::fs::write(case.join("message"), "give up\n").unwrap();
        std::fs::write(case.join("expected.toml"), format!("verdict = \"failed\"\nreason = {:?}\n", self.words))
            .unwrap();
        done(sesame(&project, &["plugin", "build"]));
        drop(turn);
        let said = done(sesame(&project, &["plugin", "test", "sites.wasm", "cases"]));
        assert!(said.contains(&format!("{expected} passed, 0 failed")), "{said}");
        // The same outside WebAssembly; a column is added where the engine knows none.
        if ["rust", "python", "js", "ts", "go"].contains(&self.word) {
            let words = self.words.replace("plugin.ts:9: ", "plugin.ts:9:");
            let words = words.strip_suffix("RangeError: out of cheese").unwrap_or(&words);
            std::fs::write(case.join("expected.toml"), format!("verdict = \"failed\"\nreason = {words:?}\n")).unwrap();
            let _turn = self::turn(self);
            done(native_tests::run(self, &project));
        }
    }
}

impl Language {
    /// The examples of the other roles build and pass their cases.
    fn has_an_example_of_each_role(&self) {
        for role in ["transformer", "router"] {
            let folder = Folder::new(&format!("{role}-{}", self.word));
            let _turn = turn(self);
            done(sesame(folder.path(), &["plugin", "new", "example", "--lang", self.word, "--role", role]));
            let project = folder.join("example");
            let built = done(sesame(&project, &["plugin", "build"]));
            assert!(built.contains(&format!(" bytes: {role}\n")), "{}: {built}", self.word);
            let said = done(sesame(&project, &["plugin", "test", "example.wasm", "cases"]));
            assert!(said.contains("4 passed, 0 failed"), "{} {role}: {said}", self.word);
            if self.word == "rust" {
                done(author(&project, "cargo").args(["test", "--quiet"]).output().unwrap());
            }
        }
    }
}

/// Makes a validator's world one of all roles, as the guide says.
pub(crate) fn add_roles(world: &Path) {
    let text = std::fs::read_to_string(world).unwrap();
    let line = text.lines().find(|line| line.contains("include sesame:plugin/validator-plugin@")).unwrap();
    let more = ["transformer", "router"].map(|role| line.replace("validator", role));
    std::fs::write(world, text.replace(line, &[line, &more[0], &more[1]].join("\n"))).unwrap();
}

fn one_in(queue: &Path) -> Element {
    eventually(&format!("an element in {}", queue.display()), || queues::elements(queue).pop())
}

#[track_caller]
fn refused(queue: &Path, body: &str, record: u32, site: &str) {
    let element = one_in(queue);
    assert_eq!(element.text("body"), body);
    let findings: serde_json::Value = serde_json::from_slice(element.bytes("findings")).unwrap();
    let shown = findings.to_string();
    for expected in ["site.unknown", &format!("\"record-number\":{record}"), site] {
        assert!(shown.contains(expected), "{expected} not in {shown}");
    }
}

#[test]
fn a_plugin_in_rust_works_as_the_guide_says() {
    RUST.works_in_both_roles();
}

#[test]
fn a_plugin_in_python_works_as_the_guide_says() {
    PYTHON.works_in_both_roles();
}

#[test]
fn a_plugin_in_javascript_works_as_the_guide_says() {
    JAVASCRIPT.works_in_both_roles();
}

#[test]
fn a_plugin_in_typescript_works_as_the_guide_says() {
    TYPESCRIPT.works_in_both_roles();
}

#[test]
fn a_plugin_in_cpp_works_as_the_guide_says() {
    CPP.works_in_both_roles();
}

#[test]
fn a_plugin_in_zig_works_as_the_guide_says() {
    ZIG.works_in_both_roles();
}

#[test]
fn a_plugin_in_go_works_as_the_guide_says() {
    GO.works_in_both_roles();
}

#[test]
fn a_plugin_in_c_works_as_the_guide_says() {
    C.works_in_both_roles();
}

#[test]
fn a_panic_in_rust_is_told_with_its_place() {
    RUST.answers_and_gives_up_with_its_words();
}

#[test]
fn every_answer_in_python_and_an_exception_with_its_place() {
    PYTHON.answers_and_gives_up_with_its_words();
}

#[test]
fn every_answer_in_javascript_and_an_error_with_its_place() {
    JAVASCRIPT.answers_and_gives_up_with_its_words();
}

#[test]
fn every_answer_in_typescript_and_an_error_with_its_place_in_the_source() {
    TYPESCRIPT.answers_and_gives_up_with_its_words();
}

#[test]
fn every_answer_in_cpp_and_a_panic_with_its_place() {
    CPP.answers_and_gives_up_with_its_words();
}

#[test]
fn every_answer_in_zig_and_a_panic_with_its_place() {
    ZIG.answers_and_gives_up_with_its_words();
}

#[test]
fn every_answer_in_go_and_a_panic_with_its_place() {
    GO.answers_and_gives_up_with_its_words();
}

#[test]
fn every_answer_in_c_and_a_panic_with_its_place() {
    C.answers_and_gives_up_with_its_words();
}

#[test]
fn a_project_in_rust_begins_with_the_role_that_is_asked_for() {
    RUST.has_an_example_of_each_role();
}

#[test]
fn a_project_in_python_begins_with_the_role_that_is_asked_for() {
    PYTHON.has_an_example_of_each_role();
}

#[test]
fn a_project_in_javascript_begins_with_the_role_that_is_asked_for() {
    JAVASCRIPT.has_an_example_of_each_role();
}

#[test]
fn a_project_in_typescript_begins_with_the_role_that_is_asked_for() {
    TYPESCRIPT.has_an_example_of_each_role();
}

#[test]
fn a_project_in_cpp_begins_with_the_role_that_is_asked_for() {
    CPP.has_an_example_of_each_role();
}

#[test]
fn a_project_in_zig_begins_with_the_role_that_is_asked_for() {
    ZIG.has_an_example_of_each_role();
}

#[test]
fn a_project_in_go_begins_with_the_role_that_is_asked_for() {
    GO.has_an_example_of_each_role();
}

#[test]
fn the_zig_and_the_go_of_a_project_s_own_python_build_it() {
    for language in ["zig", "go"] {
        let folder = Folder::new("own-tools");
        done(sesame(folder.path(), &["plugin", "new", "example", "--lang", language]));
        let project = folder.join("example");
        std::os::unix::fs::symlink(installed().join(language), project.join(".venv")).unwrap();
        let mut build = author(&project, program().to_str().unwrap());
        let said = done(build.args(["plugin", "build"]).env("PATH", "/usr/bin:/bin").output().unwrap());
        assert!(said.contains(" bytes: validator\n"), "{language}: {said}");
    }
}

#[test]
fn a_project_in_c_begins_with_the_role_that_is_asked_for() {
    C.has_an_example_of_each_role();
}

/// A copy of a built project in a folder of another name, reached through a link.
pub(crate) fn moved(language: &Language, folder: &Folder) -> PathBuf {
    let project = folder.join("My Sites (copy)");
    done(Command::new("cp").arg("-a").arg(language.project()).arg(&project).output().unwrap());
    let built = std::fs::read_dir(&project).unwrap().map(|entry| entry.unwrap().path());
    built.filter(|path| path.extension().is_some_and(|end| end == "wasm")).for_each(|path| {
        std::fs::remove_file(path).unwrap();
    });
    let link = folder.join("LINK");
    std::os::unix::fs::symlink(&project, &link).unwrap();
    link
}

#[test]
fn a_project_in_a_moved_folder_builds_the_component_of_its_own_name() {
    for language in [&RUST, &PYTHON, &JAVASCRIPT, &TYPESCRIPT, &C, &CPP, &ZIG, &GO] {
        let folder = Folder::new("moved");
        let project = moved(language, &folder);
        let _turn = turn(language);
        let said = done(sesame(&project, &["plugin", "build"]));
        assert!(said.contains("/My Sites (copy)/sites.wasm, "), "{}: {said}", language.word);
        assert!(said.contains(" bytes: validator\n"), "{}: {said}", language.word);
        assert!(project.join("sites.wasm").is_file());
    }
}

#[test]
fn debian_s_own_node_18_builds_a_plugin() {
    let folder = Folder::new("node-18");
    let project = moved(&JAVASCRIPT, &folder);
    let path = std::env::split_paths(&tools()).collect::<Vec<_>>();
    let path = std::env::join_paths([installed().join("debian-node/bin")].into_iter().chain(path)).unwrap();
    let version = author(&project, "sh").args(["-c", "node --version"]).env("PATH", &path).output().unwrap();
    assert!(done(version).starts_with("v18.20."));
    let build = author(&project, program().to_str().unwrap()).args(["plugin", "build"]).env("PATH", &path).output();
    assert!(done(build.unwrap()).contains("built "));
    assert!(done(sesame(&project, &["plugin", "test", "sites.wasm", "cases"])).contains("4 passed, 0 failed"));
}

#[test]
fn a_case_that_fails_is_shown_as_a_difference() {
    let cases = Folder::new("cases");
    cases.write("wrong/message", "Site: UKI-TEST\n");
    cases.write("wrong/expected.toml", "verdict = \"invalid\"\n");
    let component = C.project().join("sites.wasm");
    let arguments = ["plugin", "test", component.to_str().unwrap(), cases.path().to_str().unwrap()];
    let output = sesame(cases.path(), &arguments);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for expected in ["FAILED  wrong", "- verdict = \"invalid\"", "+ verdict = \"accepted\"", "0 passed, 1 failed"] {
        assert!(said.contains(expected), "{expected} not in\n{said}");
    }
    let updated = done(sesame(cases.path(), &[&arguments[..], &["--update"]].concat()));
    assert!(updated.contains("updated wrong") && updated.contains("1 passed, 0 failed"), "{updated}");
    assert!(done(sesame(cases.path(), &arguments)).contains("ok      wrong"));
}

#[test]
fn a_component_that_wants_too_much_is_inspected_without_being_trusted() {
    let folder = Folder::new("inspect");
    // It imports an interface that this host does not know: another name of the same length, which keeps every offset.
    let mut bytes = std::fs::read(guests::component("files")).unwrap();
    let (from, to) = (b"wasi:filesystem/", b"wasi:filescheme/");
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
    }
    let component = folder.write("files.wasm", bytes);
    let arguments = ["plugin", "inspect", component.to_str().unwrap()];
    let output = sesame(folder.path(), &arguments);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for expected in ["wasi:filescheme/", ": NOT granted", "verdict      would be refused: it imports wasi:", "sha256"] {
        assert!(said.contains(expected), "{expected} not in\n{said}");
    }
    let json = sesame(folder.path(), &[&arguments[..], &["--json"]].concat());
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert!(json["refused"].as_str().unwrap().contains("wasi:filescheme/"), "{json}");
}
