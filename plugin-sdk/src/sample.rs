//! Messages for the unit tests of plugins, which run natively.

use crate::{Context, Direction, Message};

impl Message {
    /// A message for a test: accepted at 2026-11-25T00:00:00Z, on its first attempt, without signer, headers and
    /// properties.
    #[must_use]
    pub fn sample(direction: Direction, payload: impl Into<Vec<u8>>) -> Self {
        let context = Context {
            direction,
            message_id: "5f3a0001/5f3a0001000001".to_owned(),
            channel: "sample".to_owned(),
            destination: "/queue/sample".to_owned(),
            content_type: None,
            signer: None,
            received_at: 1_795_564_800_000,
            attempt: 1,
            transport_headers: Vec::new(),
            properties: Vec::new(),
        };
        Self { context, payload: payload.into() }
    }

    /// The same with one more property.
    #[must_use]
    pub fn with_property(mut self, name: &str, value: &str) -> Self {
        self.context.properties.push((name.to_owned(), value.to_owned()));
        self
    }
}
