//! Guests that loop, exhaust memory, flood the log or break the contract: each call ends within its limits, and neither the
//! process nor the next message is affected.

use std::fs;

use super::*;
use crate::component::surface::check_form;
use crate::instance::limits::Meter;
use crate::{Limits, MAX_COMPONENT_BYTES};

/// How much a busy machine may exceed a limit of time.
const SLACK: Duration = Duration::from_secs(2);

/// The fault of a misbehaving guest, whose call must end within its deadline and [`SLACK`].
#[track_caller]
fn ended(deadline: Duration, sidecar: &str) -> Fault {
    let pipeline = load(vec![behaviour(&format!("deadline = \"{}ms\"\n{sidecar}", deadline.as_millis()))]);
    let started = Instant::now();
    let outcome = run(&pipeline, "payload");
    let took = started.elapsed();
    assert!(took < deadline + SLACK, "{sidecar}: ended after {took:?}");
    match outcome {
        Outcome::Failed { error, .. } => error.fault,
        other => panic!("{sidecar}: {other:?}"),
    }
}

const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(10);

#[test]
fn loops_of_every_kind_end_at_the_deadline() {
    let expected = Fault::Deadline { limit: SHORT };
    for role in ["validate", "transform"] {
        assert_eq!(ended(SHORT, &format!("[config]\n{role} = \"loop\"")), expected);
    }
    let copies = "memory = \"1GiB\"\n[config]\nvalidate = \"copy-memory\"\nsize = 400000000";
    assert_eq!(ended(SHORT, copies), expected);
    let floods = "[config]\nvalidate = \"log-flood\"\nsize = 1000000000\ntext = \"x\"";
    assert_eq!(ended(SHORT, floods), expected);
}

#[test]
fn memory_ends_at_its_limit_however_it_is_taken() {
    for how in ["eat-memory", "eat-crumbs"] {
        let fault = ended(LONG, &format!("memory = \"64MiB\"\n[config]\nvalidate = \"{how}\""));
        assert_eq!(fault, Fault::Memory { limit: 64 << 20 }, "{how}");
    }
}

#[test]
fn each_way_a_guest_ends_has_its_own_fault() {
    let fault = |how: &str| ended(LONG, &format!("[config]\nvalidate = \"{how}\"\ntext = \"boom\""));
    assert_eq!(fault("recurse"), Fault::Stack);
    assert!(matches!(fault("panic"), Fault::Panicked { text } if text.contains("boom")));
    assert!(matches!(fault("exit"), Fault::Exited { .. }));
    assert!(matches!(fault("unreachable"), Fault::Trapped { text } if text.contains("unreachable")));
    assert!(matches!(fault("wild-read"), Fault::Trapped { text } if text.contains("out of bounds")));
    assert!(matches!(fault("not-utf8"), Fault::Trapped { text } if text.contains("utf-8")));
}

/// A component with `copies` instances of a core module that runs `body` at its start.
fn starts_with(body: &[wasm_encoder::Instruction<'_>], copies: u32) -> Vec<u8> {
    use wasm_encoder::*;
    let mut types = TypeSection::new();
    types.ty().function([], []);
    let mut functions = FunctionSection::new();
    functions.function(0);
    let mut tables = TableSection::new();
    let element_type = RefType::FUNCREF;
    tables.table(TableType { element_type, table64: false, minimum: 0, maximum: None, shared: false });
    let mut code = CodeSection::new();
    let mut function = Function::new([]);
    for instruction in body {
        function.instruction(instruction);
    }
    function.instruction(&Instruction::End);
    code.function(&function);
    let mut module = Module::new();
    let start = StartSection { function_index: 0 };
    module.section(&types).section(&functions).section(&tables).section(&start).section(&code);
    let mut component = Component::new();
    component.section(&ModuleSection(&module));
    let mut instances = InstanceSection::new();
    for _ in 0..copies {
        instances.instantiate(0, std::iter::empty::<(&str, ModuleArg)>());
    }
    component.section(&instances);
    component.finish()
}

/// The error of an instance of this component under a plugin's limits.
fn instantiate(engine: &wasmtime::Engine, component: &[u8]) -> wasmtime::Error {
    let component = wasmtime::component::Component::new(engine, component).unwrap();
    let mut store = wasmtime::Store::new(engine, Meter::new(64 << 20));
    store.limiter(|meter| meter);
    store.set_epoch_deadline(Limits::default().ticks());
    wasmtime::component::Linker::new(engine).instantiate(&mut store, &component).map(|_| ()).unwrap_err()
}

#[test]
fn tables_and_core_instances_end_at_their_limits() {
    use wasm_encoder::{BlockType, HeapType, Instruction as I};
    let grow = [
        I::Loop(BlockType::Empty),
        I::RefNull(HeapType::FUNC),
        I::I32Const(100_000),
        I::TableGrow(0),
        I::Drop,
        I::Br(0),
        I::End,
    ];
    for engine in [crate::component::engine::engine().unwrap(), crate::component::engine::pooled().unwrap()] {
        let error = instantiate(&engine, &starts_with(&grow, 1));
        assert!(format!("{error:?}").contains("table entries"), "{error:?}");
    }
    let engine = crate::component::engine::engine().unwrap();
    let error = instantiate(&engine, &starts_with(&[], 201));
    assert!(format!("{error:?}").contains("instance count too high"), "{error:?}");
}

#[test]
fn oversized_answers_are_refused_quickly() {
    let refused = |sidecar: &str| match ended(LONG, sidecar) {
        Fault::AnswerRefused(error) => error,
        other => panic!("{sidecar}: {other:?}"),
    };
    let transform = |how: &str, more: &str| format!("memory = \"1GiB\"\n[config]\ntransform = \"{how}\"\n{more}");
    assert_eq!(refused(&transform("many-headers", "size = 33")), AnswerError::TooManyHeaders);
    assert_eq!(refused(&transform("many-parts", "size = 10001")), AnswerError::TooManyParts);
    for (how, size) in [("many-headers", 1_000_000), ("huge", 200_000_000)] {
        let fault = ended(LONG, &transform(how, &format!("size = {size}")));
        let limit = AnswerError::TooManyHeaders;
        let reported = matches!(fault, Fault::OutputTooLarge { .. }) || fault == Fault::AnswerRefused(limit);
        assert!(reported, "{how}: {fault:?}");
    }
    let headers = |name: &str, value: &str| transform("upper", &format!("headers = [[\"{name}\", \"{value}\"]]"));
    for (name, value) in [("a", "b\\nc"), ("a", "b\\u0000"), ("a", "b\\rc")] {
        assert_eq!(refused(&headers(name, value)), AnswerError::HeaderValue("a".into()));
    }
    for name in ["", "a:b", "a b", "a\\nb", "\u{e4}"] {
        assert!(matches!(refused(&headers(name, "v")), AnswerError::HeaderName(_)), "{name:?}");
    }
    assert!(matches!(refused("[config]\nroute = [\"/queue/elsewhere\"]"), AnswerError::UnknownRoute { .. }));
}

#[test]
fn a_million_findings_are_truncated_or_refused() {
    let sidecar = "memory = \"1GiB\"\n[config]\nvalidate = \"flood-findings\"\nsize = 1000000\ntext = \"t\"";
    let started = Instant::now();
    match one(sidecar, "x") {
        Outcome::Pass { findings, .. } => assert_eq!(findings.len(), 201),
        Outcome::Failed { error, .. } => assert!(matches!(error.fault, Fault::OutputTooLarge { .. }), "{error}"),
        other => panic!("{other:?}"),
    }
    assert!(started.elapsed() < Duration::from_secs(15), "took {:?}", started.elapsed());
}

#[test]
fn ten_million_log_lines_end_at_the_deadline_at_the_latest() {
    let pipeline = load(vec![behaviour("[config]\nvalidate = \"log-flood\"\nsize = 10000000\ntext = \"x\"")]);
    let started = Instant::now();
    match run(&pipeline, "x") {
        Outcome::Pass { .. } => {}
        Outcome::Failed { error, .. } => assert_eq!(error.fault, Fault::Deadline { limit: Limits::default().deadline }),
        other => panic!("{other:?}"),
    }
    assert!(started.elapsed() < Limits::default().deadline + SLACK, "took {:?}", started.elapsed());
}

#[test]
fn a_long_log_line_is_cut_and_one_over_the_limit_ends_the_call() {
    let line = |size: u64| {
        format!("memory = \"1GiB\"\n[config]\nvalidate = \"log-line\"\nsize = {size}\ntext = \"a\\u001b[31mline\"")
    };
    assert!(matches!(one(&line(1_000_000), "x"), Outcome::Pass { .. }));
    let fault = ended(LONG, &line(10_000_000));
    assert_eq!(fault, Fault::OutputTooLarge { limit: 64 << 20 });
}

#[test]
fn ten_thousand_messages_share_no_state() {
    let pipeline = load(vec![behaviour("[config]\nvalidate = \"remember\"")]);
    for number in 0..10_000 {
        assert!(matches!(run(&pipeline, "secret"), Outcome::Pass { .. }), "message {number}");
    }
}

#[test]
fn a_thousand_abandoned_calls_do_no_harm() {
    let pipeline = Arc::new(load(vec![behaviour("[config]\nvalidate = \"sleep\"\nsize = 1")]));
    let runtime = tokio::runtime::Builder::new_multi_thread().max_blocking_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        for _ in 0..1_000 {
            let pipeline = Arc::clone(&pipeline);
            let call = tokio::task::spawn_blocking(move || drop(run(&pipeline, "x")));
            let _ = tokio::time::timeout(Duration::from_micros(100), call).await;
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(30));
    assert!(matches!(run(&pipeline, "x"), Outcome::Pass { .. }));
}

#[test]
fn a_message_gets_the_same_verdict_each_time() {
    let pipeline = load(vec![behaviour("[config]\nvalidate = \"show-context\"\ntransform = \"upper\"")]);
    let first = run(&pipeline, "payload");
    for _ in 0..50 {
        assert_eq!(run(&pipeline, "payload"), first);
    }
}

/// A plugin file in a temporary folder.
fn written(bytes: &[u8]) -> (tempfile::TempDir, StageSource) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.wasm");
    fs::write(&path, bytes).unwrap();
    let source = StageSource::named(path.to_str().unwrap(), None);
    (folder, source)
}

/// Loads it: it must be refused with a reason, or run. Returns whether it was refused.
fn refused_or_sound(bytes: &[u8], what: &str) -> bool {
    let (_folder, source) = written(bytes);
    let started = Instant::now();
    let refused = match Pipeline::load(plugins(), settings(vec![source])) {
        Ok(pipeline) => {
            let _ = run(&pipeline, "payload");
            false
        }
        Err(errors) => {
            let text = errors[0].to_string();
            assert!(text.starts_with("plugin damaged.wasm "), "{what}: {text}");
            assert!(text.len() < 1_000 && !text.contains('\n'), "{what}: {text}");
            true
        }
    };
    assert!(started.elapsed() < Duration::from_secs(15), "{what}: {:?}", started.elapsed());
    refused
}

#[test]
fn a_component_cut_short_anywhere_is_refused() {
    let whole = crate::component::builtin::find("passthrough").unwrap();
    for end in (0..whole.len()).step_by(1 << 10) {
        assert!(refused_or_sound(&whole[..end], &format!("cut at {end}")), "cut at {end} and loaded");
    }
}

#[test]
fn a_thousand_flipped_bits_do_no_harm() {
    let whole = crate::component::builtin::find("passthrough").unwrap();
    let mut random = fastrand::Rng::with_seed(9);
    let refused = (0..1_000).filter(|number| {
        let mut flipped = whole.to_vec();
        let (byte, bit) = (random.usize(..whole.len()), random.u32(..8));
        flipped[byte] ^= 1 << bit;
        refused_or_sound(&flipped, &format!("flip {number}: bit {bit} of byte {byte}"))
    });
    assert!(refused.count() > 100, "too few flips were refused");
}

#[test]
fn a_file_that_is_no_component_is_refused_before_compilation() {
    let started = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.wasm");
    fs::File::create(&path).unwrap().set_len(1 << 30).unwrap();
    let error = load_error(StageSource::named(path.to_str().unwrap(), None));
    assert!(error.contains("is larger than 64 MB"), "{error}");
    let mut large = b"\0asm\x0d\0\x01\0".to_vec();
    large.resize(usize::try_from(MAX_COMPONENT_BYTES).unwrap() + 1, 0);
    assert!(check_form(&large).is_err());
    let link = folder.path().join("link.wasm");
    std::os::unix::fs::symlink(guest("sites"), &link).unwrap();
    assert!(load_error(StageSource::named(link.to_str().unwrap(), None)).contains("is a symbolic link"));
    assert!(started.elapsed() < Duration::from_secs(5), "took {:?}", started.elapsed());
}
