//! What the demo and the tests need: a throw-away PKI ([`pki`]) and a STOMP broker on the loopback interface that can be told to
//! misbehave ([`broker`]).

pub mod broker;
pub mod pki;
