//! `sesame plugin build`: from a project to a component, with the tools of its language. The main file
//! determines the language. An error names a missing tool and how to install it.
//!
//! The tools are found in the project first (`.venv`, `node_modules`), then in `PATH`, and what they print goes to the
//! terminal. C, C++ and Zig need a compiler alone: bindings and component are made here, in `c`; so does Go, see `go`. The
//! component is put in place once `judge` has found that a host accepts it.

mod c;
mod go;
mod judge;
mod memory;
mod name;
mod node;
mod typescript;
mod zig;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};

use super::{Build, Host, Language, output};
use terminal::EXIT_DONE;

/// How a compiler for C is installed on Debian 12, and one for C++.
pub(super) const CLANG_PACKAGES: &str = "apt install clang lld wasi-libc libclang-rt-14-dev-wasm32";
pub(super) const CPP_PACKAGES: &str =
    "apt install clang lld wasi-libc libclang-rt-14-dev-wasm32 libc++-14-dev-wasm32 libc++abi-14-dev-wasm32";

/// The main file of a project determines its language.
const MAIN_FILES: [(&str, Language); 8] = [
    ("Cargo.toml", Language::Rust),
    ("plugin.py", Language::Python),
    ("plugin.js", Language::Js),
    ("plugin.ts", Language::Ts),
    ("plugin.c", Language::C),
    ("plugin.cpp", Language::Cpp),
    ("plugin.zig", Language::Zig),
    ("plugin.go", Language::Go),
];

/// What a module is called between the compiler and the component.
const MODULE: &str = "module.wasm";
/// How Python calls the `go` of its package.
pub(super) const START_GO: &str = "import sys, go; sys.exit(go.main())";
/// The world in `wit/world.wit`.
const WORLD: &str = "contract";

pub(super) fn run(arguments: &Build, host: &Host) -> anyhow::Result<u8> {
    build(arguments, host).map(|_| EXIT_DONE)
}

/// Builds the component and shows where it is.
pub(super) fn build(arguments: &Build, host: &Host) -> anyhow::Result<PathBuf> {
    let folder = &arguments.folder;
    let folder = folder.canonicalize().with_context(|| format!("cannot open the project {}", folder.display()))?;
    let language = language(&folder)?;
    let target = match &arguments.output {
        Some(file) => std::path::absolute(file)?,
        None => folder.join(format!("{}.wasm", name::of(&folder, language)?)),
    };
    let scratch = folder.join("build");
    fs::create_dir_all(&scratch).with_context(|| format!("cannot create {}", scratch.display()))?;
    let made = scratch.join("component.wasm");
    match language {
        Language::Rust => rust(&folder, &made)?,
        Language::Python => python(&folder, &made)?,
        Language::Js => node::build(&folder, &made)?,
        Language::Ts => typescript::build(&folder, &scratch, &made)?,
        Language::Go => go::build(&folder, &scratch, &made)?,
        Language::C | Language::Cpp | Language::Zig => c::build(&folder, &scratch, &made, language)?,
    }
    let roles = judge::judge(&made, host)?;
    // Plugins that others may write to are refused, so the mode does not depend on the umask.
    fs::set_permissions(&made, fs::Permissions::from_mode(0o644))?;
    fs::rename(&made, &target)
        .or_else(|_| fs::copy(&made, &target).map(drop))
        .with_context(|| format!("cannot write {}", target.display()))?;
    let size = fs::metadata(&target)?.len();
    output::line(&format!("built {}, {size} bytes: {roles}", target.display()));
    Ok(target)
}

/// The component that a build of the project in `folder` writes.
pub(super) fn component_of(folder: &Path) -> anyhow::Result<PathBuf> {
    let folder = folder.canonicalize().with_context(|| format!("cannot open the project {}", folder.display()))?;
    Ok(folder.join(format!("{}.wasm", name::of(&folder, language(&folder)?)?)))
}

pub(super) fn language(folder: &Path) -> anyhow::Result<Language> {
    let found = MAIN_FILES.iter().find(|(file, _)| folder.join(file).is_file());
    found.map(|(_, language)| *language).with_context(|| {
        let names = MAIN_FILES.map(|(file, _)| file).join(", ");
        format!("{} is no plugin project: it holds none of {names}; `sesame plugin new` creates one", folder.display())
    })
}

fn rust(folder: &Path, made: &Path) -> anyhow::Result<()> {
    const TARGET: &str = "wasm32-wasip2";
    let cargo = tool("cargo", folder, None, "install Rust 1.95 or newer with rustup")?;
    let mut ask = Command::new(tool("rustc", folder, None, "install Rust 1.95 or newer with rustup")?);
    ask.args(["--print", "target-libdir", "--target", TARGET]).current_dir(folder).stderr(Stdio::inherit());
    let answer = ask.output().context("cannot run rustc")?;
    let library = PathBuf::from(String::from_utf8_lossy(&answer.stdout).trim());
    ensure!(library.is_dir(), "the Rust target {TARGET} is not installed: rustup target add {TARGET}");
    let mut build = Command::new(cargo);
    build.args(["build", "--release", "--target", TARGET, "--message-format=json-render-diagnostics"]);
    let answer = build.current_dir(folder).stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    ensure!(answer.status.success(), "cargo did not build the plugin, see above");
    let component = built_by_cargo(&answer.stdout, &folder.join("Cargo.toml"))
        .context("cargo built no component: set crate-type = [\"cdylib\"] under [lib] in Cargo.toml")?;
    fs::copy(&component, made).with_context(|| format!("cannot copy {}", component.display()))?;
    Ok(())
}

/// The component of the package with this manifest, as cargo's messages name it.
fn built_by_cargo(messages: &[u8], manifest: &Path) -> Option<PathBuf> {
    let lines = messages.split(|byte| *byte == b'\n');
    let messages = lines.filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok());
    let of_ours = messages.filter(|message| {
        let path = message.get("manifest_path").and_then(|path| path.as_str());
        path.is_some_and(|path| Path::new(path) == manifest)
    });
    let files = of_ours.filter_map(|message| message.get("filenames")?.as_array().cloned()).flatten();
    let mut paths = files.filter_map(|file| file.as_str().map(PathBuf::from));
    paths.rfind(|path| path.extension() == Some(OsStr::new("wasm")))
}

fn python(folder: &Path, made: &Path) -> anyhow::Result<()> {
    let remedy = format!("{} (Debian: apt install python3-venv)", Language::Python.preparation());
    let start = "import sys, componentize_py; sys.exit(componentize_py.script())";
    let mut build = python_tool("componentize-py", start, folder, &remedy)?;
    build.args(["--quiet", "--wit-path", "wit", "--world", WORLD, "componentize", "plugin"]);
    finish(build.arg("--output").arg(made).current_dir(folder), "componentize-py")
}

/// Makes the component of the module that a compiler left in `scratch`.
fn componentize(
    scratch: &Path,
    made: &Path,
    encode: impl FnOnce(&[u8]) -> anyhow::Result<Vec<u8>>,
) -> anyhow::Result<()> {
    let module = fs::read(scratch.join(MODULE))?;
    let component = encode(&module).context("cannot make a component of what was compiled")?;
    fs::write(made, component).with_context(|| format!("cannot write {}", made.display()))
}

/// A tool that a package of Python brings, or one in `PATH`; `start` calls it from Python.
pub(super) fn python_tool(name: &str, start: &str, folder: &Path, remedy: &str) -> anyhow::Result<Command> {
    let tool = tool(name, folder, Some(".venv/bin"), remedy)?;
    // The script of a virtual environment names its interpreter by the path at which it was made, and is useless once the
    // project is moved; the interpreter beside it finds its packages from where it lies.
    let interpreter = folder.join(".venv/bin/python");
    if !tool.starts_with(folder) || !interpreter.is_file() {
        return Ok(Command::new(tool));
    }
    let mut command = Command::new(interpreter);
    command.args(["-c", start]);
    Ok(command)
}

/// Runs a tool; it prints its own errors.
fn finish(command: &mut Command, name: &str) -> anyhow::Result<()> {
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot run {name}"))?;
    ensure!(status.success(), "{name} did not build the plugin, see above");
    Ok(())
}

/// A tool by its name: in the project's own folder of tools, else in `PATH`.
pub(super) fn tool(name: &str, folder: &Path, local: Option<&str>, remedy: &str) -> anyhow::Result<PathBuf> {
    match find_tool(name, folder, local) {
        Some(path) => Ok(path),
        None => bail!("{name} is not installed: {remedy}"),
    }
}

fn find_tool(name: &str, folder: &Path, local: Option<&str>) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let local = local.map(|local| folder.join(local));
    let mut candidates = local.into_iter().chain(std::env::split_paths(&paths)).map(|place| place.join(name));
    candidates
        .find(|path| path.metadata().is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(folder: &Path) -> anyhow::Result<u8> {
        let host =
            Host { plugins: || bail!("no host"), plugins_with: |_| bail!("no host"), max_payload: 0, records: "" };
        run(&Build { folder: folder.to_owned(), output: None }, &host)
    }

    #[test]
    fn refuses_a_folder_without_a_project() {
        let home = tempfile::tempdir().unwrap();
        let error = build(home.path()).unwrap_err().to_string();
        assert!(
            error.contains(
                "none of Cargo.toml, plugin.py, plugin.js, plugin.ts, plugin.c, plugin.cpp, plugin.zig, plugin.go"
            ),
            "{error}"
        );
        assert!(build(&home.path().join("nowhere")).unwrap_err().to_string().contains("cannot open the project"));
    }

    #[test]
    fn names_a_missing_tool_and_how_to_install_it() {
        let home = tempfile::tempdir().unwrap();
        let error = tool("no-such-tool", home.path(), Some(".venv/bin"), "buy one").unwrap_err().to_string();
        assert_eq!(error, "no-such-tool is not installed: buy one");
    }

    #[test]
    fn a_tool_of_the_project_comes_first_if_it_can_be_run() {
        let home = tempfile::tempdir().unwrap();
        let own = home.path().join("own");
        fs::create_dir(&own).unwrap();
        fs::write(own.join("sh"), "").unwrap();
        assert_ne!(find_tool("sh", home.path(), Some("own")), Some(own.join("sh")));
        fs::set_permissions(own.join("sh"), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find_tool("sh", home.path(), Some("own")), Some(own.join("sh")));
    }

    #[test]
    fn the_component_is_the_one_of_our_package() {
        let messages = br#"{"manifest_path":"/a/sdk/Cargo.toml","filenames":["/t/sdk.wasm"]}
not json
{"manifest_path":"/a/Cargo.toml","filenames":["/t/a.rlib","/t/a.wasm"]}
{"reason":"build-finished"}"#;
        assert_eq!(built_by_cargo(messages, Path::new("/a/Cargo.toml")), Some(PathBuf::from("/t/a.wasm")));
        assert_eq!(built_by_cargo(messages, Path::new("/b/Cargo.toml")), None);
    }
}
