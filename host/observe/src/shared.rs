//! What the handlers of a listener share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::pages::Last;
use crate::token::Refusals;
use crate::{Address, Pages, Source};

/// Streams of one listener at a time.
pub(crate) const STREAMS: usize = 8;
/// Reads of journals at a time, for one listener.
pub(crate) const READS: usize = 2;
/// How long a page is shown again before another is made.
const FRESH: Duration = Duration::from_millis(250);

/// What the handlers share.
pub(crate) struct Shared {
    pub(crate) address: Address,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) pages: Pages,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) reads: Arc<Semaphore>,
    /// Looking for a rejected message may read many elements: one at a time.
    pub(crate) lookups: Arc<Semaphore>,
    pub(crate) refusals: Refusals,
    pub(crate) deadline: Duration,
}

impl Shared {
    pub(crate) fn new(address: Address, source: Arc<dyn Source>, deadline: Duration) -> Self {
        let (streams, reads) = (Arc::new(Semaphore::new(STREAMS)), Arc::new(Semaphore::new(READS)));
        Self {
            address,
            pages: source.pages(),
            source,
            streams,
            reads,
            lookups: Arc::new(Semaphore::new(1)),
            refusals: Refusals::default(),
            deadline,
        }
    }
}

/// Who connected, as the log names them.
#[derive(Clone, Debug)]
pub(crate) struct Caller(pub(crate) Arc<str>);

/// What was made a moment ago, or is made now.
pub(crate) async fn fresh(
    last: &Last,
    source: &Arc<dyn Source>,
    make: impl FnOnce(&dyn Source) -> Vec<u8> + Send + 'static,
) -> Option<Bytes> {
    let mut last = Arc::clone(last).lock_owned().await;
    if let Some((at, page)) = &*last
        && at.elapsed() < FRESH
    {
        return Some(page.clone());
    }
    let source = Arc::clone(source);
    let made = tokio::task::spawn_blocking(move || {
        let page = Bytes::from(make(&*source));
        *last = Some((Instant::now(), page.clone()));
        page
    });
    made.await.ok()
}
