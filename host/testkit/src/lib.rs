//! For the demo and the tests: a throw-away PKI ([`pki`]) and a scripted STOMP broker on the loopback interface ([`broker`]).
//!
//! Start at [`pki::Authority`] and [`broker::Broker`].
//!
//! Not here: anything that a production configuration uses. Keys are short-lived and unprotected, and the broker keeps its
//! queues in memory.

pub mod broker;
pub mod pki;
