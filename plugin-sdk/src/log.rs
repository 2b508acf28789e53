//! The plugin's log. The host writes it apart from its own, limits its volume and adds plugin and message id.

use crate::bindings::log::{Level, write};

/// For the author.
pub fn debug(text: &str) {
    write(Level::Debug, text);
}

/// For the operator, about normal work.
pub fn info(text: &str) {
    write(Level::Info, text);
}

/// For the operator: should be looked at.
pub fn warn(text: &str) {
    write(Level::Warn, text);
}

/// For the operator: needs action.
pub fn error(text: &str) {
    write(Level::Error, text);
}
