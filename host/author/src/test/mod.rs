//! `sesame plugin test`: runs a component on a folder of test cases with the code and limits of the running program, and
//! compares the results with the expected ones.
//!
//! # On disk
//! A case is a folder with the file `message`. `context.toml` is its context (`case`),
//! `config.toml` is the plugin's own table in place of the sidecar's, `expected.toml` is the answer (`answer`), with
//! the content in `output` or, of a split, in `output.1`, `output.2` and so on.

mod answer;
mod case;
mod difference;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use self::answer::{Answer, Content};
use self::case::Case;
use super::{Host, Test, output};
use plugins::{Outcome, Pipeline, Plugins, Sidecar};
use terminal::{EXIT_DONE, EXIT_FAILED, say};

/// The result of a test case.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Result {
    Passed,
    /// The expected results were overwritten.
    Updated,
    /// The lines that show why.
    Failed(Vec<String>),
}

pub(super) fn run(arguments: &Test, host: &Host) -> anyhow::Result<u8> {
    let names = cases(&arguments.cases)?;
    let plugins = (host.plugins)()?;
    let bytes = fs::read(&arguments.file).with_context(|| format!("cannot read {}", arguments.file.display()))?;
    if let Err(error) = plugins.inspect(&arguments.file.to_string_lossy(), &bytes).found {
        say(&format!("sesame: {} cannot be tested: it {error}", arguments.file.display()));
        return Ok(EXIT_FAILED);
    }
    let settings = super::settings_beside(&arguments.file)?;
    let mut bench =
        Bench { plugins: &plugins, file: &arguments.file, settings, max_payload: host.max_payload, kept: None };
    let (mut passed, mut failed) = (0, 0);
    for folder in names {
        let result = bench.judge(&folder, arguments.update)?;
        report(&folder, &result);
        match result {
            Result::Failed(_) => failed += 1,
            Result::Passed | Result::Updated => passed += 1,
        }
    }
    output::line(&format!("{passed} passed, {failed} failed"));
    Ok(if failed == 0 { EXIT_DONE } else { EXIT_FAILED })
}

/// The folders of the cases, in the order of their names.
fn cases(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let read = || format!("cannot read the cases in {}", folder.display());
    let mut cases = Vec::new();
    for entry in fs::read_dir(folder).with_context(read)? {
        let path = entry.with_context(read)?.path();
        if path.join("message").is_file() {
            cases.push(path);
        }
    }
    cases.sort();
    ensure!(!cases.is_empty(), "{} holds no case: a case is a folder in it with a file `message`", folder.display());
    Ok(cases)
}

fn report(folder: &Path, result: &Result) {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    match result {
        Result::Passed => output::line(&format!("ok      {name}")),
        Result::Updated => output::line(&format!("updated {name}")),
        Result::Failed(lines) => {
            output::line(&format!("FAILED  {name}"));
            lines.iter().for_each(|line| output::line(&format!("        {line}")));
        }
    }
}

/// What all test cases run with.
struct Bench<'a> {
    plugins: &'a Plugins,
    file: &'a Path,
    settings: Sidecar,
    max_payload: usize,
    /// Keeps the compiled component loaded from one case to the next.
    kept: Option<Pipeline>,
}

impl Bench<'_> {
    fn judge(&mut self, folder: &Path, update: bool) -> anyhow::Result<Result> {
        let case = Case::read(folder, &self.settings)?;
        let (found, contents) = self.ask(&case);
        let wanted = match Answer::read(folder)? {
            Some(wanted) => wanted,
            None if update => return write_down(folder, &found, &contents),
            None => return Ok(Result::Failed(vec!["has no expected.toml: write it, or use --update".into()])),
        };
        let mut lines = difference::of_lines(&wanted.lines()?, &found.like(&wanted).lines()?);
        lines.extend(self::contents(folder, &contents)?);
        match lines.is_empty() {
            true => Ok(Result::Passed),
            false if update => write_down(folder, &found, &contents),
            false => Ok(Result::Failed(lines)),
        }
    }

    fn ask(&mut self, case: &Case) -> (Answer, Vec<Content>) {
        let mut settings =
            super::pipeline_of(self.file, case.settings.clone(), &case.channel, case.direction, self.max_payload);
        settings.routes.clone_from(&case.routes);
        match Pipeline::load(self.plugins, settings) {
            Ok(pipeline) => {
                let outcome: Outcome = pipeline.run(&case.input(), &case.message);
                self.kept = Some(pipeline);
                Answer::of(outcome)
            }
            Err(errors) => {
                let reasons: Vec<String> = errors.iter().map(ToString::to_string).collect();
                (Answer::failed(reasons.join("; ")), Vec::new())
            }
        }
    }
}

/// The differences between the contents that came out and the files that are expected.
fn contents(folder: &Path, found: &[Content]) -> anyhow::Result<Vec<String>> {
    let mut lines = Vec::new();
    for content in found {
        let path = folder.join(&content.file);
        let wanted = match fs::read(&path) {
            Ok(wanted) => wanted,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                lines.push(format!("returned content for {}, which does not exist", content.file));
                continue;
            }
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        if wanted != content.bytes {
            lines.push(format!("{}: - expected, + returned", content.file));
            lines.extend(difference::of_bytes(&wanted, &content.bytes));
        }
    }
    for file in output_files(folder)? {
        if !found.iter().any(|content| content.file == file) {
            lines.push(format!("returned no content for {file}"));
        }
    }
    Ok(lines)
}

/// The files `output` and `output.N` of a case.
fn output_files(folder: &Path) -> anyhow::Result<Vec<String>> {
    let names = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
    let mut names: Vec<String> = names.collect::<std::io::Result<_>>()?;
    names.retain(|name| name == "output" || name.starts_with("output."));
    names.sort();
    Ok(names)
}

fn write_down(folder: &Path, found: &Answer, contents: &[Content]) -> anyhow::Result<Result> {
    for file in output_files(folder)? {
        fs::remove_file(folder.join(&file)).with_context(|| format!("cannot remove {file}"))?;
    }
    let mut files: Vec<(&str, Vec<u8>)> = vec![("expected.toml", found.without_texts().to_toml()?.into_bytes())];
    files.extend(contents.iter().map(|content| (content.file.as_str(), content.bytes.clone())));
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).with_context(|| format!("cannot write {name} of {}", folder.display()))?;
    }
    Ok(Result::Updated)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(cases: &Path, name: &str, message: &str, expected: Option<&str>) {
        let folder = cases.join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("message"), message).unwrap();
        expected.iter().for_each(|text| fs::write(folder.join("expected.toml"), text).unwrap());
    }

    /// The stock plugin, which accepts all, in the program of the test.
    fn judge(cases: &Path, name: &str, update: bool) -> anyhow::Result<Result> {
        let plugins = Plugins::start(plugins::CompileSettings::default()).unwrap();
        let file = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/passthrough.wasm"));
        let mut bench =
            Bench { plugins: &plugins, file, settings: Sidecar::default(), max_payload: 1 << 20, kept: None };
        bench.judge(&cases.join(name), update)
    }

    #[test]
    fn shows_the_difference_of_a_failed_case() {
        let home = tempfile::tempdir().unwrap();
        case(home.path(), "good", "a: 1\n", Some("verdict = \"accepted\"\n"));
        case(
            home.path(),
            "bad",
            "a: 1\n",
            Some("verdict = \"invalid\"\n[[finding]]\nseverity = \"error\"\ncode = \"x.y\"\n"),
        );
        assert_eq!(judge(home.path(), "good", false).unwrap(), Result::Passed);
        let Result::Failed(lines) = judge(home.path(), "bad", false).unwrap() else { panic!("it passed") };
        assert!(lines.contains(&"- verdict = \"invalid\"".to_owned()), "{lines:?}");
        assert!(lines.contains(&"+ verdict = \"accepted\"".to_owned()), "{lines:?}");
        fs::write(home.path().join("good/output"), "left over").unwrap();
        let Result::Failed(lines) = judge(home.path(), "good", false).unwrap() else { panic!("it passed") };
        assert_eq!(lines, ["returned no content for output"]);
    }

    #[test]
    fn update_writes_what_passes_then() {
        let home = tempfile::tempdir().unwrap();
        case(home.path(), "new", "a: 1\n", None);
        let Result::Failed(lines) = judge(home.path(), "new", false).unwrap() else { panic!("it passed") };
        assert!(lines[0].starts_with("has no expected.toml"), "{lines:?}");
        assert_eq!(judge(home.path(), "new", true).unwrap(), Result::Updated);
        assert_eq!(fs::read_to_string(home.path().join("new/expected.toml")).unwrap(), "verdict = \"accepted\"\n");
        assert_eq!(judge(home.path(), "new", false).unwrap(), Result::Passed);
    }

    #[test]
    fn a_refused_configuration_can_be_expected() {
        let home = tempfile::tempdir().unwrap();
        case(home.path(), "wrong", "a: 1\n", Some("verdict = \"failed\"\nreason = \"configuration\"\n"));
        fs::write(home.path().join("wrong/config.toml"), "sites = []\n").unwrap();
        assert_eq!(judge(home.path(), "wrong", false).unwrap(), Result::Passed);
    }

    #[test]
    fn mistakes_in_a_case_name_the_file() {
        let home = tempfile::tempdir().unwrap();
        for (file, text) in
            [("expected.toml", "verdikt = 1"), ("context.toml", "direction = \"up\""), ("config.toml", "=")]
        {
            case(home.path(), "wrong", "a: 1\n", Some("verdict = \"accepted\"\n"));
            fs::write(home.path().join("wrong").join(file), text).unwrap();
            let error = judge(home.path(), "wrong", false).unwrap_err().to_string();
            assert!(error.contains(file), "{error}");
            fs::remove_file(home.path().join("wrong").join(file)).unwrap();
        }
        assert!(cases(home.path().join("wrong").as_path()).unwrap_err().to_string().contains("holds no case"));
    }
}
