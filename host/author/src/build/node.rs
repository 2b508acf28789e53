//! componentize-qjs, run by any node from 18 on.
//!
//! Its launcher, the `bin` of its package, is an ES module without an extension in a package that does not say so. Node took
//! such a file for CommonJS until 20.19 and 22.7: Debian 12's 18.20.4 ends with `SyntaxError: Cannot use import statement
//! outside a module` (componentize-qjs 0.4.5). So the module that the launcher imports is called, which the package lists
//! in `files` and whose name says what it is.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

use anyhow::{Context as _, bail, ensure};

use super::{Language, WORLD, finish, tool};

const PACKAGE: &str = "componentize-qjs";
/// Where npm puts the tools of a project.
pub(super) const BINARIES: &str = "node_modules/.bin";
/// The first version of node that takes componentize-qjs.
const OLDEST_NODE: u32 = 18;
/// How node is installed on Debian.
const NODE_PACKAGES: &str = "apt install nodejs npm";

pub(super) fn build(folder: &Path, made: &Path) -> anyhow::Result<()> {
    componentize(folder, Language::Js, "plugin.js", made)
}

/// How what a project of this language needs of npm is installed.
pub(super) fn remedy(language: Language) -> String {
    format!("{} (Debian, for npm: {NODE_PACKAGES})", language.preparation())
}

/// Makes a component of a script, which has its path in the project.
pub(super) fn componentize(folder: &Path, language: Language, script: &str, made: &Path) -> anyhow::Result<()> {
    let launcher = tool(PACKAGE, folder, Some(BINARIES), &remedy(language))?;
    let node = tool("node", folder, None, &format!("install node {OLDEST_NODE} or newer: {NODE_PACKAGES}"))?;
    check_version(&node)?;
    let mut build = match entry(&launcher) {
        Some(module) => {
            let mut command = Command::new(node);
            command.arg(module);
            command
        }
        None => Command::new(launcher),
    };
    build.args(["--wit", "wit", "--js", script, "--world", WORLD, "--sync"]);
    finish(build.arg("--output").arg(made).current_dir(folder).stdout(Stdio::null()), PACKAGE)
}

fn check_version(node: &Path) -> anyhow::Result<()> {
    let shown = node.display();
    let answer = Command::new(node).arg("--version").stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let answer = answer.with_context(|| format!("cannot run {shown}"))?;
    let text = String::from_utf8_lossy(&answer.stdout);
    let text = text.trim();
    let major = text.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    match major {
        Some(major) => ensure!(
            major >= OLDEST_NODE,
            "{shown} is node {text}, and {PACKAGE} needs {OLDEST_NODE} or newer: {NODE_PACKAGES}"
        ),
        None => bail!("{shown} does not say its version: install node {OLDEST_NODE} or newer: {NODE_PACKAGES}"),
    }
    Ok(())
}

/// The module of the package to which a launcher belongs that node takes for one whatever its version; none where the
/// launcher belongs to no such package, such as a script of the author's own.
fn entry(launcher: &Path) -> Option<PathBuf> {
    let launcher = launcher.canonicalize().ok()?;
    let (folder, package) = launcher.ancestors().find_map(|folder| Some((folder, package(folder).ok()?)))?;
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let bins = match package.get("bin")? {
        serde_json::Value::Object(bins) => bins.get(PACKAGE).and_then(text),
        bin => text(bin),
    };
    let files = package.get("files").and_then(|files| files.as_array());
    let files = files.into_iter().flatten().filter_map(text);
    let module = bins.into_iter().chain(files).find(|file| file.ends_with(".mjs"));
    module.map(|module| folder.join(module)).filter(|module| module.is_file())
}

/// The `package.json` of componentize-qjs in a folder.
fn package(folder: &Path) -> io::Result<serde_json::Value> {
    let package: serde_json::Value = serde_json::from_slice(&fs::read(folder.join("package.json"))?)?;
    match package.get("name").and_then(|name| name.as_str()) {
        Some(PACKAGE) => Ok(package),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn the_module_of_the_package_is_called_and_not_its_launcher() {
        let home = tempfile::tempdir().unwrap();
        let package = home.path().join("node_modules/componentize-qjs");
        fs::create_dir_all(package.join("bin")).unwrap();
        fs::create_dir_all(home.path().join("node_modules/.bin")).unwrap();
        fs::write(package.join("bin/componentize-qjs"), "import '../main.mjs';").unwrap();
        let link = home.path().join("node_modules/.bin/componentize-qjs");
        symlink("../componentize-qjs/bin/componentize-qjs", &link).unwrap();
        assert_eq!(entry(&link), None);
        let manifest = r#"{"name": "componentize-qjs", "bin": {"componentize-qjs": "bin/componentize-qjs"},
            "files": ["bin", "main.mjs", "index.js"]}"#;
        fs::write(package.join("package.json"), manifest).unwrap();
        assert_eq!(entry(&link), None, "the module is not there");
        fs::write(package.join("main.mjs"), "").unwrap();
        assert_eq!(entry(&link), Some(package.canonicalize().unwrap().join("main.mjs")));
        fs::write(package.join("package.json"), r#"{"name": "other", "files": ["main.mjs"]}"#).unwrap();
        assert_eq!(entry(&link), None);
    }

    #[test]
    fn an_old_node_is_named_with_how_to_install_another() {
        let home = tempfile::tempdir().unwrap();
        let node = home.path().join("node");
        for (says, expected) in [("v16.20.2", "is node v16.20.2, and"), ("nothing", "does not say its version")] {
            fs::write(&node, format!("#!/bin/sh\necho {says}\n")).unwrap();
            fs::set_permissions(&node, fs::Permissions::from_mode(0o755)).unwrap();
            let error = check_version(&node).unwrap_err().to_string();
            assert!(error.contains(expected) && error.ends_with("apt install nodejs npm"), "{error}");
        }
        fs::write(&node, "#!/bin/sh\necho v18.20.4\n").unwrap();
        check_version(&node).unwrap();
    }
}
