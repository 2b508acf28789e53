//! What was measured of the consumer's loader, the content of findings, and what strict rules add.

use super::*;
use crate::Severity;

/// 2023-11-14T22:13:20Z
const NOW: i64 = 1_700_000_000;
const JOB: &str = "Site: UKI-TEST\nSubmitHost: ce\nLocalJobId: 1\nWallDuration: 5\nCpuDuration: 5\nStartTime: 1699990000\n\
                   EndTime: 1699990005\nServiceLevelType: hepspec\nServiceLevel: 11.5\n";
const SUMMARY: &str = "Site: UKI-TEST\nMonth: 10\nYear: 2023\nWallDuration: 5\nCpuDuration: 5\nNumberOfJobs: 1\n";

fn findings(message: &str, strict: bool) -> Vec<Finding> {
    check(message.as_bytes(), &Rules { now: NOW, strict })
}

/// Codes of the errors, each once.
fn errors(message: &str) -> Vec<String> {
    codes(findings(message, false))
}

fn codes(findings: Vec<Finding>) -> Vec<String> {
    let errors = findings.into_iter().filter(|finding| finding.severity == Severity::Error);
    let mut codes: Vec<String> = errors.map(|finding| finding.code).collect();
    codes.dedup();
    codes
}

fn job(change: impl Fn(String) -> String) -> String {
    format!("APEL-individual-job-message: v0.3\n{}%%\n", change(JOB.to_owned()))
}

fn job_v04(level: &str) -> String {
    let record = JOB.replace("ServiceLevelType: hepspec\nServiceLevel: 11.5\n", level);
    format!("APEL-individual-job-message: v0.4\n{record}%%\n")
}

fn summary(more: &str) -> String {
    format!("APEL-summary-job-message: v0.2\n{SUMMARY}{more}")
}

const NOTHING: [&str; 0] = [];

#[test]
fn good_messages_pass() {
    assert!(findings(&job(|record| record), false).is_empty());
    assert!(findings(&job(|record| record), true).is_empty());
    assert!(findings(&job_v04("ServiceLevel: {HEPscore23: 12.5, hepspec: 11}\n"), true).is_empty());
    assert!(findings(&summary(""), true).is_empty());
    assert_eq!(
        errors("APEL-cloud-message: v0.4\nVMUUID: 2013-11-14 19:15:21+00:00 vm-1\nSiteName: CESNET\n%%"),
        NOTHING
    );
    assert_eq!(errors("APEL-cloud-summary-message: v0.4\nSiteName: X\nMonth: 10\nYear: 2011\nNumberOfVMs: 1"), NOTHING);
}

#[test]
fn what_was_measured_of_records_holds() {
    for (record, expected) in [
        (JOB.replace("Site: ", "\n\nSite: "), None),
        (JOB.replace("SubmitHost", "\nSubmitHost"), Some("job.bad-line")),
        (JOB.replace("SubmitHost: ", "SubmitHost "), Some("job.bad-line")),
        (JOB.replace("SubmitHost", "submitHost"), Some("job.unknown-field")),
        (format!("{JOB}Site: OTHER\n"), None),
        (format!("Site: none\n{JOB}"), Some("job.missing-field")),
        (format!("WallDuration: x\n{JOB}"), Some("job.bad-integer")),
        (format!("{JOB}UpdateTime: never\nSubmitHostType: x\n"), None),
        (JOB.replace("Site: UKI-TEST", "Site: NULL"), Some("job.missing-field")),
        (JOB.replace("LocalJobId: 1\n", ""), Some("job.missing-field")),
        (JOB.replace("WallDuration: 5", "WallDuration: 10.7"), Some("job.bad-integer")),
        (JOB.replace("WallDuration: 5", "WallDuration: -5"), None),
        (JOB.replace("Site: UKI-TEST", "Site: UKI%%TEST"), Some("job.missing-field")),
        (JOB.replace("1699990000", "1699990006"), Some("job.ends-before-start")),
        (JOB.replace("1699990005", "1700172800"), None),
        (JOB.replace("1699990005", "1700172801"), Some("job.future-end")),
        (JOB.replace("1699990005", "2023-11-14T22:13:20Z"), None),
        (JOB.replace("hepspec", "HEPscore23"), None),
        (JOB.replace("hepspec", "custom"), Some("job.unknown-benchmark")),
        (JOB.replace("ServiceLevelType: hepspec\n", ""), Some("job.level-without-type")),
        (JOB.replace("ServiceLevel: 11.5\n", ""), Some("job.level-without-value")),
        (JOB.replace("ServiceLevelType: hepspec\nServiceLevel: 11.5\n", ""), Some("job.missing-field")),
        (JOB.replace("hepspec", "null").replace("11.5", "None"), Some("job.missing-field")),
        (JOB.replace("ServiceLevelType: hepspec\n", "").replace("11.5", "null"), Some("job.missing-field")),
        (JOB.replace("11.5", "nan"), None),
    ] {
        let found = errors(&job(|_| record.clone()));
        assert_eq!(found.first().map(String::as_str), expected, "{record}");
    }
}

#[test]
fn what_was_measured_of_messages_holds() {
    assert_eq!(errors(""), ["message.empty"]);
    assert_eq!(errors("\n\n%%"), ["message.type-not-recognised"]);
    assert_eq!(errors("APEL-individual-job-message: v0.3\n"), NOTHING);
    assert_eq!(errors("APEL-summary-job-message:v0.2\n"), ["message.inexact-header"]);
    assert_eq!(errors("APEL-sync-message: v0.1\nSite: x\nMonth: 99\nYear: -1\nNumberOfJobs: 0\n"), NOTHING);
    assert_eq!(errors("{\"Type\": \"x\"}"), ["message.type-not-recognised"]);
    assert_eq!(errors(&format!("\n \n{}", job(|record| record))), NOTHING);
}

#[test]
fn tables_of_benchmarks_are_needed_from_v04_on() {
    for (level, expected) in [
        ("ServiceLevel: {HEPscore23: 12.5, hepspec: 11}\n", None),
        ("ServiceLevel: {hepspec: 1, HEPspec: 2}\n", None),
        ("ServiceLevelType: hepspec\nServiceLevel: {hepspec: 11}\n", None),
        ("ServiceLevel: {hepspec: 11}\nServiceLevelType: HEPSPEC\n", None),
        ("", Some("job.missing-field")),
        ("ServiceLevel: none\n", Some("job.bad-table")),
        ("ServiceLevel: 12.5\n", Some("job.bad-table")),
        ("ServiceLevel: {hepspec: 1, hepspec: 2}\n", Some("job.doubled-benchmark")),
        ("ServiceLevel: {hs06: 1}\n", Some("job.unknown-benchmark")),
        ("ServiceLevelType: HEPspec\nServiceLevel: {hepspec: 11}\n", Some("job.mixed-benchmarks")),
        ("ServiceLevel: {hepspec: 11}\nServiceLevelType: none\n", Some("job.level-without-type")),
    ] {
        assert_eq!(errors(&job_v04(level)).first().map(String::as_str), expected, "{level}");
    }
}

#[test]
fn summaries_keep_to_their_month() {
    for (more, expected) in [
        ("EarliestEndTime: 1696118400\nLatestEndTime: 1698796800\n", None),
        ("EarliestEndTime: 1696118399\nLatestEndTime: 1698796800\n", Some("summary.end-outside-month")),
        ("EarliestEndTime: 1696118400\nLatestEndTime: 1698796801\n", Some("summary.end-outside-month")),
        ("EarliestEndTime: 1696118401\nLatestEndTime: 1696118400\n", Some("summary.ends-in-disorder")),
        ("LatestEndTime: 0\n", None),
        ("Month: 11\n", None),
        ("Month: 12\n", Some("summary.future-month")),
        ("Month: 13\n", Some("summary.bad-month")),
        ("Year: 0\n", Some("summary.bad-year")),
        ("WallDuration: -1\n", Some("summary.negative-duration")),
        ("ServiceLevelType: anything\n", None),
    ] {
        assert_eq!(errors(&summary(more)).first().map(String::as_str), expected, "{more}");
    }
}

#[test]
fn normalised_durations_are_cut_off_and_finite() {
    let message = |wall: &str, cpu: &str| {
        format!(
            "APEL-normalised-summary-message: v0.4\n{SUMMARY}NormalisedWallDuration: {wall}\nNormalisedCpuDuration: {cpu}\n"
        )
    };
    assert_eq!(errors(&message("{hepspec: -0.9}", "{hepspec: 1e30}")), NOTHING);
    assert_eq!(errors(&message("{hepspec: -1}", "{hepspec: 1}")), ["normalised.negative-duration"]);
    assert_eq!(errors(&message("{hepspec: 1e400}", "{hepspec: nan}")), ["normalised.bad-integer"]);
    assert_eq!(errors(&message("{hepspec: 1}", "{si2k: 1}")), ["normalised.mixed-benchmarks"]);
    let v03 = message("1", "2").replace("normalised-summary-message: v0.4", "summary-job-message: v0.3");
    assert_eq!(errors(&v03), NOTHING);
    assert_eq!(errors(&format!("{v03}ServiceLevelType: hepspec\n")), ["normalised.unknown-field"]);
    // As AUDITOR's APEL plugin 0.11.2 writes a job that ended within a second.
    let fraction = findings(&format!("{v03}EarliestEndTime: 1696118400.5\n"), false);
    let [finding] = fraction.as_slice() else { panic!("{fraction:?}") };
    assert_eq!((finding.code.as_str(), finding.value.as_deref()), ("normalised.bad-time", Some("1696118400.5")));
    assert!(finding.text.starts_with("must be whole seconds"), "{}", finding.text);
}

#[test]
fn a_finding_names_record_field_value_and_rule() {
    let message = format!(
        "APEL-individual-job-message: v0.3\n{JOB}%%\n\n%%\n{}",
        JOB.replace("CpuDuration: 5", "CpuDuration: x")
    );
    let found = findings(&message, false);
    let [finding] = found.as_slice() else { panic!("one finding, not {found:?}") };
    assert_eq!(finding.code, "job.bad-integer");
    assert_eq!(finding.text, "must be a whole number");
    assert_eq!(finding.record_number, Some(2));
    assert_eq!(finding.field.as_deref(), Some("CpuDuration"));
    assert_eq!(finding.value.as_deref(), Some("x"));
}

#[test]
fn all_findings_are_reported_within_bounds() {
    let bad = JOB.replace("WallDuration: 5", "WallDuration: x").replace("Site", "site");
    assert_eq!(errors(&job(|_| bad.clone())), ["job.unknown-field", "job.bad-integer", "job.missing-field"]);
    let many = format!("APEL-individual-job-message: v0.3\n{}", format!("{bad}%%\n").repeat(1000));
    assert_eq!(findings(&many, false).len(), crate::records::Findings::LIMIT + 1);
    // A hundred warnings do not hide an error.
    let twice = format!("APEL-individual-job-message: v0.3\n{}{bad}", format!("{JOB}Site: x\n%%\n").repeat(100));
    assert!(findings(&twice, false).iter().any(|finding| finding.severity == Severity::Error));
}

#[test]
fn strict_rules_add_what_documents_and_database_demand() {
    for (record, expected) in [
        (JOB.replace("SubmitHost: ce\n", ""), "job.demanded-field"),
        (JOB.replace("UKI-TEST", &"x".repeat(256)), "job.too-long"),
        (format!("{JOB}InfrastructureType: cloud\n"), "job.bad-infrastructure-type"),
        (JOB.replace("WallDuration: 5", "WallDuration: -5"), "job.out-of-range"),
        (JOB.replace("WallDuration: 5", "WallDuration: 2147483648"), "job.out-of-range"),
        (JOB.replace("11.5", "1e7"), "job.out-of-range"),
        (JOB.replace("11.5", "nan"), "job.out-of-range"),
    ] {
        let message = job(|_| record.clone());
        assert_eq!(errors(&message), NOTHING, "{record}");
        assert_eq!(codes(findings(&message, true)), [expected], "{record}");
    }
    assert_eq!(errors(&job(|record| record.replace("UKI-TEST", &"é".repeat(255)))), NOTHING);
    let sync = "APEL-sync-message: v0.2\nSite: x\nMonth: 99\nYear: 23\nNumberOfJobs: -1\n";
    let expected =
        ["sync.unknown-version", "sync.out-of-range", "sync.demanded-field", "sync.bad-month", "sync.bad-year"];
    assert_eq!(codes(findings(sync, true)), expected);
    let cloud = "APEL-cloud-message: v0.4\nVMUUID: x\nSiteName: y\nStatus: gone\nStartTime: 5\nEndTime: 4\n";
    assert_eq!(codes(findings(cloud, true)), ["cloud.unknown-status", "cloud.ends-before-start"]);
    assert_eq!(codes(findings(&cloud.replace("EndTime: 4", "EndTime: 0"), true)), ["cloud.unknown-status"]);
    assert_eq!(codes(findings("APEL-sync-message: v0.1", true)), ["message.no-records"]);
}

#[test]
fn a_validator_of_one_format_refuses_another() {
    let rules = Rules { now: NOW, strict: false };
    let found = job::check(summary("").as_bytes(), &rules);
    assert_eq!(codes(found.clone()), ["message.wrong-type"]);
    assert_eq!(found.first().map(|finding| finding.text.as_str()), Some("is a summary message, not a job message"));
    let both = [Format::Summary, Format::NormalisedSummary];
    assert!(check_as(summary("").as_bytes(), &both, &rules).is_empty());
}

#[test]
fn a_message_built_from_records_is_written_as_the_consumer_writes() {
    let record = sync::Sync { site: "UKI-TEST", submit_host: None, number_of_jobs: 3, month: 1, year: 2023 };
    let mut message = Message { version: "v0.1", records: vec![record.into()] };
    let text = "APEL-sync-message: v0.1\nSite: UKI-TEST\nNumberOfJobs: 3\nMonth: 1\nYear: 2023\n%%\n";
    assert_eq!(sync::write(&message).ok().as_deref(), Some(text));
    for bad in ["a\nNumberOfJobs: 9", "a%%b", " a", "a\u{2028}b"] {
        message.records[0].record.submit_host = Some(bad);
        assert!(sync::write(&message).is_err(), "{bad:?} would be read back as something else");
    }
    message.records[0].record.submit_host = None;
    message.version = "v0.1\nSite: y";
    assert!(sync::write(&message).is_err());
}

#[test]
fn a_version_is_changed_by_writing_under_another() {
    let text = job(|record| record);
    let mut message = job::parse(text.as_bytes()).expect("it is good");
    assert_eq!(&text[message.records[0].span.clone()], JOB.trim_end());
    message.version = "v0.4";
    let written = job::write(&message).expect("it can be written");
    assert!(
        written.contains("\nServiceLevel: {hepspec: 11.5}\n") && !written.contains("ServiceLevelType"),
        "{written}"
    );
    let mut again = job::parse(written.as_bytes()).expect("it is good");
    assert_eq!(again.records[0].record.service_level_type, Some("hepspec"));
    again.version = "v0.3";
    assert_eq!(job::write(&again).ok(), Some(text));
}

#[test]
fn numbers_beyond_i64_can_be_checked_and_not_kept() {
    let text = job(|record| record.replace("WallDuration: 5", "WallDuration: 99999999999999999999"));
    assert_eq!(errors(&text), NOTHING);
    assert_eq!(job::parse(text.as_bytes()).map_err(codes).err(), Some(vec!["job.out-of-range".to_owned()]));
}
