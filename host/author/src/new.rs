//! `sesame plugin new`: creates a project that builds and passes its test cases. Contract, SDK or helper of the language,
//! template and guide are embedded in the program.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::{Language, New, Role, output};
use plugins::CONTRACT_VERSION;
use terminal::{EXIT_DONE, EXIT_USAGE, say};

/// Every file of the SDK, by its path in the repository.
static SDK: &[(&str, &[u8])] = &include!(concat!(env!("OUT_DIR"), "/sdk.rs"));

impl Language {
    fn word(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::Js => "js",
            Self::Ts => "ts",
            Self::C => "c",
            Self::Cpp => "cpp",
            Self::Zig => "zig",
            Self::Go => "go",
        }
    }

    /// Folders and files: path in the repository, path in the project.
    fn sources(self, role: Role) -> Vec<(String, &'static str)> {
        let templates = [
            "every".to_owned(),
            format!("roles/{}", role.word()),
            format!("{}/every", self.word()),
            format!("{}/{}", self.word(), role.word()),
        ];
        let mut sources: Vec<_> =
            templates.into_iter().map(|folder| (format!("plugin-sdk/templates/{folder}"), "")).collect();
        sources.push(("docs/src/plugins/guide.md".to_owned(), "GUIDE.md"));
        let wit = ("wit/plugin.wit".to_owned(), "wit/deps/sesame-plugin/plugin.wit");
        // With two versions in one folder, generators give the types of both other names: only where there is none.
        let tables = ("wit/tables".to_owned(), "wit/deps/sesame-tables");
        let helper = |word| (format!("plugin-sdk/{word}"), "");
        let world = |word| (format!("plugin-sdk/templates/{word}/every/wit"), "wit");
        match self {
            Self::Rust => sources.extend([
                ("wit/plugin.wit".to_owned(), "wit/plugin.wit"),
                ("wit/tables".to_owned(), "wit/tables"),
                ("plugin-sdk/src".to_owned(), "sdk/src"),
                ("plugin-sdk/Cargo.toml".to_owned(), "sdk/Cargo.toml"),
                ("Cargo.lock".to_owned(), "Cargo.lock"),
            ]),
            Self::C => sources.extend([wit, helper("c")]),
            Self::Python | Self::Js => sources.extend([wit, tables, helper(self.word())]),
            Self::Ts => sources.extend([wit, tables, helper("js"), world("js")]),
            Self::Cpp => sources.extend([wit, helper("c"), helper("cpp"), world("c")]),
            Self::Zig => sources.extend([wit, helper("c"), helper("zig"), world("c")]),
            Self::Go => sources.extend([wit, helper("go"), world("python")]),
        }
        sources
    }

    /// The command that installs what an author needs.
    pub(super) fn preparation(self) -> &'static str {
        match self {
            Self::Rust => "rustup target add wasm32-wasip2",
            Self::Python | Self::Zig | Self::Go => "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
            Self::Js | Self::Ts => "npm install",
            Self::C => super::build::CLANG_PACKAGES,
            Self::Cpp => super::build::CPP_PACKAGES,
        }
    }
}

impl Role {
    fn word(self) -> &'static str {
        match self {
            Self::Validator => "validator",
            Self::Transformer => "transformer",
            Self::Router => "router",
        }
    }

    /// What the example of the role does, for the project's README.
    fn does(self) -> &'static str {
        match self {
            Self::Validator => "refuses messages of sites that are not listed",
            Self::Transformer => "gives a site that was renamed its new name",
            Self::Router => "sends messages of listed sites to a route of their own",
        }
    }
}

pub(super) fn run(arguments: &New) -> anyhow::Result<u8> {
    let folder = &arguments.folder;
    let name = match folder.file_name().and_then(|name| name.to_str()) {
        Some(name) if is_name(name) => name,
        _ => {
            let shown = folder.display();
            say(&format!("sesame: {shown} does not end in a plugin name: use letters a to z, digits and hyphens"));
            return Ok(EXIT_USAGE);
        }
    };
    for (target, bytes) in project(arguments.lang, arguments.role, name) {
        write(&folder.join(target), &bytes)?;
    }
    let (role, language) = (arguments.role.word(), arguments.lang.word());
    output::line(&format!("created {}, a {role} in {language}; next:", folder.display()));
    let next = [
        format!("cd {}", folder.display()),
        arguments.lang.preparation().to_owned(),
        "sesame plugin build".to_owned(),
        format!("sesame plugin test {name}.wasm cases"),
    ];
    next.iter().for_each(|command| output::line(&format!("    {command}")));
    Ok(EXIT_DONE)
}

/// Whether cargo, npm and a sidecar all accept the name.
fn is_name(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    name.len() <= 60 && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.bytes().all(legal)
}

/// The files of a project, by their paths in it.
fn project(language: Language, role: Role, name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for (from, to) in language.sources(role) {
        for (path, bytes) in SDK {
            let Ok(rest) = Path::new(path).strip_prefix(&from) else { continue };
            let target = if rest.as_os_str().is_empty() { PathBuf::from(to) } else { Path::new(to).join(rest) };
            let target = target.to_string_lossy().replace("{{name}}", name);
            files.push((PathBuf::from(target), filled_in(bytes, role, name)));
        }
    }
    files
}

/// The file with what stands between double braces filled in.
fn filled_in(bytes: &[u8], role: Role, name: &str) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(bytes) else { return bytes.to_vec() };
    let blanks =
        [("{{name}}", name), ("{{role}}", role.word()), ("{{does}}", role.does()), ("{{contract}}", CONTRACT_VERSION)];
    blanks.into_iter().fold(text.to_owned(), |text, (blank, value)| text.replace(blank, value)).into_bytes()
}

/// Writes a new file that only its owner may write to: a plugin that others may write to is refused.
fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let shown = path.display();
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        let made = DirBuilder::new().recursive(true).mode(0o755).create(parent);
        made.with_context(|| format!("cannot create the folder {}", parent.display()))?;
    }
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path);
    let mut file = opened.with_context(|| format!("cannot create {shown}: name a folder that does not exist yet"))?;
    file.write_all(bytes).with_context(|| format!("cannot write {shown}"))?;
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    const ROLES: [Role; 3] = [Role::Validator, Role::Transformer, Role::Router];

    /// A project of each language and role.
    fn each(check: impl Fn(&str, &[(PathBuf, Vec<u8>)])) {
        for language in Language::value_variants() {
            for role in ROLES {
                check(&format!("{language:?} {role:?}"), &project(*language, role, "my-check"));
            }
        }
    }

    fn text<'a>(files: &'a [(PathBuf, Vec<u8>)], name: &str) -> Option<&'a str> {
        let found = files.iter().find(|(path, _)| path == Path::new(name));
        found.map(|(_, bytes)| std::str::from_utf8(bytes).unwrap())
    }

    #[test]
    fn a_project_has_the_contract_its_cases_and_no_blank_left() {
        each(|which, files| {
            for name in ["my-check.toml", "README.md", "GUIDE.md"] {
                assert!(text(files, name).is_some(), "{which} {name}");
            }
            let contract = text(files, "wit/plugin.wit").or_else(|| text(files, "wit/deps/sesame-plugin/plugin.wit"));
            assert!(contract.is_some_and(|contract| contract.contains("package sesame:plugin@")), "{which}");
            let cases = files.iter().filter(|(path, _)| path.starts_with("cases") && path.ends_with("message"));
            assert_eq!(cases.count(), 4, "{which}");
            let mut names: Vec<_> = files.iter().map(|(path, _)| path).collect();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), files.len(), "{which} writes a file twice");
            // The SDK's sources come as they are, and double braces mean something else in them.
            let templates = || files.iter().filter(|(path, _)| !path.starts_with("sdk"));
            let blank = templates().find(|(_, bytes)| String::from_utf8_lossy(bytes).contains("{{"));
            assert_eq!(blank.map(|(path, _)| path), None, "{which}");
        });
    }

    #[test]
    fn the_role_chooses_example_cases_and_world() {
        for (role, case) in
            ROLES.into_iter().zip(["refuses-an-unlisted-site", "renames-the-site", "sends-a-listed-site-to-its-route"])
        {
            let files = project(Language::Python, role, "my-check");
            assert!(text(&files, &format!("cases/{case}/message")).is_some(), "{role:?}");
            let (world, readme) = (text(&files, "wit/world.wit").unwrap(), text(&files, "README.md").unwrap());
            assert!(world.contains(&format!("include sesame:plugin/{}-plugin@1.", role.word())), "{world}");
            assert!(readme.contains(role.does()), "{readme}");
            let main = text(&files, "plugin.py").unwrap();
            assert!(main.ends_with(&format!(", \"{}\")\n", role.word())), "{main}");
        }
    }

    #[test]
    fn a_name_is_one_for_cargo_npm_and_a_file() {
        for good in ["sites", "site-check-2"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "Sites", "2sites", "a b", "a_b", "..", "a.b"] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn a_project_never_overwrites_another() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("sites");
        let new = |folder| New { folder, lang: Language::C, role: Role::Validator };
        let arguments = new(folder.clone());
        assert_eq!(run(&arguments).unwrap(), EXIT_DONE);
        assert!(run(&arguments).unwrap_err().to_string().contains("that does not exist yet"));
        assert_eq!(run(&new(home.path().join("No"))).unwrap(), EXIT_USAGE);
    }
}
