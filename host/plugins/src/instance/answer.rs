//! Checks of what a guest returns. Nothing from a guest is used before it was checked here.
//!
//! # Policy
//! Findings are shortened and cleaned, because a message must not fail over a long text. Whatever takes effect (payloads,
//! content types, headers, routes) is refused as a whole if any of it is invalid. A refused answer is a fault of the
//! plugin, and its `on-error` applies.

use crate::component::bindings::transformer::{Output, Part};
use crate::component::bindings::types;
use crate::text::clean;
use message::{Finding, Severity};

/// Findings kept of one answer.
const FINDINGS: usize = 200;

/// Headers one output may set, and the bytes of one name and one value.
const HEADERS: usize = 32;
const HEADER_NAME: usize = 128;
const HEADER_VALUE: usize = 4096;

/// Parts of one split.
pub(crate) const MAX_PARTS: usize = 10_000;

/// Headers that have a meaning in STOMP, which only the host sets.
const RESERVED: [&str; 25] = [
    "accept-version",
    "ack",
    "content-length",
    "content-type",
    "destination",
    "heart-beat",
    "host",
    "id",
    "login",
    "message",
    "message-id",
    "passcode",
    "persistent",
    "prefetch-count",
    "receipt",
    "receipt-id",
    "redelivered",
    "reply-to",
    "selector",
    "server",
    "session",
    "subscription",
    "transaction",
    "version",
    "empa-id",
];

/// Prefixes of header names that belong to Sesame or a broker.
const RESERVED_PREFIXES: [&str; 5] = ["sesame-", "x-sesame-", "activemq.", "amq-", "_amq"];

/// What is wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// `split` without parts.
    #[error("a split into no parts")]
    EmptySplit,
    /// Too many parts.
    #[error("more than {MAX_PARTS} parts of one message")]
    TooManyParts,
    /// `invalid` or a refused part without a finding.
    #[error("a refusal without a finding")]
    NoFindings,
    /// An output without content.
    #[error("an empty payload")]
    EmptyPayload,
    /// An output that could not be sent or stored.
    #[error("a payload of {size} bytes, more than the limit of {limit}")]
    PayloadTooLarge {
        /// Its bytes.
        size: usize,
        /// The channel's limit.
        limit: usize,
    },
    /// Payloads over the output limit in total.
    #[error("payloads of {size} bytes in total, more than the `output-limit` of {limit}")]
    OutputTooLarge {
        /// Bytes in total.
        size: u64,
        /// The stage's limit.
        limit: u64,
    },
    /// Not a media type.
    #[error("the content type {0:?}, which is not a media type")]
    ContentType(String),
    /// A header the host keeps for itself.
    #[error("the header {0:?}, which only Sesame sets")]
    ReservedHeader(String),
    /// A header name that cannot be sent.
    #[error("the header name {0:?}, which is not 1 to {HEADER_NAME} visible ASCII characters without a colon")]
    HeaderName(String),
    /// A header value that cannot be sent.
    #[error("a value of the header {0:?} that holds a control character or is longer than {HEADER_VALUE} bytes")]
    HeaderValue(String),
    /// Too many headers.
    #[error("more than {HEADERS} headers")]
    TooManyHeaders,
    /// A route that the operator did not name.
    #[error("the route {name:?}, which the channel does not have: its routes are {known}")]
    UnknownRoute {
        /// The name that the guest returned.
        name: String,
        /// The routes of the channel.
        known: String,
    },
}

/// The limits of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds<'a> {
    pub(crate) max_payload: usize,
    pub(crate) output: u64,
    pub(crate) routes: &'a [String],
}

/// Findings, cleaned and shortened; those past the limit are counted in a last one.
pub(crate) fn findings(given: Vec<types::Finding>) -> Vec<Finding> {
    let surplus = given.len().saturating_sub(FINDINGS);
    let mut kept: Vec<Finding> = given.into_iter().take(FINDINGS).map(finding).collect();
    if surplus > 0 {
        kept.push(note(Severity::Info, "findings.more", format!("{surplus} further findings not kept")));
    }
    kept
}

/// One finding, cleaned and shortened.
pub(crate) fn finding(given: types::Finding) -> Finding {
    Finding {
        severity: match given.severity {
            types::Severity::Error => Severity::Error,
            types::Severity::Warning => Severity::Warning,
            types::Severity::Info => Severity::Info,
        },
        code: clean(&given.code, 128),
        text: clean(&given.text, 1000),
        record_number: given.record_number,
        field: given.field.map(|field| clean(&field, 200)),
        value: given.value.map(|value| clean(&value, 1000)),
    }
}

/// A finding of the host's own.
pub(crate) fn note(severity: Severity, code: &str, text: String) -> Finding {
    Finding { severity, code: code.to_owned(), text, record_number: None, field: None, value: None }
}

/// The findings of a refusal: at least one.
pub(crate) fn refusal(given: Vec<types::Finding>) -> Result<Vec<Finding>, AnswerError> {
    if given.is_empty() { Err(AnswerError::NoFindings) } else { Ok(findings(given)) }
}

/// An output that replaces the message.
pub(crate) fn output(given: &Output, bounds: &Bounds<'_>) -> Result<(), AnswerError> {
    let size = given.payload.len();
    if size == 0 {
        return Err(AnswerError::EmptyPayload);
    }
    if size > bounds.max_payload {
        return Err(AnswerError::PayloadTooLarge { size, limit: bounds.max_payload });
    }
    if size as u64 > bounds.output {
        return Err(AnswerError::OutputTooLarge { size: size as u64, limit: bounds.output });
    }
    match &given.content_type {
        Some(text) if !is_media_type(text) => Err(AnswerError::ContentType(clean(text, 100))),
        _ => headers(&given.set_headers),
    }
}

/// All parts of a split.
pub(crate) fn parts(given: &[Part], bounds: &Bounds<'_>) -> Result<(), AnswerError> {
    if given.is_empty() {
        return Err(AnswerError::EmptySplit);
    }
    if given.len() > MAX_PARTS {
        return Err(AnswerError::TooManyParts);
    }
    let size = given.iter().map(|part| part.content.payload.len() as u64).sum();
    if size > bounds.output {
        return Err(AnswerError::OutputTooLarge { size, limit: bounds.output });
    }
    for part in given {
        output(&part.content, bounds)?;
        if part.refused.as_ref().is_some_and(Vec::is_empty) {
            return Err(AnswerError::NoFindings);
        }
    }
    Ok(())
}

/// Routes, each of which must be known; duplicates are removed.
pub(crate) fn routes(given: Vec<String>, bounds: &Bounds<'_>) -> Result<Vec<String>, AnswerError> {
    let mut routes: Vec<String> = Vec::new();
    for name in given {
        if name != "default" && !bounds.routes.contains(&name) {
            let known = std::iter::once("default").chain(bounds.routes.iter().map(String::as_str));
            let known = known.collect::<Vec<_>>().join(", ");
            return Err(AnswerError::UnknownRoute { name: clean(&name, 100), known });
        }
        if !routes.contains(&name) {
            routes.push(name);
        }
    }
    Ok(routes)
}

fn headers(given: &[(String, String)]) -> Result<(), AnswerError> {
    if given.len() > HEADERS {
        return Err(AnswerError::TooManyHeaders);
    }
    for (name, value) in given {
        let legal = |b: u8| b.is_ascii_graphic() && b != b':' && b != b'\\';
        if name.is_empty() || name.len() > HEADER_NAME || !name.bytes().all(legal) {
            return Err(AnswerError::HeaderName(clean(name, HEADER_NAME)));
        }
        let lower = name.to_ascii_lowercase();
        if RESERVED.contains(&lower.as_str()) || RESERVED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix)) {
            return Err(AnswerError::ReservedHeader(name.clone()));
        }
        if value.len() > HEADER_VALUE || value.chars().any(char::is_control) {
            return Err(AnswerError::HeaderValue(name.clone()));
        }
    }
    Ok(())
}

/// RFC 2045 clause 5.1, without comments: `type/subtype` and parameters, in printable ASCII and on one line.
fn is_media_type(text: &str) -> bool {
    let token = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+'*`|~%{}".contains(&b))
    };
    let printable = text.len() <= 255 && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    let mut fields = text.split(';');
    let kind = fields.next().and_then(|kind| kind.trim().split_once('/'));
    let parameters = fields.all(|f| f.trim().split_once('=').is_some_and(|(n, v)| token(n) && !v.is_empty()));
    printable && parameters && kind.is_some_and(|(main, sub)| token(main) && token(sub))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &[String] = &[];
    const BOUNDS: Bounds<'_> = Bounds { max_payload: 10, output: 15, routes: ROUTES };

    fn replaced(payload: &[u8], headers: &[(&str, &str)], content_type: Option<&str>) -> Result<(), AnswerError> {
        let set_headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let content_type = content_type.map(str::to_owned);
        output(&Output { payload: payload.to_vec(), content_type, set_headers, properties: vec![] }, &BOUNDS)
    }

    #[test]
    fn refuses_headers_that_would_change_the_frame() {
        for name in ["destination", "Content-Length", "empa-id", "Sesame-Message-Id", "receipt", "persistent"] {
            assert_eq!(replaced(b"x", &[(name, "v")], None), Err(AnswerError::ReservedHeader(name.into())));
        }
        for name in ["", "a:b", "a b", "a\nb", "\u{e9}", "a\\c"] {
            assert!(matches!(replaced(b"x", &[(name, "v")], None), Err(AnswerError::HeaderName(_))), "{name:?}");
        }
        for value in ["a\nb", "a\rb", "a\0b", "\u{1b}[0m"] {
            assert_eq!(replaced(b"x", &[("site", value)], None), Err(AnswerError::HeaderValue("site".into())));
        }
        assert_eq!(replaced(b"x", &[("site", "value: w\u{e4}rm")], None), Ok(()));
        assert_eq!(replaced(b"x", &[("a", "b"); 33], None), Err(AnswerError::TooManyHeaders));
    }

    #[test]
    fn refuses_payloads_that_are_empty_or_too_large() {
        assert_eq!(replaced(b"", &[], None), Err(AnswerError::EmptyPayload));
        assert_eq!(replaced(&[0; 11], &[], None), Err(AnswerError::PayloadTooLarge { size: 11, limit: 10 }));
    }

    #[test]
    fn accepts_media_types_only() {
        for good in ["text/plain", "application/vnd.x+xml; charset=utf-8", "a/b;c=\"d e\""] {
            assert_eq!(replaced(b"x", &[], Some(good)), Ok(()), "{good}");
        }
        for bad in ["", "text", "text/", "text/plain\r\nX: y", "te xt/plain", "text/plain; charset", "text/pl\u{e4}in"]
        {
            assert!(matches!(replaced(b"x", &[], Some(bad)), Err(AnswerError::ContentType(_))), "{bad:?}");
        }
    }

    #[test]
    fn counts_all_parts_of_a_split_together() {
        let part = || Part {
            content: Output { payload: vec![0; 8], content_type: None, set_headers: vec![], properties: vec![] },
            refused: None,
        };
        assert_eq!(parts(&[], &BOUNDS), Err(AnswerError::EmptySplit));
        assert_eq!(parts(&[part(), part()], &BOUNDS), Err(AnswerError::OutputTooLarge { size: 16, limit: 15 }));
        assert_eq!(parts(&[Part { refused: Some(vec![]), ..part() }], &BOUNDS), Err(AnswerError::NoFindings));
        assert_eq!(parts(&[part()], &BOUNDS), Ok(()));
    }

    #[test]
    fn knows_the_routes_of_the_channel_and_the_default() {
        let names = ["cloud".to_owned()];
        let bounds = Bounds { routes: &names, ..BOUNDS };
        let ask = |given: &[&str]| routes(given.iter().map(|s| (*s).to_owned()).collect(), &bounds);
        assert_eq!(ask(&["cloud", "default", "cloud"]), Ok(vec!["cloud".into(), "default".into()]));
        assert_eq!(
            ask(&["../x"]).unwrap_err().to_string(),
            "the route \"../x\", which the channel does not have: its routes are default, cloud"
        );
    }

    #[test]
    fn keeps_findings_up_to_the_limit_and_counts_the_rest() {
        let one = types::Finding {
            severity: types::Severity::Warning,
            code: "c".into(),
            text: "t\n".repeat(2000),
            record_number: None,
            field: None,
            value: None,
            properties: vec![],
        };
        let kept = findings(vec![one; FINDINGS + 3]);
        assert_eq!(kept.len(), FINDINGS + 1);
        assert_eq!(kept[FINDINGS].text, "3 further findings not kept");
        assert!(kept[0].text.starts_with("t\\nt\\n") && kept[0].text.len() < 3000);
    }
}
