//! A client of the ARGO Messaging Service (AMS): publish, pull and acknowledge over HTTPS.
//!
//! Start at [`Client`]: a sender and a receiver each hold one, made of [`Settings`]. It speaks for one project with the
//! token of a [`TokenSource`]. Whatever goes wrong is an [`Error`]: its [`Fault`] says what it means, its text what to do.
//!
//! Not here: S/MIME, the spool, back-off between attempts, and how a TLS configuration is made.
//!
//! # Promises
//! - A token leaves this crate in the header `x-api-key` only. It is in no URL, no `Debug`, no error and no log line, also
//!   where a server repeats it in an answer. The TLS configuration with the client certificate is used for the token service
//!   alone.
//! - [`Client::publish`] succeeds only when AMS names an id for every message. AMS has no idempotence: after an error
//!   [`Error::may_have_been_taken`] says whether the messages may be there all the same.
//! - An acknowledgement is cumulative, so [`Client::acknowledge`] takes one [`AckId`]: the last of the contiguous prefix that
//!   is stored. After an error [`Error::settles_by_offsets`] says whether [`Client::offsets`] must be asked.
//!
//! # Limits
//! Memory and time are bounded whatever the server sends: by [`Limits`] for an answer and by [`Timing`] for every wait.

mod answer;
mod call;
mod client;
mod connect;
mod error;
mod fault;
mod http;
mod names;
mod publication;
mod quote;
mod received;
mod secret;
mod time;
mod tls;
mod token;

pub use call::Call;
pub use client::{Client, Settings, SubscriptionState};
pub use connect::ConnectError;
pub use error::Error;
pub use fault::{Fault, TokenError, TokenFault};
pub use http::{Limits, Timing};
pub use names::{Endpoint, InvalidEndpoint, InvalidName, Project, Subscription, Topic};
pub use publication::{MessageId, Publication, TooLarge, stored_size};
pub use received::{AckId, Offsets, Received, Unreadable};
pub use secret::{InvalidToken, Token};
pub use token::TokenSource;

#[cfg(test)]
mod tests;
