//! The pages below `docs/src/reference`, made from the code.
//!
//! The test compares each page with what the code gives; with `SESAME_BLESS=1` it writes them instead.

mod codes;
mod commands;
mod configuration;
mod log_lines;
mod metrics;

pub(crate) use commands::helps;

use std::fs;

use crate::tree;

const FOLDER: &str = "docs/src/reference";
/// The longest line of a page.
const WIDTH: usize = 120;

#[test]
fn the_reference_is_what_the_code_gives() {
    let pages = [
        ("configuration.md", configuration::page()),
        ("commands.md", commands::page()),
        ("codes.md", codes::page()),
        ("log.md", log_lines::page()),
        ("metrics.md", metrics::page()),
    ];
    let mut stale = Vec::new();
    for (name, page) in pages {
        let file = tree::root().join(FOLDER).join(name);
        if std::env::var_os("SESAME_BLESS").is_some() {
            fs::write(&file, &page).unwrap();
        } else if fs::read_to_string(&file).unwrap_or_default() != page {
            stale.push(format!("{FOLDER}/{name}"));
        }
    }
    assert!(stale.is_empty(), "not what the code gives: {}; run the test with SESAME_BLESS=1", stale.join(", "));
}

/// The head of a page and how it is made.
fn head(title: &str, source: &str) -> String {
    let made = format!(
        "This page is generated from {source}. Do not edit it; after a change of the code run \
         `SESAME_BLESS=1 cargo test -p sesame --test texts reference`."
    );
    format!("# {title}\n\n{}", wrapped(&made, "", ""))
}

/// `text` in lines of at most [`WIDTH`] characters, the first after `first`, the others after `indent`.
fn wrapped(text: &str, first: &str, indent: &str) -> String {
    let (mut lines, mut line, mut empty) = (String::new(), first.to_owned(), true);
    for word in text.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push_str(&line);
            lines.push('\n');
            line = indent.to_owned();
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    lines + &line + "\n"
}

/// `text` as code in a line of Markdown.
fn code(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
}
