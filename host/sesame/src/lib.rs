//! Sesame, a secure messenger for accounting records. This page is the architecture; [`sender`] and [`receiver`] are the
//! two ways of a message in code.
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
//! # The way of a message out
//! 1. [`sender`] locks an element of the outgoing queue ([`spool::Outgoing`]).
//! 2. The pipeline ([`plugins::Pipeline`]) checks, changes and routes the content; the result is made durable.
//! 3. [`smime`] signs it and, with a recipient certificate, encrypts it.
//! 4. A [`transport::Session`] sends it and waits for the receipt; only then is the element removed.
//!
//! # The way of a message in
//! 1. A [`transport::Subscription`] hands over a delivery, which [`receiver`] takes up.
//! 2. [`smime::open`] decrypts it and verifies signature and certification path against [`trust`].
//! 3. The signer lists authorise the signer; the pipeline checks, changes and routes the content.
//! 4. The commit engine of [`spool`] stores the elements and a journal row, syncs them, and only then is the message
//!    acknowledged.
//!
//! # Crates
//! | crate | owns |
//! |---|---|
//! | [`message`] | ids, directions, findings, fates and codes, text that is safe to log, how errors are worded |
//! | [`settings`] | typed TOML sections, with every mistake and its line |
//! | `index` | the index that several receivers share, in PostgreSQL |
//! | `dial` | TCP connections, and what an error of TCP or TLS says |
//! | [`stomp`] | frames, sessions, connections |
//! | `ams` | a client of the ARGO Messaging Service |
//! | [`transport`] | what senders and receivers ask of a broker, whatever protocol it speaks |
//! | `client` | signing and publishing for other programs, which have no queue; not used here |
//! | [`trust`], [`smime`] | certificates, CRLs, signer lists; sealing and opening |
//! | [`isolate`] | child processes that open messages, without network, files and keys |
//! | [`spool`] | queues on disk, the commit engine, the journal |
//! | [`plugins`] | the plugin host: components, pipelines, the plugin folder |
//! | `author` | `sesame plugin new`, `build`, `test` and `bench`, behind the feature `author` |
//! | [`observe`] | the HTTP listener for metrics and health, and the instruments that count |
//! | [`terminal`] | what commands print, and exit statuses |
//! | [`testkit`] | the STOMP broker, the AMS server and the PKI of the demo and of the tests |
//! | this one | see below |
//!
//! # Modules of this crate
//! Each uses those above it, none below.
//!
//! | module | owns |
//! |---|---|
//! | [`log`] | log lines, the log of plugins |
//! | [`config`] | the configuration file and SSM's files, all mistakes at once |
//! | [`channel`] | what both roles share: credentials, spool, pipeline, pauses |
//! | [`receiver`], [`sender`] | the two roles |
//! | `retry` | trying a rejected message again |
//! | [`service`] | channels of a configuration, run together; pipelines that change while they run |
//! | [`live`] | the processes that run, asked over their sockets |
//! | [`demo`] | a site, a broker and sample messages in one process |
//! | [`cli`] | one file per command |
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
//! | [`transport::Receipt`] | a RECEIPT frame | removing an outgoing element |
//! | [`transport::Held`] | a destination whose RECEIPT is proof, or the broker's word that the queue is there | removing an outgoing element |
//! | [`smime::Opened`] | [`smime::open`] | authorise |
//! | [`smime::Authorised`] | the signer list | pipeline, incoming queue |
//! | [`spool::Stored`] | the commit engine, after the sync | ACK |
//!
//! Sockets and timers are asynchronous. Disk, OpenSSL and plugins are plain blocking functions that run on tokio's
//! blocking threads, so that none of them can hold up a heart-beat.

#[cfg(test)]
mod architecture;
pub mod channel;
pub mod cli;
pub mod config;
pub mod demo;
pub mod live;
pub mod log;
pub mod memory;
pub mod receiver;
mod retry;
pub mod sender;
pub mod service;
pub mod shutdown;
