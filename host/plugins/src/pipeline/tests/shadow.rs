//! Plugins in shadow: what they are called with, what they are compared with, and that they decide and delay nothing.

use super::*;

/// How long a test waits for the worker.
const PATIENCE: Duration = Duration::from_secs(60);

/// The guest `behaviour` under a name of its own, so that several can be in one pipeline.
fn named(name: &str, sidecar: &str) -> StageSource {
    StageSource { name: name.to_owned(), ..behaviour(sidecar) }
}

fn shadow(name: &str, sidecar: &str) -> StageSource {
    named(name, &format!("mode = \"shadow\"\n{sidecar}"))
}

/// What is known of the first shadow once this many of its messages are settled: calls, failures, differences.
fn settled(pipeline: &Pipeline, messages: u64) -> (u64, u64, u64, Vec<Difference>) {
    let started = Instant::now();
    loop {
        let idle = pipeline.shadows[0].is_idle();
        let (info, examples) = pipeline.differences().next().unwrap();
        let figures = info.stage.figures;
        if idle && figures.calls + info.passed_over >= messages {
            return (figures.calls, figures.errors, info.differences, examples);
        }
        assert!(started.elapsed() < PATIENCE, "{} calls, {} passed over", figures.calls, info.passed_over);
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// What the shadow of a pipeline says about one message, beside what serves.
fn compared(stages: Vec<StageSource>, payload: &str) -> Option<(String, String, Option<Finding>)> {
    let pipeline = load(stages);
    let _ = run(&pipeline, payload);
    let (calls, failed, differences, mut examples) = settled(&pipeline, 1);
    assert_eq!((calls, failed, differences), (1, 0, examples.len() as u64));
    let example = examples.pop()?;
    assert_eq!(example.message, "00000000/00000000000001");
    Some((example.serving, example.shadow, example.finding))
}

#[test]
fn a_shadow_decides_nothing() {
    let alone = load(vec![behaviour("")]);
    let rejects = shadow("new.wasm", "[config]\nvalidate = \"invalid\"\ntext = \"no\"");
    let pipeline = load(vec![behaviour(""), rejects]);
    assert_eq!(run(&pipeline, "x"), run(&alone, "x"));
    assert_eq!(pipeline.hash(), alone.hash(), "what the journal records is the same");
    assert!(!pipeline.is_same(&alone), "but it is put into service");
    assert_eq!(pipeline.stages().count(), 1);
    let (calls, _, differences, _) = settled(&pipeline, 1);
    assert_eq!((calls, differences), (1, 1));
}

#[test]
fn beside_a_stage_it_gets_its_message_and_is_compared_with_its_answer() {
    let first = || named("a.wasm", "[config]\ntransform = \"upper\"");
    let serving = || named("b.wasm", "[config]\ntransform = \"drop-if-contains\"\ntext = \"PAYLOAD\"");
    let beside = |config: &str| shadow("c.wasm", &format!("compare-to = \"b\"\n[config]\n{config}"));
    let same = beside("transform = \"drop-if-contains\"\ntext = \"PAYLOAD\"");
    assert_eq!(compared(vec![first(), serving(), same], "payload"), None, "it sees what the stage before has made");
    let other = beside("transform = \"drop-if-contains\"\ntext = \"payload\"");
    let (serves, says, finding) = compared(vec![first(), serving(), other], "payload").unwrap();
    assert_eq!((serves.as_str(), says.as_str()), ("dropped", "unchanged"));
    assert!(finding.is_some_and(|finding| finding.value.is_none()));
}

#[test]
fn content_counts_beside_a_stage() {
    let serving = || named("b.wasm", "[config]\ntransform = \"upper\"");
    let beside = |config: &str| shadow("c.wasm", &format!("compare-to = \"b.wasm\"\n[config]\n{config}"));
    assert_eq!(compared(vec![serving(), beside("transform = \"upper\"")], "payload"), None);
    let other = beside("transform = \"upper\"\nheaders = [[\"site\", \"x\"]]");
    let (serves, says, _) = compared(vec![serving(), other], "payload").unwrap();
    assert_eq!((serves.as_str(), says.as_str()), ("changed", "changed, other content, headers or routes"));
}

#[test]
fn beside_the_pipeline_it_is_compared_with_what_becomes_of_the_message() {
    let new = |config: &str| shadow("a.wasm", &format!("[config]\n{config}"));
    let upper = || named("b.wasm", "[config]\ntransform = \"upper\"");
    assert_eq!(compared(vec![new(""), upper()], "payload"), None);
    let rejects = "validate = \"invalid\"\ntext = \"no\"";
    let (serves, says, finding) = compared(vec![new(rejects), upper()], "payload").unwrap();
    assert_eq!((serves.as_str(), says.as_str()), ("accepted", "rejected"));
    assert!(finding.is_some());
    let both = vec![new(rejects), named("b.wasm", &format!("[config]\n{rejects}"))];
    assert_eq!(compared(both, "payload"), None);
    let pipeline = load(vec![named("b.wasm", &format!("[config]\n{rejects}")), shadow("c.wasm", "")]);
    assert!(matches!(run(&pipeline, "payload"), Outcome::Invalid { .. }));
    assert_eq!(pipeline.shadows().next().unwrap().stage.figures.calls, 0, "the message does not get so far");
}

#[test]
fn a_part_is_compared_with_what_becomes_of_it() {
    let split = named("a.wasm", "[config]\ntransform = \"split-lines\"");
    let pipeline = load(vec![split, shadow("b.wasm", "")]);
    // The second part is refused by the stage that splits, so no later one sees it.
    assert!(matches!(run(&pipeline, "one\n!two\nthree\n"), Outcome::Pass { .. }));
    let (calls, _, differences, _) = settled(&pipeline, 2);
    assert_eq!((calls, differences), (2, 0));
}

#[test]
fn ill_behaved_shadows_fail_alone_and_rest() {
    let alone = load(vec![behaviour("")]);
    for (how, deadline) in [("loop", "20ms"), ("unreachable", "1s"), ("eat-memory", "1s"), ("panic", "1s")] {
        let sidecar = format!("deadline = \"{deadline}\"\n[config]\nvalidate = \"{how}\"\ntext = \"boom\"");
        let pipeline = load(vec![behaviour(""), shadow("new.wasm", &sidecar)]);
        let started = Instant::now();
        for _ in 0..3 {
            assert_eq!(run(&pipeline, "x"), run(&alone, "x"), "{how}");
        }
        assert!(pipeline.pause(Instant::now()).is_none() && !pipeline.is_on_probation(), "{how}");
        let (calls, failed, differences, examples) = settled(&pipeline, 3);
        assert!(calls > 0 && failed == calls, "{how}: {calls} calls, {failed} failed");
        assert_eq!((differences, examples.len()), (0, 0), "{how}");
        assert!(pipeline.shadows().next().unwrap().stage.last_error.is_some(), "{how}");
        assert!(started.elapsed() < PATIENCE, "{how}");
    }
}

#[test]
fn messages_pass_a_shadow_over_that_loops() {
    let pipeline = load(vec![behaviour(""), shadow("new.wasm", "deadline = \"20s\"\n[config]\nvalidate = \"loop\"")]);
    for _ in 0..200 {
        let _ = run(&pipeline, "x");
    }
    // Those that it holds: one in the call, and the others waiting.
    assert_eq!(pipeline.shadows().next().unwrap().passed_over, 200 - 16);
}

#[test]
fn a_shadow_of_a_stage_that_the_channel_lacks_says_so() {
    let pipeline = load(vec![behaviour(""), shadow("new.wasm", "compare-to = \"pbs\"")]);
    let _ = run(&pipeline, "x");
    let info = pipeline.shadows().next().unwrap();
    let reason = "is not called: `compare-to` names \"pbs\", which this channel does not have";
    assert_eq!((info.stage.reason, info.stage.figures.calls, info.passed_over), (Some(reason), 0, 0));
}

#[test]
fn figures_go_on_until_the_shadow_is_replaced() {
    let status = |config: &str| {
        let sidecar = Sidecar::parse(config, Path::new("sidecar.toml")).unwrap();
        let source = StageSource::named(guest("behaviour").to_str().unwrap(), Some(sidecar));
        let around = crate::Surroundings::of_channels(vec!["central".to_owned()]);
        crate::catalog::load::load(plugins(), &source, &around, crate::Effort::Full)
    };
    let of = |config: &str, before: Option<&Pipeline>| {
        Pipeline::assemble(&[status(&format!("mode = \"shadow\"\n{config}"))], settings(vec![]), before)
    };
    let rejects = "[config]\nvalidate = \"invalid\"\ntext = \"no\"";
    let first = of(rejects, None);
    let _ = run(&first, "x");
    assert_eq!(settled(&first, 1).2, 1);
    let second = of(&format!("deadline = \"2s\"\n{rejects}"), Some(&first));
    assert!(!second.is_same(&first));
    assert_eq!((settled(&second, 1).0, settled(&second, 1).2), (1, 1));
    let third = of("", Some(&second));
    assert_eq!(third.differences().next().unwrap().0.differences, 0);
}

#[test]
fn the_last_differences_are_kept() {
    let pipeline = load(vec![behaviour(""), shadow("new.wasm", "[config]\nvalidate = \"invalid\"\ntext = \"no\"")]);
    for number in 1..=60 {
        let _ = run(&pipeline, "x");
        settled(&pipeline, number);
    }
    let (calls, _, differences, examples) = settled(&pipeline, 60);
    assert_eq!(calls, differences);
    assert_eq!(examples.len() as u64, differences.min(50));
}
