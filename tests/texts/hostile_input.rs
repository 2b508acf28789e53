//! `docs/src/hostile-input.md` names tests and cases that exist, and codes that they compare.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use crate::tree;

const PAGE: &str = "docs/src/hostile-input.md";
/// Where cases have a folder each, with the text that an operator reads.
const CASES: [&str; 3] = ["host/sesame/src/config/cases", "host/plugins/src/cases", "tests/data/reject"];

/// The tests of the repository by name, each with the sources that have one of that name.
fn tests() -> BTreeMap<String, Vec<String>> {
    let attribute = r"#\[(?:tokio::)?test(?:\([^)]*\))?\]\s*(?:(?:#\[[^\]]*\]|//[^\n]*)\s*)*";
    let test = Regex::new(&format!(r"{attribute}(?:async )?fn (\w+)\(")).unwrap();
    let mut found = BTreeMap::<String, Vec<String>>::new();
    for file in ["host", "tests", "fuzz"].iter().flat_map(|start| tree::files_ending(start, "rs")) {
        let Some(source) = tree::text(&file) else { continue };
        for name in test.captures_iter(&source) {
            found.entry(name[1].to_owned()).or_default().push(source.clone());
        }
    }
    found
}

/// The cases by name, each with its texts.
fn cases() -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::<String, Vec<String>>::new();
    for file in CASES.iter().flat_map(|start| tree::files(start)).filter(|file| file.ends_with("/error.txt")) {
        let name = file.rsplit('/').nth(1).unwrap().to_owned();
        found.entry(name).or_default().push(tree::text(&file).unwrap());
    }
    found
}

/// What stands between backquotes.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The rows of the page: line, verdict and tests. A table of two columns has no verdicts.
fn rows() -> Vec<(usize, String, Vec<String>)> {
    let page = tree::text(PAGE).unwrap();
    let cells = page.lines().enumerate().filter_map(|(at, line)| {
        let cells: Vec<&str> = line.strip_prefix("| ")?.trim_end_matches(" |").split(" | ").collect();
        match cells[..] {
            ["input", ..] => None,
            [_, tests] => Some((at + 1, String::new(), quoted(tests))),
            [_, verdict, tests] => Some((at + 1, verdict.to_owned(), quoted(tests))),
            _ => panic!("{PAGE}:{}: {} cells", at + 1, cells.len()),
        }
    });
    cells.collect()
}

fn codes() -> BTreeSet<String> {
    let page = tree::text("docs/src/reference/codes.md").unwrap();
    let code = Regex::new(r"(?m)^- \*\*`([a-z0-9-]+)`\*\*").unwrap();
    code.captures_iter(&page).map(|code| code[1].to_owned()).collect()
}

/// Whether a test or the text of a case has the code: as a text, or as the variant of an error.
fn compares(source: &str, code: &str) -> bool {
    let capitalised = |part: &str| part[..1].to_uppercase() + &part[1..];
    let variant: String = code.split('-').map(capitalised).collect();
    source.starts_with(code) || [format!("\"{code}"), format!("::{variant}")].iter().any(|form| source.contains(form))
}

#[test]
fn every_row_about_hostile_input_names_what_shows_it() {
    let (tests, cases, codes) = (tests(), cases(), codes());
    let settings = tree::text("docs/src/reference/configuration.md").unwrap();
    let (rows, mut wrong) = (rows(), Vec::new());
    assert!(rows.len() > 150 && tests.len() > 1_000 && codes.len() > 50, "{} rows", rows.len());
    for (line, verdict, named) in &rows {
        let shown: Vec<&String> =
            named.iter().filter_map(|name| tests.get(name).or_else(|| cases.get(name))).flatten().collect();
        if named.is_empty() {
            wrong.push(format!("{PAGE}:{line}: names no test"));
        }
        let known = |name: &&String| tests.contains_key(*name) || cases.contains_key(*name);
        wrong.extend(named.iter().filter(|name| !known(name)).map(|name| format!("{PAGE}:{line}: no test {name}")));
        for word in quoted(verdict) {
            if !codes.contains(&word) {
                let key = word.split([' ', '=']).next().unwrap_or_default();
                if !settings.contains(&format!("`{key}`")) {
                    wrong.push(format!("{PAGE}:{line}: {word} is neither a code nor a setting"));
                }
            } else if !shown.iter().any(|text| compares(text, &word)) {
                wrong.push(format!("{PAGE}:{line}: none of its tests compares {word}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn tests_that_the_page_names_outside_its_tables_exist() {
    let (tests, page) = (tests(), tree::text(PAGE).unwrap());
    let prose: Vec<&str> = page.lines().filter(|line| !line.starts_with('|')).collect();
    let named: Vec<String> =
        quoted(&prose.join("\n")).into_iter().filter(|word| word.matches('_').count() > 2).collect();
    assert!(named.len() >= 2, "{named:?}");
    assert!(named.iter().all(|name| tests.contains_key(name)), "{named:?}");
}
