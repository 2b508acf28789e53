//! The MIME structure around CMS (RFC 2045, 2046, 5751), parsed by our own code, so that OpenSSL gets exact bytes and
//! nothing is lost.
//!
//! # Accepted input
//! - Headers in any case, folded or not, with LF or CRLF. A header that is used may appear only once. Comments (RFC
//!   822) are white space, and parameters in sections (RFC 2231) are joined; see `media`.
//! - `multipart/signed` with exactly two parts. A delimiter is a line of its own: `--`, the boundary, optionally `--`
//!   and blanks. A line that only begins like a delimiter is refused, since other software would split there. Text
//!   before the first and after the last delimiter is ignored, save for what comes from an envelope with AES-CBC
//!   (`uncovered`); a second message after the last one is refused, since it would be lost.
//! - `application/pkcs7-mime` and `application/x-pkcs7-mime`, base64 or binary.
//!
//! # The signed part
//! [`Part::read`] separates headers from content in the signed bytes. They begin with a header block only if they begin
//! with a blank line (no headers), or if every line before the first blank one is a valid header and one of them is
//! `Content-…` or `Sesame-…`. Otherwise all bytes are content: a record of `Name: value` lines from a signer that adds
//! no headers is not mistaken for headers.

pub(crate) mod base64_lines;
pub(crate) mod canonical;
pub(crate) mod encoding;
mod media;
pub(crate) mod uncovered;

use std::borrow::Cow;

use memchr::memmem;

pub(super) use media::Media;
pub(super) use uncovered::Uncovered;

use message::Code;

/// Maximum size of a header block, in bytes.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// Maximum number of headers of an entity.
const MAX_HEADERS: usize = 100;
/// Maximum length of a boundary (RFC 2046, section 5.1.1).
const MAX_BOUNDARY: usize = 70;

/// Why the MIME structure of a message is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MimeError {
    /// A header line is malformed, or there are too many.
    #[error("the header block cannot be read")]
    Headers,
    /// A header or parameter that is used appears twice.
    #[error("{name} appears twice")]
    Repeated {
        /// Its name.
        name: String,
    },
    /// The content type cannot be read.
    #[error("the content type {text:?} cannot be read")]
    ContentType {
        /// The value as received, truncated.
        text: String,
    },
    /// The message is neither signed nor encrypted.
    #[error("the message is not signed: its content type is {kind:?}")]
    Unsigned {
        /// Its media type.
        kind: String,
    },
    /// The boundary is missing, too long or has a forbidden character.
    #[error("the boundary is missing or invalid")]
    Boundary,
    /// A line begins with the delimiter but has more text.
    #[error("a line begins with the boundary without being a delimiter")]
    AmbiguousBoundary,
    /// There are not exactly two parts.
    #[error("the signed message does not have exactly two parts")]
    Parts,
    /// The second part is not a signature.
    #[error("the second part is not a signature but {kind:?}")]
    NotSignature {
        /// Its media type.
        kind: String,
    },
    /// Another message, which would be lost, follows the message.
    #[error("another message follows the message")]
    Trailing,
    /// Text that the signature does not cover is not in its fixed form.
    #[error(
        "{what} is not covered by the signature and is not accepted in an envelope with AES-CBC, which does not show \
         changes; leave it out, or encrypt with AES-256-GCM"
    )]
    Uncovered {
        /// The text.
        what: String,
    },
    /// The transfer encoding is unknown, or not accepted for CMS.
    #[error(
        "the transfer encoding {name:?} is not accepted here; accepted are base64 and binary, for content also 7bit, 8bit \
         and quoted-printable"
    )]
    TransferEncoding {
        /// The value as received, truncated.
        name: String,
    },
    /// A base64 body is not base64.
    #[error("the base64 text {what}")]
    Base64 {
        /// The error.
        what: String,
    },
}

/// Truncates text from outside for an error message.
fn short(text: &str) -> String {
    text.chars().take(200).collect()
}

impl MimeError {
    /// Its code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Unsigned { .. } => Code::Unsigned,
            Self::Trailing => Code::Trailing,
            _ => Code::Mime,
        }
    }
}

/// An entity: headers and body.
#[derive(Debug)]
pub(super) struct Entity<'a> {
    headers: Vec<(String, String)>,
    pub(super) body: &'a [u8],
}

/// Splits off the line at the start of `text`: the line without its end, and the rest.
fn line(text: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'\n', text) {
        Some(at) => {
            let (line, rest) = text.split_at(at);
            (line.strip_suffix(b"\r").unwrap_or(line), rest.get(1..).unwrap_or_default())
        }
        None => (text, &[]),
    }
}

impl<'a> Entity<'a> {
    /// Reads headers up to a blank line; the rest is the body.
    pub(super) fn read(text: &'a [u8]) -> Result<Self, MimeError> {
        let mut headers: Vec<(String, String)> = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (first, after) = line(rest);
            rest = after;
            if first.is_empty() {
                break;
            }
            if headers.len() > MAX_HEADERS || text.len() - rest.len() > MAX_HEADER_BYTES {
                return Err(MimeError::Headers);
            }
            if matches!(first.first(), Some(b' ' | b'\t')) {
                let (_, value) = headers.last_mut().ok_or(MimeError::Headers)?;
                value.push(' ');
                value.push_str(String::from_utf8_lossy(first).trim());
            } else {
                headers.push(header(first).ok_or(MimeError::Headers)?);
            }
        }
        Ok(Self { headers, body: rest })
    }

    /// The value of a header that may appear only once.
    pub(super) fn header(&self, name: &str) -> Result<Option<&str>, MimeError> {
        let mut values = self.headers.iter().filter(|(found, _)| found == name);
        let value = values.next().map(|(_, value)| value.as_str());
        if values.next().is_some() { Err(MimeError::Repeated { name: name.to_owned() }) } else { Ok(value) }
    }

    /// The media type; `text/plain` if the header is absent.
    pub(super) fn media(&self) -> Result<Media, MimeError> {
        Media::parse(self.header("content-type")?.unwrap_or("text/plain"))
    }

    /// The decoded body, for CMS: from base64, or unchanged.
    pub(super) fn cms(&self, uncovered: Uncovered) -> Result<Cow<'a, [u8]>, MimeError> {
        uncovered.check_headers(self)?;
        match self.transfer_encoding()? {
            TransferEncoding::Base64 => Ok(encoding::from_base64(self.body, uncovered.strays())?.into()),
            TransferEncoding::QuotedPrintable => {
                Err(MimeError::TransferEncoding { name: "quoted-printable".to_owned() })
            }
            TransferEncoding::Text | TransferEncoding::Binary => {
                uncovered.check_binary()?;
                Ok(self.body.into())
            }
        }
    }

    fn transfer_encoding(&self) -> Result<TransferEncoding, MimeError> {
        let text = self.header("content-transfer-encoding")?.unwrap_or("7bit");
        let unknown = || MimeError::TransferEncoding { name: short(text) };
        let name = media::without_comments(text).ok_or_else(unknown)?;
        match name.trim().to_ascii_lowercase().as_str() {
            "7bit" | "8bit" => Ok(TransferEncoding::Text),
            "binary" => Ok(TransferEncoding::Binary),
            "quoted-printable" => Ok(TransferEncoding::QuotedPrintable),
            "base64" => Ok(TransferEncoding::Base64),
            _ => Err(unknown()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TransferEncoding {
    Text,
    Binary,
    QuotedPrintable,
    Base64,
}

fn header(line: &[u8]) -> Option<(String, String)> {
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = line.split_at(colon);
    let name = name.trim_ascii_end();
    if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    let value = String::from_utf8_lossy(value.get(1..)?).trim().to_owned();
    Some((String::from_utf8_lossy(name).to_ascii_lowercase(), value))
}

/// Whether a content type denotes a signed or encrypted message.
pub(super) fn is_message(content_type: &str) -> bool {
    Media::parse(content_type).is_ok_and(|media| media.is_cms() || media.kind == "multipart/signed")
}

/// The two parts of a `multipart/signed` message.
#[derive(Debug)]
pub(super) struct SignedParts<'a> {
    /// The signed part as received: headers and content, without the line end that belongs to the delimiter.
    pub(super) content: &'a [u8],
    /// The CMS message of the second part.
    pub(super) signature: Vec<u8>,
    /// The digest that the header announces. Only the one in the signature is used.
    pub(super) micalg: Option<String>,
}

/// Splits a `multipart/signed` entity into its parts.
pub(super) fn split_signed<'a>(
    entity: &Entity<'a>,
    media: &Media,
    uncovered: Uncovered,
) -> Result<SignedParts<'a>, MimeError> {
    uncovered.check_headers(entity)?;
    let boundary = media.parameter("boundary")?.unwrap_or_default();
    let boundary = boundary.as_ref();
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    if boundary.is_empty() || boundary.len() > MAX_BOUNDARY || boundary.ends_with(' ') || !boundary.bytes().all(legal) {
        return Err(MimeError::Boundary);
    }
    let body = entity.body;
    let delimiters = delimiters(body, boundary)?;
    let [open, middle, close, after @ ..] = delimiters.as_slice() else { return Err(MimeError::Parts) };
    if open.closes || middle.closes || !close.closes {
        return Err(MimeError::Parts);
    }
    let epilogue = body.get(close.end..).unwrap_or_default();
    if !after.is_empty() || contains_message(epilogue) {
        return Err(MimeError::Trailing);
    }
    uncovered.check_around(body.get(..open.start).unwrap_or_default(), epilogue)?;
    let content = body.get(open.end..middle.start).ok_or(MimeError::Parts)?;
    let second = Entity::read(body.get(middle.end..close.start).ok_or(MimeError::Parts)?)?;
    let kind = second.media()?;
    if !kind.is_signature() {
        return Err(MimeError::NotSignature { kind: short(&kind.kind) });
    }
    // It is only logged, so an unreadable one is ignored.
    let micalg = media.parameter("micalg").ok().flatten().map(|name| short(&name));
    Ok(SignedParts { content, signature: second.cms(uncovered)?.into_owned(), micalg })
}

struct Delimiter {
    /// The end of the part before, which excludes the line end that belongs to the delimiter.
    start: usize,
    /// The start of the next part.
    end: usize,
    closes: bool,
}

fn delimiters(body: &[u8], boundary: &str) -> Result<Vec<Delimiter>, MimeError> {
    let mark = [b"--", boundary.as_bytes()].concat();
    let mut found = Vec::new();
    for at in memmem::find_iter(body, &mark) {
        let before = body.get(..at).unwrap_or_default();
        if !(before.is_empty() || before.ends_with(b"\n")) {
            continue;
        }
        let before = before.strip_suffix(b"\n").unwrap_or(before);
        let start = before.strip_suffix(b"\r").unwrap_or(before).len();
        let after = body.get(at + mark.len()..).unwrap_or_default();
        let (rest, following) = line(after);
        let (rest, closes) = match rest.strip_prefix(b"--") {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        if !rest.trim_ascii().is_empty() {
            return Err(MimeError::AmbiguousBoundary);
        }
        // The caller refuses more than three.
        if found.len() > 3 {
            break;
        }
        found.push(Delimiter { start, end: body.len() - following.len(), closes });
    }
    Ok(found)
}

/// Whether the text after a message contains another one.
fn contains_message(epilogue: &[u8]) -> bool {
    const MARKS: [&[u8]; 2] = [b"content-type:", b"mime-version:"];
    let begins =
        |line: &[u8], mark: &[u8]| line.get(..mark.len()).is_some_and(|start| start.eq_ignore_ascii_case(mark));
    epilogue.split(|&byte| byte == b'\n').any(|line| MARKS.iter().any(|mark| begins(line, mark)))
}

/// The signed part of a message whose signature is verified.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// The `Content-Type` header as received.
    pub(super) content_type: Option<String>,
    /// `Sesame-Message-Id`.
    pub(super) message_id: Option<String>,
    /// `Sesame-To`.
    pub(super) to: Option<String>,
    /// `Sesame-Sequence`.
    pub(super) sequence: Option<String>,
    /// The decoded content; text with LF line ends.
    pub(super) payload: Vec<u8>,
    /// The content is itself a signed or encrypted message.
    pub(super) nested: bool,
}

/// The bytes that were signed.
#[derive(Debug)]
pub(super) struct Signed<'a> {
    text: Cow<'a, [u8]>,
    /// Every LF of the text stands for CRLF, and it has no CR.
    canonical: bool,
}

impl<'a> Signed<'a> {
    /// Exactly these.
    pub(super) fn exact(text: Cow<'a, [u8]>) -> Self {
        Self { text, canonical: false }
    }

    /// The canonical form of `text`. It is only written where it is needed.
    pub(super) fn canonical(text: &'a [u8]) -> Self {
        if memchr::memchr(b'\r', text).is_none() {
            Self { text: text.into(), canonical: true }
        } else {
            Self::exact(encoding::to_crlf(text).into())
        }
    }

    pub(super) fn into_owned(self) -> Signed<'static> {
        Signed { text: self.text.into_owned().into(), canonical: self.canonical }
    }

    /// Signed text with LF line ends.
    fn with_lf(&self, text: &[u8]) -> Vec<u8> {
        if self.canonical { text.to_vec() } else { encoding::to_lf(text) }
    }
}

impl Part {
    /// Parses the signed bytes.
    pub(super) fn read(signed: &Signed<'_>) -> Result<Self, MimeError> {
        let Some(entity) = with_headers(&signed.text) else {
            let payload = signed.with_lf(&signed.text);
            return Ok(Self { content_type: None, message_id: None, to: None, sequence: None, payload, nested: false });
        };
        let owned = |name| entity.header(name).map(|value| value.map(str::to_owned));
        // A malformed content type is left to the receiving application.
        let nested = entity.header("content-type")?.is_some_and(is_message);
        let payload = match entity.transfer_encoding()? {
            TransferEncoding::Text => signed.with_lf(entity.body),
            TransferEncoding::Binary if signed.canonical => encoding::to_crlf(entity.body),
            TransferEncoding::Binary => entity.body.to_vec(),
            TransferEncoding::QuotedPrintable => encoding::from_quoted_printable(entity.body),
            TransferEncoding::Base64 => encoding::from_base64(entity.body, 0)?,
        };
        Ok(Self {
            content_type: owned("content-type")?,
            message_id: owned("sesame-message-id")?,
            to: owned("sesame-to")?,
            sequence: owned("sesame-sequence")?,
            payload,
            nested,
        })
    }
}

/// The signed bytes as headers and body, if they begin with headers.
fn with_headers(signed: &[u8]) -> Option<Entity<'_>> {
    let (first, _) = line(signed);
    let entity = Entity::read(signed).ok()?;
    if first.is_empty() && !signed.is_empty() {
        return Some(entity);
    }
    // `Entity::read` also stops at the end of the text. Without a blank line all of it is content.
    let ended = signed.len() > entity.body.len() && {
        let block = signed.get(..signed.len() - entity.body.len()).unwrap_or_default();
        block.ends_with(b"\n\n") || block.ends_with(b"\n\r\n")
    };
    let known = |(name, _): &(String, String)| name.starts_with("content-") || name.starts_with("sesame-");
    (ended && entity.headers.iter().any(known)).then_some(entity)
}

#[cfg(test)]
mod tests;
