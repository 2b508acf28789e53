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
    /// Only for messages that contain this text; others are accepted.
    when: String,
    /// Routes to answer.
    route: Vec<String>,
    /// A text for whatever needs one.
    text: String,
    /// Headers to set on every output.
    headers: Vec<(String, String)>,
    /// The media type of every output.
    content_type: Option<String>,
    /// Bytes or number, for whatever needs one.
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
        "eat-crumbs" => loop {
            black_box(Box::leak(Box::new([0_u8; 16])));
        },
        "copy-memory" => {
            let mut bytes = vec![1_u8; config.size];
            loop {
                black_box(&mut bytes).copy_within(..config.size - 1, 1);
            }
        }
        "sleep" => wait(config.size),
        "unreachable" => core::arch::wasm32::unreachable(),
        // SAFETY: there is none; this is to end in a trap, for no memory of a guest reaches so far.
        "wild-read" => drop(black_box(unsafe { std::ptr::read_volatile(0xffff_fff0 as *const u8) })),
        "recurse" => {
            black_box(recurse(black_box(1 << 40)));
        }
        "exit" => std::process::exit(3),
        "chatter" => (0..10_000).for_each(|n| eprintln!("line {n} of many")),
        "log-flood" => (0..config.size).for_each(|_| log::info(&config.text)),
        "log-line" => log::info(&config.text.repeat(config.size)),
        "log" => log::info(&config.text),
        _ => {}
    }
    Ok(())
}

/// Passes about so many milliseconds with work, for there is no clock to wait by.
fn wait(milliseconds: usize) {
    let mut x = 1_u64;
    for _ in 0..milliseconds * 300_000 {
        x = black_box(x.wrapping_mul(6_364_136_223_846_793_005).rotate_left(7));
    }
}

#[inline(never)]
fn recurse(depth: u64) -> u64 {
    if depth == 0 { 1 } else { recurse(depth - 1).rotate_left(3) ^ depth }
}

impl Behaviour {
    /// What to do with this message: `how`, or nothing.
    fn with<'a>(&self, message: &Message, how: &'a str) -> &'a str {
        if String::from_utf8_lossy(&message.payload).contains(&self.when) { how } else { "" }
    }

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
        let how = self.with(message, &self.validate);
        misbehave(how, self).map_err(Failure::Internal)?;
        if let Some(failure) = self.failure(how) {
            return Err(failure);
        }
        let text = String::from_utf8_lossy(&message.payload);
        match how {
            "warn" => Ok(vec![Finding::warning("test.warning", &self.text)]),
            "flood-findings" => Ok(vec![Finding::warning("test.warning", &self.text); self.size]),
            // SAFETY: there is none; the host must not take a guest's word for it that text is text.
            "not-utf8" => {
                Ok(vec![Finding::warning("test.warning", unsafe { String::from_utf8_unchecked(vec![0xff; 9]) })])
            }
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
        let how = self.with(message, &self.transform);
        misbehave(how, self).map_err(Failure::Internal)?;
        if let Some(failure) = self.failure(how) {
            return Err(failure);
        }
        Ok(match how {
            "replace" => Verdict::Replaced(self.output(self.text.clone().into_bytes())),
            "upper" => Verdict::Replaced(self.output(message.payload.to_ascii_uppercase())),
            "huge" => Verdict::Replaced(self.output(vec![b'x'; self.size])),
            "many-headers" => {
                let set_headers = (0..self.size).map(|n| (format!("name-{n}"), String::new())).collect();
                Verdict::Replaced(Output { set_headers, ..self.output(message.payload.clone()) })
            }
            "many-parts" => {
                Verdict::Split(vec![Part { content: self.output(b"x".to_vec()), refused: None }; self.size])
            }
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
