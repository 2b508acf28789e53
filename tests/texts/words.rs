//! Plain words: what operators, authors and readers of the code see uses the settled terms of the field.
//!
//! A hit is reported with its file, its line and what to write instead. What is read: the help of every command, `conf/`,
//! the documents, the contract, templates and helpers for plugin authors, findings, and of Rust sources the comments, the
//! names and, outside tests, the strings.

use std::fmt::Write as _;
use std::path::Path;

use regex::{Regex, RegexBuilder};

use crate::reference::helps;
use crate::scan::{self, Kind};
use crate::tree;

/// A word or phrase, as a pattern that is read without regard to case, and what to write instead.
const WORDS: [(&str, &str); 30] = [
    (r"\bmend(s|ed|ing)?\b", "fix, repair"),
    (r"\bin work\b", "in flight"),
    (r"\b(heed(s|ed|ing)?|obey(s|ed|ing)?)\b", "honour, enforce"),
    (r"\bvouch(es|ed|ing)?\b", "sign, signed; signature check"),
    (r"\bheld against (a|an|the|its|that|this|each|their) ([a-z]+ )?schemas?\b", "validated"),
    (r"\bheld against\b", "validated, compared with, checked against; counts against"),
    (
        r"\bput (a|the|no|each|one|this|that|every) (message|content|part) to (a|the|its|each|this|that|it)\b",
        "call a plugin",
    ),
    (r"\basks? (a|the|its|each) plugins?\b", "call a plugin"),
    (r"\bhow (it|they|each|a plugin|plugins) fares?\b", "statistics, status"),
    (r"\bthe least that\b", "minimal configuration"),
    (r"\btells?\b", "says, shows, lists; see"),
    (r"\b(is|are|was|were|be|been) told\b", "see; is reported, is shown"),
    (r"\bit is said\b", "is reported, is logged"),
    (r"\banew\b", "again"),
    (r"\bwhoever\b", "anyone who, or name the role"),
    (r"\b(somebody|nobody|anybody)\b", "another user, no one, anyone, or name the role"),
    (r"\bdeaths?\b", "crash, crashes"),
    (r"\bkillers?\b", "crash limit, crash-loop"),
    (r"\bside-cars?\b", "sidecar"),
    (r"\b(borne|forborne)\b", "tolerated"),
    (r"\bstands? for (a|an|the|all|any|one another|each|it|them|him|what|ssm)\b", "replaces, means"),
    (r"\bon trial\b", "probation"),
    (r"\bold rows go\b|\blet (old|the) rows go\b", "delete expired rows"),
    (r"\bheld to blame\b|\b(is|are|was|no message is) blamed\b|\bto blame\b", "does not count against the message"),
    (r"\b(end|ends|ended) (a|the) (plugin|stage)s?\b", "uninstall or remove (file), disable (setting)"),
    (r"\bends it with\b", "disable (setting)"),
    (r"\bhe\b", "they, or name the role"),
    (r"\bhim(self)?\b", "them, or name the role"),
    (r"\bhis\b", "their, or name the role"),
    (r"\bshe\b|\bher(s|self)?\b", "they, their, or name the role"),
];

/// Parts of names, between underscores and capitals.
const PARTS: [(&str, &str); 18] = [
    ("mend", "fix"),
    ("mended", "fixed"),
    ("heed", "honour"),
    ("heeds", "honours"),
    ("obey", "honour"),
    ("vouch", "sign"),
    ("vouches", "signs"),
    ("vouched", "signed"),
    ("vouching", "signature check"),
    ("anew", "again"),
    ("whoever", "the role"),
    ("nobody", "no one, none"),
    ("somebody", "someone, other"),
    ("deaths", "crashes"),
    ("killer", "crash limit"),
    ("forborne", "tolerated"),
    ("shelf", "catalog"),
    ("roster", "remembered"),
];

/// Names of types, traits and modules.
const TYPES: [(&str, &str); 9] = [
    ("Stand", "Snapshot"),
    ("Standing", "PluginStatus"),
    ("Slot", "Entry"),
    ("Shelf", "Catalog"),
    ("Post", "ChannelHandle"),
    ("Holder", "Role"),
    ("Live", "PipelineManager"),
    ("Made", "BuiltPipeline"),
    ("Known", "ChannelState"),
];

/// Texts that are read as a whole, beside the Markdown pages.
const WHOLE: [&str; 15] = [
    "conf",
    "wit/plugin.wit",
    "plugin-sdk/templates",
    "plugin-sdk/python",
    "plugin-sdk/js",
    "plugin-sdk/c",
    "plugin-sdk/cpp",
    "plugin-sdk/zig",
    "plugin-sdk/go",
    "findings",
    "packaging",
    "tests/figures",
    "tests/endurance/run",
    "tests/endurance/mutants",
    "tests/mutants",
];

/// Rust sources, and what of them holds for strings: `true` for those of the program and of what authors get.
const SOURCES: [(&str, bool); 7] = [
    ("host", true),
    ("plugin-sdk", true),
    ("plugins", true),
    ("tests/acceptance", false),
    ("tests/bench", false),
    ("tests/endurance", false),
    ("tests/guests", false),
];

/// Words that are part of a disk format: the start of the path, the strings that hold one, and the word.
const FORMATS: [(&str, &str, &str); 2] = [
    // The column `deaths` of the table `attempt`, in SQL.
    ("host/spool/src/journal/", r"\b(FROM|UPDATE|INTO|TABLE) attempt\b", r"\bdeaths\b"),
    // The key in the text of a remembered filter.
    ("host/plugins/src/catalog/remembered.rs", r"^side-car$", r"side-car"),
];

/// The string `text` of `file` without the words of a disk format.
fn without_formats(file: &str, text: &str) -> String {
    let applies = |(start, string, _): &&(&str, &str, &str)| {
        file.starts_with(start) && Regex::new(string).unwrap().is_match(text)
    };
    let words = FORMATS.iter().filter(applies);
    words.fold(text.to_owned(), |text, (_, _, word)| Regex::new(word).unwrap().replace_all(&text, "_").into_owned())
}

struct Words(Vec<(Regex, &'static str)>);

impl Words {
    fn new() -> Self {
        let compiled = |pattern: &str| RegexBuilder::new(pattern).case_insensitive(true).build().unwrap();
        Self(WORDS.iter().map(|(pattern, plain)| (compiled(pattern), *plain)).collect())
    }

    /// What to change in `text`, each with its line, counted from `line`. Words split over two lines are found too.
    fn hits(&self, text: &str, line: usize) -> Vec<(usize, String)> {
        let joined: String = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
        let mut hits = Vec::new();
        for (word, plain) in &self.0 {
            for found in word.find_iter(&joined) {
                let line =
                    line + text.chars().take(joined[..found.start()].chars().count()).filter(|c| *c == '\n').count();
                hits.push((line, format!("{:?}: write {plain}", found.as_str())));
            }
        }
        hits
    }
}

/// The Rust sources of the program without their tests.
pub(crate) fn program_sources() -> Vec<String> {
    let tests = |file: &String| file.contains("/tests/") || file.ends_with("/tests.rs") || file.contains("/cases/");
    tree::files_ending("host", "rs").into_iter().filter(|file| !tests(file)).collect()
}

#[test]
fn texts_use_plain_words() {
    let words = Words::new();
    let mut hits = Vec::new();
    for (command, help) in helps() {
        hits.extend(words.hits(&help, 1).into_iter().map(|(line, hit)| format!("{command} --help:{line}: {hit}")));
    }
    let mut files: Vec<String> = WHOLE.iter().flat_map(|start| tree::files(start)).collect();
    files.extend(tree::files_ending(".", "md"));
    files.sort();
    files.dedup();
    // What is generated from the sources is checked there.
    for file in files.into_iter().filter(|file| !file.starts_with("docs/src/reference/")) {
        let Some(text) = tree::text(&file) else { continue };
        let text = if file == "CHANGELOG.md" { unreleased(&text) } else { &text };
        hits.extend(words.hits(text, 1).into_iter().map(|(line, hit)| format!("{file}:{line}: {hit}")));
    }
    report(&hits);
}

#[test]
fn sources_use_plain_words() {
    let words = Words::new();
    let mut hits = Vec::new();
    for (start, strings) in SOURCES {
        for file in tree::files_ending(start, "rs") {
            let tokens = scan::tokens(&tree::text(&file).unwrap());
            let mut add = |(line, hit): (usize, String)| hits.push(format!("{file}:{line}: {hit}"));
            comments(&tokens).iter().flat_map(|(line, text)| words.hits(text, *line)).for_each(&mut add);
            names(&tokens).into_iter().for_each(&mut add);
            path_parts(&file).into_iter().for_each(&mut add);
            if strings && !file.contains("/tests/") && !file.ends_with("/tests.rs") {
                let kept = scan::outside_tests(&tokens);
                let texts = kept.iter().filter(|token| token.kind == Kind::Text);
                texts.flat_map(|text| words.hits(&without_formats(&file, &text.text), text.line)).for_each(&mut add);
            }
        }
    }
    report(&hits);
}

fn report(hits: &[String]) {
    let mut list = String::new();
    for hit in hits {
        let _ = writeln!(list, "{hit}");
    }
    assert!(hits.is_empty(), "{} words to replace:\n{list}", hits.len());
}

/// The change log down to the first release.
fn unreleased(text: &str) -> &str {
    let releases: Vec<usize> = text.match_indices("\n## ").map(|(at, _)| at).collect();
    releases.get(1).map_or(text, |end| &text[..*end])
}

/// The comments of a file; those on consecutive lines are one text.
fn comments(tokens: &[scan::Token]) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    for token in tokens.iter().filter(|token| token.kind == Kind::Comment) {
        match found.last_mut() {
            Some((line, text)) if *line + text.matches('\n').count() + 1 == token.line => {
                text.push('\n');
                text.push_str(token.text.trim());
            }
            _ => found.push((token.line, token.text.trim().to_owned())),
        }
    }
    found
}

/// Names with a part that has a plainer word, and declared types.
fn names(tokens: &[scan::Token]) -> Vec<(usize, String)> {
    let mut hits = Vec::new();
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| token.kind == Kind::Name) {
        for part in parts(&token.text) {
            if let Some((_, plain)) = PARTS.iter().find(|(word, _)| *word == part) {
                hits.push((token.line, format!("name {}: {part:?}: write {plain}", token.text)));
            }
        }
        let declares = ["struct", "enum", "trait", "type"];
        let declared = at > 0 && declares.iter().any(|word| tokens[at - 1].is(word));
        if let Some((_, plain)) = TYPES.iter().find(|(name, _)| declared && *name == token.text) {
            hits.push((token.line, format!("type {}: write {plain}", token.text)));
        }
    }
    hits
}

/// Files and folders whose names have a part that has a plainer word.
fn path_parts(file: &str) -> Vec<(usize, String)> {
    let pieces = Path::new(file).iter().flat_map(|piece| parts(&piece.to_string_lossy())).collect::<Vec<_>>();
    let plain = |part: &String| PARTS.iter().find(|(word, _)| word == part);
    pieces.iter().filter_map(plain).map(|(part, plain)| (0, format!("file name: {part:?}: write {plain}"))).collect()
}

/// The words of a name in any spelling: `snake_case`, `CamelCase`, `file-name.rs`.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut lower = false;
    for c in name.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && lower) {
            parts.push(String::new());
        }
        lower = c.is_lowercase();
        if c.is_alphanumeric() {
            parts.last_mut().unwrap().extend(c.to_lowercase());
        }
    }
    parts
}

#[test]
fn words_are_found_over_line_ends_and_not_within_others() {
    let words = Words::new();
    let hits = words.hits("Amended, recommend, this, the heel;\nit is in\nwork, and mended.", 7);
    let found: Vec<usize> = hits.iter().map(|(line, _)| *line).collect();
    assert_eq!(found, [9, 8], "{hits:?}");
    assert_eq!(parts("who_Vouches-HTTPPost.rs"), ["who", "vouches", "httppost", "rs"]);
}

#[test]
fn words_of_a_disk_format_are_exempt_where_it_is_written() {
    let sql = "SELECT deaths FROM attempt";
    let file = "host/spool/src/journal/attempts.rs";
    assert_eq!(without_formats(file, sql), "SELECT _ FROM attempt");
    for (file, text) in [("host/sesame/src/main.rs", sql), (file, "two deaths"), (file, "side-car")] {
        assert_eq!(without_formats(file, text), text);
    }
}
