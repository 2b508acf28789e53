//! Typed settings in TOML: sections read key by key, values with units, mistakes with their lines, and the way back.
//!
//! Start at [`Document`]. [`Section`] reads one key after the other and reports the keys that were not read; [`Mistake`] is
//! what the operator sees; [`Writer`] prints settings so that they read back the same.
//!
//! Not here: any key of Sesame. Each crate reads its own section.
//!
//! # On disk
//! TOML 1.0. Durations are texts such as `"60s"`, sizes texts such as `"16MiB"`, file modes texts such as `"0750"`; see
//! [`values`]. Paths are absolute.
//!
//! # Limits
//! Every number, duration and size has a range, given where its key is read. All mistakes of a file are reported at once.

mod document;
mod json;
mod mistake;
pub mod values;
mod write;

pub use document::{Document, Files, Section};
pub use json::{quoted, to_lines};
pub use mistake::{Complaint, ConfigErrors, Mistake, complain, nearest};
pub use write::{Writer, word};

/// 1 KiB in bytes.
pub const KIB: u64 = 1 << 10;
/// 1 MiB in bytes.
pub const MIB: u64 = 1 << 20;
/// 1 GiB in bytes.
pub const GIB: u64 = 1 << 30;
