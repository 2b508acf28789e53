//! What a project calls its component: the name in its manifest (`Cargo.toml`, `package.json`), else that of its sidecar,
//! the one `NAME.toml` that is no tool's. The folder may be called as its owner likes; its name counts only where the project
//! has none.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};

use super::Language;

/// Files of other tools that lie where a sidecar does.
const OTHER_TOOLS: [&str; 4] = ["Cargo", "pyproject", "rustfmt", "clippy"];

/// The component's name, without an extension.
pub(super) fn of(folder: &Path, language: Language) -> anyhow::Result<String> {
    let named = match language {
        Language::Rust => in_cargo_manifest(folder)?,
        Language::Js | Language::Ts => in_package_json(folder)?,
        Language::Python | Language::C | Language::Cpp | Language::Zig | Language::Go => None,
    };
    let named = match named {
        Some(name) => Some(name),
        None => of_sidecar(folder)?,
    };
    let own = || folder.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = named.or_else(own);
    let name = name.with_context(|| format!("{} has no name: give one with --output", folder.display()))?;
    match name.contains('/') || name.starts_with('.') {
        true => bail!("the project's name {name:?} cannot be that of a file: give one with --output"),
        false => Ok(name),
    }
}

fn in_cargo_manifest(folder: &Path) -> anyhow::Result<Option<String>> {
    let file = folder.join("Cargo.toml");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let manifest: toml::Table = text.parse().with_context(|| format!("cannot read {}", file.display()))?;
    Ok(manifest.get("package").and_then(|package| package.get("name")?.as_str()).map(str::to_owned))
}

/// The name, without the scope in `@scope/name`.
fn in_package_json(folder: &Path) -> anyhow::Result<Option<String>> {
    let file = folder.join("package.json");
    let Ok(text) = fs::read(&file) else { return Ok(None) };
    let package: serde_json::Value =
        serde_json::from_slice(&text).with_context(|| format!("cannot read {}", file.display()))?;
    let name = package.get("name").and_then(|name| name.as_str());
    Ok(name.and_then(|name| name.rsplit('/').next()).map(str::to_owned))
}

fn of_sidecar(folder: &Path) -> anyhow::Result<Option<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if path.extension().is_some_and(|end| end == "toml") && !stem.starts_with('.') && !OTHER_TOOLS.contains(&stem) {
            names.push(stem.to_owned());
        }
    }
    names.sort();
    match names.len() {
        0 | 1 => Ok(names.pop()),
        _ => bail!("which of {}.toml is the plugin's sidecar? name the component with --output", names.join(".toml, ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(folder: &str, files: &[(&str, &str)]) -> (tempfile::TempDir, std::path::PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(folder);
        fs::create_dir(&folder).unwrap();
        for (name, content) in files {
            fs::write(folder.join(name), content).unwrap();
        }
        (home, folder)
    }

    #[test]
    fn the_project_names_its_component_and_not_its_folder() {
        let cargo = ("Cargo.toml", "[package]\nname = \"sites\"\n");
        let npm = ("package.json", "{\"name\": \"@example/sites\"}");
        for (language, manifest) in [
            (Language::Rust, cargo),
            (Language::Js, npm),
            (Language::Ts, npm),
            (Language::Python, ("pyproject.toml", "")),
            (Language::C, ("plugin.c", "")),
            (Language::Cpp, ("plugin.cpp", "")),
            (Language::Zig, ("plugin.zig", "")),
            (Language::Go, ("go.mod", "")),
        ] {
            for folder in ["My Sites (copy)", "SITES", "other"] {
                let (_home, folder) = project(folder, &[manifest, ("sites.toml", "")]);
                assert_eq!(of(&folder, language).unwrap(), "sites", "{language:?} {}", folder.display());
            }
        }
    }

    #[test]
    fn a_project_without_a_name_is_called_as_its_folder() {
        let (_home, folder) = project("bare", &[("plugin.c", "")]);
        assert_eq!(of(&folder, Language::C).unwrap(), "bare");
        let (_home, folder) = project("bare", &[("plugin.js", "")]);
        assert_eq!(of(&folder, Language::Js).unwrap(), "bare");
    }

    #[test]
    fn two_sidecars_and_a_name_that_is_a_path_are_no_name() {
        let (_home, folder) = project("two", &[("a.toml", ""), ("b.toml", "")]);
        let error = of(&folder, Language::Python).unwrap_err().to_string();
        assert!(error.contains("which of a.toml, b.toml is"), "{error}");
        let (_home, folder) = project("path", &[("Cargo.toml", "[package]\nname = \"../up\"\n")]);
        assert!(of(&folder, Language::Rust).unwrap_err().to_string().contains("\"../up\" cannot be"));
    }
}
