//! Sizes and counts, in every form.

use sesame_plugin::Direction;
use sesame_plugin::records::shape::Kind;

use super::*;

const HEADER: &str = "APEL-individual-job-message: v0.3\n";

fn jobs(count: usize, note: &str) -> String {
    let record = |number| format!("Site: UKI-TEST\nLocalJobId: {number}\nQueue: {note}\n%%\n");
    HEADER.to_owned() + &(1..=count).map(record).collect::<String>()
}

fn gpus(count: usize) -> String {
    let records: Vec<String> =
        (0..count).map(|number| format!("{{\"SiteName\": \"Universit\u{e4}t {number}\"}}")).collect();
    format!("{{\"Type\":\"APEL-accelerator-message\",\"UsageRecords\":[{}]}}", records.join(", "))
}

fn storage(count: usize) -> String {
    let records: String =
        (0..count).map(|number| format!("<StorageUsageRecord><Site>{number}</Site></StorageUsageRecord>\n")).collect();
    let ns = "http://eu-emi.eu/namespaces/2011/02/storagerecord";
    format!("<?xml version=\"1.0\"?>\r\n<StorageUsageRecords xmlns=\"{ns}\">{records}</StorageUsageRecords>")
}

fn sealed(payload: &str, encrypted: bool, peer: &str) -> Message {
    let message = Message::sample(Direction::Outbound, payload).with_property("peer", peer);
    let message = message.with_property("wire-fixed-bytes", "3000");
    if encrypted { message.with_property("wire-envelope-bytes", "900") } else { message }
}

fn split(max_wire_bytes: usize, max_records: usize, message: &Message) -> Result<Vec<Part>, Failure> {
    match (SplitRecords { max_wire_bytes: Some(max_wire_bytes), max_records }).transform(message)?.verdict {
        Verdict::Split(parts) => Ok(parts),
        Verdict::Unchanged => Ok(Vec::new()),
        other => panic!("{other:?}"),
    }
}

fn records(payload: &[u8]) -> Vec<Vec<u8>> {
    Shape::cut(payload).unwrap().records().map(<[u8]>::to_vec).collect()
}

#[test]
fn pieces_keep_within_the_size_and_lose_nothing() {
    let long =
        jobs(300, "short") + "Site: A\nQueue: \u{e4}\u{e4}\u{e4}\n%%\n" + jobs(300, "a/b").split_once('\n').unwrap().1;
    let mention = jobs(300, "application/x-pkcs7-mime /a/b/c");
    for payload in
        [jobs(2000, "short"), jobs(2000, "short").replace('\n', "\r\n"), long, mention, gpus(1500), storage(1500)]
    {
        for (encrypted, peer) in [(true, "ssm"), (false, "ssm"), (true, "sesame"), (false, "sesame")] {
            let message = sealed(&payload, encrypted, peer);
            let limit = 12_000;
            let parts = split(limit, usize::MAX, &message).unwrap();
            let wire = Wire::of(&message.context);
            assert!(parts.iter().all(|part| part.refused.is_none() && wire.size(&part.content.payload) <= limit));
            let kept: Vec<Vec<u8>> = parts.iter().flat_map(|part| records(&part.content.payload)).collect();
            assert_eq!(kept, records(payload.as_bytes()));
            let kind = Kind::of(payload.as_bytes());
            assert!(parts.iter().all(|part| Kind::of(&part.content.payload) == kind));
            // No piece could have taken the next one's first record as well.
            let whole = Shape::cut(payload.as_bytes()).unwrap();
            let mut from = 0;
            for part in &parts[..parts.len() - 1] {
                let to = from + records(&part.content.payload).len();
                assert!(wire.size(&whole.build(&(from..=to).collect::<Vec<_>>())) > limit, "{from} to {to}");
                from = to;
            }
        }
    }
}

#[test]
fn a_message_within_the_limits_stays_as_it_is() {
    assert!(split(1_000_000, usize::MAX, &sealed(&jobs(1000, ""), true, "ssm")).unwrap().is_empty());
    assert!(split(1_000_000, 1000, &sealed(&jobs(1000, ""), true, "ssm")).unwrap().is_empty());
    assert!(split(1_000_000, 1, &sealed("neither text nor XML", true, "ssm")).unwrap().is_empty());
    assert!(split(1_000_000, 1, &sealed(HEADER, true, "ssm")).unwrap().is_empty());
}

#[test]
fn the_limit_of_the_channel_counts_unless_the_configuration_has_less() {
    let message = |limit: &str| sealed(&jobs(2000, "short"), true, "ssm").with_property("max-wire-bytes", limit);
    let split = |max_wire_bytes, limit| {
        let plugin = SplitRecords { max_wire_bytes, max_records: usize::MAX };
        let message = message(limit);
        let largest = |parts: Vec<Part>| {
            parts.iter().map(|part| Wire::of(&message.context).size(&part.content.payload)).max().unwrap()
        };
        match plugin.transform(&message).unwrap().verdict {
            Verdict::Split(parts) => Some(largest(parts)),
            _ => None,
        }
    };
    let near = |found: Option<usize>, limit: usize| found.is_some_and(|size| size <= limit && size > limit * 9 / 10);
    assert!(near(split(None, "20000"), 20_000));
    assert!(near(split(Some(12_000), "20000"), 12_000));
    assert!(near(split(Some(500_000), "20000"), 20_000));
    assert_eq!(split(None, "500000"), None);
}

#[test]
fn records_are_counted() {
    let parts = split(1_000_000, 2, &sealed(&jobs(5, "x"), true, "ssm")).unwrap();
    let counts: Vec<usize> = parts.iter().map(|part| records(&part.content.payload).len()).collect();
    assert_eq!(counts, [2, 2, 1]);
    assert!(parts[2].content.payload.starts_with(HEADER.as_bytes()));
    assert!(parts[2].content.payload.ends_with(b"LocalJobId: 5\nQueue: x\n%%\n"));
}

#[test]
fn a_record_over_the_limit_is_refused_and_the_rest_goes_on() {
    let payload = jobs(2, "x") + &format!("Queue: {}\n%%\n", "y".repeat(20_000)) + "Site: last";
    let parts = split(9000, usize::MAX, &sealed(&payload, false, "ssm")).unwrap();
    let [good, refused] = parts.as_slice() else { panic!("{}", parts.len()) };
    assert_eq!(records(&good.content.payload).len(), 3);
    assert_eq!(records(&refused.content.payload).len(), 1);
    let findings = refused.refused.as_ref().unwrap();
    assert_eq!((findings[0].code.as_str(), findings[0].record_number), ("split.record-too-large", Some(3)));
    assert!(findings[0].text.contains("more than max-wire-bytes, 9000"), "{}", findings[0].text);
}

#[test]
fn what_cannot_be_made_smaller_is_invalid() {
    let code = |payload: &str| match split(9000, usize::MAX, &sealed(payload, false, "ssm")) {
        Err(Failure::Invalid(findings)) => findings.into_iter().map(|finding| finding.code).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(code(&"x".repeat(20_000)), ["split.message-too-large", "shape.not-cut"]);
    assert_eq!(code(&(HEADER.to_owned() + "Queue: " + &"y".repeat(20_000))), ["split.record-too-large"]);
    assert_eq!(code(&format!("APEL-{}-message: v1\n", "y".repeat(20_000))), ["split.message-too-large"]);
    assert_eq!(code(&(HEADER.to_owned() + &format!("Queue: {}%%", "y".repeat(20_000)).repeat(150))).len(), 101);
    let tiny = split(100, usize::MAX, &sealed(&jobs(5, ""), false, "ssm"));
    assert!(matches!(tiny, Err(Failure::Internal(text)) if text.contains("less than a signature")));
    let many = split(1_000_000, 1, &sealed(&jobs(10_001, ""), false, "ssm"));
    assert!(matches!(many, Err(Failure::Invalid(findings)) if findings[0].code == "split.too-many-parts"));
}

#[test]
fn inbound_messages_are_cut_by_their_own_size() {
    let message = Message::sample(Direction::Inbound, jobs(100, "\u{e4}"));
    let parts = split(1000, usize::MAX, &message).unwrap();
    assert!(parts.len() > 1 && parts.iter().all(|part| part.content.payload.len() <= 1000));
}
