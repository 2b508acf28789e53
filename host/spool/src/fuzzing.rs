//! Doors for the fuzz targets: parsers that no other crate calls by themselves.

pub use crate::names::{element_number, is_directory};
