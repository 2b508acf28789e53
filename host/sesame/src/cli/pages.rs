//! `sesame write-pages`: the manual pages and the completions of shells, made from the command line itself. Packages are
//! made with it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::{EXIT_CONFIGURATION, EXIT_DONE, EXIT_FAILED, EXIT_HELD, EXIT_NOT_RUNNING, EXIT_USAGE, EXIT_WARNINGS};

/// Files that the page of the program names.
const FILES: [(&str, &str); 5] = [
    (crate::config::CONFIGURATION, "The configuration; the file that comes with Sesame has every key at its default."),
    ("/etc/sesame/dns", "The signers whose messages a receiver stores, one distinguished name a line."),
    ("/etc/sesame/plugins.d", "Plugins, with their settings and signatures."),
    ("/var/cache/sesame", "Compiled plugins; they are compiled again when lost."),
    ("/var/log/sesame/plugins.log", "What plugins log."),
];

const STATUSES: [(u8, &str); 7] = [
    (EXIT_DONE, "Done, or stopped as asked."),
    (EXIT_FAILED, "Failed while running, or something was rejected, deferred or not sent."),
    (EXIT_USAGE, "The command line is wrong."),
    (EXIT_WARNINGS, "sesame check --strict found warnings and no errors."),
    (EXIT_NOT_RUNNING, "`status`, `top` or `tap`: no running Sesame answered."),
    (EXIT_HELD, "Another Sesame holds the queue or spool."),
    (EXIT_CONFIGURATION, "The configuration is wrong."),
];

const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

/// Where the completion of a shell belongs below `folder`.
fn place(shell: Shell, folder: &Path) -> &'static str {
    match shell {
        Shell::Fish => "fish/vendor_completions.d/sesame.fish",
        // Of the two folders that zsh of Debian reads, each prefix has another one.
        Shell::Zsh if folder.ends_with("local/share") => "zsh/site-functions/_sesame",
        Shell::Zsh => "zsh/vendor-completions/_sesame",
        _ => "bash-completion/completions/sesame",
    }
}

/// `sesame write-pages`.
#[derive(Args, Debug)]
pub struct WritePages {
    /// Folder that stands for /usr/share, or /usr/local/share; it is made.
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
}

pub(super) fn run(arguments: &WritePages) -> anyhow::Result<u8> {
    write(&arguments.folder).with_context(|| format!("cannot write into {}", arguments.folder.display()))?;
    Ok(EXIT_DONE)
}

fn write(folder: &Path) -> io::Result<()> {
    let manual = folder.join("man/man1");
    fs::create_dir_all(&manual)?;
    for (name, page) in pages()? {
        fs::write(manual.join(name), page)?;
    }
    for shell in SHELLS {
        let path = folder.join(place(shell, folder));
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(path, completion(shell))?;
    }
    Ok(())
}

/// The completion of a shell. It has the options that every command takes at every command.
fn completion(shell: Shell) -> Vec<u8> {
    let mut text = Vec::new();
    let mut command = without_hidden(super::plain());
    clap_complete::generate(shell, &mut command, "sesame", &mut text);
    text
}

/// The command line without the commands that only Sesame itself and its packages run: completions would offer them.
fn without_hidden(command: clap::Command) -> clap::Command {
    let shown: Vec<clap::Command> = command.get_subcommands().filter(|sub| !sub.is_hide_set()).cloned().collect();
    let bare = clap::Command::new("sesame").max_term_width(100).version(env!("CARGO_PKG_VERSION"));
    bare.args(command.get_arguments().cloned()).subcommands(shown)
}

/// The name and text of each page: one of the program and one of each command that is not hidden.
fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut root = refer_to_program(super::plain(), true);
    root.build();
    let mut found = Vec::new();
    collect(&root, None, &mut found)?;
    Ok(found)
}

/// Leaves the options that every command takes to the page of the program, and the command `help` out.
fn refer_to_program(command: clap::Command, program: bool) -> clap::Command {
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let mut command = command.disable_help_subcommand(true);
    if !program {
        command = command.mut_args(|argument| if argument.is_global_set() { argument.hide(true) } else { argument });
    }
    for name in names {
        command = command.mut_subcommand(name, |sub| refer_to_program(sub, false));
    }
    command
}

fn collect(command: &clap::Command, parent: Option<&str>, found: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    let mut shown = command.clone();
    if parent.is_some() {
        // Building adds them to each command again.
        shown = shown.mut_args(|argument| if argument.is_global_set() { argument.hide(true) } else { argument });
    }
    // The date is left blank: an empty one would be left out, and the source would stand in its place.
    let man = Man::new(shown).date(" ").source(concat!("Sesame ", env!("CARGO_PKG_VERSION"))).manual("Sesame");
    let name = man.get_filename();
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.get_subcommands().any(|sub| !sub.is_hide_set()) {
        man.render_subcommands_section(&mut page)?;
    }
    ending(parent).to_writer(&mut page)?;
    let own = name.trim_end_matches(".1").to_owned();
    found.push((name, page));
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        collect(inner, Some(&own), found)?;
    }
    Ok(())
}

/// What follows the options: files and exit status in the page of the program, the page above in those of commands.
fn ending(parent: Option<&str>) -> Roff {
    let mut roff = Roff::default();
    if let Some(parent) = parent {
        roff.control("SH", ["SEE ALSO"]);
        if parent != "sesame" {
            roff.text([bold(parent), roman("(1),")]);
        }
        roff.text([
            bold("sesame"),
            roman("(1), which has the options that every command takes, the exit statuses and the files"),
        ]);
        return roff;
    }
    let statuses = STATUSES.map(|(status, what)| (status.to_string(), what));
    list(&mut roff, "EXIT STATUS", &statuses);
    list(&mut roff, "FILES", &FILES.map(|(file, what)| (file.to_owned(), what)));
    roff
}

fn list(roff: &mut Roff, title: &str, items: &[(String, &str)]) {
    roff.control("SH", [title]);
    for (item, what) in items {
        roff.control("TP", []);
        roff.text([bold(item.as_str())]);
        roff.text([roman(*what)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The commands that are not hidden, with their parents: "queue list".
    fn commands(command: &clap::Command, parents: &str, found: &mut Vec<String>) {
        for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
            let name = format!("{parents} {}", inner.get_name()).trim().to_owned();
            commands(inner, &name, found);
            found.push(name);
        }
    }

    fn all_commands() -> Vec<String> {
        let mut found = Vec::new();
        commands(&super::super::plain(), "", &mut found);
        assert!(found.iter().any(|name| name == "queue list"), "{found:?}");
        found
    }

    #[test]
    fn every_command_has_a_page_and_no_other() {
        let mut wanted: Vec<String> =
            all_commands().iter().map(|name| format!("sesame-{}.1", name.replace(' ', "-"))).collect();
        wanted.push("sesame.1".to_owned());
        wanted.sort();
        let mut found: Vec<String> = pages().unwrap().into_iter().map(|(name, _)| name).collect();
        found.sort();
        assert_eq!(found, wanted);
    }

    #[test]
    fn options_that_every_command_takes_stand_in_the_page_of_the_program_alone() {
        for (name, page) in pages().unwrap() {
            let page = String::from_utf8(page).unwrap();
            assert_eq!(page.contains("ssm\\-dns"), name == "sesame.1", "{name}:\n{page}");
            assert!(page.contains(r#"1 " " "Sesame "#), "{name}:\n{page}");
            assert_eq!(page.contains("EXIT STATUS"), name == "sesame.1", "{name}");
            assert_eq!(page.contains("SEE ALSO"), name != "sesame.1", "{name}");
            assert!(!page.contains("write\\-pages") && !page.contains("compile\\-plugin"), "{name}:\n{page}");
        }
    }

    #[test]
    fn completions_go_where_the_shells_of_each_prefix_look() {
        let folder = tempfile::tempdir().unwrap();
        for (prefix, zsh) in [("usr/share", "zsh/vendor-completions"), ("usr/local/share", "zsh/site-functions")] {
            let share = folder.path().join(prefix);
            write(&share).unwrap();
            for file in [zsh, "bash-completion/completions", "fish/vendor_completions.d"] {
                assert_eq!(share.join(file).read_dir().unwrap().count(), 1, "{prefix}/{file}");
            }
            assert_eq!(share.join("zsh").read_dir().unwrap().count(), 1);
        }
    }

    #[test]
    fn completions_know_every_command_and_none_that_is_hidden() {
        for shell in SHELLS {
            let text = String::from_utf8(completion(shell)).unwrap();
            for command in all_commands() {
                let last = command.rsplit(' ').next().unwrap();
                assert!(text.contains(last), "{shell}: {command}");
            }
            assert!(!text.contains("write-pages") && !text.contains("compile-plugin"), "{shell}");
            assert!(text.contains("ssm-config"), "{shell}");
        }
    }
}
