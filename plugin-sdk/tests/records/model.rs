//! Runs the Python model of the consumer's loader, once for many questions.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// One question for the model.
pub struct Question {
    what: &'static str,
    now: i64,
    payload: Vec<u8>,
}

impl Question {
    /// Whether the loader takes a message at `now`.
    pub fn message(now: i64, payload: &[u8]) -> Self {
        Self { what: "message", now, payload: payload.to_vec() }
    }

    /// What Python makes of a text: `int`, `float`, `time`, `strip` or `lines`.
    pub fn text(what: &'static str, text: &str) -> Self {
        Self { what, now: 0, payload: text.as_bytes().to_vec() }
    }
}

/// The model's answers, one for each question.
///
/// # Panics
/// Without `python3`, or when the model fails: nothing is compared then, and the test must say so.
pub fn ask(questions: &[Question]) -> Vec<String> {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/records/loader.py");
    let mut child = Command::new("python3")
        .arg(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test needs python3 in PATH, with nothing but its standard library");
    let mut stdin = child.stdin.take().expect("it was piped");
    let text: String = questions.iter().map(line).collect();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().expect("the model's output can be read");
    writer.join().expect("the writer did not panic").expect("the model reads its questions");
    assert!(output.status.success(), "the model failed: {}", output.status);
    let answers: Vec<String> = String::from_utf8(output.stdout).expect("ASCII").lines().map(str::to_owned).collect();
    assert_eq!(answers.len(), questions.len());
    answers
}

fn line(question: &Question) -> String {
    format!("{} {} {}\n", question.what, question.now, hex(&question.payload))
}

/// Two lower-case digits for each byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
