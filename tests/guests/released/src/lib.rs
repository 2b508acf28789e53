//! Uses all of the contract: every role, every verdict, every field it is given and every field it may fill in.
//!
//! A component of this is kept for each released contract in `tests/data/contracts`, and each is run by the tests.

use sesame_plugin::bindings::log::{Level, write};
use sesame_plugin::{
    Configuration, Context, Delay, Direction, Failure, Finding, Message, Output, Part, Plugin, Router, Severity,
    Transformed, Transformer, Validator, Verdict,
};

/// The configuration as it came: without a parser the component stays small.
struct Json(String);

impl Configuration for Json {
    fn from_json(json: &str) -> Result<Self, String> {
        Ok(Self(json.to_owned()))
    }
}

struct Released {
    config: String,
}

impl Plugin for Released {
    type Config = Json;
    const NAME: &'static str = "released";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Uses all of the contract.";

    fn config_schema() -> Option<String> {
        Some(r#"{"type":"object","properties":{"mark":{"type":"string"}},"additionalProperties":false}"#.to_owned())
    }

    fn new(Json(config): Json) -> Result<Self, String> {
        if config.contains("refuse me") { Err("was asked to refuse".to_owned()) } else { Ok(Self { config }) }
    }
}

impl Validator for Released {
    fn validate(&self, message: &Message) -> Result<Vec<Finding>, Failure> {
        let levels = [Level::Trace, Level::Debug, Level::Info, Level::Warn, Level::Error];
        levels.into_iter().for_each(|level| write(level, "a line of each level"));
        match message.payload.as_slice() {
            b"invalid" => {
                Err(Failure::Invalid(vec![full(Severity::Error, "is not good"), full(Severity::Info, "note")]))
            }
            b"retry" => Err(Failure::Retry(Delay { after: Some(1500), reason: "not yet".to_owned() })),
            b"retry at any time" => Err(Failure::Retry(Delay { after: None, reason: "not yet".to_owned() })),
            b"internal" => Err(Failure::Internal("out of order".to_owned())),
            _ => Ok(vec![full(Severity::Info, &facts(&message.context)), full(Severity::Warning, &self.config)]),
        }
    }
}

impl Transformer for Released {
    fn transform(&self, message: &Message) -> Result<Transformed, Failure> {
        let text = String::from_utf8_lossy(&message.payload);
        let verdict = match text.split_once('\n').unwrap_or((&text, "")) {
            ("replace", rest) => Verdict::Replaced(output(rest)),
            ("split", rest) => Verdict::Split(rest.lines().map(part).collect()),
            ("drop", _) => Verdict::Dropped(full(Severity::Info, "not wanted")),
            ("fail", _) => return Err(Failure::Internal("out of order".to_owned())),
            _ => Verdict::Unchanged,
        };
        Ok(Transformed { verdict, findings: vec![full(Severity::Warning, "was looked at")] })
    }
}

impl Router for Released {
    fn route(&self, message: &Message) -> Result<Vec<String>, Failure> {
        match message.payload.as_slice() {
            b"cloud" => Ok(vec!["cloud".to_owned()]),
            b"both" => Ok(vec!["default".to_owned(), "grid".to_owned()]),
            b"unroutable" => Err(full(Severity::Error, "has no route").into()),
            _ => Ok(vec![]),
        }
    }
}

/// A finding with every field.
fn full(severity: Severity, text: &str) -> Finding {
    Finding {
        severity,
        code: "released.fact".to_owned(),
        text: text.to_owned(),
        record_number: Some(7),
        field: Some("Site".to_owned()),
        value: Some("X".to_owned()),
        properties: vec![("rule".to_owned(), "none".to_owned())],
    }
}

fn output(text: &str) -> Output {
    Output {
        payload: text.as_bytes().to_vec(),
        content_type: Some("text/x-released".to_owned()),
        set_headers: vec![("site".to_owned(), "UKI".to_owned())],
        properties: vec![("released".to_owned(), "yes".to_owned())],
    }
}

/// A line that begins with `!` is refused.
fn part(line: &str) -> Part {
    Part { content: output(line), refused: line.starts_with('!').then(|| vec![full(Severity::Error, "is refused")]) }
}

/// The whole context, as one line.
fn facts(context: &Context) -> String {
    let direction = match context.direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    };
    let mut facts =
        [direction, &context.message_id, &context.channel, &context.destination].map(str::to_owned).to_vec();
    facts.push(context.content_type.clone().unwrap_or_default());
    facts.push(format!("{} {}", context.received_at, context.attempt));
    if let Some(signer) = &context.signer {
        facts.extend([signer.subject.clone(), signer.issuer.clone(), signer.serial.clone()]);
        facts.push(format!("{} {:?}", signer.not_after, signer.certificate));
        facts.push(pairs(&signer.properties));
    }
    facts.extend([pairs(&context.transport_headers), pairs(&context.properties)]);
    facts.join(";")
}

fn pairs(pairs: &[(String, String)]) -> String {
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
}

sesame_plugin::export!(Released: validator, transformer, router);
