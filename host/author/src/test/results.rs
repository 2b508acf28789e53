//! The results of test cases: lines for people, JSON, and the XML of JUnit, which build servers read.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use quick_xml::Writer;
use quick_xml::events::BytesText;
use serde_json::{Value, json};

use super::super::output;

/// What became of a test case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    /// The expected results were overwritten.
    Updated,
    /// The lines that show why.
    Failed(Vec<String>),
}

impl Verdict {
    pub(crate) fn is_failed(&self) -> bool {
        matches!(self, Self::Failed(_))
    }
}

/// A test case with its result.
#[derive(Clone, Debug)]
pub(crate) struct Tested {
    pub(crate) name: String,
    pub(crate) verdict: Verdict,
    pub(crate) time: Duration,
}

impl Tested {
    /// The lines that show why it failed.
    fn why(&self) -> &[String] {
        if let Verdict::Failed(lines) = &self.verdict { lines } else { &[] }
    }
}

/// Shows one result.
pub(crate) fn line(tested: &Tested) {
    let name = &tested.name;
    match &tested.verdict {
        Verdict::Passed => output::line(&format!("ok      {name}")),
        Verdict::Updated => output::line(&format!("updated {name}")),
        Verdict::Failed(_) => output::line(&format!("FAILED  {name}")),
    }
    tested.why().iter().for_each(|line| output::line(&format!("        {line}")));
}

/// Shows how many cases passed.
pub(crate) fn sum(all: &[Tested]) {
    let failed = failures(all);
    output::line(&format!("{} passed, {failed} failed", all.len() - failed));
}

fn failures(all: &[Tested]) -> usize {
    all.iter().filter(|tested| tested.verdict.is_failed()).count()
}

/// Prints the results as one JSON object.
pub(super) fn json(component: &Path, all: &[Tested]) {
    output::json(&json_of(component, all));
}

fn json_of(component: &Path, all: &[Tested]) -> Value {
    let case = |tested: &Tested| {
        let result = match tested.verdict {
            Verdict::Passed => "passed",
            Verdict::Updated => "updated",
            Verdict::Failed(_) => "failed",
        };
        json!({ "name": tested.name, "result": result, "seconds": seconds(tested.time), "difference": tested.why() })
    };
    let failed = failures(all);
    json!({
        "component": component.display().to_string(), "passed": all.len() - failed, "failed": failed,
        "cases": all.iter().map(case).collect::<Vec<_>>(),
    })
}

/// Writes the results to `path`, in the form in which JUnit's reporters write them.
pub(super) fn junit(path: &Path, component: &Path, all: &[Tested]) -> anyhow::Result<()> {
    let suite = component.file_stem().unwrap_or_default().to_string_lossy();
    let mut bytes = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_vec();
    write_suites(&mut Writer::new_with_indent(&mut bytes, b' ', 2), &suite, all)?;
    bytes.push(b'\n');
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

fn write_suites(writer: &mut Writer<&mut Vec<u8>>, suite: &str, all: &[Tested]) -> std::io::Result<()> {
    let (tests, failed) = (all.len().to_string(), failures(all).to_string());
    let time = seconds(all.iter().map(|tested| tested.time).sum()).to_string();
    let counts = [("tests", tests.as_str()), ("failures", failed.as_str()), ("time", time.as_str())];
    writer.create_element("testsuites").with_attributes(counts).write_inner_content(|writer| {
        let named = writer.create_element("testsuite").with_attribute(("name", printable(suite).as_str()));
        named
            .with_attributes(counts)
            .write_inner_content(|writer| all.iter().try_for_each(|tested| write_case(writer, suite, tested)))?;
        Ok(())
    })?;
    Ok(())
}

fn write_case(writer: &mut Writer<&mut Vec<u8>>, suite: &str, tested: &Tested) -> std::io::Result<()> {
    let (suite, name, time) = (printable(suite), printable(&tested.name), seconds(tested.time).to_string());
    let attributes = [("classname", suite.as_str()), ("name", name.as_str()), ("time", time.as_str())];
    let case = writer.create_element("testcase").with_attributes(attributes);
    if !tested.verdict.is_failed() {
        case.write_empty()?;
        return Ok(());
    }
    case.write_inner_content(|writer| {
        let failure = writer.create_element("failure");
        let failure = failure.with_attribute(("message", "the results are not the expected ones"));
        failure.write_text_content(BytesText::new(&printable(&tested.why().join("\n"))))?;
        Ok(())
    })?;
    Ok(())
}

/// The text without what XML 1.0 (clause 2.2) has no characters for.
fn printable(text: &str) -> String {
    let allowed = |c: char| matches!(c, '\t' | '\n' | ' '..='\u{fffd}' | '\u{10000}'..);
    text.chars().map(|c| if allowed(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}

fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results() -> Vec<Tested> {
        let time = Duration::from_millis(250);
        let lines = vec!["- verdict = \"invalid\"".to_owned(), "+ \u{1}<b>&amp;]]>".to_owned()];
        vec![
            Tested { name: "good".to_owned(), verdict: Verdict::Passed, time },
            Tested { name: "a \"b\" <c>".to_owned(), verdict: Verdict::Failed(lines), time },
        ]
    }

    #[test]
    fn json_has_each_case_with_its_difference() {
        let told = json_of(Path::new("sites.wasm"), &results());
        assert_eq!((&told["passed"], &told["failed"]), (&json!(1), &json!(1)));
        let expected = json!({ "name": "good", "result": "passed", "seconds": 0.25, "difference": [] });
        assert_eq!(told["cases"][0], expected);
        assert_eq!(told["cases"][1]["difference"][0], "- verdict = \"invalid\"");
    }

    #[test]
    fn junit_s_form_is_well_formed_whatever_is_in_it() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("results.xml");
        junit(&path, Path::new("x/sites.wasm"), &results()).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("<testsuite name=\"sites\" tests=\"2\" failures=\"1\" time=\"0.5\">"), "{text}");
        assert!(text.contains("<testcase classname=\"sites\" name=\"good\" time=\"0.25\"/>"), "{text}");
        assert!(text.contains("\u{fffd}&lt;b&gt;&amp;amp;]]&gt;"), "{text}");
        assert!(junit(Path::new("/nowhere/results.xml"), Path::new("a.wasm"), &[]).is_err());
    }
}
