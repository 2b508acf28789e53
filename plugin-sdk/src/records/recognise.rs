//! The format of a message in XML or JSON, as the consumer recognises it: XML by the namespace of the root, JSON by its
//! `Type`.

use super::report::broken;
use super::xml::{self, Document};
use super::{NOT_RECOGNISED, Rules, accelerator, accelerator_summary, car, json, star, usage_json};
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
    let kind = document.root().and_then(|root| root.get("Type"));
    match kind.filter(|kind| kind.kind() == json::Kind::Text).map(|kind| kind.text()).as_deref() {
        Some(accelerator::TYPE) => accelerator::check_document(&document, rules),
        Some(accelerator_summary::TYPE) => accelerator_summary::check_document(&document, rules),
        _ => {
            let text = "the JSON object has no Type that the consumer recognises";
            let value = kind.map(|kind| kind.text());
            vec![broken("message", NOT_RECOGNISED, None, Some("Type"), value.as_deref(), text)]
        }
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
    let (format, rule, text) = match found {
        star::NAMESPACE | car::NAMESPACE => {
            ("xml", "wrong-format", "the message has records of another format than expected")
        }
        car::AGGREGATED => {
            ("xml", "not-supported", "the message has aggregated records, which the consumer does not support")
        }
        _ => {
            let text = "the root element's namespace is of no format that the consumer recognises";
            ("message", NOT_RECOGNISED, text)
        }
    };
    broken(format, rule, None, Some("namespace-uri(/*)"), Some(found), text)
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
            (with("http://example.org/"), "message.type-not-recognised"),
            ("<a/>".to_owned(), "message.type-not-recognised"),
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
    fn a_type_that_is_not_recognised_is_named() {
        let rules = Rules { now: 0, strict: false };
        for (message, value) in [
            ("{\"Type\": \"APEL Public IP message\"}", Some("APEL Public IP message")),
            ("{\"Type\": {\"a\": 1}}", Some("{\"a\": 1}")),
            ("{\"header\": {\"a\": \"b\"}, \"body\": \"text\"}", None),
            ("<a xmlns='urn:a'/>", Some("urn:a")),
            ("<a/>", Some("")),
            ("APEL-energy-message: v0.1\nSite: x", Some("APEL-energy-message: v0.1")),
            ("[{\"Type\": \"a\"}]", Some("[{\"Type\": \"a\"}]")),
            ("hello", Some("hello")),
        ] {
            let findings = super::super::check(message.as_bytes(), &rules);
            let [finding] = findings.as_slice() else { panic!("{message}: {findings:?}") };
            assert_eq!(
                (finding.code.as_str(), finding.value.as_deref()),
                (super::super::TYPE_NOT_RECOGNISED, value),
                "{message}"
            );
        }
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
            (with("\"APEL Public IP message\""), &["message.type-not-recognised"]),
            (with("1"), &["message.type-not-recognised"]),
            ("{}".to_owned(), &["message.type-not-recognised"]),
            ("{".to_owned(), &["json.malformed"]),
            ("[]".to_owned(), &["json.not-json"]),
        ] {
            assert_eq!(codes(&check_json(message.as_bytes(), &rules)), expected, "{message}");
        }
    }
}
