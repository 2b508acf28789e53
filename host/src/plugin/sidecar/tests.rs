//! What a side-car may say.

use super::*;

fn mistakes(text: &str) -> Vec<String> {
    SideCar::parse(text).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn an_empty_side_car_is_the_default() {
    assert_eq!(SideCar::parse("").unwrap(), SideCar::default());
}

#[test]
fn reads_every_key() {
    let pin = "ab".repeat(32);
    let text = format!(
        r#"
        enabled = false
        channels = ["central"]
        direction = "inbound"
        destination = "/queue/*"
        signer = ["/C=UK/CN=a", "CN=b"]
        content-type = ["Text/Plain"]
        on-error = "reject"
        deadline = "250ms"
        memory = "128MiB"
        output-limit = 1000
        log-limit = "1KiB"
        sha256 = "{pin}"
        [config]
        sites = ["UKI-TEST"]
        since = 2026-01-01
        [config.inner]
        factor = 1.5
        on = true
        "#
    );
    let side_car = SideCar::parse(&text).unwrap();
    assert!(!side_car.enabled);
    assert_eq!(side_car.filter.channels, Some(vec!["central".to_owned()]));
    assert_eq!(side_car.filter.direction, Some(Direction::Inbound));
    assert_eq!(side_car.filter.destination, Some(vec!["/queue/*".to_owned()]));
    assert_eq!(side_car.filter.signer.unwrap().len(), 2);
    assert_eq!(side_car.filter.content_type, Some(vec!["text/plain".to_owned()]));
    assert_eq!(side_car.on_error, OnError::Reject);
    assert_eq!(
        side_car.limits,
        Limits { deadline: Duration::from_millis(250), memory: 128 << 20, output: 1000, log: 1024 }
    );
    assert_eq!(side_car.sha256, Some([0xab; 32]));
    let expected =
        serde_json::json!({"sites": ["UKI-TEST"], "since": "2026-01-01", "inner": {"factor": 1.5, "on": true}});
    assert_eq!(side_car.config, expected);
}

#[test]
fn both_directions_may_be_written() {
    assert_eq!(SideCar::parse("direction = \"both\"").unwrap(), SideCar::default());
}

#[test]
fn reports_all_mistakes_with_key_and_remedy() {
    let text = r#"
        enabled = "yes"
        channels = []
        direction = "in"
        on-error = 3
        deadline = "5"
        memory = "a lot"
        sha256 = "abc"
        sites = ["UKI-TEST"]
        config = 1
    "#;
    let found = mistakes(text);
    assert_eq!(found.len(), 9, "{found:#?}");
    for expected in [
        "enabled: write true or false, without quotes",
        "direction: \"in\" is not one of inbound, outbound, both",
        "deadline: \"5\" is not a time from \"10ms\" to \"10m\"",
        "memory: write a size such as \"64MiB\", from 1 MiB to 4096 MiB",
        "config: write a table, [config], with the plugin's own keys below it",
    ] {
        assert!(found.iter().any(|mistake| mistake == expected), "{expected} not in {found:#?}");
    }
    assert!(
        found.iter().any(|mistake| mistake.starts_with("sites: there is no such key; the plugin's own keys go into"))
    );
}

#[test]
fn says_on_which_line_it_is_not_toml() {
    let found = mistakes("enabled = true\nchannels = [\n");
    assert!(found[0].starts_with("line ") && found[0].contains("is not TOML"), "{found:?}");
}

#[test]
fn a_number_that_json_has_not_is_a_mistake() {
    assert_eq!(mistakes("[config]\nx = nan"), ["config: holds a number that is infinite or not a number"]);
}
