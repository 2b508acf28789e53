//! Doors for the fuzz targets: parsers that no other crate calls by themselves.

use crate::{open, shape};

/// Takes the MIME envelope of a message apart; whether that succeeded.
#[must_use]
pub fn mime(message: &[u8]) -> bool {
    open::take_apart(message).is_ok()
}

/// Checks the shape of a CMS message; whether it may go to OpenSSL.
#[must_use]
pub fn cms(message: &[u8]) -> bool {
    shape::inspect(message).is_ok()
}
