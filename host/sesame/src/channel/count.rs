//! What a message holds, as the parsers of the stock plugins see it.

use spool::journal::Counted;

/// The format of what cannot be read.
pub(crate) const UNKNOWN: &str = "unknown";

/// Counts the records of a message by site.
pub(crate) fn counted(payload: &[u8]) -> Counted {
    let count = records::records::count(payload);
    let format = if count.sites.is_some() { count.kind.name() } else { UNKNOWN };
    Counted { format: format.to_owned(), sites: count.sites }
}
