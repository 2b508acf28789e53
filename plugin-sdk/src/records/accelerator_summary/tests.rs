//! Literal messages, and the way there and back.

use super::*;

const GOOD: &str = "{\"Type\":\"APEL-accelerator-summary-message\",\"Version\":\"0.1\",\"UsageRecords\":[
{\"Month\":5,\"Year\":2026,\"AssociatedRecordType\":\"cloud\",\"GlobalUserName\":\"/CN=x\",\"SiteName\":\"UKI-TEST\",\
\"Count\":1.5,\"Cores\":128,\"AvailableDuration\":4000,\"ActiveDuration\":400,\"BenchmarkType\":\"HEPSPEC\",\
\"Benchmark\":9000.01,\"Type\":\"Accelerator\",\"Model\":\"A-B\",\"NumberOfRecords\":3}
]}
";

#[test]
fn a_good_message_goes_there_and_back() {
    let parsed = parse(GOOD.as_bytes()).expect("it is good");
    assert_eq!(write(&parsed), GOOD);
    assert_eq!((parsed.records[0].number_of_records, parsed.records[0].month), (3, 5));
}

#[test]
fn none_is_accepted_as_the_consumer_accepts_none() {
    let codes = |message: &str| -> Vec<String> {
        let rules = Rules { now: 1_780_000_000, strict: true };
        check(message.as_bytes(), &rules).into_iter().map(|finding| finding.code).collect()
    };
    assert_eq!(codes(GOOD), ["accelerator-summary.not-accepted"]);
    let bad = GOOD.replace(":3}", ":0}");
    assert_eq!(codes(&bad), ["accelerator-summary.not-accepted", "accelerator-summary.out-of-range"]);
    assert!(parse(bad.as_bytes()).is_err());
}
