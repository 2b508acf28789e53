//! Embeds what `sesame plugin new` writes: the contract, the SDK with its helpers and templates, and the versions that
//! the Rust SDK is tested with. Every file below `plugin-sdk` joins by being there, so that nothing need be listed
//! twice.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Folders of the SDK, and whether what is below them belongs to it too.
const FOLDERS: [(&str, bool); 10] = [
    ("wit", false),
    ("wit/tables", false),
    ("plugin-sdk/src", true),
    ("plugin-sdk/python", true),
    ("plugin-sdk/js", true),
    ("plugin-sdk/c", true),
    ("plugin-sdk/cpp", true),
    ("plugin-sdk/zig", true),
    ("plugin-sdk/go", true),
    ("plugin-sdk/templates", true),
];
const FILES: [&str; 3] = ["Cargo.lock", "docs/src/plugins/guide.md", "plugin-sdk/Cargo.toml"];

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("../..").canonicalize()?;
    let mut files: Vec<PathBuf> = FILES.iter().map(|name| root.join(name)).collect();
    for (folder, deep) in FOLDERS {
        println!("cargo::rerun-if-changed={}", root.join(folder).display());
        collect(&root.join(folder), deep, &mut files)?;
    }
    files.sort();
    let mut list = String::from("[\n");
    for file in &files {
        println!("cargo::rerun-if-changed={}", file.display());
        let name = file.strip_prefix(&root).unwrap_or(file);
        let _ = writeln!(list, "    ({name:?}, include_bytes!({file:?})),");
    }
    list.push_str("]\n");
    fs::write(PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("sdk.rs"), list)
}

fn collect(folder: &Path, deep: bool, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let left_by_a_tool = path.ends_with("__pycache__") || path.ends_with("node_modules");
        match path.is_dir() {
            true if deep && !left_by_a_tool => collect(&path, deep, files)?,
            true => {}
            false => files.push(path),
        }
    }
    Ok(())
}
