//! TypeScript: tsc checks the types, esbuild makes one script of the project's modules, and componentize-qjs takes that as it
//! takes JavaScript. The script ends with a table of the source and line that each of its lines comes from, with which the
//! helper names the author's line in an error.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use serde::Deserialize;

use super::node::{self, BINARIES};
use super::{Language, finish, tool};

/// What esbuild writes, in the folder `build` of the project.
const SCRIPT: &str = "plugin.js";

pub(super) fn build(folder: &Path, scratch: &Path, made: &Path) -> anyhow::Result<()> {
    let remedy = node::remedy(Language::Ts);
    let tsc = tool("tsc", folder, Some(BINARIES), &remedy)?;
    let esbuild = tool("esbuild", folder, Some(BINARIES), &remedy)?;
    // It prints what is wrong to standard output.
    let mut check = Command::new(tsc);
    finish(check.args(["--project", "."]).current_dir(folder).stdout(io::stderr()), "tsc")?;
    let script = scratch.join(SCRIPT);
    let mut bundle = Command::new(esbuild);
    bundle.args(["plugin.ts", "--bundle", "--format=esm", "--target=es2024", "--platform=neutral"]);
    // Modules of the contract are the host's; those of npm may have no other way to name their main file.
    bundle.args(["--external:sesame:*", "--main-fields=module,main", "--sourcemap=external", "--log-level=warning"]);
    let mut outfile = std::ffi::OsString::from("--outfile=");
    outfile.push(&script);
    finish(bundle.arg(outfile).current_dir(folder), "esbuild")?;
    add_places(&script).with_context(|| format!("cannot read the source map of {}", script.display()))?;
    node::componentize(folder, Language::Ts, &format!("build/{SCRIPT}"), made)
}

/// The part of a source map, version 3, that is read here.
#[derive(Deserialize)]
struct SourceMap {
    sources: Vec<String>,
    mappings: String,
}

fn add_places(script: &Path) -> anyhow::Result<()> {
    let map: SourceMap = serde_json::from_slice(&fs::read(script.with_extension("js.map"))?)?;
    let table = serde_json::to_string(&places(&map))?;
    let text = fs::read_to_string(script)?;
    fs::write(script, format!("{text}globalThis.sesamePlaces = {table};\n"))?;
    Ok(())
}

/// The place in the sources from which each line of the script comes, such as `plugin.ts:12`.
fn places(map: &SourceMap) -> Vec<Option<String>> {
    let (mut source, mut line) = (0, 0);
    let lines = map.mappings.split(';').map(|segments| {
        let mut first = None;
        for segment in segments.split(',') {
            let [_, to_source, to_line, ..] = numbers(segment)[..] else { continue };
            (source, line) = (source + to_source, line + to_line);
            first.get_or_insert((source, line));
        }
        let (source, line) = first?;
        let file = map.sources.get(usize::try_from(source).ok()?)?;
        Some(format!("{}:{}", file.rsplit('/').next().unwrap_or(file), line + 1))
    });
    lines.collect()
}

/// The numbers of a segment in Base64 VLQ: five bits a digit, the lowest first, a sixth if another digit follows; the
/// lowest bit of all is the sign.
fn numbers(segment: &str) -> Vec<i64> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut numbers, mut value, mut shift) = (Vec::new(), 0_i64, 0_u32);
    for digit in segment.bytes().filter_map(|byte| DIGITS.iter().position(|digit| *digit == byte)) {
        let digit = i64::try_from(digit).unwrap_or_default();
        value |= (digit & 31) << shift.min(55);
        shift += 5;
        if digit & 32 == 0 {
            numbers.push(if value & 1 == 1 { -(value >> 1) } else { value >> 1 });
            (value, shift) = (0, 0);
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_of_the_script_has_the_place_it_comes_from() {
        assert_eq!(numbers("AACA"), [0, 0, 1, 0]);
        assert_eq!(numbers("gBDwrC"), [16, -1, 1208]);
        // A line of no source, one of a, two of b from its line 4 on, and one back in a.
        let map = SourceMap {
            sources: vec!["../a.ts".to_owned(), "../src/b.ts".to_owned()],
            mappings: ";AAAA,IAAI;ACGA;AACA;ADHA".to_owned(),
        };
        let places: Vec<_> = places(&map).into_iter().map(Option::unwrap_or_default).collect();
        assert_eq!(places, ["", "a.ts:1", "b.ts:4", "b.ts:5", "a.ts:2"]);
    }
}
