//! The answer of a plugin without the secrets it was given: findings and reasons go to logs and journals.

use message::Finding;

use super::stage::{Answer, Change, Stop};
use crate::instance::Fault;
use crate::resources::Redaction;

/// The answer with each secret in its texts replaced. Payloads are what the plugin makes of them.
pub(super) fn answer(answer: Result<Answer, Stop>, redaction: &Redaction) -> Result<Answer, Stop> {
    if redaction.is_empty() {
        return answer;
    }
    let finding = |found: Finding| finding(found, redaction);
    let all = |found: Vec<Finding>| found.into_iter().map(finding).collect();
    match answer {
        Ok(Answer { findings, change }) => {
            let change = match change {
                Change::Dropped(found) => Change::Dropped(finding(found)),
                Change::Split(mut pieces) => {
                    for refused in pieces.iter_mut().filter_map(|piece| piece.as_mut().err()) {
                        refused.findings = all(std::mem::take(&mut refused.findings));
                    }
                    Change::Split(pieces)
                }
                other => other,
            };
            Ok(Answer { findings: all(findings), change })
        }
        Err(Stop::Invalid(findings)) => Err(Stop::Invalid(all(findings))),
        Err(Stop::Retry { after, reason }) => Err(Stop::Retry { after, reason: redaction.apply(reason) }),
        Err(Stop::Fault(Fault::Internal(text))) => Err(Stop::Fault(Fault::Internal(redaction.apply(text)))),
        Err(Stop::Fault(fault)) => Err(Stop::Fault(fault)),
    }
}

fn finding(found: Finding, redaction: &Redaction) -> Finding {
    let apply = |text: Option<String>| text.map(|text| redaction.apply(text));
    Finding {
        code: redaction.apply(found.code),
        text: redaction.apply(found.text),
        field: apply(found.field),
        value: apply(found.value),
        ..found
    }
}
