//! Reads every counter of a running service into an [`Overview`], which the metrics are made of, too.

use std::time::{Duration, Instant, SystemTime};

use observe::overview::{
    Acknowledgements, Broker, Channel as Shown, Direction as Way, Expiry, Overview, Place, Plugin, Queue, Signer, Step,
};

use super::View;
use super::sample::Sample;
use crate::channel::{self, Channel, Meters, milliseconds};
use message::{Direction, Fate};
use plugins::{Pipeline, PluginState, StageInfo};
use transport::LinkCounts;

/// The signer of those that are counted together.
pub(super) const OTHER: &str = "other";

fn since_1970(at: SystemTime) -> u64 {
    milliseconds(at)
}

fn in_milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Everything that is known now; troubles are found in it later.
pub(super) fn overview(started: SystemTime, view: Option<&View>, sample: Option<&Sample>) -> Overview {
    let mut overview = Overview {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        process: std::process::id(),
        started: since_1970(started),
        at: since_1970(SystemTime::now()),
        looked_at: sample.map(|sample| since_1970(sample.at)),
        ..Overview::default()
    };
    if let Some(view) = view {
        overview.channels = channels(view, sample);
        overview.brokers = view.registry.links().into_iter().map(broker).collect();
        overview.expiries = expiries(view);
    }
    overview.places = sample.map(|sample| sample.places.iter().map(place).collect()).unwrap_or_default();
    overview
}

fn channels(view: &View, sample: Option<&Sample>) -> Vec<Shown> {
    let senders = view.senders.iter().map(|sender| {
        let pipeline = sender.pipeline().load();
        let shown = channel((sender.channel(), sender.meters()), &pipeline, sender.out_of_service());
        let shown = Shown { paused: sender.gate().why().or(shown.paused), unreadable: sender.unreadable(), ..shown };
        let settings = view.config.senders.get(sender.channel().name());
        let named = settings.map(|named| (&*named.broker, named.destination.to_string(), &named.queue));
        (sender.channel(), shown, named)
    });
    let receivers = view.receivers.iter().map(|receiver| {
        let pipeline = receiver.pipeline().load();
        let shown = channel((receiver.channel(), receiver.meters()), &pipeline, receiver.out_of_service());
        let shown = Shown { paused: receiver.gate().why().or(shown.paused), ..shown };
        let settings = view.config.receivers.get(receiver.channel().name());
        let named = settings.map(|named| (&*named.broker, named.destination.to_string(), &named.spool));
        (receiver.channel(), shown, named)
    });
    let all = senders.chain(receivers).map(|(of, mut shown, named)| {
        if let Some((broker, destination, directory)) = named {
            broker.clone_into(&mut shown.broker);
            shown.destination = destination;
            shown.directory = directory.to_string_lossy().into_owned();
        }
        if let Some(sample) = sample {
            add_sample(&mut shown, of, sample);
        }
        shown
    });
    all.collect()
}

/// What was counted of a channel and its plugins, and why it is not in service.
pub(super) fn channel((of, meters): (&Channel, &Meters), pipeline: &Pipeline, out_of_service: Option<String>) -> Shown {
    let mut shown = Shown {
        name: of.name().to_owned(),
        direction: way(of.direction()),
        out_of_service,
        paused: pipeline.pause(Instant::now()).map(|pause| pause.error.to_string()),
        in_flight: meters.in_flight.get(),
        redeliveries: meters.redelivered.get(),
        steps: channel::Step::of(of.direction()).iter().filter_map(|step| self::step(*step, meters)).collect(),
        plugins: pipeline.stages().map(|stage| plugin(&stage)).collect(),
        ..Shown::default()
    };
    for (fate, code, count) in meters.fates(of.direction()) {
        *shown.fates.entry(fate.word().to_owned()).or_default() += count;
        if !code.is_empty() {
            shown.rejections.insert(code.to_owned(), count);
        }
    }
    shown.fates.entry(Fate::Rejected.word().to_owned()).or_default();
    if of.direction() == Direction::Inbound {
        shown.signers = signers(meters);
    }
    shown
}

const fn way(direction: Direction) -> Way {
    match direction {
        Direction::Outbound => Way::Send,
        Direction::Inbound => Way::Receive,
    }
}

fn step(step: channel::Step, meters: &Meters) -> Option<Step> {
    let meter = meters.step(step)?;
    let times = meter.times.distribution();
    let (name, bytes) = (step.word().to_owned(), meter.bytes.get());
    Some(Step { name, count: times.count, time: times.sum * 1000.0, bytes })
}

/// When each signer was last heard, the longest silent first.
fn signers(meters: &Meters) -> Vec<Signer> {
    let (each, others) = meters.signers();
    let others = others.map(|at| (OTHER.to_owned(), at));
    let all = each.into_iter().chain(others).map(|(name, at)| Signer { name, last: since_1970(at) });
    let mut all: Vec<Signer> = all.collect();
    all.sort_by_key(|signer| signer.last);
    all
}

fn plugin(stage: &StageInfo<'_>) -> Plugin {
    let figures = &stage.figures;
    let fault = stage.reason.filter(|_| !stage.state.is_ended() && stage.state != PluginState::Compiling);
    Plugin {
        name: stage.name.to_owned(),
        version: stage.ready.as_ref().map(|ready| ready.description.version.clone()),
        state: stage.state.word().to_owned(),
        fault: fault.map(str::to_owned),
        calls: figures.calls,
        rejects: figures.rejects,
        retries: figures.retries,
        errors: figures.errors,
        p50: figures.p50.map(in_milliseconds),
        p99: figures.p99.map(in_milliseconds),
    }
}

/// The links to a broker, taken together.
fn broker((name, links): (String, LinkCounts)) -> Broker {
    Broker {
        name,
        connecting: links.connecting,
        sessions: links.open,
        opened: links.opened,
        failed: links.failed,
        lost: links.lost,
        silent: links.silent,
        blocked: in_milliseconds(links.blocked),
    }
}

/// Our certificates, those of recipients, and revocation lists.
fn expiries(view: &View) -> Vec<Expiry> {
    let certificates = view.registry.certificates().into_iter();
    let crls = view.registry.crls().into_iter().map(|(file, next)| (CRL, file, next));
    let all = certificates.chain(crls).map(|(purpose, file, ends)| Expiry {
        purpose: purpose.to_owned(),
        file: file.to_string_lossy().into_owned(),
        ends: since_1970(ends),
    });
    all.collect()
}

/// The purpose of a revocation list.
pub(super) const CRL: &str = "crl";

/// Adds what the last look at the disk found of a channel.
fn add_sample(shown: &mut Shown, of: &Channel, sample: &Sample) {
    let queues = sample.queues.iter().filter(|depth| depth.channel == *of);
    shown.queues = queues
        .map(|depth| Queue {
            name: depth.queue.clone(),
            messages: depth.messages,
            oldest: depth.oldest.map(since_1970),
        })
        .collect();
    let record = sample.records.iter().find(|record| record.channel == *of);
    shown.acknowledgements = record.map(|record| Acknowledgements {
        awaited: record.retained.messages,
        oldest: record.retained.oldest.map(since_1970),
        overdue: record.retained.overdue,
        owed: record.owed,
        missing: record.missing,
    });
}

fn place(place: &super::sample::Place) -> Place {
    Place {
        directory: place.directory.to_string_lossy().into_owned(),
        journal: place.journal,
        free: place.free,
        min_free: place.min_free,
    }
}
