//! Makes the page: reads every counter and puts it under its name.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use observe::{Distribution, Page, Value};

use super::View;
use super::families as family;
use super::sample::Sample;
use crate::channel::{Channel, Meters, Step};
use message::Direction;
use plugins::{Figures, Limit, Pipeline, PluginState};
use transport::LinkCounts;

/// The signer of those that are counted together.
const OTHER: &str = "other";

/// A time since 1970, in seconds.
fn seconds(at: SystemTime) -> Value {
    Value::Real(at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64())
}

/// How long ago a time is, in seconds; 0 for none.
fn age(at: Option<SystemTime>) -> Value {
    let age = at.and_then(|at| SystemTime::now().duration_since(at).ok());
    Value::Real(age.unwrap_or_default().as_secs_f64())
}

/// Seconds until a time, below zero where it is past.
fn until(at: SystemTime) -> Value {
    match at.duration_since(SystemTime::now()) {
        Ok(rest) => Value::Real(rest.as_secs_f64()),
        Err(past) => Value::Real(-past.duration().as_secs_f64()),
    }
}

const fn flag(set: bool) -> Value {
    Value::Whole(set as u64)
}

/// The word for a direction.
fn direction(channel: &Channel) -> &'static str {
    match channel.direction() {
        Direction::Outbound => "send",
        Direction::Inbound => "receive",
    }
}

/// What is known without a view of the channels.
pub(super) fn process(page: &mut Page, started: SystemTime) {
    page.add(&family::BUILD, &[env!("CARGO_PKG_VERSION")], Value::Fact);
    page.add(&family::STARTED, &[], seconds(started));
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let nanoseconds = u64::try_from(cpu.tv_nsec).unwrap_or_default();
    let cpu = Duration::from_secs(u64::try_from(cpu.tv_sec).unwrap_or_default()) + Duration::from_nanos(nanoseconds);
    page.add(&family::CPU, &[], Value::Real(cpu.as_secs_f64()));
    if let Some(bytes) = resident() {
        page.add(&family::MEMORY, &[], Value::Whole(bytes));
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        page.add(&family::FILES, &[], Value::Whole(open.count() as u64));
    }
    if let Some(most) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        page.add(&family::MOST_FILES, &[], Value::Whole(most));
    }
}

/// Resident memory, in bytes.
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    pages.checked_mul(rustix::param::page_size() as u64)
}

/// The counters of one channel.
pub(super) fn channel(page: &mut Page, channel: &Channel, meters: &Meters, ready: bool) {
    let (name, direction) = (channel.name(), direction(channel));
    page.add(&family::READY, &[name, direction], flag(ready));
    for (fate, code, count) in meters.fates().filter(|(fate, ..)| fate.is_of(channel.direction())) {
        page.add(&family::MESSAGES, &[name, direction, fate.word(), code], Value::Whole(count));
    }
    for step in Step::of(channel.direction()) {
        if let Some(meter) = meters.step(*step) {
            page.add(&family::STEP, &[name, step.word()], Value::Times(meter.times.distribution()));
            page.add(&family::STEP_BYTES, &[name, step.word()], Value::Whole(meter.bytes.get()));
        }
    }
    page.add(&family::IN_FLIGHT, &[name], Value::Whole(meters.in_flight.get()));
    match channel.direction() {
        Direction::Outbound => page.add(&family::AGE, &[name], Value::Times(meters.ages.distribution())),
        Direction::Inbound => {
            page.add(&family::REDELIVERIES, &[name], Value::Whole(meters.redelivered.get()));
            let (signers, others) = meters.signers();
            let others = others.map(|at| (OTHER.to_owned(), at));
            for (signer, at) in signers.into_iter().chain(others) {
                page.add(&family::SIGNER_LAST, &[name, &signer], seconds(at));
                page.add(&family::SIGNER_AGE, &[name, &signer], age(Some(at)));
            }
        }
    }
}

/// Whether a channel takes up no message.
pub(super) fn paused(page: &mut Page, channel: &Channel, paused: bool) {
    page.add(&family::PAUSED, &[channel.name()], flag(paused));
}

/// The plugins of a channel.
pub(super) fn plugins(page: &mut Page, channel: &Channel, pipeline: &Pipeline) {
    let name = channel.name();
    for stage in pipeline.stages() {
        let (plugin, figures) = (stage.name, &stage.figures);
        let answered = figures.calls.saturating_sub(figures.rejects + figures.retries + figures.errors);
        for (outcome, count) in [
            ("answered", answered),
            ("rejected", figures.rejects),
            ("retry", figures.retries),
            ("failed", figures.errors),
        ] {
            page.add(&family::PLUGIN_CALLS, &[name, plugin, outcome], Value::Whole(count));
        }
        for (limit, count) in Limit::ALL.iter().zip(figures.limits) {
            page.add(&family::PLUGIN_LIMITS, &[name, plugin, limit.word()], Value::Whole(count));
        }
        let buckets = Figures::BOUNDS.iter().map(Duration::as_secs_f64).zip(figures.times).collect();
        let times = Distribution { sum: figures.time.as_secs_f64(), count: figures.calls, buckets };
        page.add(&family::PLUGIN_TIME, &[name, plugin], Value::Times(times));
        for state in PluginState::ALL {
            page.add(&family::PLUGIN_STATE, &[name, plugin, state.word()], flag(state == stage.state));
        }
    }
}

/// The links to each broker, taken together.
pub(super) fn brokers<'a>(page: &mut Page, links: impl Iterator<Item = (&'a str, LinkCounts)>) {
    let mut brokers: BTreeMap<&str, LinkCounts> = BTreeMap::new();
    for (broker, link) in links {
        let all = brokers.entry(broker).or_default();
        all.open += link.open;
        all.opened += link.opened;
        all.failed += link.failed;
        all.lost += link.lost;
        all.silent += link.silent;
        all.blocked += link.blocked;
    }
    for (broker, counts) in brokers {
        page.add(&family::BROKER_OPEN, &[broker], Value::Whole(counts.open));
        page.add(&family::BROKER_OPENED, &[broker], Value::Whole(counts.opened));
        page.add(&family::BROKER_FAILED, &[broker], Value::Whole(counts.failed));
        page.add(&family::BROKER_LOST, &[broker], Value::Whole(counts.lost));
        page.add(&family::BROKER_SILENT, &[broker], Value::Whole(counts.silent));
        page.add(&family::BROKER_BLOCKED, &[broker], Value::Real(counts.blocked.as_secs_f64()));
    }
}

/// What the last look at the disk found.
pub(super) fn sample(page: &mut Page, sample: &Sample) {
    page.add(&family::LOOKED, &[], seconds(sample.at));
    for depth in &sample.queues {
        let labels = [depth.channel.name(), depth.queue.as_str()];
        page.add(&family::QUEUED, &labels, Value::Whole(depth.messages));
        page.add(&family::OLDEST, &labels, age(depth.oldest));
    }
    for record in &sample.records {
        let labels = [record.channel.name()];
        match record.channel.direction() {
            Direction::Outbound => {
                page.add(&family::AWAITED, &labels, Value::Whole(record.retained.messages));
                page.add(&family::AWAITED_AGE, &labels, age(record.retained.oldest));
                page.add(&family::OVERDUE, &labels, Value::Whole(record.retained.overdue));
            }
            Direction::Inbound => {
                page.add(&family::OWED, &labels, Value::Whole(record.owed));
                page.add(&family::GAPS, &labels, Value::Whole(record.missing));
            }
        }
    }
    for place in &sample.places {
        let directory = place.directory.to_string_lossy();
        page.add(&family::JOURNAL, &[&directory], Value::Whole(place.journal));
        if let Some(free) = place.free {
            page.add(&family::FREE, &[&directory], Value::Whole(free));
        }
        page.add(&family::MIN_FREE, &[&directory], Value::Whole(place.min_free));
    }
}

/// Our certificates, those of recipients, and revocation lists.
pub(super) fn certificates(page: &mut Page, view: &View) {
    for (purpose, file, ends) in view.registry.certificates() {
        page.add(&family::CERTIFICATE, &[purpose, &file.to_string_lossy()], until(ends));
    }
    for (file, next) in view.registry.crls() {
        page.add(&family::CRL, &[&file.to_string_lossy()], until(next));
    }
}
