//! Accepts connections and answers on them, within limits.

use std::collections::VecDeque;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::{AbortHandle, JoinSet};
use tower_service::Service as _;

use crate::Source;
use crate::api::Busy;
use crate::patience::Patient;
use crate::routes::router;
use crate::shared::{Caller, Shared};
use crate::socket::{Listener, Socket};

/// How long to wait when the system gives no more connections, for instance for lack of file descriptors.
const REST: Duration = Duration::from_millis(500);

/// What clients may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time. A further one closes the oldest that waits for a request; if there is none, it is closed.
    pub connections: usize,
    /// Bytes of the head of a request.
    pub head: usize,
    /// How long the head of a request may take, and how long a connection may wait for the next one.
    pub idle: Duration,
    /// How long an answer may take to be made.
    pub answer: Duration,
    /// How long a client may read nothing of an answer.
    pub write: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            head: 16 << 10,
            idle: Duration::from_secs(120),
            answer: Duration::from_secs(10),
            write: Duration::from_secs(10),
        }
    }
}

/// A connection that is open.
struct Open {
    /// It has a request that is not answered yet, or a stream.
    busy: Busy,
    task: AbortHandle,
}

/// Answers requests until `stop`; then all connections are closed.
pub async fn serve(listener: Listener, source: Arc<dyn Source>, limits: Limits, stop: impl Future<Output = ()>) {
    let Listener { address, socket, private } = listener;
    let router = router(Shared::new(address, source, limits.answer));
    let mut open: VecDeque<Open> = VecDeque::new();
    let mut tasks = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let stream = tokio::select! {
            biased;
            () = &mut stop => break,
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {
                open.retain(|one| !one.task.is_finished());
                continue;
            }
            accepted = accept(&socket, private) => accepted,
        };
        let (stream, caller) = match stream {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "no connection accepted");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        if open.len() >= limits.connections {
            let Some(at) = open.iter().position(|one| one.busy.is_idle()) else { continue };
            if let Some(oldest) = open.remove(at) {
                oldest.task.abort();
            }
        }
        let busy = Busy::default();
        let task = tasks.spawn(connection((stream, caller), router.clone(), limits, busy.clone()));
        open.push_back(Open { busy, task });
    }
    tasks.shutdown().await;
}

/// A stream of either kind of socket.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// The next connection, and who made it. At a `private` socket those of other users than our own and root are closed.
async fn accept(socket: &Socket, private: bool) -> io::Result<(Box<dyn Stream>, Caller)> {
    match socket {
        Socket::Tcp(listener) => {
            let (stream, from) = listener.accept().await?;
            Ok((Box::new(stream), Caller(from.to_string().into())))
        }
        Socket::Unix(listener, _) => loop {
            let stream = listener.accept().await?.0;
            let user = stream.peer_cred()?.uid();
            if !private || is_permitted(user) {
                return Ok((Box::new(stream), Caller(format!("user {user}").into())));
            }
        },
    }
}

fn is_permitted(user: u32) -> bool {
    user == 0 || user == rustix::process::geteuid().as_raw()
}

/// Answers the requests of one connection.
async fn connection((stream, caller): (Box<dyn Stream>, Caller), router: Router, limits: Limits, busy: Busy) {
    let stream = TokioIo::new(Patient::new(stream, limits.write));
    let answer = service_fn(move |mut request: Request<Incoming>| {
        let (mut router, now) = (router.clone(), busy.begin());
        // For a stream, which is not done with the head of its answer.
        request.extensions_mut().insert(busy.clone());
        request.extensions_mut().insert(caller.clone());
        async move {
            let _now = now;
            router.call(request).await
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle)
        .max_buf_size(limits.head)
        .max_headers(64)
        .serve_connection(stream, answer)
        .await;
    if let Err(error) = served {
        tracing::trace!(%error, "connection closed");
    }
}
