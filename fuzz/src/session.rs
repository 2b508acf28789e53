//! A STOMP session with a broker that sends whatever it likes.

use std::time::Duration;

use stomp::session::{Session, SessionOptions, Subscribe};
use stomp::{Limits, MemoryBudget};
use tokio::io::AsyncWriteExt as _;

/// Room for what the client writes, in bytes: nobody reads it.
const ROOM: usize = 1 << 16;
const CONNECTED: &[u8] = b"CONNECTED\nversion:1.2\n\n\0";
/// A session may not outlive its connection by this.
const PATIENCE: Duration = Duration::from_secs(5);

/// Input: what the broker sends. An input that begins with `+` follows a good CONNECTED and a subscription.
///
/// Whatever comes, the session ends once the connection does, and deliveries stay within their limits.
pub(crate) fn parse(input: &[u8]) -> bool {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else { return false };
    runtime.block_on(talk(input))
}

async fn talk(input: &[u8]) -> bool {
    let (ours, mut broker) = tokio::io::duplex(ROOM);
    let limits = Limits { body: 1024, other_body: 256, ..Limits::default() };
    let memory = MemoryBudget::new(1 << 16);
    let options = SessionOptions { limits, memory, connected_timeout: PATIENCE, ..SessionOptions::default() };
    let opening = tokio::spawn(Session::open(ours, options));
    let Some(frames) = input.strip_prefix(b"+") else {
        let _ = broker.write_all(input).await;
        drop(broker);
        return matches!(opening.await, Ok(Ok(_)));
    };
    let _ = broker.write_all(CONNECTED).await;
    let Ok(Ok(session)) = opening.await else { panic!("a good CONNECTED is refused") };
    let subscribing = session.clone();
    let subscription = tokio::spawn(async move { subscribing.subscribe(&Subscribe::new("/queue/a")).await });
    tokio::task::yield_now().await;
    let _ = broker.write_all(frames).await;
    let _ = broker.shutdown().await;
    drop(broker);
    let mut delivered = 0;
    if let Ok(Ok(mut subscription)) = subscription.await {
        while let Some(delivery) = subscription.next().await {
            assert!(delivery.body.len() <= limits.body, "a body of {} bytes", delivery.body.len());
            delivered += 1;
        }
    }
    let ended = tokio::time::timeout(PATIENCE, session.closed()).await;
    assert!(ended.is_ok(), "the session outlives its connection");
    delivered > 0
}
