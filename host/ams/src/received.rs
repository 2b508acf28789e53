//! Messages that were pulled, and how far a subscription is.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use crate::names::{Project, Subscription};
use crate::publication::MessageId;
use crate::time;

/// Standard base64, with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The id by which a message is acknowledged, with all before it: `projects/P/subscriptions/S:OFFSET`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AckId {
    project: Project,
    subscription: Subscription,
    offset: u64,
}

impl AckId {
    /// The id of the message at `offset`.
    #[must_use]
    pub fn new(project: &Project, subscription: &Subscription, offset: u64) -> Self {
        Self { project: project.clone(), subscription: subscription.clone(), offset }
    }

    /// Reads the id of a message of this subscription; nothing if it is of another one or has no number.
    pub(crate) fn parse(text: &str, project: &Project, subscription: &Subscription) -> Option<Self> {
        let offset = text
            .strip_prefix("projects/")?
            .strip_prefix(project.as_str())?
            .strip_prefix("/subscriptions/")?
            .strip_prefix(subscription.as_str())?
            .strip_prefix(':')?;
        let digits = !offset.is_empty() && offset.bytes().all(|byte| byte.is_ascii_digit());
        let offset = offset.parse().ok().filter(|_| digits)?;
        Some(Self::new(project, subscription, offset))
    }

    /// The project.
    #[must_use]
    pub fn project(&self) -> &Project {
        &self.project
    }

    /// The subscription.
    #[must_use]
    pub fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    /// The position in the topic. The next message has the next number.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

impl fmt::Display for AckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "projects/{}/subscriptions/{}:{}", self.project, self.subscription, self.offset)
    }
}

/// A message that was pulled. It stays in the subscription until it is acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Acknowledges it and all before it.
    pub ack_id: AckId,
    /// The id that AMS gave it; empty if it has none.
    pub message_id: MessageId,
    /// Names and values, such as `empaid`. A value that is no text is in JSON.
    pub attributes: BTreeMap<String, String>,
    /// The content, decoded. One message that cannot be decoded does not hide the others.
    pub data: Result<Bytes, Unreadable>,
    /// When it was published; nothing where AMS does not say so in its own form.
    pub publish_time: Option<SystemTime>,
}

/// Why the content of a pulled message cannot be had. The same message will not get better.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is not base64.
    #[error("the message's data is not base64: {error}")]
    NotBase64 {
        /// What is wrong with it.
        error: base64::DecodeError,
        /// The data as it came.
        text: String,
    },
    /// It is missing, or not a text.
    #[error("the message has no data")]
    NoData,
}

impl Unreadable {
    /// The data as it came; nothing if there is none.
    #[must_use]
    pub fn into_text(self) -> String {
        match self {
            Self::NotBase64 { text, .. } => text,
            Self::NoData => String::new(),
        }
    }
}

/// How far a subscription is. Offsets count the messages of its topic from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Offsets {
    /// The oldest message that is kept.
    pub min: u64,
    /// One beyond the newest message.
    pub max: u64,
    /// The next message to be delivered: one beyond the last that was acknowledged. AMS moves it to `min` without a
    /// word when older messages are no longer kept.
    pub current: u64,
}

impl Offsets {
    /// How many messages wait. An empty pull does not prove that there are none; this does.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.max.saturating_sub(self.current)
    }

    /// Whether the message of this id is acknowledged.
    #[must_use]
    pub fn are_beyond(&self, id: &AckId) -> bool {
        self.current > id.offset
    }
}

/// `{"receivedMessages":[…]}`. What may be missing or of another type is read leniently.
#[derive(Deserialize)]
pub(crate) struct Pulled {
    #[serde(rename = "receivedMessages", default)]
    pub(crate) messages: Option<Vec<Item>>,
}

/// One of them.
#[derive(Deserialize)]
pub(crate) struct Item {
    #[serde(rename = "ackId", default)]
    pub(crate) ack_id: Value,
    #[serde(default)]
    message: Content,
}

#[derive(Default, Deserialize)]
struct Content {
    #[serde(rename = "messageId", default)]
    id: Value,
    #[serde(default)]
    attributes: Value,
    #[serde(default)]
    data: Value,
    #[serde(rename = "publishTime", default)]
    publish_time: Value,
}

impl Item {
    /// The message with its id.
    pub(crate) fn received(self, ack_id: AckId) -> Received {
        let Content { id, attributes, data, publish_time } = self.message;
        Received {
            ack_id,
            message_id: MessageId::new(if id.is_null() { String::new() } else { text(id) }),
            attributes: read_attributes(attributes),
            data: decode(data),
            publish_time: publish_time.as_str().and_then(time::parse),
        }
    }
}

/// A value as text; what is not a text is in JSON.
pub(crate) fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// An object, or in older servers a list of `{"key":…,"value":…}`.
fn read_attributes(value: Value) -> BTreeMap<String, String> {
    match value {
        Value::Object(object) => object.into_iter().map(|(name, value)| (name, text(value))).collect(),
        Value::Array(list) => list.into_iter().filter_map(key_and_value).collect(),
        _ => BTreeMap::new(),
    }
}

fn key_and_value(mut item: Value) -> Option<(String, String)> {
    let key = item.get_mut("key").map(Value::take)?;
    let value = item.get_mut("value").map(Value::take).unwrap_or_default();
    Some((text(key), text(value)))
}

fn decode(value: Value) -> Result<Bytes, Unreadable> {
    let Value::String(mut encoded) = value else { return Err(Unreadable::NoData) };
    if encoded.contains(['\r', '\n']) {
        encoded.retain(|c| !matches!(c, '\r' | '\n'));
    }
    match BASE64.decode(&encoded) {
        Ok(data) => Ok(data.into()),
        Err(error) => Err(Unreadable::NotBase64 { error, text: encoded }),
    }
}
