//! OpenSSL 4.0 where `openssl-sys` asks for 3: a `[patch]` in the workspace's manifest puts this in the place of the crate of
//! the same name.
//!
//! `openssl-sys` works with OpenSSL 4.0 and pins the crate of sources of 3.x, whose last line is no longer maintained.

pub use sources::{Artifacts, Build, version};
