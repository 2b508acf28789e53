//! Entry points for the fuzz targets: parsers that other crates do not call directly.

use crate::{open, shape};

/// Parses the MIME structure of a message. Returns whether that succeeded.
#[must_use]
pub fn mime(message: &[u8]) -> bool {
    open::parse_outer(message).is_ok()
}

/// Checks the shape of a CMS message. Returns whether it may be passed to OpenSSL.
#[must_use]
pub fn cms(message: &[u8]) -> bool {
    shape::inspect(message).is_ok()
}
