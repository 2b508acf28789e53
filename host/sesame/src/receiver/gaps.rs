//! Reports messages that numbered streams of signers lack, though later ones came: once for each gap, and once when it is
//! closed. The journal notes gaps with each message; this only looks at them from time to time.
//!
//! After an outage the broker first delivers again what it had delivered before. So nothing is reported until a session
//! has lasted for a while.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use message::cause::chain;
use message::daily::Condition;
use message::locked;
use spool::journal::{Dismissed, Gap, JournalError, Omitted};

use super::{Receiver, subject_of_key};
use crate::channel::moment;
use crate::shutdown::Shutdown;

/// The longest time between two looks, and the shortest.
const LOOK: (Duration, Duration) = (Duration::from_secs(10), Duration::from_millis(250));
/// How long a session must have lasted; less where `missing-after` is less.
const SETTLED: Duration = Duration::from_secs(60);
/// The most gaps that are logged in one look.
const MOST: usize = 100;

/// Since when messages come.
#[derive(Debug, Default)]
pub(super) struct Session(Mutex<Option<Instant>>);

impl Session {
    pub(super) fn begins(&self) {
        *locked(&self.0) = Some(Instant::now());
    }

    pub(super) fn ends(&self) {
        *locked(&self.0) = None;
    }

    /// Whether there is one.
    pub(super) fn is_open(&self) -> bool {
        locked(&self.0).is_some()
    }

    /// Whether a session has lasted for so long.
    pub(super) fn has_lasted(&self, time: Duration) -> bool {
        locked(&self.0).is_some_and(|since| since.elapsed() >= time)
    }
}

impl Receiver {
    /// Reports gaps until a stop is asked for.
    pub(super) async fn watch_gaps(self: Arc<Self>, shutdown: Shutdown) {
        let look = self.settings.missing_after.map_or(LOOK.0, |after| (after / 4).clamp(LOOK.1, LOOK.0));
        while !shutdown.asked() {
            tokio::select! {
                () = tokio::time::sleep(message::beat::until_next(look)) => {}
                () = shutdown.draining() => return,
            }
            let receiver = Arc::clone(&self);
            let reported = tokio::task::spawn_blocking(move || receiver.report_gaps()).await;
            let unable = Condition::error("cannot look for gaps", &self.channel.section());
            match reported.map(|looked| looked.map_err(|error| chain(&error))) {
                Ok(Err(error)) if unable.is_due(&error) => {
                    tracing::error!(channel = %self.channel, error, "cannot look for missing messages");
                }
                Ok(Err(_)) | Err(_) => {}
                Ok(Ok(())) => drop(unable.end()),
            }
        }
    }

    /// Logs what was not logged before. Blocks.
    fn report_gaps(&self) -> Result<(), JournalError> {
        let (journal, channel) = (&self.spool.journal, self.channel.name());
        let closed = journal.closed_gaps(channel, MOST)?;
        if !closed.is_empty() {
            closed.iter().for_each(|gap| log_closed(channel, gap));
            journal.forget_closed_gaps(channel, &closed)?;
        }
        let dismissed = journal.unlogged_dismissals(channel, MOST)?;
        if !dismissed.is_empty() {
            dismissed.iter().for_each(|gap| log_dismissed(channel, gap));
            journal.dismissals_logged(channel, &dismissed)?;
        }
        let Some(after) = self.settings.missing_after else { return Ok(()) };
        if !self.session.has_lasted(after.min(SETTLED)) {
            return Ok(());
        }
        let before = SystemTime::now().checked_sub(after).unwrap_or(SystemTime::UNIX_EPOCH);
        let gaps = journal.unreported_gaps(channel, before, MOST)?;
        if !gaps.is_empty() {
            gaps.iter().for_each(|gap| log_open(channel, gap));
            journal.gaps_reported(channel, &gaps)?;
        }
        let omitted = journal.unreported_omitted(channel)?;
        if !omitted.is_empty() {
            omitted.iter().for_each(|stream| log_omitted(channel, stream));
            journal.omitted_reported(channel, &omitted)?;
        }
        Ok(())
    }
}

fn log_open(channel: &str, gap: &Gap) {
    let Gap { signer, stream, first, last, since } = gap;
    let signer = subject_of_key(signer);
    tracing::warn!(
        channel,
        signer,
        stream,
        first,
        last,
        messages = gap.messages(),
        since = moment(*since),
        "messages of this signer are missing, though later ones came; a sender that waits for acknowledgements sends them \
         again, otherwise ask the signer to; see the page Acknowledgements, Gaps",
    );
}

fn log_closed(channel: &str, gap: &Gap) {
    let Gap { signer, stream, first, last, since } = gap;
    let signer = subject_of_key(signer);
    tracing::info!(
        channel,
        signer,
        stream,
        first,
        last,
        messages = gap.messages(),
        since = moment(*since),
        "missing messages have come",
    );
}

fn log_dismissed(channel: &str, gap: &Dismissed) {
    let Dismissed { signer, stream, range, messages, since, at } = gap;
    tracing::info!(
        channel,
        signer = subject_of_key(signer),
        stream,
        first = range.map(|(first, _)| first),
        last = range.map(|(_, last)| last),
        messages,
        since = moment(*since),
        at = moment(*at),
        "missing messages were dismissed by an operator and no longer count as missing",
    );
}

fn log_omitted(channel: &str, omitted: &Omitted) {
    let Omitted { signer, stream, messages, .. } = omitted;
    let signer = subject_of_key(signer);
    tracing::warn!(
        channel,
        signer,
        stream,
        messages,
        "too many gaps in the messages of this signer: further ones are only counted; if another receiver takes messages \
         from the same queue, set missing-after = \"never\"",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_counts_from_its_beginning_to_its_end() {
        let session = Session::default();
        assert!(!session.has_lasted(Duration::ZERO), "none has begun");
        session.begins();
        assert!(session.has_lasted(Duration::ZERO) && !session.has_lasted(SETTLED));
        session.ends();
        assert!(!session.has_lasted(Duration::ZERO));
    }
}
