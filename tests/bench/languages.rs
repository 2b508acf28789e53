//! The sample plugin of `sesame plugin new` in four languages: time of a call for a job message of 30 kB, a fresh instance each
//! time, and what compiling it takes; measured by `sesame plugin bench`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::Folder;
use crate::program;
use crate::report::Report;
use crate::stock::job_message;

/// Measures and prints.
pub(crate) fn measure(report: &mut Report) {
    report.note("the sample plugins of four languages on a job message of 30 kB, wall clock of a call");
    let folder = Folder::new("figures-languages");
    let message = folder.join("message");
    std::fs::write(&message, job_message(30_000)).unwrap();
    for language in ["rust", "python", "js", "c"] {
        let name = format!("sample-{language}");
        sesame(folder.path(), &["plugin", "new", &name, "--lang", language]);
        sesame(folder.path(), &["plugin", "build", &name]);
        let component = format!("{name}/{name}.wasm");
        // The sample knows other sites than the message's: it would refuse the first record and stop there.
        std::fs::write(folder.join(&name).join(format!("{name}.toml")), "[config]\nsites = [\"NORTHSEA-T2\"]\n")
            .unwrap();
        let told = sesame(folder.path(), &["plugin", "bench", &component, "--message", "message", "--json"]);
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        let figure = &told["messages"][0];
        assert_eq!(figure["verdict"], "passed", "what is measured is the way of a good message: {told}");
        report.figure(&format!("{language}, half of the calls within"), figure["p50-us"].as_f64().unwrap(), "us");
        report.figure(&format!("{language}, memory"), figure["memory-bytes"].as_f64().unwrap() / 1e6, "MB");
        report.figure(&format!("{language}, compiled and loaded in"), told["compile-us"].as_f64().unwrap() / 1e6, "s");
    }
}

fn sesame(folder: &Path, arguments: &[&str]) -> String {
    let others = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([tools()].into_iter().chain(std::env::split_paths(&others))).unwrap();
    let out = Command::new(program())
        .args(arguments)
        .current_dir(folder)
        .env("PATH", path)
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .output()
        .unwrap();
    assert!(out.status.success(), "sesame {arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// Where `tests/setup` puts what authors need.
fn tools() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache");
    let cache = || std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from);
    std::env::var_os("SESAME_TEST_TOOLS").map_or_else(|| cache().join("sesame-tests"), PathBuf::from).join("bin")
}
