//! Publishing: seal, send, wait for the confirmation, and again.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use message::MessageId;
use message::cause::chain;
use smime::SealError;
use stomp::MemoryBudget;
use tokio::sync::oneshot;
use transport::{Broker, Destination, Link, Outbound};

use crate::connection::{Closed, Connection};
use crate::files::Files;
use crate::serve::{Confirmation, Fault, Request};
use crate::{Failure, Message, PublishError, Published, Settings, SetupError, pause};

/// Signs messages and publishes them to one destination, over one connection that stays open.
///
/// Shared by reference: several messages may be published at once, and are confirmed in any order. With RabbitMQ that is
/// much faster than one after the other: the queue is asked for on a connection of its own, once for all that wait, at
/// most every five seconds while others are in flight. Dropped, it ends its session in the background; see
/// [`close`](Self::close).
#[derive(Debug)]
pub struct Publisher {
    broker: Broker,
    destination: Destination,
    deadline: Duration,
    files: Arc<Files>,
    connection: Connection,
}

/// How far a message is.
#[derive(Debug, Default)]
struct Progress {
    stage: Stage,
    /// Whether the session has it, in the attempt at hand.
    sent: Arc<OnceLock<bool>>,
    attempts: u32,
    failures: u32,
    may_have_arrived: bool,
    /// Why the last attempt failed.
    reason: Option<String>,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Connecting,
    /// Waits for the confirmation of this broker.
    Sent(Arc<str>),
    Pausing,
}

impl Progress {
    /// Takes up how an attempt ended.
    fn attempt_ended(&mut self, taken: bool) {
        // From here on it is not sent.
        let sent = *std::mem::take(&mut self.sent).get_or_init(|| false);
        if sent {
            self.attempts += 1;
            self.may_have_arrived |= taken;
        }
        self.stage = Stage::Pausing;
    }

    fn failed(&mut self, why: String) {
        self.failures += 1;
        self.reason = Some(why);
    }
}

impl Publisher {
    /// Reads the files and sets up TLS; connects with the first message. Blocks for as long as reading files takes.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(settings: Settings) -> Result<Self, SetupError> {
        let destination = settings.broker.target(&settings.destination, settings.allow_topic)?;
        let files = Arc::new(Files::load(&settings)?);
        let link = Link::new(&settings.broker, &files.identity(), &MemoryBudget::default())?;
        let Settings { broker, deadline, .. } = settings;
        Ok(Self { broker, destination, deadline, files, connection: Connection::new(link) })
    }

    /// Signs a message, encrypts it where there is a recipient, and sends it until the broker confirms it, under one id.
    ///
    /// Dropped before it is ready, it stops; the message may have been sent.
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn publish(&self, message: Message) -> Result<Published, PublishError> {
        let id = message.id.clone().unwrap_or_else(MessageId::fresh);
        let mut progress = Progress::default();
        let outcome = tokio::time::timeout(self.deadline, self.until_confirmed(&id, message, &mut progress)).await;
        let (failure, reason) = match outcome {
            Ok(Ok(Confirmation { receipt, broker, .. })) => {
                let ams_id = receipt.stored_as().map(|(_, id)| id);
                return Ok(Published { id, broker: broker.to_string(), ams_id, attempts: progress.attempts });
            }
            Ok(Err(fault)) => fault,
            Err(_) => (Failure::NotConfirmed, self.reason_for_delay(&mut progress)),
        };
        let Progress { attempts, may_have_arrived, .. } = progress;
        Err(PublishError { id, failure, reason, attempts, may_have_arrived, deadline: self.deadline })
    }

    /// Ends the session: what is in flight has some seconds to be confirmed, and nothing is sent after it.
    pub async fn close(&self) {
        self.connection.close().await;
    }

    async fn until_confirmed(
        &self,
        id: &MessageId,
        message: Message,
        progress: &mut Progress,
    ) -> Result<Confirmation, (Failure, String)> {
        let message = self.seal(id, message).await?;
        loop {
            progress.stage = Stage::Connecting;
            let closed = |Closed| (Failure::Closed, "the publisher was closed".to_owned());
            let line = self.connection.open().await.map_err(closed)?;
            progress.stage = Stage::Sent(Arc::clone(&line.broker));
            let (answer, answered) = oneshot::channel();
            let request = Request { message: message.clone(), sent: Arc::clone(&progress.sent), answer };
            let outlook = Arc::clone(&line.outlook);
            let _ = line.requests.send(request).await;
            drop(line);
            match answered.await {
                Ok(Ok(confirmation)) => {
                    progress.attempt_ended(true);
                    return Ok(confirmation);
                }
                Ok(Err(Fault::Final(failure, why))) => {
                    progress.attempt_ended(false);
                    return Err((failure, why));
                }
                Ok(Err(Fault::Again { why, taken })) => {
                    progress.attempt_ended(taken);
                    progress.failed(why);
                }
                Err(_) => {
                    let end = outlook.end.get();
                    progress.attempt_ended(end.is_none_or(|end| end.taken));
                    let why = end.map_or_else(|| "the session was ended".to_owned(), |end| end.why.clone());
                    if end.is_some_and(|end| end.lasting) {
                        return Err((Failure::Refused, why));
                    }
                    progress.failed(why);
                }
            }
            tokio::select! {
                () = self.connection.closing() => {}
                () = tokio::time::sleep(pause::after(progress.failures)) => {}
            }
        }
    }

    /// Seals on a thread of its own: keys are slow.
    async fn seal(&self, id: &MessageId, message: Message) -> Result<Outbound, (Failure, String)> {
        let (files, name) = (Arc::clone(&self.files), id.clone());
        let sealed = tokio::task::spawn_blocking(move || files.seal(&name, &message)).await;
        let body = sealed.unwrap_or(Err(SealError::Internal)).map_err(|error| (failure(&error), chain(&error)))?;
        let destination = self.destination.clone();
        let outbound = Outbound { destination, id: id.to_string(), headers: Vec::new(), body };
        match transport::too_large(&self.broker, &outbound) {
            Some(why) => Err((Failure::TooLarge, why)),
            None => Ok(outbound),
        }
    }

    /// Why there is no confirmation yet.
    fn reason_for_delay(&self, progress: &mut Progress) -> String {
        let notes = self.connection.notes();
        let last = progress.reason.take();
        match std::mem::take(&mut progress.stage) {
            Stage::Connecting => notes.connecting().or(last).unwrap_or_else(|| "not connected yet".to_owned()),
            Stage::Sent(broker) => {
                progress.attempt_ended(true);
                notes.queue().or(last).unwrap_or_else(|| format!("{broker} did not answer"))
            }
            Stage::Pausing => last.unwrap_or_default(),
        }
    }
}

/// What a message that cannot be sealed lacks.
fn failure(error: &SealError) -> Failure {
    match error {
        SealError::TooLarge { .. } => Failure::TooLarge,
        _ if error.stops_the_channel() => Failure::Certificate,
        _ => Failure::Content,
    }
}
