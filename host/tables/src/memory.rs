//! A table in memory: all texts in one block, where each begins, and a hash index of the keys.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;

use crate::{Found, MAX_COLUMNS, MAX_ROWS, Mistake};

/// A table: rows of texts, one of which is the key.
pub struct Table {
    columns: Vec<String>,
    key: usize,
    /// The texts of all rows, one after the other.
    texts: String,
    /// Where each text ends in `texts`, row by row.
    ends: Vec<u32>,
    /// The numbers of the rows, by the hash of their keys.
    index: HashTable<u32>,
    /// Keyed at random, so that no file can make lookups slow.
    hasher: RandomState,
    sha256: [u8; 32],
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = &self.columns;
        f.debug_struct("Table").field("columns", columns).field("rows", &self.len()).finish_non_exhaustive()
    }
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    table: &'a Table,
    number: usize,
}

impl<'a> Row<'a> {
    /// The names of the columns with the texts of the row, in the order of the file.
    pub fn fields(self) -> impl ExactSizeIterator<Item = (&'a str, &'a str)> {
        let Self { table, number } = self;
        table.columns.iter().enumerate().map(move |(column, name)| (name.as_str(), table.text(number, column)))
    }
}

impl Table {
    /// The row with this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Row<'_>> {
        self.find(key).map(|number| Row { table: self, number })
    }

    /// All rows with their keys, in the order of the file.
    pub fn rows(&self) -> impl Iterator<Item = (&str, Row<'_>)> {
        (0..self.len()).map(|number| (self.text(number, self.key), Row { table: self, number }))
    }

    /// Whether a row has this key.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// SHA-256 of the file.
    #[must_use]
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// The names of the columns.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    pub(crate) fn with_hash(self, sha256: [u8; 32]) -> Self {
        Self { sha256, ..self }
    }

    fn find(&self, key: &str) -> Option<usize> {
        let hash = self.hasher.hash_one(key);
        let found = self.index.find(hash, |row| self.text(*row as usize, self.key) == key);
        found.map(|row| *row as usize)
    }

    fn text(&self, row: usize, column: usize) -> &str {
        text(&self.texts, &self.ends, row * self.columns.len() + column)
    }
}

/// The text with this number.
fn text<'t>(texts: &'t str, ends: &[u32], at: usize) -> &'t str {
    let end = |at: usize| ends.get(at).map_or(0, |end| *end as usize);
    let begin = at.checked_sub(1).map_or(0, end);
    texts.get(begin..end(at)).unwrap_or_default()
}

/// A table that is being read.
pub(crate) struct Builder {
    table: Table,
    /// Fields of the row that has begun.
    fields: usize,
}

impl Builder {
    /// A table with these columns; without `key` the first is the key column.
    pub(crate) fn new(columns: Vec<String>, key: Option<&str>) -> Result<Self, Mistake> {
        if columns.iter().all(String::is_empty) {
            return Err(Mistake::NoColumns);
        }
        if columns.len() > MAX_COLUMNS {
            return Err(Mistake::TooManyColumns);
        }
        let bad =
            |(at, name): (usize, &String)| name.is_empty() || columns.iter().take(at).any(|earlier| earlier == name);
        if let Some(at) = columns.iter().enumerate().position(bad) {
            return Err(Mistake::ColumnName(at + 1));
        }
        let at = |name: &str| columns.iter().position(|column| column == name);
        let key = key.map_or(Ok(0), |name| at(name).ok_or_else(|| Mistake::NoKeyColumn(name.to_owned())))?;
        let table = Table {
            columns,
            key,
            texts: String::new(),
            ends: Vec::new(),
            index: HashTable::new(),
            hasher: RandomState::new(),
            sha256: [0; 32],
        };
        Ok(Self { table, fields: 0 })
    }

    /// Makes room for texts of this many bytes.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.table.texts.reserve_exact(bytes);
    }

    pub(crate) fn columns(&self) -> &[String] {
        &self.table.columns
    }

    /// Adds a field to the row.
    pub(crate) fn field(&mut self, text: &str) {
        self.table.texts.push_str(text);
        // Files are smaller than 4 GiB.
        self.table.ends.push(u32::try_from(self.table.texts.len()).unwrap_or(u32::MAX));
        self.fields += 1;
    }

    /// Ends the row.
    pub(crate) fn end_row(&mut self) -> Result<(), Mistake> {
        let expected = self.table.columns.len();
        let found = std::mem::take(&mut self.fields);
        if found != expected {
            return Err(Mistake::Length { found, expected });
        }
        let row = self.table.index.len();
        if row >= MAX_ROWS {
            return Err(Mistake::TooManyRows);
        }
        let Table { columns, key, texts, ends, index, hasher, .. } = &mut self.table;
        let key_of = |row: usize| text(texts, ends, row * columns.len() + *key);
        let own = key_of(row);
        if own.is_empty() {
            return Err(Mistake::NoKey(row + 1));
        }
        let hash = hasher.hash_one(own);
        if let Some(first) = index.find(hash, |other| key_of(*other as usize) == own) {
            return Err(Mistake::Twice { first: *first as usize + 1, second: row + 1 });
        }
        let number = u32::try_from(row).unwrap_or(u32::MAX);
        index.insert_unique(hash, number, |other| hasher.hash_one(key_of(*other as usize)));
        Ok(())
    }

    pub(crate) fn finish(self) -> Table {
        let mut table = self.table;
        table.texts.shrink_to_fit();
        table.ends.shrink_to_fit();
        table
    }
}

/// A row of a format whose rows name their columns.
pub(crate) struct Named {
    key: String,
    builder: Option<Builder>,
    rows: usize,
}

impl Named {
    pub(crate) fn new(key: Option<&str>) -> Result<Self, Mistake> {
        Ok(Self { key: key.ok_or(Mistake::KeyNotNamed)?.to_owned(), builder: None, rows: 0 })
    }

    /// The number of the row that is added next, from 1.
    pub(crate) fn next(&self) -> usize {
        self.rows + 1
    }

    /// Adds a row. The first has the columns; a later one may lack some of them.
    pub(crate) fn add(&mut self, row: &[(String, String)]) -> Result<(), Found> {
        let builder = match &mut self.builder {
            Some(builder) => builder,
            none => {
                let columns = row.iter().map(|(name, _)| name.clone()).collect();
                none.insert(Builder::new(columns, Some(&self.key))?)
            }
        };
        let columns: Vec<String> = builder.columns().to_vec();
        if let Some((unknown, _)) = row.iter().find(|(name, _)| !columns.contains(name)) {
            return Err(Mistake::UnknownColumn { row: self.rows + 1, column: unknown.clone() }.into());
        }
        for column in &columns {
            let value = row.iter().rev().find(|(name, _)| name == column);
            builder.field(value.map_or("", |(_, value)| value));
        }
        builder.end_row()?;
        self.rows += 1;
        Ok(())
    }

    /// The table; one without rows has only the key column.
    pub(crate) fn finish(self) -> Result<Table, Found> {
        match self.builder {
            Some(builder) => Ok(builder.finish()),
            None => Ok(Builder::new(vec![self.key.clone()], Some(&self.key))?.finish()),
        }
    }
}
