use super::compare::differences;
use super::file::{is_of, parse};
use super::*;

fn row(side: Side, peer: &str, stream: &str, site: &str, (messages, records): (u64, u64)) -> Row {
    let key = (peer.to_owned(), stream.to_owned(), site.to_owned(), "job".to_owned());
    let own = if side == Side::Sender { "/CN=ce issuer=/CN=ca" } else { "/CN=central issuer=/CN=ca" };
    let mut row = Row::new((side, "c", own), &key, true);
    row.sent = Amount { messages, records: Some(records) };
    row
}

fn report(rows: Vec<Row>) -> Content {
    Content { format: FORMAT, month: "2026-10".to_owned(), made: String::new(), rows }
}

const CE: &str = "/CN=ce issuer=/CN=ca";
const OTHER: &str = "/CN=other issuer=/CN=ca";

#[test]
fn a_receiver_is_compared_with_what_the_sender_signed() {
    let sender = report(vec![
        row(Side::Sender, "/queue/a", "s1", "A", (3, 30)),
        row(Side::Sender, "/queue/b", "", "A", (2, 20)),
    ]);
    let mut receiver = report(vec![
        row(Side::Receiver, CE, "s1", "A", (3, 30)),
        row(Side::Receiver, CE, "", "A", (2, 20)),
        row(Side::Receiver, OTHER, "", "A", (9, 90)),
        row(Side::Receiver, OTHER, "s2", "A", (9, 90)),
    ]);
    assert_eq!(differences(&sender, &receiver).unwrap(), []);
    assert_eq!(differences(&receiver, &sender).unwrap(), []);
    receiver.rows[0].sent = Amount { messages: 2, records: Some(20) };
    receiver.rows[1].rejected = Amount { messages: 1, records: Some(10) };
    receiver.rows.push(row(Side::Receiver, CE, "s3", "B", (1, 1)));
    let found = differences(&sender, &receiver).unwrap();
    let keys: Vec<_> = found.iter().map(|((stream, site, _), ..)| (stream.as_str(), site.as_str())).collect();
    assert_eq!(keys, [("", "A"), ("s1", "A"), ("s3", "B")]);
    assert_eq!((found[1].1.sent.messages, found[1].2.sent.messages), (3, 2));
    // All of it was lost.
    let lost = differences(&sender, &report(Vec::new())).unwrap();
    assert_eq!(lost.len(), 2);
}

#[test]
fn a_signature_counts_only_for_the_figures_of_its_signer() {
    let mut report = report(vec![row(Side::Sender, "q", "s", "A", (1, 1))]);
    assert!(is_of(&report, CE) && !is_of(&report, OTHER));
    report.rows.push(row(Side::Receiver, CE, "s", "A", (1, 1)));
    assert!(!is_of(&report, CE), "one line is of another");
}

#[test]
fn reports_that_cannot_be_compared_are_refused() {
    let mut one = report(vec![row(Side::Sender, "q", "", "A", (1, 1))]);
    let other = one.clone();
    one.month = "2026-09".to_owned();
    assert!(differences(&one, &other).unwrap_err().to_string().contains("different months, 2026-09 and 2026-10"));
    one.month = "2026-10".to_owned();
    one.rows.push(row(Side::Receiver, CE, "", "A", (1, 1)));
    assert!(differences(&one, &other).unwrap_err().to_string().contains("senders and receivers"));
}

#[test]
fn what_is_written_is_read_and_nothing_else() {
    let written = report(vec![row(Side::Sender, "q\u{1b}", "s", "A\"", (1, u64::MAX))]);
    assert_eq!(parse(written.text().as_bytes()).unwrap(), written);
    assert_eq!(parse(escaped_json(&written.text()).as_bytes()).unwrap(), written);
    let nested = format!("{{\"sesame-report\": 1, \"x\": {}", "[".repeat(1 << 20));
    for (bad, why) in [
        ("{}", "is no report"),
        ("{\"sesame-report\": 2}", "is of format 2"),
        ("{\"sesame-report\": 1, \"month\": \"x\", \"made\": \"\", \"rows\": []}", "has no month"),
        ("{\"sesame-report\": 1, \"month\": \"2026-10\", \"made\": \"\", \"rows\": [{}]}", "is no report"),
        (&nested, "is no report"),
        ("\u{0}", "is no report"),
    ] {
        let error = parse(bad.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    let full = report(vec![row(Side::Sender, "q", "", "A", (u64::MAX, u64::MAX)); 2]);
    assert_eq!(differences(&full, &full).unwrap(), []);
}

#[test]
fn outcomes_become_columns() {
    let cell = |outcome, format: &str| journal::Cell {
        peer: "q".to_owned(),
        stream: String::new(),
        site: "A".to_owned(),
        format: format.to_owned(),
        outcome,
    };
    let one = journal::Amount { messages: 1, records: 2 };
    let outcomes = [
        Outcome::Unanswered,
        Outcome::Accepted,
        Outcome::Rejected,
        Outcome::Awaited,
        Outcome::Overdue,
        Outcome::Duplicate,
    ];
    let mut amounts: Amounts = outcomes.map(|outcome| (cell(outcome, "job"), one)).into();
    amounts.insert(cell(Outcome::Unanswered, UNCOUNTED), journal::Amount { messages: 4, records: 0 });
    let rows: Vec<Row> = lines((Side::Sender, "c", CE), &amounts).into_values().collect();
    let [job, uncounted] = rows.as_slice() else { panic!("{rows:?}") };
    let all = [job.sent, job.acknowledged, job.rejected, job.missing, job.overdue, job.duplicates];
    assert_eq!(all.map(|amount| amount.messages), [5, 1, 1, 2, 1, 1]);
    assert_eq!(job.sent.records, Some(10));
    assert_eq!(uncounted.sent, Amount { messages: 4, records: None });
}

#[test]
fn a_signer_is_named_with_or_without_its_issuer() {
    assert!(is_peer(CE, "/CN=ce") && is_peer(CE, CE) && is_peer("/queue/a", "/queue/a"));
    assert!(!is_peer("/CN=ce2 issuer=/CN=ca", "/CN=ce") && !is_peer("/queue/ab", "/queue/a"));
}
