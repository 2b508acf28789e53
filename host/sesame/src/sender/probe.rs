//! The probe sent ahead of a suspect: an empty message that every receiver ignores.
//!
//! A broker refuses a message with ERROR or by closing the connection, and does both for other reasons too. Before a suspect
//! is sent again, alone, an empty message with the id `ping` goes to each of its destinations. Receivers of SSM 2.0.0 sent
//! such messages to keep their connections open; SSM and Sesame ignore them. If the broker takes the probe and refuses the
//! suspect, the suspect is at fault.

use std::collections::BTreeSet;

use tokio::task::JoinSet;

use super::prepare::Prepared;
use transport::{Destination, Receipt, SendFailure, Session};

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
        let destinations: BTreeSet<&Destination> = suspect.parts().iter().map(|part| &part.destination).collect();
        let mut answers = JoinSet::new();
        for destination in destinations {
            match session.probe(destination.clone()).await {
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
