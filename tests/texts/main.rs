//! What people read: plain words, links that lead somewhere, and a reference that says what the code does.
//!
//! - `alerts`: the page about alerts has a row for each rule.
//! - `hostile_input`: the page about hostile input names tests that exist and codes that they compare.
//! - `words`: no text, comment or name uses a word that the project has replaced by a plainer one.
//! - `links`: every relative link and anchor of a Markdown page exists; lines end at 120 columns.
//! - `reference`: the pages below `docs/src/reference` are what the code gives; `SESAME_BLESS=1` writes them.
//! - `troubleshooting`: the page has a row for what is logged and found of acknowledgements.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking, and says why"
)]

mod alerts;
mod hostile_input;
mod links;
mod reference;
mod scan;
mod tree;
mod troubleshooting;
mod words;
