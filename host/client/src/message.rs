//! What is published, and the answer.

use bytes::Bytes;
use message::MessageId;

/// A message to be published.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its identity, the same on every attempt. `None`: a new one in SSM's form is made.
    pub id: Option<MessageId>,
    /// The media type (RFC 2045) of the content. `None`: `text/plain`.
    pub content_type: Option<String>,
    /// The content, which must not be blank; UTF-8 for an SSM receiver.
    pub content: Bytes,
}

impl Message {
    /// A message with this content, and a new id.
    #[must_use]
    pub fn new(content: impl Into<Bytes>) -> Self {
        Self { id: None, content_type: None, content: content.into() }
    }

    /// The same message with an id: the caller's own, or that of an earlier
    /// [`PublishError`](crate::PublishError).
    #[must_use]
    pub fn with_id(mut self, id: MessageId) -> Self {
        self.id = Some(id);
        self
    }

    /// The same message with a media type, such as `text/xml`.
    #[must_use]
    pub fn with_content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }
}

/// The broker has the message, and a queue there holds it as far as a broker can say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The message's id.
    pub id: MessageId,
    /// `host:port` of the broker; for AMS, `host:port/project`.
    pub broker: String,
    /// The id that AMS gave it; `None` with a STOMP broker.
    pub ams_id: Option<String>,
    /// How often it was sent; more than once: it may be there twice.
    pub attempts: u32,
}
