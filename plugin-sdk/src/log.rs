//! The plugin's log. The host writes it apart from its own, limits its volume and adds plugin and message id. Outside
//! WebAssembly, as in `cargo test`, it is standard error.

use crate::bindings::log::Level;
#[cfg(target_family = "wasm")]
use crate::bindings::log::write;

#[cfg(not(target_family = "wasm"))]
fn write(level: Level, text: &str) {
    eprintln!("{level:?}: {text}");
}

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
