//! Every table, in every format.

use sesame_plugin::Direction;

use super::*;

const JOBS: &str =
    "APEL-individual-job-message: v0.3\nVO: atlas.old\nQueue: None\n%%\nVO: cms\nInfrastructureDescription: x\n%%\n";
const GPUS: &str =
    r#"{"Type": "APEL-accelerator-message", "UsageRecords": [{"Count": 1, "Model": null, "Old": {"Inner": "a"}}]}"#;
const CAR: &str = "<u:UsageRecords xmlns:u='http://eu-emi.eu/namespaces/2012/11/computerecord'><u:UsageRecord><u:UserIdentity><u:Group>atlas.old</u:Group></u:UserIdentity><u:Infrastructure u:type='grid'/></u:UsageRecord></u:UsageRecords>";

fn plugin(config: &str) -> Result<SetFields, String> {
    SetFields::from_json(config)
}

fn answer(config: &str, payload: &str) -> Transformed {
    plugin(config).unwrap().transform(&Message::sample(Direction::Outbound, payload)).unwrap()
}

fn changed(config: &str, payload: &str) -> String {
    match answer(config, payload).verdict {
        Verdict::Replaced(output) => String::from_utf8(output.payload).unwrap(),
        Verdict::Unchanged => payload.to_owned(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn set_writes_a_field_in_any_case() {
    let new = changed(r#"{"set": {"InfrastructureDescription": "CE-1"}}"#, JOBS);
    let expected =
        JOBS.replace("Queue: None\n", "Queue: None\nInfrastructureDescription: CE-1\n").replace(": x\n", ": CE-1\n");
    assert_eq!(new, expected);
    assert_eq!(
        changed(r#"{"set": {"Count": 2.5, "New": "n"}}"#, GPUS),
        GPUS.replace("1,", "2.5,").replace("}}]", "}, \"New\": \"n\"}]")
    );
    let new = changed(r#"{"set": {"InfrastructureDescription": "a\"b", "InfrastructureType": "local"}}"#, CAR);
    assert!(new.contains("<u:Infrastructure u:type='local' u:description=\"a&quot;b\"/>"), "{new}");
}

#[test]
fn default_writes_what_is_missing_or_null() {
    let new = changed(r#"{"default": {"Queue": "q", "VO": "none"}}"#, JOBS);
    assert_eq!(new, JOBS.replace("None", "q").replace(": x\n", ": x\nQueue: q\n"));
    assert!(changed(r#"{"default": {"Model": "A100"}}"#, GPUS).contains(r#""Model": "A100""#));
    assert_eq!(changed(r#"{"default": {"InfrastructureType": "x"}}"#, CAR), CAR);
}

#[test]
fn map_exchanges_values() {
    let config = r#"{"map": {"VO": {"atlas.old": "atlas", "x": "y"}}}"#;
    assert_eq!(changed(config, JOBS), JOBS.replace("atlas.old", "atlas"));
    assert_eq!(changed(config, CAR), CAR.replace("atlas.old", "atlas"));
    assert_eq!(changed(r#"{"map": {"Old.Inner": {"a": "b"}}}"#, GPUS), GPUS.replace("\"a\"", "\"b\""));
}

#[test]
fn rename_comes_before_the_other_tables() {
    let config = r#"{"rename": {"VO": "Group"}, "map": {"Group": {"cms": "CMS"}}, "set": {"VO": "v"}}"#;
    let new = changed(config, JOBS);
    assert!(
        new.contains("\nGroup: CMS\n") && new.contains("\nGroup: atlas.old\n") && new.contains("\nVO: v\n"),
        "{new}"
    );
    let taken = answer(r#"{"rename": {"VO": "Queue"}}"#, JOBS);
    assert_eq!((taken.findings[0].code.as_str(), taken.findings[0].record_number), ("set-fields.name-taken", Some(1)));
}

#[test]
fn tables_of_a_type_win() {
    let config =
        r#"{"set": {"VO": "all"}, "types": {"job": {"set": {"VO": "jobs"}}, "usage": {"set": {"VO": "car"}}}}"#;
    assert_eq!(changed(config, JOBS).matches("VO: jobs").count(), 2);
    assert!(changed(config, CAR).contains("<u:Group>car</u:Group>"));
    assert!(changed(config, GPUS).contains(r#""VO": "all""#));
}

#[test]
fn nothing_to_do_leaves_the_message() {
    assert_eq!(changed("{}", "no message at all"), "no message at all");
    let unknown = answer(r#"{"set": {"VO": "x"}}"#, "no message at all");
    assert_eq!(unknown.findings[0].code, "set-fields.unknown-type");
    assert!(matches!(
        answer(r#"{"set": {"VO": "cms"}}"#, "APEL-cloud-message: v0.4\nVO: cms").verdict,
        Verdict::Unchanged
    ));
}

#[test]
fn what_cannot_be_written_is_refused() {
    let plugin = plugin(r#"{"set": {"VO": "a%%b"}}"#).unwrap();
    let refused = plugin.transform(&Message::sample(Direction::Outbound, JOBS));
    assert!(matches!(refused, Err(Failure::Invalid(findings)) if findings[0].record_number == Some(1)));
}

#[test]
fn a_slip_in_the_tables_is_named() {
    assert!(plugin(r#"{"types": {"jobs": {}}}"#).err().unwrap().contains("\"jobs\" is not a record type"));
    assert!(plugin(r#"{"sets": {}}"#).is_err());
    let schema: serde_json::Value = serde_json::from_str(&SetFields::config_schema().unwrap()).unwrap();
    assert_eq!(schema["properties"]["types"]["propertyNames"]["enum"], serde_json::json!(Kind::ALL.map(Kind::name)));
}

#[test]
fn a_lookup_table_has_the_value() {
    let config = r#"{"lookup": {
        "VO": {"table": "names", "column": "new"},
        "Group": {"table": "names", "column": "group", "from": "VO"}
    }}"#;
    assert_eq!(
        plugin(config).and_then(SetFields::new).err().unwrap(),
        "table \"names\" is not granted",
        "it is said before a message comes"
    );
    let row: &[(&str, &str)] = &[("vo", "atlas.old"), ("new", "atlas"), ("group", "lhc")];
    tables::provide("names", &[row]);
    let expected = JOBS.replace("VO: atlas.old\nQueue: None\n", "VO: atlas\nQueue: None\nGroup: lhc\n");
    assert_eq!(changed(config, JOBS), expected, "a key that the table does not have changes nothing");
    let car = changed(r#"{"lookup": {"VO": {"table": "names", "column": "new"}}}"#, CAR);
    assert!(car.contains("<u:Group>atlas</u:Group>"), "{car}");
    let config = r#"{"lookup": {"VO": {"table": "names", "column": "other"}}}"#;
    let failed = plugin(config).unwrap().transform(&Message::sample(Direction::Outbound, JOBS)).unwrap_err();
    assert!(matches!(failed, Failure::Internal(text) if text == "table \"names\" has no column \"other\""));
    let mistake = plugin(r#"{"lookup": {"VO": {"table": "names"}}}"#).err().unwrap();
    assert_eq!(mistake, "lookup.\"VO\".column is missing");
}
