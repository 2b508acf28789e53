//! For the demo and the tests: a throw-away PKI ([`pki`]), a scripted STOMP broker ([`broker`]) and a scripted server of the
//! ARGO Messaging Service ([`ams`]), both on the loopback interface.
//!
//! Start at [`pki::Authority`], [`broker::Broker`] and [`ams::Server`].
//!
//! Not here: anything that a production configuration uses. Keys are short-lived and unprotected, and broker and server keep
//! their messages in memory.

pub mod ams;
pub mod broker;
pub mod pki;
