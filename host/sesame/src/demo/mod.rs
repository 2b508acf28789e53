//! `sesame demo`: the whole way of a message in one process, with nothing installed.
//!
//! [`stage`] makes a folder with a certificate authority, certificates, a DN list, a configuration and queues, and starts a
//! loopback broker, or a server of AMS, with TLS and client certificates. [`play`] runs the real daemon on that configuration until every
//! message has its verdict. What it leaves in the folder is what a site would have.

mod pki;
mod samples;
mod scene;
mod service;

pub use samples::{SAMPLES, Sample};
pub use scene::{DemoError, Ending, Scene, Story, play, stage};
pub use service::{Protocol, Service};
