//! The lists of authorised and of banned signers.
//!
//! # On disk
//! One name per line, in slash form, RFC 4514 form or OpenSSL's comma form (see `names`); a line that begins with `#`
//! is a comment. A line may also name the issuer, and then matches only certificates of that issuer:
//!
//! ```text
//! # sites
//! /C=UK/O=eScience/OU=Example/CN=ce.example.org
//! CN=se.example.org,O=Example\, Inc,C=US
//! "/C=UK/O=eScience/CN=arc.example.org" issuer="/C=UK/O=eScienceCA/CN=UK e-Science CA 2B"
//! ```
//!
//! A byte order mark, CRLF and blanks around a line are ignored. A comment after a name is part of the name. A line
//! that is not a name is reported with its number and left out, as is a line in the syntax of another tool: an issuer
//! without quotes, `subject=` before the name. A line that looks like a pattern is reported and taken as that exact
//! name.
//!
//! # Policy
//! Names match exactly, as structures. A banned signer is refused even if it is on the authorised list. A list is
//! reloaded when its file changes; the new content is used once two reads a tenth of a second apart agree. If an
//! authorised list is empty or unreadable, the last good one stays in use. A list that lost more than half of its names
//! is used only if the next check finds the same content, since it is probably still being written.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use message::locked;

use super::Refreshed;
use super::credential::FileState;
use super::names::{DistinguishedName, NameError, looks_reversed};
use super::path::Signer;

/// The pause between the two reads of a changed file.
const SECOND_READ: Duration = Duration::from_millis(100);

/// The accepted spellings before an issuer.
const ISSUER: [&str; 6] = [" issuer=", "\tissuer=", " Issuer=", "\tIssuer=", " ISSUER=", "\tISSUER="];

/// Why a list cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// The file cannot be read.
    #[error("cannot read list of signers {}: {}; create it with one distinguished name per line", file.display(), message::cause::io_words(*kind))]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The system error.
        kind: ErrorKind,
    },
    /// It contains no name.
    #[error("list of signers {} contains no name{}; write one distinguished name per line, such as /C=UK/O=eScience/CN=host.example.org", file.display(), first(wrong))]
    Empty {
        /// The file.
        file: PathBuf,
        /// The lines that are not names.
        wrong: Vec<WrongLine>,
    },
    /// The file changed while it was being read.
    #[error("list of signers {} is being written", file.display())]
    Changing {
        /// The file.
        file: PathBuf,
    },
    /// The list lost more than half of its names since it was last read.
    #[error(
        "list of signers {} shrank from {before} names to {after}; used if the next check finds the same content",
        file.display()
    )]
    Shrunk {
        /// The file.
        file: PathBuf,
        /// How many names are in use.
        before: usize,
        /// How many names the file contains now.
        after: usize,
    },
}

fn first(wrong: &[WrongLine]) -> String {
    wrong.first().map_or_else(String::new, |line| format!(" ({line})"))
}

/// A line of a list that is not a name, or probably not the intended one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {number}: {reason}")]
pub struct WrongLine {
    /// The line number, from 1.
    pub number: usize,
    /// What is wrong with it.
    pub reason: LineFault,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// It is not a name.
    #[error("{0}")]
    Name(#[from] NameError),
    /// The issuer is not a name.
    #[error("issuer: {0}")]
    Issuer(NameError),
    /// An issuer without quotes: the whole line would be one long name.
    #[error("the issuer needs double quotes; write: \"{subject}\" issuer=\"{issuer}\"")]
    BareIssuer {
        /// The text before it.
        subject: String,
        /// The text after `issuer=`.
        issuer: String,
    },
    /// A prefix that other tools write before a name.
    #[error("write the name alone, without {0}")]
    Prefix(String),
    /// A pattern, although names match exactly.
    #[error("{0} is a pattern, and names match exactly: taken as that exact name; write one line for each signer")]
    Pattern(&'static str),
    /// `*.` at the beginning of a common name, as in the certificate of a web server.
    #[error("* is a literal character here: this matches only a certificate with exactly that common name")]
    Star,
    /// `/` at the end.
    #[error("the trailing / is taken as part of the last value")]
    EndsInSlash,
    /// Quotes do not match, or text follows the name.
    #[error("expected \"NAME\" or \"NAME\" issuer=\"NAME\"")]
    Quotes,
    /// It is not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// A name in RFC 4514 form that begins with the country.
    #[error("RFC 4514 form begins with the most specific part; taken as written")]
    Reversed,
    /// A name in slash form that ends with the country.
    #[error("slash form begins with the country; taken as written")]
    ReversedSlash,
    /// ` #` inside a name.
    #[error("a comment needs a line of its own; taken as part of the name")]
    Comment,
}

impl LineFault {
    /// Whether the line is used despite the fault.
    fn is_used(&self) -> bool {
        matches!(
            self,
            Self::Reversed | Self::ReversedSlash | Self::Comment | Self::Pattern(_) | Self::Star | Self::EndsInSlash
        )
    }
}

/// One list of names.
#[derive(Clone, Debug, Default)]
pub struct SignerList {
    file: PathBuf,
    /// The issuers given for each name; `None` for any.
    names: HashMap<DistinguishedName, Vec<Option<DistinguishedName>>>,
    wrong: Vec<WrongLine>,
    content: Vec<u8>,
}

impl SignerList {
    /// Reads a list, which may be empty.
    ///
    /// # Errors
    /// [`ListError::Unreadable`].
    pub fn load(file: &Path) -> Result<Self, ListError> {
        let content = fs::read(file).map_err(|e| ListError::Unreadable { file: file.into(), kind: e.kind() })?;
        Ok(Self { file: file.into(), ..Self::parse(content) })
    }

    /// Reads a list that must contain at least one name.
    ///
    /// # Errors
    /// [`ListError::Unreadable`] and [`ListError::Empty`].
    pub fn load_required(file: &Path) -> Result<Self, ListError> {
        Self::load(file)?.required()
    }

    /// Parses a list from text.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        Self::parse(text.as_bytes().to_vec())
    }

    fn required(self) -> Result<Self, ListError> {
        if self.names.is_empty() { Err(ListError::Empty { file: self.file, wrong: self.wrong }) } else { Ok(self) }
    }

    fn parse(content: Vec<u8>) -> Self {
        let mut list = Self::default();
        let text = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&content);
        for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            if let Err(reason) = list.add(line) {
                list.wrong.push(WrongLine { number: index + 1, reason });
            }
        }
        list.content = content;
        list
    }

    /// Adds a line. Also returns the fault of a line that is used despite it.
    fn add(&mut self, line: &[u8]) -> Result<(), LineFault> {
        let line = std::str::from_utf8(line).map_err(|_| LineFault::NotUtf8)?;
        let (subject, issuer) = split(line)?;
        // Names may contain such characters. Leaving such a line out would lift the ban of that name.
        let pattern = [Some(subject), issuer].into_iter().flatten().find_map(pattern);
        let name = DistinguishedName::parse(subject)?;
        let issuer = issuer.map(DistinguishedName::parse).transpose().map_err(LineFault::Issuer)?;
        let doubt = pattern.or_else(|| doubtful(subject, &name));
        let issuers = self.names.entry(name).or_default();
        if !issuers.contains(&issuer) {
            issuers.push(issuer);
        }
        doubt.map_or(Ok(()), Err)
    }

    /// The line for a name, in a file that SSM and APEL's tools may also read: the slash form if it parses to this name
    /// without a warning, else the RFC 4514 form, which every name has.
    #[must_use]
    pub fn line_for(name: &DistinguishedName) -> String {
        let unambiguous = |line: &String| {
            let list = Self::from_text(line);
            list.wrong.is_empty() && list.names.get(name).is_some_and(|issuers| issuers.contains(&None))
        };
        name.slash().filter(unambiguous).unwrap_or_else(|| name.rfc4514())
    }

    /// Whether a line has this subject, with this issuer or without one.
    #[must_use]
    pub fn contains(&self, subject: &DistinguishedName, issuer: &DistinguishedName) -> bool {
        let matches = |pin: &Option<DistinguishedName>| pin.as_ref().is_none_or(|pin| pin == issuer);
        self.names.get(subject).is_some_and(|issuers| issuers.iter().any(matches))
    }

    /// Whether a line has this subject, with whatever issuer.
    #[must_use]
    pub fn names(&self, subject: &DistinguishedName) -> bool {
        self.names.contains_key(subject)
    }

    /// Whether a line has this subject and no issuer.
    #[must_use]
    pub fn names_without_issuer(&self, subject: &DistinguishedName) -> bool {
        self.names.get(subject).is_some_and(|issuers| issuers.contains(&None))
    }

    /// Number of names.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Number of names that do not look like patterns.
    #[must_use]
    pub fn signers(&self) -> usize {
        let patterns = self.wrong.iter().filter(|line| matches!(line.reason, LineFault::Pattern(_))).count();
        self.names.len().saturating_sub(patterns)
    }

    /// Whether it contains no name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The lines that are not names, and those that are probably not the intended names.
    #[must_use]
    pub fn wrong_lines(&self) -> &[WrongLine] {
        &self.wrong
    }

    /// One sentence for each wrong line, with file name and line number.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let sentence = |line: &WrongLine| {
            let verdict = if line.reason.is_used() { "" } else { "; left out" };
            format!("list of signers {}, {line}{verdict}", self.file.display())
        };
        self.wrong.iter().map(sentence).collect()
    }
}

/// The fault of a line that looks like a pattern.
fn pattern(text: &str) -> Option<LineFault> {
    let found = match text {
        _ if text.contains('*') && text.replace("CN=*.", "CN=").contains('*') => "*",
        _ if text.contains(".+") => ".+",
        _ if text.starts_with('^') => "^",
        _ if text.ends_with('$') => "$",
        _ => return None,
    };
    Some(LineFault::Pattern(found))
}

/// The fault of a line that is a name, but probably not the intended one.
fn doubtful(subject: &str, name: &DistinguishedName) -> Option<LineFault> {
    match subject {
        _ if looks_reversed(name) && subject.starts_with('/') => Some(LineFault::ReversedSlash),
        _ if looks_reversed(name) => Some(LineFault::Reversed),
        _ if subject.contains(" #") => Some(LineFault::Comment),
        _ if subject.contains('*') => Some(LineFault::Star),
        _ if subject.starts_with('/') && subject.ends_with('/') => Some(LineFault::EndsInSlash),
        _ => None,
    }
}

/// Splits a line into the name and the issuer, if there is one.
fn split(line: &str) -> Result<(&str, Option<&str>), LineFault> {
    let (subject, rest) = if line.starts_with('"') {
        quoted(line)?
    } else if line.starts_with('\'') {
        return Err(LineFault::Quotes);
    } else {
        match line.find(" issuer=\"") {
            Some(at) => line.split_at(at),
            None => (bare(line)?, ""),
        }
    };
    let rest = rest.trim_ascii();
    if rest.is_empty() {
        return Ok((subject.trim_ascii(), None));
    }
    let (issuer, rest) = quoted(rest.strip_prefix("issuer=").ok_or(LineFault::Quotes)?)?;
    if rest.trim_ascii().is_empty() { Ok((subject.trim_ascii(), Some(issuer))) } else { Err(LineFault::Quotes) }
}

/// Checks a line without quotes: it must be a name alone.
fn bare(line: &str) -> Result<&str, LineFault> {
    let begins = |known: &&&str| line.get(..known.len()).is_some_and(|start| start.eq_ignore_ascii_case(known));
    if let Some(prefix) = ["subject=", "subject:", "issuer=", "dn:", "dn="].iter().find(begins) {
        return Err(LineFault::Prefix((*prefix).to_owned()));
    }
    let Some(at) = ISSUER.iter().find_map(|word| line.find(word)) else { return Ok(line) };
    let (subject, issuer) = line.split_at(at);
    let subject = subject.trim_ascii().to_owned();
    let issuer = issuer.trim_ascii().get("issuer=".len()..).unwrap_or_default().trim_ascii().to_owned();
    Err(LineFault::BareIssuer { subject, issuer })
}

/// Splits off text in double quotes, in which a backslash escapes the next character; returns it and the rest.
fn quoted(text: &str) -> Result<(&str, &str), LineFault> {
    let inner = text.strip_prefix('"').ok_or(LineFault::Quotes)?;
    let mut protected = false;
    for (at, c) in inner.char_indices() {
        match c {
            '"' if !protected => {
                let after = inner.get(at + 1..).unwrap_or_default();
                return Ok((inner.get(..at).unwrap_or_default(), after));
            }
            '\\' => protected = !protected,
            _ => protected = false,
        }
    }
    Err(LineFault::Quotes)
}

/// What happens to a message whose signer is on no list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unlisted {
    /// It goes to the reject queue.
    #[default]
    Reject,
    /// It is dropped.
    Drop,
}

/// The status of a signer on the lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// On the authorised list and not banned.
    Authorised,
    /// On the banned list.
    Banned,
    /// On neither.
    Unlisted,
}

/// A snapshot of the lists of a receiver.
#[derive(Clone, Debug, Default)]
pub struct SignerLists {
    /// Signers whose messages are accepted.
    pub authorised: Arc<SignerList>,
    /// Signers whose messages are refused, even if they are authorised.
    pub banned: Arc<SignerList>,
    /// What happens to messages of other signers.
    pub unlisted: Unlisted,
}

impl SignerLists {
    /// The status of a signer on the lists.
    #[must_use]
    pub fn listing(&self, signer: &Signer) -> Listing {
        if self.banned.contains(&signer.subject, &signer.issuer) {
            Listing::Banned
        } else if self.authorised.contains(&signer.subject, &signer.issuer) {
            Listing::Authorised
        } else {
            Listing::Unlisted
        }
    }

    /// Whether messages of a signer are expected whose subject is this text, as [`DistinguishedName::line`] writes it: it is
    /// listed, with whatever issuer, and not banned. Text that is no name is expected.
    #[must_use]
    pub fn expect(&self, subject: &str) -> bool {
        DistinguishedName::parse(subject)
            .map_or(true, |name| self.authorised.names(&name) && !self.banned.names_without_issuer(&name))
    }
}

/// The current lists of a receiver.
#[derive(Debug)]
pub struct SignerListsSource {
    authorised: PathBuf,
    banned: Option<PathBuf>,
    current: ArcSwap<SignerLists>,
    watch: Mutex<[Watch; 2]>,
}

/// The state of a file between two checks.
#[derive(Debug)]
struct Watch {
    seen: FileState,
    /// Content that is held back because it shrank by more than half.
    held_back: Option<Vec<u8>>,
}

impl SignerListsSource {
    /// Reads the lists for the first time.
    ///
    /// # Errors
    /// [`ListError`] if a list cannot be read, or the authorised list contains no name.
    pub fn load(authorised: &Path, banned: Option<&Path>, unlisted: Unlisted) -> Result<Self, ListError> {
        let watch = |file| Watch { seen: FileState::of(file), held_back: None };
        let watch = Mutex::new([watch(authorised), watch(banned.unwrap_or(authorised))]);
        let lists = SignerLists {
            authorised: Arc::new(SignerList::load_required(authorised)?),
            banned: Arc::new(banned.map(SignerList::load).transpose()?.unwrap_or_default()),
            unlisted,
        };
        let current = ArcSwap::from_pointee(lists);
        Ok(Self { authorised: authorised.into(), banned: banned.map(Into::into), current, watch })
    }

    /// The file of the authorised signers.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.authorised
    }

    /// The current lists.
    #[must_use]
    pub fn current(&self) -> Arc<SignerLists> {
        self.current.load_full()
    }

    /// Reloads the lists that changed, which takes a tenth of a second for each of them.
    ///
    /// Both lists are checked; if one cannot be used, the other is still updated.
    pub fn refresh(&self) -> Refreshed<ListError> {
        let mut watch = locked(&self.watch);
        let [of_authorised, of_banned] = &mut *watch;
        let before = self.current();
        let mut lists = SignerLists::clone(&before);
        let mut faults = Vec::new();
        let mut warnings = Vec::new();
        let mut take = |place: &mut Arc<SignerList>, looked: Result<Option<SignerList>, ListError>| match looked {
            Ok(None) => {}
            Ok(Some(list)) => {
                warnings.extend(list.warnings());
                *place = Arc::new(list);
            }
            Err(error) => faults.push(error),
        };
        take(&mut lists.authorised, of_authorised.reload(&self.authorised, &before.authorised, true));
        if let Some(file) = &self.banned {
            take(&mut lists.banned, of_banned.reload(file, &before.banned, false));
        }
        let replaced =
            !Arc::ptr_eq(&lists.authorised, &before.authorised) || !Arc::ptr_eq(&lists.banned, &before.banned);
        if replaced {
            self.current.store(Arc::new(lists));
        }
        match faults.into_iter().next() {
            Some(fault) => Refreshed::KeptLastGood(fault),
            None if replaced => Refreshed::Replaced(warnings),
            None => Refreshed::Unchanged,
        }
    }
}

impl Watch {
    /// Reads the list if its file changed since it was last used.
    fn reload(&mut self, file: &Path, used: &SignerList, required: bool) -> Result<Option<SignerList>, ListError> {
        let state = FileState::of(file);
        if state == self.seen {
            return Ok(None);
        }
        let first = SignerList::load(file)?;
        std::thread::sleep(SECOND_READ);
        let list = SignerList::load(file)?;
        if first.content != list.content || FileState::of(file) != state {
            return Err(ListError::Changing { file: file.into() });
        }
        let list = if required { list.required()? } else { list };
        if list.len() * 2 < used.len() && self.held_back.as_ref() != Some(&list.content) {
            self.held_back = Some(list.content);
            return Err(ListError::Shrunk { file: file.into(), before: used.len(), after: list.names.len() });
        }
        self.held_back = None;
        self.seen = state;
        Ok(Some(list))
    }
}
