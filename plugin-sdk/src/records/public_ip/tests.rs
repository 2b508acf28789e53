//! Literal messages, and the way there and back.

use super::*;

const GOOD: &str = "{\"Type\":\"APEL Public IP message\",\"Version\":\"0.2\",\"UsageRecords\":[
{\"MeasurementTime\":1337558387,\"SiteName\":\"UKI-TEST\",\"CloudType\":\"OpenStack\",\"LocalUser\":\"1\",\
\"LocalGroup\":\"2\",\"GlobalUserName\":\"/CN=x\",\"FQAN\":\"/atlas\",\"IPVersion\":6,\"IPCount\":12}
]}
";

#[test]
fn a_good_message_goes_there_and_back() {
    let parsed = parse(GOOD.as_bytes()).expect("it is good");
    assert_eq!(write(&parsed), GOOD);
    assert_eq!((parsed.records[0].ip_version, parsed.records[0].ip_count), (6, 12));
}

#[test]
fn fields_are_held_against_the_documents() {
    let codes = |message: &str| -> Vec<String> {
        let rules = Rules { now: 1_780_000_000, strict: false };
        check(message.as_bytes(), &rules).into_iter().map(|finding| finding.code).collect()
    };
    assert!(codes(GOOD).is_empty());
    assert_eq!(codes(&GOOD.replace(":6,", ":5,")), ["public-ip.out-of-range"]);
    assert_eq!(codes(&GOOD.replace(":12}", ":\"12\"}")), ["public-ip.not-whole"]);
    assert_eq!(codes(&GOOD.replace("\"OpenStack\"", "null")), ["public-ip.not-text"]);
    assert_eq!(codes(&GOOD.replace("0.2", "0.1")), ["public-ip.wrong-version"]);
}
