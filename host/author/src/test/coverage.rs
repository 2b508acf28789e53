//! `sesame plugin test --coverage`: which lines of a plugin its tests run, where the language can say. A component cannot: the
//! language's own tests run the plugin outside WebAssembly, on the same cases.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};

use super::super::{Language, build, output};

/// Runs the tests of the project that `component` belongs to, and shows the coverage. Whether they passed.
pub(super) fn run(component: &Path) -> anyhow::Result<bool> {
    let absolute = std::path::absolute(component)?;
    let project = absolute.parent().unwrap_or(Path::new("/"));
    let language = build::language(project)?;
    output::line(&format!("coverage, by {}:", tool_of(language)));
    match language {
        Language::Python => python(project),
        Language::Js | Language::Ts => node(project, language),
        Language::Go => go(project),
        Language::Rust => rust(project),
        Language::C | Language::Cpp | Language::Zig => bail!(
            "there is no coverage for plugins in C, C++ and Zig, which run as components only: \
             move code into a file of its own that your compiler also builds for this machine, and measure that"
        ),
    }
}

fn tool_of(language: Language) -> &'static str {
    match language {
        Language::Python => "coverage and pytest",
        Language::Js | Language::Ts => "node --test",
        Language::Go => "go test",
        Language::Rust => "cargo llvm-cov",
        Language::C | Language::Cpp | Language::Zig => "no tool",
    }
}

fn python(project: &Path) -> anyhow::Result<bool> {
    let python = build::tool("python3", project, Some(".venv/bin"), Language::Python.preparation())?;
    let installed = Command::new(&python).args(["-c", "import coverage, pytest"]).stderr(Stdio::null()).status();
    let missing = "coverage and pytest are not installed";
    ensure!(installed.is_ok_and(|status| status.success()), "{missing}: {}", Language::Python.preparation());
    let ran = passes(
        &python,
        project,
        &["-m", "coverage", "run", "--data-file=build/coverage", "--source=.", "-m", "pytest"],
    )?;
    let own = "--omit=sesame_*.py,test_*.py,build/*";
    Ok(passes(&python, project, &["-m", "coverage", "report", "--data-file=build/coverage", "-m", own])? && ran)
}

fn node(project: &Path, language: Language) -> anyhow::Result<bool> {
    let node = build::tool("node", project, None, language.preparation())?;
    let own = ["--test-coverage-exclude=sesame*.js", "--test-coverage-exclude=*.test.js"];
    let how = ["--test", "--enable-source-maps", "--experimental-test-coverage"];
    passes(&node, project, &[&how[..], &own].concat())
}

fn go(project: &Path) -> anyhow::Result<bool> {
    let profile = "build/coverage";
    let run = |arguments: &[&str]| {
        let go = build::python_tool("go", build::START_GO, project, Language::Go.preparation())?;
        finished(go, project, arguments)
    };
    let passed = run(&["test", &format!("-coverprofile={profile}"), "."])?;
    Ok(run(&["tool", "cover", &format!("-func={profile}")])? && passed)
}

fn rust(project: &Path) -> anyhow::Result<bool> {
    let remedy = "cargo install cargo-llvm-cov && rustup component add llvm-tools";
    build::tool("cargo-llvm-cov", project, None, remedy)?;
    let cargo = build::tool("cargo", project, None, "install Rust by rustup")?;
    passes(&cargo, project, &["llvm-cov", "--ignore-filename-regex=/sdk/"])
}

fn passes(program: impl AsRef<OsStr>, project: &Path, arguments: &[&str]) -> anyhow::Result<bool> {
    finished(Command::new(program), project, arguments)
}

/// Runs a tool of the language in the project, with the running program as the one that its helper calls.
fn finished(mut command: Command, project: &Path, arguments: &[&str]) -> anyhow::Result<bool> {
    std::fs::create_dir_all(project.join("build")).with_context(|| format!("cannot write to {}", project.display()))?;
    let program = std::env::current_exe().context("cannot find the program itself")?;
    let name = command.get_program().to_string_lossy().into_owned();
    let started = command.args(arguments).current_dir(project).env("SESAME", program).stdin(Stdio::null()).status();
    Ok(started.with_context(|| format!("cannot run {name}"))?.success())
}
