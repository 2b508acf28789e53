//! What every test stands on: folders that clean up after themselves, children that never outlive the run, and patience.
//!
//! Nothing here knows of Sesame or of a peer; those are in `sesame.rs` and `peers/`.

pub(crate) mod child;
pub(crate) mod folder;
pub(crate) mod patience;
pub(crate) mod ports;

pub(crate) use child::Child;
pub(crate) use folder::Folder;
pub(crate) use patience::{eventually, patience};
