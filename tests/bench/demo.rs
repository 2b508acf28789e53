//! `sesame demo` from the built binary, from start to end.

use std::process::{Command, Stdio};
use std::time::Instant;

use crate::harness::Folder;
use crate::program;
use crate::report::{Goal, Report, median};

const ROUNDS: usize = 3;

/// Measures and prints.
pub(crate) fn measure(report: &mut Report) {
    let seconds = (0..ROUNDS).map(|_| once()).collect();
    report.goal("sesame demo", median(seconds), "s", Goal::AtMost(10.0));
}

/// A home of its own each time: nothing is there that an earlier run has compiled.
fn once() -> f64 {
    let folder = Folder::new("figures-demo");
    let mut command = Command::new(program());
    command.arg("demo").current_dir(folder.path()).stdin(Stdio::null());
    command.env("HOME", folder.path()).env("XDG_CACHE_HOME", folder.join("cache")).env("TMPDIR", folder.path());
    let start = Instant::now();
    let output = command.output().unwrap();
    let seconds = start.elapsed().as_secs_f64();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "sesame demo ended with {}:\n{said}", output.status);
    seconds
}
