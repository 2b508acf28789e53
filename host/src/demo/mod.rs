//! `sesame demo`.

pub mod broker;
