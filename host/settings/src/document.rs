//! Reading a TOML document key by key, so that every mistake is found in one go and has its line.
//!
//! The caller reads each key that a section may hold; [`Section::finish`] then reports the keys that were not read. The keys
//! of a section are therefore listed once, where they are read. A wrong value is reported and counts as absent.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::mistake::{Complaint, ConfigErrors, Mistake, complain, nearest};
use crate::values;

/// Whether the files that a configuration names are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Files {
    /// A file that does not exist or cannot be read is a mistake.
    Check,
    /// Only the configuration itself is checked.
    Ignore,
}

/// One configuration file while it is read.
pub struct Document {
    file: PathBuf,
    line_starts: Vec<usize>,
    files: Files,
    mistakes: RefCell<Vec<Mistake>>,
    asked: RefCell<BTreeSet<String>>,
}

impl Document {
    pub fn new(file: &Path, text: &str, files: Files) -> Self {
        let line_starts = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
        Self { file: file.to_owned(), line_starts, files, mistakes: RefCell::default(), asked: RefCell::default() }
    }

    /// Parses `text`; all mistakes of the syntax are reported.
    ///
    /// # Errors
    /// Where the syntax is too broken to read the keys; a key given twice is reported and reading continues.
    pub fn parse<'t>(&self, text: &'t str) -> Result<DeTable<'t>, ConfigErrors> {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut broken = false;
        for error in &errors {
            let word = error.span().and_then(|span| text.get(span)).unwrap_or_default();
            let line = error.span().map(|span| self.line(&span));
            if error.message().starts_with("duplicate key") {
                self.report(line, "", complain(format!("duplicate key {word:?}"), "remove one of them"));
            } else {
                broken = true;
                let problem = format!("not TOML: {}", error.message().replace('\n', " "));
                self.report(line, "", complain(problem, "fix this line; texts need double quotes"));
            }
        }
        if broken {
            return Err(ConfigErrors::new(self.mistakes.take()));
        }
        Ok(table.into_inner())
    }

    /// The line of the byte where `span` begins, from 1.
    fn line(&self, span: &Range<usize>) -> usize {
        self.line_starts.partition_point(|newline| *newline < span.start) + 1
    }

    pub fn report(&self, line: Option<usize>, key: &str, complaint: Complaint) {
        let Complaint { problem, remedy } = complaint;
        let mistake = Mistake { file: self.file.clone(), line, key: key.to_owned(), problem, remedy };
        self.mistakes.borrow_mut().push(mistake);
    }

    /// The mistakes that were reported, if any.
    pub fn mistakes(&self) -> Result<(), ConfigErrors> {
        match self.mistakes.take() {
            none if none.is_empty() => Ok(()),
            some => Err(ConfigErrors::new(some)),
        }
    }

    /// Every key that was asked for, with `NAME` for the names of channels, brokers and plugins.
    #[must_use]
    pub fn asked(&self) -> BTreeSet<String> {
        self.asked.borrow().clone()
    }

    /// The line of the value at `path` below `table`, or of the section that should hold it.
    fn line_of(&self, table: &DeTable<'_>, path: &[&str]) -> Option<usize> {
        let (first, rest) = path.split_first()?;
        let (key, value) = table.iter().find(|(key, _)| key.get_ref() == first)?;
        match value.get_ref() {
            DeValue::Table(inner) => self.line_of(inner, rest),
            _ => None,
        }
        .or_else(|| Some(self.line(&key.span())))
    }

    /// The document's top level.
    pub fn root<'d, 't>(&'d self, table: &'d DeTable<'t>) -> Section<'d, 't> {
        Section {
            document: self,
            name: String::new(),
            pattern: String::new(),
            table: Some(table),
            line: None,
            known: RefCell::default(),
        }
    }
}

/// A table of the document, or one that is absent and holds nothing.
pub struct Section<'d, 't> {
    document: &'d Document,
    name: String,
    pattern: String,
    table: Option<&'d DeTable<'t>>,
    line: Option<usize>,
    known: RefCell<BTreeSet<&'static str>>,
}

fn dotted(section: &str, key: &str) -> String {
    let plain = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    let key = if plain { key.to_owned() } else { format!("{key:?}") };
    if section.is_empty() { key } else { format!("{section}.{key}") }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}

fn wrong_kind(value: &DeValue<'_>, wanted: &str, remedy: &str) -> Complaint {
    complain(format!("is {}, not {wanted}", kind(value)), remedy)
}

fn as_text<'v>(value: &'v DeValue<'_>, remedy: &str) -> Result<&'v str, Complaint> {
    value.as_str().ok_or_else(|| wrong_kind(value, "a text", remedy))
}

fn as_integer(value: &DeValue<'_>) -> Option<i128> {
    let integer = value.as_integer()?;
    i128::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn absolute(text: &str) -> Result<PathBuf, Complaint> {
    let path = PathBuf::from(text);
    if text.chars().any(char::is_control) {
        return Err(complain(format!("{text:?} holds a control character"), "write the path as it is on disk"));
    }
    if path.components().any(|part| part == std::path::Component::ParentDir) {
        return Err(complain(format!("{text:?} holds \"..\""), "write the path from / without it"));
    }
    match path.is_absolute() {
        true => Ok(path.components().collect()),
        false => Err(complain(format!("{text:?} is a relative path"), "write the whole path from /")),
    }
}

impl<'d, 't> Section<'d, 't> {
    /// The whole name of a key of this section.
    pub fn key(&self, key: &str) -> String {
        dotted(&self.name, key)
    }

    /// Reports a mistake at `key`, or at the section's head where the key is absent.
    pub fn complain(&self, key: &str, complaint: Complaint) {
        self.complain_at(&[key], complaint);
    }

    /// Reports a mistake at the key that `path` leads to from here.
    pub fn complain_at(&self, path: &[&str], complaint: Complaint) {
        let line = self.table.and_then(|table| self.document.line_of(table, path)).or(self.line);
        let key = path.iter().fold(self.name.clone(), |name, part| dotted(&name, part));
        self.document.report(line, &key, complaint);
    }

    fn ask(&self, key: &'static str) -> Option<&'d Spanned<DeValue<'t>>> {
        self.known.borrow_mut().insert(key);
        self.document.asked.borrow_mut().insert(dotted(&self.pattern, key));
        self.table.and_then(|table| table.get(key))
    }

    fn read<T>(&self, key: &'static str, read: impl FnOnce(&DeValue<'t>) -> Result<T, Complaint>) -> Option<T> {
        let value = self.ask(key)?;
        match read(value.get_ref()) {
            Ok(read) => Some(read),
            Err(complaint) => {
                self.complain(key, complaint);
                None
            }
        }
    }

    /// Reports `key` as missing if it is not there at all, and gives the value on.
    pub fn required<T>(&self, key: &'static str, value: Option<T>, remedy: &str) -> Option<T> {
        if value.is_none() && self.ask(key).is_none() {
            let line = self.line;
            self.document.report(line, &self.key(key), complain("is missing", remedy));
        }
        value
    }

    /// Whether the files that the configuration names are checked.
    pub fn looks_at_files(&self) -> bool {
        self.document.files == Files::Check
    }

    /// Whether the file has the key.
    pub fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Any text without control characters, not empty.
    pub fn text(&self, key: &'static str) -> Option<String> {
        self.parsed(key, "write it in double quotes", |text| {
            if text.trim().is_empty() {
                Err(complain("is empty", "write a name or remove the key"))
            } else if text.chars().any(char::is_control) {
                Err(complain(format!("{text:?} holds a control character"), "remove it"))
            } else {
                Ok(text.to_owned())
            }
        })
    }

    /// A text that `parse` understands.
    pub fn parsed<T>(
        &self,
        key: &'static str,
        remedy: &str,
        parse: impl FnOnce(&str) -> Result<T, Complaint>,
    ) -> Option<T> {
        self.read(key, |value| parse(as_text(value, remedy)?))
    }

    /// `true` or `false`.
    pub fn flag(&self, key: &'static str) -> Option<bool> {
        let remedy = "write true or false, without quotes";
        self.read(key, |value| value.as_bool().ok_or_else(|| wrong_kind(value, "true or false", remedy)))
    }

    /// A whole number in `range`.
    pub fn number(&self, key: &'static str, range: RangeInclusive<u32>) -> Option<u32> {
        let remedy = format!("write a number from {} to {}", range.start(), range.end());
        self.read(key, |value| {
            let number = as_integer(value).ok_or_else(|| wrong_kind(value, "a whole number", &remedy))?;
            let wanted = u32::try_from(number).ok().filter(|number| range.contains(number));
            wanted.ok_or_else(|| complain(format!("{number} is out of range"), &remedy))
        })
    }

    /// A length of time such as `"60s"`, in `range`.
    pub fn duration(&self, key: &'static str, range: RangeInclusive<Duration>) -> Option<Duration> {
        let show = values::show_duration;
        self.parsed(key, "write a number and its unit in quotes: \"60s\"", |text| {
            let duration = values::duration(text)?;
            let (least, most) = (show(*range.start()), show(*range.end()));
            let remedy = format!("write \"{least}\" to \"{most}\"");
            range
                .contains(&duration)
                .then_some(duration)
                .ok_or_else(|| complain(format!("{text:?} is out of range"), remedy))
        })
    }

    /// A length of time, or `"forever"`, which reads as `Some(None)`.
    pub fn retention(&self, key: &'static str) -> Option<Option<Duration>> {
        let remedy = "write \"forever\" or a number and its unit: \"90d\"";
        self.parsed(key, remedy, |text| match text {
            "forever" => Ok(None),
            _ => match values::duration(text) {
                Ok(Duration::ZERO) => Err(complain("\"0s\" would keep nothing", remedy)),
                Ok(duration) => Ok(Some(duration)),
                Err(Complaint { problem, .. }) => Err(complain(problem, remedy)),
            },
        })
    }

    /// A number of bytes such as `"16MiB"` or `16777216`, in `range`.
    pub fn size(&self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let (least, most) = (values::show_size(*range.start()), values::show_size(*range.end()));
        let remedy = format!("write \"{least}\" to \"{most}\"");
        self.read(key, |value| {
            let bytes = match (value.as_str(), as_integer(value)) {
                (Some(text), _) => i128::from(values::size(text)?),
                (None, Some(number)) => number,
                (None, None) => return Err(wrong_kind(value, "a size", &remedy)),
            };
            let wanted = u64::try_from(bytes).ok().filter(|bytes| range.contains(bytes));
            wanted.ok_or_else(|| complain(format!("{bytes} bytes is out of range"), &remedy))
        })
    }

    /// A file mode such as `"0750"`, which leaves the owner what `owner` says and gives others no right to write.
    pub fn mode(&self, key: &'static str, owner: u32) -> Option<u32> {
        self.parsed(key, "write the octal digits in quotes: \"0750\"", |text| match values::mode(text)? {
            mode if mode & owner != owner => Err(complain(
                format!("{text:?} shuts out Sesame itself"),
                format!("add the owner's rights, {owner:04o}"),
            )),
            mode if mode & 0o002 != 0 => {
                Err(complain(format!("{text:?} lets any user write"), "remove the right of others to write"))
            }
            mode => Ok(mode),
        })
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let words: Vec<String> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
        let remedy = format!("write {}", words.join(" or "));
        self.parsed(key, &remedy, |text| {
            let found = choices.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice);
            found.ok_or_else(|| complain(format!("{text:?} is not a choice"), &remedy))
        })
    }

    /// Texts in a list.
    pub fn list(&self, key: &'static str) -> Option<Vec<String>> {
        let remedy = "write texts in brackets: [\"one\", \"two\"]";
        self.read(key, |value| {
            let array = value.as_array().ok_or_else(|| wrong_kind(value, "a list", remedy))?;
            array.iter().map(|entry| as_text(entry.get_ref(), remedy).map(str::to_owned)).collect()
        })
    }

    /// One text, or several in a list; none of them empty.
    pub fn texts(&self, key: &'static str) -> Option<Vec<String>> {
        let remedy = "write texts in brackets: [\"one\", \"two\"]; leave the key out for all";
        self.read(key, |value| {
            let texts: Vec<String> = match value.as_array() {
                None => vec![as_text(value, remedy)?.to_owned()],
                Some(array) => {
                    let texts = array.iter().map(|entry| as_text(entry.get_ref(), remedy).map(str::to_owned));
                    texts.collect::<Result<_, _>>()?
                }
            };
            match texts.is_empty() || texts.iter().any(|text| text.trim().is_empty()) {
                true => Err(complain("is empty", remedy)),
                false => Ok(texts),
            }
        })
    }

    /// An absolute path.
    pub fn path(&self, key: &'static str) -> Option<PathBuf> {
        self.parsed(key, "write a path in double quotes", absolute)
    }

    /// One absolute path, or several in a list.
    pub fn paths(&self, key: &'static str) -> Option<Vec<PathBuf>> {
        let remedy = "write a path in double quotes, or several in a list";
        self.read(key, |value| match value.as_array() {
            None => Ok(vec![absolute(as_text(value, remedy)?)?]),
            Some(array) if array.is_empty() => Err(complain("is an empty list", remedy)),
            Some(array) => array.iter().map(|entry| absolute(as_text(entry.get_ref(), remedy)?)).collect(),
        })
    }

    /// The keys and texts of the section `key` whose names the operator chooses.
    pub fn map(&self, key: &'static str) -> Vec<(String, String)> {
        let remedy = "write NAME = \"value\" below its own head";
        let Some(table) =
            self.read(key, |value| value.as_table().cloned().ok_or_else(|| wrong_kind(value, "a section", remedy)))
        else {
            return Vec::new();
        };
        let mut entries = Vec::new();
        for (name, value) in &table {
            match as_text(value.get_ref(), remedy) {
                Ok(text) => entries.push((name.get_ref().to_string(), text.to_owned())),
                Err(complaint) => self.complain_at(&[key, name.get_ref()], complaint),
            }
        }
        entries
    }

    /// A section whose keys are not ours to know, as JSON.
    pub fn json(&self, key: &'static str) -> Option<serde_json::Map<String, serde_json::Value>> {
        let remedy = "write the plugin's settings below its own head";
        self.read(key, |value| {
            let table = value.as_table().ok_or_else(|| wrong_kind(value, "a section", remedy))?;
            crate::json::from_table(table)
        })
    }

    /// The section `key` below this one, empty if it is absent.
    pub fn section(&self, key: &'static str) -> Section<'d, 't> {
        let value = self.ask(key);
        if let Some(value) = value.filter(|value| !value.get_ref().is_table()) {
            let remedy = format!("write [{}] on a line of its own and the keys below it", self.key(key));
            self.complain(key, wrong_kind(value.get_ref(), "a section", &remedy));
        }
        let line = self.table.and_then(|table| self.document.line_of(table, &[key]));
        self.below(key, dotted(&self.pattern, key), value.and_then(|value| value.get_ref().as_table()), line)
    }

    /// The sections `[key.NAME]`, by name.
    pub fn sections(&self, key: &'static str) -> Vec<(String, Section<'d, 't>)> {
        let parent = self.section(key);
        let Some(table) = parent.table else { return Vec::new() };
        let mut sections = Vec::new();
        for (name, value) in table {
            let text = name.get_ref().to_string();
            let line = Some(self.document.line(&name.span()));
            match value.get_ref() {
                DeValue::Table(inner) => {
                    let section = parent.below(&text, format!("{}.NAME", parent.pattern), Some(inner), line);
                    sections.push((text, section));
                }
                other => {
                    let remedy = format!("give it a name: write [{key}.NAME] above this line");
                    parent.complain(&text, complain(format!("is {} where [{key}.NAME] belongs", kind(other)), remedy));
                }
            }
        }
        sections
    }

    fn below(
        &self,
        key: &str,
        pattern: String,
        table: Option<&'d DeTable<'t>>,
        line: Option<usize>,
    ) -> Section<'d, 't> {
        Section {
            document: self.document,
            name: self.key(key),
            pattern,
            table,
            line: line.or(self.line),
            known: RefCell::default(),
        }
    }

    /// Reports a file that cannot be opened for reading.
    pub fn readable_file(&self, key: &str, path: &Path) {
        if !self.looks_at_files() {
            return;
        }
        let remedy = "put the file there or correct the path";
        match open(path).and_then(|file| file.metadata()) {
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => self.complain(key, complain(format!("{} is not a file", path.display()), remedy)),
            Err(error) => self.complain(key, unreachable_path(path, &error, remedy)),
        }
    }

    /// Reports a path that is not there, be it a file or a directory.
    pub fn existing(&self, key: &str, path: &Path) {
        if !self.looks_at_files() {
            return;
        }
        if let Err(error) = std::fs::metadata(path) {
            self.complain(key, unreachable_path(path, &error, "put it there or correct the path"));
        }
    }

    /// Reports a directory that can be neither used nor made: Sesame makes the last part of the path itself.
    pub fn directory(&self, key: &str, path: &Path) {
        if !self.looks_at_files() {
            return;
        }
        let there = match path.parent() {
            Some(parent) if !path.exists() => parent,
            _ => path,
        };
        let remedy = "make the directory or correct the path";
        match std::fs::metadata(there) {
            Ok(metadata) if !metadata.is_dir() => {
                self.complain(key, complain(format!("{} is not a directory", there.display()), remedy));
            }
            Ok(_) if rustix::fs::access(there, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_err() => {
                let problem = format!("{} cannot be written to", there.display());
                self.complain(key, complain(problem, "give the directory to the user that Sesame runs as"));
            }
            Ok(_) => {}
            Err(error) => self.complain(key, unreachable_path(there, &error, remedy)),
        }
    }

    /// Reports the keys that were not asked for.
    pub fn finish(&self) {
        let known = self.known.borrow();
        for (key, value) in self.table.into_iter().flatten() {
            let key = key.get_ref();
            if known.contains(key.as_ref()) {
                continue;
            }
            let noun = if value.get_ref().is_table() { "section" } else { "key" };
            let remedy = match nearest(key, known.iter().copied()) {
                Some(meant) => format!("did you mean {meant:?}?"),
                None => format!("remove it; known here: {}", known.iter().copied().collect::<Vec<_>>().join(", ")),
            };
            self.complain(key, complain(format!("is not a known {noun}"), remedy));
        }
    }
}

/// Opens a file, and does not wait for one who writes into it where it is a pipe.
fn open(path: &Path) -> std::io::Result<std::fs::File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

fn unreachable_path(path: &Path, error: &std::io::Error, remedy: &str) -> Complaint {
    match error.kind() {
        std::io::ErrorKind::NotFound => complain(format!("{} does not exist", path.display()), remedy),
        std::io::ErrorKind::PermissionDenied => complain(
            format!("{} cannot be read by this user", path.display()),
            "run this command as the user of Sesame (sudo -u sesame), who needs the right to read it",
        ),
        _ => complain(format!("cannot read {}: {error}", path.display()), remedy),
    }
}
