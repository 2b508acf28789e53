//! Whether a RECEIPT means that a queue holds the message.
//!
//! RabbitMQ confirms a SEND to a queue that is not there: to `/amq/queue/NAME` always, to `/queue/NAME` once the queue was
//! deleted while the session is open. So what RabbitMQ is sent is proved twice, each time on a connection beside the
//! session (see `stomp::rabbitmq`): the queue is there before the first SEND of a session, and it is there after the RECEIPTs
//! that are to count. What is between the two was stored, unless the queue was deleted and declared again in between, which
//! deletes everything in it.
//!
//! ActiveMQ makes a missing queue again for each SEND: its RECEIPT is proof enough.
//!
//! # Limits
//! A second look is made at the earliest five seconds after the last one, at the end of a session and when many messages
//! wait for it. Where RabbitMQ does not answer for a `/queue/` destination (this user may not read from it, or may not have a
//! second connection), a warning says so and the RECEIPT counts, for the SEND declared the queue.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use message::locked;
use tokio::task::JoinHandle;

use super::{Connected, Destination, Link, Proof, QueueAnswer};

/// The shortest time between two looks at the queues of a session.
const PAUSE: Duration = Duration::from_secs(5);
/// Messages that may wait for a look before it is made at once.
const IMPATIENT: usize = 256;
/// Messages that may wait for a look; no more are sent before it.
const MOST: usize = 1024;
/// How long a fault of a destination is remembered.
const BELIEVED: Duration = Duration::from_secs(5);
/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the last one may take.
const LAST_PATIENCE: Duration = Duration::from_secs(5);
/// Looks that may fail at the end of a session.
const LAST_LOOKS: u32 = 2;

/// The proof that queues hold all parts of a message. Nothing else makes one:
///
/// ```compile_fail
/// let forged = sesame_transport::Held(());
/// ```
#[derive(Debug)]
pub struct Held(());

/// A message with all its receipts.
pub trait Confirmed {
    /// The destinations, by [`Proofs::needs`], for which a receipt is no proof that a queue holds the message.
    fn needs(&self) -> &[Destination];
}

/// What is done with news of a destination that concern all messages for it, such as logging them.
pub trait Notices: fmt::Debug + Send + Sync {
    /// Nothing is sent to the destination for a while. Called once while that lasts.
    fn refused(&self, destination: &Destination, broker: &str, why: &str);
    /// The broker does not answer for a `/queue/` destination, so that receipts count. Called once for each destination and
    /// broker.
    fn unproved(&self, destination: &Destination, broker: &str, why: &str);
    /// Confirmed messages wait, since the broker does not answer now.
    fn unclear(&self, destination: &Destination, broker: &str, why: &str);
    /// No queue may hold so many confirmed messages.
    fn gone(&self, destination: &Destination, broker: &str, messages: usize, why: &str);
}

/// The result of the first check of a destination.
#[derive(Debug)]
enum Checked {
    /// The queue is there.
    Fit,
    /// The broker cannot be asked: its RECEIPT counts as it is.
    Unasked,
    Unfit {
        why: String,
        until: Instant,
    },
}

/// A second look in progress.
#[derive(Debug)]
struct Asked<T> {
    batch: Vec<T>,
    answer: JoinHandle<Vec<(Destination, QueueAnswer)>>,
}

/// The result of a second look.
#[derive(Debug)]
pub enum Look<T> {
    /// These are held; the rest, if any, waits for the next look.
    Proved(Vec<(T, Held)>),
    /// These are held; of the rest a queue is gone, and the session with it.
    Gone(Vec<(T, Held)>),
}

/// Asks the broker about the queues of destinations, beside the session.
#[derive(Debug)]
pub struct Queues {
    link: Arc<Link>,
    notices: Arc<dyn Notices>,
    /// Destinations and brokers for which it was noticed that their queue may be deleted unnoticed.
    warned: Mutex<HashSet<String>>,
}

/// What is known of the destinations of one session, and the messages that wait for a look at them.
#[derive(Debug)]
pub struct Proofs<T> {
    queues: Arc<Queues>,
    link: Connected,
    known: HashMap<Destination, Checked>,
    waiting: Vec<T>,
    asked: Option<Asked<T>>,
    last: Option<Instant>,
    failed: u32,
}

impl<T: Confirmed> Proofs<T> {
    /// For the session `link`, of which nothing is known yet.
    #[must_use]
    pub fn new(queues: &Arc<Queues>, link: &Connected) -> Self {
        let (queues, link) = (Arc::clone(queues), link.clone());
        Self { queues, link, known: HashMap::new(), waiting: Vec::new(), asked: None, last: None, failed: 0 }
    }

    fn proof(&self, destination: &Destination) -> Proof {
        self.link.session.proof(destination)
    }

    /// Those of the destinations of a message that the broker is asked about.
    fn asked_about<'a>(&self, all: impl IntoIterator<Item = &'a Destination>) -> BTreeSet<&'a Destination> {
        all.into_iter().filter(|destination| self.proof(destination) != Proof::Receipt).collect()
    }

    /// Those of the destinations of a message, once it was admitted, that need a second look.
    pub fn needs<'a>(&self, all: impl IntoIterator<Item = &'a Destination>) -> Vec<Destination> {
        let asked = self.asked_about(all).into_iter();
        asked.filter(|one| !matches!(self.known.get(one), Some(Checked::Unasked))).cloned().collect()
    }

    /// Makes sure that every destination of a message holds what it is sent.
    ///
    /// # Errors
    /// What is wrong with one, and what to do. It is noticed when it is detected, not for every message.
    pub async fn admit<'a>(&mut self, all: impl IntoIterator<Item = &'a Destination>) -> Result<(), String> {
        let all: BTreeSet<&Destination> = all.into_iter().collect();
        for destination in &all {
            if let Some(Checked::Unfit { why, until }) = self.known.get(*destination)
                && *until > Instant::now()
            {
                return Err(why.clone());
            }
        }
        for destination in self.asked_about(all) {
            match self.known.get(destination) {
                Some(Checked::Fit | Checked::Unasked) => {}
                _ => self.first_look(destination.clone()).await?,
            }
        }
        Ok(())
    }

    async fn first_look(&mut self, destination: Destination) -> Result<(), String> {
        match self.queues.link.first_look(&self.link, &destination).await {
            Ok(FirstLook::Holds) => {
                self.known.insert(destination, Checked::Fit);
                Ok(())
            }
            Ok(FirstLook::Unasked(why)) => {
                self.queues.warn_of_unproved(&destination, &self.link.broker, &why);
                self.known.insert(destination, Checked::Unasked);
                Ok(())
            }
            Err(why) => {
                self.refused(&destination, &why);
                Err(why)
            }
        }
    }

    /// Nothing is sent to a destination for a while. Noticed once while that lasts.
    pub fn refused(&mut self, destination: &Destination, why: &str) {
        let now = Instant::now();
        let known = matches!(self.known.get(destination), Some(Checked::Unfit { until, .. }) if *until > now);
        if known {
            return;
        }
        self.queues.notices.refused(destination, &self.link.broker, why);
        self.known.insert(destination.clone(), Checked::Unfit { why: why.to_owned(), until: now + BELIEVED });
    }

    /// Takes a message with all its receipts; gives it back where the receipts are proof enough.
    pub fn take(&mut self, done: T) -> Option<(T, Held)> {
        if done.needs().is_empty() {
            return Some((done, Held(())));
        }
        self.waiting.push(done);
        None
    }

    /// Whether no message waits for a look.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.asked.is_none() && (self.waiting.is_empty() || self.failed >= LAST_LOOKS)
    }

    /// Whether more messages may be sent.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.waiting.len() + self.asked.as_ref().map_or(0, |asked| asked.batch.len()) < MOST
    }

    /// When the next look is due; `None` while there is none to make. `last` says that no more receipts are to come.
    fn due(&self, last: bool) -> Option<Instant> {
        if self.waiting.is_empty() || self.asked.is_some() || (last && self.failed >= LAST_LOOKS) {
            return None;
        }
        let hurry = self.failed == 0 && (last || self.waiting.len() >= IMPATIENT);
        let earliest = self.last.filter(|_| !hurry).map(|last| last + PAUSE);
        Some(earliest.unwrap_or_else(Instant::now))
    }

    /// Makes the next look when it is due, and waits for its answer; `last` says that no more receipts are to come, so that
    /// there is nothing to wait for. Cancel-safe.
    pub async fn next(&mut self, last: bool) -> Look<T> {
        if let Some(due) = self.due(last) {
            tokio::time::sleep_until(due.into()).await;
            self.ask();
        }
        let Some(asked) = &mut self.asked else { return std::future::pending().await };
        let found = (&mut asked.answer).await.unwrap_or_default();
        self.answered(found)
    }

    fn ask(&mut self) {
        let batch = std::mem::take(&mut self.waiting);
        let destinations: BTreeSet<Destination> = batch.iter().flat_map(|done| done.needs().iter().cloned()).collect();
        let (queues, link) = (Arc::clone(&self.queues), self.link.clone());
        let answer = tokio::spawn(async move {
            let mut found = Vec::new();
            for destination in destinations {
                // Without declaring what is gone.
                let state = queues.link.look(&link, &destination, false).await;
                found.push((destination, state));
            }
            found
        });
        self.asked = Some(Asked { batch, answer });
    }

    fn answered(&mut self, found: Vec<(Destination, QueueAnswer)>) -> Look<T> {
        let batch = self.asked.take().map(|asked| asked.batch).unwrap_or_default();
        self.last = Some(Instant::now());
        let (mut gone, mut unclear) = (false, found.is_empty());
        let mut fit = BTreeSet::new();
        for (destination, state) in found {
            let lenient = self.proof(&destination) == Proof::QueueOrReceipt;
            match state {
                QueueAnswer::There => drop(fit.insert(destination)),
                QueueAnswer::Denied(why) if lenient => {
                    self.queues.warn_of_unproved(&destination, &self.link.broker, &why);
                    fit.insert(destination);
                }
                QueueAnswer::Denied(why) | QueueAnswer::Unclear(why) => {
                    unclear = true;
                    self.queues.notices.unclear(&destination, &self.link.broker, &why);
                }
                QueueAnswer::Wrong(why) => {
                    gone = true;
                    let messages = batch.iter().filter(|done| done.needs().contains(&destination)).count();
                    self.queues.notices.gone(&destination, &self.link.broker, messages, &why);
                }
            }
        }
        self.failed = if unclear { self.failed + 1 } else { 0 };
        let (proved, rest): (Vec<T>, Vec<T>) =
            batch.into_iter().partition(|done| done.needs().iter().all(|needed| fit.contains(needed)));
        let proved = proved.into_iter().map(|done| (done, Held(()))).collect();
        if gone {
            return Look::Gone(proved);
        }
        self.waiting.extend(rest);
        Look::Proved(proved)
    }

    /// The last look of a session that is over, which its broker may be too; what it does not prove is sent again.
    pub async fn finish(&mut self) -> Vec<(T, Held)> {
        self.failed = 0;
        let mut proved = Vec::new();
        let looks = async {
            while !self.is_idle() {
                let (Look::Proved(some) | Look::Gone(some)) = self.next(true).await;
                proved.extend(some);
                if self.failed > 0 {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(LAST_PATIENCE, looks).await;
        self.waiting.clear();
        proved
    }
}

/// Why a destination may be sent to.
#[derive(Debug)]
pub enum FirstLook {
    /// The broker has its queue, or none is needed.
    Holds,
    /// The broker cannot be asked, for this reason; its receipt counts as it is.
    Unasked(String),
}

impl Link {
    /// Whether `destination` holds what it is sent, before the first message. Its queue may be declared by that.
    ///
    /// # Errors
    /// What is wrong with the destination, and what to do.
    pub async fn first_look(&self, session: &Connected, destination: &Destination) -> Result<FirstLook, String> {
        let lenient = match session.session.proof(destination) {
            Proof::Receipt => return Ok(FirstLook::Holds),
            Proof::QueueOrReceipt => true,
            Proof::Queue => false,
        };
        match self.look(session, destination, true).await {
            QueueAnswer::There => Ok(FirstLook::Holds),
            QueueAnswer::Denied(why) | QueueAnswer::Unclear(why) if lenient => Ok(FirstLook::Unasked(why)),
            QueueAnswer::Denied(why) | QueueAnswer::Unclear(why) | QueueAnswer::Wrong(why) => Err(why),
        }
    }

    /// Asks for the queue of `destination`, for a while.
    async fn look(&self, session: &Connected, destination: &Destination, declare: bool) -> QueueAnswer {
        let asked = tokio::time::timeout(PATIENCE, self.ask(session, destination, declare)).await;
        asked.unwrap_or_else(|_| QueueAnswer::Unclear("the broker does not answer".to_owned()))
    }
}

impl Queues {
    /// Those of the broker of `link`.
    #[must_use]
    pub fn new(link: Arc<Link>, notices: Arc<dyn Notices>) -> Self {
        Self { link, notices, warned: Mutex::default() }
    }

    fn warn_of_unproved(&self, destination: &Destination, broker: &str, why: &str) {
        if locked(&self.warned).insert(format!("{destination} {broker}")) {
            self.notices.unproved(destination, broker, why);
        }
    }
}
