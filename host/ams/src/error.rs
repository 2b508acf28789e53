//! What was asked, of whom, and what went wrong.

use std::fmt;

use crate::call::Call;
use crate::fault::Fault;
use crate::names::Endpoint;

/// A request to AMS that failed. Its text says what was asked, what is wrong and what to do, on one line.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    call: Call,
    at: Endpoint,
    fault: Fault,
}

impl Error {
    pub(crate) fn new(call: &Call, at: &Endpoint, fault: Fault) -> Self {
        Self(Box::new(Inner { call: call.clone(), at: at.clone(), fault }))
    }

    /// What went wrong.
    #[must_use]
    pub fn fault(&self) -> &Fault {
        &self.0.fault
    }

    /// What was asked.
    #[must_use]
    pub fn call(&self) -> &Call {
        &self.0.call
    }

    /// Whether it may pass by itself, so that a later attempt makes sense: connections, time-outs, 408, 429, 500, 502,
    /// 503 and 504 ([Faults](crate#faults)). A message near the size limit may be answered with 500 for ever: do not
    /// repeat that without end.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.0.fault.is_transient()
    }

    /// Whether AMS may have published or acknowledged all or some of it, so that a repetition may make duplicates
    /// ([Publishing](crate#publishing)). Never for what changes nothing, such as a pull.
    #[must_use]
    pub fn may_have_been_taken(&self) -> bool {
        let messages = if let Call::Publish { messages, .. } = self.call() { *messages } else { 1 };
        self.call().changes() && self.0.fault.may_have_been_taken(messages)
    }

    /// Whether [`Client::offsets`](crate::Client::offsets) shows if the acknowledgement was taken: `current` is beyond
    /// the id then. So after "wrong ack", "no ack pending" and every lost answer.
    #[must_use]
    pub fn settles_by_offsets(&self) -> bool {
        let refused = matches!(self.fault(), Fault::WrongAck { .. } | Fault::NoAckPending { .. });
        matches!(self.call(), Call::Acknowledge { .. }) && (refused || self.may_have_been_taken())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { call, at, fault } = &*self.0;
        write!(f, "cannot {call} at {at}: {fault}")?;
        match call {
            _ if !self.may_have_been_taken() => Ok(()),
            Call::Publish { messages: 1, .. } => f.write_str("; the message may have been published all the same"),
            Call::Publish { .. } => f.write_str("; some or all messages may have been published all the same"),
            _ => f.write_str("; the acknowledgement may have been taken all the same"),
        }
    }
}

impl std::error::Error for Error {
    /// The cause of the fault, whose own text is part of this error's.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.fault.source()
    }
}
