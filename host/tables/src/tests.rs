//! Formats, mistakes and lookups.

use std::path::Path;

use super::*;

fn load(name: &str, content: impl AsRef<[u8]>, key: Option<&str>) -> Result<Table, TableError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    std::fs::write(&file, content).unwrap();
    let source = TableSource { format: Format::of(&file).unwrap(), file, key: key.map(str::to_owned) };
    Table::load(&source)
}

fn row(table: &Table, key: &str) -> Vec<(String, String)> {
    let fields = table.get(key).map(|row| row.fields().map(|(name, value)| (name.to_owned(), value.to_owned())));
    fields.map(Iterator::collect).unwrap_or_default()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The text after the name of the file.
fn refusal(name: &str, content: impl AsRef<[u8]>, key: Option<&str>) -> String {
    let text = load(name, content, key).unwrap_err().to_string();
    text.split_once(name).map(|(_, rest)| rest.to_owned()).unwrap_or(text)
}

#[test]
fn reads_csv_with_quotes_and_either_line_end() {
    let csv = "\u{feff}site,country,note\r\nA,UK,\"one, two\"\r\n\"B \"\"x\"\"\",\"d\nE\",\n";
    let table = load("t.csv", csv, None).unwrap();
    assert_eq!(row(&table, "A"), pairs(&[("site", "A"), ("country", "UK"), ("note", "one, two")]));
    assert_eq!(row(&table, "B \"x\""), pairs(&[("site", "B \"x\""), ("country", "d\nE"), ("note", "")]));
    assert_eq!((table.len(), table.contains("A"), table.contains("a"), table.contains("")), (2, true, false, false));
    assert!(load("t.csv", "site,country\n", None).unwrap().is_empty());
    let by_country = load("t.csv", "site,country\nA,UK\n", Some("country")).unwrap();
    assert_eq!(row(&by_country, "UK"), pairs(&[("site", "A"), ("country", "UK")]));
}

#[test]
fn reads_json_and_toml_with_scalars_as_text() {
    let json = r#"[{"dn": "CN=a", "n": 1, "ok": true}, {"ok": null, "dn": "CN=\u0062", "n": -2.5}]"#;
    let table = load("t.json", json, Some("dn")).unwrap();
    assert_eq!(row(&table, "CN=a"), pairs(&[("dn", "CN=a"), ("n", "1"), ("ok", "true")]));
    assert_eq!(row(&table, "CN=b"), pairs(&[("dn", "CN=b"), ("n", "-2.5"), ("ok", "")]));
    let toml = "[[row]]\ndn = \"CN=a\"\nsince = 2026-01-02\nn = 3\n[[row]]\ndn = \"CN=b\"\n";
    let table = load("t.toml", toml, Some("dn")).unwrap();
    assert_eq!(row(&table, "CN=a"), pairs(&[("dn", "CN=a"), ("n", "3"), ("since", "2026-01-02")]));
    assert_eq!(row(&table, "CN=b"), pairs(&[("dn", "CN=b"), ("n", ""), ("since", "")]));
    assert!(load("t.json", "[]", Some("dn")).unwrap().is_empty());
    assert!(load("t.toml", "", Some("dn")).unwrap().is_empty());
}

#[test]
fn names_line_and_remedy_of_each_mistake_and_no_content() {
    let cases: [(&str, &[u8], Option<&str>, &str); 20] = [
        ("t.csv", b"", None, ": it has no columns"),
        ("t.csv", b"a,\n", None, ":1: column 2 has no name"),
        ("t.csv", b"a,a\n", None, ":1: column 2 has no name, or the name of an earlier one"),
        ("t.csv", b"a,b\nx,1\ny\n", None, ":3: the row has 1 fields, the header has 2: was the file cut off"),
        ("t.csv", b"a,b\nx,1\n\"y,2\nz,3\n", None, ":3: the row has 1 fields, the header has 2"),
        ("t.csv", b"a,b\nx,1\ny,2\nx,3\n", None, ":4: row 3 has the key of row 1: keep one of them"),
        ("t.csv", b"a,b\n,1\n", None, ":2: row 1 has no key"),
        ("t.csv", b"a,b\nx,\xff\n", None, ":2: it is not UTF-8 text"),
        ("t.csv", b"a,b\n", Some("c"), ":1: it has no column \"c\": set `key` to one of its columns"),
        ("t.json", b"[]", None, ": `key` is not set"),
        ("t.json", b"{}", Some("k"), ":1: it is not a JSON array of objects"),
        ("t.json", b"[{\"k\": \"a\"},\n\"secret-name\"]", Some("k"), ":2: it is not a JSON array of objects"),
        ("t.json", b"[{\"k\": \"a\"}, {\"k\": \"b\"", Some("k"), ":1: it is not a JSON array of objects: it ends too"),
        ("t.json", b"[{\"k\": \"a\"}, {\"k\": \"a\"}]", Some("k"), ": row 2 has the key of row 1"),
        ("t.json", b"[{\"k\": \"a\"}, {\"k\": \"b\", \"x\": []}]", Some("k"), ": row 2 has a list or an object"),
        ("t.json", b"[{\"k\": \"a\"}, {\"k\": \"b\", \"x\": 1}]", Some("k"), ": row 2 has \"x\", which the first row"),
        ("t.json", b"[{\"k\": \"a\"}, {\"k\": \"\"}]", Some("k"), ": row 2 has no key"),
        ("t.toml", b"[[row]]\nk = 'a'\n[[row]]\nk = ", Some("k"), ":4: it is not TOML"),
        ("t.toml", b"k = 'a'\n", Some("k"), ": it does not have exactly one array of tables"),
        ("t.toml", b"[[a]]\nk = 'a'\n[[b]]\nk = 'a'\n", Some("k"), ": it does not have exactly one array"),
    ];
    for (name, content, key, expected) in cases {
        let said = refusal(name, content, key);
        assert!(said.starts_with(expected), "{expected:?} is not the beginning of {said:?}");
        assert!(!said.contains("secret-name"), "{said:?}");
    }
}

#[test]
fn refuses_more_rows_and_bytes_than_it_takes() {
    let mut csv = String::from("k\n");
    (0..=MAX_ROWS).for_each(|row| csv.push_str(&format!("{row}\n")));
    let said = refusal("t.csv", csv, None);
    assert_eq!(said, ":5000002: it has more than 5000000 rows: leave out those that plugins do not look up");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.csv");
    std::fs::File::create(&file).unwrap().set_len(MAX_FILE + 1).unwrap();
    let source = |file: &Path| TableSource { file: file.to_owned(), format: Format::Csv, key: None };
    let said = Table::load(&source(&file)).unwrap_err().to_string();
    assert!(said.ends_with("t.csv is larger than 512 MiB: leave out what plugins do not look up"), "{said}");
    let said = Table::load(&source(folder.path())).unwrap_err();
    assert!(matches!(said, TableError::Unreadable { .. }), "a folder is no table: {said}");
}

#[test]
fn finds_every_one_of_many_keys_and_no_other() {
    let mut csv = String::from("key,value\n");
    (0..200_000).for_each(|row| csv.push_str(&format!("/C=UK/CN=host-{row},site-{}\n", row % 977)));
    let table = load("t.csv", &csv, None).unwrap();
    assert_eq!(table.len(), 200_000);
    for row in 0..200_000 {
        let found = table.get(&format!("/C=UK/CN=host-{row}")).and_then(|found| found.fields().nth(1));
        assert_eq!(found, Some(("value", format!("site-{}", row % 977).as_str())));
    }
    assert!(!table.contains("/C=UK/CN=host-200000"));
}
