//! What a plugin or a pipeline said about a message, as far as it is compared.

use super::Fates;
use crate::component::bindings::types::Message;
use crate::pipeline::Outcome;
use crate::pipeline::answered::Answered;
use crate::pipeline::stage::{Answer, Change, Piece, RefusedPiece, Stop};
use message::Finding;
use sha2::{Digest as _, Sha256};

/// A verdict.
#[derive(Debug)]
pub(super) struct Verdict {
    words: &'static str,
    /// Whether a part of a split was refused.
    refuses: bool,
    findings: Vec<Finding>,
    /// A hash of content, headers and routes.
    content: Option<[u8; 32]>,
    /// Whether only what becomes of the message is compared.
    of_pipeline: bool,
}

/// What became of a message in the pipeline.
const ACCEPTED: &str = "accepted";
const REJECTED: &str = "rejected";
const DROPPED: &str = "dropped";

impl Verdict {
    /// That of a plugin; none if it failed.
    pub(super) fn of(answer: &Result<Answer, Stop>) -> Option<Self> {
        let (words, findings) = match answer {
            Ok(answer) => (Answered::from(&answer.change).word(), answer.findings.clone()),
            Err(Stop::Invalid(findings)) => (Answered::Rejected.word(), findings.clone()),
            Err(Stop::Retry { .. }) => (Answered::Retry.word(), Vec::new()),
            Err(Stop::Fault(_)) => return None,
        };
        let change = answer.as_ref().ok().map(|answer| &answer.change);
        let refuses = matches!(change, Some(Change::Split(parts)) if parts.iter().any(Result::is_err));
        let findings = findings.into_iter().chain(change.into_iter().flat_map(of_change)).map(without_value).collect();
        Some(Self { words, refuses, findings, content: change.and_then(content), of_pipeline: false })
    }

    /// That of the whole pipeline; none if the message comes again.
    pub(super) fn of_pipeline(outcome: &Outcome, fates: Fates) -> Option<Self> {
        let (words, findings): (_, &[Finding]) = match outcome {
            Outcome::Invalid { findings, .. } => (REJECTED, findings),
            Outcome::Dropped { finding, .. } => (DROPPED, std::slice::from_ref(finding)),
            Outcome::Pass { .. } if fates.rejected => (REJECTED, &[]),
            Outcome::Pass { .. } if fates.accepted => (ACCEPTED, &[]),
            Outcome::Pass { .. } => (DROPPED, &[]),
            Outcome::Retry { .. } | Outcome::Failed { .. } => return None,
        };
        let findings = findings.iter().cloned().map(without_value).collect();
        Some(Self { words, refuses: false, findings, content: None, of_pipeline: true })
    }

    pub(super) fn is_of_pipeline(&self) -> bool {
        self.of_pipeline
    }

    /// What a pipeline of this plugin alone would decide.
    pub(super) fn into_pipeline(self) -> Self {
        let words = match self.words {
            "unchanged" | "changed" => ACCEPTED,
            "split" if self.refuses => REJECTED,
            "split" => ACCEPTED,
            words => words,
        };
        Self { words, content: None, of_pipeline: true, ..self }
    }

    /// If the other differs: the words for both, and the first finding that only one of them has.
    pub(super) fn difference(&self, other: &Self) -> Option<(String, String, Option<Finding>)> {
        let words = self.words != other.words;
        let content = self.content != other.content;
        let findings = !self.of_pipeline && keys(&self.findings) != keys(&other.findings);
        if !(words || content || findings) {
            return None;
        }
        let shown = match (words, content) {
            (true, _) => other.words.to_owned(),
            (false, true) => format!("{}, other content, headers or routes", other.words),
            (false, false) => format!("{}, other findings", other.words),
        };
        let only = |these: &[Finding], those: &[Finding]| {
            let known = keys(those);
            these.iter().find(|finding| !known.contains(&key(finding))).cloned()
        };
        let finding = only(&other.findings, &self.findings).or_else(|| only(&self.findings, &other.findings));
        Some((self.words.to_owned(), shown, finding))
    }
}

type Key<'a> = (&'a str, Option<u32>, Option<&'a str>);

fn key(finding: &Finding) -> Key<'_> {
    (&finding.code, finding.record_number, finding.field.as_deref())
}

fn keys(findings: &[Finding]) -> Vec<Key<'_>> {
    findings.iter().map(key).collect()
}

/// What the message has there is stored only with it.
fn without_value(finding: Finding) -> Finding {
    Finding { value: None, ..finding }
}

/// The findings in a change.
fn of_change(change: &Change) -> Vec<Finding> {
    match change {
        Change::Kept(_) | Change::Replaced(_) => Vec::new(),
        Change::Split(parts) => {
            parts.iter().filter_map(|part| part.as_ref().err()).flat_map(|part| part.findings.clone()).collect()
        }
        Change::Dropped(finding) => vec![finding.clone()],
    }
}

fn content(change: &Change) -> Option<[u8; 32]> {
    let mut sha = Sha256::new();
    match change {
        Change::Kept(routes) => add_routes(&mut sha, routes),
        Change::Replaced(piece) => add_piece(&mut sha, piece),
        Change::Split(parts) => parts.iter().for_each(|part| match part {
            Ok(piece) => add_piece(&mut sha, piece),
            Err(RefusedPiece { message, .. }) => {
                add(&mut sha, b"refused");
                add_message(&mut sha, message);
            }
        }),
        Change::Dropped(_) => return None,
    }
    Some(sha.finalize().into())
}

/// With its length, so that no two contents give the same input.
fn add(sha: &mut Sha256, bytes: &[u8]) {
    sha.update((bytes.len() as u64).to_le_bytes());
    sha.update(bytes);
}

fn add_routes(sha: &mut Sha256, routes: &[String]) {
    routes.iter().for_each(|route| add(sha, route.as_bytes()));
}

fn add_message(sha: &mut Sha256, message: &Message) {
    add(sha, message.context.content_type.as_deref().unwrap_or_default().as_bytes());
    add(sha, &message.payload);
}

fn add_piece(sha: &mut Sha256, piece: &Piece) {
    add_message(sha, &piece.message);
    for (name, value) in &piece.headers {
        add(sha, name.as_bytes());
        add(sha, value.as_bytes());
    }
    add(sha, b"routes");
    add_routes(sha, &piece.routes);
}
