//! What the steps of a sender share, and the steps made from it.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use smime::Sealing;
use spool::Outgoing;
use tokio::sync::Notify;
use transport::Link;

use super::backlog::Backlog;
use super::fitness::Fitness;
use super::postponed::Postponed;
use super::prepare::Preparation;
use super::report::Report;
use super::retention::Retention;
use super::settle::Settlement;
use super::supply::Supply;
use super::window::Window;
use crate::channel::{ActivePipeline, Channel, Gate, Meters, OpenSpool};
use crate::config;

/// What the steps of a sender share.
pub(super) struct Common {
    pub(super) channel: Channel,
    pub(super) settings: Arc<config::Sender>,
    pub(super) state: Arc<OpenSpool>,
    pub(super) pipeline: Arc<ActivePipeline>,
    pub(super) window: Arc<Mutex<Window>>,
    pub(super) wake: Arc<Notify>,
    pub(super) report: Arc<Report>,
    pub(super) retention: Option<Arc<Retention>>,
    pub(super) postponed: Arc<Postponed>,
}

impl Common {
    pub(super) fn backlog(&self, outgoing: Outgoing) -> Backlog {
        Backlog {
            channel: self.channel.clone(),
            outgoing,
            pipeline: Arc::clone(&self.pipeline),
            postponed: Arc::clone(&self.postponed),
            window: Arc::clone(&self.window),
            poll: self.settings.poll,
            unreadable: Mutex::default(),
        }
    }

    pub(super) fn preparation(
        &self,
        outgoing: Outgoing,
        link: &Arc<Link>,
        sealing: &Arc<Sealing>,
        meters: Arc<Meters>,
    ) -> Preparation {
        Preparation {
            channel: self.channel.clone(),
            settings: Arc::clone(&self.settings),
            pipeline: Arc::clone(&self.pipeline),
            outgoing,
            link: Arc::clone(link),
            state: Arc::clone(&self.state),
            retention: self.retention.clone(),
            sealing: Arc::clone(sealing),
            postponed: Arc::clone(&self.postponed),
            settling: AtomicBool::new(false),
            meters,
        }
    }

    pub(super) fn settlement(&self) -> Settlement {
        Settlement {
            channel: self.channel.clone(),
            reject: self.settings.reject.clone(),
            repetition: self.settings.repetition.clone(),
            fault: Mutex::default(),
            state: Arc::clone(&self.state),
            retention: self.retention.clone(),
            report: Arc::clone(&self.report),
            postponed: Arc::clone(&self.postponed),
            window: Arc::clone(&self.window),
            wake: Arc::clone(&self.wake),
        }
    }

    pub(super) fn supply(
        &self,
        (gate, fitness, backlog): (&Arc<Gate>, &Arc<Fitness>, &Arc<Backlog>),
        preparation: Preparation,
        settlement: &Arc<Settlement>,
        threads: usize,
    ) -> Supply {
        Supply {
            channel: self.channel.clone(),
            settings: Arc::clone(&self.settings),
            pipeline: Arc::clone(&self.pipeline),
            gate: Arc::clone(gate),
            fitness: Arc::clone(fitness),
            backlog: Arc::clone(backlog),
            preparation: Arc::new(preparation),
            settlement: Arc::clone(settlement),
            postponed: Arc::clone(&self.postponed),
            report: Arc::clone(&self.report),
            said_waiting: AtomicBool::new(true),
            wake: Arc::clone(&self.wake),
            threads,
        }
    }
}
