//! Hostile messages through every reader of records: each ends in findings or in records, and soon.

#[path = "hostile/corpus.rs"]
mod corpus;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use sesame_plugin::records::shape::{Kind, Shape, edit};
use sesame_plugin::records::text::{cloud, cloud_summary, job, normalised, summary, sync};
use sesame_plugin::records::{
    AllTypes, Findings, Rules, accelerator, accelerator_summary, car, check, json, public_ip, star, xml,
};

/// Of one message in all readers together, in a build that is not optimised: the host allows a second's worth of work more
/// than this in one that is.
const AT_MOST: Duration = Duration::from_secs(20);
const MUTATIONS: usize = 4000;

#[test]
fn no_message_stops_a_reader() {
    println!("seed {}, {MUTATIONS} mutations", corpus::SEED);
    let mut slowest = (Duration::ZERO, String::new());
    for (name, payload) in corpus::corpus(MUTATIONS) {
        let begun = Instant::now();
        let read = catch_unwind(AssertUnwindSafe(|| read_in_every_way(&payload)));
        let shown = String::from_utf8_lossy(&payload[..payload.len().min(300)]);
        assert!(read.is_ok(), "{name} stops a reader: {shown:?}");
        assert!(begun.elapsed() < AT_MOST, "{name} takes {:?}", begun.elapsed());
        slowest = slowest.max((begun.elapsed(), name));
    }
    println!("slowest: {slowest:?}");
}

fn read_in_every_way(payload: &[u8]) {
    for strict in [false, true] {
        let rules = Rules { now: 1_780_000_000, strict };
        let findings = [
            check(payload, &rules),
            AllTypes { strict, pass_unknown: true }.check(payload, &rules),
            public_ip::check(payload, &rules),
            accelerator::check(payload, &rules),
            accelerator_summary::check(payload, &rules),
        ];
        assert!(findings.iter().all(|findings| findings.len() <= Findings::LIMIT + 2));
    }
    let _ = (job::parse(payload).is_ok(), summary::parse(payload).is_ok(), normalised::parse(payload).is_ok());
    let _ = (sync::parse(payload).is_ok(), cloud::parse(payload).is_ok(), cloud_summary::parse(payload).is_ok());
    let _ = (star::parse(payload).is_ok(), car::parse(payload).is_ok(), accelerator::parse(payload).is_ok());
    if let Ok(text) = std::str::from_utf8(payload) {
        let values =
            json::Document::parse(text).map_or(0, |document| document.root().map_or(0, |root| root.text().len()));
        let elements = xml::Document::parse(text).map_or(0, |document| document.elements().count());
        assert!(values <= 3 * text.len() && elements <= text.len());
    }
    let _ = Kind::of(payload);
    if let Ok(shape) = Shape::cut(payload) {
        let all: Vec<usize> = (0..shape.len()).collect();
        assert!(shape.build(&all).len() <= payload.len());
    }
    let edited = edit(payload, |record| {
        if !record.fields().is_empty() {
            record.set(0, "x\u{2028}");
            record.rename(record.fields().len() - 1, "y");
        }
        record.add("z", "\"<&\u{0}");
    });
    drop(edited);
}
