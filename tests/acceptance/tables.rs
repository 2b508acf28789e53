//! Lookup tables and secrets of plugins: in each language, while messages flow, and what is shown of them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::harness::{Folder, eventually};
use crate::languages::{C, GO, JAVASCRIPT, Language, PYTHON, done, sesame, turn};
use crate::native_tests;
use crate::peers::Kind;
use crate::peers::broker::shared;
use crate::plugins::{install, one_in};
use crate::queues;
use crate::sesame::{Pair, Way};

const SIDECAR: &str = "direction = \"inbound\"\ntables = [\"sites\"]\n[config]\ntable = \"sites\"\n";

/// A pair whose receiver has the guest `lookups`, a table and a secret.
fn looking_up(sidecar: &str) -> Pair {
    let mut pair = Pair::on(shared(Kind::RabbitMq), Way::Plain, "", "");
    let (table, secret) = (pair.receiver.folder.join("sites.csv"), pair.receiver.folder.join("salt"));
    fs::write(&table, "site,country\nA,UK\n").unwrap();
    let sections = format!("[table.sites]\nfile = {table:?}\n[secret.salt]\nfile = {secret:?}\n");
    pair.receiver = pair.receiver.with_sections(&sections);
    install(&pair.receiver, "lookups", sidecar);
    pair
}

fn send(pair: &Pair, body: &str) -> String {
    let id = queues::add(&pair.outgoing(), body.as_bytes());
    pair.sender.run(&["send"]).expect(0);
    id
}

#[test]
fn a_new_version_of_a_table_serves_the_next_message_and_the_trace_has_its_hash() {
    let pair = looking_up(SIDECAR);
    let table = pair.receiver.folder.join("sites.csv");
    let hash = || {
        let output = Command::new("sha256sum").arg(&table).output().unwrap();
        String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
    };
    let first = hash();
    let mut receiver = pair.receiver.start(&["receive"]);
    let one = send(&pair, "A\n");
    assert_eq!(one_in(&pair.incoming()).text("body"), "A\n");
    // Half of a new version changes nothing.
    fs::write(&table, "site,country\nA,UK\nB").unwrap();
    eventually("the mistake", || receiver.log().contains("sites.csv:3: the row has 1 fields").then_some(()));
    send(&pair, "A\n");
    eventually("two messages", || (queues::count(&pair.incoming()) == 2).then_some(()));
    send(&pair, "B\n");
    assert_eq!(one_in(&pair.reject()).text("body"), "B\n");
    pair.receiver.run(&["plugin", "list"]).expect(0).says("sites.csv:3: the row has 1 fields, the header has 2");
    pair.receiver.run(&["check", "--offline"]).expect(1).says("sites.csv:3: the row has 1 fields, the header has 2");
    let new = pair.receiver.folder.write("new.csv", "site,country\nA,UK\nB,DE\n");
    fs::rename(new, &table).unwrap();
    let in_service = || receiver.log().matches("plugin in service").count();
    eventually("the table", || (in_service() == 2).then_some(()));
    let second = hash();
    let last = send(&pair, "B\n");
    eventually("three messages", || (queues::count(&pair.incoming()) == 3).then_some(()));
    assert_eq!(receiver.stop(), 0);
    pair.receiver.run(&["trace", &one]).expect(0).says(&format!("table sites SHA-256 {first}"));
    pair.receiver.run(&["trace", &last]).expect(0).says(&format!("table sites SHA-256 {second}"));
    let row = format!("table.sites: 2 rows in {}, SHA-256 {second}", table.display());
    pair.receiver.run(&["check", "--offline"]).says(&row);
}

#[test]
fn messages_wait_for_a_table_that_is_not_there_and_others_go_on() {
    let pair = looking_up(&format!("content-type = \"text/plain\"\n{SIDECAR}"));
    let table = pair.receiver.folder.join("sites.csv");
    fs::remove_file(&table).unwrap();
    let receiver = pair.receiver.start(&["receive"]);
    send(&pair, "A\n");
    eventually("the reason", || receiver.log().contains("cannot use table \"sites\", cannot read").then_some(()));
    pair.receiver.run(&["plugin", "list"]).expect(0).says("cannot use table \"sites\", cannot read");
    assert_eq!(queues::count(&pair.incoming()) + queues::count(&pair.reject()), 0);
    fs::write(&table, "site,country\nA,UK\n").unwrap();
    assert_eq!(one_in(&pair.incoming()).text("body"), "A\n");
}

/// The files below a folder that contain these bytes.
fn containing(folder: &Path, bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(containing(&path, bytes));
        } else if fs::read(&path).is_ok_and(|content| content.windows(bytes.len()).any(|window| window == bytes)) {
            found.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    found
}

#[test]
fn a_secret_is_in_its_file_and_nowhere_else() {
    const SECRET: &str = "correct horse battery";
    let sidecar = format!("{SIDECAR}secret = {{ secret = \"salt\" }}\n");
    let pair = looking_up(&sidecar);
    let file = pair.receiver.folder.write("salt", format!("{SECRET}\n"));
    let mode = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    fs::write(pair.receiver.folder.join("sites.csv"), "site,country\nA,UK\npanic,x\ninvalid,y\n").unwrap();
    let mut receiver = pair.receiver.start(&["receive"]);
    let waiting = "may be read or written by others than its owner: run chmod 600";
    eventually("the reason", || receiver.log().contains(waiting).then_some(()));
    mode(0o600);
    send(&pair, "A\n");
    assert_eq!(one_in(&pair.incoming()).text("body"), "A\n");
    send(&pair, "invalid\n");
    let refused = one_in(&pair.reject());
    assert!(refused.text("error").contains("[secret]"), "{}", refused.text("error"));
    send(&pair, "panic\n");
    eventually("the panic", || receiver.log().contains("stopped with a panic").then_some(()));
    let effective = pair.receiver.run(&["check", "--effective"]).expect(0).all();
    assert!(effective.contains("[secret.salt]") && !effective.contains(SECRET), "{effective}");
    for command in [&["plugin", "list"][..], &["check", "--offline"], &["queue", "list"], &["status"]] {
        let said = pair.receiver.run(command).all();
        assert!(!said.contains(SECRET), "{command:?}: {said}");
    }
    receiver.stop();
    assert_eq!(containing(pair.receiver.folder.path(), SECRET.as_bytes()), ["salt"]);
    assert!(!receiver.log().contains(SECRET));
}

/// A project whose plugin is that of `tests/authors/tables` looks a site up, and says what is missing where none is granted.
fn looks_up(language: &Language) {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/authors/tables");
    let folder = Folder::new(&format!("tables-{}", language.word));
    let turn = turn(language);
    done(sesame(folder.path(), &["plugin", "new", "lookups", "--lang", language.word]));
    let project = folder.join("lookups");
    fs::copy(ours.join(language.main), project.join(language.main)).unwrap();
    let world = project.join("wit/world.wit");
    if matches!(language.word, "python" | "js") {
        let text = fs::read_to_string(&world).unwrap();
        fs::write(&world, text.replace("  include ", "  import sesame:plugin/tables@1.1.0;\n  include ")).unwrap();
    }
    done(sesame(&project, &["plugin", "build"]));
    drop(turn);
    for part in ["cases", "tables"] {
        let _ = fs::remove_dir_all(project.join(part));
        done(Command::new("cp").arg("-r").arg(ours.join(part)).arg(project.join(part)).output().unwrap());
    }
    project.join("lookups.toml").exists().then(|| fs::remove_file(project.join("lookups.toml")).unwrap());
    let said = sesame(&project, &["plugin", "test", "lookups.wasm", "cases"]);
    let said = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
    assert!(said.contains("is not granted: add it to `tables` in the sidecar"), "{}: {said}", language.word);
    fs::write(project.join("lookups.toml"), "tables = [\"sites\"]\n").unwrap();
    let said = done(sesame(&project, &["plugin", "test", "lookups.wasm", "cases"]));
    assert!(said.contains("2 passed, 0 failed"), "{}: {said}", language.word);
    if native_tests::is_there(language) {
        let tested = native_tests::run(language, &project);
        let said = String::from_utf8_lossy(&[tested.stdout, tested.stderr].concat()).into_owned();
        assert!(tested.status.success(), "{}: {said}", language.word);
    }
    let said = done(sesame(&project, &["plugin", "inspect", "lookups.wasm"]));
    assert!(said.contains("sesame:plugin/tables@1.1.0"), "{}: {said}", language.word);
}

#[test]
fn plugins_in_python_look_up() {
    looks_up(&PYTHON);
}

#[test]
fn plugins_in_javascript_look_up() {
    looks_up(&JAVASCRIPT);
}

#[test]
fn plugins_in_c_look_up() {
    looks_up(&C);
}

#[test]
fn plugins_in_go_look_up() {
    looks_up(&GO);
}
