//! `sesame plugin fuzz`: changes the messages of test cases at random, and reports what makes a component fail, by a trap, a
//! panic or a limit, and messages on which it gives two answers.
//!
//! Failures are distinguished by what they say, without numbers. Of each kind one message is kept, with as few lines as fail
//! alike, in a folder that `sesame plugin test` takes as a case.

mod mutation;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use self::mutation::Mutator;
use super::test::{Case, can_be_used, cases, pipeline};
use super::{Fuzz, Host, output};
use plugins::{Outcome, Pipeline, Plugins};
use terminal::{EXIT_DONE, EXIT_FAILED};

/// How long one message is made shorter.
const SHORTENING: Duration = Duration::from_secs(2);

/// A way in which the component fails.
#[derive(Debug)]
struct Kind {
    words: String,
    folder: PathBuf,
    count: u64,
}

pub(super) fn run(arguments: &Fuzz, host: &Host) -> anyhow::Result<u8> {
    let plugins = (host.plugins)()?;
    if !can_be_used(&arguments.file, &plugins, "fuzzed")? {
        return Ok(EXIT_FAILED);
    }
    let settings = super::settings_beside(&arguments.file)?;
    let mut subjects = Vec::new();
    for folder in cases(&arguments.cases)? {
        let case = Case::read(&folder, &settings)?;
        subjects.extend(Subject::new(&plugins, arguments, host, folder, case));
    }
    if subjects.is_empty() {
        bail!("in no case of {} does the plugin answer: there is nothing to change", arguments.cases.display());
    }
    let messages = subjects.iter().map(|subject| subject.case.message.clone()).collect();
    let mut mutator = Mutator::new(arguments.seed, messages, host.max_payload);
    let mut kinds: BTreeMap<String, Kind> = BTreeMap::new();
    let (begun, mut tried) = (Instant::now(), 0_u64);
    while begun.elapsed() < arguments.time {
        let Some(subject) = mutator.choose(&mut subjects) else { break };
        let message = mutator.mutate(&subject.case.message);
        tried += 1;
        let Some(words) = subject.fault(&message)? else { continue };
        let key = without_numbers(&words);
        if let Some(kind) = kinds.get_mut(&key) {
            kind.count += 1;
            continue;
        }
        let folder = unused(&arguments.save);
        let shortest = subject.shortened(message, &key)?;
        subject.save(&folder, &shortest)?;
        output::line(&format!("FAILED  {words}"));
        output::line(&format!("        kept in {}", folder.display()));
        kinds.insert(key, Kind { words, folder, count: 1 });
    }
    summarise(tried, &kinds, arguments.seed);
    Ok(if kinds.is_empty() { EXIT_DONE } else { EXIT_FAILED })
}

fn summarise(tried: u64, kinds: &BTreeMap<String, Kind>, seed: u64) {
    for kind in kinds.values().filter(|kind| kind.count > 1) {
        output::line(&format!("{} times: {} ({})", kind.count, kind.words, kind.folder.display()));
    }
    let count = kinds.len();
    output::line(&format!("{tried} messages from seed {seed}, {count} kinds of failure"));
}

/// The next numbered folder in which an earlier run has kept nothing.
fn unused(save: &Path) -> PathBuf {
    let mut folders = (1_u64..).map(|number| save.join(number.to_string()));
    folders.find(|folder| folder.symlink_metadata().is_err()).unwrap_or_else(|| save.to_owned())
}

/// What is not compared between two failures: positions, sizes and times.
fn without_numbers(words: &str) -> String {
    let mut key = String::with_capacity(words.len());
    for c in words.chars() {
        match c.is_ascii_digit() {
            true if key.ends_with('#') => {}
            true => key.push('#'),
            false => key.push(c),
        }
    }
    key
}

/// A case that the component answers.
struct Subject<'a> {
    plugins: &'a Plugins,
    file: &'a Path,
    max_payload: usize,
    folder: PathBuf,
    case: Case,
    pipeline: Pipeline,
}

impl<'a> Subject<'a> {
    /// `None` where the component fails already, or refuses the configuration.
    fn new(plugins: &'a Plugins, arguments: &'a Fuzz, host: &Host, folder: PathBuf, case: Case) -> Option<Self> {
        let (file, max_payload) = (arguments.file.as_path(), host.max_payload);
        let pipeline = pipeline(plugins, file, &case, max_payload).ok()?;
        let answers = !matches!(pipeline.run(&case.input(), &case.message), Outcome::Failed { .. });
        answers.then_some(Self { plugins, file, max_payload, folder, case, pipeline })
    }

    /// How the component fails on this message.
    fn fault(&mut self, message: &[u8]) -> anyhow::Result<Option<String>> {
        let outcomes = [0, 1].map(|_| self.pipeline.run(&self.case.input(), message));
        if let Some(Outcome::Failed { error, .. }) =
            outcomes.iter().find(|outcome| matches!(outcome, Outcome::Failed { .. }))
        {
            let words = error.to_string();
            // A pipeline that has failed may answer nothing for some time.
            let reloaded = pipeline(self.plugins, self.file, &self.case, self.max_payload);
            self.pipeline = reloaded.map_err(anyhow::Error::msg)?;
            return Ok(Some(words));
        }
        let [first, second] = outcomes;
        Ok((first != second).then(|| "the plugin gives two answers to one message".to_owned()))
    }

    /// A message with as few lines as fail alike.
    fn shortened(&mut self, mut message: Vec<u8>, key: &str) -> anyhow::Result<Vec<u8>> {
        let begun = Instant::now();
        let mut size = message.split(|byte| *byte == b'\n').count() / 2;
        while size > 0 {
            let (mut at, mut shorter) = (0, false);
            while let Some(candidate) = without_lines(&message, at, size) {
                if begun.elapsed() > SHORTENING {
                    return Ok(message);
                }
                if self.fault(&candidate)?.is_some_and(|words| without_numbers(&words) == key) {
                    (message, shorter) = (candidate, true);
                } else {
                    at += size;
                }
            }
            if !shorter || size > 1 {
                size /= 2;
            }
        }
        Ok(message)
    }

    /// Keeps the message as a test case.
    fn save(&self, folder: &Path, message: &[u8]) -> anyhow::Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let path = folder.join("message");
        fs::write(&path, message).with_context(|| format!("cannot write {}", path.display()))?;
        for name in ["context.toml", "config.toml"] {
            let (from, to) = (self.folder.join(name), folder.join(name));
            if from.is_file() {
                fs::copy(&from, &to).with_context(|| format!("cannot write {}", to.display()))?;
            }
        }
        Ok(())
    }
}

/// The message without `count` lines from this one on; `None` where it has no such line, or nothing is left.
fn without_lines(message: &[u8], first: usize, count: usize) -> Option<Vec<u8>> {
    let lines: Vec<&[u8]> = message.split_inclusive(|byte| *byte == b'\n').collect();
    let (before, rest) = lines.split_at_checked(first)?;
    let after = rest.get(count..).unwrap_or_default();
    (!rest.is_empty() && before.len() + after.len() > 0).then(|| [before.concat(), after.concat()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_that_differ_in_numbers_alone_are_of_one_kind() {
        assert_eq!(without_numbers("at 12:5, 300 bytes"), without_numbers("at 7:15, 4 bytes"));
        assert_ne!(without_numbers("out of memory"), without_numbers("out of time"));
    }

    #[test]
    fn what_an_earlier_run_kept_stays() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(unused(home.path()), home.path().join("1"));
        for number in ["1", "2"] {
            fs::create_dir(home.path().join(number)).unwrap();
        }
        assert_eq!(unused(home.path()), home.path().join("3"));
    }

    #[test]
    fn lines_are_left_out_while_something_is_left() {
        assert_eq!(without_lines(b"a\nb\nc", 1, 1).unwrap(), b"a\nc");
        assert_eq!(without_lines(b"a\nb\nc", 1, 5).unwrap(), b"a\n");
        assert_eq!(without_lines(b"a\nb\nc", 3, 1), None);
        assert_eq!(without_lines(b"a", 0, 1), None);
    }
}
