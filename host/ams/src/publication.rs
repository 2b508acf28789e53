//! Messages to be published, and how large AMS stores them.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Serialize, Serializer};

/// What the JSON text of a stored message has besides attributes and data, in bytes: names, braces, line ends and
/// indents, an id of 20 digits and a time with 9 decimals.
const AROUND: usize = 160;
/// The same for each attribute: quotes, colon, comma, line end and indent.
const AROUND_ATTRIBUTE: usize = 16;

/// A message to be published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publication {
    /// Names and values. AMS stores them without escaping ([Publishing](crate#publishing)), so neither may have a
    /// double quote, a backslash or a control character.
    pub attributes: BTreeMap<String, String>,
    /// The content. It is sent in base64.
    pub data: Bytes,
}

impl Publication {
    /// A message with the attribute `empaid`, by which SSM and Sesame know it.
    #[must_use]
    pub fn new(empaid: &str, data: impl Into<Bytes>) -> Self {
        let attributes = BTreeMap::from([("empaid".to_owned(), empaid.to_owned())]);
        Self { attributes, data: data.into() }
    }

    /// Checks that AMS can store the message, by an upper bound.
    ///
    /// # Errors
    /// [`TooLarge`] where [`stored_size`] is above `max` bytes. AMS takes 1,000,000 by its documents.
    pub fn check(&self, max: usize) -> Result<(), TooLarge> {
        let size = stored_size(self);
        if size > max { Err(TooLarge { size, max }) } else { Ok(()) }
    }

    /// The first attribute that AMS would store as broken JSON.
    pub(crate) fn unsafe_attribute(&self) -> Option<&str> {
        let harms = |text: &str| text.chars().any(|c| c == '"' || c == '\\' || c.is_control());
        self.attributes.iter().find(|(name, value)| harms(name) || harms(value)).map(|(name, _)| name.as_str())
    }
}

/// A message that AMS would not store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("AMS would store up to {size} bytes for this message, above the limit of {max}: send less in one message")]
pub struct TooLarge {
    /// [`stored_size`], in bytes.
    pub size: usize,
    /// The limit, in bytes.
    pub max: usize,
}

/// The size of the JSON text that AMS stores for a message, in bytes, as an upper bound: id, attributes, base64 of the
/// data and time ([Publishing](crate#publishing): this, not the size of the data, is what is limited).
#[must_use]
pub fn stored_size(publication: &Publication) -> usize {
    let attribute = |(name, value): (&String, &String)| {
        text_size(name).saturating_add(text_size(value)).saturating_add(AROUND_ATTRIBUTE)
    };
    let attributes = publication.attributes.iter().map(attribute).fold(0, usize::saturating_add);
    let data = publication.data.len().div_ceil(3).saturating_mul(4);
    data.saturating_add(attributes).saturating_add(AROUND)
}

/// A text in JSON. Go writes `<`, `>`, `&` and some other characters as `\u003c`, serde writes control characters like
/// that.
fn text_size(text: &str) -> usize {
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '<' | '>' | '&' | '"' | '\\') || c == ' ';
    text.chars().map(|c| if plain(c) { 1 } else { c.len_utf8().max(6) }).fold(0, usize::saturating_add)
}

impl Serialize for Publication {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut message = serializer.serialize_struct("Message", 2)?;
        message.serialize_field("attributes", &self.attributes)?;
        message.serialize_field("data", &STANDARD.encode(&self.data))?;
        message.end()
    }
}

/// The body of a publish request.
#[derive(Serialize)]
pub(crate) struct Messages<'a> {
    messages: &'a [Publication],
}

impl<'a> Messages<'a> {
    pub(crate) fn new(messages: &'a [Publication]) -> Self {
        Self { messages }
    }
}

/// The id that AMS gave a message: its offset in the topic, as text. It is not unique: AMS reads it just before
/// storing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MessageId(String);

impl MessageId {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// The id as SSM logs it (`Argo ID`).
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&message::text::escaped(&self.0))
    }
}

/// `{"messageIds":["18"]}`
#[derive(Deserialize)]
pub(crate) struct Published {
    #[serde(rename = "messageIds")]
    pub(crate) ids: Vec<String>,
}
