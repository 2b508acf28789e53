//! How large a message is on the wire: signed, encrypted where the channel encrypts, and encoded.
//!
//! Sealing adds a part that is the same for every content, which the host passes in the context's properties, and
//! writes the content in one of three ways, which is worked out here from the content itself. What comes out is never
//! less than the body of the SEND frame, and a few hundred bytes more at most.
//!
//! | property, outbound | value |
//! |---|---|
//! | `peer` | who reads: `ssm` or `sesame` |
//! | `wire-fixed-bytes` | the most that signing adds to the encoded content: MIME headers, boundaries, signature |
//! | `wire-envelope-bytes` | the most that the envelope adds before it is written as base64; missing where a channel only signs |
//! | `max-wire-bytes` | the most that the broker takes; missing where that is unknown ([`limit`]) |
//!
//! Content of printable ASCII, tabs and line ends travels as it is. Anything else is written in quoted-printable for
//! SSM and as base64 for Sesame; so is, for SSM and unencrypted, content that mentions an encrypted media type, and
//! then each `/` takes three bytes.

mod size;

use crate::{Context, Direction};

pub use size::{Meter, Wire};

/// The media type that `wire-fixed-bytes` counts.
const USUAL_TYPE: usize = "text/plain".len();

/// How large a payload is on the wire, at most: see [`Wire::of`].
#[must_use]
pub fn size(payload: &[u8], context: &Context) -> usize {
    Wire::of(context).size(payload)
}

/// The most bytes that the broker takes of a message on the wire; `None` where the host does not say it.
#[must_use]
pub fn limit(context: &Context) -> Option<usize> {
    let found = context.properties.iter().find(|(name, _)| name == "max-wire-bytes");
    found.and_then(|(_, value)| value.parse().ok())
}

impl Wire {
    /// What the host says in a context: [`Wire::MOST`] where a host does not say it, and [`Wire::NONE`] for a message
    /// that came in, which is not sealed.
    #[must_use]
    pub fn of(context: &Context) -> Self {
        if context.direction == Direction::Inbound {
            return Self::NONE;
        }
        let property = |name: &str| {
            let found = context.properties.iter().find(|(found, _)| found == name);
            found.map(|(_, value)| value.as_str())
        };
        let number = |name: &str| property(name).and_then(|value| value.parse::<usize>().ok());
        let Some(fixed) = number("wire-fixed-bytes") else { return Self::MOST };
        let media = context.content_type.as_ref().map_or(0, |media| media.len().saturating_sub(USUAL_TYPE));
        Self {
            ssm: property("peer") != Some("sesame"),
            fixed: fixed.saturating_add(media),
            envelope: property("wire-envelope-bytes").map(|_| number("wire-envelope-bytes").unwrap_or(8 * 1024)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;

    fn context(direction: Direction, properties: &[(&str, &str)]) -> Context {
        let message = Message::sample(direction, "");
        properties.iter().fold(message, |message, (name, value)| message.with_property(name, value)).context
    }

    #[test]
    fn the_host_says_what_sealing_adds() {
        let signed = [("peer", "sesame"), ("wire-fixed-bytes", "3000")];
        let mut told = context(Direction::Outbound, &signed);
        assert_eq!(Wire::of(&told), Wire { ssm: false, fixed: 3000, envelope: None });
        assert_eq!(size(b"Site: A\n", &told), 3008);
        told.content_type = Some("application/json".to_owned());
        assert_eq!(Wire::of(&told).fixed, 3006);
        let encrypted = [("peer", "ssm"), ("wire-fixed-bytes", "3000"), ("wire-envelope-bytes", "900")];
        let told = context(Direction::Outbound, &encrypted);
        assert_eq!(Wire::of(&told), Wire { ssm: true, fixed: 3000, envelope: Some(900) });
    }

    #[test]
    fn where_the_host_is_silent_the_most_is_counted() {
        assert_eq!(Wire::of(&context(Direction::Outbound, &[])), Wire::MOST);
        assert_eq!(Wire::of(&context(Direction::Outbound, &[("wire-fixed-bytes", "many")])), Wire::MOST);
        let odd = [("wire-fixed-bytes", "1"), ("wire-envelope-bytes", "many")];
        assert_eq!(Wire::of(&context(Direction::Outbound, &odd)).envelope, Wire::MOST.envelope);
        assert_eq!(size(b"\xE4\r\n", &context(Direction::Inbound, &[])), 3);
    }
}
