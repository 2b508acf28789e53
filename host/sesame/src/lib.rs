//! Sesame, a secure messenger for accounting records.
//!
//! Follow the message; whoever reads [`sender`] and [`receiver`] understands the program.
//!
//! ```text
//! spool/outgoing ─lock→ element ─pipeline→ Prepared ─seal→ Sealed ─SEND→ broker
//!         ▲ remove(LockedElement, Receipt) ◄──────── RECEIPT ◄───────────────┘
//!
//! broker ─MESSAGE→ Delivery ─open→ Opened ─authorise→ Authorised ─pipeline→ elements ─add→ spool/incoming
//!         ◄── ACK(Delivery, Stored) ◄──────────────────── Stored ◄───────────────────────────┤
//!                                          a permanent refusal ─────────add→ spool/reject, with the reason
//! ```
//!
//! # Crates
//! | crate | owns |
//! |---|---|
//! | [`message`] | ids, directions, findings, how errors and durations are worded |
//! | [`settings`] | typed TOML sections, with every mistake and its line |
//! | [`stomp`] | frames, sessions, connections |
//! | [`trust`], [`smime`] | certificates, signer lists; sealing and opening |
//! | [`spool`] | queues on disk, the commit engine, the journal |
//! | [`plugins`] | the plugin host |
//! | [`testkit`] | the broker and the PKI of the demo and of the tests |
//! | this one | configuration, command line, channels, the two roles, the service |
//!
//! # Invariants
//! Cargo enforces the first two: what a crate does not depend on it cannot name (`cargo tree -p sesame-stomp`).
//! 1. [`stomp`] knows nothing of S/MIME, spool or plugins; [`smime`] and [`spool`] know nothing of the network or of tokio.
//! 2. Only [`spool`] writes messages to disk; only [`smime`] and [`trust`] call OpenSSL; only [`plugins`] names wasmtime.
//! 3. A message is always in at least one durable place: our spool or the broker.
//! 4. Bytes from the network reach a plugin only after their signer was verified and authorised.
//! 5. A plugin sees only what `wit/` lists: no files, no sockets, no environment, no clock; stand-ins answer for them.
//!
//! # Proof types
//! | type | made only by | needed by |
//! |---|---|---|
//! | [`spool::LockedElement`] | the queue's lock | reading and removing an element |
//! | [`sender::Prepared`] | the pipeline's outcome, once it is durable | seal |
//! | [`stomp::Receipt`] | a RECEIPT frame | removing an outgoing element |
//! | [`sender::Held`] | a destination whose RECEIPT is proof, or the broker's word that the queue is there | removing an outgoing element |
//! | [`smime::Opened`] | [`smime::open`] | authorise |
//! | [`smime::Authorised`] | the signer list | pipeline, incoming queue |
//! | [`spool::Stored`] | the commit engine, after the sync | ACK |
//!
//! Sockets and timers are asynchronous. Disk, OpenSSL and plugins are plain blocking functions that run on tokio's
//! blocking threads, so that none of them can hold up a heart-beat.

pub mod channel;
pub mod commands;
pub mod config;
pub mod demo;
pub mod log;
pub mod memory;
pub mod receiver;
pub mod sender;
pub mod service;
pub mod shutdown;
