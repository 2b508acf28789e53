//! Entry points for the fuzz targets: parsers that other crates do not call directly.

pub use crate::names::{element_number, is_directory};
