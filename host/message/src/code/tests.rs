//! The table is complete, and the sources of the program take every code from it.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::*;

/// Codes that are also ordinary words, settings or header names. As text they are looked for only where they lead a reason
/// (`"empty: …"`); what takes a code takes a [`Code`], so that the bare word cannot stand for one.
const ORDINARY: &[&str] =
    &["banned", "blank", "content-type", "empty", "invalid", "proxy", "signature", "unlisted", "unreadable"];

#[test]
fn every_code_has_one_row_that_explains_it() {
    let words: HashSet<&str> = CODES.iter().map(|entry| entry.code).collect();
    assert_eq!((words.len(), CODES.len()), (Code::ALL.len(), Code::ALL.len()));
    for (code, entry) in Code::ALL.iter().zip(CODES) {
        assert_eq!(code.entry(), *entry);
        assert!(
            entry.code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
            "{}",
            entry.code
        );
        for sentence in [entry.meaning, entry.action] {
            assert!(sentence.starts_with(|c: char| c.is_uppercase()) && sentence.ends_with('.'), "{sentence}");
        }
        assert!(matches!(entry.disposition, Fate::Rejected | Fate::Deferred), "{}", entry.code);
    }
}

#[test]
fn no_source_writes_a_code_as_text() {
    let host = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut sources = Vec::new();
    for krate in fs::read_dir(host).unwrap() {
        collect(&krate.unwrap().path().join("src"), &mut sources);
    }
    assert!(sources.len() > 200, "only {} sources found", sources.len());
    let mut found = Vec::new();
    for file in sources {
        let text = fs::read_to_string(&file).unwrap();
        let path = file.display().to_string();
        // Tests compare codes as text on purpose: the words are a format.
        let program = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for (number, line) in program.lines().enumerate() {
            let spelt = CODES.iter().map(|entry| entry.code).filter(|code| spells(line, code));
            found.extend(spelt.map(|code| format!("{path}:{}: {code}", number + 1)));
        }
    }
    assert!(found.is_empty(), "name the variant of `Code` instead:\n{}", found.join("\n"));
}

/// Whether a line of source holds the code as a string literal, or one that begins with it and a colon.
fn spells(line: &str, code: &str) -> bool {
    let bare = !ORDINARY.contains(&code) && line.contains(&format!("\"{code}\""));
    !line.trim_start().starts_with("//") && (bare || line.contains(&format!("\"{code}: ")))
}

fn collect(folder: &Path, sources: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_table = path.ends_with("message/src/code.rs");
        if path.is_dir() && name != "tests" {
            collect(&path, sources);
        } else if name.ends_with(".rs") && name != "tests.rs" && !is_table {
            sources.push(path);
        }
    }
}
