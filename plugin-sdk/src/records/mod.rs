//! Accounting records, in every format that sites send.
//!
//! [`shape`] tells what a message holds, cuts it at its records and edits fields in place; [`wire`] says how large a message
//! will be once it is sealed.

pub mod shape;
pub mod wire;

/// What a check needs to know besides the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// "Now", seconds since 1970, UTC: the context's `received-at`.
    pub now: i64,
    /// Also what the documents demand and the loader does not check.
    pub strict: bool,
}
