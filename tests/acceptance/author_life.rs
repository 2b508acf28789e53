//! An author's day: results for build servers, builds and tests at each save, and random changes of messages.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Child, Folder, eventually};
use crate::languages::{C, author, done, sesame};
use crate::sesame::program;

/// What the sample plugin is given to fail at a long name.
const FAULT: (&str, &str) = (
    "        if (!sesame_starts(&line, \"Site: \")) continue;\n",
    "        if (!sesame_starts(&line, \"Site: \")) continue;\n        if (line.len > 200) sesame_panic(\"name too long\");\n",
);

/// A copy of the sample plugin in C, with this text replaced in it.
fn project(folder: &Folder, (from, to): (&str, &str)) -> PathBuf {
    let project = folder.join("sites");
    done(Command::new("cp").arg("-a").arg(C.project()).arg(&project).output().unwrap());
    replace(&project.join("plugin.c"), from, to);
    project
}

fn replace(file: &Path, from: &str, to: &str) {
    let source = std::fs::read_to_string(file).unwrap();
    assert!(source.contains(from), "{from:?} is not in {}", file.display());
    std::fs::write(file, source.replacen(from, to, 1)).unwrap();
}

#[test]
fn results_are_there_for_build_servers_as_json_and_in_junit_s_form() {
    let folder = Folder::new("results");
    let project = project(&folder, ("", ""));
    std::fs::create_dir(project.join("cases/wrong <&>")).unwrap();
    folder.write("sites/cases/wrong <&>/message", "Site: NOWHERE\n%%\n");
    folder.write("sites/cases/wrong <&>/expected.toml", "verdict = \"accepted\"\n");
    let output = sesame(&project, &["plugin", "test", "sites.wasm", "cases", "--json", "--junit", "results.xml"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["passed"], &told["failed"]), (&4.into(), &1.into()), "{told}");
    let wrong = told["cases"].as_array().unwrap().iter().find(|case| case["result"] == "failed").unwrap();
    assert_eq!((&wrong["name"], &wrong["difference"][0]), (&"wrong <&>".into(), &"- verdict = \"accepted\"".into()));
    let read = "import sys, xml.etree.ElementTree as tree\nroot = tree.parse(sys.argv[1]).getroot()\nsuite = root[0]\n\
                case = [case for case in suite if len(case)][0]\n\
                print(suite.get('name'), suite.get('tests'), suite.get('failures'), case.get('name'), \
                case[0].text.splitlines()[1])";
    let said = done(Command::new("python3").args(["-c", read]).arg(project.join("results.xml")).output().unwrap());
    assert_eq!(said, "sites 5 1 wrong <&> + verdict = \"invalid\"\n");
}

#[test]
fn a_project_is_built_and_tested_at_each_save() {
    let folder = Folder::new("watch");
    let project = project(&folder, ("", ""));
    let (log, main) = (folder.join("said"), project.join("plugin.c"));
    let mut watch = author(&project, program().to_str().unwrap());
    let _watch = Child::start("sesame plugin watch", watch.args(["plugin", "watch"]), &log);
    // What is said from one wait to the next.
    let mut seen = 0;
    let mut said = || {
        eventually("a build and a test", || {
            let text = std::fs::read_to_string(&log).unwrap();
            let new = text.get(seen..)?.to_owned();
            new.ends_with("end with Ctrl-C\n").then(|| {
                seen = text.len();
                new
            })
        })
    };
    let first = said();
    assert!(first.contains("built ") && first.contains("4 passed, 0 failed"), "{first}");
    replace(&main, "\"site.unknown\"", "\"site.odd\"");
    let failing = said();
    assert!(failing.contains("fails now: ") && failing.contains("+ code = \"site.odd\""), "{failing}");
    replace(&main, "\"site.odd\"", "\"site.unknown\";");
    let broken = said();
    assert!(broken.contains("the C compiler did not build the plugin"), "{broken}");
    replace(&main, "\"site.unknown\";", "\"site.unknown\"");
    let good = said();
    assert!(good.contains("passes now: ") && good.contains("4 passed, 0 failed"), "{good}");
}

#[test]
fn random_changes_find_what_makes_a_plugin_fail_and_keep_it_as_a_case() {
    let folder = Folder::new("fuzz");
    let project = project(&folder, FAULT);
    done(sesame(&project, &["plugin", "build"]));
    let fuzz = ["plugin", "fuzz", "sites.wasm", "cases", "--for", "10s"];
    let output = sesame(&project, &fuzz);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("FAILED  plugin sites.wasm stopped with a panic, panicked at plugin.c:"), "{said}");
    assert!(said.contains("name too long") && said.contains("from seed 1, 1 kinds of failure"), "{said}");
    let message = std::fs::read(project.join("fuzz/1/message")).unwrap();
    assert!(message.starts_with(b"Site: ") && message.split(|byte| *byte == b'\n').count() <= 2, "{message:?}");
    // What was kept is a case that fails alike, and it passes when the plugin is repaired.
    done(sesame(&project, &["plugin", "test", "sites.wasm", "fuzz", "--update"]));
    let expected = std::fs::read_to_string(project.join("fuzz/1/expected.toml")).unwrap();
    assert!(expected.contains("verdict = \"failed\""), "{expected}");
    let good = C.project().join("sites.wasm");
    let said = done(sesame(&project, &["plugin", "fuzz", good.to_str().unwrap(), "cases", "--for", "3s"]));
    assert!(said.contains(" messages from seed 1, 0 kinds of failure"), "{said}");
}
