//! Links between pages: every relative target and every anchor exists, every page of the book is in its table of contents,
//! and lines end at 120 columns.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use regex::Regex;

use crate::tree;

/// The longest line of a page; tables, code and lines that are one link may be longer.
const WIDTH: usize = 120;

/// A page without its code: what stands in fences or between backquotes is no link.
struct Page {
    lines: Vec<String>,
}

impl Page {
    fn read(file: &str) -> Self {
        let code = Regex::new("`[^`]*`").unwrap();
        let mut fenced = false;
        let text = tree::text(file).unwrap();
        let lines = text.lines().map(|line| {
            let fence = line.trim_start().starts_with("```");
            fenced ^= fence;
            if fenced || fence { String::new() } else { line.to_owned() }
        });
        // A line that is not code keeps its headings as they are; links are looked for outside backquotes.
        let lines =
            lines.map(|line| if line.starts_with('#') { line } else { code.replace_all(&line, "``").into_owned() });
        Self { lines: lines.collect() }
    }

    /// Targets of links, each with its line.
    fn links(&self) -> Vec<(usize, String)> {
        let inline = Regex::new(r"\]\(([^()\s]+)\)").unwrap();
        let definition = Regex::new(r"^\[[^\]]+\]:\s+(\S+)").unwrap();
        let mut found = Vec::new();
        for (at, line) in self.lines.iter().enumerate() {
            let targets = inline.captures_iter(line).chain(definition.captures_iter(line));
            found.extend(targets.map(|target| (at + 1, target[1].to_owned())));
        }
        found
    }

    /// The anchors of its headings, as mdBook and the usual forges make them.
    fn anchors(&self) -> BTreeSet<String> {
        let headings = self.lines.iter().filter(|line| line.starts_with('#'));
        headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
    }
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// `path` without `.` and `..`, relative to the root of the repository.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => _ = plain.pop(),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

#[test]
fn links_lead_somewhere() {
    let mut dead = Vec::new();
    for file in tree::files_ending(".", "md") {
        let page = Page::read(&file);
        for (line, link) in
            page.links().into_iter().filter(|(_, link)| !link.contains("://") && !link.starts_with("mailto:"))
        {
            let (target, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = match target {
                "" => PathBuf::from(&file),
                target => plain(&Path::new(&file).parent().unwrap().join(target)),
            };
            let place = format!("{file}:{line}: {link}");
            if !tree::root().join(&target).exists() {
                dead.push(format!("{place}: no such file"));
            } else if file.starts_with("docs/src/") && !target.starts_with("docs/src") {
                dead.push(format!("{place}: lies outside the book; name the path as code"));
            } else if !anchor.is_empty() && !Page::read(target.to_str().unwrap()).anchors().contains(anchor) {
                dead.push(format!("{place}: no such heading"));
            }
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}

#[test]
fn included_files_exist() {
    let include = Regex::new(r"\{\{#include ([^}:]+)\}\}").unwrap();
    let mut found = Vec::new();
    for file in tree::files_ending("docs/src", "md") {
        let folder = Path::new(&file).parent().unwrap();
        for included in include.captures_iter(&tree::text(&file).unwrap()) {
            found.push((file.clone(), plain(&folder.join(&included[1]))));
        }
    }
    assert!(!found.is_empty(), "a page includes the example of the client");
    found.retain(|(_, included)| !tree::root().join(included).exists());
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn files_that_texts_name_exist() {
    let named =
        Regex::new(r"\b(?:docs/src|conf|findings|tests|host)/[0-9a-z_/.-]*[0-9a-z_]\.(?:md|rs|toml|sh)\b").unwrap();
    let mut missing = Vec::new();
    let sources = ["host", "plugin-sdk", "plugins", "tests", "findings", "conf", "docs", "packaging"];
    let files = sources.iter().flat_map(|start| tree::files(start));
    for file in files.chain(tree::files_ending(".", "md")).filter(|file| !file.starts_with("CHANGELOG")) {
        let Some(text) = tree::text(&file) else { continue };
        for (at, line) in text.lines().enumerate() {
            for path in named.find_iter(line) {
                let before = &line[..path.start()];
                let inside = before.ends_with(['/', '.', '-', '_', '}', '$']);
                if !inside && !tree::root().join(path.as_str()).exists() {
                    missing.push(format!("{file}:{}: {}", at + 1, path.as_str()));
                }
            }
        }
    }
    missing.sort();
    missing.dedup();
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn every_page_is_in_the_table_of_contents() {
    let summary = Page::read("docs/src/SUMMARY.md");
    let listed: BTreeSet<String> = summary.links().into_iter().map(|(_, link)| format!("docs/src/{link}")).collect();
    let pages: BTreeSet<String> = tree::files_ending("docs/src", "md").into_iter().collect();
    let unlisted: Vec<_> =
        pages.iter().filter(|page| *page != "docs/src/SUMMARY.md" && !listed.contains(*page)).collect();
    assert!(unlisted.is_empty(), "not in docs/src/SUMMARY.md: {unlisted:?}");
}

#[test]
fn lines_of_markdown_end_at_120_columns() {
    let mut long = Vec::new();
    for file in tree::files_ending(".", "md") {
        let mut fenced = false;
        for (at, line) in tree::text(&file).unwrap().lines().enumerate() {
            fenced ^= line.trim_start().starts_with("```");
            let free = line.trim_start().starts_with('|') || line.starts_with("    ");
            if !fenced && !free && line.chars().count() > WIDTH && line.trim().contains(' ') {
                long.push(format!("{file}:{}", at + 1));
            }
        }
    }
    assert!(long.is_empty(), "lines of more than {WIDTH} columns: {}", long.join(" "));
}

#[test]
fn anchors_are_those_of_the_headings() {
    assert_eq!(anchor("Why our own `STOMP` client?"), "why-our-own-stomp-client");
    assert_eq!(anchor("[broker.NAME]"), "brokername");
}
