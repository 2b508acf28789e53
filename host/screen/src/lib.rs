//! What a running Sesame says of itself, shown in a terminal: [`status`] as one screen of text, [`nagios`] as one line for
//! monitoring, [`top`] as a picture that changes.
//!
//! All of them are made of an [`Overview`](observe::overview::Overview), and of nothing else: they look nowhere themselves.
//! [`select`] leaves only what belongs to some channels; [`History`] makes rates of overviews that follow each other.
//!
//! # Foreign text
//! Overviews hold what peers and messages say. [`status`] and [`nagios`] escape it as [`terminal`] does; `top` through
//! `words::safe`, so that no control character and no mark of direction reaches a terminal.

mod history;
pub mod nagios;
mod selection;
pub mod status;
pub mod top;
mod words;

pub use history::History;
pub use selection::{NoChannel, select};
pub use words::{bytes, is_well};
