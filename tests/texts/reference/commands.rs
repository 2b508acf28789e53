//! The help of every command.

use std::fmt::Write as _;

use clap::Command;

use super::{WIDTH, head};

/// Every command with its help, as `sesame COMMAND --help` prints it on a terminal of 100 columns.
pub(crate) fn helps() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut root = sesame::cli::command().term_width(100);
    root.build();
    collect(&mut root, "", &mut found);
    found
}

fn collect(command: &mut Command, parents: &str, found: &mut Vec<(String, String)>) {
    let name = format!("{parents} {}", command.get_name()).trim().to_owned();
    let help = command.render_long_help().to_string();
    found.push((name.clone(), help.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")));
    for inner in command.get_subcommands_mut().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help") {
        collect(inner, &name, found);
    }
}

pub(crate) fn page() -> String {
    let mut page = head("Commands", "the definition of the command line, `host/sesame/src/cli`");
    for (name, help) in helps() {
        assert!(help.lines().all(|line| line.chars().count() <= WIDTH), "{name}");
        let depth = "#".repeat(1 + name.split(' ').count().min(3));
        let depth = if depth == "#" { "##" } else { &depth };
        let _ = write!(page, "\n{depth} {name}\n\n```text\n{help}\n```\n");
    }
    page
}
