//! `sesame plugin push`: a component with what is beside it, or a WIT package, to a registry.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;

use anyhow::Context as _;

use super::super::inspect;
use super::{Push, files, sbom};
use crate::cli::queue::read_file;
use crate::cli::{EXIT_DONE, context, output};
use crate::config;
use plugins::Inspection;
use registry::{Part, Upload};

/// What may be beside a component is at most as large.
const LARGEST: u64 = 4 << 20;

pub(in crate::cli::plugin) fn push(arguments: &Push) -> anyhow::Result<u8> {
    let Push { file, name, access } = arguments;
    let settings = access.settings(name)?;
    let upload = if file.is_dir() { package(file)? } else { plugin(file)? };
    let (kind, beside) = (upload.version.clone().unwrap_or_default(), parts(&upload));
    let digest = context::runtime()?.block_on(registry::push(name, upload, &settings))?;
    output::line(&format!("pushed {} {kind} to {name}{beside}", file.display()));
    output::line(&format!("{name} is {digest}"));
    Ok(EXIT_DONE)
}

/// What is pushed beside the component, for people.
fn parts(upload: &Upload) -> String {
    let words: Vec<&str> = upload.files.keys().map(|part| part.words()).collect();
    if words.is_empty() { String::new() } else { format!(", with {}", words.join(", ")) }
}

#[cfg(feature = "author")]
fn package(folder: &Path) -> anyhow::Result<Upload> {
    let author::WitPackage { name, version, exports, component } = author::wit_package(folder)?;
    let (summary, imports, files) = (None, Vec::new(), BTreeMap::new());
    Ok(Upload { name, version, summary, imports, exports, component, files })
}

#[cfg(not(feature = "author"))]
fn package(folder: &Path) -> anyhow::Result<Upload> {
    anyhow::bail!("cannot push {}: this sesame was built without the commands for authors", folder.display())
}

/// Only what this host can run is pushed.
fn plugin(file: &Path) -> anyhow::Result<Upload> {
    let component = inspect::component(file)?;
    let file_name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    anyhow::ensure!(file_name.ends_with(files::COMPONENT), "{} is not NAME.wasm", file.display());
    let stem = files::stem(file_name)?;
    let inspection = super::super::plugins(config::PLUGIN_CACHE.into())?.inspect(file_name, &component);
    let (_, description) = inspection
        .found
        .as_ref()
        .map_err(|error| anyhow::anyhow!("not pushed: {file_name} would be refused: it {error}"))?;
    let (version, summary) = (Some(description.version.clone()), Some(description.summary.clone()));
    let mut found = beside(file, &stem)?;
    if let Entry::Vacant(missing) = found.entry(Part::Sbom) {
        missing.insert(sbom::of(&inspection, &component)?);
    }
    let Inspection { imports, exports, .. } = inspection;
    let imports = imports.into_iter().map(|import| import.name).collect();
    Ok(Upload { name: stem, version, summary, imports, exports, component, files: found })
}

/// The files that belong to the component.
fn beside(file: &Path, stem: &str) -> anyhow::Result<BTreeMap<Part, Vec<u8>>> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut found = BTreeMap::new();
    for part in Part::ALL {
        let path = files::file(folder, stem, part.ending());
        if path.symlink_metadata().is_err() {
            continue;
        }
        let read = read_file(&path, LARGEST).with_context(|| format!("cannot read {}", path.display()))?;
        let content = read.with_context(|| format!("{} is larger than {} MiB", path.display(), LARGEST >> 20))?;
        found.insert(part, content);
    }
    Ok(found)
}
