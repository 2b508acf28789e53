//! Whether a receiver can work with a destination: a queue that keeps a message until its ACK.
//!
//! A RabbitMQ stream is not one. A subscriber gets only what comes after it subscribed, so what is sent while no session is
//! open is never seen, and an ACK removes nothing. Deliveries from one carry `x-stream-offset`; but a sender may write such
//! a header too, so it is only a reason to ask the broker before the next session.

use std::sync::atomic::Ordering;

use super::Receiver;
use crate::channel::Connected;
use stomp::{Delivery, Form, QueueState, rabbitmq};

/// A header that RabbitMQ adds to what comes from a stream.
const STREAM_OFFSET: &str = "x-stream-offset";

/// What is known of a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fitness {
    /// It is no stream, whatever the headers of deliveries say.
    Fit,
    /// It is no stream as far as is known.
    Unknown,
    /// Nothing may be received from it; why was logged.
    Unfit,
}

impl Fitness {
    /// Whether a delivery shows that it may be from a stream.
    pub(super) fn is_doubted_by(self, delivery: &Delivery) -> bool {
        self == Self::Unknown && delivery.headers.bytes(STREAM_OFFSET).is_some()
    }
}

impl Receiver {
    /// Asks the broker what the destination is, where it answers.
    pub(super) async fn look_at_destination(&self, link: &Connected) -> Fitness {
        let destination = &self.settings.destination;
        let server = link.session.server();
        if rabbitmq::is_activemq(server) {
            return Fitness::Fit;
        }
        let suspected = self.stream_suspected.load(Ordering::Relaxed);
        let wanted = suspected || rabbitmq::is_rabbitmq(server) || destination.form() == Form::AmqQueue;
        let state = match destination.without_declaring().filter(|_| wanted) {
            Some(_) => self.link.look_at_queue(link, destination).await,
            None => QueueState::Unclear { why: "the broker cannot be asked".to_owned() },
        };
        let complaint = match &state {
            QueueState::There { .. } => return Fitness::Fit,
            QueueState::Denied { .. } | QueueState::Unclear { .. } if !suspected => return Fitness::Unknown,
            QueueState::Denied { .. } | QueueState::Unclear { .. } => Some(format!(
                "{destination} seems to be a stream of RabbitMQ, for what comes from it carries {STREAM_OFFSET}: a receiver \
                 gets only what comes after it subscribed; name a classic or quorum queue, streams are not supported"
            )),
            state => state.complaint(destination),
        };
        tracing::error!(
            channel = %self.channel, destination = %destination, broker = %link.broker,
            error = complaint.unwrap_or_default(), "cannot receive from this destination; nothing is stored or acknowledged",
        );
        self.link.penalise();
        Fitness::Unfit
    }
}
