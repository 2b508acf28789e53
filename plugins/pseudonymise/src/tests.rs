//! Names in every format.

use sesame_plugin::Direction;

use super::*;

const KEY: &str = r#"{"key": "0123456789abcdef"}"#;
/// `printf /DC=org/CN=joe | openssl dgst -sha256 -hmac 0123456789abcdef`, the first 32 digits.
const JOE: &str = "67893ad2fac465fdec9fea65039476c8";
const JOBS: &str = "APEL-individual-job-message: v0.3\nGlobalUserName: /DC=org/CN=joe\nFQAN: /vo/Role=x\nLocalUserId: joe\n%%\nGlobalUserName: None\nLocalUserId: withheld\n%%\n";

fn plugin(config: &str) -> Result<Pseudonymise, String> {
    Pseudonymise::new(Config::from_json(config)?)
}

fn changed(config: &str, payload: &str) -> String {
    let message = Message::sample(Direction::Outbound, payload);
    match plugin(config).unwrap().transform(&message).unwrap().verdict {
        Verdict::Replaced(output) => String::from_utf8(output.payload).unwrap(),
        Verdict::Unchanged => payload.to_owned(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn names_are_withheld_without_a_key() {
    let expected = JOBS.replace("/DC=org/CN=joe", "withheld").replace("LocalUserId: joe", "LocalUserId: withheld");
    assert_eq!(changed("{}", JOBS), expected);
    assert_eq!(changed("{}", &expected), expected);
    assert_eq!(changed(r#"{"fields": ["fqan"]}"#, JOBS), JOBS.replace("/vo/Role=x", "withheld"));
}

#[test]
fn the_same_name_has_the_same_pseudonym_in_every_format() {
    assert!(changed(KEY, JOBS).contains(&format!("GlobalUserName: {JOE}\n")), "{}", changed(KEY, JOBS));
    let json = r#"{"Type":"APEL-accelerator-message","UsageRecords":[{"GlobalUserNam\u0065": "\/DC=org/CN=joe", "x": {"globalusername": "/DC=org/CN=joe"}}, {"GlobalUserName": null, "LocalUser": 7}]}"#;
    let new = changed(KEY, json);
    assert_eq!(new.matches(JOE).count(), 2, "{new}");
    assert!(new.contains("\"GlobalUserName\": null") && !new.contains("joe") && !new.contains(": 7"), "{new}");
    let car = "<r:UsageRecords xmlns:r='http://eu-emi.eu/namespaces/2012/11/computerecord'><r:UsageRecord><r:UserIdentity><r:GlobalUserName r:type='opensslCompat'><!-- joe -->\n&#47;DC=org<![CDATA[joe]]>/CN=joe</r:GlobalUserName><r:LocalUserId/><r:Group>vo</r:Group></r:UserIdentity></r:UsageRecord></r:UsageRecords>";
    let new = changed(KEY, car);
    assert!(
        new.contains(&format!("<r:GlobalUserName r:type='opensslCompat'>{JOE}</r:GlobalUserName><r:LocalUserId/>")),
        "{new}"
    );
    let star = "<StorageUsageRecord xmlns='http://eu-emi.eu/namespaces/2011/02/storagerecord'><SubjectIdentity><LocalUser>joe</LocalUser><UserIdentity>/DC=org/CN=joe<x/></UserIdentity><UserIdentity><x/><![CDATA[joe]]></UserIdentity><UserIdentity><!--joe--></UserIdentity></SubjectIdentity></StorageUsageRecord>";
    let new = changed(KEY, star);
    assert!(new.contains(&format!("<UserIdentity>{JOE}</UserIdentity>")) && !new.contains("joe"), "{new}");
}

#[test]
fn no_spelling_of_a_line_hides_a_name() {
    for line in [
        "GlobalUserName : joe",
        "\u{a0}GlobalUserName:joe",
        "VO: x\u{2028}GlobalUserName: joe",
        "Queue: a%%GLOBALUSERNAME: joe\rA: b",
    ] {
        let new = changed("{}", &format!("APEL-cloud-message: v0.4\n{line}\r\n%%"));
        assert!(!new.contains("joe") && new.contains("withheld"), "{new}");
    }
}

#[test]
fn what_cannot_be_read_is_refused() {
    let plugin = plugin("{}").unwrap();
    for (payload, code) in [
        ("GlobalUserName: joe", "shape.not-cut"),
        ("{\"GlobalUserName\": \"joe\"}", "shape.not-cut"),
        ("<a>joe</a>", "shape.not-cut"),
        ("<a>", "xml.malformed"),
    ] {
        let answer = plugin.transform(&Message::sample(Direction::Outbound, payload));
        assert!(matches!(answer, Err(Failure::Invalid(findings)) if findings[0].code == code));
    }
}

#[test]
fn prefix_and_length_are_the_operators() {
    let config = r#"{"key-hex": "30313233343536373839616263646566", "prefix": "/CN=anon-", "digits": 16}"#;
    let expected = format!("GlobalUserName: /CN=anon-{}\n", &JOE[..16]);
    assert!(changed(config, JOBS).contains(&expected), "{}", changed(config, JOBS));
}

#[test]
fn a_weak_or_wrong_setting_is_named() {
    for (config, reason) in [
        (r#"{"key": "short"}"#, "at least 16 bytes"),
        (r#"{"key-hex": "00zz"}"#, "not hexadecimal"),
        (r#"{"key-hex": "000"}"#, "not hexadecimal"),
        (r#"{"key": "0123456789abcdef", "key-hex": "00"}"#, "exclude each other"),
        (r#"{"digits": 15}"#, "from 16 on"),
        (r#"{"digits": 65}"#, "16 to 64"),
        (r#"{"prefix": "a b"}"#, "printable"),
        (r#"{"fields": []}"#, "at least one"),
        (r#"{"field": ["x"]}"#, "field is not a key"),
    ] {
        let error = plugin(config).err().unwrap();
        assert!(error.contains(reason), "{config}: {error}");
    }
}

#[test]
fn a_name_of_the_lookup_table_has_its_pseudonym() {
    let config = KEY.replacen('{', r#"{"table": "users", "#, 1);
    assert_eq!(plugin(&config).err().unwrap(), "table \"users\" is not granted");
    let known: &[(&str, &str)] = &[("name", "joe"), ("pseudonym", "u-1")];
    let empty: &[(&str, &str)] = &[("name", "/DC=org/CN=joe"), ("pseudonym", "")];
    tables::provide("users", &[known, empty]);
    let expected = JOBS.replace("/DC=org/CN=joe", JOE).replace("LocalUserId: joe", "LocalUserId: u-1");
    assert_eq!(changed(&config, JOBS), expected, "an empty pseudonym is none");
    let other = config.replacen('{', r#"{"column": "alias", "#, 1);
    let failed = plugin(&other).unwrap().transform(&Message::sample(Direction::Outbound, JOBS)).unwrap_err();
    assert!(matches!(failed, Failure::Internal(text) if text == "table \"users\" has no column \"alias\""));
}
