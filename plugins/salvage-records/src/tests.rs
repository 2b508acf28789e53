//! Good and bad records, with the real checks and with one of our own.

use sesame_plugin::Direction;

use super::*;

const HEADER: &str = "APEL-individual-job-message: v0.3\n";

fn job(site: &str, id: u32, end: u32) -> String {
    format!(
        "Site: {site}\nLocalJobId: {id}\nWallDuration: 10\nCpuDuration: 9\nStartTime: 1700000000\nEndTime: {end}\n\
         ServiceLevelType: hepspec\nServiceLevel: 10\n"
    )
}

fn jobs(records: &[String]) -> String {
    HEADER.to_owned() + &records.join("%%\n") + "%%\n"
}

fn transform(payload: &str) -> Result<Transformed, Failure> {
    let message = Message::sample(Direction::Outbound, payload);
    SalvageRecords(AllTypes::default()).transform(&message)
}

/// What goes on, what does not, and the numbers of the records of its findings.
fn parts(answer: Result<Transformed, Failure>) -> (String, String, Vec<Option<u32>>) {
    let Ok(Transformed { verdict: Verdict::Split(parts), .. }) = answer else { panic!("{answer:?}") };
    let text = |part: &Part| String::from_utf8(part.content.payload.clone()).unwrap();
    let [good, bad] = parts.as_slice() else { panic!("{}", parts.len()) };
    assert!(good.refused.is_none());
    let findings = bad.refused.as_ref().unwrap();
    (text(good), text(bad), findings.iter().map(|finding| finding.record_number).collect())
}

fn invalid(answer: Result<Transformed, Failure>) -> Vec<Finding> {
    match answer {
        Err(Failure::Invalid(findings)) => findings,
        other => panic!("{other:?}"),
    }
}

/// A record is bad if it contains `BAD`, and so is a message of more than three.
fn own_check(payload: &[u8]) -> Vec<Finding> {
    let shape = Shape::cut(payload).unwrap();
    let bad = |record: &[u8]| record.windows(3).any(|text| text == b"BAD");
    let mut findings = vec![Finding::warning("own.note", "noted")];
    findings.extend(shape.records().filter(|record| bad(record)).map(|_| Finding::error("own.bad", "is bad")));
    if shape.len() > 3 {
        findings.push(Finding::error("own.many", "are too many"));
    }
    findings
}

fn own(payload: &str) -> Result<Transformed, Failure> {
    salvage(payload.as_bytes(), &own_check)
}

#[test]
fn good_records_go_on_and_bad_ones_are_refused() {
    let (one, two) = (job("A", 1, 1_700_000_100), job("A", 2, 1_700_000_100));
    let (early, nameless) = (job("A", 3, 1_600_000_000), job("None", 4, 1_700_000_100));
    let payload = jobs(&[one.clone(), early.clone(), two.clone(), nameless.clone()]);
    let (good, bad, numbers) = parts(transform(&payload));
    assert_eq!(good, jobs(&[one, two]));
    assert_eq!(bad, jobs(&[early, nameless]));
    assert_eq!(numbers, [Some(2), Some(4)]);
}

#[test]
fn a_good_message_stays_as_it_is() {
    let payload = jobs(&[job("A", 1, 1_700_000_100)]);
    assert!(matches!(transform(&payload).unwrap().verdict, Verdict::Unchanged));
}

#[test]
fn nothing_good_makes_the_message_invalid() {
    let record = job("A", 1, 1_600_000_000);
    assert_eq!(invalid(transform(&jobs(&[record.clone(), record])))[0].record_number, Some(1));
    invalid(transform(""));
    invalid(transform(&jobs(&[job("A", 1, 1_700_000_100)]).replace("individual", "strange")));
}

#[test]
fn every_form_is_salvaged() {
    let json = r#"{"Type": "x", "UsageRecords": [{"a": "BAD"}, {"a": 1}, {"a": 2}]}"#;
    let (good, bad, numbers) = parts(own(json));
    assert_eq!(good, r#"{"Type": "x", "UsageRecords": [{"a": 1}, {"a": 2}]}"#);
    assert_eq!((bad.as_str(), numbers), (r#"{"Type": "x", "UsageRecords": [{"a": "BAD"}]}"#, vec![Some(1), Some(1)]));
    let ns = "xmlns='http://eu-emi.eu/namespaces/2011/02/storagerecord'";
    let record = |text: &str| format!("<StorageUsageRecord>{text}</StorageUsageRecord>");
    let xml = |records: &str| format!("<?xml version='1.0'?><StorageUsageRecords {ns}>{records}</StorageUsageRecords>");
    let (good, bad, _) = parts(own(&xml(&[record("1"), record("BAD"), record("3")].concat())));
    assert_eq!(good, xml(&[record("1"), record("3")].concat()));
    assert_eq!(bad, xml(&record("BAD")));
}

#[test]
fn what_is_wrong_with_the_whole_is_not_salvaged() {
    let payload = format!("{HEADER}a: 1\n%%\na: 2\n%%\na: BAD\n%%\na: 4\n%%\na: 5");
    let codes: Vec<String> = invalid(own(&payload)).into_iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["own.note", "own.bad", "own.many"]);
    let (good, ..) = parts(own(&payload.replacen("a: 1\n%%\n", "", 1)));
    assert!(good.ends_with("a: 2\n%%\na: 4\n%%\na: 5"), "{good}");
}

#[test]
fn a_record_that_is_bad_beside_another_is_refused() {
    let ns = "xmlns:s='http://eu-emi.eu/namespaces/2011/02/storagerecord'";
    let record = |id: &str, used: &str| {
        format!(
            "<s:StorageUsageRecord><s:RecordIdentity s:recordId='{id}' s:createTime='2026-11-24T00:00:00Z'/>\
             <s:StorageSystem>x</s:StorageSystem><s:StartTime>2026-11-23T00:00:00Z</s:StartTime>\
             <s:EndTime>2026-11-24T00:00:00Z</s:EndTime>\
             <s:ResourceCapacityUsed>{used}</s:ResourceCapacityUsed></s:StorageUsageRecord>"
        )
    };
    let message =
        |records: &[String]| format!("<s:StorageUsageRecords {ns}>{}</s:StorageUsageRecords>", records.concat());
    let (one, two, bad, three) = (record("1", "5"), record("2", "5"), record("3", "many"), record("3", "5"));
    let (good, refused, numbers) = parts(transform(&message(&[one.clone(), bad.clone(), two.clone(), three.clone()])));
    assert_eq!((good, refused), (message(&[one, two, three]), message(&[bad])));
    assert_eq!(numbers, [Some(2)]);
    let twins = |payload: &[u8]| {
        let shape = Shape::cut(payload).unwrap();
        let twin = |at: usize| (0..at).any(|before| shape.record(before) == shape.record(at));
        let finding = |at: usize| Finding::error("own.twin", "occurs twice").in_record(number(at));
        (0..shape.len()).filter(|&at| twin(at)).map(finding).collect()
    };
    let payload = format!("{HEADER}a: 1\n%%\na: 2\n%%\na: 1\n%%\n");
    let (good, refused, numbers) = parts(salvage(payload.as_bytes(), &twins));
    assert_eq!((good, refused), (format!("{HEADER}a: 1\n%%\na: 2\n%%\n"), format!("{HEADER}a: 1\n%%\n")));
    assert_eq!(numbers, [Some(3)]);
}

#[test]
fn findings_are_bounded() {
    let bad = "a: BAD\n%%\n".repeat(150);
    let Ok(Transformed { verdict: Verdict::Split(parts), findings }) = own(&format!("{HEADER}a: 1\n%%\n{bad}")) else {
        panic!("not split")
    };
    assert_eq!(findings[0].record_number, Some(1));
    let refused = parts[1].refused.as_ref().unwrap();
    assert_eq!((refused.len(), refused[100].code.as_str()), (101, "message.more-findings"));
}
