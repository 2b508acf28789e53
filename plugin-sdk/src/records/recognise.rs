//! Which format a message in XML or JSON is of, as the consumer tells it: XML by the namespace of the root, JSON by its
//! `Type`.

use super::xml::{self, Document};
use super::{Rules, accelerator, accelerator_summary, car, star, usage_json};
use crate::Finding;

/// All findings about a message whose stripped text begins with `<`.
#[must_use]
pub fn check_xml(payload: &[u8], rules: &Rules) -> Vec<Finding> {
    let document = match xml::message(payload) {
        Ok(document) => document,
        Err(findings) => return findings,
    };
    match document.root_namespace() {
        star::NAMESPACE => star::check_document(&document, rules),
        car::NAMESPACE => car::check_document(&document, rules),
        _ => vec![not_recognised(&document)],
    }
}

/// All findings about a message whose stripped text begins with `{`.
#[must_use]
pub fn check_json(payload: &[u8], rules: &Rules) -> Vec<Finding> {
    let document = match usage_json::document(payload) {
        Ok(document) => document,
        Err(findings) => return findings,
    };
    match usage_json::type_of(&document).as_deref() {
        Some(accelerator_summary::TYPE) => accelerator_summary::check_document(&document, rules),
        _ => accelerator::check_document(&document, rules),
    }
}

/// Reads a message whose root is in `namespace`.
pub(super) fn xml_of<'a>(payload: &'a [u8], namespace: &str) -> Result<Document<'a>, Vec<Finding>> {
    let document = xml::message(payload)?;
    if document.root_namespace() != namespace {
        return Err(vec![not_recognised(&document)]);
    }
    Ok(document)
}

fn not_recognised(document: &Document<'_>) -> Finding {
    let found = document.root_namespace();
    let (code, text) = match found {
        star::NAMESPACE | car::NAMESPACE => {
            ("xml.wrong-format", "the message has records of another format than expected")
        }
        car::AGGREGATED => {
            ("xml.not-supported", "the message has aggregated records, which the consumer does not support")
        }
        _ => ("xml.not-recognised", "the root element's namespace is of no format that the consumer recognises"),
    };
    Finding::error(code, text).in_field("namespace-uri(/*)", super::quoted(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(findings: &[Finding]) -> Vec<&str> {
        findings.iter().map(|finding| finding.code.as_str()).collect()
    }

    #[test]
    fn xml_is_told_by_the_namespace_of_its_first_node() {
        let rules = Rules { now: 0, strict: false };
        let with = |namespace: &str| format!("<a xmlns='{namespace}'/>");
        for (message, code) in [
            (with(star::NAMESPACE), "star.no-record"),
            (with(car::NAMESPACE), "car.no-record"),
            (with(car::AGGREGATED), "xml.not-supported"),
            (with("http://example.org/"), "xml.not-recognised"),
            ("<a/>".to_owned(), "xml.not-recognised"),
            (format!("<!-- -->{}", with(star::NAMESPACE)), "xml.not-recognised"),
            (format!("<?p?>{}", with(star::NAMESPACE)), "xml.not-recognised"),
            (format!("<!DOCTYPE a>{}", with(star::NAMESPACE)), "xml.malformed"),
            ("<a>".to_owned(), "xml.malformed"),
            ("{}".to_owned(), "xml.not-xml"),
        ] {
            assert_eq!(codes(&check_xml(message.as_bytes(), &rules)), [code], "{message}");
        }
        let car = with(car::NAMESPACE);
        assert_eq!(codes(&star::check(car.as_bytes(), &rules)), ["xml.wrong-format"]);
        assert_eq!(codes(&check_xml(b"\xff", &rules)), ["message.not-utf8"]);
    }

    #[test]
    fn json_is_told_by_its_type() {
        let rules = Rules { now: 0, strict: false };
        let with = |kind: &str| format!("{{\"Type\": {kind}, \"Version\": \"0.1\", \"UsageRecords\": []}}");
        for (message, expected) in [
            (with("\"APEL-accelerator-message\""), &["accelerator.no-record"][..]),
            (
                with("\"APEL-accelerator-summary-message\""),
                &["accelerator-summary.not-accepted", "accelerator-summary.no-record"],
            ),
            (with("\"APEL Public IP message\""), &["accelerator.wrong-type"]),
            (with("1"), &["accelerator.wrong-type"]),
            ("{}".to_owned(), &["accelerator.wrong-type"]),
            ("{".to_owned(), &["json.malformed"]),
            ("[]".to_owned(), &["json.not-json"]),
        ] {
            assert_eq!(codes(&check_json(message.as_bytes(), &rules)), expected, "{message}");
        }
    }
}
