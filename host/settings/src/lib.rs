//! Typed settings in TOML: sections that are read key by key, values with units, mistakes with their lines, and the way back.
//!
//! Start at [`Document`]. [`Section`] reads one key after the other and reports the keys nobody asked for; [`Mistake`] is what
//! the operator reads; [`Writer`] prints settings so that they read back the same. No key of Sesame's is known here: each
//! crate reads its own.

mod document;
mod json;
mod mistake;
pub mod values;
mod write;

pub use document::{Document, Files, Section};
pub use json::{from_table, quoted, to_lines};
pub use mistake::{Complaint, ConfigErrors, Mistake, complain, nearest};
pub use write::{Writer, word};

/// 1 KiB in bytes.
pub const KIB: u64 = 1 << 10;
/// 1 MiB in bytes.
pub const MIB: u64 = 1 << 20;
/// 1 GiB in bytes.
pub const GIB: u64 = 1 << 30;
