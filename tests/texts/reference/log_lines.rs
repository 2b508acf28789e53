//! Every line of the log: level, text and fields, read from the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::{code, head, wrapped};
use crate::scan::{self, Kind, Token};
use crate::{tree, words};

/// A line of the log as the sources have it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    text: String,
    fields: BTreeSet<String>,
    file: String,
}

const LEVELS: [(&str, &str); 3] = [
    ("error", "An operator must act."),
    ("warn", "A message was refused, or something is tried again."),
    ("info", "One line for each change of state."),
];

pub(crate) fn page() -> String {
    let mut found: BTreeMap<&str, BTreeSet<Line>> = BTreeMap::new();
    for file in words::program_sources() {
        let tokens = scan::outside_tests(&scan::tokens(&tree::text(&file).unwrap()));
        let tokens: Vec<Token> = tokens.into_iter().filter(|token| token.kind != Kind::Comment).collect();
        for at in 0..tokens.len().saturating_sub(2) {
            let Some((level, _)) = LEVELS.iter().find(|(level, _)| tokens[at].is(level)) else { continue };
            if tokens[at + 1].is("!") && (tokens[at + 2].is("(") || tokens[at + 2].is("{")) {
                let end = scan::closing(&tokens, at + 2);
                found.entry(level).or_default().extend(line(&tokens[at + 3..end], &file));
            }
        }
    }
    let mut page = head("Log lines", "the calls of `tracing` in the sources");
    page += &wrapped(
        "Sesame logs to standard error. Fields follow the text as `name=value`, or are members of one JSON object a line \
         (`format = \"json\"` of `[log]`). In the journal of systemd each is also a field of its own, `SESAME_` and its name \
         in upper case: `SESAME_CHANNEL`. A condition that lasts is logged when it begins or changes, and then once a day. \
         Empty fields are left out. What comes from outside is escaped. `{…}` in a text is filled in. The levels `debug` and `trace` are for developers and not listed.",
        "\n",
        "",
    );
    for (level, meaning) in LEVELS {
        let _ = write!(page, "\n## {level}\n\n{meaning}\n\n");
        for line in found.get(level).into_iter().flatten() {
            let fields: Vec<String> = line.fields.iter().map(|field| code(field)).collect();
            let fields = if fields.is_empty() { "no fields".to_owned() } else { fields.join(", ") };
            page += &wrapped(&format!("{}: {fields} ({})", code(&line.text), code(&line.file)), "- ", "  ");
        }
    }
    page
}

/// Reads the arguments of one call. Nothing where the text is not a literal.
fn line(arguments: &[Token], file: &str) -> Option<Line> {
    let mut fields = BTreeSet::new();
    for argument in split(arguments) {
        let words: Vec<&Token> = argument.iter().collect();
        match words.as_slice() {
            [text] if text.kind == Kind::Text => {
                // A text that is all filled in says nothing here.
                let empty = text.text.starts_with('{') && text.text.ends_with('}') && !text.text.contains(' ');
                return (!empty).then_some(Line { text: text.text.clone(), fields, file: file.to_owned() });
            }
            [target, colon, ..] if target.is("target") && colon.is(":") => {}
            [sign, rest @ ..] if sign.is("%") || sign.is("?") => _ = fields.insert(name(rest)),
            rest => _ = fields.insert(name(rest)),
        }
    }
    None
}

/// The name of a field: what stands before its `=`, or the last name of a path such as `self.name`.
fn name(field: &[&Token]) -> String {
    let before = field.iter().take_while(|token| !token.is("="));
    before.filter(|token| token.kind == Kind::Name).last().map(|token| token.text.clone()).unwrap_or_default()
}

/// Splits at the commas that stand in no brackets.
fn split(tokens: &[Token]) -> Vec<&[Token]> {
    let (mut parts, mut start, mut at) = (Vec::new(), 0, 0);
    while at < tokens.len() {
        if tokens[at].is("(") || tokens[at].is("[") || tokens[at].is("{") {
            at = scan::closing(tokens, at);
        } else if tokens[at].is(",") {
            parts.push(&tokens[start..at]);
            start = at + 1;
        }
        at += 1;
    }
    parts.push(&tokens[start.min(tokens.len())..]);
    parts
}
