//! One session with the broker: messages in, confirmations out, in whatever order they come.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use message::Code;
use message::cause::chain;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use transport::{
    Closed, Confirmed, Connected, Destination, Held, Look, Outbound, Proofs, Queues, Receipt, SendFailure,
};

use crate::Failure;
use crate::notes::Notes;

/// How long the broker has to confirm what is in flight when the session is ended.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// A message to be sent in a session.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) message: Outbound,
    /// True once the session has it, false once no one waits any more: whichever is first.
    pub(crate) sent: Arc<OnceLock<bool>>,
    /// Dropped without an answer where the session ends; [`End`] says why.
    pub(crate) answer: oneshot::Sender<Result<Confirmation, Fault>>,
}

/// The broker has the message.
#[derive(Debug)]
pub(crate) struct Confirmation {
    pub(crate) receipt: Receipt,
    pub(crate) broker: Arc<str>,
    /// What the receipt is worth.
    pub(crate) _held: Held,
}

/// Why the broker did not confirm a message.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It never will.
    Final(Failure, String),
    /// It may, the next time.
    Again {
        why: String,
        /// It may have the message.
        taken: bool,
    },
}

/// How a session ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) why: String,
    /// The next one ends the same way until someone acts.
    pub(crate) lasting: bool,
    /// The broker may have what it did not confirm.
    pub(crate) taken: bool,
}

/// What others see of a session.
#[derive(Debug, Default)]
pub(crate) struct Outlook {
    /// The broker confirmed a message.
    pub(crate) served: AtomicBool,
    pub(crate) end: OnceLock<End>,
}

/// A message with its receipt.
#[derive(Debug)]
struct Done {
    receipt: Receipt,
    needs: Vec<Destination>,
    answer: oneshot::Sender<Result<Confirmation, Fault>>,
}

impl Confirmed for Done {
    fn needs(&self) -> &[Destination] {
        &self.needs
    }
}

/// A message whose receipt is to come.
#[derive(Debug)]
struct InFlight {
    destination: Destination,
    answer: oneshot::Sender<Result<Confirmation, Fault>>,
}

/// A session.
pub(crate) struct Serving {
    link: Connected,
    notes: Arc<Notes>,
    outlook: Arc<Outlook>,
    proofs: Proofs<Done>,
    receipts: JoinSet<(InFlight, Result<Receipt, SendFailure>)>,
    /// Messages that the session took along; their answer is how it ended.
    lost: Vec<InFlight>,
}

impl Serving {
    pub(crate) fn new(link: Connected, queues: &Arc<Queues>, notes: Arc<Notes>, outlook: Arc<Outlook>) -> Self {
        let proofs = Proofs::new(queues, &link);
        Self { link, notes, outlook, proofs, receipts: JoinSet::new(), lost: Vec::new() }
    }

    /// Sends what is asked for until the session is over, or until no one can ask any more and all have their answers.
    pub(crate) async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut asked = true;
        let end = loop {
            let last = self.receipts.is_empty() && requests.is_empty();
            if !asked && last && self.proofs.is_idle() {
                self.link.session.disconnect(GRACE).await;
                break End { why: "the publisher was closed".to_owned(), lasting: false, taken: true };
            }
            tokio::select! {
                biased;
                closed = self.link.session.closed() => {
                    while let Some(receipt) = self.receipts.join_next().await {
                        receipt.into_iter().for_each(|(message, receipt)| self.answered(message, receipt));
                    }
                    break self.end(&closed);
                }
                Some(receipt) = self.receipts.join_next(), if !self.receipts.is_empty() => {
                    receipt.into_iter().for_each(|(message, receipt)| self.answered(message, receipt));
                }
                look = self.proofs.next(last) => match look {
                    Look::Proved(proved) => self.confirm_all(proved),
                    Look::Gone(proved) => {
                        self.confirm_all(proved);
                        self.link.session.disconnect(GRACE).await;
                        let why = self.notes.queue().unwrap_or_else(|| "the queue is gone".to_owned());
                        break End { why, lasting: false, taken: true };
                    }
                },
                request = requests.recv(), if asked && self.proofs.has_room() => match request {
                    Some(request) => self.send(request).await,
                    None => asked = false,
                },
            }
        };
        // Before answers that are due are dropped.
        let _ = self.outlook.end.set(end);
        drop(requests);
        let proved = self.proofs.finish().await;
        self.confirm_all(proved);
    }

    fn end(&self, closed: &Closed) -> End {
        // Of several that AMS was asked for at once, only one is known to have failed.
        let taken = closed.may_have_been_taken() || self.lost.len() > 1;
        End { why: chain(closed), lasting: closed.is_lasting(), taken }
    }

    async fn send(&mut self, request: Request) {
        let Request { message, sent, answer } = request;
        if answer.is_closed() {
            return;
        }
        let destination = message.destination.clone();
        if let Err(why) = self.proofs.admit([&destination]).await {
            let _ = answer.send(Err(Fault::Again { why, taken: false }));
            return;
        }
        if sent.set(true).is_err() {
            return;
        }
        let message_in_flight = InFlight { destination, answer };
        match self.link.session.send(message).await {
            Ok(pending) => drop(self.receipts.spawn(async move { (message_in_flight, pending.await) })),
            Err(failure) => self.answered(message_in_flight, Err(failure)),
        }
    }

    fn answered(&mut self, message: InFlight, receipt: Result<Receipt, SendFailure>) {
        let failure = match receipt {
            Ok(receipt) => {
                let InFlight { destination, answer } = message;
                let needs = self.proofs.needs([&destination]);
                let held = self.proofs.take(Done { receipt, needs, answer });
                self.confirm_all(held.into_iter().collect());
                return;
            }
            Err(SendFailure::Over) => {
                self.lost.push(message);
                return;
            }
            Err(failure) => failure,
        };
        let InFlight { destination, answer } = message;
        let _ = answer.send(Err(fault(&failure, &destination)));
    }

    fn confirm_all(&self, held: Vec<(Done, Held)>) {
        if !held.is_empty() {
            self.outlook.served.store(true, Ordering::Relaxed);
            self.notes.held();
        }
        for (Done { receipt, answer, .. }, held) in held {
            let broker = Arc::clone(&self.link.broker);
            let _ = answer.send(Ok(Confirmation { receipt, broker, _held: held }));
        }
    }
}

fn fault(failure: &SendFailure, destination: &Destination) -> Fault {
    let words = chain(failure);
    // What to do about it, where the broker's text is about the destination.
    let advised = || transport::remedy(destination, &words).unwrap_or_else(|| words.clone());
    match failure {
        SendFailure::Unsendable(_) => Fault::Final(Failure::Content, words),
        SendFailure::Rejected { code: Code::TooLarge, .. } => Fault::Final(Failure::TooLarge, words),
        SendFailure::Rejected { .. } | SendFailure::Destination { .. } => Fault::Final(Failure::Refused, words),
        SendFailure::Refused { .. } => Fault::Again { why: advised(), taken: false },
        SendFailure::Unanswered(_) | SendFailure::Over => Fault::Again { why: advised(), taken: true },
        SendFailure::NotStored { size, limit, .. } => {
            let why = format!("{words}; it takes up to {size} bytes of max-message, {limit}");
            Fault::Again { why, taken: true }
        }
    }
}
