//! Pipelines of well-behaved and misbehaving plugins, built from `tests/guests`.

mod ill_behaved;
mod probation;
mod resources;
mod shadow;
mod wording;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::*;
use crate::{AnswerError, CompileSettings, Plugins, Sidecar, read_folder};
use message::Severity;

/// The folder of the built guests: `SESAME_TEST_GUESTS`, or built now.
fn guests() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        if let Some(folder) = std::env::var_os("SESAME_TEST_GUESTS") {
            return folder.into();
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let folder = root.join("target/guests/components");
        let status =
            Command::new(root.join("tests/guests/build")).arg(&folder).status().expect("tests/guests/build runs");
        assert!(status.success(), "tests/guests/build failed: the test plugins are missing");
        folder
    })
}

fn guest(name: &str) -> PathBuf {
    let path = guests().join(format!("{name}.wasm"));
    assert!(path.exists(), "the test plugin {} is missing: run tests/guests/build", path.display());
    path
}

fn plugins() -> &'static Plugins {
    static PLUGINS: OnceLock<Arc<Plugins>> = OnceLock::new();
    PLUGINS.get_or_init(|| Plugins::start(CompileSettings::default()).unwrap())
}

fn settings(stages: Vec<StageSource>) -> PipelineSettings {
    PipelineSettings {
        stages,
        channel: "central".into(),
        around: crate::Surroundings::of_channels(vec!["central".into(), "other".into()]),
        direction: Direction::Inbound,
        routes: vec!["cloud".into(), "grid".into()],
        max_payload: 16 << 20,
        total_time: TOTAL_TIME,
    }
}

/// A stage of the guest `behaviour` with a sidecar.
fn behaviour(sidecar: &str) -> StageSource {
    stage("behaviour", sidecar)
}

fn stage(name: &str, sidecar: &str) -> StageSource {
    let sidecar = Sidecar::parse(sidecar, std::path::Path::new("sidecar.toml")).expect("sidecar");
    StageSource::named(guest(name).to_str().unwrap(), Some(sidecar))
}

fn load(stages: Vec<StageSource>) -> Pipeline {
    Pipeline::load(plugins(), settings(stages)).expect("pipeline")
}

fn run(pipeline: &Pipeline, payload: &str) -> Outcome {
    noted(pipeline, payload).0
}

fn noted(pipeline: &Pipeline, payload: &str) -> (Outcome, Answers) {
    let id = MessageId::parse("00000000/00000000000001").unwrap();
    let signer = SignerFacts {
        subject: "CN=host.example.org,C=UK".into(),
        subject_slash: Some("/C=UK/CN=host.example.org".into()),
        ..SignerFacts::default()
    };
    let input = Input {
        message_id: &id,
        destination: "/queue/test",
        content_type: Some("text/plain"),
        signer: Some(&signer),
        received_at: 1_700_000_000_000,
        attempt: 1,
        transport_headers: &[("site".into(), "a".into()), ("site".into(), "b".into())],
        properties: &[("element".into(), "00000000/00000000000001".into())],
    };
    pipeline.run_noting(&input, payload.as_bytes())
}

fn one(sidecar: &str, payload: &str) -> Outcome {
    run(&load(vec![behaviour(sidecar)]), payload)
}

fn failure(sidecar: &str) -> StageError {
    match one(sidecar, "payload") {
        Outcome::Failed { plugin, error } => {
            assert_eq!(plugin, "behaviour.wasm");
            error
        }
        other => panic!("{other:?}"),
    }
}

fn passed(outcome: Outcome) -> (Vec<Output>, Vec<Refused>, Vec<Finding>) {
    match outcome {
        Outcome::Pass { outputs, refused, findings } => (outputs, refused, findings),
        other => panic!("{other:?}"),
    }
}

fn load_error(stage: StageSource) -> String {
    Pipeline::load(plugins(), settings(vec![stage])).unwrap_err()[0].to_string()
}

fn unchanged() -> Output {
    Output { payload: None, content_type: None, headers: vec![], routes: vec![], part: None }
}

#[test]
fn the_stock_pipeline_leaves_everything_as_it_is() {
    let pipeline = load(vec![StageSource::named("builtin:passthrough", None)]);
    assert_eq!(passed(run(&pipeline, "payload")), (vec![unchanged()], vec![], vec![]));
    let stage = pipeline.stages().next().unwrap().ready.unwrap();
    assert_eq!((stage.roles.to_string().as_str(), stage.description.name.as_str()), ("transformer", "passthrough"));
    let stage = pipeline.stages().next().unwrap();
    assert_eq!((stage.figures.calls, stage.ready.unwrap().peak_memory), (1, 0), "it counts, and no instance is made");
}

#[test]
fn an_empty_pipeline_passes_everything() {
    assert_eq!(passed(run(&load(vec![]), "payload")).0, vec![unchanged()]);
}

#[test]
fn a_validator_gets_its_configuration() {
    let pipeline = load(vec![stage("sites", "[config]\nsites = [\"UKI-TEST\"]")]);
    assert_eq!(passed(run(&pipeline, "Site: UKI-TEST\n")).0.len(), 1);
    let Outcome::Invalid { findings, plugin } = run(&pipeline, "Site: UKI-TEST\nSite: X\n") else { panic!() };
    assert_eq!(plugin, "sites.wasm");
    assert_eq!(findings[0].to_string(), "site.unknown: record 2, Site: is not a listed site");
    assert_eq!(findings[0].value.as_deref(), Some("X"));
}

#[test]
fn a_configuration_that_init_refuses_stops_the_start_with_the_plugins_text() {
    let error = load_error(stage("sites", "[config]\nsites = []"));
    assert!(error.contains("plugin sites.wasm refused its configuration, \"the list of sites is empty\""), "{error}");
    let error = load_error(stage("sites", "[config]\nsites = [\"a\"]\nsite = [\"a\"]"));
    assert!(error.contains("unknown key `site` (known: sites)"), "{error}");
    let error = load_error(behaviour("[config]\ninit = \"refuse\"\ntext = \"x\""));
    assert!(error.ends_with("change its [config]"), "{error}");
}

#[test]
fn a_configuration_that_the_schema_does_not_allow_stops_the_start_with_key_and_reason() {
    let error = load_error(stage("sites", "[config]\nsites = [\"a\", 1, true]"));
    assert_eq!(
        error,
        "plugin sites.wasm has an invalid [config]: sites[1] is a whole number and must be a string; sites[2] is true or \
         false and must be a string"
    );
    let error = load_error(stage("sites", ""));
    assert!(error.contains("invalid [config]: missing key `sites`"), "{error}");
}

#[test]
fn gives_a_plugin_all_facts_of_the_message() {
    let (_, _, findings) = passed(one("[config]\nvalidate = \"show-context\"", "payload"));
    for fact in ["Inbound", "central", "/queue/test", "CN=host.example.org,C=UK", "max-payload-bytes", "16777216"] {
        assert!(findings[0].text.contains(fact), "{fact} not in {}", findings[0].text);
    }
}

#[test]
fn a_replaced_message_carries_what_the_plugin_set() {
    let sidecar = r#"
        [config]
        transform = "replace"
        text = "new"
        content-type = "application/xml"
        headers = [["site", "UKI"], ["Colour", "red"]]
        route = ["cloud"]
    "#;
    let (outputs, _, _) = passed(one(sidecar, "old"));
    assert_eq!(
        outputs,
        [Output {
            payload: Some(b"new".to_vec()),
            content_type: Some("application/xml".into()),
            headers: vec![("site".into(), "UKI".into()), ("Colour".into(), "red".into())],
            routes: vec!["cloud".into()],
            part: None,
        }]
    );
}

#[test]
fn stages_get_the_message_as_earlier_ones_left_it() {
    let upper = behaviour("[config]\ntransform = \"upper\"\nheaders = [[\"a\", \"1\"], [\"b\", \"1\"]]");
    let wrong = behaviour("[config]\nvalidate = \"invalid-if-contains\"\ntext = \"ABC\"\nheaders = [[\"A\", \"2\"]]");
    assert!(matches!(run(&load(vec![upper.clone(), wrong.clone()]), "abc"), Outcome::Invalid { .. }));
    assert!(matches!(run(&load(vec![wrong, upper.clone()]), "abc"), Outcome::Pass { .. }));
    let again = behaviour("[config]\ntransform = \"upper\"\nheaders = [[\"A\", \"2\"]]");
    let (outputs, _, _) = passed(run(&load(vec![upper, again]), "abc"));
    assert_eq!(outputs[0].headers, [("b".to_owned(), "1".to_owned()), ("A".to_owned(), "2".to_owned())]);
}

#[test]
fn parts_of_a_split_go_on_one_by_one() {
    let split = behaviour("[config]\ntransform = \"split-lines\"");
    let check = behaviour("[config]\nvalidate = \"invalid-if-contains\"\ntext = \"bad\"");
    let drop = behaviour("[config]\ntransform = \"drop-if-contains\"\ntext = \"gone\"\nroute = [\"by-content:\"]");
    let pipeline = load(vec![split, check, drop]);
    let (outputs, refused, findings) = passed(run(&pipeline, "cloud\n!no\nbad\ngone\ngrid\n"));
    let outputs: Vec<_> = outputs
        .into_iter()
        .map(|o| (o.part.unwrap(), String::from_utf8(o.payload.unwrap()).unwrap(), o.routes))
        .collect();
    assert_eq!(
        outputs,
        [(1, "cloud".to_owned(), vec!["cloud".to_owned()]), (4, "grid".to_owned(), vec!["grid".to_owned()])]
    );
    let refused: Vec<_> = refused.iter().map(|r| (r.part, r.payload.as_slice(), r.findings[0].code.as_str())).collect();
    assert_eq!(refused, [(2, b"!no".as_slice(), "test.line"), (3, b"bad".as_slice(), "test.word")]);
    assert_eq!(findings[0].code, "test.dropped");
}

#[test]
fn what_each_stage_answered_is_one_word() {
    let words = |stages: Vec<StageSource>, payload: &str| {
        let pipeline = load(stages);
        let (_, answers) = noted(&pipeline, payload);
        pipeline.words(&answers).map(|(_, word)| word).collect::<Vec<_>>()
    };
    let split = || behaviour("[config]\ntransform = \"split-lines\"");
    let check = || behaviour("[config]\nvalidate = \"invalid-if-contains\"\ntext = \"bad\"");
    let upper = || behaviour("[config]\ntransform = \"upper\"");
    assert_eq!(words(vec![check(), upper(), split()], "a\nb"), ["unchanged", "changed", "split"]);
    assert_eq!(words(vec![split(), check(), upper()], "a\nbad\nb"), ["split", "rejected", "changed"]);
    assert_eq!(words(vec![check(), upper()], "bad"), ["rejected"]);
    let end = |key: &str| behaviour(&format!("[config]\n{key}\ntext = \"x\""));
    assert_eq!(words(vec![end("transform = \"drop\""), upper()], "a"), ["dropped"]);
    assert_eq!(words(vec![end("validate = \"retry\""), upper()], "a"), ["retry"]);
    assert_eq!(words(vec![end("validate = \"panic\""), upper()], "a"), ["failed"]);
    let elsewhere = stage("behaviour", "destination = \"/queue/elsewhere\"");
    assert_eq!(words(vec![elsewhere, upper()], "a"), ["changed"]);
}

#[test]
fn a_fault_for_one_part_is_a_fault_for_the_message() {
    let split = behaviour("[config]\ntransform = \"split-lines\"");
    let route = behaviour("[config]\nroute = [\"by-content:\"]");
    assert!(matches!(run(&load(vec![split, route]), "cloud\nnowhere\n"), Outcome::Failed { .. }));
}

#[test]
fn a_message_can_be_dropped_refused_and_deferred() {
    let Outcome::Dropped { finding, .. } = one("[config]\ntransform = \"drop\"\ntext = \"a test\"", "x") else {
        panic!()
    };
    assert_eq!((finding.code.as_str(), finding.text.as_str()), ("test.dropped", "a test"));
    for role in ["validate", "transform"] {
        let outcome = one(&format!("[config]\n{role} = \"invalid\"\ntext = \"not good\""), "x");
        assert!(matches!(&outcome, Outcome::Invalid { findings, .. } if findings[0].text == "not good"), "{outcome:?}");
        let outcome = one(&format!("[config]\n{role} = \"retry\"\ntext = \"later\""), "x");
        let after = Some(Duration::from_millis(1500));
        assert_eq!(outcome, Outcome::Retry { after, reason: "later".into(), plugin: "behaviour.wasm".into() });
    }
}

#[test]
fn routes_are_the_union_of_all_routers() {
    let first = behaviour("[config]\nroute = [\"cloud\"]");
    let second = behaviour("[config]\nroute = [\"default\", \"cloud\"]");
    let (outputs, _, _) = passed(run(&load(vec![first, second]), "x"));
    assert_eq!(outputs[0].routes, ["cloud", "default"]);
}

#[test]
fn a_panic_is_reported_with_its_text_and_place() {
    for key in ["validate", "transform"] {
        let error = failure(&format!("[config]\n{key} = \"panic\"\ntext = \"no such site: X\"")).to_string();
        assert!(error.starts_with("plugin behaviour.wasm stopped with a panic, panicked at "), "{error}");
        assert!(error.contains("src/lib.rs:") && error.contains(": no such site: X: fix the plugin"), "{error}");
    }
}

#[test]
fn an_endless_loop_ends_at_the_deadline() {
    let started = Instant::now();
    let error = failure("deadline = \"200ms\"\n[config]\nvalidate = \"loop\"");
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(
        error.to_string(),
        "plugin behaviour.wasm took longer than its deadline of 200 ms: raise `deadline` in its sidecar or fix the \
         plugin"
    );
    let error = load_error(behaviour("deadline = \"200ms\"\n[config]\ninit = \"loop\""));
    assert!(error.contains("took longer than its deadline of 200 ms"), "{error}");
}

#[test]
fn memory_ends_at_its_limit() {
    let error = failure("memory = \"8MiB\"\n[config]\nvalidate = \"eat-memory\"");
    assert_eq!(error.fault, Fault::Memory { limit: 8 << 20 });
    assert!(error.to_string().contains("exceeded its memory limit of 8 MiB: raise `memory`"));
}

#[test]
fn deep_recursion_ends_at_the_stack_limit() {
    assert_eq!(failure("[config]\nvalidate = \"recurse\"").fault, Fault::Stack);
}

#[test]
fn exit_is_a_fault() {
    // The guest exits with status 3; its standard library only reports that it is not 0.
    assert_eq!(failure("[config]\nvalidate = \"exit\"").fault, Fault::Exited { code: 1, said: None });
}

#[test]
fn huge_output_is_refused() {
    let error = failure("output-limit = \"1MiB\"\n[config]\ntransform = \"huge\"\nsize = 3_000_000");
    assert_eq!(error.fault, Fault::OutputTooLarge { limit: 1 << 20 });
    let error = failure("output-limit = \"1MiB\"\n[config]\ntransform = \"huge\"\nsize = 1_100_000");
    let expected = AnswerError::OutputTooLarge { size: 1_100_000, limit: 1 << 20 };
    assert_eq!(error.fault, Fault::AnswerRefused(expected));
    let error = failure("[config]\ntransform = \"huge\"\nsize = 20_000_000");
    let expected = AnswerError::PayloadTooLarge { size: 20_000_000, limit: 16 << 20 };
    assert_eq!(error.fault, Fault::AnswerRefused(expected));
    let error = failure("[config]\ntransform = \"huge\"\nsize = 0");
    assert_eq!(error.fault, Fault::AnswerRefused(AnswerError::EmptyPayload));
}

#[test]
fn an_answer_that_breaks_the_contract_is_the_plugins_fault() {
    let refused = [
        ("transform = \"split-empty\"", AnswerError::EmptySplit),
        ("validate = \"invalid-without-findings\"", AnswerError::NoFindings),
        (
            "transform = \"upper\"\nheaders = [[\"destination\", \"/queue/x\"]]",
            AnswerError::ReservedHeader("destination".into()),
        ),
        ("transform = \"upper\"\nheaders = [[\"a\", \"b\\nc\"]]", AnswerError::HeaderValue("a".into())),
        ("transform = \"upper\"\ncontent-type = \"a\\nb\"", AnswerError::ContentType("a\\nb".into())),
    ];
    for (config, expected) in refused {
        assert_eq!(failure(&format!("[config]\n{config}")).fault, Fault::AnswerRefused(expected));
    }
    let error = failure("[config]\nroute = [\"nowhere\"]").to_string();
    assert!(error.contains("gave an invalid answer, the route \"nowhere\", which the channel does not"), "{error}");
    assert!(error.contains("its routes are default, cloud, grid: fix the plugin or its configuration"), "{error}");
}

#[test]
fn on_error_decides_what_a_fault_does() {
    let sidecar =
        |rule: &str| format!("on-error = \"{rule}\"\n[config]\nvalidate = \"internal\"\ntext = \"table missing\"");
    let error = failure(&sidecar("defer")).to_string();
    assert!(error.contains("reports an internal error, \"table missing\""), "{error}");
    let outcome = one(&sidecar("reject"), "x");
    assert!(
        matches!(&outcome, Outcome::Invalid { findings, .. } if findings[0].code == "plugin.failed"),
        "{outcome:?}"
    );
    let (outputs, _, findings) = passed(one(&sidecar("pass"), "x"));
    assert_eq!(outputs, [unchanged()]);
    assert_eq!((findings[0].severity, findings[0].code.as_str()), (Severity::Warning, "plugin.failed"));
}

#[test]
fn no_state_of_one_message_is_left_for_the_next() {
    let pipeline = load(vec![behaviour("[config]\nvalidate = \"remember\"")]);
    for _ in 0..20 {
        assert!(matches!(run(&pipeline, "secret"), Outcome::Pass { .. }));
    }
}

#[test]
fn plugins_that_log_much_are_tolerated() {
    assert!(matches!(
        one("[config]\nvalidate = \"log-flood\"\nsize = 100000\ntext = \"a\\u001b[31mline\"", "x"),
        Outcome::Pass { .. }
    ));
    assert!(matches!(one("[config]\nvalidate = \"chatter\"", "x"), Outcome::Pass { .. }));
    let (_, _, findings) = passed(one("[config]\nvalidate = \"flood-findings\"\nsize = 1000\ntext = \"t\"", "x"));
    assert_eq!(findings.len(), 201);
}

#[test]
fn a_stage_is_called_only_for_messages_that_match_its_sidecar() {
    for (filter, sees) in [
        ("channels = [\"central\"]", true),
        ("channels = [\"other\"]", false),
        ("direction = \"inbound\"", true),
        ("direction = \"outbound\"", false),
        ("destination = \"/queue/*\"", true),
        ("destination = \"/topic/*\"", false),
        ("signer = \"/C=UK/*\"", true),
        ("signer = \"CN=host.example.org,C=UK\"", true),
        ("signer = \"/C=FR/*\"", false),
        ("content-type = \"text/*\"", true),
        ("content-type = \"application/*\"", false),
        ("enabled = false", false),
    ] {
        let outcome = one(&format!("{filter}\n[config]\nvalidate = \"invalid\"\ntext = \"seen\""), "x");
        assert_eq!(matches!(outcome, Outcome::Invalid { .. }), sees, "{filter}: {outcome:?}");
    }
}

#[test]
fn unfit_components_are_refused_with_the_reason() {
    let reasons = [
        ("no-lifecycle", "does not export sesame:plugin/lifecycle, as every plugin must"),
        ("no-role", "exports no role"),
        ("old-contract", "was built for sesame:plugin@0.8.0, but this host supports 1.x"),
        ("wrong-type", "differs from the contract in a type, "),
    ];
    for (name, reason) in reasons {
        let error = load_error(stage(name, ""));
        assert!(error.contains(reason), "{reason:?} not in {error:?}");
    }
}

#[test]
fn stand_ins_are_refused_by_name_where_the_sidecar_denies_them() {
    for guest in ["clocks", "files", "sockets"] {
        let loaded = load(vec![stage(guest, "")]);
        assert!(loaded.stages().next().unwrap().ready.unwrap().powers.stand_ins, "{guest}");
        let error = load_error(stage(guest, "deny-stand-ins = true"));
        assert!(error.contains("imports wasi:clocks/"), "{error}");
        assert!(error.contains(", which its sidecar denies with `deny-stand-ins`: build it without"), "{error}");
    }
    // The interfaces that a standard library needs are not stand-ins.
    load(vec![stage("behaviour", "deny-stand-ins = true")]);
}

#[test]
fn damaged_components_are_refused() {
    let whole = std::fs::read(guest("sites")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.wasm");
    let mut samples: Vec<Vec<u8>> = (0..whole.len()).step_by(16 << 10).map(|end| whole[..end].to_vec()).collect();
    samples.extend((1..8).map(|n| {
        let mut flipped = whole.clone();
        flipped[8 + n * 16] ^= 0xff;
        flipped
    }));
    for sample in samples {
        std::fs::write(&path, &sample).unwrap();
        let error = load_error(StageSource::named(path.to_str().unwrap(), None));
        assert!(error.starts_with("plugin damaged.wasm "), "{error}");
    }
}

#[test]
fn a_component_must_match_the_hash_in_its_sidecar() {
    let error = load_error(stage("sites", &format!("sha256 = \"{}\"", "0".repeat(64))));
    assert!(error.contains("does not match the hash in its sidecar: its SHA-256 is "), "{error}");
}

#[test]
fn a_broken_plugin_of_the_folder_stops_its_messages_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    write("10-good.wasm", &std::fs::read(guest("behaviour")).unwrap());
    write("20-bad.wasm", b"nonsense");
    write("20-bad.toml", b"channels = [\"central\"]\non-error = \"pass\"");
    let pipeline = Pipeline::load(plugins(), settings(read_folder(folder.path()).unwrap())).unwrap();
    assert_eq!(pipeline.stages().count(), 2);
    let broken = pipeline.broken().next().unwrap().to_string();
    assert_eq!(broken, "plugin 20-bad.wasm is not a WebAssembly component: it does not begin with the bytes of one");
    let Outcome::Failed { plugin, error } = run(&pipeline, "x") else { panic!() };
    assert_eq!((plugin.as_str(), error.fault.may_be_the_message()), ("20-bad.wasm", false));
    let other = PipelineSettings { channel: "other".into(), ..settings(read_folder(folder.path()).unwrap()) };
    assert!(matches!(run(&Pipeline::load(plugins(), other).unwrap(), "x"), Outcome::Pass { .. }));
    write("20-bad.toml", b"enabled = false");
    let pipeline = Pipeline::load(plugins(), settings(read_folder(folder.path()).unwrap())).unwrap();
    assert!(matches!(run(&pipeline, "x"), Outcome::Pass { .. }));
}

#[test]
fn a_sidecar_that_names_an_unknown_channel_is_invalid() {
    let error = load_error(behaviour("channels = [\"centrall\"]"));
    assert!(error.contains("sidecar names unknown channel \"centrall\" (channels: central, other)"), "{error}");
}

#[test]
fn the_total_time_of_a_message_is_limited() {
    let slow = || behaviour("deadline = \"100ms\"\non-error = \"pass\"\n[config]\nvalidate = \"loop\"");
    let total_time = Duration::from_millis(50);
    let settings = PipelineSettings { total_time, ..settings(vec![slow(), slow(), slow()]) };
    let outcome = run(&Pipeline::load(plugins(), settings).unwrap(), "x");
    assert!(matches!(&outcome, Outcome::Failed { error, .. } if error.fault == Fault::TotalTime { limit: total_time }));
}

#[test]
fn the_hash_changes_with_component_configuration_and_order() {
    let hash = |stages| load(stages).hash().to_owned();
    let passthrough = || StageSource::named("builtin:passthrough", None);
    let with = |text: &str| behaviour(&format!("[config]\ntext = \"{text}\""));
    let first = hash(vec![passthrough(), with("a")]);
    assert_eq!(first, hash(vec![passthrough(), with("a")]));
    assert_ne!(first, hash(vec![passthrough(), with("b")]));
    assert_ne!(first, hash(vec![with("a"), passthrough()]));
    assert_ne!(first, hash(vec![with("a")]));
    assert_eq!(first.len(), 64);
}

#[test]
fn many_threads_share_a_pipeline() {
    let pipeline = load(vec![behaviour("[config]\ntransform = \"upper\"")]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                (0..50)
                    .for_each(|_| assert_eq!(passed(run(&pipeline, "abc")).0[0].payload.as_deref(), Some(&b"ABC"[..])))
            });
        }
    });
}
