//! Plugins that fail for some messages and for all: what a failure counts against.

use super::*;

/// Panics on messages that contain `bad`, and answers for the others.
const PANICS: &str = "[config]\nvalidate = \"panic\"\nwhen = \"bad\"\ntext = \"boom\"";

fn blame(outcome: &Outcome) -> Blame {
    match outcome {
        Outcome::Failed { error, .. } => error.blame,
        other => panic!("{other:?}"),
    }
}

fn again(pipeline: &Pipeline, payload: &str, attempt: u32) -> Outcome {
    let id = MessageId::parse("00000000/00000000000002").unwrap();
    let input = Input {
        message_id: &id,
        destination: "/queue/test",
        content_type: None,
        signer: None,
        received_at: 0,
        attempt,
        transport_headers: &[],
        properties: &[],
    };
    pipeline.run(&input, payload.as_bytes())
}

#[test]
fn a_plugin_that_never_answers_pauses_its_channel_and_counts_against_no_message() {
    let pipeline = load(vec![behaviour(PANICS)]);
    for number in 0..5 {
        assert!(pipeline.pause(Instant::now()).is_none(), "after {number}");
        assert_eq!(blame(&run(&pipeline, &format!("bad {number}"))), Blame::Plugin);
    }
    let pause = pipeline.pause(Instant::now()).unwrap();
    assert!(pause.error.to_string().contains("plugin behaviour.wasm stopped with a panic"), "{}", pause.error);
    assert!(pipeline.is_on_probation());
    let outcome = run(&pipeline, "good");
    assert_eq!(blame(&outcome), Blame::Nothing, "no plugin is called during the pause");
}

#[test]
fn failures_of_a_plugin_that_answers_for_others_count_against_the_message() {
    let pipeline = load(vec![behaviour(PANICS)]);
    assert!(matches!(run(&pipeline, "good"), Outcome::Pass { .. }));
    for attempt in 1..20 {
        assert_eq!(blame(&again(&pipeline, "bad", attempt)), Blame::Message, "attempt {attempt}");
    }
    assert!(!pipeline.is_on_probation());
}

#[test]
fn one_answer_after_the_pause_ends_probation() {
    let pipeline = load(vec![behaviour(PANICS)]);
    (0..5).for_each(|number| assert_eq!(blame(&run(&pipeline, &format!("bad {number}"))), Blame::Plugin));
    let pause = pipeline.pause(Instant::now()).unwrap();
    std::thread::sleep(pause.until.saturating_duration_since(Instant::now()));
    assert!(pipeline.pause(Instant::now()).is_none() && pipeline.is_on_probation());
    assert!(matches!(run(&pipeline, "good"), Outcome::Pass { .. }));
    assert!(!pipeline.is_on_probation() && !pipeline.is_doubtful());
}

#[test]
fn another_stage_that_answers_does_not_excuse_the_one_that_fails() {
    let good = behaviour("[config]\ntransform = \"upper\"");
    let bad = stage("sites", "");
    let bad = StageSource { named: false, ..bad };
    let pipeline = Pipeline::load(plugins(), settings(vec![good, bad])).unwrap();
    for number in 0..5 {
        assert_eq!(blame(&run(&pipeline, &number.to_string())), Blame::Plugin);
    }
    assert_eq!(pipeline.pause(Instant::now()).unwrap().error.plugin, "sites.wasm");
}

#[test]
fn a_stage_that_applies_to_some_messages_does_not_pause_the_others() {
    let pipeline =
        load(vec![behaviour("content-type = \"text/plain\"\n[config]\nvalidate = \"panic\"\ntext = \"boom\"")]);
    for number in 0..20 {
        assert_eq!(blame(&run(&pipeline, &format!("bad {number}"))), Blame::Plugin);
        assert!(matches!(again(&pipeline, "not text", 1), Outcome::Pass { .. }));
    }
    assert!(!pipeline.is_on_probation());
}

#[test]
fn on_error_reject_and_pass_never_pause_the_channel() {
    for rule in ["reject", "pass"] {
        let pipeline = load(vec![behaviour(&format!("on-error = \"{rule}\"\n{PANICS}"))]);
        for number in 0..20 {
            assert!(!matches!(run(&pipeline, &format!("bad {number}")), Outcome::Failed { .. }));
        }
        assert!(!pipeline.is_on_probation());
    }
}
