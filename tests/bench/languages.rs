//! The sample plugin of `sesame plugin new` in each language: how long an author waits for the first passing test, time of
//! a call for job messages of 10 kB and 1 MB, a fresh instance each time, and what compiling it takes; measured by
//! `sesame plugin bench`. Beside it the same component in a plain embedding of wasmtime (`plain`), in the same run, without and
//! with code that a deadline can stop.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::harness::Folder;
use crate::plain::Plain;
use crate::program;
use crate::report::{Goal, Report};
use crate::stock::job_message;

/// The languages, with the goals of a call in us for 10 kB and for 1 MB.
const LANGUAGES: [(&str, Option<f64>, Option<f64>); 8] = [
    ("rust", Some(62.0), None),
    ("python", Some(1_800.0), None),
    ("js", Some(2_560.0), Some(112_000.0)),
    ("ts", None, None),
    ("c", Some(95.0), None),
    ("cpp", None, None),
    ("zig", None, None),
    ("go", Some(2_000.0), None),
];
const SIZES: [(&str, usize); 2] = [("10 kB", 10_000), ("1 MB", 1_000_000)];

/// The sample knows other sites than the message's: it would refuse the first record and stop there.
const SITES: [&str; 1] = ["NORTHSEA-T2"];
/// Seconds from `sesame plugin new` to a passing test, with the tools installed and nothing built or cached.
const FIRST_TEST: f64 = 60.0;
/// How much longer a call may take than in the plain embedding.
const BESIDE_PLAIN: f64 = 1.2;

/// Measures and prints.
pub(crate) fn measure(report: &mut Report) {
    report.note("the sample plugins of eight languages on job messages, wall clock of half of the calls");
    let folder = Folder::new("figures-languages");
    let config = serde_json::json!({ "sites": SITES });
    for (language, small, large) in LANGUAGES {
        let name = format!("sample-{language}");
        let component = format!("{name}/{name}.wasm");
        let begun = Instant::now();
        sesame(folder.path(), &["plugin", "new", &name, "--lang", language]);
        sesame(folder.path(), &["plugin", "build", &name]);
        sesame(folder.path(), &["plugin", "test", &component, &format!("{name}/cases")]);
        let first_test = begun.elapsed().as_secs_f64();
        report.goal(&format!("{language}, from `new` to a passing test"), first_test, "s", Goal::AtMost(FIRST_TEST));
        let sidecar = format!("[config]\nsites = {}\n", config["sites"]);
        std::fs::write(folder.join(&name).join(format!("{name}.toml")), sidecar).unwrap();
        let (bytes, config) = (std::fs::read(folder.join(&component)).unwrap(), config.to_string());
        let (plain, with_deadline) = (Plain::new(&bytes, &config), Plain::with_deadline(&bytes, &config));
        for ((size_name, size), goal) in SIZES.into_iter().zip([small, large]) {
            let payload = job_message(size);
            std::fs::write(folder.join("message"), &payload).unwrap();
            let told = bench(folder.path(), &component);
            let figure = &told["messages"][0];
            assert_eq!(figure["verdict"], "passed", "what is measured is the way of a good message: {told}");
            let time = figure["p50-us"].as_f64().unwrap();
            let title = format!("{language}, {size_name}");
            match goal {
                Some(goal) => report.goal(&title, time, "us", Goal::AtMost(goal)),
                None => report.figure(&title, time, "us"),
            }
            let beside = plain.half_within(&payload).as_secs_f64() * 1e6;
            report.figure(&format!("{title}, plain wasmtime"), beside, "us");
            report.goal(&format!("{title}, times plain wasmtime"), time / beside, "x", Goal::AtMost(BESIDE_PLAIN));
            let stoppable = with_deadline.half_within(&payload).as_secs_f64() * 1e6;
            report.figure(&format!("{title}, times plain wasmtime with a deadline"), time / stoppable, "x");
            report.figure(&format!("{title}, memory"), figure["memory-bytes"].as_f64().unwrap() / 1e6, "MB");
            if size == SIZES[0].1 {
                let compiled = told["compile-us"].as_f64().unwrap() / 1e6;
                report.figure(&format!("{language}, compiled and loaded in"), compiled, "s");
            }
        }
    }
}

/// What `sesame plugin bench` measures for the file `message`.
pub(crate) fn bench(folder: &Path, component: &str) -> serde_json::Value {
    let told = sesame(folder, &["plugin", "bench", component, "--message", "message", "--json"]);
    serde_json::from_str(&told).unwrap()
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
