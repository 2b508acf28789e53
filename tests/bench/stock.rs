//! The stock plugins: their sizes, and the time of validators for messages of job, storage and accelerator records.
//!
//! The time is CPU of one thread for one call with everything included: a fresh instance, its configuration, the message
//! into the guest and the verdict out of it.

use std::path::PathBuf;

use ::message::Direction;
use ::plugins::{Plugins, StageSource};

use crate::pipeline::{one_call, pipeline_of};
use crate::report::{Goal, Report};

/// What a built component may measure at most, in kB.
const SIZE: f64 = 150.0;

/// Measures and prints.
pub(crate) fn measure(report: &mut Report, plugins: &Plugins) {
    let large = sizes().into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    report.goal(&format!("largest stock component, {}", large.0), large.1, "kB", Goal::AtMost(SIZE));
    let any_record = pipeline_of(plugins, StageSource::named("builtin:any-record", None), Direction::Inbound);
    for (name, message, in_each) in [
        ("job", job_message(1_000_000), "\nLocalJobId: "),
        ("storage", storage_message(1_000_000), "<sr:RecordIdentity "),
        ("accelerator", accelerator_message(1_000), "\"AssociatedRecordType\""),
    ] {
        let records = std::str::from_utf8(&message).unwrap().matches(in_each).count();
        let call = one_call(&any_record, Direction::Inbound, &message);
        let name = format!("any-record, {records} {name} records, {} kB", message.len() / 1000);
        report.goal(&name, call * 1e3, "ms", Goal::AtMost(10.0));
    }
}

/// Each built component beside its sources, with its size in kB.
fn sizes() -> Vec<(String, f64)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../plugins");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, path.metadata().unwrap().len() as f64 / 1e3)
        })
        .collect()
}

/// The demo's job records, as often as they fit.
pub(crate) fn job_message(size: usize) -> Vec<u8> {
    let sample = include_str!("../../host/sesame/src/demo/samples/cpu-jobs.txt");
    let (head, records) = sample.split_once('\n').unwrap();
    let mut message = format!("{head}\n");
    let records = records.split_inclusive("%%\n").filter(|record| record.contains("Site: "));
    for record in records.collect::<Vec<_>>().into_iter().cycle() {
        if message.len() + record.len() > size {
            break;
        }
        message.push_str(record);
    }
    message.into_bytes()
}

/// The demo's storage records, as often as they fit, each under an identity of its own.
fn storage_message(size: usize) -> Vec<u8> {
    let sample = include_str!("../../host/sesame/src/demo/samples/storage.xml");
    let (head, rest) = sample.split_at(sample.find("<sr:StorageUsageRecord>").unwrap());
    let (records, tail) = rest.split_at(rest.rfind("</sr:StorageUsageRecords>").unwrap());
    let mut message = head.to_owned();
    for (number, record) in records.split_inclusive("</sr:StorageUsageRecord>").cycle().enumerate() {
        if message.len() + record.len() > size {
            break;
        }
        message.push_str(&record.replace("sr:recordId=\"", &format!("sr:recordId=\"{number}-")));
    }
    (message + tail).into_bytes()
}

/// The demo's accelerator records until there are so many, which is the most that a message may hold.
fn accelerator_message(count: usize) -> Vec<u8> {
    let sample = include_str!("../../host/sesame/src/demo/samples/accelerator.json");
    let mut message: serde_json::Value = serde_json::from_str(sample).unwrap();
    let records = message["UsageRecords"].as_array().unwrap().clone();
    message["UsageRecords"] = records.into_iter().cycle().take(count).collect();
    message.to_string().into_bytes()
}
