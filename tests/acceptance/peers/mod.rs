//! The programs that Sesame must get on with: two brokers, OpenSSL, Prometheus, and the Python libraries that sites run.
//!
//! A peer that is not installed fails the test that needs it, by name. Nothing is skipped.

pub(crate) mod activemq;
pub(crate) mod ams;
pub(crate) mod broker;
pub(crate) mod browser;
pub(crate) mod guests;
pub(crate) mod openssl;
pub(crate) mod postgres;
pub(crate) mod prometheus;
pub(crate) mod python;
pub(crate) mod rabbitmq;
pub(crate) mod registry;
pub(crate) mod relay;
pub(crate) mod scripted;
pub(crate) mod smime_tools;

use std::path::PathBuf;

pub(crate) use broker::{Broker, Kind};

/// What `tests/setup` installed besides Debian's packages.
pub(crate) fn tools() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    let cache = || std::env::var_os("XDG_CACHE_HOME").map_or_else(|| home().join(".cache"), PathBuf::from);
    std::env::var_os("SESAME_TEST_TOOLS").map_or_else(|| cache().join("sesame-tests"), PathBuf::from)
}

/// Where `program` is, or a failed test that says how to get it.
#[track_caller]
pub(crate) fn require(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let fixed = ["/usr/sbin", "/usr/lib/rabbitmq/bin"].map(PathBuf::from);
    let found =
        std::env::split_paths(&path).chain(fixed).map(|folder| folder.join(program)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("missing peer: {program} is not installed; run tests/setup"))
}
