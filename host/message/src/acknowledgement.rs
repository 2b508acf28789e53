//! Signed acknowledgements: what a receiver says of messages that it took, and the sequence numbers of what was sent.
//!
//! An acknowledgement message is an S/MIME message signed by the receiver, of the media type [`CONTENT_TYPE`]. Its content
//! is one JSON object a line, each about one message, in the form of [`Acknowledgement`]. It confirms content and not
//! bytes on the wire: the digest is that of the verified content, which stays the same when a sender seals a message again.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{MessageId, hex, text};

/// The media type of an acknowledgement message, without parameters.
pub const MEDIA_TYPE: &str = "application/sesame-acknowledgement";
/// The `Content-Type` of an acknowledgement message.
pub const CONTENT_TYPE: &str = "application/sesame-acknowledgement; version=1";
/// The most acknowledgements in one message.
pub const MOST_LINES: usize = 1_000;
/// The longest content of an acknowledgement message, in bytes.
pub const MOST_BYTES: usize = MOST_LINES * LONGEST_LINE;
/// The longest line, in bytes; a reason is cut so that a line fits.
const LONGEST_LINE: usize = 2_048;
/// The longest reason, in characters.
const LONGEST_REASON: usize = 500;
/// What precedes a digest.
const SHA_256: &str = "sha-256:";

/// Whether a `Content-Type` says that a message is an acknowledgement message, of any version.
#[must_use]
pub fn is_acknowledgement(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case(MEDIA_TYPE)
}

/// The place of a message in what one sender sends to one destination: the header `Sesame-Sequence` of the signed part.
///
/// Written as the name of the stream, a space and the number.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sequence {
    stream: String,
    number: u64,
}

/// A text that is no sequence.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sequence is 16 hexadecimal digits, a space and a number from 1")]
pub struct InvalidSequence;

impl Sequence {
    /// Number `number`, from 1, of a stream, whose name is 16 lower-case hexadecimal digits.
    ///
    /// # Errors
    /// [`InvalidSequence`].
    pub fn new(stream: &str, number: u64) -> Result<Self, InvalidSequence> {
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if stream.len() != 16 || !stream.bytes().all(digit) || number == 0 {
            return Err(InvalidSequence);
        }
        Ok(Self { stream: stream.to_owned(), number })
    }

    /// The name of the stream.
    #[must_use]
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// The number in the stream, from 1.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.stream, self.number)
    }
}

impl FromStr for Sequence {
    type Err = InvalidSequence;

    fn from_str(text: &str) -> Result<Self, InvalidSequence> {
        let (stream, number) = text.split_once(' ').ok_or(InvalidSequence)?;
        // No sign, no leading zero: one text for one sequence.
        if !number.bytes().all(|byte| byte.is_ascii_digit()) || number.starts_with('0') {
            return Err(InvalidSequence);
        }
        Self::new(stream, number.parse().map_err(|_| InvalidSequence)?)
    }
}

impl TryFrom<String> for Sequence {
    type Error = InvalidSequence;

    fn try_from(text: String) -> Result<Self, InvalidSequence> {
        text.parse()
    }
}

impl From<Sequence> for String {
    fn from(sequence: Sequence) -> Self {
        sequence.to_string()
    }
}

/// What a receiver did with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is durable at the receiver.
    Accepted,
    /// It was durable there already.
    Duplicate,
    /// It is in the receiver's reject queue.
    Rejected,
}

impl Verdict {
    /// The verdict in one word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Rejected => "rejected",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// SHA-256 of a content; in JSON `sha-256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContentDigest(pub [u8; 32]);

/// A text that is no digest.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a digest is sha-256: and 64 hexadecimal digits")]
pub struct InvalidDigest;

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SHA_256}{}", hex(&self.0))
    }
}

impl From<ContentDigest> for String {
    fn from(digest: ContentDigest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for ContentDigest {
    type Error = InvalidDigest;

    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        let digits = text.strip_prefix(SHA_256).filter(|digits| digits.len() == 64).ok_or(InvalidDigest)?;
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| InvalidDigest)?;
            // `from_str_radix` takes a sign.
            if !pair.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(InvalidDigest);
            }
            *byte = u8::from_str_radix(pair, 16).map_err(|_| InvalidDigest)?;
        }
        Ok(Self(digest))
    }
}

/// What a receiver says of one message. Members that a reader does not know are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// The id of the message, or of a part of it, as it was sent.
    pub id: MessageId,
    /// Of the verified content.
    pub digest: ContentDigest,
    /// Its signer, as RFC 4514 writes a name.
    pub signer: String,
    /// What became of it.
    pub verdict: Verdict,
    /// The code of the first finding of a rejected message, or why it was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why it was rejected, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When that was decided: UTC, as RFC 3339 writes it.
    pub at: String,
    /// Its element at the receiver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub element: Option<String>,
    /// Its place in what was sent, where the message names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<Sequence>,
}

/// Why the content of an acknowledgement message is not used. Nothing in it is used then.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// More lines than [`MOST_LINES`], or more bytes than [`MOST_BYTES`].
    #[error("more than {MOST_LINES} lines or {MOST_BYTES} bytes")]
    TooLong,
    /// A line is no such object.
    #[error("line {line}: {why}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
}

impl Acknowledgement {
    /// The content of a message with these, at most [`MOST_LINES`]. A reason that is too long is cut.
    #[must_use]
    pub fn lines(all: &[Self]) -> String {
        let mut text = String::with_capacity(all.len() * 320);
        for one in all.iter().take(MOST_LINES) {
            let mut one = one.clone();
            one.reason = one.reason.map(|reason| reason.chars().take(LONGEST_REASON).collect());
            let fits = |line: &String| line.len() < LONGEST_LINE;
            let line = serde_json::to_string(&one).ok().filter(fits).or_else(|| {
                // Names of several hundred characters: what binds it to the message is kept.
                let (reason, element) = (None, None);
                serde_json::to_string(&Self { reason, element, ..one }).ok()
            });
            text.extend(line);
            text.push('\n');
        }
        text
    }

    /// Reads the content of an acknowledgement message.
    ///
    /// # Errors
    /// [`Malformed`], if any line is.
    pub fn parse(content: &[u8]) -> Result<Vec<Self>, Malformed> {
        let lines: Vec<&[u8]> = content.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).collect();
        if content.len() > MOST_BYTES || lines.len() > MOST_LINES {
            return Err(Malformed::TooLong);
        }
        let read = |(n, line): (usize, &[u8])| {
            let wrong = |why| Malformed::Line { line: n + 1, why };
            if line.len() > LONGEST_LINE {
                return Err(wrong(format!("more than {LONGEST_LINE} bytes")));
            }
            let read: Self = serde_json::from_slice(line).map_err(|error| wrong(error.to_string()))?;
            read.fit_to_be_shown().map_err(wrong)
        };
        lines.into_iter().enumerate().map(read).collect()
    }

    /// With texts that fit on one line of a log; the texts come from another site.
    fn fit_to_be_shown(self) -> Result<Self, String> {
        let time = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'-' | b':' | b'T' | b'Z' | b'.' | b'+');
        if self.at.len() > 40 || !self.at.bytes().all(time) {
            return Err("at is no time of RFC 3339".to_owned());
        }
        let shown = |text: String| text::one_line(&text, LONGEST_REASON);
        Ok(Self {
            signer: shown(self.signer),
            code: self.code.map(shown),
            reason: self.reason.map(shown),
            element: self.element.map(shown),
            ..self
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acknowledgement() -> Acknowledgement {
        Acknowledgement {
            id: MessageId::parse("6b031234/6b03126398f937").unwrap(),
            digest: ContentDigest([7; 32]),
            signer: "CN=ce.example.org,O=eScience,C=UK".to_owned(),
            verdict: Verdict::Accepted,
            code: None,
            reason: None,
            at: "2026-11-22T16:40:47Z".to_owned(),
            element: Some("incoming/00000000/6b03126398f937".to_owned()),
            sequence: Some(Sequence::new("00c0ffee00c0ffee", 12).unwrap()),
        }
    }

    #[test]
    fn an_acknowledgement_is_one_line_of_json() {
        let digest = "07".repeat(32);
        let expected = format!(
            "{{\"id\":\"6b031234/6b03126398f937\",\"digest\":\"sha-256:{digest}\",\
             \"signer\":\"CN=ce.example.org,O=eScience,C=UK\",\"verdict\":\"accepted\",\"at\":\"2026-11-22T16:40:47Z\",\
             \"element\":\"incoming/00000000/6b03126398f937\",\"sequence\":\"00c0ffee00c0ffee 12\"}}\n"
        );
        let text = Acknowledgement::lines(&[acknowledgement()]);
        assert_eq!(text, expected);
        assert_eq!(Acknowledgement::parse(text.as_bytes()).unwrap(), [acknowledgement()]);
    }

    #[test]
    fn members_of_later_versions_are_ignored() {
        let text = Acknowledgement::lines(&[acknowledgement()]).replace("{\"id\"", "{\"later\":[1],\"id\"");
        assert_eq!(Acknowledgement::parse(text.as_bytes()).unwrap(), [acknowledgement()]);
    }

    #[test]
    fn every_line_fits_whatever_the_reason() {
        let long = Acknowledgement {
            verdict: Verdict::Rejected,
            reason: Some("\u{1}".repeat(5_000)),
            signer: "CN=x".repeat(200),
            element: Some("e".repeat(400)),
            ..acknowledgement()
        };
        let text = Acknowledgement::lines(&vec![long; MOST_LINES + 1]);
        assert_eq!(text.lines().count(), MOST_LINES);
        assert!(text.len() <= MOST_BYTES, "{}", text.len());
        let read = Acknowledgement::parse(text.as_bytes()).unwrap();
        assert!(read.iter().all(|one| one.verdict == Verdict::Rejected));
    }

    #[test]
    fn what_is_malformed_is_refused_with_its_line() {
        let good = Acknowledgement::lines(&[acknowledgement()]);
        for (bad, begins) in [
            (good.replace("accepted", "lost"), "line 1: unknown variant"),
            (format!("{good}no json\n"), "line 2: expected"),
            (good.replace("sha-256:07", "sha-256:+7"), "line 1: a digest is"),
            (good.replace("sha-256:", "md5:"), "line 1: a digest is"),
            (good.replace("ffee 12", "ffee 012"), "line 1: a sequence is"),
            (good.replace("ffee 12", "ffee 18446744073709551616"), "line 1: a sequence is"),
            (good.replace("6b031234/", "a b/"), "line 1: message id"),
            (good.replace(",\"verdict\":\"accepted\"", ""), "line 1: missing field"),
            (good.replace("2026-11-22", "a time\\n"), "line 1: at is no time"),
            (good.replace("incoming/", &"e".repeat(2_048)), "line 1: more than 2048 bytes"),
            (good.repeat(MOST_LINES + 1), "more than 1000 lines"),
        ] {
            let error = Acknowledgement::parse(bad.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(begins), "{error}");
        }
    }

    #[test]
    fn an_acknowledgement_message_is_recognised_by_its_media_type() {
        assert!(is_acknowledgement(CONTENT_TYPE));
        assert!(is_acknowledgement("Application/Sesame-Acknowledgement"));
        assert!(!is_acknowledgement("text/plain; a=application/sesame-acknowledgement"));
    }

    #[test]
    fn a_sequence_has_one_text() {
        for text in ["", "00c0ffee00c0ffee", "00c0ffee00c0ffee 0", "00c0ffee00c0ffee +1", "00C0ffee00c0ffee 1", "0 1"] {
            assert_eq!(text.parse::<Sequence>(), Err(InvalidSequence), "{text}");
        }
        let most = format!("00c0ffee00c0ffee {}", u64::MAX);
        assert_eq!(most.parse::<Sequence>().unwrap().to_string(), most);
    }
}
