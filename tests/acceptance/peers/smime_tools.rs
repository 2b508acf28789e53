//! Other senders of S/MIME: the `openssl` command with its many options, and libraries of Python and JavaScript.
//!
//! The scripts are in `smime_tools/` beside this file's folder; each writes one message to a file.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::broker::succeed;
use super::openssl::Host;

/// Lets every tool write its messages to `folder`: signed by `signer`, encrypted for `recipient` or for `stranger`.
pub(crate) fn write_all(folder: &Path, signer: &Host, recipient: &Host, stranger: &Host) {
    let people = |command: &mut Command| {
        command.args([&signer.certificate, &signer.key, &recipient.certificate]);
    };
    let mut openssl = Command::new(script("openssl.sh"));
    people(&mut openssl);
    succeed(openssl.arg(&stranger.certificate).arg(folder));
    let mut python = Command::new(installed("smime/bin/python"));
    python.args(["-B", "-W", "ignore"]).arg(script("libraries.py"));
    people(&mut python);
    succeed(python.arg(folder));
    let mut node = Command::new(installed("bin/node"));
    node.arg(script("libraries.mjs")).env("SMIME_TOOLS", installed("smime/js"));
    people(&mut node);
    succeed(node.arg(folder));
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/acceptance/smime_tools").join(name)
}

#[track_caller]
fn installed(path: &str) -> PathBuf {
    let path = super::tools().join(path);
    assert!(path.exists(), "missing peer: {} is not there; run tests/setup", path.display());
    path
}
