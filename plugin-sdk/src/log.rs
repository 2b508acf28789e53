//! The plugin's log. The host keeps it apart from its own, limits its volume and adds plugin and message id itself.

use crate::bindings::log::{Level, write};

/// For the author.
pub fn debug(text: &str) {
    write(Level::Debug, text);
}

/// For the operator, about normal work.
pub fn info(text: &str) {
    write(Level::Info, text);
}

/// For the operator, who should look.
pub fn warn(text: &str) {
    write(Level::Warn, text);
}

/// For the operator, who must act.
pub fn error(text: &str) {
    write(Level::Error, text);
}
