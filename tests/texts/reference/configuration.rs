//! Every key of the configuration: its sentence and default from `conf/sesame.toml`, which a test of the settings compares
//! with the code, and what it takes from the settings themselves: each key is given a wrong value and asked what it wants.

use std::fmt::Write as _;
use std::path::Path;

use sesame::config::Config;
use settings::Files;

use super::{head, wrapped};
use crate::tree;

const FILE: &str = "conf/sesame.toml";

/// A line of the shipped configuration.
enum Line {
    /// `[section]`, with the sentences before it.
    Section(String, String),
    /// A key, its value and the sentences before it; whether it is in use.
    Key { name: String, value: String, words: String, used: bool },
}

pub(crate) fn page() -> String {
    let mut page = head("Configuration", "`conf/sesame.toml` and the settings that read it");
    page += &wrapped(
        "A value with \"default\" is in force where the key is absent; a value with \"example\" is not. The file itself says \
         how times and sizes are written. Print what is in force with `sesame check --effective`.",
        "\n",
        "",
    );
    let mut section = String::new();
    for line in lines(&tree::text(FILE).unwrap()) {
        match line {
            Line::Section(name, words) => {
                let _ = write!(page, "\n## `[{name}]`\n");
                if !words.is_empty() {
                    page += &wrapped(&words, "\n", "");
                }
                page.push('\n');
                section = name;
            }
            Line::Key { name, value, words, used } => {
                let kind = if used || is_default(&section, &name, &value) { "default" } else { "example" };
                let wants = wanted(&section, &name);
                page += &wrapped(&format!("`{name}` ({wants}; {kind} `{value}`): {words}"), "- ", "  ");
            }
        }
    }
    page
}

/// Whether the value is what an absent key of a channel, broker or plugin section means.
fn is_default(section: &str, name: &str, value: &str) -> bool {
    let with = |line: &str| {
        let line = format!("{line}\n");
        Config::parse(&replaced(section, name, &line), Path::new(FILE), Files::Ignore)
            .ok()
            .map(|it| it.effective_toml())
    };
    let absent = with("");
    absent.is_some() && absent == with(&format!("{name} = {value}"))
}

/// What the key takes, in the words of the remedy for a wrong value.
fn wanted(section: &str, name: &str) -> String {
    let remedy = |value: &str| {
        let text = replaced(section, name, &format!("{name} = {value}\n"));
        let errors = Config::parse(&text, Path::new(FILE), Files::Ignore).err()?;
        let wrong = errors.mistakes().iter().find(|mistake| mistake.key.trim_end_matches('"').ends_with(name))?;
        Some((wrong.problem.clone(), wrong.remedy.clone()))
    };
    // A date is right for no key, and too long a time is right for no time.
    let Some((problem, kind)) = remedy("1979-05-27") else { return "a name of the operator's and a text".to_owned() };
    if kind.starts_with("write a number and its unit") {
        let range = remedy("\"36501d\"").map(|(_, remedy)| remedy).unwrap_or_default();
        return format!("a time, {}", range.trim_start_matches("write "));
    }
    match kind.strip_prefix("write ").unwrap_or(&kind) {
        words if words.starts_with("it in ") => "a text".to_owned(),
        words if words.starts_with('"') && !words.contains(" or ") && problem.contains("not a size") => {
            format!("a size, {words}")
        }
        words => words
            .trim_end_matches("; leave the key out for all")
            .replace(", without quotes", "")
            .replace(" in double quotes", ""),
    }
}

/// The shipped configuration with all its settings in use, and `line` in place of the key `name` of `section`.
fn replaced(section: &str, name: &str, line: &str) -> String {
    let (mut text, mut now, mut found) = (String::new(), String::new(), false);
    for setting in tree::text(FILE).unwrap().lines().filter_map(setting) {
        if let Some(head) = section_of(setting) {
            head.clone_into(&mut now);
        }
        // The login stands in the section twice over, as name and passcode or as one file. What is compared is a shadow.
        let exclusive = if name == "login-file" { ["login", "passcode-file"] } else { ["login-file", "login-file"] };
        let key = setting.split(" = ").next().unwrap_or_default();
        if now == section && key == name {
            text += line;
            found = true;
        } else if !exclusive.contains(&key) && key != "compare-to" {
            text = text + setting + "\n";
        }
    }
    assert!(found, "[{section}] {name}");
    text
}

/// A line that is a section or a key, in use or commented out.
fn setting(line: &str) -> Option<&str> {
    let setting = line.strip_prefix('#').unwrap_or(line);
    (!setting.is_empty() && !setting.starts_with(' ')).then_some(setting)
}

fn section_of(setting: &str) -> Option<&str> {
    setting.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'))
}

fn lines(text: &str) -> Vec<Line> {
    let (mut found, mut words) = (Vec::new(), String::new());
    let mut shared = String::new();
    for line in text.lines() {
        let Some(setting) = setting(line) else {
            match line.strip_prefix("# ") {
                Some(more) => words = format!("{words} {more}").trim().to_owned(),
                None => words.clear(),
            }
            shared.clear();
            continue;
        };
        let words = std::mem::take(&mut words);
        if let Some(name) = section_of(setting) {
            found.push(Line::Section(name.to_owned(), words));
        } else if let Some((name, value)) = setting.split_once(" = ") {
            // A sentence above two keys is about both.
            if !words.is_empty() {
                shared.clone_from(&words);
            }
            let words = shared.clone();
            let used = !line.starts_with('#');
            found.push(Line::Key { name: name.to_owned(), value: value.to_owned(), words, used });
        }
    }
    found
}
