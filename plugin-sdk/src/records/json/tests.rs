//! Literal documents.

use super::*;

fn root_of(source: &str) -> Result<(Kind, f64), Fault> {
    let document = Document::parse(source)?;
    let root = document.root().expect("a root");
    Ok((root.kind(), root.number().unwrap_or_default()))
}

#[test]
fn values_are_read_with_their_places() {
    let source = r#" {"a": [1, "b\n", {"c": null}], "d": true, "a": -2.5e1} "#;
    let document = Document::parse(source).expect("it is JSON");
    let root = document.root().expect("a root");
    assert_eq!(root.span(), 1..source.len() - 1);
    let entries: Vec<_> = root.entries().map(|(name, value)| (name.text(), value.source())).collect();
    let list = r#"[1, "b\n", {"c": null}]"#;
    assert_eq!(entries, [("a".into(), list), ("d".into(), "true"), ("a".into(), "-2.5e1")]);
    assert_eq!(root.get("a").and_then(|value| value.integer()), Some(-25), "the last of two counts");
    let (_, list) = root.entries().next().expect("an entry");
    let items: Vec<_> = list.items().map(|item| (item.kind(), item.text())).collect();
    let object = (Kind::Object, r#"{"c": null}"#.into());
    assert_eq!(items, [(Kind::Number, "1".into()), (Kind::Text, "b\n".into()), object]);
    assert_eq!(list.entries().count() + root.items().count(), 0);
}

#[test]
fn takes_and_refuses_what_python_does() {
    for (source, kind) in [
        ("\t\r\n null", Kind::Null),
        ("false", Kind::Boolean),
        ("-0", Kind::Number),
        ("NaN", Kind::Number),
        ("-Infinity", Kind::Number),
        ("1E+2", Kind::Number),
        ("[]", Kind::List),
        ("{ }", Kind::Object),
        ("\"\u{7f}\u{2028}\\ud800\"", Kind::Text),
    ] {
        assert_eq!(root_of(source).map(|(kind, _)| kind), Ok(kind), "{source}");
    }
    for source in [
        "",
        "[1,]",
        "[,1]",
        "{\"a\":1,}",
        "{\"a\"}",
        "{a:1}",
        "01",
        "1.",
        ".5",
        "+1",
        "-",
        "1e",
        "- 1",
        "-NaN",
        "nan",
        "'a'",
        "\"\t\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"a",
        "[1 2]",
        "[1",
        "{",
        "nul",
        "1 2",
        "\u{a0}1",
        "[1]]",
        "/**/1",
    ] {
        assert!(root_of(source).is_err(), "{source}");
    }
    assert!(root_of(&"9".repeat(4300)).is_ok());
    assert!(root_of(&"9".repeat(4301)).is_err());
    assert_eq!(root_of(&format!("{}.0", "9".repeat(4301))), Ok((Kind::Number, f64::INFINITY)));
}

#[test]
fn strings_are_unescaped_and_quoted() {
    let source = r#""\"\\\/\b\f\n\r\t\u0041\ud83d\ude00\ude00é""#;
    let document = Document::parse(source).expect("it is JSON");
    let text = document.root().expect("a root").text().into_owned();
    assert_eq!(text, "\"\\/\u{8}\u{c}\n\r\tA😀\u{fffd}é");
    let mut quoted = String::new();
    quote(&text, &mut quoted);
    assert_eq!(Document::parse(&quoted).expect("it is JSON").root().expect("a root").text(), text);
}

#[test]
fn whole_numbers_are_told_from_others() {
    let integer = |source: &str| Document::parse(source).expect("it is JSON").root().expect("a root").integer();
    for (source, value) in [("12", 12), ("-12", -12), ("1.0", 1), ("2e3", 2000), ("1e400", 0), ("9e99", i64::MAX)] {
        assert_eq!(integer(source), Some(value).filter(|_| source != "1e400"), "{source}");
    }
    assert_eq!(integer("99999999999999999999"), Some(i64::MAX));
    assert_eq!(["1.5", "NaN", "Infinity", "true", "\"1\""].map(integer), [None; 5]);
}

#[test]
fn nesting_is_bounded_without_recursion() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(root_of(&nested(MAX_DEPTH)).is_ok());
    assert!(root_of(&nested(MAX_DEPTH + 1)).is_err());
    assert!(root_of(&"[".repeat(1_000_000)).is_err());
}
