//! The verdicts on XML and JSON messages, compared with a model of the consumer's loader in Python, which reads them with
//! Python's own parsers (`tests/records/loader_xml.py`).
//!
//! The cases are made here, the same on every run: good messages, and these with one to three changes each, in their
//! structure, in single values and in single characters.

#[path = "loader_xml/json.rs"]
mod json;
#[path = "loader_xml/random.rs"]
mod random;
#[path = "loader_xml/values.rs"]
mod values;
#[path = "loader_xml/xml.rs"]
mod xml;

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use random::Random;
use sesame_plugin::records::{Rules, accelerator, car, star};
use sesame_plugin::{Finding, Severity};

/// 2026-05-28T20:26:40Z
const NOW: i64 = 1_780_000_000;

#[test]
fn star_verdicts_are_the_loaders() {
    let mut random = Random::new(1);
    let cases: Vec<Vec<u8>> = (0..6000).map(|_| xml::case(&xml::STAR, &mut random)).collect();
    compare(&cases, star::check);
}

#[test]
fn car_verdicts_are_the_loaders() {
    let mut random = Random::new(2);
    let cases: Vec<Vec<u8>> = (0..6000).map(|_| xml::case(&xml::CAR, &mut random)).collect();
    compare(&cases, car::check);
}

#[test]
fn accelerator_verdicts_are_the_loaders() {
    let mut random = Random::new(3);
    let cases: Vec<Vec<u8>> = (0..6000).map(|_| json::case(&mut random)).collect();
    compare(&cases, accelerator::check);
}

#[test]
fn verdicts_on_times_are_the_loaders() {
    let mut random = Random::new(4);
    let case = |random: &mut Random| xml::with_value(&xml::STAR, "StartTime", &values::time(random));
    let cases: Vec<Vec<u8>> = (0..6000).map(|_| case(&mut random)).collect();
    compare(&cases, star::check);
}

#[test]
fn verdicts_on_durations_are_the_loaders() {
    let mut random = Random::new(5);
    let case = |random: &mut Random| xml::with_value(&xml::CAR, "WallDuration", &values::duration(random));
    let cases: Vec<Vec<u8>> = (0..4000).map(|_| case(&mut random)).collect();
    compare(&cases, car::check);
}

#[test]
fn verdicts_on_names_are_the_loaders() {
    let mut random = Random::new(6);
    let cases: Vec<Vec<u8>> = (0..6000).map(|_| xml::with_name(&xml::STAR, &values::name(&mut random))).collect();
    compare(&cases, star::check);
}

#[test]
fn extremes_have_the_loaders_verdict() {
    let mut cases = vec![xml::nested(900), xml::nested(1200), json::nested(900), json::nested(1200)];
    cases.extend([1, 1000, 1001].map(json::of_size));
    cases.extend(["<", "{", "", "\u{feff}<a/>", "<a", "{}", "[]", "APEL-sync-message: v0.1\n"].map(|text| text.into()));
    cases.push(b"\xff".to_vec());
    let all = |payload: &[u8], rules: &Rules| match payload.first() {
        Some(b'{') => accelerator::check(payload, rules),
        _ => star::check(payload, rules),
    };
    compare(&cases, all);
}

/// Compares both sides for each case.
fn compare(cases: &[Vec<u8>], check: impl Fn(&[u8], &Rules) -> Vec<Finding>) {
    let rules = Rules { now: NOW, strict: false };
    let answers = ask_loader(cases);
    let (mut valid, mut different) = (0, Vec::new());
    for (case, answer) in cases.iter().zip(&answers) {
        let findings = check(case, &rules);
        let ours = !findings.iter().any(|finding| finding.severity == Severity::Error);
        valid += usize::from(ours);
        if ours != (answer == "valid") {
            different.push(format!("{answer}\nours: {findings:?}\n{}\n", String::from_utf8_lossy(case)));
        }
    }
    let shown = different.iter().take(5).cloned().collect::<String>();
    assert!(different.is_empty(), "{} of {} verdicts differ:\n{shown}", different.len(), cases.len());
    assert!(
        cases.len() < 1000 || (cases.len() / 10..cases.len() * 9 / 10).contains(&valid),
        "{valid} valid cases say little"
    );
}

fn ask_loader(cases: &[Vec<u8>]) -> Vec<String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/records/loader_xml.py");
    let mut child = Command::new("python3")
        .args([script, &NOW.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("these tests need python3, with its standard library: install it");
    let mut input = child.stdin.take().expect("a pipe");
    let lines: String = cases.iter().map(|case| hex(case) + "\n").collect();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let mut output = String::new();
    child.stdout.take().expect("a pipe").read_to_string(&mut output).expect("text");
    writer.join().expect("the writer").expect("python3 reads all cases");
    assert!(child.wait().expect("python3 ends").success(), "the model of the loader failed");
    let answers: Vec<String> = output.lines().map(str::to_owned).collect();
    assert_eq!(answers.len(), cases.len(), "an answer to each case");
    answers
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
