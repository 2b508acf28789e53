//! Sends the acknowledgements that a receiver owes: signed, up to a thousand to a message, and deleted from the journal once
//! the broker has confirmed them.
//!
//! A task of its own with a connection of its own, so that a broker that takes none keeps no message from being received.
//! What cannot be sent stays in the journal; a destination that is refused keeps no other from being served.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::channel::{Channel, OpenSpool, Waits, moment};
use crate::config;
use crate::shutdown::Shutdown;
use message::acknowledgement::{Acknowledgement, CONTENT_TYPE, MOST_BYTES, MOST_LINES};
use message::cause::chain;
use smime::{Peer, SealError, SealPolicy, Sealer, ToSeal};
use spool::journal::{JournalError, Owed};
use transport::{Connected, Destination, Identity, Link, Outbound, SendFailure};

/// How long acknowledgements are collected.
const COLLECT: Duration = Duration::from_secs(1);
/// How long a destination rests that was refused.
const REST: Duration = Duration::from_secs(60);
/// How often the same failure is logged.
const LOG_AGAIN: Duration = Duration::from_secs(600);
/// How long a connection is kept that nothing is sent on.
const IDLE: Duration = Duration::from_secs(60);
/// How long a DISCONNECT may take.
const DISCONNECT_GRACE: Duration = Duration::from_secs(2);

/// Sends the acknowledgements of one channel.
#[derive(Debug)]
pub(super) struct Acknowledger {
    pub(super) channel: Channel,
    pub(super) settings: Arc<config::Receiver>,
    pub(super) link: Link,
    pub(super) identity: Identity,
    pub(super) spool: Arc<OpenSpool>,
    pub(super) failures: Waits,
}

/// What is to be sent to one destination.
struct Batch {
    destination: Destination,
    last: i64,
    lines: Vec<Acknowledgement>,
}

/// Why a batch was not sent.
#[derive(Debug, thiserror::Error)]
enum NotSent {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error("{0}")]
    TooLarge(String),
    #[error("{0}")]
    NoQueue(String),
    #[error(transparent)]
    Broker(#[from] SendFailure),
    #[error("Sesame failed on it; please report it with the log")]
    Panicked,
}

/// What the task goes on with.
#[derive(Default)]
struct State {
    session: Option<Connected>,
    used: Option<Instant>,
    /// Destinations that were refused, and until when they rest.
    resting: Vec<(String, Instant)>,
    /// Destinations that keep what they are sent, as the broker of the session says.
    fit: HashSet<String>,
}

impl Acknowledger {
    /// Sends what is owed until a stop is asked for, and once more then.
    pub(super) async fn run(self: Arc<Self>, shutdown: Shutdown) {
        let mut state = State::default();
        loop {
            let last = shutdown.asked();
            tokio::select! {
                () = self.send_all(&mut state) => {}
                () = stopped_for(&shutdown, last) => {}
            }
            if last {
                break;
            }
            if let Some(session) = self.idle(&mut state) {
                session.session.disconnect(DISCONNECT_GRACE).await;
            }
            tokio::select! {
                () = tokio::time::sleep(COLLECT) => {}
                () = shutdown.draining() => {}
            }
        }
        if let Some(session) = state.session.take() {
            session.session.disconnect(DISCONNECT_GRACE).await;
        }
    }

    /// The connection, if it was not used for a while.
    fn idle(&self, state: &mut State) -> Option<Connected> {
        let idle = state.used.is_some_and(|used| used.elapsed() > IDLE);
        if idle { state.session.take() } else { None }
    }

    /// Sends all that is owed now.
    async fn send_all(&self, state: &mut State) {
        let now = Instant::now();
        state.resting.retain(|(_, until)| *until > now);
        let journal = Arc::clone(&self.spool.journal);
        let channel = self.channel.clone();
        let found = tokio::task::spawn_blocking(move || journal.owed_destinations(channel.name())).await;
        let destinations = match found {
            Ok(Ok(destinations)) => destinations,
            Ok(Err(error)) => return self.report("", &error.into()),
            Err(_) => return,
        };
        for destination in destinations {
            if state.resting.iter().any(|(resting, _)| *resting == destination) {
                continue;
            }
            let mut most = MOST_LINES;
            loop {
                match self.send_some(state, &destination, most).await {
                    // Less than a full message: the rest is collected.
                    Ok(sent) if sent < most => break,
                    Ok(_) => most = MOST_LINES,
                    Err(NotSent::TooLarge(_)) if most > 1 => most /= 2,
                    Err(error) => {
                        self.report(&destination, &error);
                        state.resting.push((destination, Instant::now() + REST));
                        // A broker may end the session over one destination; the others have a new one.
                        if matches!(error, NotSent::Broker(_))
                            && let Some(session) = state.session.take()
                        {
                            self.count_lost(&session).await;
                        }
                        break;
                    }
                }
            }
        }
    }

    /// Counts a session as lost if the broker or the network ended it.
    async fn count_lost(&self, session: &Connected) {
        if let Ok(reason) = tokio::time::timeout(DISCONNECT_GRACE, session.session.closed()).await {
            self.link.lost(&reason);
        }
    }

    /// Sends the oldest acknowledgements for a destination, at most `most`; returns how many.
    async fn send_some(&self, state: &mut State, destination: &str, most: usize) -> Result<usize, NotSent> {
        let Some(batch) = self.next(destination, most).await? else { return Ok(0) };
        let sent = batch.lines.len();
        let (to, last) = (batch.destination.clone(), batch.last);
        let identity = self.identity.clone();
        let sealed = tokio::task::spawn_blocking(move || seal(&identity, &batch.lines));
        let (id, body) = sealed.await.map_err(|_| NotSent::Panicked)??;
        let connected = match state.session.take() {
            Some(session) => session,
            None => {
                state.fit.clear();
                self.link.connect().await
            }
        };
        let session = state.session.insert(connected);
        if !state.fit.contains(destination) {
            self.link.first_look(session, &to).await.map_err(NotSent::NoQueue)?;
            state.fit.insert(destination.to_owned());
        }
        let message = Outbound { destination: to, id, headers: Vec::new(), body };
        if let Some(why) = session.session.too_large(&message) {
            return Err(NotSent::TooLarge(why));
        }
        let broker = Arc::clone(&session.broker);
        session.session.send(message).await?.await?;
        state.used = Some(Instant::now());
        self.link.served().await;
        let (journal, channel, name) = (Arc::clone(&self.spool.journal), self.channel.clone(), destination.to_owned());
        let paid = tokio::task::spawn_blocking(move || journal.paid(channel.name(), &name, last));
        paid.await.map_err(|_| NotSent::Panicked)??;
        tracing::info!(channel = %self.channel, destination, %broker, messages = sent, "acknowledgements sent");
        Ok(sent)
    }

    /// The oldest acknowledgements for a destination. Those for one that the configuration no longer has go nowhere.
    async fn next(&self, destination: &str, most: usize) -> Result<Option<Batch>, NotSent> {
        let known = self.settings.acknowledgements.values().find(|known| ***known == *destination).cloned();
        let (journal, channel, name) = (Arc::clone(&self.spool.journal), self.channel.clone(), destination.to_owned());
        let read = tokio::task::spawn_blocking(move || {
            let Some(destination) = known else {
                journal.paid(channel.name(), &name, i64::MAX)?;
                return Ok(None);
            };
            let owed = journal.owed(channel.name(), &name, most)?;
            let last = owed.last().map(|owed| owed.number);
            Ok(last.map(|last| Batch { destination, last, lines: owed.into_iter().map(line).collect() }))
        });
        read.await.map_err(|_| NotSent::Panicked)?.map_err(|error: JournalError| error.into())
    }

    fn report(&self, destination: &str, error: &NotSent) {
        let words = chain(error);
        if self.failures.is_due(&format!("{destination} {words}"), Instant::now(), LOG_AGAIN) {
            let destination = message::text::non_empty(destination);
            tracing::warn!(channel = %self.channel, destination, error = words, "acknowledgements not sent; they are kept and sent later");
        }
    }
}

/// Until a stop asks for everything to end at once; if `draining`, a moment after it was asked for at all.
async fn stopped_for(shutdown: &Shutdown, draining: bool) {
    if draining {
        tokio::time::sleep(DISCONNECT_GRACE).await;
    } else {
        shutdown.draining().await;
    }
}

fn line(owed: Owed) -> Acknowledgement {
    Acknowledgement { at: moment(owed.at), ..owed.acknowledgement }
}

/// Id and body of a signed message with these acknowledgements.
fn seal(identity: &Identity, lines: &[Acknowledgement]) -> Result<(String, Bytes), SealError> {
    let policy = SealPolicy { peer: Peer::Sesame, cipher: None, max_payload: MOST_BYTES };
    let sealer = Sealer::new(identity.credential.current(), None, policy)?;
    let id = message::MessageId::fresh();
    let content = Acknowledgement::lines(lines);
    let payload = content.as_bytes();
    let sealed =
        sealer.seal(&ToSeal { id: &id, to: None, sequence: None, content_type: Some(CONTENT_TYPE), payload })?;
    Ok((id.to_string(), Bytes::from(sealed.into_bytes())))
}
