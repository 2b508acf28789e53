//! `[table.NAME]` and `[secret.NAME]`: what sidecars may name beside channels. The files are read when a plugin that uses them is
//! loaded: while one is missing, the messages of that plugin wait, and the others go on.

use std::path::{Path, PathBuf};

use settings::{Section, Writer, complain, word};
use tables::{Format, TableSource};

/// Reads a table's section.
pub(super) fn read_table(section: &Section<'_, '_>) -> Option<TableSource> {
    let file = section.path("file");
    let file = section.required("file", file, "name the file with the rows");
    let format = section.choice("format", &Format::ALL);
    let (key, stated) = (section.text("key"), section.has("format"));
    section.finish();
    let file = file?;
    let Some(format) = format.or_else(|| Format::of(&file)) else {
        if !stated {
            let remedy = "write format = \"csv\" or \"json\" or \"toml\"";
            section.complain("file", complain("does not end in .csv, .json or .toml", remedy));
        }
        return None;
    };
    if key.is_none() && !section.has("key") && format != Format::Csv {
        let remedy = "name the member that has the key; only a CSV file has a first column";
        section.complain("key", complain("is missing", remedy));
        return None;
    }
    Some(TableSource { file, format, key })
}

pub(super) fn write_table(source: &TableSource, writer: &mut Writer) {
    writer.path("file", &source.file).text("format", word(&Format::ALL, source.format));
    if let Some(key) = &source.key {
        writer.text("key", key);
    }
}

/// Reads a secret's section: the file, never what is in it.
pub(super) fn read_secret(section: &Section<'_, '_>) -> Option<PathBuf> {
    let file = section.path("file");
    let file = section.required("file", file, "name the file with the secret");
    section.finish();
    file
}

pub(super) fn write_secret(file: &Path, writer: &mut Writer) {
    writer.path("file", file);
}
