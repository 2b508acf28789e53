//! One fuzz target for each parser that reads bytes from a peer, an operator or the author of a message.
//!
//! A target returns whether the parser accepted the input, and panics where a property does not hold: every target checks
//! more than that nothing crashes. `fuzz/run` drives them with libFuzzer; `tests/seeds.rs` replays the seeds in `corpus/`
//! with every `cargo test`, and fails where a target accepts none of its seeds, for such a target would not reach past the
//! parser's first check.

mod cms;
mod frames;
mod mime;
mod names;
mod policy;
mod queue;
mod records;
mod session;
mod settings_file;
mod signers;

/// A fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its folder in `corpus/`.
    pub name: &'static str,
    /// Parses an input; whether it was accepted.
    pub parse: fn(&[u8]) -> bool,
    /// Inputs are at most this long, in bytes.
    pub max_len: usize,
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "frames", parse: frames::parse, max_len: 4096 },
    Target { name: "session", parse: session::parse, max_len: 4096 },
    Target { name: "mime", parse: mime::parse, max_len: 16384 },
    Target { name: "cms", parse: cms::parse, max_len: 8192 },
    Target { name: "signers", parse: signers::parse, max_len: 4096 },
    Target { name: "names", parse: names::parse, max_len: 1024 },
    Target { name: "policy", parse: policy::parse, max_len: 4096 },
    Target { name: "queue", parse: queue::parse, max_len: 256 },
    Target { name: "sesame-toml", parse: settings_file::sesame, max_len: 8192 },
    Target { name: "ssm-cfg", parse: settings_file::ssm, max_len: 8192 },
    Target { name: "records-text", parse: records::text, max_len: 8192 },
    Target { name: "records-json", parse: records::json, max_len: 8192 },
    Target { name: "records-xml", parse: records::xml, max_len: 8192 },
];

/// The target called `name`.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
