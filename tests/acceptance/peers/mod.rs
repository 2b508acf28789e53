//! The programs that Sesame must get on with: two brokers, OpenSSL, and the Python libraries that sites run.
//!
//! A peer that is not installed fails the test that needs it, by name. Nothing is skipped.

pub(crate) mod activemq;
pub(crate) mod broker;
pub(crate) mod guests;
pub(crate) mod openssl;
pub(crate) mod python;
pub(crate) mod rabbitmq;
pub(crate) mod scripted;

use std::path::PathBuf;

pub(crate) use broker::{Broker, Kind};

/// Where `program` is, or a failed test that says how to get it.
#[track_caller]
pub(crate) fn require(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let fixed = ["/usr/sbin", "/usr/lib/rabbitmq/bin"].map(PathBuf::from);
    let found =
        std::env::split_paths(&path).chain(fixed).map(|folder| folder.join(program)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("missing peer: {program} is not installed; run tests/setup"))
}
