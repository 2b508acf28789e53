//! What senders and receivers ask of a broker, whatever protocol it speaks: STOMP or AMS.
//!
//! Start with [`Link`]: it connects to a [`Broker`] and gives a [`Session`], which sends ([`Outbound`] → [`Receipt`]) and
//! subscribes ([`Delivery`], [`AckToken`]). Senders and receivers name no protocol: what differs is answered here, for
//! instance whether a receipt proves anything ([`Proof`], [`Proofs`]).
//!
//! A [`Receipt`] and an [`AckToken`] come from a broker and are made by its protocol's crate only.
//!
//! Not here: S/MIME, queues, the journal, and how a configuration is read.

mod broker;
mod connection;
mod destination;
mod secret;

pub use broker::{AmsBroker, Broker, Login, StompBroker, defaults};
pub use connection::{
    AckToken, AmsClosed, AmsSession, Bookmark, Closed, Confirmed, Connected, Delivery, Examined, FirstLook, Held,
    Identity, Link, LinkCounters, LinkCounts, LinkError, Look, Notices, Outbound, PendingReceipt, Position,
    PositionError, Positions, Proof, Proofs, QueueAnswer, Queues, Receipt, Reservation, SendFailure, Session, Source,
    StompLink, SubscribeError, Subscription, Taking, properties, remedy, too_large,
};
pub use destination::{Destination, UnfitDestination, stomp_source, stomp_target};
pub use secret::SecretError;
