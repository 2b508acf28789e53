//! Opening of messages in child processes without network, files and keys.
//!
//! A message comes from the network and is taken apart before anyone knows who sent it. With `[process] isolate` the daemon
//! leaves that to children of the same program (`sesame open-messages`). A child that crashes, or is made to crash, takes
//! neither the daemon nor its sessions with it, and one that is taken over finds no key and nothing to talk to.
//!
//! | module | contents |
//! |---|---|
//! | `pool` | [`Pool`]: starts children, hands them messages, notes how they end |
//! | `session` | the parent's side of the conversation with one child, which it treats as hostile |
//! | `child` | the child: limits itself, then opens message after message |
//! | `sandbox` | what the kernel enforces on the child: [`Sandbox`] |
//! | `frame` | the frames that pass between the two |
//!
//! Sockets to brokers, queues and tokio are out of scope. All calls block.
//!
//! # What a child gets
//! Trust anchors, CRLs, signing policies and our certificates, once for each state of the files; then a message at a time.
//! All of that is public or came from the network. For an encrypted message it asks the parent for the key of the content,
//! at most once a message: the parent alone has the private key.
//!
//! # One thread, one message after the other
//! A child has one thread. While many messages wait, it gets some of them ahead, so that neither side sleeps after each. If
//! it crashes then, each of them is opened again by itself, so that it is known which message a crash belongs to. There are
//! as many children as messages that are opened at the same time, at most one for each worker of a channel.

mod child;
mod frame;
mod pool;
mod sandbox;
mod session;

pub use child::{SUBCOMMAND, child_main};
pub use pool::{AHEAD, Crash, NotOpened, Pool, Turn};
pub use sandbox::{Landlock, Sandbox};
pub use session::Message;
