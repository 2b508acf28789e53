//! The stock pipeline: one call of `builtin:passthrough`, and its share of all that is done for a message.
//!
//! The share is CPU of a call, over CPU of the whole process for one message as `end_to_end` has measured it: queue,
//! pipeline, S/MIME, TLS, journal and the start of the program. It is reported only when both were measured.
//!
//! And `builtin:job-records` on a job message of 30 kB, everything included: a fresh instance, its configuration, the
//! message into the guest and the verdict out of it.

use std::hint::black_box;
use std::path::PathBuf;

use ::message::{Direction, MessageId};
use ::plugins::{
    CompileSettings, Input, Outcome, Pipeline, PipelineSettings, Plugins, SignerFacts, StageSource, TOTAL_TIME,
};

use crate::clock::thread_cpu;
use crate::crypto::{SIZES, text};
use crate::end_to_end::{RECEIVER_CPU, SENDER_CPU};
use crate::harness::Folder;
use crate::program;
use crate::report::{Goal, Report, median};
use crate::stock::job_message;

const ROUNDS: usize = 15;
const ROUND_SECONDS: f64 = 0.03;

/// Measures and prints.
pub(crate) fn measure(report: &mut Report) {
    report.note("CPU of one thread for one call, a fresh instance each time");
    let folder = Folder::new("figures-pipeline");
    let settings =
        CompileSettings { program: Some(program()), cache: Some(cache(&folder)), ..CompileSettings::default() };
    let plugins = Plugins::start(settings).unwrap();
    for (direction, side, whole) in
        [(Direction::Outbound, "sender", SENDER_CPU), (Direction::Inbound, "receiver", RECEIVER_CPU)]
    {
        let pipeline = pipeline_of(&plugins, StageSource::named("builtin:passthrough", None), direction);
        for (size_name, size) in SIZES {
            let call = one_call(&pipeline, direction, &text(size));
            let name = format!("builtin:passthrough, {size_name}, {side}");
            report.figure(&name, call * 1e6, "us");
            if let (30_000, Some(message)) = (size, report.value(whole)) {
                let share = call * 1e6 / message * 100.0;
                report.goal(&format!("stock pipeline, share of a {side}'s CPU"), share, "%", Goal::AtMost(10.0));
            }
        }
    }
    let name = std::env::var("SESAME_FIGURES_VALIDATOR").unwrap_or_else(|_| "builtin:job-records".to_owned());
    let pipeline = pipeline_of(&plugins, StageSource::named(&name, None), Direction::Inbound);
    let call = one_call(&pipeline, Direction::Inbound, &job_message(30_000));
    let name = format!("validator {name}, job message of 30 kB");
    report.goal(&name, call * 1e6, "us", Goal::AtMost(150.0));
    crate::stock::measure(report, &plugins);
}

fn cache(folder: &Folder) -> PathBuf {
    use std::os::unix::fs::DirBuilderExt as _;
    let path = folder.join("compiled");
    std::fs::DirBuilder::new().mode(0o700).create(&path).unwrap();
    path
}

pub(crate) fn pipeline_of(plugins: &Plugins, stage: StageSource, direction: Direction) -> Pipeline {
    let settings = PipelineSettings {
        stages: vec![stage],
        channel: "figures".to_owned(),
        around: ::plugins::Surroundings::of_channels(vec!["figures".to_owned()]),
        direction,
        routes: Vec::new(),
        max_payload: 16 << 20,
        total_time: TOTAL_TIME,
    };
    Pipeline::load(plugins, settings).unwrap_or_else(|errors| panic!("{errors:?}"))
}

/// CPU seconds of one call.
pub(crate) fn one_call(pipeline: &Pipeline, direction: Direction, payload: &[u8]) -> f64 {
    let id = MessageId::parse("6b031234/6b03126398f937").unwrap();
    let signer = SignerFacts {
        subject: "CN=sender.example.org,OU=Hosts,O=Sesame,C=UK".to_owned(),
        certificate: vec![0; 1_000],
        ..SignerFacts::default()
    };
    let headers = [("destination".to_owned(), "/queue/figures".to_owned()), ("empa-id".to_owned(), id.to_string())];
    let inbound = direction == Direction::Inbound;
    let input = Input {
        message_id: &id,
        destination: "/queue/figures",
        content_type: None,
        signer: inbound.then_some(&signer),
        received_at: 1_800_000_000_000,
        attempt: 1,
        transport_headers: if inbound { &headers } else { &[] },
        properties: &[],
    };
    let outcome = pipeline.run(&input, payload);
    assert!(matches!(outcome, Outcome::Pass { .. }), "what is measured is the way of a good message: {outcome:?}");
    let round = || {
        let (start, mut calls) = (thread_cpu(), 0.0);
        loop {
            black_box(pipeline.run(&input, black_box(payload)));
            calls += 1.0;
            let spent = thread_cpu() - start;
            if spent >= ROUND_SECONDS {
                return spent / calls;
            }
        }
    };
    median((0..ROUNDS).map(|_| round()).collect())
}
