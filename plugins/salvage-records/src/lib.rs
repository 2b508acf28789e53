//! The stock plugin `builtin:salvage-records`: sends the good records of a message on and refuses the bad ones with
//! their findings, in one commit, so that one bad record does not hold back a thousand good ones.
//!
//! The verdicts are those of `builtin:any-record`, for each record alone; put this plugin in its place, not behind it.
//! The good records go on in one message and the bad ones into the reject queue in another, both with the header;
//! findings count records as they stood in the message that came. A record that is good alone and not beside the
//! others, such as one that repeats an identifier, is a bad one. Where the fault is not in single records, as in a
//! wrong header, or none is good, the whole message is invalid. Its `[config]` is that of `builtin:any-record`: `strict
//! = true` also refuses records for what the documents demand and the loader does not check, and `unknown-types =
//! "pass"` lets a message of no known type on.

use sesame_plugin::records::shape::Shape;
use sesame_plugin::records::{AllTypes, Findings};
use sesame_plugin::{Failure, Finding, Message, Output, Part, Plugin, Severity, Transformed, Transformer, Verdict};

/// How often the good records are looked at together; each time takes out at least one.
const MAX_ROUNDS: usize = 50;

struct SalvageRecords(AllTypes);

impl Plugin for SalvageRecords {
    type Config = AllTypes;
    const NAME: &'static str = "salvage-records";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Sends the good records of a message on and refuses the bad ones.";

    fn config_schema() -> Option<String> {
        Some(AllTypes::SCHEMA.to_owned())
    }

    fn new(setting: AllTypes) -> Result<Self, String> {
        Ok(Self(setting))
    }
}

impl Transformer for SalvageRecords {
    fn transform(&self, message: &Message) -> Result<Transformed, Failure> {
        let rules = self.0.rules(message);
        salvage(&message.payload, &|payload| self.0.check(payload, &rules))
    }
}

/// What the findings of a message are; it is bad if one of them is an error.
type Check<'c> = &'c dyn Fn(&[u8]) -> Vec<Finding>;

/// The records of a message, sorted into good and bad.
struct Sorted {
    /// For each record whether it is bad.
    bad: Vec<bool>,
    /// Of the bad ones.
    errors: Findings,
    /// Of the good ones.
    warnings: Findings,
}

fn salvage(payload: &[u8], check: Check<'_>) -> Result<Transformed, Failure> {
    let findings = check(payload);
    if !any_error(&findings) {
        return Ok(Transformed { verdict: Verdict::Unchanged, findings });
    }
    let Ok(shape) = Shape::cut(payload) else { return Err(Failure::Invalid(findings)) };
    let mut sorted = sort(&shape, check);
    // What is wrong with the message as a whole is wrong with each of its records, or with no record of those that are
    // good.
    let Some(good) = sorted.settle(&shape, check) else { return Err(Failure::Invalid(findings)) };
    let refused = Output::new(shape.build(&sorted.indices(true)));
    let parts = vec![
        Part { content: Output::new(good), refused: None },
        Part { content: refused, refused: Some(sorted.errors.finish()) },
    ];
    Ok(Transformed { verdict: Verdict::Split(parts), findings: sorted.warnings.finish() })
}

impl Sorted {
    /// The message of the good records, once those are taken out that are bad beside the others; None where that does
    /// not help, and where there is no good record left.
    fn settle(&mut self, shape: &Shape<'_>, check: Check<'_>) -> Option<Vec<u8>> {
        for _ in 0..MAX_ROUNDS {
            let indices = self.indices(false);
            if indices.is_empty() {
                return None;
            }
            let good = shape.build(&indices);
            let mut findings = check(&good);
            findings.retain(|finding| finding.severity == Severity::Error);
            if findings.is_empty() {
                return Some(good);
            }
            let mut helps = false;
            for finding in findings {
                let at = finding.record_number.and_then(|number| usize::try_from(number).ok()?.checked_sub(1));
                if let Some(&index) = at.and_then(|at| indices.get(at))
                    && let Some(bad) = self.bad.get_mut(index)
                {
                    (*bad, helps) = (true, true);
                    self.errors.push(finding.in_record(number(index)));
                }
            }
            if !helps {
                return None;
            }
        }
        None
    }

    /// The bad records, or the good ones, in order.
    fn indices(&self, bad: bool) -> Vec<usize> {
        self.bad.iter().enumerate().filter(|(_, is_bad)| **is_bad == bad).map(|(index, _)| index).collect()
    }
}

/// A record's number in the message, from 1.
fn number(index: usize) -> u32 {
    u32::try_from(index + 1).unwrap_or(u32::MAX)
}

/// Checks each record in a message of its own.
fn sort(shape: &Shape<'_>, check: Check<'_>) -> Sorted {
    let mut sorted =
        Sorted { bad: Vec::with_capacity(shape.len()), errors: Findings::new(), warnings: Findings::new() };
    for index in 0..shape.len() {
        let findings = check(&shape.build(&[index]));
        let bad = any_error(&findings);
        sorted.bad.push(bad);
        let kept = if bad { &mut sorted.errors } else { &mut sorted.warnings };
        for finding in findings {
            kept.push(finding.in_record(number(index)));
        }
    }
    sorted
}

fn any_error(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Error)
}

sesame_plugin::export!(SalvageRecords: transformer);

#[cfg(test)]
mod tests;
