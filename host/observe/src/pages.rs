//! What was made last of a source, to be shown again for a moment.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::Mutex;

/// A page as it was written last, and when. Locked while one is made, also where no one waits for it any more.
pub(crate) type Last = Arc<Mutex<Option<(Instant, Bytes)>>>;

/// What was made last of a source. A clone is the same.
#[derive(Clone, Debug, Default)]
pub struct Pages {
    /// One for each format.
    pub(crate) metrics: [Last; 2],
    pub(crate) overview: Last,
}
