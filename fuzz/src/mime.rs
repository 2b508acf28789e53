//! The MIME splitter: a message as it came from the broker, up to the CMS message in it.

/// Input: a message.
pub(crate) fn parse(input: &[u8]) -> bool {
    smime::fuzzing::mime(input)
}
