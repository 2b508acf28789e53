//! A plugin with all three roles that does what its configuration says, well or badly.

use std::cell::Cell;
use std::hint::black_box;

use serde::Deserialize;
use sesame_plugin::{
    Delay, Failure, Finding, Message, Output, Part, Plugin, Router, Transformed, Transformer, Validator, Verdict, log,
};

/// What to do in each role; what is not said is done well.
#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct Behaviour {
    init: String,
    validate: String,
    transform: String,
    /// Routes to answer.
    route: Vec<String>,
    /// A text for whatever needs one.
    text: String,
    /// Headers to set on every output.
    headers: Vec<(String, String)>,
    /// The media type of every output.
    content_type: Option<String>,
    /// Bytes for whatever needs a size.
    size: usize,
}

impl Plugin for Behaviour {
    type Config = Self;
    const NAME: &'static str = "behaviour";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Does what its configuration says, well or badly.";

    fn new(config: Self) -> Result<Self, String> {
        misbehave(&config.init, &config)?;
        match config.init.as_str() {
            "refuse" => Err(format!("cannot work with text = {:?}", config.text)),
            _ => Ok(config),
        }
    }
}

thread_local! {
    static SEEN: Cell<u32> = const { Cell::new(0) };
}

/// The kinds of trouble that any function can make. Returns for every other word.
fn misbehave(how: &str, config: &Behaviour) -> Result<(), String> {
    match how {
        "panic" => panic!("{}", config.text),
        "loop" => loop {
            black_box(());
        },
        "eat-memory" => {
            let mut eaten: Vec<Vec<u8>> = Vec::new();
            loop {
                eaten.push(black_box(vec![1; 1 << 20]));
            }
        }
        "recurse" => {
            black_box(recurse(black_box(1 << 40)));
        }
        "exit" => std::process::exit(3),
        "chatter" => (0..10_000).for_each(|n| eprintln!("line {n} of many")),
        "log-flood" => (0..100_000).for_each(|_| log::info(&config.text)),
        "log" => log::info(&config.text),
        _ => {}
    }
    Ok(())
}

#[inline(never)]
fn recurse(depth: u64) -> u64 {
    if depth == 0 { 1 } else { recurse(depth - 1).rotate_left(3) ^ depth }
}

impl Behaviour {
    fn failure(&self, how: &str) -> Option<Failure> {
        Some(match how {
            "invalid" => Finding::error("test.invalid", &self.text).in_record(1).in_field("Site", "secret").into(),
            "invalid-without-findings" => Failure::Invalid(vec![]),
            "retry" => Failure::Retry(Delay { after: Some(1500), reason: self.text.clone() }),
            "internal" => Failure::Internal(self.text.clone()),
            _ => return None,
        })
    }

    fn output(&self, payload: Vec<u8>) -> Output {
        let content_type = self.content_type.clone();
        Output { payload, content_type, set_headers: self.headers.clone(), properties: vec![] }
    }
}

impl Validator for Behaviour {
    fn validate(&self, message: &Message) -> Result<Vec<Finding>, Failure> {
        misbehave(&self.validate, self).map_err(Failure::Internal)?;
        if let Some(failure) = self.failure(&self.validate) {
            return Err(failure);
        }
        let text = String::from_utf8_lossy(&message.payload);
        match self.validate.as_str() {
            "warn" => Ok(vec![Finding::warning("test.warning", &self.text)]),
            "flood-findings" => Ok(vec![Finding::warning("test.warning", &self.text); 1000]),
            "invalid-if-contains" if text.contains(&self.text) => Err(Finding::error("test.word", &self.text).into()),
            "remember" => match SEEN.replace(message.payload.len() as u32) {
                0 => Ok(vec![]),
                seen => Err(Finding::error("test.leak", format!("saw a message of {seen} bytes before")).into()),
            },
            "show-context" => Ok(vec![Finding::warning("test.context", format!("{:?}", message.context))]),
            _ => Ok(vec![]),
        }
    }
}

impl Transformer for Behaviour {
    fn transform(&self, message: &Message) -> Result<Transformed, Failure> {
        misbehave(&self.transform, self).map_err(Failure::Internal)?;
        if let Some(failure) = self.failure(&self.transform) {
            return Err(failure);
        }
        Ok(match self.transform.as_str() {
            "replace" => Verdict::Replaced(self.output(self.text.clone().into_bytes())),
            "upper" => Verdict::Replaced(self.output(message.payload.to_ascii_uppercase())),
            "huge" => Verdict::Replaced(self.output(vec![b'x'; self.size])),
            "split-lines" => Verdict::Split(self.lines(message)),
            "split-empty" => Verdict::Split(vec![]),
            "drop" => Verdict::Dropped(Finding::warning("test.dropped", &self.text)),
            "drop-if-contains" if String::from_utf8_lossy(&message.payload).contains(&self.text) => {
                Verdict::Dropped(Finding::warning("test.dropped", &self.text))
            }
            _ => Verdict::Unchanged,
        }
        .into())
    }
}

impl Behaviour {
    /// One part for each line; a line that begins with `!` is refused.
    fn lines(&self, message: &Message) -> Vec<Part> {
        let lines = message.payload.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines
            .map(|line| Part {
                content: self.output(line.to_vec()),
                refused: line.starts_with(b"!").then(|| vec![Finding::error("test.line", "begins with !")]),
            })
            .collect()
    }
}

impl Router for Behaviour {
    fn route(&self, message: &Message) -> Result<Vec<String>, Failure> {
        let about = |route: &String| {
            route.strip_prefix("by-content:").map(|_| String::from_utf8_lossy(&message.payload).into_owned())
        };
        Ok(self.route.iter().map(|route| about(route).unwrap_or_else(|| route.clone())).collect())
    }
}

sesame_plugin::export!(Behaviour: validator, transformer, router);
