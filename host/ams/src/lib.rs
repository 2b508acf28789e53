//! A client of the ARGO Messaging Service (AMS): publish, pull and acknowledge over HTTPS.
//!
//! Start at [`Client`]: a sender and a receiver each hold one, made of [`Settings`]. It speaks for one project with the
//! token of a [`TokenSource`]. Whatever goes wrong is an [`Error`]: its [`Fault`] says what it means, its text what to
//! do.
//!
//! Not here: S/MIME, the spool, back-off between attempts, and how a TLS configuration is made.
//!
//! # Promises
//! - A token leaves this crate in the header `x-api-key` only. It is in no URL, no `Debug`, no error and no log line,
//!   also where a server repeats it in an answer. The TLS configuration with the client certificate is used for the
//!   token service alone.
//! - [`Client::publish`] succeeds only when AMS names an id for every message. AMS has no idempotence: after an error
//!   [`Error::may_have_been_taken`] says whether the messages may be there all the same.
//! - An acknowledgement is cumulative, so [`Client::acknowledge`] takes one [`AckId`]: the last of the contiguous
//!   prefix that is stored. After an error [`Error::settles_by_offsets`] says whether [`Client::offsets`] must be
//!   asked.
//!
//! # Limits
//! Memory and time are bounded whatever the server sends: by [`Limits`] for an answer and by [`Timing`] for every wait.
//! A request ends when its future is dropped; AMS may have taken it then.
//!
//! # Facts
//! Read in the sources of the server 1.7.0 and its development head of 2025-08-26, of its authentication service 1.5.0,
//! and of the Python client library 1.0.0.
//!
//! ## Authentication
//! The authentication service gives a token for a client certificate. All else takes the header `x-api-key`; status and
//! version need none. No token is 401, an unknown project 404, a bad token 401, no right 403.
//!
//! ## Publishing
//! Messages are published one after the other: an error in the middle leaves the earlier ones and names none. There is
//! no idempotence. What is limited is the whole stored JSON text: 1,500,000 bytes in the server, 1 MB in its documents;
//! a larger one may be answered with 500 instead of 413. Attributes are stored without escaping.
//!
//! ## Pulling
//! Numbers and flags are JSON strings. Without `returnImmediately` a pull waits up to 300 s and locks the topic for
//! everyone; with it, an empty answer does not prove that nothing waits. Acknowledging is cumulative and bound to the
//! latest pull, an empty one too. The deadline belongs to the subscription. `publishTime` has 0 to 9 decimals;
//! `attributes` is an object, in older servers a list. A message that is not JSON makes every pull fail.
//!
//! ## Faults
//! Errors are `{"error":{"code":404,"message":"…","status":"NOT_FOUND"}}`; those of a load balancer are HTML or empty.
//! Connection errors, 408, 502, 503, 504 and 500 pass.

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
