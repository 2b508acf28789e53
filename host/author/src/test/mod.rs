//! `sesame plugin test`: runs a component on a folder of test cases with the code and limits of the running program, and
//! compares the results with the expected ones.
//!
//! # On disk
//! A case is a folder with the file `message`. `context.toml` is its context (`case`),
//! `config.toml` is the plugin's own table in place of the sidecar's, `expected.toml` is the answer (`answer`), with
//! the content in `output` or, of a split, in `output.1`, `output.2` and so on.

mod answer;
mod case;
mod coverage;
mod difference;
pub(super) mod native;
mod results;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, ensure};

use self::answer::{Answer, Content};
pub(super) use self::case::Case;
pub(super) use self::results::{Tested, Verdict, line, sum};
use super::{Host, Test};
use plugins::{Outcome, Pipeline, PluginError, Plugins, Sidecar};
use terminal::{EXIT_DONE, EXIT_FAILED, say};

pub(super) fn run(arguments: &Test, host: &Host) -> anyhow::Result<u8> {
    let Test { file, cases, update, json, junit, coverage } = arguments;
    let show = if *json { |_: &Tested| {} } else { line };
    let Some(tested) = each(file, cases, *update, host, show)? else { return Ok(EXIT_FAILED) };
    if *json {
        results::json(file, &tested);
    } else {
        sum(&tested);
    }
    if let Some(path) = junit {
        results::junit(path, file, &tested)?;
    }
    let mut failed = tested.iter().any(|tested| tested.verdict.is_failed());
    if *coverage {
        failed |= !coverage::run(file)?;
    }
    Ok(if failed { EXIT_FAILED } else { EXIT_DONE })
}

/// Runs each case and shows its result. `None` where the component is refused, which was said.
pub(super) fn each(
    file: &Path,
    folder: &Path,
    update: bool,
    host: &Host,
    show: fn(&Tested),
) -> anyhow::Result<Option<Vec<Tested>>> {
    let folders = cases(folder)?;
    let plugins = (host.plugins)()?;
    if !can_be_used(file, &plugins, "tested")? {
        return Ok(None);
    }
    let settings = super::settings_beside(file)?;
    let mut bench = Bench { plugins: &plugins, file, settings, max_payload: host.max_payload, kept: None };
    let mut all = Vec::with_capacity(folders.len());
    for folder in folders {
        let begun = Instant::now();
        let verdict = bench.judge(&folder, update)?;
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let tested = Tested { name, verdict, time: begun.elapsed() };
        show(&tested);
        all.push(tested);
    }
    Ok(Some(all))
}

/// Whether a host accepts the component; why not is said.
pub(super) fn can_be_used(file: &Path, plugins: &Plugins, what_for: &str) -> anyhow::Result<bool> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let found = plugins.inspect(&file.to_string_lossy(), &bytes).found;
    if let Err(error) = &found {
        say(&format!("sesame: {} cannot be {what_for}: it {error}", file.display()));
    }
    Ok(found.is_ok())
}

/// The folders of the cases, in the order of their names.
pub(super) fn cases(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
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
    fn judge(&mut self, folder: &Path, update: bool) -> anyhow::Result<Verdict> {
        let case = Case::read(folder, &self.settings)?;
        let (found, contents) = self.ask(&case);
        let wanted = match Answer::read(folder)? {
            Some(wanted) => wanted,
            None if update => return write_down(folder, &found, &contents),
            None => return Ok(Verdict::Failed(vec!["has no expected.toml: write it, or use --update".into()])),
        };
        let lines = differences(folder, &wanted, &found, &contents)?;
        match lines.is_empty() {
            true => Ok(Verdict::Passed),
            false if update => write_down(folder, &found, &contents),
            false => Ok(Verdict::Failed(lines)),
        }
    }

    fn ask(&mut self, case: &Case) -> (Answer, Vec<Content>) {
        match pipeline(self.plugins, self.file, case, self.max_payload) {
            Ok(pipeline) => {
                let outcome: Outcome = pipeline.run(&case.input(), &case.message);
                self.kept = Some(pipeline);
                Answer::of(outcome)
            }
            Err(reason) => (Answer::failed(reason), Vec::new()),
        }
    }
}

/// The pipeline of the component alone that this case is asked, or why there is none.
pub(super) fn pipeline(plugins: &Plugins, file: &Path, case: &Case, max_payload: usize) -> Result<Pipeline, String> {
    let settings = case.settings.clone();
    let mut settings = super::pipeline_of(file, settings, &case.channel, case.direction, max_payload);
    settings.routes.clone_from(&case.routes);
    let words = |errors: Vec<PluginError>| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    Pipeline::load(plugins, settings).map_err(words)
}

/// Why the case in `folder` failed; nothing if it passed.
fn differences(folder: &Path, wanted: &Answer, found: &Answer, given: &[Content]) -> anyhow::Result<Vec<String>> {
    let mut lines = difference::of_lines(&wanted.lines()?, &found.like(wanted).lines()?);
    lines.extend(contents(folder, given)?);
    Ok(lines)
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

fn write_down(folder: &Path, found: &Answer, contents: &[Content]) -> anyhow::Result<Verdict> {
    for file in output_files(folder)? {
        fs::remove_file(folder.join(&file)).with_context(|| format!("cannot remove {file}"))?;
    }
    let mut files: Vec<(&str, Vec<u8>)> = vec![("expected.toml", found.without_texts().to_toml()?.into_bytes())];
    files.extend(contents.iter().map(|content| (content.file.as_str(), content.bytes.clone())));
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).with_context(|| format!("cannot write {name} of {}", folder.display()))?;
    }
    Ok(Verdict::Updated)
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
    fn judge(cases: &Path, name: &str, update: bool) -> anyhow::Result<Verdict> {
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
        assert_eq!(judge(home.path(), "good", false).unwrap(), Verdict::Passed);
        let Verdict::Failed(lines) = judge(home.path(), "bad", false).unwrap() else { panic!("it passed") };
        assert!(lines.contains(&"- verdict = \"invalid\"".to_owned()), "{lines:?}");
        assert!(lines.contains(&"+ verdict = \"accepted\"".to_owned()), "{lines:?}");
        fs::write(home.path().join("good/output"), "left over").unwrap();
        let Verdict::Failed(lines) = judge(home.path(), "good", false).unwrap() else { panic!("it passed") };
        assert_eq!(lines, ["returned no content for output"]);
    }

    #[test]
    fn update_writes_what_passes_then() {
        let home = tempfile::tempdir().unwrap();
        case(home.path(), "new", "a: 1\n", None);
        let Verdict::Failed(lines) = judge(home.path(), "new", false).unwrap() else { panic!("it passed") };
        assert!(lines[0].starts_with("has no expected.toml"), "{lines:?}");
        assert_eq!(judge(home.path(), "new", true).unwrap(), Verdict::Updated);
        assert_eq!(fs::read_to_string(home.path().join("new/expected.toml")).unwrap(), "verdict = \"accepted\"\n");
        assert_eq!(judge(home.path(), "new", false).unwrap(), Verdict::Passed);
    }

    #[test]
    fn a_refused_configuration_can_be_expected() {
        let home = tempfile::tempdir().unwrap();
        case(home.path(), "wrong", "a: 1\n", Some("verdict = \"failed\"\nreason = \"configuration\"\n"));
        fs::write(home.path().join("wrong/config.toml"), "sites = []\n").unwrap();
        assert_eq!(judge(home.path(), "wrong", false).unwrap(), Verdict::Passed);
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
