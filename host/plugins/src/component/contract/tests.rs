//! Components built for each major version of the contract, and for unsupported ones, run through whole pipelines.
//!
//! The components in `tests/data/contracts` are kept as they were built when their contract came out; the source of all
//! of them is `tests/guests/released`. Versions have the same length in all names, so a component for another version,
//! and for the major that only these tests support, is one of these with other digits.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::{
    CompileSettings, Input, Outcome, Output, Pipeline, PipelineSettings, Plugins, Refused, Sidecar, SignerFacts,
    StageSource, TOTAL_TIME,
};
use message::{Direction, Finding, MessageId, Severity};

/// The second is made up, and only the tests support it.
const MAJORS: [&str; 2] = ["1.0.0", "7.0.0"];

fn released() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/contracts/1.0.0/every-role.wasm")
}

/// The released component with all of `from` replaced by `to` of the same length, which keeps every offset in it.
fn changed(changes: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = std::fs::read(released()).unwrap();
    for (from, to) in changes {
        assert_eq!(from.len(), to.len());
        let mut found = false;
        for at in 0..=bytes.len() - from.len() {
            if bytes[at..].starts_with(from.as_bytes()) {
                bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
                found = true;
            }
        }
        assert!(found, "{from} is not in the component");
    }
    bytes
}

/// The component for a major version.
fn path(version: &str) -> PathBuf {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    if version == "1.0.0" {
        return released();
    }
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("every-role.wasm"), changed(&[("@1.0.0", "@7.0.0")])).unwrap();
        folder
    });
    assert_eq!(version, "7.0.0");
    folder.path().join("every-role.wasm")
}

fn plugins() -> &'static Plugins {
    static PLUGINS: OnceLock<Arc<Plugins>> = OnceLock::new();
    PLUGINS.get_or_init(|| Plugins::start(CompileSettings::default()).unwrap())
}

fn stage(component: &Path, mark: &str) -> StageSource {
    let sidecar = Sidecar::parse(&format!("[config]\nmark = \"{mark}\""), Path::new("a.toml")).unwrap();
    StageSource::named(component.to_str().unwrap(), Some(sidecar))
}

fn load(stages: Vec<StageSource>) -> Result<Pipeline, String> {
    let settings = PipelineSettings {
        stages,
        channel: "central".into(),
        around: crate::Surroundings::of_channels(vec!["central".into()]),
        direction: Direction::Inbound,
        routes: vec!["cloud".into(), "grid".into()],
        max_payload: 1 << 20,
        total_time: TOTAL_TIME,
    };
    Pipeline::load(plugins(), settings).map_err(|errors| errors[0].to_string())
}

fn every_role(version: &str) -> Pipeline {
    load(vec![stage(&path(version), "x")]).unwrap()
}

fn run(pipeline: &Pipeline, payload: &str) -> Outcome {
    let signer = SignerFacts {
        subject: "CN=host.example.org,C=UK".into(),
        subject_slash: Some("/C=UK/CN=host.example.org".into()),
        issuer: "CN=ca".into(),
        serial: "1f".into(),
        not_after: 2_000_000_000,
        certificate: vec![48, 0],
    };
    let input = Input {
        message_id: &MessageId::parse("00000000/00000000000001").unwrap(),
        destination: "/queue/test",
        content_type: Some("text/plain"),
        signer: Some(&signer),
        received_at: 1_700_000_000_000,
        attempt: 3,
        transport_headers: &[("site".into(), "a".into()), ("site".into(), "b".into())],
        properties: &[("element".into(), "00000000/00000000000001".into())],
    };
    pipeline.run(&input, payload.as_bytes())
}

fn finding(severity: Severity, text: &str) -> Finding {
    let (field, value) = (Some("Site".into()), Some("X".into()));
    Finding { severity, code: "released.fact".into(), text: text.into(), record_number: Some(7), field, value }
}

fn output(text: &str, part: Option<usize>) -> Output {
    let headers = vec![("site".to_owned(), "UKI".to_owned())];
    let content_type = Some("text/x-released".to_owned());
    Output { payload: Some(text.as_bytes().to_vec()), content_type, headers, routes: vec![], part }
}

fn passed(outcome: Outcome) -> (Vec<Output>, Vec<Refused>, Vec<Finding>) {
    match outcome {
        Outcome::Pass { outputs, refused, findings } => (outputs, refused, findings),
        other => panic!("{other:?}"),
    }
}

#[test]
fn gives_a_component_of_any_major_version_all_facts() {
    let facts = "inbound;00000000/00000000000001;central;/queue/test;text/plain;1700000000000 3;\
                 CN=host.example.org,C=UK;CN=ca;1f;2000000000 [48, 0];subject-slash=/C=UK/CN=host.example.org;\
                 site=a,site=b;element=00000000/00000000000001,max-payload-bytes=1048576";
    for version in MAJORS {
        let (outputs, _, findings) = passed(run(&every_role(version), "nothing in particular"));
        assert_eq!((outputs[0].payload.as_ref(), outputs[0].routes.len()), (None, 0), "{version}");
        let expected = [
            finding(Severity::Info, facts),
            finding(Severity::Warning, r#"{"mark":"x"}"#),
            finding(Severity::Warning, "was looked at"),
        ];
        assert_eq!(findings, expected, "{version}");
    }
}

#[test]
fn accepts_every_verdict_from_a_component_of_any_major_version() {
    let plugin = || "every-role.wasm".to_owned();
    for version in MAJORS {
        let pipeline = every_role(version);
        let findings = vec![finding(Severity::Error, "is not good"), finding(Severity::Info, "note")];
        assert_eq!(run(&pipeline, "invalid"), Outcome::Invalid { findings, plugin: plugin() });
        for (payload, after) in [("retry", Some(Duration::from_millis(1500))), ("retry at any time", None)] {
            let retry = Outcome::Retry { after, reason: "not yet".into(), plugin: plugin() };
            assert_eq!(run(&pipeline, payload), retry);
        }
        for payload in ["internal", "fail"] {
            let Outcome::Failed { error, .. } = run(&pipeline, payload) else { panic!("{version}") };
            assert!(error.to_string().contains("reports an internal error, \"out of order\""), "{error}");
        }
        let dropped = finding(Severity::Info, "not wanted");
        assert_eq!(run(&pipeline, "drop"), Outcome::Dropped { finding: dropped, plugin: plugin() });
        assert_eq!(passed(run(&pipeline, "replace\nnew")).0, [output("new", None)]);
        let (outputs, refused, _) = passed(run(&pipeline, "split\na\n!b\nc"));
        assert_eq!(outputs, [output("a", Some(1)), output("c", Some(3))]);
        assert_eq!(refused[0].findings, [finding(Severity::Error, "is refused")]);
        assert_eq!((refused[0].part, refused[0].payload.as_slice()), (2, b"!b".as_slice()));
        assert_eq!(passed(run(&pipeline, "cloud")).0[0].routes, ["cloud"]);
        assert_eq!(passed(run(&pipeline, "both")).0[0].routes, ["default", "grid"]);
        let refused = vec![finding(Severity::Error, "has no route")];
        assert_eq!(run(&pipeline, "unroutable"), Outcome::Invalid { findings: refused, plugin: plugin() });
    }
}

#[test]
fn serves_two_majors_in_one_pipeline() {
    let stages = || ["7.0.0", "1.0.0", "7.0.0"].iter().zip(["one", "two", "three"]);
    let pipeline = load(stages().map(|(version, mark)| stage(&path(version), mark)).collect()).unwrap();
    let contracts: Vec<String> = pipeline.stages().map(|stage| stage.ready.unwrap().contract.to_owned()).collect();
    assert_eq!(contracts, ["7.0.0", "1.0.0", "7.0.0"]);
    // The first splits; the parts pass the second and the third.
    let (outputs, refused, findings) = passed(run(&pipeline, "split\ncloud\nboth\n!no"));
    let texts: Vec<&[u8]> = outputs.iter().filter_map(|output| output.payload.as_deref()).collect();
    assert_eq!(texts, [b"cloud".as_slice(), b"both"]);
    assert_eq!((outputs[0].routes.join(" "), outputs[1].routes.join(" ")), ("cloud".into(), "default grid".into()));
    assert_eq!(refused.len(), 1);
    for mark in ["one", "two", "three"] {
        let said = format!("{{\"mark\":\"{mark}\"}}");
        assert!(findings.iter().any(|finding| finding.text == said), "{mark} was not called");
    }
}

#[test]
fn a_limit_applies_to_every_major() {
    for version in MAJORS {
        let sidecar = "output-limit = 10\n[config]\nmark = \"x\"";
        let sidecar = Sidecar::parse(sidecar, Path::new("a.toml")).unwrap();
        let pipeline = load(vec![StageSource::named(path(version).to_str().unwrap(), Some(sidecar))]).unwrap();
        let Outcome::Failed { error, .. } = run(&pipeline, "replace\nmore than ten bytes") else { panic!("{version}") };
        assert!(
            error.to_string().contains("payloads of 19 bytes in total, more than the `output-limit` of 10"),
            "{error}"
        );
    }
}

fn load_changed(changes: &[(&str, &str)]) -> Result<Pipeline, String> {
    let folder = tempfile::tempdir().unwrap();
    let component = folder.path().join("changed.wasm");
    std::fs::write(&component, changed(changes)).unwrap();
    load(vec![stage(&component, "x")])
}

#[test]
fn accepts_a_component_of_a_newer_minor_version_that_uses_nothing_new() {
    for newer in ["@1.3.0", "@1.0.7"] {
        let pipeline = load_changed(&[("@1.0.0", newer)]).unwrap();
        assert_eq!(passed(run(&pipeline, "replace\nnew")).0, [output("new", None)]);
        assert_eq!(pipeline.stages().next().unwrap().ready.unwrap().contract, &newer[1..]);
    }
}

#[test]
fn names_the_contract_a_component_was_built_for_and_the_supported_ones() {
    for other in ["2.0.0", "0.9.0"] {
        let error = load_changed(&[("@1.0.0", &format!("@{other}"))]).unwrap_err();
        let expected = format!(
            "plugin changed.wasm was built for sesame:plugin@{other}, but this host supports 1.x: build it with an \
             SDK for 1.x, or use a release of Sesame that supports it"
        );
        assert_eq!(error, expected);
    }
}

#[test]
fn names_the_imports_and_exports_that_this_host_does_not_know() {
    let cases: [(&[(&str, &str)], &str); 5] = [
        (
            &[("@1.0.0", "@1.3.0"), ("plugin/log@", "plugin/lag@")],
            "imports sesame:plugin/lag@1.3.0, which this host (contract 1.x) does not provide: use a newer",
        ),
        (
            &[("write", "wrote")],
            "imports the function wrote of sesame:plugin/log@1.0.0, which this host (contract 1.x)",
        ),
        (&[("plugin/router@", "plugin/rooter@")], "exports sesame:plugin/rooter@1.0.0, which this host (contract 1.x)"),
        (&[("plugin/router@1.0.0", "plugin/router@7.0.0")], "mixes sesame:plugin@1.0.0 and sesame:plugin@7.0.0"),
        (
            &[("describe", "describo")],
            "does not export the function describe of sesame:plugin/lifecycle@1.0.0: build it from the contract",
        ),
    ];
    for (changes, expected) in cases {
        let error = load_changed(changes).unwrap_err();
        assert!(error.contains(expected), "{expected:?} not in {error:?}");
    }
}

/// The component with its code overwritten, so that it cannot be compiled.
fn damaged(changes: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = changed(changes);
    let payloads = wasmparser::Parser::new(0).parse_all(&bytes).map_while(Result::ok);
    let code = |payload| match payload {
        wasmparser::Payload::CodeSectionStart { range, .. } => Some(range),
        _ => None,
    };
    let code = payloads.filter_map(code).next().unwrap();
    bytes[code.start + 16..code.end].fill(0xff);
    bytes
}

#[test]
fn a_wrong_import_is_refused_before_anything_is_compiled() {
    let refusal = |changes: &[(&str, &str)]| plugins().inspect("p", &damaged(changes)).found.unwrap_err().to_string();
    let said = refusal(&[]);
    assert!(said.contains("cannot be compiled; it is damaged"), "{said}");
    let said = refusal(&[("write", "wrote")]);
    assert!(said.contains("imports the function wrote of sesame:plugin/log@1.0.0, which this host"), "{said}");
    let said = refusal(&[("get-environment", "got-environment")]);
    assert!(said.contains("got-environment"), "{said}");
}
