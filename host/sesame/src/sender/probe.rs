//! The probe sent ahead of a suspect: an empty message that every receiver ignores.
//!
//! A broker refuses a message with ERROR or by closing the connection, and does both for other reasons too. Before a suspect
//! is sent again, alone, an empty message with the id `ping` goes to each of its destinations. Receivers of SSM 2.0.0 sent
//! such messages to keep their connections open; SSM and Sesame ignore them. If the broker takes the probe and refuses the
//! suspect, the suspect is at fault.

use std::collections::BTreeSet;

use bytes::Bytes;
use tokio::task::JoinSet;

use super::prepare::Prepared;
use stomp::{Receipt, SendFailure, SendFrame, Session};

/// The message id that receivers ignore together with an empty body (EMPA, as SSM 2.0.0 to 2.1.0 sent it).
const PING: &str = "ping";

/// A suspect whose probes wait for their receipts.
pub(super) struct Probe {
    suspect: Prepared,
    answers: JoinSet<Result<Receipt, SendFailure>>,
}

/// The result of a probe.
pub(super) enum Probed {
    /// The broker has every probe: the suspect may go.
    Taken(Prepared),
    /// It does not, or the session is over: nothing is known about the suspect, which is unlocked.
    Refused {
        /// Its content.
        bytes: usize,
    },
}

impl Probe {
    /// Sends one probe to each destination of `suspect`.
    pub(super) async fn send(session: &Session, suspect: Prepared) -> Self {
        let destinations: BTreeSet<&str> = suspect.parts().iter().map(|part| part.destination.as_str()).collect();
        let mut answers = JoinSet::new();
        for destination in destinations {
            let headers = vec![("empa-id".to_owned(), PING.to_owned())];
            let frame = SendFrame { destination: destination.to_owned(), headers, body: Bytes::new() };
            match session.send(frame).await {
                Ok(pending) => drop(answers.spawn(pending)),
                Err(failure) => drop(answers.spawn(std::future::ready(Err(failure)))),
            }
        }
        Self { suspect, answers }
    }

    /// Whether the broker took the next probe, once it says so; `None` when all have been answered.
    async fn next(&mut self) -> Option<bool> {
        let answer = self.answers.join_next().await?;
        Some(matches!(answer, Ok(Ok(_receipt))))
    }
}

/// The result of the probe in flight; pending forever if there is none. Cancel-safe.
pub(super) async fn answer(probe: &mut Option<Probe>) -> Probed {
    let Some(waiting) = probe else { return std::future::pending().await };
    let mut taken = true;
    while let Some(answer) = waiting.next().await {
        taken = answer;
        if !taken {
            break;
        }
    }
    match probe.take() {
        Some(Probe { suspect, .. }) if taken => Probed::Taken(suspect),
        ended => Probed::Refused { bytes: ended.map_or(0, |probe| probe.suspect.bytes) },
    }
}
