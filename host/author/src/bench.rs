//! `sesame plugin bench`: measures a component with the code and limits of the running program, and a fresh instance for
//! each call: time to compile and load it, time of a call (median and 99th percentile) and peak memory of an instance.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use super::{Bench, Host, Way, output};
use message::{Direction, MessageId};
use plugins::{Input, Outcome, Pipeline, PipelineSettings, Plugins, SignerFacts};
use terminal::EXIT_DONE;

/// The sizes that are measured, in bytes.
const SIZES: [(&str, usize); 3] = [("100 B", 100), ("10 kB", 10_000), ("1 MB", 1_000_000)];
/// Calls that are measured, as far as the time allows, and the time.
const CALLS: usize = 1000;
const LONGEST: Duration = Duration::from_secs(2);
/// Calls at least, and calls before the first that counts.
const CALLS_AT_LEAST: usize = 10;
const WARM_UP: usize = 3;

/// What was measured for one message.
#[derive(Clone, Debug, PartialEq)]
struct Figure {
    message: String,
    bytes: usize,
    calls: usize,
    p50: Duration,
    p99: Duration,
    /// The most memory one instance held, bytes.
    memory: u64,
    verdict: String,
}

pub(super) fn run(arguments: &Bench, host: &Host) -> anyhow::Result<u8> {
    let file = &arguments.file;
    let direction = match arguments.direction {
        Way::Inbound => Direction::Inbound,
        Way::Outbound => Direction::Outbound,
    };
    let settings = super::pipeline_of(file, super::settings_beside(file)?, "bench", direction, host.max_payload);
    let cache = tempfile::tempdir().context("cannot create a folder for compiled code")?;
    let plugins = (host.plugins_with)(cache.path().join("compiled"))?;
    let (compiling, first) = timed(|| load(&plugins, &settings))?;
    drop(first);
    let (loading, _kept) = timed(|| load(&plugins, &settings))?;
    let messages = match &arguments.message {
        Some(path) => {
            let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            vec![(path.display().to_string(), bytes)]
        }
        None => SIZES.iter().map(|(name, size)| ((*name).to_owned(), records(host.records, *size))).collect(),
    };
    let mut figures = Vec::new();
    for (name, message) in &messages {
        // A pipeline of its own, because its peak memory is that of all its messages.
        figures.push(measure(&load(&plugins, &settings)?, direction, name, message)?);
    }
    if arguments.json {
        output::json(&json_of(compiling, loading, &figures));
    } else {
        print(compiling, loading, &figures);
    }
    Ok(EXIT_DONE)
}

fn timed<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(Duration, T)> {
    let begun = Instant::now();
    let done = work()?;
    Ok((begun.elapsed(), done))
}

fn load(plugins: &Plugins, settings: &PipelineSettings) -> anyhow::Result<Pipeline> {
    match Pipeline::load(plugins, settings.clone()) {
        Ok(pipeline) => Ok(pipeline),
        Err(errors) => bail!("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
    }
}

/// Whole job records of about `size` bytes together, at least one line.
fn records(sample: &str, size: usize) -> Vec<u8> {
    let (header, records) = sample.split_once('\n').unwrap_or((sample, ""));
    let mut text = format!("{header}\n");
    for record in records.split_inclusive("%%\n").cycle() {
        if text.len() + record.len() > size {
            break;
        }
        text.push_str(record);
    }
    if text.lines().count() == 1 {
        text.extend(records.chars().take(size.saturating_sub(text.len())));
    }
    text.into_bytes()
}

fn measure(pipeline: &Pipeline, direction: Direction, name: &str, message: &[u8]) -> anyhow::Result<Figure> {
    let id = MessageId::absent();
    let signer = SignerFacts { subject: "CN=sender.example.org,O=Example,C=UK".to_owned(), ..SignerFacts::default() };
    let input = Input {
        message_id: &id,
        destination: "/queue/bench",
        content_type: Some("text/plain"),
        signer: (direction == Direction::Inbound).then_some(&signer),
        received_at: 1_767_225_600_000,
        attempt: 1,
        transport_headers: &[],
        properties: &[],
    };
    let mut times = Vec::new();
    let (mut verdict, begun) = (String::new(), Instant::now());
    for call in 0..WARM_UP + CALLS {
        let start = Instant::now();
        let outcome = pipeline.run(&input, message);
        let time = start.elapsed();
        if let Outcome::Failed { error, .. } = &outcome {
            bail!("the message {name} cannot be measured: {error}");
        }
        verdict = word(&outcome).to_owned();
        if call >= WARM_UP {
            times.push(time);
        }
        if begun.elapsed() > LONGEST && times.len() >= CALLS_AT_LEAST {
            break;
        }
    }
    times.sort_unstable();
    ensure!(!times.is_empty(), "nothing was measured");
    let memory = pipeline.stages().filter_map(|stage| stage.ready).map(|ready| ready.peak_memory).max();
    Ok(Figure {
        message: name.to_owned(),
        bytes: message.len(),
        calls: times.len(),
        p50: percentile(&times, 50),
        p99: percentile(&times, 99),
        memory: memory.unwrap_or(0),
        verdict,
    })
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Pass { .. } => "passed",
        Outcome::Dropped { .. } => "dropped",
        Outcome::Invalid { .. } => "invalid",
        Outcome::Retry { .. } => "retry",
        Outcome::Failed { .. } => "failed",
    }
}

/// The smallest time that so many in a hundred do not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

fn print(compiling: Duration, loading: Duration, figures: &[Figure]) {
    output::line(&format!("compiled and loaded in {}, from the cache in {}", shown(compiling), shown(loading)));
    let mut table = output::Table::new(&["MESSAGE", "BYTES", "CALLS", "P50", "P99", "MEMORY", "VERDICT"]);
    for figure in figures {
        table.row([
            figure.message.clone(),
            figure.bytes.to_string(),
            figure.calls.to_string(),
            shown(figure.p50),
            shown(figure.p99),
            format!("{:.1} MiB", figure.memory as f64 / f64::from(1 << 20)),
            figure.verdict.clone(),
        ]);
    }
    table.print();
}

/// A time with three digits.
fn shown(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    match micros {
        micros if micros >= 1e6 => format!("{:.2} s", micros / 1e6),
        micros if micros >= 1e3 => format!("{:.2} ms", micros / 1e3),
        micros => format!("{micros:.1} µs"),
    }
}

fn json_of(compiling: Duration, loading: Duration, figures: &[Figure]) -> Value {
    let micros = |time: Duration| (time.as_secs_f64() * 1e7).round() / 10.0;
    let figure = |figure: &Figure| {
        json!({
            "message": figure.message, "bytes": figure.bytes, "calls": figure.calls, "p50-us": micros(figure.p50),
            "p99-us": micros(figure.p99), "memory-bytes": figure.memory, "verdict": figure.verdict,
        })
    };
    json!({
        "compile-us": micros(compiling), "load-us": micros(loading),
        "messages": figures.iter().map(figure).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDS: &str = "APEL-individual-job-message: v0.3\nSite: A\nLocalJobId: 1\n%%\nSite: A\nLocalJobId: 2\n%%\n";

    #[test]
    fn messages_are_whole_records_of_about_the_size() {
        for (_, size) in SIZES {
            let message = String::from_utf8(records(RECORDS, size)).unwrap();
            assert!(message.starts_with("APEL") && message.len() <= size && message.len() > size / 2, "{size}");
        }
        assert!(records(RECORDS, 10_000).ends_with(b"%%\n"));
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 50), Duration::from_millis(100));
        assert_eq!(percentile(&times, 99), Duration::from_millis(198));
        assert_eq!(percentile(&times[..1], 99), Duration::from_millis(1));
    }

    #[test]
    fn measures_time_and_memory_of_a_stock_plugin() {
        let plugins = Plugins::start(plugins::CompileSettings::default()).unwrap();
        let file = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/passthrough.wasm"));
        let settings = super::super::pipeline_of(file, plugins::Sidecar::default(), "c", Direction::Inbound, 1 << 20);
        let pipeline = load(&plugins, &settings).unwrap();
        let figure = measure(&pipeline, Direction::Inbound, "m", &records(RECORDS, 10_000)).unwrap();
        assert!(figure.p50 > Duration::ZERO && figure.p50 <= figure.p99 && figure.memory >= 1 << 16, "{figure:?}");
        assert_eq!(figure.verdict, "passed");
    }

    #[test]
    fn times_are_shown_in_their_unit() {
        let shown: Vec<String> = [1_500, 2_500_000, 3_000_000_000].map(Duration::from_nanos).map(shown).to_vec();
        assert_eq!(shown, ["1.5 µs", "2.50 ms", "3.00 s"]);
    }
}
