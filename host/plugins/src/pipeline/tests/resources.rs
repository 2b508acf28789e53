//! Tables and secrets, as the guest `lookups` uses them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::Surroundings;
use tables::{Format, TableSource};

const SIDECAR: &str = "tables = [\"sites\"]\n[config]\ntable = \"sites\"\n";
const WITH_SECRET: &str = "tables = [\"sites\"]\n[config]\ntable = \"sites\"\nsecret = { secret = \"salt\" }\n";

/// A folder with the file of a table and that of a secret.
struct Site(tempfile::TempDir);

impl Site {
    fn new(secret: &str) -> Self {
        let site = Self(tempfile::tempdir().unwrap());
        site.put("sites.csv", "key,site\npanic,A\ninternal,B\ninvalid,C\nelse,D\n");
        site.put("salt", secret);
        site
    }

    fn put(&self, name: &str, text: &str) {
        let file = self.0.path().join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn load(&self, sidecar: &str) -> Result<Pipeline, String> {
        let source = TableSource { file: self.0.path().join("sites.csv"), format: Format::Csv, key: None };
        let around = Surroundings {
            channels: vec!["central".into()],
            tables: BTreeMap::from([("sites".to_owned(), source)]),
            secrets: BTreeMap::from([("salt".to_owned(), self.0.path().join("salt"))]),
        };
        let settings = PipelineSettings { around, ..settings(vec![stage("lookups", sidecar)]) };
        // Each site has files of its own.
        Pipeline::load(plugins(), settings).map_err(|errors| errors[0].to_string())
    }
}

fn texts(findings: Vec<Finding>) -> Vec<String> {
    findings.into_iter().map(|finding| finding.text).collect()
}

#[test]
fn a_plugin_looks_up_rows_of_the_table_that_it_is_granted() {
    let site = Site::new("s");
    let pipeline = site.load(SIDECAR).unwrap();
    assert_eq!(texts(passed(run(&pipeline, "else\npanic\n")).2), ["key=else site=D", "key=panic site=A"]);
    let Outcome::Invalid { findings, .. } = run(&pipeline, "none\n") else { panic!("a key that is not there") };
    assert_eq!(findings[0].code, "lookup.unknown");
    let ready = pipeline.stages().next().unwrap().ready.unwrap();
    let hash = {
        use sha2::Digest as _;
        message::hex(&sha2::Sha256::digest(fs::read(site.0.path().join("sites.csv")).unwrap()))
    };
    assert_eq!(ready.tables, [("sites", hash)]);
    assert_eq!(ready.powers.to_string(), "log, tables, WASI stdio");
}

#[test]
fn look_ups_without_end_are_stopped_at_the_deadline() {
    let deadline = Duration::from_millis(200);
    let pipeline = Site::new("s").load(&format!("deadline = \"200ms\"\n{SIDECAR}repeat = {}\n", u32::MAX)).unwrap();
    let started = Instant::now();
    let Outcome::Failed { error, .. } = run(&pipeline, "else\n") else { panic!("billions of look-ups in time") };
    assert_eq!(error.fault, Fault::Deadline { limit: deadline });
    assert!(started.elapsed() < deadline + Duration::from_secs(2), "{:?}", started.elapsed());
}

#[test]
fn what_is_missing_is_named_with_what_to_do() {
    let site = Site::new("s");
    let said = |sidecar: &str| site.load(sidecar).unwrap_err();
    assert_eq!(
        said("[config]\ntable = \"sites\"\n"),
        "plugin lookups.wasm refused its configuration, \"table \\\"sites\\\" is not granted: add it to `tables` in the \
         sidecar, such as tables = [\\\"sites\\\"]\": change its [config]"
    );
    assert_eq!(
        said("tables = [\"users\"]"),
        "plugin lookups.wasm names table \"users\", which the configuration does not have: add [table.users] to it \
         (there: sites)"
    );
    assert_eq!(
        said(&WITH_SECRET.replace("salt", "pepper")),
        "plugin lookups.wasm names secret \"pepper\", which the configuration does not have: add [secret.pepper] to it \
         (there: salt)"
    );
    let other = Site::new("s");
    other.put("sites.csv", "key,site\na,A\na,B\n");
    let said = other.load(SIDECAR).unwrap_err();
    assert!(said.starts_with("plugin lookups.wasm cannot use table \"sites\", /"), "{said}");
    assert!(said.ends_with("sites.csv:3: row 2 has the key of row 1: keep one of them"), "{said}");
    let other = Site::new("");
    let said = other.load(WITH_SECRET).unwrap_err();
    assert!(said.contains("cannot use secret \"salt\", /") && said.ends_with("is empty: write the secret into it"));
}

#[test]
fn no_text_of_a_plugin_shows_its_secret() {
    const SECRET: &str = "correct horse";
    let site = Site::new(SECRET);
    let pipeline = site.load(WITH_SECRET).unwrap();
    assert!(!format!("{pipeline:?}").contains(SECRET));
    let said = |payload: &str| format!("{:?}", run(&pipeline, payload));
    for (payload, expected) in [
        ("else", "the secret is [secret]"),
        ("panic", "the secret is [secret]"),
        ("internal", "the secret is [secret]"),
        ("invalid", "text: \"[secret]\""),
    ] {
        let said = said(payload);
        assert!(said.contains(expected) && !said.contains(SECRET), "{payload}: {said}");
    }
    assert!(!format!("{:?}", pipeline.stages().next().unwrap().last_error).contains(SECRET));
    let refused = Site::new("bad secret").load(WITH_SECRET).unwrap_err();
    assert!(refused.contains("the secret [secret] is bad"), "{refused}");
}

#[test]
fn a_pipeline_is_another_one_with_another_table_or_secret_and_its_hash_shows_tables_only() {
    let (one, same, table, secret) = (Site::new("first"), Site::new("first"), Site::new("first"), Site::new("second"));
    table.put("sites.csv", "key,site\n");
    let load = |site: &Site| site.load(WITH_SECRET).unwrap();
    let (one, same, table, secret) = (load(&one), load(&same), load(&table), load(&secret));
    assert!(one.is_same(&same) && !one.is_same(&table) && !one.is_same(&secret));
    assert_eq!((one.hash(), one.hash()), (same.hash(), secret.hash()), "a hash would let a short secret be guessed");
    assert_ne!(one.hash(), table.hash());
}
