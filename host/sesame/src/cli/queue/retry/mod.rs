//! `sesame queue retry`: tries messages in reject or deferred again.
//!
//! | channel | queue | what happens |
//! |---|---|---|
//! | sender | reject | its content goes back into outgoing as a new element with a new id; then the reject element is removed |
//! | receiver | deferred | it is due now; the running receiver, or the next one to start, tries it |
//! | receiver | reject | it is decided again from its field `sealed`, with the current lists, CRLs and plugins |
//!
//! # Beside a running Sesame
//! This process first decides about a reject element of a receiver, which stays where it is if it would be rejected again.
//! Otherwise, if no Sesame holds the spool, this process takes the lock, commits the new decision through the commit engine
//! and then removes the element.
//!
//! If a Sesame holds the spool, the element is handed over to it: one durable rename from `reject/` to `deferred/`, and then
//! a row in the journal that makes it due now. The running receiver finds the row within a second and decides about the
//! message like any deferred one. This is safe because nothing is copied and each step leaves the message in exactly one
//! place. After a crash between the two steps it is in `deferred/` without a row and stays there until
//! `sesame queue retry --from deferred` writes the row. The other order would be wrong: the receiver takes a row without an
//! element for a purged one and forgets it. Nothing on the disk is trusted: the receiver opens `sealed` again. `--again`
//! makes the journal forget that the message was stored; the receiver then stores it again.
//!
//! A message that the journal knows as stored is not tried without `--again`: it would be a duplicate.

mod receiver;

use std::collections::HashMap;
use std::time::SystemTime;

use super::super::{Aside, EXIT_DONE, EXIT_FAILED, QueueRetry, output};
use super::{Place, aside, elements, open, say, storage};
use crate::channel::JOURNAL;
use crate::config::{self, Config};
use crate::retry::{Retried, send_again};
use spool::journal::{DeferredElement, Journal};
use spool::{ElementPath, Queue};

use receiver::Judge;

pub(super) fn run(config: &Config, arguments: &QueueRetry) -> anyhow::Result<u8> {
    let place = match aside(config, &arguments.channel, arguments.from) {
        Ok(place) => place,
        Err(status) => return Ok(status),
    };
    let Some(queue) = open(&place, &storage(config, &place.channel))? else {
        output::line(&format!("nothing to retry: {} does not exist yet", place.path.display()));
        return Ok(if arguments.elements.is_empty() { EXIT_DONE } else { EXIT_FAILED });
    };
    let (chosen, wrong) = elements(&place, &queue, &arguments.elements);
    let kept = if chosen.is_empty() {
        if wrong == 0 {
            output::line(&format!("nothing to retry: {} is empty", place.path.display()));
        }
        0
    } else if let Some(sender) = config.senders.get(&place.channel) {
        each(&place, &chosen, |element| Ok(send_again(sender, &queue, element)?))
    } else if arguments.from == Aside::Deferred {
        let deferred = Deferred::open(config, &place)?;
        each(&place, &chosen, |element| deferred.due_now(config, &place, &queue, element))
    } else {
        let judge = Judge::new(config, &place.channel)?;
        let desk = judge.desk()?;
        each(&place, &chosen, |element| judge.retry(&desk, &queue, element, arguments.again))
    };
    Ok(if wrong + kept == 0 { EXIT_DONE } else { EXIT_FAILED })
}

/// Tries each element, prints the result, and counts those that stay where they are.
fn each(place: &Place, chosen: &[ElementPath], retry: impl Fn(&ElementPath) -> anyhow::Result<Retried>) -> usize {
    let mut kept = 0;
    for element in chosen {
        let name = format!("{}/{element}", place.name);
        match retry(element) {
            Ok(Retried::Done(what)) => output::line(&format!("{name}  {what}")),
            Ok(Retried::Kept(why)) => {
                kept += 1;
                output::line(&format!("{name}  stays: {why}"));
            }
            Err(error) => {
                kept += 1;
                say(&format!("sesame: {name}: {error:#}"));
            }
        }
    }
    kept
}

/// The rows of a deferred queue.
struct Deferred {
    journal: Journal,
    rows: HashMap<String, DeferredElement>,
}

impl Deferred {
    fn open(config: &Config, place: &Place) -> anyhow::Result<Self> {
        let spool = config.receivers.get(&place.channel).map(|receiver| receiver.spool.clone()).unwrap_or_default();
        let journal = Journal::open(&spool.join(JOURNAL))?;
        let rows = journal.deferred(&place.channel)?;
        Ok(Self { journal, rows: rows.into_iter().map(|row| (row.element.clone(), row)).collect() })
    }

    /// Makes a deferred message due now. If the journal does not know it, its row is written.
    fn due_now(&self, config: &Config, place: &Place, queue: &Queue, element: &ElementPath) -> anyhow::Result<Retried> {
        let name = format!("deferred/{element}");
        let now = SystemTime::now();
        let Some(row) = self.rows.get(&name) else {
            if self.belongs_to_another(config, place, &name)? {
                return Ok(Retried::Kept("it belongs to another channel of this spool".to_owned()));
            }
            let judge = Judge::new(config, &place.channel)?;
            return judge.note(&self.journal, queue, element);
        };
        self.journal.defer_again(&place.channel, &name, now, row.attempt)?;
        let mut text = "is due now".to_owned();
        let ordered = config.receivers.get(&place.channel).map(|receiver| receiver.deferred_order);
        let earlier = |other: &&DeferredElement| {
            other.signer == row.signer && (other.received, &other.element) < (row.received, &row.element)
        };
        if ordered == Some(config::DeferredOrder::Signer)
            && let Some(first) = self.rows.values().find(earlier)
        {
            text.push_str(&format!("; it waits behind {}, an earlier message of the same signer", first.element));
        }
        Ok(Retried::Done(text))
    }

    fn belongs_to_another(&self, config: &Config, place: &Place, name: &str) -> anyhow::Result<bool> {
        let Some(receiver) = config.receivers.get(&place.channel) else { return Ok(false) };
        for (other, _) in config.receivers.iter().filter(|(_, other)| other.spool == receiver.spool) {
            if *other != place.channel && self.journal.deferred(other)?.iter().any(|row| row.element == name) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
