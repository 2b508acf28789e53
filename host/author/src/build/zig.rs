//! Zig: the compiler makes an object of the plugin, which goes into the module with the helper in C, as in `c`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, ensure};

use super::c::{Compiler, ROLES};
use super::{Language, finish};

/// The version that the helper is written for: each one changes the language.
const VERSION: &str = "0.17.";

/// The object of `plugin.zig` and all that it imports; `build/world.zig` says which roles the world exports.
pub(super) fn object(zig: &Compiler, folder: &Path, scratch: &Path, roles: &[&str]) -> anyhow::Result<PathBuf> {
    check_version(zig, folder)?;
    let mut world = String::new();
    for role in ROLES {
        let _ = writeln!(world, "pub const {role} = {};", roles.contains(&role));
    }
    let file = scratch.join("world.zig");
    fs::write(&file, world).with_context(|| format!("cannot write {}", file.display()))?;
    let object = Path::new("build").join("plugin.o");
    let mut compile = zig.program(folder);
    // The guard of the stack protector comes from random numbers of the system, which its C library imports directly.
    compile.args([
        "build-obj",
        "-target",
        "wasm32-wasi",
        "-lc",
        "-O",
        "ReleaseSafe",
        "-fstrip",
        "-fno-stack-protector",
    ]);
    compile.args(["--cache-dir", "build/zig", "--dep", "world", "-Mroot=plugin.zig", "-Mworld=build/world.zig"]);
    compile.arg(format!("-femit-bin={}", object.display()));
    finish(&mut compile, "zig")?;
    Ok(object)
}

fn check_version(zig: &Compiler, folder: &Path) -> anyhow::Result<()> {
    let answer = zig.program(folder).arg("version").stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let answer = answer.context("cannot run zig")?;
    let text = String::from_utf8_lossy(&answer.stdout);
    let remedy = Language::Zig.preparation();
    ensure!(text.starts_with(VERSION), "zig is {:?}, and the helper is written for {VERSION}x: {remedy}", text.trim());
    Ok(())
}
