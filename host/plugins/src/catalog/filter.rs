//! The messages a plugin applies to.

use serde::{Deserialize, Serialize};

use message::Direction;

/// The messages a plugin applies to; a key that is not set matches all.
///
/// A pattern must match the whole text, with upper and lower case distinguished; `*` matches any number of characters. A
/// signer is compared in both forms of the name, RFC 4514 and slash. A content type is compared in lower case and without
/// its parameters; a message without one matches only if the key is not set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Names of channels.
    pub channels: Option<Vec<String>>,
    /// One direction.
    pub direction: Option<Direction>,
    /// Patterns of destinations.
    pub destination: Option<Vec<String>>,
    /// Patterns of signer DNs; an outbound message has no signer and so does not match.
    pub signer: Option<Vec<String>>,
    /// Patterns of media types.
    pub content_type: Option<Vec<String>>,
}

/// The facts of a message that a filter compares.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) destination: &'a str,
    pub(crate) signer: &'a [&'a str],
    pub(crate) content_type: Option<&'a str>,
}

/// A [`Filter`] as a journal stores it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Kept {
    channels: Option<Vec<String>>,
    inbound: Option<bool>,
    destination: Option<Vec<String>>,
    signer: Option<Vec<String>>,
    content_type: Option<Vec<String>>,
}

impl Filter {
    /// The text for the journal.
    #[must_use]
    pub fn to_text(&self) -> String {
        let Self { channels, direction, destination, signer, content_type } = self.clone();
        let inbound = direction.map(|direction| direction == Direction::Inbound);
        serde_json::to_string(&Kept { channels, inbound, destination, signer, content_type }).unwrap_or_default()
    }

    /// From the text of the journal. A text that cannot be parsed gives a filter that matches everything.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        let Ok(kept) = serde_json::from_str::<Kept>(text) else { return Self::default() };
        let Kept { channels, inbound, destination, signer, content_type } = kept;
        let direction = inbound.map(|inbound| if inbound { Direction::Inbound } else { Direction::Outbound });
        Self { channels, direction, destination, signer, content_type }
    }

    /// Whether any message of this channel and direction can match.
    pub(crate) fn concerns(&self, channel: &str, direction: Direction) -> bool {
        self.direction.is_none_or(|only| only == direction)
            && self.channels.as_ref().is_none_or(|names| names.iter().any(|name| name == channel))
    }

    /// Whether a message matches. Its channel and direction are not compared, see [`Filter::concerns`].
    pub(crate) fn matches(&self, facts: &Facts<'_>) -> bool {
        let any = |patterns: &[String], text: &str| patterns.iter().any(|pattern| matches(pattern, text));
        let kind = facts.content_type.map(|text| {
            let kind = text.split(';').next().unwrap_or(text);
            kind.trim().to_ascii_lowercase()
        });
        self.destination.as_ref().is_none_or(|patterns| any(patterns, facts.destination))
            && self.signer.as_ref().is_none_or(|patterns| facts.signer.iter().any(|name| any(patterns, name)))
            && self.content_type.as_ref().is_none_or(|patterns| kind.is_some_and(|kind| any(patterns, &kind)))
    }
}

/// Compares `text` with a pattern in which `*` matches anything; linear in both.
fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut rest = rest;
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        match rest.find(piece).and_then(|at| rest.get(at + piece.len()..)) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_matches_anything() {
        for (pattern, text) in
            [("a", "a"), ("*", ""), ("a*", "abc"), ("*c", "abc"), ("a*c", "abc"), ("a*b*c", "aXbYbc")]
        {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a", "ab"), ("", "a"), ("a*c", "ab"), ("ab*ba", "aba"), ("*x*", "abc")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn every_key_that_is_set_must_match() {
        let filter = Filter {
            destination: Some(vec!["/queue/a*".into()]),
            signer: Some(vec!["/C=UK/CN=x".into()]),
            content_type: Some(vec!["text/*".into()]),
            ..Filter::default()
        };
        let facts = Facts {
            destination: "/queue/abc",
            signer: &["CN=x,C=UK", "/C=UK/CN=x"],
            content_type: Some("Text/Plain; charset=utf-8"),
        };
        assert!(filter.matches(&facts));
        assert!(!filter.matches(&Facts { destination: "/queue/b", ..facts }));
        assert!(!filter.matches(&Facts { signer: &[], ..facts }));
        assert!(!filter.matches(&Facts { content_type: None, ..facts }));
        assert!(Filter::default().matches(&Facts { signer: &[], content_type: None, ..facts }));
    }

    #[test]
    fn is_the_same_after_the_journal_stored_it() {
        let filter = Filter {
            channels: Some(vec!["central".into()]),
            direction: Some(Direction::Outbound),
            signer: Some(vec!["CN=\"x\"".into()]),
            ..Filter::default()
        };
        assert_eq!(Filter::from_text(&filter.to_text()), filter);
        assert_eq!(Filter::from_text("nonsense"), Filter::default());
    }

    #[test]
    fn concerns_its_channels_and_direction() {
        let filter =
            Filter { channels: Some(vec!["central".into()]), direction: Some(Direction::Inbound), ..Filter::default() };
        assert!(filter.concerns("central", Direction::Inbound));
        assert!(!filter.concerns("central", Direction::Outbound));
        assert!(!filter.concerns("other", Direction::Inbound));
    }
}
