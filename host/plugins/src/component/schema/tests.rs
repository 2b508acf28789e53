//! Texts for operators about their configuration, and schemas that are invalid or malicious.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;

fn read(schema: &Value) -> Schema {
    Schema::read(&schema.to_string()).unwrap()
}

fn said(schema: &Value, config: &Value) -> String {
    read(schema).check(config).err().map(|error| error.to_string()).unwrap_or_default()
}

fn refused(schema: &str) -> String {
    Schema::read(schema).unwrap_err().to_string()
}

/// A typical schema of a plugin.
fn site_list() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Site list",
        "type": "object",
        "properties": {
            "sites": { "type": "array", "items": { "$ref": "#/$defs/site" }, "minItems": 1, "uniqueItems": true },
            "mode": { "enum": ["warn", "refuse"], "default": "warn" },
            "factor": { "type": "number", "exclusiveMinimum": 0, "maximum": 10 },
            "limit": { "type": ["integer", "null"], "format": "uint32", "minimum": 1 },
            "names": { "type": "object", "additionalProperties": { "type": "string", "maxLength": 3 } }
        },
        "required": ["sites"],
        "additionalProperties": false,
        "$defs": { "site": { "type": "string", "pattern": "^[A-Z]+-[A-Z]+$" } }
    })
}

#[test]
fn accepts_a_valid_configuration() {
    let fits = json!({
        "sites": ["UKI-A", "UKI-B"], "mode": "warn", "factor": 0.5, "limit": 3.0, "names": { "a b": "abc" }
    });
    assert_eq!(read(&site_list()).check(&fits), Ok(()));
}

#[test]
fn reports_every_violation_with_key_kind_and_reason_but_no_value() {
    let wrong = json!({
        "sites": ["secret", 7, "UKI-A", "UKI-A"], "mode": "secret", "factor": 0, "limit": 1.5,
        "names": { "a b": "secret" }, "site": "secret"
    });
    let said = said(&site_list(), &wrong);
    for expected in [
        "invalid [config]: ",
        "sites[0] does not match \"^[A-Z]+-[A-Z]+$\"",
        "sites[1] is a whole number and must be a string",
        "sites[3] is a duplicate",
        "mode is a string that is not allowed (allowed: \"warn\", \"refuse\")",
        "factor is a number and must be more than 0",
        "limit is a number and must be a whole number or nothing",
        "names.\"a b\" has 6 characters and must have at most 3",
        "unknown key `site` (known: factor, limit, mode, names, sites)",
    ] {
        assert!(said.contains(expected), "{expected:?} not in {said:?}");
    }
    assert!(!said.contains("secret"), "{said}");
}

#[test]
fn reports_ten_violations_and_counts_the_rest() {
    let schema = json!({ "additionalProperties": false });
    let config: Value = (0..25).map(|n| (format!("k{n:02}"), json!(1))).collect::<serde_json::Map<_, _>>().into();
    let said = said(&schema, &config);
    assert!(said.contains("unknown key `k09` (known: none); and 15 more"), "{said}");
}

#[test]
fn checks_every_keyword() {
    // A schema, a valid value, an invalid one, and the violation.
    let cases = [
        (json!({"const": 1}), json!(1.0), json!(2), "is a whole number that is not allowed (allowed: 1)"),
        (json!({"minimum": 1}), json!(1), json!(0), "must be at least 1"),
        (json!({"exclusiveMaximum": 1}), json!(0.5), json!(1), "must be less than 1"),
        (json!({"multipleOf": 0.1}), json!(0.3), json!(0.35), "is not a multiple of 0.1"),
        (json!({"minLength": 2}), json!("äö"), json!("ä"), "has 1 characters and must have at least 2"),
        (json!({"maxItems": 1}), json!([1]), json!([1, 2]), "has 2 entries and must have at most 1"),
        (json!({"minProperties": 1}), json!({"a": 1}), json!({}), "has 0 keys and must have at least 1"),
        (
            json!({"propertyNames": {"maxLength": 1}}),
            json!({"a": 1}),
            json!({"ab": 1}),
            "ab is a key whose name is not",
        ),
        (json!({"patternProperties": {"^x": false}}), json!({"a": 1}), json!({"x": 1}), "x is not allowed here"),
        (
            json!({"dependentRequired": {"a": ["b"]}}),
            json!({"c": 1}),
            json!({"a": 1}),
            "missing key `b`, required with `a`",
        ),
        (json!({"dependentSchemas": {"a": {"required": ["b"]}}}), json!({"c": 1}), json!({"a": 1}), "missing key `b`"),
        (
            json!({"prefixItems": [{"type": "string"}], "items": false}),
            json!(["a"]),
            json!(["a", 1]),
            "[1] is not allowed",
        ),
        (json!({"contains": {"const": 1}}), json!([1]), json!([2]), "has 0 entries that match and must have at"),
        (json!({"contains": true, "maxContains": 1}), json!([1]), json!([1, 2]), "at least 1 and at most 1"),
        (json!({"allOf": [{"minimum": 1}, {"maximum": 2}]}), json!(1), json!(3), "must be at most 2"),
        (
            json!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
            json!(["a"]),
            json!([1]),
            "[0] is a whole number and must be a string",
        ),
        (
            json!({"anyOf": [{"minimum": 9}, {"const": 1}]}),
            json!(1),
            json!(2),
            "is a whole number and matches none of the 2 forms allowed",
        ),
        (
            json!({"oneOf": [{"minimum": 1}, {"minimum": 2}]}),
            json!(1),
            json!(2),
            "matches 2 forms and must match exactly one",
        ),
        (json!({"not": {"type": "string"}}), json!(1), json!("a"), "is a string that is excluded"),
        (
            json!({"if": {"required": ["a"]}, "then": {"required": ["b"]}, "else": {"required": ["c"]}}),
            json!({"c": 1}),
            json!({"a": 1}),
            "missing key `b`",
        ),
    ];
    for (schema, fits, wrong, expected) in cases {
        assert_eq!(said(&schema, &fits), "", "{schema} {fits}");
        let said = said(&schema, &wrong);
        assert!(said.contains(expected), "{schema} {wrong}: {expected:?} not in {said:?}");
    }
}

#[test]
fn a_schema_may_refer_to_itself() {
    let schema = json!({"properties": {"next": {"$ref": "#"}, "n": {"type": "integer"}}});
    let said = said(&schema, &json!({"next": {"next": {"n": "x"}}}));
    assert!(said.contains("next.next.n is a string and must be a whole number"), "{said}");
}

#[test]
fn a_schema_that_cannot_be_used_is_the_plugins_fault() {
    let cases = [
        ("{", "it is not JSON, EOF while parsing"),
        ("[]", "a schema is neither a table nor true or false"),
        (r#"{"type": "text"}"#, "unknown type \"text\" (at \"/type\"): fix the plugin"),
        (r#"{"properties": {"a": 1}}"#, "(at \"/properties/a\")"),
        (r#"{"required": "a"}"#, "it must be a list (at \"/required\")"),
        (r#"{"minLength": -1}"#, "it must be a whole number, 0 or more"),
        (r#"{"multipleOf": 0}"#, "it must be more than 0"),
        (r#"{"pattern": "(?=a)"}"#, "a pattern is invalid, look-around"),
        (r#"{"$defs": {"unused": {"pattern": "("}}}"#, "(at \"/$defs/unused/pattern\")"),
        (r##"{"$ref": "#/$defs/none"}"##, "there is nothing at \"#/$defs/none\""),
        (
            r#"{"$ref": "https://example.org/schema"}"#,
            "\"https://example.org/schema\" is not a pointer into this schema",
        ),
        (r#"{"$ref": "file:///etc/passwd"}"#, "is not a pointer into this schema"),
        (r#"{"unevaluatedProperties": false}"#, "Sesame does not support the keyword unevaluatedProperties"),
    ];
    for (schema, expected) in cases {
        let said = refused(schema);
        assert!(said.starts_with("has an invalid configuration schema, "), "{said}");
        assert!(said.contains(expected), "{expected:?} not in {said:?}");
    }
}

#[test]
fn a_malicious_schema_is_refused_quickly() {
    let started = Instant::now();
    assert!(refused(&format!("\"{}\"", "x".repeat(300_000))).contains("larger than 256 KiB"));
    assert!(refused(&"[".repeat(100_000)).contains("recursion limit"));
    let deep = (0..60).fold("true".to_owned(), |inner, _| format!("{{\"not\":{inner}}}"));
    assert!(Schema::read(&deep).is_ok());
    let chain: Vec<String> = (0..1000).map(|n| format!(r##""d{n}":{{"$ref":"#/$defs/d{}"}}"##, n + 1)).collect();
    let chain = format!(r#"{{"$defs":{{{},"d1000":true}}}}"#, chain.join(","));
    assert!(refused(&chain).contains("more than 128 deep"));
    let name = "x".repeat(3000);
    let long = format!(r#"{{"properties":{{"{name}":{{"not":true}}}}}}"#);
    assert!(refused(&long).contains("longer than 2 kB"));
    assert!(refused(r#"{"pattern": "((a{100}){100}){100}"}"#).contains("a pattern is invalid, "));
    let patterns: Vec<String> = (0..100).map(|n| format!("{{\"pattern\":\"a{n}\"}}")).collect();
    assert!(refused(&format!("{{\"allOf\":[{}]}}", patterns.join(","))).contains("more than 64 patterns"));
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_malicious_validation_ends_quickly() {
    let started = Instant::now();
    let endless = |schema: Value, config: Value| {
        let said = said(&schema, &config);
        assert!(
            said.contains("takes more than 1000000 steps, or the schema refers to itself in a loop: fix the plugin"),
            "{said}"
        );
    };
    endless(json!({"$ref": "#"}), json!({}));
    endless(json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}), json!({}));
    // Each step of the chain doubles the work.
    let mut defs = serde_json::Map::new();
    for n in 0..60 {
        let next = json!({"$ref": format!("#/$defs/d{}", n + 1)});
        defs.insert(format!("d{n}"), json!({"allOf": [next, next]}));
    }
    defs.insert("d60".to_owned(), json!(true));
    endless(json!({"$ref": "#/$defs/d0", "$defs": defs}), json!({}));
    let many: Vec<Value> = (0..20_000).map(Value::from).collect();
    endless(json!({"uniqueItems": true}), json!(many));
    // A back-tracking matcher would hang on this.
    let slow = json!({"pattern": "^(a+)+$"});
    assert!(said(&slow, &json!("a".repeat(100_000) + "b")).contains("does not match"));
    assert!(started.elapsed() < Duration::from_secs(20));
}
