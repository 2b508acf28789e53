//! Signers, sites and formats.

use super::*;

const CONFIG: &str = r#"{"signers": {
    "/C=UK/O=Test/CN=one": ["A", "B"],
    "cn = two, o=Te\\,st ,C=UK": ["C"]
}}"#;

fn plugin(config: &str) -> SiteBinding {
    SiteBinding::new(Config::from_json(config).unwrap()).unwrap()
}

fn signed(subject: &str, slash: Option<&str>, payload: &str) -> Message {
    let mut message = Message::sample(Direction::Inbound, payload);
    let properties = slash.iter().map(|dn| ("subject-slash".to_owned(), (*dn).to_owned())).collect();
    let subject = subject.to_owned();
    let (issuer, serial) = ("CN=ca".to_owned(), "01".to_owned());
    message.context.signer = Some(Signer { subject, issuer, serial, not_after: 0, certificate: vec![], properties });
    message
}

fn one(payload: &str) -> Message {
    signed("CN=one,O=Test,C=UK", Some("/C=UK/O=Test/CN=one"), payload)
}

/// Code, record and value of each finding.
fn refused(config: &str, message: &Message) -> Vec<(String, Option<u32>, Option<String>)> {
    match plugin(config).validate(message) {
        Ok(findings) => findings,
        Err(Failure::Invalid(findings)) => findings,
        Err(other) => panic!("{other:?}"),
    }
    .into_iter()
    .map(|finding| (finding.code, finding.record_number, finding.value))
    .collect()
}

fn not_bound(record: u32, site: &str) -> (String, Option<u32>, Option<String>) {
    ("site.not-bound".to_owned(), Some(record), Some(site.to_owned()))
}

#[test]
fn a_signer_reports_for_its_sites_only() {
    let good = one("APEL-sync-message: v0.1\nSite: A\n%%\nSite:  B \n%%\n");
    assert_eq!(refused(CONFIG, &good), []);
    let bad = one("APEL-sync-message: v0.1\nSite: A\n%%\nSite: a\n%%\nSite: C\nSite: A\n%%\n");
    assert_eq!(refused(CONFIG, &bad), [not_bound(2, "a"), not_bound(3, "C")]);
}

#[test]
fn every_format_names_its_site() {
    let json = r#"{"Type": "APEL-accelerator-message", "UsageRecords": [{"SiteName": "A"}, {"Site\u004eame": "D", "x": {"Site": "E"}}]}"#;
    assert_eq!(refused(CONFIG, &one(json)), [not_bound(2, "D")]);
    let star = "<s:StorageUsageRecords xmlns:s='http://eu-emi.eu/namespaces/2011/02/storagerecord'><s:StorageUsageRecord><s:Site>A</s:Site><s:X><s:Site>&#68;</s:Site></s:X></s:StorageUsageRecord></s:StorageUsageRecords>";
    assert_eq!(refused(CONFIG, &one(star)), [not_bound(1, "D")]);
    assert_eq!(refused(CONFIG, &one("APEL-cloud-message: v0.4\r\nSiteName: D\r\n")), [not_bound(1, "D")]);
}

#[test]
fn either_form_of_a_name_is_known() {
    let sync = "APEL-sync-message: v0.1\nSite: C";
    assert_eq!(refused(CONFIG, &signed("CN=two,O=Te\\,st,C=UK", None, sync)), []);
    assert_eq!(refused(CONFIG, &signed("CN=two,O=Te,ST,C=UK", None, sync))[0].0, "site.unlisted-signer");
    assert_eq!(refused(CONFIG, &signed("CN=Two,O=Te\\,st,C=UK", None, sync))[0].0, "site.unlisted-signer");
    let both = CONFIG.replace("cn = two", "CN=one,O=Test,C=UK\": [\"Z\"], \"cn = two");
    assert_eq!(refused(&both, &one("APEL-sync-message: v0.1\nSite: Z\n%%Site: A")), []);
}

#[test]
fn a_lookup_table_adds_signers_and_sites() {
    let config = CONFIG.replacen('{', r#"{"table": "signers", "#, 1);
    assert_eq!(
        SiteBinding::new(Config::from_json(&config).unwrap()).err().unwrap(),
        "table \"signers\" is not granted"
    );
    let row: &[(&str, &str)] = &[("dn", "CN=three,O=Test,C=UK"), ("sites", " D  E ")];
    let slash: &[(&str, &str)] = &[("dn", "/C=UK/O=Test/CN=one"), ("sites", "F")];
    tables::provide("signers", &[row, slash]);
    let sync = |site| format!("APEL-sync-message: v0.1\nSite: {site}");
    let three = |site| signed("cn = three, o=Test,C=UK", None, &sync(site));
    assert_eq!((refused(&config, &three("D")), refused(&config, &three("E"))), (vec![], vec![]));
    assert_eq!(refused(&config, &three("A")), [not_bound(1, "A")]);
    for site in ["A", "B", "F"] {
        assert_eq!(refused(&config, &one(&sync(site))), [], "both tables count");
    }
    assert_eq!(refused(&config, &signed("CN=four", None, &sync("A")))[0].0, "site.unlisted-signer");
    let other = config.replacen('{', r#"{"column": "places", "#, 1);
    let failed = plugin(&other).validate(&three("D")).unwrap_err();
    assert!(matches!(failed, Failure::Internal(text) if text == "table \"signers\" has no column \"places\""));
}

#[test]
fn unlisted_signers_are_the_operators_choice() {
    let stranger = signed("CN=three", None, "anything");
    assert_eq!(refused(CONFIG, &stranger)[0].0, "site.unlisted-signer");
    assert_eq!(refused(r#"{"unlisted": "pass"}"#, &stranger), []);
}

#[test]
fn records_without_a_site_are_refused_unless_allowed() {
    let payload = "APEL-sync-message: v0.1\nSite: None\n%%\nMonth: 1\n%%\n";
    let codes: Vec<String> = refused(CONFIG, &one(payload)).into_iter().map(|(code, ..)| code).collect();
    assert_eq!(codes, ["site.missing", "site.missing"]);
    let config = CONFIG.replacen('{', r#"{"no-site": "pass", "#, 1);
    assert_eq!(refused(&config, &one(payload)), []);
    assert_eq!(refused(CONFIG, &one("Site: A"))[0].0, "shape.not-cut");
}

#[test]
fn outbound_messages_name_our_own_sites() {
    let out = Message::sample(Direction::Outbound, "APEL-sync-message: v0.1\nSite: A");
    assert_eq!(refused(CONFIG, &out), []);
    assert_eq!(refused(r#"{"own": ["A"]}"#, &out), []);
    assert_eq!(refused(r#"{"own": ["B"]}"#, &out), [not_bound(1, "A")]);
    let unsigned = Message::sample(Direction::Inbound, "APEL-sync-message: v0.1\nSite: A");
    assert_eq!(refused(CONFIG, &unsigned)[0].0, "site.no-signer");
}

#[test]
fn findings_are_bounded() {
    let payload = format!("APEL-sync-message: v0.1\n{}", "Site: X\n%%\n".repeat(150));
    let found = refused(CONFIG, &one(&payload));
    assert_eq!((found.len(), found[100].0.as_str()), (101, "message.more-findings"));
}

#[test]
fn a_slip_in_the_table_is_named() {
    let config = Config::from_json(r#"{"signers": {"one": ["A"]}}"#).unwrap();
    assert!(SiteBinding::new(config).err().unwrap().contains("\"one\" is not a DN"));
    assert!(Config::from_json(r#"{"unlisted": "accept"}"#).is_err());
}
