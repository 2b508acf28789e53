//! A plain embedding of wasmtime, to compare with: its default settings, a fresh instance for each call, no limits, no log,
//! none of our code. What languages ask of WASI when they start is answered with as little as will do; the rest traps.

use std::hint::black_box;
use std::time::{Duration, Instant};

use wasmtime::component::{Component, InstancePre, Linker, LinkerInstance, Resource, Val};
use wasmtime::{Config, Engine, Store};

use self::bindings::exports::sesame::plugin::{lifecycle, validator};
use self::bindings::sesame::plugin::log::Level;
use self::bindings::sesame::plugin::types::{Context, Direction, Message};

#[allow(dead_code, unreachable_pub, clippy::all, clippy::indexing_slicing, reason = "generated code")]
mod bindings {
    wasmtime::component::bindgen!({ path: "../../wit", world: "sesame:plugin/validator-plugin@1.0.0" });
}

/// A validator that is compiled and linked.
pub(crate) struct Plain {
    engine: Engine,
    pre: InstancePre<()>,
    lifecycle: lifecycle::GuestIndices,
    validator: validator::GuestIndices,
    config: String,
}

impl Plain {
    /// Compiles and links a component.
    pub(crate) fn new(component: &[u8], config: &str) -> Self {
        Self::with(&Engine::default(), component, config)
    }

    /// The same, in code that can be stopped: it compares a counter at each function and turn of a loop.
    pub(crate) fn with_deadline(component: &[u8], config: &str) -> Self {
        Self::with(&Engine::new(Config::new().epoch_interruption(true)).unwrap(), component, config)
    }

    fn with(engine: &Engine, component: &[u8], config: &str) -> Self {
        let component = Component::new(engine, component).unwrap();
        let pre = linker(engine, &component).instantiate_pre(&component).unwrap();
        Self {
            lifecycle: lifecycle::GuestIndices::new(&pre).unwrap(),
            validator: validator::GuestIndices::new(&pre).unwrap(),
            engine: engine.clone(),
            config: config.to_owned(),
            pre,
        }
    }

    /// The time that half of the calls take at most.
    pub(crate) fn half_within(&self, payload: &[u8]) -> Duration {
        let (begun, mut times) = (Instant::now(), Vec::new());
        while times.len() < 1000 && (times.len() < 10 || begun.elapsed() < Duration::from_secs(2)) {
            let start = Instant::now();
            black_box(self.call(payload));
            times.push(start.elapsed());
        }
        times.sort_unstable();
        times[times.len() / 2]
    }

    fn call(&self, payload: &[u8]) -> usize {
        let message = Message { context: context(), payload: payload.to_vec() };
        let mut store = Store::new(&self.engine, ());
        store.set_epoch_deadline(u64::MAX >> 1);
        let instance = self.pre.instantiate(&mut store).unwrap();
        let lifecycle = self.lifecycle.load(&mut store, &instance).unwrap();
        lifecycle.call_init(&mut store, &self.config).unwrap().unwrap();
        let validator = self.validator.load(&mut store, &instance).unwrap();
        validator.call_validate(&mut store, &message).unwrap().unwrap().len()
    }
}

fn context() -> Context {
    Context {
        direction: Direction::Inbound,
        message_id: "6b031234/6b03126398f937".to_owned(),
        channel: "bench".to_owned(),
        destination: "/queue/bench".to_owned(),
        content_type: Some("text/plain".to_owned()),
        signer: None,
        received_at: 1_767_225_600_000,
        attempt: 1,
        transport_headers: Vec::new(),
        properties: vec![("max-payload-bytes".to_owned(), "16777216".to_owned())],
    }
}

/// A stream that nothing is read from or written to.
fn stream(instance: &mut LinkerInstance<'_, ()>, name: &str) {
    instance.func_wrap(name, |_, ()| Ok((Resource::<()>::new_own(0),))).unwrap();
}

fn no_terminal(instance: &mut LinkerInstance<'_, ()>, name: &str) {
    instance.func_wrap(name, |_, ()| Ok((None::<Resource<()>>,))).unwrap();
}

fn linker(engine: &Engine, component: &Component) -> Linker<()> {
    let mut linker = Linker::new(engine);
    linker.define_unknown_imports_as_traps(component).unwrap();
    linker.allow_shadowing(true);
    for (name, _) in component.component_type().imports(engine) {
        let mut instance = linker.instance(name).unwrap();
        let interface = name.split_once('@').map_or(name, |(interface, _)| interface);
        match interface {
            "sesame:plugin/log" => instance.func_wrap("write", |_, (_, _): (Level, String)| Ok(())).unwrap(),
            "wasi:cli/environment" => {
                instance.func_wrap("get-environment", |_, ()| Ok((Vec::<(String, String)>::new(),))).unwrap();
                instance.func_wrap("get-arguments", |_, ()| Ok((Vec::<String>::new(),))).unwrap();
                instance.func_wrap("initial-cwd", |_, ()| Ok((None::<String>,))).unwrap();
            }
            "wasi:random/random" => {
                let bytes = |length: u64| vec![7_u8; usize::try_from(length).unwrap()];
                instance.func_wrap("get-random-bytes", move |_, (length,): (u64,)| Ok((bytes(length),))).unwrap();
                instance.func_wrap("get-random-u64", |_, ()| Ok((7_u64,))).unwrap();
            }
            "wasi:random/insecure-seed" => {
                instance.func_wrap("insecure-seed", |_, ()| Ok(((7_u64, 7_u64),))).unwrap();
            }
            "wasi:clocks/monotonic-clock" => instance.func_wrap("now", |_, ()| Ok((7_u64,))).unwrap(),
            "wasi:clocks/wall-clock" => {
                let now = [("seconds", Val::U64(1_767_225_600)), ("nanoseconds", Val::U32(0))];
                let now = Val::Record(now.map(|(name, value)| (name.to_owned(), value)).to_vec());
                let answer = move |results: &mut [Val]| {
                    results[0] = now.clone();
                    Ok(())
                };
                instance.func_new("now", move |_, _, _, results| answer(results)).unwrap();
            }
            "wasi:cli/stdin" => stream(&mut instance, "get-stdin"),
            "wasi:cli/stdout" => stream(&mut instance, "get-stdout"),
            "wasi:cli/stderr" => stream(&mut instance, "get-stderr"),
            "wasi:cli/terminal-stdin" => no_terminal(&mut instance, "get-terminal-stdin"),
            "wasi:cli/terminal-stdout" => no_terminal(&mut instance, "get-terminal-stdout"),
            "wasi:cli/terminal-stderr" => no_terminal(&mut instance, "get-terminal-stderr"),
            "wasi:filesystem/preopens" => {
                let answer = |results: &mut [Val]| {
                    results[0] = Val::List(Vec::new());
                    Ok(())
                };
                instance.func_new("get-directories", move |_, _, _, results| answer(results)).unwrap();
            }
            _ => {}
        }
    }
    linker
}
