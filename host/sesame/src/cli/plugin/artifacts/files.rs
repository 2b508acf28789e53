//! The files of a plugin that was pulled: written aside in the folder they go to, then given their names.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tempfile::TempDir;

use super::Fetched;

pub(super) const COMPONENT: &str = ".wasm";

/// NAME of the files of a plugin, from NAME or NAME.wasm.
pub(super) fn stem(name: &str) -> anyhow::Result<String> {
    let stem = name.strip_suffix(COMPONENT).unwrap_or(name);
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let usable = !stem.is_empty() && !stem.starts_with('.') && stem.len() <= 200 && stem.chars().all(good);
    anyhow::ensure!(
        usable,
        "{name:?} cannot be the name of a plugin's file: give --name with letters, digits, -, _ and ."
    );
    Ok(stem.to_owned())
}

/// The file of a plugin in a folder.
pub(super) fn file(folder: &Path, stem: &str, ending: &str) -> PathBuf {
    folder.join(format!("{stem}{ending}"))
}

/// Writes all files into a hidden directory of `folder`, which goes away with what is left in it.
pub(super) fn stage(folder: &Path, fetched: &Fetched) -> anyhow::Result<TempDir> {
    let cannot = || format!("cannot write to {}", folder.display());
    let staging = tempfile::Builder::new().prefix(".sesame-pull-").tempdir_in(folder).with_context(cannot)?;
    let write = |ending: &str, content: &[u8]| write(&file(staging.path(), &fetched.stem, ending), content);
    write(COMPONENT, &fetched.pulled.component).with_context(cannot)?;
    for (part, content) in &fetched.pulled.files {
        write(part.ending(), content).with_context(cannot)?;
    }
    Ok(staging)
}

/// Writes a new file, readable for the user that Sesame runs as, whatever the umask.
pub(super) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = fs::File::options().write(true).create_new(true).mode(0o644).open(path)?;
    file.write_all(content)?;
    file.set_permissions(fs::Permissions::from_mode(0o644))?;
    file.sync_all()
}

/// Gives staged files their names in `folder`. Returns those that were there.
pub(super) fn publish(staging: &Path, folder: &Path, stem: &str, endings: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    let mut moved = Vec::new();
    for ending in endings {
        let (from, to) = (file(staging, stem, ending), file(folder, stem, ending));
        match fs::rename(&from, &to) {
            Ok(()) => moved.push(to),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot write {}", to.display())),
        }
    }
    let sync = || fs::File::open(folder)?.sync_all();
    sync().with_context(|| format!("cannot write to {}", folder.display()))?;
    Ok(moved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_plugin_is_that_of_a_file_in_the_folder() {
        for (name, expected) in [("check", "check"), ("10-check.wasm", "10-check"), ("a.b_c", "a.b_c")] {
            assert_eq!(stem(name).unwrap(), expected);
        }
        for wrong in ["", ".wasm", ".hidden", "../a", "a/b", "a b", "a\n"] {
            assert!(stem(wrong).is_err(), "{wrong:?}");
        }
    }
}
