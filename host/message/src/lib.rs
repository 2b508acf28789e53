//! What every crate shares about a message: its id, its direction, what became of it and why, and how that is shown.
//!
//! | start at | for |
//! |---|---|
//! | [`MessageId`], [`Direction`], [`Finding`] | the identity of a message, its way, what plugins found in it |
//! | [`acknowledgement`] | what a receiver says of it to its sender |
//! | [`Output`] | what a pipeline returns for it |
//! | [`Month`] | the month that a report is about |
//! | [`Fate`] | what became of it, and the line of the log about it |
//! | [`code`] | why it was rejected or deferred: the table of all codes |
//! | [`text`] | foreign text made safe for a log or a terminal |
//! | [`cause`] | an error and its causes in one line |
//! | [`duration`] | durations in the units that people use |
//! | [`beat`] | the moments of periodic looks |
//! | [`daily`] | warnings that are repeated once a day only |
//! | [`fresh`] | names that never repeat, of elements and messages |
//! | [`owner_only`] | files with a secret |
//! | [`locked`], [`files`] | lock guards; files opened without following links |
//! | [`wire`] | octets that one process of ours writes and another reads |
//!
//! Nothing here touches a socket or a key; only [`daily`] keeps a file of its own. The proof types are defined where they are made:
//! `Receipt` in `stomp`, `Opened` and `Authorised` in `smime`, `LockedElement` and `Stored` in `spool`.

pub mod acknowledgement;
pub mod beat;
pub mod cause;
pub mod code;
pub mod daily;
pub mod duration;
mod fate;
pub mod files;
pub mod fresh;
mod locks;
mod month;
pub mod owner_only;
pub mod text;
pub mod wire;

pub use code::Code;
pub use fate::{Fate, LogLine};
pub use month::{InvalidMonth, Month};

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use self::locks::{locked, locked_exclusive, locked_shared};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The longest message id that is accepted, in bytes.
const MAX_ID_BYTES: usize = 255;

/// The identity of a message: the header `empa-id` and, inside the signed part, `Sesame-Message-Id`.
///
/// Made of `[0-9A-Za-z._/-]`, 1 to 255 bytes. The same on every attempt to send one message.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MessageId(String);

/// A text that cannot be a message id.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("message id {0:?} is not 1 to 255 of the characters 0-9 A-Z a-z . _ / -")]
pub struct InvalidMessageId(String);

impl MessageId {
    /// The text as an id, if it is well formed.
    ///
    /// # Errors
    /// [`InvalidMessageId`] where the text is empty, too long or holds another character.
    pub fn parse(text: &str) -> Result<Self, InvalidMessageId> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'/' | b'-');
        if text.is_empty() || text.len() > MAX_ID_BYTES || !text.bytes().all(legal) {
            return Err(InvalidMessageId(text.chars().take(80).collect()));
        }
        Ok(Self(text.to_owned()))
    }

    /// A new id in SSM's form, `DIRECTORY/ELEMENT`: the name that an element of a `dirq` made now would have.
    #[must_use]
    pub fn fresh() -> Self {
        Self(format!("{}/{}", fresh::directory_of_now(), fresh::element()))
    }

    /// The id of a message that arrived without one.
    #[must_use]
    pub fn absent() -> Self {
        Self("noid".to_owned())
    }

    /// The id that a peer sent. One that is not well formed is replaced by `x-` and a hash of it, so that a redelivery has
    /// the same id.
    #[must_use]
    pub fn from_peer(text: &str) -> Self {
        Self::parse(text).unwrap_or_else(|_| {
            let digest = hex(&Sha256::digest(text.as_bytes()));
            Self(format!("x-{}", digest.get(..32).unwrap_or(&digest)))
        })
    }

    /// The id of part `number` (from 1) of a split message.
    #[must_use]
    pub fn part(&self, number: usize) -> Self {
        Self(format!("{}.{number}", self.0))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The time in an id of SSM's form, when its element was put into a queue.
    #[must_use]
    pub fn made(&self) -> Option<SystemTime> {
        let (directory, element) = self.0.split_once('/')?;
        let element = element.split('.').next()?;
        let hexadecimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if directory.len() != 8 || element.len() != 14 || !hexadecimal(directory) || !hexadecimal(element) {
            return None;
        }
        let seconds = u64::from_str_radix(element.get(..8)?, 16).ok()?;
        Some(UNIX_EPOCH + Duration::from_secs(seconds))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for MessageId {
    type Error = InvalidMessageId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<MessageId> for String {
    fn from(id: MessageId) -> Self {
        id.0
    }
}

/// Which way a message goes through the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Before signing and encryption.
    Outbound,
    /// After decryption, verification and authorisation.
    Inbound,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The message cannot be used as it is.
    Error,
    /// The message was used, but an operator should look at it.
    Warning,
    /// For information only.
    Info,
}

/// One thing that a plugin found in a message, worded for the operator who acts on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Stable and machine-readable, such as `job.negative-wall-duration`; the plugin chooses it.
    pub code: String,
    /// The finding in words, without personal data.
    pub text: String,
    /// Position of the record in the message, from 1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub record_number: Option<u32>,
    /// Field name or XPath.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub field: Option<String>,
    /// What the message has there. It is kept beside the message only and never logged.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub value: Option<String>,
}

impl fmt::Display for Finding {
    /// One line without the value: `job.negative-wall-duration: record 3, WallDuration: below zero`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.code)?;
        if let Some(number) = self.record_number {
            write!(f, "record {number}, ")?;
        }
        if let Some(field) = &self.field {
            write!(f, "{field}: ")?;
        }
        f.write_str(&self.text)
    }
}

/// One message that leaves a pipeline, as the plugins return it and the journal of a sender keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// The new content; `None` if it is that of the message.
    pub payload: Option<Vec<u8>>,
    /// The new media type; `None` if it is that of the message.
    pub content_type: Option<String>,
    /// Headers to set, each name once.
    pub headers: Vec<(String, String)>,
    /// Names of routes; empty for the default route.
    pub routes: Vec<String>,
    /// Its number among all parts of a split message, from 1, refused ones counted; `None` if it was not split.
    pub part: Option<usize>,
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// SHA-256 of a message's content. It distinguishes two messages that have the same id.
#[must_use]
pub fn content_digest(payload: &[u8]) -> [u8; 32] {
    Sha256::digest(payload).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_a_dirq_name_and_refuses_control_characters() {
        assert_eq!(MessageId::parse("6b031234/6b03126398f937").unwrap().as_str(), "6b031234/6b03126398f937");
        for bad in ["", "a b", "a\nb", "\u{e9}", "a:b"] {
            assert!(MessageId::parse(bad).is_err(), "{bad:?}");
        }
        assert!(MessageId::parse(&"a".repeat(256)).is_err());
    }

    #[test]
    fn a_fresh_id_is_well_formed_and_new() {
        let (first, second) = (MessageId::fresh(), MessageId::fresh());
        assert_ne!(first, second);
        assert_eq!(MessageId::parse(first.as_str()).unwrap(), first);
        let lengths: Vec<usize> = first.as_str().split('/').map(str::len).collect();
        assert_eq!(lengths, [8, 14]);
    }

    #[test]
    fn an_id_of_ssm_has_a_time_and_so_have_its_parts() {
        let made = |text: &str| MessageId::parse(text).unwrap().made();
        let expected = Some(UNIX_EPOCH + Duration::from_secs(0x6b03_1263));
        assert_eq!(made("6b031234/6b03126398f937"), expected);
        assert_eq!(made("6b031234/6b03126398f937.12"), expected);
        for other in ["6b031234/6b03126398f93", "20261031/20261031120000x", "6b031234", "6b031234/x/6b03126398f937"] {
            assert_eq!(made(other), None, "{other}");
        }
    }

    #[test]
    fn a_malformed_id_has_the_same_replacement_each_time() {
        let first = MessageId::from_peer("a\nb");
        assert_eq!(first, MessageId::from_peer("a\nb"));
        assert_ne!(first, MessageId::from_peer("a\nc"));
        assert_eq!(first.as_str().len(), 34);
        for malformed in ["", " ", "a b", "\0", "\u{1b}[31m", "\u{202e}", "not hex: \u{e4}", &"a".repeat(10_000)] {
            let replaced = MessageId::from_peer(malformed);
            assert!(replaced.as_str().starts_with("x-") && replaced.as_str().len() == 34, "{malformed:?}");
            assert_eq!(MessageId::parse(replaced.as_str()), Ok(replaced));
        }
        // Any other text is an id, whatever it looks like: no file is named after it.
        for text in ["ping", "../../etc/x", "-", &"a".repeat(255)] {
            assert_eq!(MessageId::from_peer(text).as_str(), text);
        }
    }

    #[test]
    fn a_finding_reads_as_one_line_without_its_value() {
        let finding = Finding {
            severity: Severity::Error,
            code: "job.negative-wall-duration".into(),
            text: "below zero".into(),
            record_number: Some(3),
            field: Some("WallDuration".into()),
            value: Some("-5".into()),
        };
        assert_eq!(finding.to_string(), "job.negative-wall-duration: record 3, WallDuration: below zero");
    }
}
