//! What was seen of the consumer, in literal messages, and the way there and back.

use super::*;

const NOW: Rules = Rules { now: 1_780_000_000, strict: false };
const STRICT: Rules = Rules { strict: true, ..NOW };

/// The inside of a good record, in lines.
const GOOD: &str = "<sr:RecordIdentity sr:createTime=\"2012-05-21T00:00:00Z\" sr:recordId=\"host-1\"/>
<sr:StorageSystem>host</sr:StorageSystem>
<sr:Site>UKI-TEST</sr:Site>
<sr:StorageShare>pool-003</sr:StorageShare>
<sr:StorageMedia>disk</sr:StorageMedia>
<sr:StorageClass>replicated</sr:StorageClass>
<sr:FileCount>42</sr:FileCount>
<sr:DirectoryPath>/home/projectA</sr:DirectoryPath>
<sr:SubjectIdentity>
<sr:LocalUser>johndoe</sr:LocalUser>
<sr:LocalGroup>projectA</sr:LocalGroup>
<sr:UserIdentity>/O=Grid/CN=John &amp; Doe</sr:UserIdentity>
<sr:Group>binarydataproject.example.org</sr:Group>
<sr:GroupAttribute sr:attributeType=\"subgroup\">ukusers</sr:GroupAttribute>
<sr:GroupAttribute sr:attributeType=\"role\">production</sr:GroupAttribute>
<sr:GroupAttribute sr:attributeType=\"authority\">/O=Grid</sr:GroupAttribute>
</sr:SubjectIdentity>
<sr:StartTime>2012-05-20T23:59:47Z</sr:StartTime>
<sr:EndTime>2012-05-21T23:59:47Z</sr:EndTime>
<sr:ResourceCapacityUsed>14728</sr:ResourceCapacityUsed>
<sr:LogicalCapacityUsed>13617</sr:LogicalCapacityUsed>
<sr:ResourceCapacityAllocated>14624</sr:ResourceCapacityAllocated>
";

fn around(records: &[&str]) -> String {
    let records: String = records.iter().map(|inside| format!("<sr:{RECORD}>\n{inside}</sr:{RECORD}>\n")).collect();
    let root = "sr:StorageUsageRecords";
    format!("<?xml version=\"1.0\" ?>\n<{root} xmlns:sr=\"{NAMESPACE}\">\n{records}</{root}>\n")
}

fn codes(message: &str, rules: &Rules) -> Vec<String> {
    check(message.as_bytes(), rules).into_iter().map(|finding| finding.code).collect()
}

/// The codes for a record with one replacement.
fn with(from: &str, to: &str, rules: &Rules) -> Vec<String> {
    assert!(GOOD.contains(from), "{from}");
    codes(&around(&[&GOOD.replacen(from, to, 1)]), rules)
}

#[test]
fn a_good_message_goes_there_and_back() {
    let message = around(&[GOOD, &GOOD.replace("host-1", "host-2")]);
    assert!(codes(&message, &STRICT).is_empty());
    let parsed = parse(message.as_bytes()).expect("it is good");
    assert_eq!(write(&parsed), message);
    let first = &parsed.records[0];
    assert_eq!(first.user_identity.as_deref(), Some("/O=Grid/CN=John & Doe"));
    assert_eq!((first.file_count, first.start_time.seconds()), (Some(42), 1_337_558_387));
    assert!(message[first.place.clone()].starts_with("<sr:StorageUsageRecord>\n<sr:RecordIdentity"));
    let indented = format!("\n \t{message}");
    let again = parse(indented.as_bytes()).expect("it is good");
    assert!(indented[again.records[1].place.clone()].contains("host-2"));
}

#[test]
fn attributes_need_the_prefix() {
    assert_eq!(with("sr:createTime", "createTime", &NOW), ["star.bad-timestamp"]);
    assert_eq!(with("sr:recordId", "recordId", &NOW), ["star.null-field"]);
    assert!(with("sr:attributeType", "attributeType", &NOW).is_empty());
    assert_eq!(with("sr:attributeType", "attributeType", &STRICT), ["star.null-field"]);
}

#[test]
fn mandatory_fields_must_be_there_and_not_null() {
    for name in ["StorageSystem", "StartTime", "EndTime", "ResourceCapacityUsed"] {
        let renamed = GOOD.replace(&format!("sr:{name}>"), "sr:Other>");
        assert_eq!(codes(&around(&[&renamed]), &NOW), ["star.missing-field"], "{name}");
    }
    let none = GOOD.lines().skip(1).collect::<String>();
    assert_eq!(codes(&around(&[&none]), &NOW), ["star.missing-field", "star.missing-field"]);
    assert_eq!(with(">host<", ">None<", &NOW), ["star.null-field"]);
    assert_eq!(with(">host<", "><![CDATA[host]]><", &NOW), ["star.null-field"]);
    assert_eq!(with(">14728<", "><", &NOW), ["star.null-field"]);
    assert!(with(">UKI-TEST<", ">null<", &NOW).is_empty());
}

#[test]
fn numbers_are_read_as_python_reads_them() {
    for good in ["", "none", " 7 ", "1_000", "-5", "99999999999999999999"] {
        assert!(with(">42<", &format!(">{good}<"), &NOW).is_empty(), "{good}");
    }
    for bad in ["1.0", "abc", "1__0", "0x1"] {
        assert_eq!(with(">42<", &format!(">{bad}<"), &NOW), ["star.bad-integer"], "{bad}");
    }
}

#[test]
fn the_first_of_several_counts_at_any_depth() {
    assert!(with("<sr:FileCount>42<", "<sr:FileCount>42</sr:FileCount><sr:FileCount>x<", &NOW).is_empty());
    assert_eq!(with("<sr:Site>", "<x><sr:FileCount>x</sr:FileCount></x><sr:Site>", &NOW), ["star.bad-integer"]);
}

#[test]
fn records_are_needed_and_may_stand_alone() {
    assert_eq!(codes(&around(&[]), &NOW), ["star.no-record"]);
    let alone = around(&[GOOD]).replace("sr:StorageUsageRecords", "sr:StorageUsageRecord");
    assert!(alone.contains("<sr:StorageUsageRecord>"));
    let alone = format!("<sr:StorageUsageRecord xmlns:sr=\"{NAMESPACE}\">{GOOD}</sr:StorageUsageRecord>");
    assert!(codes(&alone, &NOW).is_empty());
}

#[test]
fn every_finding_names_record_field_value_and_rule() {
    let message = around(&[GOOD, &GOOD.replace(">42<", ">4 2<").replace(">2012-05-20T23:59:47Z<", ">yesterday<")]);
    let findings = check(message.as_bytes(), &NOW);
    let facts: Vec<_> = findings
        .iter()
        .map(|finding| (finding.record_number, finding.field.as_deref(), finding.value.as_deref(), &*finding.code))
        .collect();
    assert_eq!(
        facts,
        [
            (Some(2), Some("sr:FileCount"), Some("4 2"), "star.bad-integer"),
            (Some(2), Some("sr:StartTime"), Some("yesterday"), "star.bad-timestamp"),
        ]
    );
    assert!(findings.iter().all(|finding| !finding.text.contains("yesterday")));
    assert_eq!(parse(message.as_bytes()).expect_err("it is not good").len(), findings.len());
}

#[test]
fn only_strict_compares_values() {
    for (from, to, code) in [
        (">2012-05-21T23:59:47Z<", ">2012-05-19T23:59:47Z<", "star.end-before-start"),
        (">disk<", ">floppy<", "star.bad-media"),
        (">42<", ">-42<", "star.out-of-range"),
        (">13617<", ">99999999999999999999<", "star.out-of-range"),
        (">/O=Grid<", "><", "star.null-field"),
    ] {
        assert!(with(from, to, &NOW).is_empty(), "{to}");
        assert_eq!(with(from, to, &STRICT), [code], "{to}");
    }
    let long = format!(">{}<", "é".repeat(256));
    assert_eq!(with(">UKI-TEST<", &long, &STRICT), ["star.too-long"]);
    let twins = around(&[GOOD, GOOD, GOOD]);
    assert!(codes(&twins, &NOW).is_empty());
    assert_eq!(codes(&twins, &STRICT), ["star.duplicate-record"; 2]);
}

#[test]
fn findings_are_bounded() {
    let bad = GOOD.replace(">42<", ">x<");
    let findings = codes(&around(&vec![bad.as_str(); 150]), &NOW);
    assert_eq!((findings.len(), &*findings[100]), (101, "message.more-findings"));
}
