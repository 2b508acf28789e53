//! Publishes what a sender hands over: several small messages in one request, several requests at a time.
//!
//! A request that fails in the middle leaves the messages before the fault published and names none. Its messages are
//! published one by one then, under the same ids: the receiver recognises what was there already.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ams::{Client, Error, Fault, Publication, Topic};
use message::Code;
use message::cause::chain;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::{AmsClosed, close};
use crate::connection::{Receipt, SendFailure};

/// Requests in flight.
const REQUESTS: usize = 4;
/// Messages that wait to be put into a request.
const QUEUED: usize = 64;
/// Messages in a request.
const BATCH: usize = 32;
/// Stored bytes in a request of several messages.
const BATCH_BYTES: usize = 512 << 10;

/// A message to be published.
#[derive(Debug)]
pub(super) struct Request {
    topic: Topic,
    message: Publication,
    answer: oneshot::Sender<Result<Receipt, SendFailure>>,
}

/// The answer to one message, still to come.
#[derive(Debug)]
pub struct Published(oneshot::Receiver<Result<Receipt, SendFailure>>);

impl Published {
    /// The answer to a probe that AMS answered.
    pub(super) fn probe() -> Self {
        let (answer, answered) = oneshot::channel();
        let _ = answer.send(Ok(Receipt::Probe));
        Self(answered)
    }
}

impl Future for Published {
    type Output = Result<Receipt, SendFailure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or(Err(SendFailure::Over)))
    }
}

impl Request {
    pub(super) fn new(topic: Topic, message: Publication) -> (Self, Published) {
        let (answer, answered) = oneshot::channel();
        (Self { topic, message, answer }, Published(answered))
    }

    fn size(&self) -> usize {
        ams::stored_size(&self.message)
    }
}

/// Publishes until the session is over.
pub(super) fn start(client: Client, closing: Arc<watch::Sender<Option<AmsClosed>>>) -> mpsc::Sender<Request> {
    let (requests, queue) = mpsc::channel(QUEUED);
    tokio::spawn(publish_all(client, closing, queue));
    requests
}

async fn publish_all(
    client: Client,
    closing: Arc<watch::Sender<Option<AmsClosed>>>,
    mut queue: mpsc::Receiver<Request>,
) {
    let slots = Arc::new(Semaphore::new(REQUESTS));
    let mut over = closing.subscribe();
    let mut next = None;
    loop {
        let first = match next.take() {
            Some(request) => request,
            None => tokio::select! {
                _ = over.wait_for(Option::is_some) => return,
                request = queue.recv() => match request {
                    Some(request) => request,
                    None => return,
                },
            },
        };
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let batch = fill(first, &mut queue, &mut next);
        let (client, closing) = (client.clone(), Arc::clone(&closing));
        tokio::spawn(async move {
            let mut over = closing.subscribe();
            tokio::select! {
                () = publish(&client, batch, &closing) => {}
                _ = over.wait_for(Option::is_some) => {}
            }
            drop(slot);
        });
    }
}

/// Adds what waits for the same topic and is small enough; what is not goes first into the next request.
fn fill(first: Request, queue: &mut mpsc::Receiver<Request>, next: &mut Option<Request>) -> Vec<Request> {
    let mut bytes = first.size();
    let mut batch = vec![first];
    while batch.len() < BATCH {
        let Ok(request) = queue.try_recv() else { break };
        bytes = bytes.saturating_add(request.size());
        let fits = bytes <= BATCH_BYTES && batch.first().is_some_and(|first| first.topic == request.topic);
        if !fits {
            *next = Some(request);
            break;
        }
        batch.push(request);
    }
    batch
}

async fn publish(client: &Client, batch: Vec<Request>, closing: &watch::Sender<Option<AmsClosed>>) {
    let Some(topic) = batch.first().map(|request| request.topic.clone()) else { return };
    let messages: Vec<Publication> = batch.iter().map(|request| request.message.clone()).collect();
    match client.publish(&topic, &messages).await {
        Ok(ids) => {
            for (request, id) in batch.into_iter().zip(ids) {
                let _ = request.answer.send(Ok(Receipt::Ams(id)));
            }
        }
        // One of them is at fault: which, shows when they go one by one.
        Err(error) if batch.len() > 1 && concerns_a_message(&error) => {
            for request in batch {
                if let Err(error) = publish_one(client, &topic, request).await {
                    return close(closing, AmsClosed::Failed(Arc::new(error)));
                }
            }
        }
        Err(error) => {
            for request in batch {
                let _ = request.answer.send(Err(failure(&error)));
            }
            if !is_final(&error) {
                close(closing, AmsClosed::Failed(Arc::new(error)));
            }
        }
    }
}

/// Publishes one message; an error that ends the session is returned.
async fn publish_one(client: &Client, topic: &Topic, request: Request) -> Result<(), Error> {
    match client.publish(topic, std::slice::from_ref(&request.message)).await {
        Ok(ids) => {
            let receipt = ids.into_iter().next().map(Receipt::Ams);
            let _ = request.answer.send(receipt.ok_or(SendFailure::Over));
            Ok(())
        }
        Err(error) => {
            let _ = request.answer.send(Err(failure(&error)));
            if is_final(&error) { Ok(()) } else { Err(error) }
        }
    }
}

/// Whether AMS refuses the message, and always will.
fn is_final(error: &Error) -> bool {
    matches!(error.fault(), Fault::TooLarge { .. } | Fault::Schema { .. } | Fault::Attribute { .. })
}

/// Whether the fault may be in a message. AMS also answers 500 to what its store finds too large.
fn concerns_a_message(error: &Error) -> bool {
    is_final(error) || matches!(error.fault(), Fault::Backend { .. })
}

fn failure(error: &Error) -> SendFailure {
    let words = chain(error);
    match error.fault() {
        Fault::TooLarge { .. } => SendFailure::Rejected { code: Code::TooLarge, words },
        Fault::Schema { .. } | Fault::Attribute { .. } => SendFailure::Rejected { code: Code::BrokerRefused, words },
        Fault::Backend { .. } => SendFailure::Refused { words },
        _ => SendFailure::Over,
    }
}
