//! What came out of a case, in the form of `expected.toml`.
//!
//! A key that `expected.toml` leaves out of a finding is not compared, and `reason` needs to be part of what was said;
//! all else is compared whole.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::case;
use message::{self, Severity};
use plugins::{Outcome, Output, Refused};

/// What became of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    /// It goes on as it came.
    Accepted,
    /// It goes on with new content.
    Replaced,
    /// It goes on in parts.
    Split,
    /// It ends here on purpose.
    Dropped,
    /// It goes to the reject queue.
    Invalid,
    /// It waits.
    Retry,
    /// The plugin failed.
    Failed,
}

/// `expected.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Answer {
    verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    routes: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    headers: BTreeMap<String, String>,
    #[serde(rename = "finding", skip_serializing_if = "Vec::is_empty", default)]
    findings: Vec<Finding>,
    #[serde(rename = "part", skip_serializing_if = "Vec::is_empty", default)]
    parts: Vec<Part>,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Finding {
    severity: Severity,
    code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

/// One part of a split.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Part {
    /// Whether it goes to the reject queue.
    refused: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    routes: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, String>,
    #[serde(rename = "finding", skip_serializing_if = "Vec::is_empty")]
    findings: Vec<Finding>,
}

/// Content that came out, and the file that holds what is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) file: String,
    pub(super) bytes: Vec<u8>,
}

impl Answer {
    /// What is expected of the case in `folder`, if it says so.
    pub(super) fn read(folder: &Path) -> anyhow::Result<Option<Self>> {
        case::read(&folder.join("expected.toml"))
    }

    fn new(verdict: Verdict) -> Self {
        let (reason, after, content_type) = (None, None, None);
        let (routes, headers, findings, parts) = (Vec::new(), BTreeMap::new(), Vec::new(), Vec::new());
        Self { verdict, reason, after, content_type, routes, headers, findings, parts }
    }

    /// The plugin could not answer.
    pub(super) fn failed(reason: String) -> Self {
        Self { reason: Some(reason), ..Self::new(Verdict::Failed) }
    }

    /// What a pipeline made of the message.
    pub(super) fn of(outcome: Outcome) -> (Self, Vec<Content>) {
        let answer = match outcome {
            Outcome::Pass { outputs, refused, findings } => {
                let (answer, contents) = passed(outputs, refused);
                return (Self { findings: findings.into_iter().map(Finding::from).collect(), ..answer }, contents);
            }
            Outcome::Dropped { finding, .. } => Self { findings: vec![finding.into()], ..Self::new(Verdict::Dropped) },
            Outcome::Invalid { findings, .. } => {
                Self { findings: findings.into_iter().map(Finding::from).collect(), ..Self::new(Verdict::Invalid) }
            }
            Outcome::Retry { after, reason, .. } => {
                let after = after.and_then(|after| u64::try_from(after.as_millis()).ok());
                Self { reason: Some(reason), after, ..Self::new(Verdict::Retry) }
            }
            Outcome::Failed { error, .. } => Self::failed(error.to_string()),
        };
        (answer, Vec::new())
    }

    /// This answer with what `wanted` does not ask about left out.
    pub(super) fn like(&self, wanted: &Self) -> Self {
        let mut like = self.clone();
        like.reason = match (&self.reason, &wanted.reason) {
            (Some(said), Some(part)) if said.contains(part) => Some(part.clone()),
            (said, Some(_)) => said.clone(),
            // An unexpected verdict needs its reason.
            (said, None) => said.clone().filter(|_| self.verdict != wanted.verdict),
        };
        like.after = self.after.filter(|_| wanted.after.is_some());
        same_keys(&mut like.findings, &wanted.findings);
        for (part, wanted) in like.parts.iter_mut().zip(&wanted.parts) {
            same_keys(&mut part.findings, &wanted.findings);
        }
        like
    }

    /// What is worth writing down: findings are known by their codes, and their words may be improved.
    pub(super) fn without_texts(&self) -> Self {
        let mut answer = self.clone();
        let of_parts = answer.parts.iter_mut().flat_map(|part| part.findings.iter_mut());
        answer.findings.iter_mut().chain(of_parts).for_each(|finding| finding.text = None);
        answer
    }

    pub(super) fn to_toml(&self) -> anyhow::Result<String> {
        Ok(toml::to_string(self)?)
    }

    pub(super) fn lines(&self) -> anyhow::Result<Vec<String>> {
        Ok(self.to_toml()?.lines().map(str::to_owned).collect())
    }
}

/// Leaves out of each finding what the one in its place does not ask about.
fn same_keys(found: &mut [Finding], wanted: &[Finding]) {
    for (found, wanted) in found.iter_mut().zip(wanted) {
        found.record = found.record.filter(|_| wanted.record.is_some());
        found.field = found.field.take().filter(|_| wanted.field.is_some());
        found.value = found.value.take().filter(|_| wanted.value.is_some());
        found.text = found.text.take().filter(|_| wanted.text.is_some());
    }
    for surplus in found.iter_mut().skip(wanted.len()) {
        surplus.text = None;
    }
}

fn passed(outputs: Vec<Output>, refused: Vec<Refused>) -> (Answer, Vec<Content>) {
    if let ([only], true) = (outputs.as_slice(), refused.is_empty())
        && only.part.is_none()
    {
        let Output { payload, content_type, headers, routes, .. } = only.clone();
        let verdict = if payload.is_some() { Verdict::Replaced } else { Verdict::Accepted };
        let contents = payload.map(|bytes| Content { file: "output".to_owned(), bytes });
        let headers = headers.into_iter().collect();
        return (Answer { content_type, routes, headers, ..Answer::new(verdict) }, contents.into_iter().collect());
    }
    let going_on = outputs.into_iter().map(|output| {
        let Output { payload, content_type, headers, routes, part } = output;
        let described = Part { content_type, routes, headers: headers.into_iter().collect(), ..Part::default() };
        (part.unwrap_or(0), described, payload.unwrap_or_default())
    });
    let stopped = refused.into_iter().map(|refused| {
        let findings = refused.findings.into_iter().map(Finding::from).collect();
        let described = Part { refused: true, content_type: refused.content_type, findings, ..Part::default() };
        (refused.part, described, refused.payload)
    });
    let mut all: Vec<(usize, Part, Vec<u8>)> = going_on.chain(stopped).collect();
    all.sort_by_key(|(number, ..)| *number);
    let (mut parts, mut contents) = (Vec::new(), Vec::new());
    for (number, part, bytes) in all {
        parts.push(part);
        contents.push(Content { file: format!("output.{number}"), bytes });
    }
    (Answer { parts, ..Answer::new(Verdict::Split) }, contents)
}

impl From<message::Finding> for Finding {
    fn from(finding: message::Finding) -> Self {
        let message::Finding { severity, code, text, record_number, field, value } = finding;
        Self { severity, code, record: record_number, field, value, text: Some(text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(code: &str) -> message::Finding {
        message::Finding {
            severity: Severity::Error,
            code: code.to_owned(),
            text: "is wrong".to_owned(),
            record_number: Some(2),
            field: Some("Site".to_owned()),
            value: Some("X".to_owned()),
        }
    }

    fn parse(text: &str) -> Answer {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_finding_is_compared_in_the_keys_that_are_expected() {
        let (found, _) = Answer::of(Outcome::Invalid { findings: vec![finding("a.b")], plugin: "p".to_owned() });
        let wanted = parse("verdict = \"invalid\"\n[[finding]]\nseverity = \"error\"\ncode = \"a.b\"\n");
        assert_eq!(found.like(&wanted), wanted);
        let other = parse("verdict = \"invalid\"\n[[finding]]\nseverity = \"error\"\ncode = \"a.b\"\nrecord = 3\n");
        assert_ne!(found.like(&other), other);
    }

    #[test]
    fn a_reason_is_a_part_of_what_was_said() {
        let found = Answer::failed("plugin p stopped with a panic".to_owned());
        let wanted = parse("verdict = \"failed\"\nreason = \"a panic\"\n");
        assert_eq!(found.like(&wanted), wanted);
        let other = parse("verdict = \"failed\"\nreason = \"a deadline\"\n");
        assert_ne!(found.like(&other), other);
    }

    #[test]
    fn parts_are_told_in_order_with_their_files() {
        let output = |part| Output {
            payload: Some(vec![b'o']),
            content_type: None,
            headers: vec![("h".to_owned(), "1".to_owned())],
            routes: vec!["cloud".to_owned()],
            part: Some(part),
        };
        let refused = Refused {
            payload: vec![b'r'],
            content_type: None,
            findings: vec![finding("a.b")],
            plugin: "p".to_owned(),
            part: 2,
        };
        let outcome =
            Outcome::Pass { outputs: vec![output(1), output(3)], refused: vec![refused], findings: Vec::new() };
        let (answer, contents) = Answer::of(outcome);
        let files: Vec<&str> = contents.iter().map(|content| content.file.as_str()).collect();
        assert_eq!(files, ["output.1", "output.2", "output.3"]);
        let written = answer.without_texts().to_toml().unwrap();
        assert_eq!(parse(&written), answer.without_texts());
        assert_eq!(answer.parts.iter().map(|part| part.refused).collect::<Vec<_>>(), [false, true, false]);
        assert!(!written.contains("is wrong"), "{written}");
    }
}
