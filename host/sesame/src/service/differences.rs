//! Where plugins in shadow differ: what a running Sesame has counted, with examples, for `sesame plugin diff` to read.
//!
//! # On disk
//! `plugin-differences.json` beside the journal of a spool or state directory, mode 0600, written aside and renamed within
//! seconds of a change. It covers the time since the plugin came into service in this process; a restart begins again, and the
//! file of a Sesame that stopped stays until then. It has the last fifty messages of each plugin by id, with code, text, record
//! and field of one finding; no content and no values. It needs no sync.

use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use message::Finding;
use serde::{Deserialize, Serialize};

use super::status::{read_json, write_json};
use crate::channel::milliseconds;
use plugins::{Difference, Pipeline, ShadowInfo};

/// The name of the file.
const FILE: &str = "plugin-differences.json";

/// What is known of the plugins in shadow of the channels of one spool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Differences {
    /// When, in milliseconds since 1970.
    pub written: u64,
    /// The plugins.
    pub shadows: Vec<Compared>,
}

/// What was compared of a plugin in shadow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Compared {
    /// The channel.
    pub channel: String,
    /// The plugin.
    pub plugin: String,
    /// The plugin that it is compared with; the whole pipeline, if none.
    pub compare_to: Option<String>,
    /// Since when, in milliseconds since 1970.
    pub since: u64,
    /// How often it was called.
    pub calls: u64,
    /// How often its verdict differed.
    pub differences: u64,
    /// How often it failed.
    pub failed: u64,
    /// Messages that it was not called with, because it was busy.
    pub passed_over: u64,
    /// The last messages for which its verdict differed, the newest last.
    pub examples: Vec<Example>,
}

/// A message for which the verdict differed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Example {
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// The id of the message.
    pub message: String,
    /// The verdict that counted.
    pub now: String,
    /// That of the plugin in shadow.
    pub then: String,
    /// The first finding that only one of them has.
    pub finding: Option<Finding>,
}

impl Compared {
    /// The plugins in shadow of a channel.
    pub(super) fn all(channel: &str, pipeline: &Pipeline) -> Vec<Self> {
        pipeline.differences().map(|(info, examples)| Self::of(channel, &info, examples)).collect()
    }

    fn of(channel: &str, info: &ShadowInfo<'_>, examples: Vec<Difference>) -> Self {
        let figures = &info.stage.figures;
        Self {
            channel: channel.to_owned(),
            plugin: info.stage.name.to_owned(),
            compare_to: info.compare_to.map(str::to_owned),
            since: milliseconds(info.since),
            calls: figures.calls,
            differences: info.differences,
            failed: figures.errors,
            passed_over: info.passed_over,
            examples: examples.into_iter().map(Example::from).collect(),
        }
    }
}

impl From<Difference> for Example {
    fn from(difference: Difference) -> Self {
        let Difference { at, message, serving, shadow, finding } = difference;
        Self { at: milliseconds(at), message, now: serving, then: shadow, finding }
    }
}

impl Differences {
    /// Writes what there is now; without a plugin in shadow there is no file.
    pub(super) fn write(shadows: &[Compared], directory: &Path) -> io::Result<()> {
        if shadows.is_empty() {
            return match fs::remove_file(directory.join(FILE)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        let now = Self { written: milliseconds(SystemTime::now()), shadows: shadows.to_vec() };
        write_json(directory, FILE, 0o600, &now)
    }

    /// What was written last; none if there is no file.
    ///
    /// # Errors
    /// If the file cannot be read or parsed.
    pub fn read(directory: &Path) -> io::Result<Option<Self>> {
        read_json(&directory.join(FILE))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_the_owner_reads_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Differences::read(folder.path()).unwrap().is_none());
        let shadow = Compared {
            channel: "central".to_owned(),
            plugin: "a.wasm".to_owned(),
            compare_to: None,
            since: 1,
            calls: 2,
            differences: 1,
            failed: 0,
            passed_over: 3,
            examples: Vec::new(),
        };
        Differences::write(std::slice::from_ref(&shadow), folder.path()).unwrap();
        assert_eq!(Differences::read(folder.path()).unwrap().unwrap().shadows, [shadow]);
        let mode = folder.path().join(FILE).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        Differences::write(&[], folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
