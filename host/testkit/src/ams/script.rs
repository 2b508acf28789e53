//! What a server may do wrong, for tests: a queue of faults for each route.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::answer::Answer;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Route {
    /// `POST topics/T:publish`
    Publish,
    /// `GET topics/T`
    Topic,
    /// `GET subscriptions/S`
    Subscription,
    /// `POST subscriptions/S:pull`
    Pull,
    /// `POST subscriptions/S:acknowledge`
    Acknowledge,
    /// `GET subscriptions/S:offsets`
    Offsets,
    /// `POST subscriptions/S:modifyOffset`
    ModifyOffset,
    /// `POST subscriptions/S:modifyAckDeadline`
    ModifyAckDeadline,
    /// `GET /v1/status`
    Status,
    /// `GET /v1/version`
    Version,
    /// `GET …:authx509` on the authentication port
    Token,
    /// Anything else.
    Unknown,
}

/// What goes wrong with one request. Faults of a publish or a pull do nothing to other requests.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The request is read and not carried out, and this is the answer.
    Answer {
        /// The status of the answer.
        status: u16,
        /// Its `Content-Type`.
        content_type: &'static str,
        /// Its body.
        body: Bytes,
    },
    /// The connection is reset before the request's body is read.
    Reset,
    /// The request is carried out, and the connection is reset instead of the answer.
    Lost,
    /// The request is carried out, and the connection ends in the middle of the answer.
    CutOff,
    /// An answer of so many bytes of white space, with a `Content-Length` if `declared`, in chunks otherwise.
    Long {
        /// The length of the body.
        bytes: u64,
        /// Whether the length is said.
        declared: bool,
    },
    /// No answer comes; the request is not carried out.
    Silent,
    /// The request is carried out after this time.
    Delay(Duration),
    /// A publish: the broker fails after it has stored so many of the messages.
    FailAfter(usize),
    /// A pull: the data of each message is not base64.
    NoBase64,
    /// A pull: the `ackId` of each message is that of another subscription.
    ForeignAckIds,
    /// A pull: the answer is empty although messages are there, as when the store does not answer in time.
    Empty,
}

impl Fault {
    /// An answer of a load balancer, in HTML.
    #[must_use]
    pub fn html(status: u16) -> Self {
        let body = format!("<html><body><h1>{status} Bad Gateway</h1>\nThe server is busy.\n</body></html>\n");
        Self::Answer { status, content_type: "text/html", body: body.into() }
    }

    /// An answer without a body.
    #[must_use]
    pub fn bare(status: u16) -> Self {
        Self::Answer { status, content_type: "text/plain", body: Bytes::new() }
    }

    /// An error as AMS writes them.
    #[must_use]
    pub fn error(status: u16, message: &str, word: &str) -> Self {
        let answer = Answer::error(status, message, word);
        Self::Answer { status, content_type: answer.content_type, body: answer.body }
    }
}

/// The faults to come.
#[derive(Debug, Default)]
pub(super) struct Script {
    queues: BTreeMap<Route, VecDeque<Fault>>,
    lasting: BTreeMap<Route, Fault>,
}

impl Script {
    pub(super) fn push(&mut self, route: Route, fault: Fault) {
        self.queues.entry(route).or_default().push_back(fault);
    }

    pub(super) fn set_lasting(&mut self, route: Route, fault: Option<Fault>) {
        match fault {
            Some(fault) => drop(self.lasting.insert(route, fault)),
            None => drop(self.lasting.remove(&route)),
        }
    }

    /// What goes wrong with the request at hand.
    pub(super) fn next(&mut self, route: Route) -> Option<Fault> {
        let queued = self.queues.get_mut(&route).and_then(VecDeque::pop_front);
        queued.or_else(|| self.lasting.get(&route).cloned())
    }

    pub(super) fn waiting(&self, route: Route) -> usize {
        self.queues.get(&route).map_or(0, VecDeque::len)
    }
}
