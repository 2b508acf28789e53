//! Literal messages, and the way there and back.

use super::*;

const NOW: Rules = Rules { now: 1_780_000_000, strict: false };
const STRICT: Rules = Rules { strict: true, ..NOW };

const GOOD: &str = "{\"Type\":\"APEL-accelerator-message\",\"Version\":\"0.1\",\"UsageRecords\":[
{\"MeasurementMonth\":5,\"MeasurementYear\":2026,\"AssociatedRecordType\":\"cloud\",\"AssociatedRecord\":\"uuid\",\
\"GlobalUserName\":\"/CN=é \\\"x\\\"\",\"FQAN\":\"/atlas\",\"SiteName\":\"UKI-TEST\",\"Count\":0.5,\"Cores\":128,\
\"ActiveDuration\":400,\"AvailableDuration\":4000,\"BenchmarkType\":\"HEPSPEC\",\"Benchmark\":9000.01,\
\"Type\":\"GPU\",\"Model\":\"A-B\"}
]}
";

fn codes(message: &str, rules: &Rules) -> Vec<String> {
    check(message.as_bytes(), rules).into_iter().map(|finding| finding.code).collect()
}

/// The codes for a message with one replacement.
fn with(from: &str, to: &str, rules: &Rules) -> Vec<String> {
    assert!(GOOD.contains(from), "{from}");
    codes(&GOOD.replacen(from, to, 1), rules)
}

#[test]
fn a_good_message_goes_there_and_back() {
    assert!(codes(GOOD, &STRICT).is_empty());
    let parsed = parse(GOOD.as_bytes()).expect("it is good");
    assert_eq!(write(&parsed), GOOD);
    let record = &parsed.records[0];
    assert_eq!((record.count, record.cores, record.kind.as_ref()), (0.5, Some(128), "GPU"));
    assert_eq!(record.global_user_name.as_deref(), Some("/CN=é \"x\""));
    assert!(GOOD[record.place.clone()].starts_with("{\"MeasurementMonth\""));
    let two = Message { records: vec![record.clone(), record.clone()] };
    assert_eq!(parse(write(&two).as_bytes()).expect("it is good").records.len(), 2);
}

#[test]
fn fields_are_held_against_the_schema() {
    for (from, to, code) in [
        ("\"SiteName\"", "\"Site\"", "accelerator.unknown-field"),
        (":5,", ":13,", "accelerator.out-of-range"),
        (":5,", ":true,", "accelerator.out-of-range"),
        (":2026", ":2027", "accelerator.out-of-range"),
        (":2026", ":1999", "accelerator.out-of-range"),
        ("\"cloud\"", "\"grid\"", "accelerator.bad-choice"),
        ("\"uuid\"", "null", "accelerator.not-text"),
        ("\"/atlas\"", "\"None\"", "accelerator.null-field"),
        (":0.5", ":\"0.5\"", "accelerator.not-a-number"),
        (":0.5", ":false", "accelerator.not-a-number"),
        (":128", ":1.5", "accelerator.not-whole"),
        (":4000", ":null", "accelerator.not-whole"),
        ("\"A-B\"", "null", "accelerator.not-text"),
        ("\"GPU\"", "\"Accelerator\"", "accelerator.bad-choice"),
        ("\"0.1\"", "\"0.2\"", "accelerator.wrong-version"),
        ("\"UsageRecords\"", "\"Records\"", "accelerator.no-record-list"),
    ] {
        assert!(with(from, to, &NOW).contains(&code.to_owned()), "{to}: {:?}", with(from, to, &NOW));
    }
    for (from, to) in [
        ("\"/CN=é \\\"x\\\"\"", "null"),
        (":5,", ":5.0,"),
        (":128", ":null"),
        (":128", ":1e300"),
        (":0.5", ":NaN"),
        (":4000", ":-1"),
        ("\"Model\"", "\"CloudType\""),
        ("\"Version\"", "\"More\":[{}],\"Version\""),
        ("\"Cores\":128", "\"Cores\":\"x\",\"Cores\":128"),
    ] {
        assert!(with(from, to, &NOW).is_empty(), "{to}: {:?}", with(from, to, &NOW));
    }
}

#[test]
fn a_number_that_crashes_the_loader_is_refused() {
    let digits = format!(":1{}", "0".repeat(400));
    assert_eq!(with(":0.5", &digits, &NOW), ["accelerator.out-of-range"]);
    assert!(with(":0.5", &format!("{digits}.0"), &NOW).is_empty());
    assert!(with(":128", &digits, &NOW).is_empty());
}

#[test]
fn from_one_to_a_thousand_records() {
    let record = &parse(GOOD.as_bytes()).expect("it is good").records[0];
    let of = |count: usize| write(&Message { records: vec![record.clone(); count] });
    assert_eq!(codes(&of(0), &NOW), ["accelerator.no-record"]);
    assert!(codes(&of(1000), &NOW).is_empty());
    assert_eq!(codes(&of(1001), &NOW), ["accelerator.too-many-records"]);
}

#[test]
fn strict_wants_numbers_that_make_sense() {
    for (from, to, code) in [
        (":0.5", ":NaN", "accelerator.out-of-range"),
        (":0.5", ":-1", "accelerator.out-of-range"),
        (":4000", ":-1", "accelerator.out-of-range"),
        (":4000", ":399", "accelerator.active-beyond-available"),
        ("UKI-TEST", &"x".repeat(256), "accelerator.too-long"),
    ] {
        assert!(with(from, to, &NOW).is_empty(), "{to}");
        assert_eq!(with(from, to, &STRICT), [code], "{to}");
    }
}

#[test]
fn every_finding_names_record_field_value_and_rule() {
    let finding = check(GOOD.replace(":128", ":\"many\"").as_bytes(), &NOW).remove(0);
    assert_eq!((finding.record_number, finding.field.as_deref()), (Some(1), Some("Cores")));
    assert_eq!((finding.value.as_deref(), &*finding.code), (Some("many"), "accelerator.not-whole"));
}
