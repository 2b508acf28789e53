//! Text of a peer, escaped for an error message or a log line.

/// Maximum number of characters shown of a peer's text.
const SHOWN: usize = 4096;

/// `text` on one line: cut at [`SHOWN`] characters, unsafe characters escaped, bytes that are not UTF-8 replaced.
pub(crate) fn quoted(text: &[u8]) -> String {
    message::text::quoted(text, SHOWN)
}
