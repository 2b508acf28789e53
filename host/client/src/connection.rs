//! The one connection of a publisher: opened when a message needs it, kept open, and opened again when it was lost.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use transport::{Connected, Link, Notices, Queues};

use crate::notes::Notes;
use crate::pause;
use crate::serve::{GRACE, Outlook, Request, Serving};

/// Messages that wait to be sent.
const QUEUED: usize = 64;

/// The publisher was closed.
#[derive(Debug)]
pub(crate) struct Closed;

/// An open session.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) broker: Arc<str>,
    pub(crate) outlook: Arc<Outlook>,
}

#[derive(Debug, Default)]
struct State {
    line: Option<(Line, JoinHandle<()>)>,
    /// Attempts and sessions in a row that were of no use.
    failures: u32,
    rest_until: Option<Instant>,
}

impl State {
    fn rest(&mut self) {
        self.failures = self.failures.saturating_add(1);
        self.rest_until = Some(Instant::now() + pause::after(self.failures));
    }
}

/// The connection.
#[derive(Debug)]
pub(crate) struct Connection {
    link: Arc<Link>,
    queues: Arc<Queues>,
    notes: Arc<Notes>,
    state: tokio::sync::Mutex<State>,
    closed: watch::Sender<bool>,
}

impl Connection {
    pub(crate) fn new(link: Link) -> Self {
        let (link, notes) = (Arc::new(link), Arc::new(Notes::default()));
        let queues = Arc::new(Queues::new(Arc::clone(&link), Arc::clone(&notes) as Arc<dyn Notices>));
        Self { link, queues, notes, state: tokio::sync::Mutex::default(), closed: watch::Sender::new(false) }
    }

    pub(crate) fn notes(&self) -> &Notes {
        &self.notes
    }

    /// Waits for the end of the publisher.
    pub(crate) async fn closing(&self) {
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    /// The open session, or a new one, however long it takes. Dropping the future stops it.
    pub(crate) async fn open(&self) -> Result<Line, Closed> {
        tokio::select! {
            biased;
            () = self.closing() => Err(Closed),
            line = self.connect() => Ok(line),
        }
    }

    async fn connect(&self) -> Line {
        let mut state = self.state.lock().await;
        if let Some((line, _)) = &state.line {
            if !line.requests.is_closed() {
                return line.clone();
            }
            let served = line.outlook.served.load(Ordering::Relaxed);
            state.line = None;
            if served {
                state.failures = 0;
            } else {
                state.rest();
            }
        }
        loop {
            if let Some(until) = state.rest_until {
                tokio::time::sleep_until(until.into()).await;
                state.rest_until = None;
            }
            match self.link.connect_once().await {
                Ok(connected) => {
                    self.notes.connected();
                    return self.start(&mut state, connected);
                }
                Err(failures) => {
                    let why = if failures.is_empty() { "there is no broker".to_owned() } else { failures.join("; ") };
                    tracing::debug!(why, "cannot connect");
                    self.notes.not_connected(why);
                    state.rest();
                }
            }
        }
    }

    fn start(&self, state: &mut State, connected: Connected) -> Line {
        let (requests, asked) = mpsc::channel(QUEUED);
        let outlook = Arc::new(Outlook::default());
        let line = Line { requests, broker: Arc::clone(&connected.broker), outlook: Arc::clone(&outlook) };
        let serving = Serving::new(connected, &self.queues, Arc::clone(&self.notes), outlook);
        state.line = Some((line.clone(), tokio::spawn(serving.run(asked))));
        line
    }

    /// Ends the session once what is in flight is confirmed, or after a moment.
    pub(crate) async fn close(&self) {
        self.closed.send_replace(true);
        let open = self.state.lock().await.line.take();
        if let Some((line, mut task)) = open {
            drop(line);
            if tokio::time::timeout(GRACE * 2, &mut task).await.is_err() {
                task.abort();
            }
        }
    }
}
