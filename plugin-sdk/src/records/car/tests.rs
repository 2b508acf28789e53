//! What was seen of the consumer, in literal messages, and the way there and back.

use super::*;

const NOW: Rules = Rules { now: 1_780_000_000, strict: false };
const STRICT: Rules = Rules { strict: true, ..NOW };

/// The inside of a good record, in lines.
const GOOD: &str = "<urf:RecordIdentity urf:createTime=\"2012-05-21T00:00:00Z\" urf:recordId=\"host-1\"/>
<urf:JobIdentity>
<urf:LocalJobId>4711</urf:LocalJobId>
</urf:JobIdentity>
<urf:UserIdentity>
<urf:GlobalUserName>/O=Grid/CN=John &amp; Doe</urf:GlobalUserName>
<urf:Group>atlas</urf:Group>
<urf:GroupAttribute urf:type=\"FQAN\">/atlas/Role=production</urf:GroupAttribute>
<urf:GroupAttribute urf:type=\"group\">/atlas</urf:GroupAttribute>
<urf:GroupAttribute urf:type=\"role\">Role=production</urf:GroupAttribute>
<urf:LocalUserId>atlas001</urf:LocalUserId>
</urf:UserIdentity>
<urf:Status>completed</urf:Status>
<urf:Infrastructure urf:type=\"grid\" urf:description=\"JURA-ARC-SLURM\"/>
<urf:WallDuration>PT3600S</urf:WallDuration>
<urf:CpuDuration urf:usageType=\"all\">PT3599S</urf:CpuDuration>
<urf:ServiceLevel urf:type=\"hepspec\">12.5</urf:ServiceLevel>
<urf:NodeCount>1</urf:NodeCount>
<urf:Processors>8</urf:Processors>
<urf:EndTime>2012-05-20T23:59:47Z</urf:EndTime>
<urf:StartTime>2012-05-20T22:59:47Z</urf:StartTime>
<urf:MachineName>host</urf:MachineName>
<urf:SubmitHost>host:9619/queue</urf:SubmitHost>
<urf:Queue>long</urf:Queue>
<urf:Site>UKI-TEST</urf:Site>
";

fn around(records: &[&str]) -> String {
    let records: String = records.iter().map(|inside| format!("<urf:{RECORD}>\n{inside}</urf:{RECORD}>\n")).collect();
    let root = "urf:UsageRecords";
    format!("<?xml version=\"1.0\" ?>\n<{root} xmlns:urf=\"{NAMESPACE}\">\n{records}</{root}>\n")
}

fn codes(message: &str, rules: &Rules) -> Vec<String> {
    check(message.as_bytes(), rules).into_iter().map(|finding| finding.code).collect()
}

/// The codes for a record with one replacement.
fn with(from: &str, to: &str) -> Vec<String> {
    assert!(GOOD.contains(from), "{from}");
    codes(&around(&[&GOOD.replacen(from, to, 1)]), &NOW)
}

/// The codes for a record without what stands in one line.
fn without(part: &str, rules: &Rules) -> Vec<String> {
    assert!(GOOD.contains(part), "{part}");
    let kept: String = GOOD.lines().filter(|line| !line.contains(part)).collect();
    codes(&around(&[&kept]), rules)
}

#[test]
fn a_good_message_goes_there_and_back() {
    let message = around(&[GOOD, &GOOD.replace("4711", "4712")]);
    assert!(codes(&message, &NOW).is_empty());
    let parsed = parse(message.as_bytes()).expect("it is good");
    assert_eq!(write(&parsed), message);
    let first = &parsed.records[0];
    assert_eq!((first.wall_duration, first.cpu_duration, first.processors), (3600, 3599, Some(8)));
    assert_eq!((first.vo.as_deref(), first.vo_role.as_deref()), (Some("atlas"), Some("Role=production")));
    let level = ServiceLevel { kind: "hepspec".into(), value: 12.5 };
    assert_eq!(first.service_level, Some(level));
    assert!(message[parsed.records[1].place.clone()].contains("4712"));
}

#[test]
fn mandatory_fields_must_be_there_and_not_null() {
    for part in ["LocalJobId", ":Site", "WallDuration", "CpuDuration", "StartTime", "EndTime"] {
        assert_eq!(without(part, &NOW), ["car.missing-field"], "{part}");
    }
    assert_eq!(with(">4711<", ">none<"), ["car.null-field"]);
    for part in ["RecordIdentity", "SubmitHost", "Queue", "MachineName", "Status", "Processors", "ServiceLevel", "FQAN"]
    {
        assert!(without(part, &NOW).is_empty(), "{part}");
    }
}

#[test]
fn durations_are_skipped_when_they_are_none() {
    assert_eq!(with("PT3600S", "3600"), ["car.bad-duration"]);
    assert!(with("PT3600S", "P").is_empty());
    assert!(with("PT3600S", "P1DT1.5S").is_empty());
}

#[test]
fn the_processor_time_is_the_one_marked_all() {
    let marked = "<urf:CpuDuration urf:usageType=\"all\">PT3599S</urf:CpuDuration>";
    let user = "<urf:CpuDuration urf:usageType=\"user\">x</urf:CpuDuration>";
    assert!(with(marked, &format!("{user}{marked}")).is_empty());
    assert_eq!(with(marked, &format!("{marked}{marked}")), ["car.bad-duration"]);
    assert_eq!(with(marked, user), ["car.bad-duration"]);
    assert!(with("urf:usageType", "usageType").is_empty());
    let message =
        around(&[&GOOD.replace(marked, "<urf:CpuDuration>PT1S</urf:CpuDuration><urf:CpuDuration>x</urf:CpuDuration>")]);
    assert_eq!(parse(message.as_bytes()).expect("it is good").records[0].cpu_duration, 1);
}

#[test]
fn a_service_level_has_a_known_type_and_a_number() {
    assert!(with("hepspec", "HepScore23").is_empty());
    assert_eq!(with("hepspec", "custom"), ["car.bad-service-level-type"]);
    assert_eq!(with("urf:type=\"hepspec\"", ""), ["car.missing-field"]);
    assert_eq!(with(">12.5<", "><"), ["car.missing-field"]);
    assert_eq!(with(">12.5<", ">fast<"), ["car.bad-number"]);
    assert!(with(" urf:type=\"hepspec\">12.5<", ">none<").is_empty());
}

#[test]
fn a_job_ends_after_its_start_and_not_in_the_future() {
    let ending = |time: &str| with(">2012-05-20T23:59:47Z<", &format!(">{time}<"));
    assert_eq!(ending("2012-05-20T22:59:46Z"), ["car.end-before-start"]);
    assert!(ending("2012-05-20T22:59:47Z").is_empty());
    assert!(ending("2026-05-30T20:26:40Z").is_empty());
    assert_eq!(ending("2026-05-30T20:26:40.000001Z"), ["car.end-in-future"]);
    assert_eq!(ending("in May"), ["car.bad-timestamp"]);
}

#[test]
fn strict_wants_what_the_document_has_as_mandatory() {
    assert!(codes(&around(&[GOOD]), &STRICT).is_empty());
    for (from, to, code) in [
        ("urf:Status", "urf:State", "car.missing-field"),
        ("urf:createTime", "createTime", "car.bad-timestamp"),
        ("PT3600S", "PT99999999999S", "car.out-of-range"),
        ("12.5", "inf", "car.out-of-range"),
        ("JURA-ARC-SLURM", &"x".repeat(101), "car.too-long"),
    ] {
        assert_eq!(codes(&around(&[&GOOD.replace(from, to)]), &STRICT), [code], "{to}");
    }
}

#[test]
fn strict_takes_a_middleware_in_any_form() {
    for middleware in [
        "",
        "<urf:Middleware>ARC</urf:Middleware>",
        "<urf:Middleware urf:name=\"unicore\">unicore</urf:Middleware>",
        "<urf:Middleware urf:name=\"arc\" urf:version=\"6.17.0\" urf:description=\"NorduGrid ARC 6.17.0\"/>",
        "<urf:Middleware name=\"arc\"></urf:Middleware>",
        "<urf:Middleware/>",
    ] {
        let record = GOOD.replace("<urf:Status>", &format!("{middleware}<urf:Status>"));
        let codes = codes(&around(&[&record]), &STRICT);
        assert!(codes.is_empty(), "{middleware}: {codes:?}");
    }
}

/// The form that ARC 6.17 writes: elements in a default namespace, attributes by a prefix, middleware in attributes.
#[test]
fn strict_takes_the_records_of_arc() {
    let record = "<UsageRecord xmlns:urf=\"http://eu-emi.eu/namespaces/2012/11/computerecord\" \
        xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
        xsi:schemaLocation=\"http://eu-emi.eu/namespaces/2012/10/computerecord car_v1.2.xsd\">\
        <RecordIdentity urf:createTime=\"2024-05-21T00:00:00Z\" urf:recordId=\"ur-ce.example.org-1\"/>\
        <JobIdentity><GlobalJobId>https://ce.example.org/1</GlobalJobId><LocalJobId>4711</LocalJobId></JobIdentity>\
        <UserIdentity><GlobalUserName urf:type=\"opensslCompat\">/C=UK/CN=a user</GlobalUserName>\
        <LocalUserId>nobody</LocalUserId><LocalGroup>users</LocalGroup><Group>auriga</Group>\
        <GroupAttribute urf:type=\"FQAN\">/auriga/Role=pilot</GroupAttribute>\
        <GroupAttribute urf:type=\"vo-group\">/auriga</GroupAttribute></UserIdentity>\
        <JobName>n</JobName><Status>completed</Status><ExitStatus>0</ExitStatus><WallDuration>PT1H0M0S</WallDuration>\
        <CpuDuration urf:usageType=\"all\">PT59M59S</CpuDuration><CpuDuration urf:usageType=\"user\">PT59M58S</CpuDuration>\
        <CpuDuration urf:usageType=\"system\">PT1S</CpuDuration>\
        <StartTime>2024-05-20T22:59:47Z</StartTime><EndTime>2024-05-20T23:59:47Z</EndTime>\
        <MachineName>ce.example.org</MachineName><Host urf:primary=\"true\">wn1</Host>\
        <SubmitHost urf:type=\"org.nordugrid.arcrest\">https://ce.example.org/arex</SubmitHost>\
        <Queue urf:description=\"execution\">long</Queue><Site urf:type=\"gocdb\">EXAMPLE-SITE</Site>\
        <Infrastructure urf:type=\"grid\" urf:description=\"JURA-ARC-SLURM\"></Infrastructure>\
        <Middleware urf:name=\"arc\" urf:version=\"6.17.0\" urf:description=\"NorduGrid ARC 6.17.0\"/>\
        <Memory urf:storageUnit=\"KB\" urf:metric=\"max\" urf:type=\"Physical\">2048</Memory>\
        <NodeCount>1</NodeCount><Processors>8</Processors><ServiceLevel urf:type=\"HEPscore23\">12.5</ServiceLevel>\
        </UsageRecord>";
    let message = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<UsageRecords xmlns=\"{NAMESPACE}\">{record}{record}</UsageRecords>"
    );
    let codes = codes(&message, &STRICT);
    assert!(codes.is_empty(), "{codes:?}");
}

#[test]
fn no_record_and_aggregated_records_are_refused() {
    assert_eq!(codes(&around(&[]), &NOW), ["car.no-record"]);
    assert_eq!(codes(&around(&[GOOD]).replace(NAMESPACE, AGGREGATED), &NOW), ["xml.not-supported"]);
}
