//! The body of an answer, which ends with an error where it is too long or stops.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::{Fault, PATIENCE, Server, Shared, lost};

pub(super) struct Bounded {
    body: Incoming,
    at: Server,
    limit: u64,
    left: u64,
    /// Fires where no frame came for [`PATIENCE`].
    silence: Pin<Box<Sleep>>,
    shared: Arc<Shared>,
}

impl Bounded {
    pub(super) fn new(body: Incoming, at: &Server, limit: u64, shared: Arc<Shared>) -> Result<Self, Fault> {
        if body.size_hint().lower() > limit {
            return Err(Fault::TooLong { at: at.to_string(), limit });
        }
        Ok(Self { body, at: at.clone(), limit, left: limit, silence: Box::pin(sleep(PATIENCE)), shared })
    }

    /// Keeps the fault where it is looked for, and ends the body: the fault cannot be cloned.
    fn fail(&self, fault: Fault) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        self.shared.note(fault);
        Poll::Ready(Some(Err(Fault::Stranger)))
    }
}

impl Body for Bounded {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let at = self.at.to_string();
        let frame = match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(Some(Err(error))) => {
                let reason = lost(&error);
                return self.fail(Fault::Lost { at, reason });
            }
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => {
                return match self.silence.as_mut().poll(cx) {
                    Poll::Ready(()) => self.fail(Fault::Silent { at, after: PATIENCE }),
                    Poll::Pending => Poll::Pending,
                };
            }
        };
        self.silence.as_mut().reset(Instant::now() + PATIENCE);
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        match self.left.checked_sub(length) {
            Some(left) => self.left = left,
            None => {
                let limit = self.limit;
                return self.fail(Fault::TooLong { at, limit });
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
