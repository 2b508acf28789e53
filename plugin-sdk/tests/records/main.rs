//! The records module against a model of the consumer's loader, in Python, on thousands of messages.
//!
//! `loader.py` is a second reading of the same rules with Python's own functions underneath; `cases.rs` makes the
//! messages. Where the two differ, one of them is wrong.

mod cases;
mod model;

use std::fmt::Debug;

use cases::{Dice, GOOD, NOW, SPACES, VALUES};
use model::{Question, ask, hex};
use sesame_plugin::records::text::{self, cloud, cloud_summary, job, normalised, summary, sync};
use sesame_plugin::records::{self, AllTypes, Rules, python};
use sesame_plugin::{Finding, Severity};

/// How many messages of each format are compared.
const CASES: u64 = 4000;
const RULES: Rules = Rules { now: NOW, strict: false };

fn is_valid(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.severity != Severity::Error)
}

/// The format's messages, each with whether the check takes it.
fn judged(format: usize) -> Vec<(Vec<u8>, bool)> {
    let messages = (0..CASES).map(|seed| cases::message(format, seed));
    messages.map(|message| (message.clone(), is_valid(&text::check(&message, &RULES)))).collect()
}

#[test]
fn verdicts_are_those_of_the_loader() {
    let mut wrong = Vec::new();
    for (format, (name, ..)) in GOOD.iter().enumerate() {
        let judged = judged(format);
        let questions: Vec<Question> = judged.iter().map(|(message, _)| Question::message(NOW, message)).collect();
        let good = judged.iter().filter(|(_, valid)| *valid).count();
        assert!(good > 500 && judged.len() - good > 500, "{name}: {good} good messages leave nothing to compare");
        for ((message, valid), answer) in judged.iter().zip(ask(&questions)) {
            let strictly = is_valid(&text::check(message, &Rules { strict: true, ..RULES }));
            assert!(*valid || !strictly, "strict rules must not take what the loader refuses");
            if *valid != (answer == "accept") {
                let found: Vec<_> =
                    text::check(message, &RULES).into_iter().map(|f| (f.code, f.field, f.value)).collect();
                wrong.push(format!("{name}: {answer}\nwe: {found:?}\n{:?}", String::from_utf8_lossy(message)));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), CASES * 9, wrong[..wrong.len().min(5)].join("\n\n"));
}

/// `verdicts/`: the verdict is the end of a file's name. `accept` and `reject` are those of the loader of APEL 2.5.0.
#[test]
fn kept_messages_have_the_verdicts_of_their_names() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/records/verdicts");
    let rules = Rules { now: 1_780_000_000, strict: false };
    let mut seen = [0; 3];
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("an entry").path();
        let payload = std::fs::read(&path).expect("a file");
        let verdict = path.extension().expect("a verdict").to_str().expect("ASCII");
        let refused = records::check(&payload, &rules);
        let passed = AllTypes { strict: false, pass_unknown: true }.check(&payload, &rules);
        let unknown = refused.iter().any(|finding| finding.code == records::TYPE_NOT_RECOGNISED);
        let found = (is_valid(&refused), is_valid(&passed), unknown);
        let (at, expected) = match verdict {
            "accept" => (0, (true, true, false)),
            "reject" => (1, (false, false, false)),
            "not-recognised" => (2, (false, true, true)),
            other => panic!("{other} is no verdict"),
        };
        seen[at] += 1;
        assert_eq!(found, expected, "{}: {refused:?}", path.display());
    }
    assert_eq!(seen, [8, 5, 7], "a file is missing or not counted here");
}

/// Texts made of odd values, digits, signs and white space.
fn texts() -> Vec<String> {
    let pieces =
        ["0", "1", "9", "_", ".", "e", "-", "+", "٣", "𝟗", "n", "inf", "nan", ":", "T", "Z", "2023-", "12", "\u{1f}"];
    let mut dice = Dice::new(7);
    let odd = (0..6000).map(|_| {
        let mut text = String::new();
        for _ in 0..=dice.below(5) {
            text += if dice.below(5) == 0 { dice.one_of(SPACES) } else { dice.one_of(&pieces) };
        }
        text
    });
    let mut texts: Vec<String> = odd.collect();
    let mut dice = Dice::new(8);
    for _ in 0..3000 {
        // A time with one or two characters changed.
        let mut time: Vec<char> = "2023-11-14T12:30:59Z".chars().collect();
        for _ in 0..=dice.below(2) {
            let at = dice.below(time.len());
            let new = dice.one_of(&["0", "1", "2", "3", "6", "9", " ", "-", "٣", "Z", "t", "UTC", "gmt", ""]);
            time.splice(at..=at, new.chars());
        }
        texts.push(time.into_iter().collect());
    }
    texts.extend(VALUES.iter().chain(SPACES).map(|value| (*value).to_owned()));
    texts
}

fn compare(what: &'static str, ours: impl Fn(&str) -> String) {
    let texts = texts();
    let questions: Vec<Question> = texts.iter().map(|text| Question::text(what, text)).collect();
    for (text, answer) in texts.iter().zip(ask(&questions)) {
        assert_eq!(ours(text), answer, "{what} of {text:?}");
    }
}

#[test]
fn times_and_text_are_read_as_python_reads_them() {
    compare("time", |text| python::timestamp(text).map_or("none".to_owned(), |value| value.to_string()));
    compare("strip", |text| format!("={}", hex(python::strip(text).as_bytes())));
    compare("lines", |text| {
        python::lines(text).map(|line| format!("={}", hex(line.as_bytes()))).collect::<Vec<_>>().join(",")
    });
}

#[test]
fn numbers_are_read_as_python_reads_them() {
    let texts = texts();
    let of = |what| ask(&texts.iter().map(|text| Question::text(what, text)).collect::<Vec<_>>());
    for ((text, int), float) in texts.iter().zip(of("int")).zip(of("float")) {
        // Python's integers have no end; ours stay at the ends of i64.
        let ends = |_| if int.starts_with('-') { i64::MIN } else { i64::MAX };
        let int = (int != "none").then(|| int.parse().unwrap_or_else(ends));
        assert_eq!(python::int(text), int, "int of {text:?}");
        let ours = python::float(text).map_or("none".to_owned(), float_hex);
        assert_eq!(ours, float, "float of {text:?}");
    }
}

/// `float.hex(value)`
fn float_hex(value: f64) -> String {
    let bits = value.to_bits();
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let (exponent, fraction) = ((bits >> 52) & 0x7ff, bits & ((1 << 52) - 1));
    match (exponent, fraction) {
        (0x7ff, 0) => format!("{sign}inf"),
        (0x7ff, _) => "nan".to_owned(),
        (0, 0) => format!("{sign}0x0.0p+0"),
        (0, _) => format!("{sign}0x0.{fraction:013x}p-1022"),
        _ => format!("{sign}0x1.{fraction:013x}p{:+}", exponent as i64 - 1023),
    }
}

/// Every message that can be parsed is written so that it can be parsed again to the same records, and the loader takes it.
macro_rules! round_trips {
    ($($test:ident: $module:ident, $formats:expr;)+) => {$(
        #[test]
        fn $test() {
            let mut written = Vec::new();
            for (message, valid) in $formats.into_iter().flat_map(judged) {
                match $module::parse(&message) {
                    Ok(parsed) => {
                        let text = $module::write(&parsed).expect("what was read can be written");
                        let again = $module::parse(text.as_bytes()).expect("what was written can be read");
                        for (one, other) in parsed.records.iter().zip(&again.records) {
                            same(&one.record, &other.record);
                            assert!(one.span.end <= message.len() && !one.span.is_empty());
                        }
                        assert_eq!(parsed.records.len(), again.records.len());
                        if valid {
                            written.push(Question::message(NOW, text.as_bytes()));
                        }
                    }
                    Err(findings) => assert!(!is_valid(&findings), "refused without an error"),
                }
            }
            assert!(written.len() > 500, "only {} messages went round", written.len());
            assert!(ask(&written).iter().all(|answer| answer == "accept"), "the loader refuses what was written");
        }
    )+};
}

/// Compared by their words, so that NaN equals itself.
fn same(one: &impl Debug, other: &impl Debug) {
    let (one, other) = (format!("{one:?}"), format!("{other:?}"));
    // A ServiceLevelType emptied behind its table is the one thing the writer does not keep.
    if !(one.contains("service_level_type: None") && one.contains("Table(")) {
        assert_eq!(one, other);
    }
}

round_trips! {
    jobs_go_round: job, [0, 1];
    summaries_go_round: summary, [2, 3];
    normalised_summaries_go_round: normalised, [4, 5];
    sync_counts_go_round: sync, [6];
    cloud_records_go_round: cloud, [7];
    cloud_summaries_go_round: cloud_summary, [8];
}
