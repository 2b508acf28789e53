//! A message as AMS stores it: one JSON text.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

/// How the attributes of a pulled message are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AttributeForm {
    /// `{"empaid": "…"}`
    #[default]
    Object,
    /// `[{"key": "empaid", "value": "…"}]`, as older servers do.
    List,
}

/// A message of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its place in the topic, which is its message id.
    pub offset: u64,
    /// What is stored.
    pub text: String,
    /// Its attributes; empty if the text is not JSON.
    pub attributes: BTreeMap<String, String>,
    /// Its data as it was sent; decoded, or `None` if it is not base64.
    pub data: Option<Vec<u8>>,
}

impl Message {
    pub(super) fn read(offset: u64, text: &str) -> Self {
        let fields = Fields::read(text).unwrap_or_default();
        let data = fields.data.and_then(|data| BASE64.decode(data).ok());
        Self { offset, text: text.to_owned(), attributes: fields.attributes.unwrap_or_default(), data }
    }
}

/// What a client sends of a message, and what is read from the store.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Fields {
    pub(super) attributes: Option<BTreeMap<String, String>>,
    pub(super) data: Option<String>,
    #[serde(rename = "publishTime")]
    time: Option<String>,
}

impl Fields {
    pub(super) fn new(attributes: &[(&str, &str)], data: &[u8]) -> Self {
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { attributes: Some(attributes), data: Some(BASE64.encode(data)), time: None }
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The data, or nothing where it is not base64: what a schema gets to see.
    pub(super) fn decoded(&self) -> Vec<u8> {
        self.data.as_deref().and_then(|data| BASE64.decode(data).ok()).unwrap_or_default()
    }

    /// The text that is stored. Attributes are written without escaping; where the text is no JSON for it, nothing is
    /// stored in its place, and the message is poisoned.
    pub(super) fn store(&self, offset: u64) -> String {
        let mut attributes = Vec::new();
        for (name, value) in self.attributes.iter().flatten() {
            attributes.push(format!("\n      \"{name}\": \"{value}\""));
        }
        let attributes = format!("{{{}\n   }}", attributes.join(","));
        if serde_json::from_str::<IgnoredAny>(&attributes).is_err() {
            return String::new();
        }
        let attributes = match &self.attributes {
            Some(some) if !some.is_empty() => format!("\n   \"attributes\": {attributes},"),
            _ => String::new(),
        };
        let data = json!(self.data.as_deref().unwrap_or_default());
        let time = publish_time(offset);
        format!(
            "{{\n   \"messageId\": \"{offset}\",{attributes}\n   \"data\": {data},\n   \"publishTime\": \"{time}\"\n}}"
        )
    }

    /// An element of `receivedMessages`.
    pub(super) fn received(self, offset: u64, ack_id: &str, form: AttributeForm) -> Value {
        let mut message = Map::new();
        message.insert("messageId".to_owned(), offset.to_string().into());
        message.insert("data".to_owned(), self.data.unwrap_or_default().into());
        if let Some(time) = self.time {
            message.insert("publishTime".to_owned(), time.into());
        }
        if let Some(attributes) = self.attributes.filter(|attributes| !attributes.is_empty()) {
            let pair = |(name, value): (&String, &String)| json!({ "key": name, "value": value });
            let written = match form {
                AttributeForm::Object => json!(attributes),
                AttributeForm::List => attributes.iter().map(pair).collect(),
            };
            message.insert("attributes".to_owned(), written);
        }
        json!({ "ackId": ack_id, "message": message })
    }
}

/// Now, with 0 to 9 decimals: AMS drops zeros at the end, and here each offset has another number of them.
fn publish_time(offset: u64) -> String {
    let now = Timestamp::now();
    let nanoseconds = format!("{:09}", now.subsec_nanosecond());
    let decimals = usize::try_from(offset % 10).unwrap_or(0);
    let decimals = nanoseconds.get(..decimals).unwrap_or_default().trim_end_matches('0');
    let point = if decimals.is_empty() { "" } else { "." };
    format!("{}{point}{decimals}Z", now.strftime("%Y-%m-%dT%H:%M:%S"))
}
