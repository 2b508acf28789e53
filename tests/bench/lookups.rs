//! A lookup in a table of a million rows, from a plugin in Rust: the time of a call of the guest `lookups` that looks up 100,000
//! times, less one that does not, measured by `sesame plugin bench`.

use std::fmt::Write as _;
use std::fs;

use crate::harness::Folder;
use crate::languages::bench;
use crate::peers::guests::component;
use crate::report::{Goal, Report};

const ROWS: usize = 1_000_000;
const LOOKUPS: u32 = 100_000;
/// Microseconds.
const ONE: f64 = 2.0;

/// Measures and prints.
pub(crate) fn measure(report: &mut Report) {
    report.note("`get` of a row with three columns, from a table of a million rows");
    let folder = Folder::new("figures-lookups");
    fs::create_dir(folder.join("tables")).unwrap();
    let mut rows = String::from("dn,site,country\n");
    for row in 0..ROWS {
        writeln!(rows, "/DC=org/DC=example/CN=host-{row}.example.org,SITE-{},C{}", row % 977, row % 53).unwrap();
    }
    fs::write(folder.join("tables/sites.csv"), &rows).unwrap();
    fs::copy(component("lookups"), folder.join("lookups.wasm")).unwrap();
    fs::write(folder.join("message"), format!("/DC=org/DC=example/CN=host-{}.example.org\n", ROWS / 2)).unwrap();
    let call = |repeat: u32| {
        let sidecar = format!("tables = [\"sites\"]\n[config]\ntable = \"sites\"\nrepeat = {repeat}\n");
        fs::write(folder.join("lookups.toml"), sidecar).unwrap();
        bench(folder.path(), "lookups.wasm")["messages"][0].clone()
    };
    let (without, with) = (call(0), call(LOOKUPS));
    let time = |of: &serde_json::Value| of["p50-us"].as_f64().unwrap();
    let one = (time(&with) - time(&without)) / f64::from(LOOKUPS);
    report.goal("one lookup", one, "us", Goal::AtMost(ONE));
    report.figure("memory of the instance that looks up", with["memory-bytes"].as_f64().unwrap() / 1e6, "MB");
    report.figure("size of the table's file", rows.len() as f64 / 1e6, "MB");
}
