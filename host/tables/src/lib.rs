//! Lookup tables of the operator, such as the sites of each signer: a file of rows, read once, and looked up by key.
//!
//! Start at [`Table::load`]. A [`Table`] never changes: another version of the file is another table, and a plugin that has the
//! earlier one goes on with it. It is shared by reference, so that its memory is needed once, however many plugins use it.
//!
//! # Policy
//! A file is used as a whole or not at all: a row with another number of fields, a key that is empty or there twice and a
//! text that is not UTF-8 are errors with their line. So is a file that changed while it was read.
//!
//! # On disk
//! - CSV: RFC 4180, UTF-8, comma, quotes, a header line with the names of the columns. The key column is the first, unless
//!   one is named.
//! - JSON: an array of objects. The members are the columns; texts, numbers and booleans are kept as text, `null` and a
//!   member that is missing in a row are empty.
//! - TOML: one array of tables, under any name. The same holds for their keys; dates are kept as text.
//!
//! # Limits
//! [`MAX_FILE`], [`MAX_TOML`], [`MAX_ROWS`], [`MAX_COLUMNS`].

mod csv;
mod json;
mod memory;
#[cfg(test)]
mod tests;
mod toml;

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use sha2::{Digest as _, Sha256};

pub use self::memory::{Row, Table};

/// The largest file, in bytes.
pub const MAX_FILE: u64 = 512 << 20;
/// The largest TOML file, in bytes: it is parsed as a whole.
pub const MAX_TOML: u64 = 16 << 20;
/// The most rows.
pub const MAX_ROWS: usize = 5_000_000;
/// The most columns.
pub const MAX_COLUMNS: usize = 100;

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// RFC 4180 with a header line.
    Csv,
    /// An array of objects.
    Json,
    /// One array of tables.
    Toml,
}

impl Format {
    /// Every format with its word.
    pub const ALL: [(&'static str, Self); 3] = [("csv", Self::Csv), ("json", Self::Json), ("toml", Self::Toml)];

    /// The format that the ending of a file's name says.
    #[must_use]
    pub fn of(file: &Path) -> Option<Self> {
        let ending = file.extension()?.to_str()?;
        Self::ALL.iter().find(|(word, _)| *word == ending).map(|(_, format)| *format)
    }
}

/// Where a table comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableSource {
    /// The file.
    pub file: PathBuf,
    /// Its format.
    pub format: Format,
    /// The name of the key column; without it the first column, which only CSV has.
    pub key: Option<String>,
}

/// Why a file is not a table. The text names neither keys nor values, which may be personal data.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// It cannot be read.
    #[error("cannot read {}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is larger than allowed.
    #[error("{} is larger than {} MiB: leave out what plugins do not look up", .file.display(), limit >> 20)]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// Bytes.
        limit: u64,
    },
    /// It changed while it was read.
    #[error("{} changed while it was read: write it under another name and rename it", .0.display())]
    Changed(PathBuf),
    /// Something in it is wrong.
    #[error("{}{}: {mistake}", .file.display(), place(.line))]
    Mistake {
        /// The file.
        file: PathBuf,
        /// The line, where it is known.
        line: Option<u64>,
        /// What is wrong and what to do.
        mistake: Mistake,
    },
}

fn place(line: &Option<u64>) -> String {
    line.map(|line| format!(":{line}")).unwrap_or_default()
}

/// A mistake in a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// There is no header, or no row that has columns.
    #[error("it has no columns: write their names in the first line")]
    NoColumns,
    /// More than [`MAX_COLUMNS`].
    #[error("it has more than {MAX_COLUMNS} columns")]
    TooManyColumns,
    /// A column without a name, or two with the same.
    #[error("column {0} has no name, or the name of an earlier one: give each column a name of its own")]
    ColumnName(usize),
    /// The key column does not exist.
    #[error("it has no column {0:?}: set `key` to one of its columns")]
    NoKeyColumn(String),
    /// Only CSV has a first column.
    #[error("`key` is not set: name the member that has the key")]
    KeyNotNamed,
    /// More than [`MAX_ROWS`].
    #[error("it has more than {MAX_ROWS} rows: leave out those that plugins do not look up")]
    TooManyRows,
    /// A row of another length.
    #[error("the row has {found} fields, the header has {expected}: was the file cut off, or is a quote missing?")]
    Length {
        /// Fields of the row.
        found: usize,
        /// Columns.
        expected: usize,
    },
    /// A row without key.
    #[error("row {0} has no key")]
    NoKey(usize),
    /// Two rows with one key.
    #[error("row {second} has the key of row {first}: keep one of them")]
    Twice {
        /// The earlier row, from 1.
        first: usize,
        /// The later row.
        second: usize,
    },
    /// A text that is not UTF-8.
    #[error("it is not UTF-8 text: save it as UTF-8")]
    NotUtf8,
    /// It is not of its format.
    #[error("it is not {format}: {why}")]
    Syntax {
        /// `JSON` or `TOML`.
        format: &'static str,
        /// What the parser says.
        why: String,
    },
    /// A value that is no text, number or boolean.
    #[error("row {0} has a list or an object as a value: a table has texts, numbers and booleans")]
    NotFlat(usize),
    /// A column that the first row does not have.
    #[error("row {row} has {column:?}, which the first row does not have: give the first row every column")]
    UnknownColumn {
        /// From 1.
        row: usize,
        /// Its name.
        column: String,
    },
    /// There is not one array of tables.
    #[error("it does not have exactly one array of tables: write each row below [[row]]")]
    NotOneArray,
}

/// A mistake and its line, while a file is read.
struct Found {
    line: Option<u64>,
    mistake: Mistake,
}

impl From<Mistake> for Found {
    fn from(mistake: Mistake) -> Self {
        Self { line: None, mistake }
    }
}

impl Table {
    /// Reads a table. Takes about a second for a million rows.
    ///
    /// # Errors
    /// [`TableError`], naming the file.
    pub fn load(source: &TableSource) -> Result<Self, TableError> {
        let file = &source.file;
        let bytes = read(file, if source.format == Format::Toml { MAX_TOML } else { MAX_FILE })?;
        let sha256: [u8; 32] = Sha256::digest(&bytes).into();
        let key = source.key.as_deref();
        let table = match source.format {
            Format::Csv => csv::read(&bytes, key),
            Format::Json => json::read(&bytes, key),
            Format::Toml => toml::read(&bytes, key),
        };
        let wrong = |Found { line, mistake }| TableError::Mistake { file: file.clone(), line, mistake };
        table.map(|table| table.with_hash(sha256)).map_err(wrong)
    }
}

/// Reads a file that no other program writes to meanwhile.
fn read(file: &Path, limit: u64) -> Result<Vec<u8>, TableError> {
    let unreadable = |source| TableError::Unreadable { file: file.to_owned(), source };
    // Opening a pipe must not wait for a writer.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = rustix::fs::open(file, flags, Mode::empty()).map_err(|error| unreadable(error.into()))?;
    let mut opened = File::from(opened);
    let before = opened.metadata().map_err(unreadable)?;
    if !before.is_file() {
        return Err(unreadable(io::Error::other("it is not a file")));
    }
    if before.len() > limit {
        return Err(TableError::TooLarge { file: file.to_owned(), limit });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(before.len()).unwrap_or_default() + 1);
    opened.by_ref().take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    let after = opened.metadata().map_err(unreadable)?;
    let facts = |of: &std::fs::Metadata| (of.len(), of.mtime(), of.mtime_nsec());
    if facts(&before) != facts(&after) || bytes.len() as u64 != before.len() {
        return Err(TableError::Changed(file.to_owned()));
    }
    Ok(bytes)
}
