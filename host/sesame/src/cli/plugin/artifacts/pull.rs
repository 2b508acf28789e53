//! `sesame plugin pull`: the files of a plugin into a folder.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::{Fetched, Pull, files};
use crate::cli::{EXIT_DONE, output};
use registry::Part;

pub(in crate::cli::plugin) fn pull(arguments: &Pull) -> anyhow::Result<u8> {
    let (name, folder) = (&arguments.name, &arguments.output);
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut fetched = Fetched::pull(name, folder, &arguments.pinning, &arguments.access)?;
    let staging = files::stage(folder, &fetched)?;
    let mut endings: Vec<&str> = Part::ALL.iter().map(|part| part.ending()).collect();
    endings.push(files::COMPONENT);
    for ending in &endings {
        check_free(staging.path(), folder, &fetched.stem, ending)?;
    }
    fetched.pin(name)?;
    for file in files::publish(staging.path(), folder, &fetched.stem, &endings)? {
        output::line(&format!("wrote {}", file.display()));
    }
    output::line(&format!("{name} is {}", fetched.pulled.digest));
    Ok(EXIT_DONE)
}

/// Nothing of the user's is overwritten, and no file of another plugin stays beside the component.
fn check_free(staging: &Path, folder: &Path, stem: &str, ending: &str) -> anyhow::Result<()> {
    let (new, there) = (files::file(staging, stem, ending), files::file(folder, stem, ending));
    if there.symlink_metadata().is_err() || fs::read(&new).ok() == fs::read(&there).ok() {
        return Ok(());
    }
    anyhow::bail!("{} is there already and differs: remove it, or give another --output or --name", there.display())
}
