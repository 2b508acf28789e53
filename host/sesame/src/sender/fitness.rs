//! Whether the channel can seal at all now.
//!
//! Before anything is taken up, our own certificate is judged as a receiver would judge it, and the recipient's as it was
//! when it was configured: expired, not yet valid, revoked, outside the signing policy, not for this use, a key that the
//! peer cannot work with. A message sealed with such a certificate would be sent and then rejected by the receiver. So
//! everything stays in outgoing, one error says why, and no message is rejected; once the files, the CRL or the clock have
//! changed, the messages are sent.
//!
//! What only our own CA directory says (an anchor that is not there, an old edition of an issuer, a CRL that was not
//! fetched) holds nothing back, since the receiver uses its own; `sesame check` reports it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::channel::Channel;
use crate::shutdown::Shutdown;
use message::daily::Condition;
use message::locked;
use smime::Sealing;

/// How often a channel that cannot seal looks again.
const LOOK: Duration = Duration::from_secs(1);

/// Whether a channel can seal.
#[derive(Debug)]
pub(super) struct Fitness {
    channel: Channel,
    sealing: Arc<Sealing>,
    /// Why the channel cannot seal.
    unfit: Mutex<Option<String>>,
}

impl Fitness {
    pub(super) fn new(channel: Channel, sealing: Arc<Sealing>) -> Self {
        Self { channel, sealing, unfit: Mutex::default() }
    }

    /// Checks whether the channel can seal now, and logs once why not.
    ///
    /// # Errors
    /// Why not, and what to do.
    pub(super) async fn check(&self) -> Result<(), String> {
        let sealing = Arc::clone(&self.sealing);
        let judged = tokio::task::spawn_blocking(move || sealing.current().map(drop)).await;
        match judged {
            Ok(Err(error)) if error.stops_the_channel() => {
                let why = message::cause::chain(&error);
                self.log_unfit(&why);
                Err(why)
            }
            // Any other fault is logged for the message it affects.
            _ => {
                *locked(&self.unfit) = None;
                if self.unable().end() {
                    tracing::info!(channel = %self.channel, "messages can be sealed again");
                }
                Ok(())
            }
        }
    }

    fn unable(&self) -> Condition {
        Condition::error("cannot seal", &self.channel.section())
    }

    fn log_unfit(&self, why: &str) {
        *locked(&self.unfit) = Some(why.to_owned());
        if self.unable().is_due(why) {
            tracing::error!(
                channel = %self.channel, reason = why,
                "no message can be sealed; all stay in outgoing and are sent once this is fixed",
            );
        }
    }

    /// Waits until the channel can seal again, or a stop is asked for.
    pub(super) async fn wait(&self, shutdown: &Shutdown) {
        while !shutdown.asked() && self.check().await.is_err() {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = shutdown.draining() => return,
            }
        }
    }

    /// Why the channel could not seal at the last check.
    pub(super) fn fault(&self) -> Option<String> {
        locked(&self.unfit).clone()
    }
}
