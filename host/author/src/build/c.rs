//! C, C++ and Zig: the bindings are made from the project's own `wit/`, the compiler makes a core module of everything, and the
//! module becomes a component. No WASI adapter is used: `sesame/system.c` answers what the C library asks for.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, anyhow, bail};
use plugins::TABLES;
use wit_bindgen_core::Files;
use wit_component::ComponentEncoder;
use wit_parser::{Resolve, WorldId, WorldItem};

use super::{Language, MODULE, WORLD, componentize, find_tool, finish, zig};

pub(super) const ROLES: [&str; 3] = ["validator", "transformer", "router"];

/// Builds the project in `folder`; what is made on the way is left in `scratch`.
pub(super) fn build(folder: &Path, scratch: &Path, made: &Path, language: Language) -> anyhow::Result<()> {
    let (mut resolve, world) = read_world(&folder.join("wit"))?;
    let roles = roles(&resolve, world);
    // With these, a function of a role that the world lacks is an error of the compiler.
    let mut options = vec!["-DSESAME_WORLD".to_owned()];
    options.extend(roles.iter().map(|role| format!("-DSESAME_{}", role.to_uppercase())));
    options.extend(["-Os", "-Wall", "-I", "sesame", "-I", "build"].map(str::to_owned));
    bindings(&mut resolve, world, scratch)?;
    let (mut lookups, of_lookups) = lookups()?;
    bindings(&mut lookups, of_lookups, scratch)?;
    let compiler = Compiler::find(folder, language)?;
    let missing = |error| anyhow!("{error}; if headers, libraries or wasm-ld are missing: {}", language.preparation());
    let mut link = compiler.command("cc", folder);
    for source in sources(folder, "cpp")? {
        let object = Path::new("build").join(source.to_string_lossy().replace('/', "-")).with_extension("o");
        let mut compile = compiler.command("c++", folder);
        compile.args(["-std=c++20", "-fno-exceptions", "-c"]).args(&options).arg(source).arg("-o").arg(&object);
        finish(&mut compile, "the C++ compiler").map_err(missing)?;
        link.arg(object);
    }
    if language == Language::Zig {
        link.arg(zig::object(&compiler, folder, scratch, &roles)?);
    }
    link.args(["-std=c11", "-mexec-model=reactor", "-Wl,--strip-debug"]).args(&options).args(sources(folder, "c")?);
    let made_of = ["contract.c", "contract_component_type.o", "lookups.c", "lookups_component_type.o"];
    link.args(made_of.map(|name| Path::new("build").join(name)));
    if compiler.is_zig {
        // Its stack has 16 MiB by default, which every instance would begin with: 2 ms for each message.
        link.arg("-Wl,-z,stack-size=262144");
    }
    if language == Language::Cpp {
        link.args(["-lc++", "-lc++abi"]);
    }
    finish(link.arg("-o").arg(scratch.join(MODULE)), "the C compiler").map_err(missing)?;
    componentize(scratch, made, component_of)
}

pub(super) fn read_world(wit: &Path) -> anyhow::Result<(Resolve, WorldId)> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(wit).with_context(|| format!("cannot read {}", wit.display()))?;
    let world = resolve.select_world(&[package], Some(WORLD))?;
    Ok((resolve, world))
}

/// The world `lookups`: `tables` of version 1.1. It has bindings of its own, because those of a world with two versions of the
/// contract would have other names. A component that does not call it does not import it.
pub(super) fn lookups() -> anyhow::Result<(Resolve, WorldId)> {
    let mut resolve = Resolve::default();
    resolve.push_str("tables.wit", include_str!("../../../../wit/tables/tables.wit"))?;
    let world = format!("package sesame:build; world lookups {{ import {TABLES}; }}");
    let package = resolve.push_str("lookups.wit", &world)?;
    let world = resolve.select_world(&[package], Some("lookups"))?;
    Ok((resolve, world))
}

/// The roles that the world exports.
pub(super) fn roles(resolve: &Resolve, world: WorldId) -> Vec<&'static str> {
    let world = resolve.worlds.get(world);
    let exports = world.iter().flat_map(|world| world.exports.values()).filter_map(|item| match item {
        WorldItem::Interface { id, .. } => resolve.interfaces.get(*id)?.name.as_deref(),
        _ => None,
    });
    let exported: Vec<&str> = exports.collect();
    ROLES.into_iter().filter(|role| exported.contains(role)).collect()
}

/// Header, source and an object with the world's type, named as the world is.
fn bindings(resolve: &mut Resolve, world: WorldId, scratch: &Path) -> anyhow::Result<()> {
    let mut files = Files::default();
    wit_bindgen_c::Opts::default().build().generate(resolve, world, &mut files)?;
    for (name, content) in files.iter() {
        let path = scratch.join(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// A compiler for WebAssembly.
pub(super) struct Compiler {
    program: PathBuf,
    /// What makes zig of an interpreter of Python.
    module: &'static [&'static str],
    is_zig: bool,
}

impl Compiler {
    /// clang, or zig; a plugin in Zig has to have the latter.
    fn find(folder: &Path, language: Language) -> anyhow::Result<Self> {
        let packages = language.preparation();
        if language == Language::Zig {
            return Self::zig(folder).with_context(|| format!("zig is not installed: {packages}"));
        }
        let clang = find_tool("clang", folder, None);
        let clang = clang.map(|program| Self { program, module: &[], is_zig: false });
        clang.or_else(|| Self::zig(folder)).with_context(|| {
            format!("neither clang nor zig is installed: {packages} (Debian 12), or pip install ziglang in .venv")
        })
    }

    /// The zig that the project's Python has, else one in `PATH`. The script of a virtual environment is useless once the
    /// project is moved, so its interpreter is called.
    fn zig(folder: &Path) -> Option<Self> {
        let local = folder.join(".venv/bin");
        if local.join("python-zig").is_file() {
            return Some(Self { program: local.join("python"), module: &["-m", "ziglang"], is_zig: true });
        }
        let found = find_tool("zig", folder, None).or_else(|| find_tool("python-zig", folder, None));
        found.map(|program| Self { program, module: &[], is_zig: true })
    }

    /// The program itself, run in the project's folder.
    pub(super) fn program(&self, folder: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.args(self.module).current_dir(folder);
        command
    }

    /// The compiler for `cc` or `c++`. clang goes by the names of the files alone.
    fn command(&self, language: &str, folder: &Path) -> Command {
        let mut command = self.program(folder);
        if self.is_zig {
            command.arg(language);
        }
        command.arg("--target=wasm32-wasi");
        command
    }
}

/// The project's own files and the helper's that end so.
fn sources(folder: &Path, end: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut sources = Vec::new();
    for place in ["", "sesame"] {
        for entry in fs::read_dir(folder.join(place)).with_context(|| format!("cannot read {}", folder.display()))? {
            let name = entry?.file_name();
            if Path::new(&name).extension() == Some(OsStr::new(end)) {
                sources.push(Path::new(place).join(name));
            }
        }
    }
    sources.sort();
    Ok(sources)
}

fn component_of(module: &[u8]) -> anyhow::Result<Vec<u8>> {
    let encoder = ComponentEncoder::default().validate(true).module(module);
    match encoder.and_then(|mut encoder| encoder.encode()) {
        Ok(component) => Ok(component),
        // The module wants something of a system that `system.c` does not answer.
        Err(error) if format!("{error:#}").contains("wasi_snapshot_preview1") => bail!(
            "it uses more of the system than `sesame/system.c` answers, such as sockets: {error:#}; \
             docs/src/plugins/calls.md says what a plugin has"
        ),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_world_names_the_roles_and_the_bindings_are_made_from_it() {
        let home = tempfile::tempdir().unwrap();
        let wit = home.path().join("wit");
        fs::create_dir_all(wit.join("deps/p")).unwrap();
        let world = "package a:b;\nworld contract { export c:p/router@1.0.0; export c:p/lifecycle@1.0.0; }";
        fs::write(wit.join("world.wit"), world).unwrap();
        let deps =
            "package c:p@1.0.0;\ninterface router { route: func() -> string; }\ninterface lifecycle { f: func(); }";
        fs::write(wit.join("deps/p/p.wit"), deps).unwrap();
        let (mut resolve, world) = read_world(&wit).unwrap();
        assert_eq!(roles(&resolve, world), ["router"]);
        bindings(&mut resolve, world, home.path()).unwrap();
        let header = fs::read_to_string(home.path().join("contract.h")).unwrap();
        assert!(header.contains("exports_c_p_router_route"), "{header}");
    }

    #[test]
    fn what_is_no_module_is_no_component() {
        assert!(component_of(b"nothing").is_err());
    }
}
