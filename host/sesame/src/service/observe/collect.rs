//! Makes the page: puts an overview, and the distributions that it does not hold, under the names of the metrics.

use std::time::Duration;

use observe::overview::{Broker, Channel as Shown, Direction, Expiry, Overview, WatchedFile};
use observe::{Distribution, Page, Value};

use super::families as family;
use super::read::CRL;
use crate::channel::{Meters, Step};
use message::Fate;
use plugins::{Figures, Limit, Pipeline, PluginState};

/// Milliseconds in seconds.
#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 have less than 53 bits")]
fn seconds(milliseconds: u64) -> Value {
    Value::Real(milliseconds as f64 / 1000.0)
}

/// How long before `now` a time was, in seconds; 0 for none.
fn age(at: Option<u64>, now: u64) -> Value {
    seconds(at.map_or(0, |at| now.saturating_sub(at)))
}

/// Seconds until a time, below zero where it is past.
fn until(at: u64, now: u64) -> Value {
    match (seconds(at.saturating_sub(now)), seconds(now.saturating_sub(at))) {
        (Value::Real(rest), Value::Real(past)) => Value::Real(rest - past),
        (rest, _) => rest,
    }
}

const fn flag(set: bool) -> Value {
    Value::Whole(set as u64)
}

/// The word for a direction.
const fn word(direction: Direction) -> &'static str {
    match direction {
        Direction::Send => "send",
        Direction::Receive => "receive",
    }
}

/// What is known of the process.
pub(super) fn process(page: &mut Page, overview: &Overview) {
    page.add(&family::BUILD, &[&overview.version], Value::Fact);
    page.add(&family::STARTED, &[], seconds(overview.started));
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

/// The children that open messages.
pub(super) fn openers(page: &mut Page, (running, crashes): (usize, u64)) {
    page.add(&family::OPENERS, &[], Value::Whole(running as u64));
    page.add(&family::OPENER_CRASHES, &[], Value::Whole(crashes));
}

/// Resident memory, in bytes.
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    pages.checked_mul(rustix::param::page_size() as u64)
}

/// The counters of one channel.
pub(super) fn channel(page: &mut Page, channel: &Shown, meters: &Meters, now: u64) {
    let (name, direction) = (channel.name.as_str(), word(channel.direction));
    page.add(&family::READY, &[name, direction], flag(channel.out_of_service.is_none()));
    let rejected = Fate::Rejected.word();
    for (fate, count) in channel.fates.iter().filter(|(fate, _)| *fate != rejected) {
        page.add(&family::MESSAGES, &[name, direction, fate, ""], Value::Whole(*count));
    }
    for (code, count) in &channel.rejections {
        page.add(&family::MESSAGES, &[name, direction, rejected, code], Value::Whole(*count));
    }
    let way =
        if channel.direction == Direction::Send { message::Direction::Outbound } else { message::Direction::Inbound };
    for step in Step::of(way) {
        if let Some(meter) = meters.step(*step) {
            page.add(&family::STEP, &[name, step.word()], Value::Times(meter.times.distribution()));
            page.add(&family::STEP_BYTES, &[name, step.word()], Value::Whole(meter.bytes.get()));
        }
    }
    page.add(&family::IN_FLIGHT, &[name], Value::Whole(channel.in_flight));
    page.add(&family::PAUSED, &[name], flag(channel.paused.is_some()));
    match channel.direction {
        Direction::Send => page.add(&family::AGE, &[name], Value::Times(meters.ages.distribution())),
        Direction::Receive => page.add(&family::REDELIVERIES, &[name], Value::Whole(channel.redeliveries)),
    }
    for signer in &channel.signers {
        page.add(&family::SIGNER_LAST, &[name, &signer.name], seconds(signer.last));
        page.add(&family::SIGNER_AGE, &[name, &signer.name], age(Some(signer.last), now));
    }
}

/// The plugins of a channel.
pub(super) fn plugins(page: &mut Page, channel: &Shown, pipeline: &Pipeline) {
    let name = channel.name.as_str();
    for plugin in &channel.plugins {
        let answered = plugin.calls.saturating_sub(plugin.rejects + plugin.retries + plugin.errors);
        for (outcome, count) in
            [("answered", answered), ("rejected", plugin.rejects), ("retry", plugin.retries), ("failed", plugin.errors)]
        {
            page.add(&family::PLUGIN_CALLS, &[name, &plugin.name, outcome], Value::Whole(count));
        }
        for state in PluginState::ALL {
            let labels = [name, &plugin.name, state.word()];
            page.add(&family::PLUGIN_STATE, &labels, flag(state.word() == plugin.state));
        }
    }
    for shadow in pipeline.shadows() {
        let (plugin, figures) = (shadow.stage.name, &shadow.stage.figures);
        let same = figures.calls.saturating_sub(figures.errors + shadow.differences);
        for (outcome, count) in [
            ("same", same),
            ("differs", shadow.differences),
            ("failed", figures.errors),
            ("passed-over", shadow.passed_over),
        ] {
            page.add(&family::PLUGIN_SHADOW, &[name, plugin, outcome], Value::Whole(count));
        }
    }
    for stage in pipeline.stages() {
        let (plugin, figures) = (stage.name, &stage.figures);
        for (limit, count) in Limit::ALL.iter().zip(figures.limits) {
            page.add(&family::PLUGIN_LIMITS, &[name, plugin, limit.word()], Value::Whole(count));
        }
        let buckets = Figures::BOUNDS.iter().map(Duration::as_secs_f64).zip(figures.times).collect();
        let times = Distribution { sum: figures.time.as_secs_f64(), count: figures.calls, buckets };
        page.add(&family::PLUGIN_TIME, &[name, plugin], Value::Times(times));
    }
}

/// The links to each broker, taken together.
pub(super) fn brokers(page: &mut Page, brokers: &[Broker]) {
    for broker in brokers {
        let name = [broker.name.as_str()];
        page.add(&family::BROKER_CONNECTING, &name, Value::Whole(broker.connecting));
        page.add(&family::BROKER_OPEN, &name, Value::Whole(broker.sessions));
        page.add(&family::BROKER_OPENED, &name, Value::Whole(broker.opened));
        page.add(&family::BROKER_FAILED, &name, Value::Whole(broker.failed));
        page.add(&family::BROKER_LOST, &name, Value::Whole(broker.lost));
        page.add(&family::BROKER_SILENT, &name, Value::Whole(broker.silent));
        page.add(&family::BROKER_BLOCKED, &name, Value::Real(broker.blocked / 1000.0));
    }
}

/// What the last look at the disk found.
pub(super) fn sample(page: &mut Page, overview: &Overview) {
    let Some(looked_at) = overview.looked_at else { return };
    page.add(&family::LOOKED, &[], seconds(looked_at));
    for channel in &overview.channels {
        for queue in &channel.queues {
            let labels = [channel.name.as_str(), queue.name.as_str()];
            page.add(&family::QUEUED, &labels, Value::Whole(queue.messages));
            page.add(&family::OLDEST, &labels, age(queue.oldest, overview.at));
        }
        let Some(known) = &channel.acknowledgements else { continue };
        let labels = [channel.name.as_str()];
        match channel.direction {
            Direction::Send => {
                page.add(&family::AWAITED, &labels, Value::Whole(known.awaited));
                page.add(&family::AWAITED_AGE, &labels, age(known.oldest, overview.at));
                page.add(&family::OVERDUE, &labels, Value::Whole(known.overdue));
            }
            Direction::Receive => {
                page.add(&family::OWED, &labels, Value::Whole(known.owed));
                page.add(&family::GAPS, &labels, Value::Whole(known.missing));
            }
        }
    }
    for place in &overview.places {
        let directory = [place.directory.as_str()];
        page.add(&family::JOURNAL, &directory, Value::Whole(place.journal));
        if let Some(free) = place.free {
            page.add(&family::FREE, &directory, Value::Whole(free));
        }
        page.add(&family::MIN_FREE, &directory, Value::Whole(place.min_free));
    }
}

/// Files that are read again when they change.
pub(super) fn files(page: &mut Page, files: &[WatchedFile]) {
    for WatchedFile { purpose, file, fault } in files {
        page.add(&family::RELOADED, &[purpose, file], flag(fault.is_none()));
    }
}

/// Our certificates, those of recipients, and revocation lists.
pub(super) fn expiries(page: &mut Page, expiries: &[Expiry], now: u64) {
    for Expiry { purpose, file, ends } in expiries {
        let ends = until(*ends, now);
        if purpose == CRL {
            page.add(&family::CRL, &[file], ends);
        } else {
            page.add(&family::CERTIFICATE, &[purpose, file], ends);
        }
    }
}
