//! Mistakes of plugin authors, and tools that are missing: what `sesame plugin build` says of each, in each language.

use std::process::Command;

use crate::harness::Folder;
use crate::languages::{
    C, CPP, GO, JAVASCRIPT, Language, PYTHON, RUST, TYPESCRIPT, ZIG, author, done, moved, sesame, turn,
};
use crate::sesame::program;

/// Builds a project after `from` in its main file was replaced by `to`: what is said, and no component is left that an
/// author could take for the new one.
fn refused_build(language: &Language, from: &str, to: &str) -> String {
    let folder = Folder::new("mistaken");
    let project = moved(language, &folder);
    let _turn = turn(language);
    let main = project.join(language.main);
    let source = std::fs::read_to_string(&main).unwrap();
    assert!(source.contains(from), "{}", language.word);
    std::fs::write(&main, source.replacen(from, to, 1)).unwrap();
    let output = sesame(&project, &["plugin", "build"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(!project.join("sites.wasm").exists(), "{said}");
    said
}

#[test]
fn a_role_function_that_the_component_does_not_export_is_an_error_of_the_build() {
    let router = "impl sesame_plugin::Router for Sites {\n    fn route(&self, _: &Message) -> Result<Vec<String>, \
                  Failure> {\n        Ok(Vec::new())\n    }\n}\n\nexport!(";
    let transform = "void sesame_transform(const sesame_message *message, sesame_answer *answer) {}\n\n/// A finding";
    for (language, from, to, expected) in [
        (&RUST, "export!(", router, "the plugin implements Router, and export! does not name router"),
        (
            &PYTHON,
            "    def validate(",
            "    def transform(self, message):\n        return None\n\n    def validate(",
            "has a function `transform`, and the component does not export the role transformer",
        ),
        (
            &JAVASCRIPT,
            "  validate,\n",
            "  validate,\n  route: () => [],\n",
            "has a function `route`, and the component does not export the role router",
        ),
        (
            &TYPESCRIPT,
            "  validate,\n",
            "  validate,\n  route: () => [],\n",
            "has a function `route`, and the component does not export the role router",
        ),
        (
            &CPP,
            "/// A finding",
            "void sesame::transform(const Message &, Change &) {}\n\n/// A finding",
            "wit/world.wit does not include transformer-plugin",
        ),
        (
            &ZIG,
            ".validate = validate,",
            ".validate = validate,\n.route = struct {\nfn route(_: sesame.Message, _: sesame.Routes) !void {}\n}.route,",
            "the plugin has a function `route`, and wit/world.wit does not include router-plugin",
        ),
        (
            &GO,
            "// Validate returns",
            "func (plugin *plugin) Route(*sesame.Message) ([]string, error) {\n\treturn nil, nil\n}\n\n// Validate returns",
            "has a function `route`, and the component does not export the role router",
        ),
        (&C, "/// A finding", transform, "wit/world.wit does not include transformer-plugin"),
    ] {
        let said = refused_build(language, from, to);
        assert!(said.contains(expected), "{}: {said}", language.word);
    }
}

#[test]
fn a_misspelt_role_function_is_an_error_of_the_build() {
    for (language, from, to, expected) in [
        (&RUST, "    fn validate(", "    fn validates(", "method `validates` is not a member of trait"),
        (&PYTHON, "    def validate(", "    def validates(", "no function `validate`; is `validates` meant?"),
        (&JAVASCRIPT, "  validate,\n", "  validates: validate,\n", "unknown key validates; known: name"),
        (&TYPESCRIPT, "  validate,\n", "  validates: validate,\n", "'validates' does not exist in type"),
        (&CPP, "void sesame::validate(", "void sesame::validates(", "out-of-line definition of 'validates'"),
        (&ZIG, ".validate = validate,", ".validates = validate,", "no field named 'validates' in struct"),
        (&GO, ") Validate(", ") Validates(", "does not implement sesame.World (missing method Validate)"),
        (&C, "void sesame_validate(", "void sesame_validates(", "undefined symbol: sesame_validate"),
    ] {
        let said = refused_build(language, from, to);
        assert!(said.contains(expected), "{}: {said}", language.word);
    }
}

#[test]
fn a_missing_tool_is_named_with_how_to_install_it() {
    let folder = Folder::new("no-tools");
    for (language, remedy) in [
        ("rust", "cargo is not installed: install Rust"),
        ("python", "-r requirements.txt (Debian: apt install python3-venv)"),
        ("js", "componentize-qjs is not installed: npm install (Debian, for npm: apt install nodejs npm)"),
        ("ts", "tsc is not installed: npm install (Debian, for npm: apt install nodejs npm)"),
        ("cpp", "neither clang nor zig is installed: apt install clang lld"),
        ("zig", "zig is not installed: python3 -m venv .venv && .venv/bin/pip install -r requirements.txt"),
        ("go", "go is not installed: python3 -m venv .venv && .venv/bin/pip install -r requirements.txt"),
        ("c", "neither clang nor zig is installed: apt install clang lld"),
    ] {
        done(sesame(folder.path(), &["plugin", "new", language, "--lang", language]));
        let mut command = author(&folder.join(language), program().to_str().unwrap());
        let output = command.args(["plugin", "build"]).env("PATH", "/nowhere").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains(remedy), "{said}");
    }
}

#[test]
fn a_call_of_the_system_in_zig_and_another_zig_are_named() {
    let folder = Folder::new("zig-system");
    done(sesame(folder.path(), &["plugin", "new", "loud", "--lang", "zig"]));
    let project = folder.join("loud");
    let main = project.join("plugin.zig");
    let source = std::fs::read_to_string(&main).unwrap();
    let loud =
        source.replace("    var named = false;\n", "    var named = false;\n    std.debug.print(\"seen\", .{});\n");
    assert_ne!(source, loud);
    std::fs::write(&main, loud).unwrap();
    let said = sesame(&project, &["plugin", "build"]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("it uses more of the system than") && said.contains("wasi_snapshot_preview1::"), "{said}");
    folder.write("old/zig", "#!/bin/sh\necho 0.15.2\n");
    done(Command::new("chmod").arg("755").arg(folder.join("old/zig")).output().unwrap());
    let mut build = author(&project, program().to_str().unwrap());
    let path = std::env::join_paths([folder.join("old"), "/usr/bin".into(), "/bin".into()]).unwrap();
    let said = build.args(["plugin", "build"]).env("PATH", path).output().unwrap();
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("zig is \"0.15.2\", and the helper is written for 0.17.x: python3 -m venv"), "{said}");
}

#[test]
fn an_author_s_mistake_in_c_is_shown_by_the_compiler_and_a_socket_is_refused() {
    let folder = Folder::new("mistakes");
    done(sesame(folder.path(), &["plugin", "new", "socket", "--lang", "c"]));
    let project = folder.join("socket");
    let main = project.join("plugin.c");
    let source = std::fs::read_to_string(&main).unwrap();
    let wired = source.replace("#include <string.h>", "#include <string.h>\n#include <sys/socket.h>");
    let wired = wired.replace("bool named = false;", "bool named = shutdown(0, SHUT_RD) == 0;");
    std::fs::write(&main, wired).unwrap();
    let said = sesame(&project, &["plugin", "build"]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("it uses more of the system than `sesame/system.c` answers, such as sockets"), "{said}");
    std::fs::write(&main, "mistake").unwrap();
    let said = sesame(&project, &["plugin", "build"]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("plugin.c:1:1: error") && said.contains("the C compiler did not build"), "{said}");
}
