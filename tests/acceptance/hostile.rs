//! Hostile content through the helpers of Python, JavaScript and C, and through the stock plugins: what is in a message
//! decides between "accepted" and "invalid", and never makes a plugin fail.
//!
//! Each helper runs twice: over the whole corpus without a component, as the language's own interpreter or compiler has it,
//! and over a smaller part of it as a component, in the host, with the host's limits.

#[path = "../../plugin-sdk/tests/hostile/corpus.rs"]
mod corpus;

use std::path::{Path, PathBuf};
use std::process::Command;

use corpus::Hostile;

use crate::harness::Folder;
use crate::languages::{add_roles, author, done, sesame};

/// Mutations that a helper reads without a component, and that a component reads in the host.
const NATIVE: usize = 300;
const IN_THE_HOST: usize = 40;

fn ours() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/authors/hostile")
}

/// The corpus, and every so many of it once more with the word before it at which the plugins transform.
fn messages(mutations: usize, every: usize) -> Vec<Hostile> {
    eprintln!("seed {}, {mutations} mutations", corpus::SEED);
    let mut all = corpus::corpus(mutations);
    let echoes =
        all.iter().step_by(every).map(|(name, payload)| (format!("{name}-echo"), [b"echo:", &payload[..]].concat()));
    let echoes: Vec<Hostile> = echoes.collect();
    all.extend(echoes);
    all
}

/// A project of the language with the plugin of `tests/authors/hostile`, built.
fn project(folder: &Folder, language: &str, main: &str) -> PathBuf {
    done(sesame(folder.path(), &["plugin", "new", "hostile", "--lang", language]));
    let project = folder.join("hostile");
    std::fs::copy(ours().join(main), project.join(main)).unwrap();
    std::fs::write(project.join("hostile.toml"), "[config]\n").unwrap();
    add_roles(&project.join("wit/world.wit"));
    let world = std::fs::read_to_string(project.join("wit/world.wit")).unwrap();
    let lines: Vec<&str> = world.lines().filter(|line| !line.contains("/router-plugin@")).collect();
    std::fs::write(project.join("wit/world.wit"), lines.join("\n")).unwrap();
    done(sesame(&project, &["plugin", "build"]));
    project
}

/// Runs a command over the corpus as files; it says a verdict for each role and file.
fn over_files(command: &mut Command, folder: &Folder) {
    let mut files = Vec::new();
    for (name, payload) in messages(NATIVE, 2) {
        files.push(folder.write(&format!("corpus/{name}"), payload));
    }
    let said = done(command.args(&files).output().unwrap());
    let verdicts = |word: &str| said.lines().filter(|line| line.ends_with(word)).count();
    assert_eq!(verdicts(" accepted") + verdicts(" invalid"), 2 * files.len(), "{said}");
    assert!(verdicts(" invalid") > files.len() / 3 && verdicts(" accepted") > files.len() / 3, "{said}");
}

/// Puts messages to a component in the host, and looks at the verdicts.
fn in_the_host(component: &Path, config: &str, messages: &[Hostile]) {
    let folder = Folder::new("hostile-cases");
    for (name, payload) in messages.iter().filter(|(_, payload)| !payload.is_empty()) {
        folder.write(&format!("cases/{name}/message"), payload);
        folder.write(&format!("cases/{name}/config.toml"), config);
        folder.write(&format!("cases/{name}/context.toml"), "direction = \"outbound\"\n");
    }
    let cases = folder.join("cases");
    done(sesame(folder.path(), &["plugin", "test", "--update", component.to_str().unwrap(), cases.to_str().unwrap()]));
    let mut judged = 0;
    for case in std::fs::read_dir(&cases).unwrap() {
        let case = case.unwrap().path();
        let expected = std::fs::read_to_string(case.join("expected.toml")).unwrap();
        let verdict = expected.lines().next().unwrap_or_default();
        let good = ["accepted", "replaced", "split", "invalid"].iter().any(|good| verdict.contains(good));
        assert!(good, "{}, {}: {expected}", component.display(), case.display());
        judged += 1;
    }
    assert!(judged > IN_THE_HOST, "{judged} cases are too few");
}

#[test]
fn content_never_makes_a_plugin_in_python_fail() {
    let folder = Folder::new("hostile-python");
    let helper = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugin-sdk/python");
    let mut python = author(folder.path(), "python3");
    over_files(python.arg("-B").arg(ours().join("run.py")).arg(helper), &folder);
    let project = project(&folder, "python", "plugin.py");
    in_the_host(&project.join("hostile.wasm"), "", &messages(IN_THE_HOST, 5));
}

#[test]
fn content_never_makes_a_plugin_in_javascript_fail() {
    let folder = Folder::new("hostile-javascript");
    let project = project(&folder, "js", "plugin.js");
    let helper = std::fs::read_to_string(project.join("sesame.js")).unwrap();
    let native = helper.replace("'sesame:plugin/log@1.0.0'", "'./log.js'");
    assert_ne!(helper, native);
    folder.write("native/sesame.js", native);
    folder.write("native/package.json", "{\"type\": \"module\"}");
    folder.write("native/log.js", "export const write = (level, text) => { if (!text.isWellFormed()) throw text; };\n");
    std::fs::copy(ours().join("plugin.js"), folder.join("native/plugin.js")).unwrap();
    let mut node = author(folder.path(), "node");
    over_files(node.arg(ours().join("run.mjs")).arg(folder.join("native")), &folder);
    in_the_host(&project.join("hostile.wasm"), "", &messages(IN_THE_HOST, 5));
}

#[test]
fn content_never_makes_a_plugin_in_c_fail() {
    let folder = Folder::new("hostile-c");
    let project = project(&folder, "c", "plugin.c");
    let program = folder.join("hostile-c");
    let mut clang = author(&project, "clang");
    clang.args(["-std=c11", "-D_GNU_SOURCE", "-O1", "-g", "-Wall", "-DSESAME_VALIDATOR", "-DSESAME_TRANSFORMER"]);
    clang.args(["-I", "sesame", "-I", "build", "plugin.c", "sesame/sesame.c", "sesame/config.c"]);
    done(clang.arg(ours().join("run.c")).arg("-o").arg(&program).output().unwrap());
    over_files(&mut Command::new(&program), &folder);
    in_the_host(&project.join("hostile.wasm"), "", &messages(IN_THE_HOST, 5));
}

#[test]
fn content_never_makes_a_stock_plugin_fail() {
    let messages = corpus::corpus(IN_THE_HOST);
    eprintln!("seed {}", corpus::SEED);
    let rules = "[rename]\nVO = \"Group\"\nSite = \"SiteName\"\n[set]\nSite = \"X\"\n[map.VO]\nx = \"y\"\n";
    for (name, config) in [
        ("any-record", "strict = true\nunknown-types = \"pass\"\n"),
        ("salvage-records", "strict = true\n"),
        ("site-binding", "own = [\"A\"]\n"),
        ("split-records", "max-records = 3\n"),
        ("pseudonymise", "key = \"0123456789abcdef\"\n"),
        ("set-fields", rules),
    ] {
        let component = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../plugins/{name}.wasm"));
        in_the_host(&component, config, &messages);
    }
}
