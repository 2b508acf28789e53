//! What can go wrong, by meaning.

use std::sync::Arc;
use std::time::Duration;

use crate::connect::ConnectError;
use crate::names::Endpoint;

/// What went wrong with one request. The texts follow `cannot publish to …: `. `words` are the server's, escaped and
/// cut short, and empty where it had none.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Not sent: AMS stores attributes without escaping them, and one such message makes every later pull fail.
    #[error(
        "attribute {name:?} has a double quote, a backslash or a control character, which AMS would store as broken \
         JSON: nothing was sent"
    )]
    Attribute {
        /// The attribute.
        name: String,
    },
    /// Not sent: an id of another project than the client's.
    #[error("the acknowledgement id {id} is not of this project: nothing was sent")]
    NotOurs {
        /// The id.
        id: String,
    },
    /// 401, also with a new token if the token service was asked.
    #[error("AMS does not accept the token (401): {}", advice_on_token(*renewed))]
    Unauthorised {
        /// Whether the token is one that the token service gave.
        renewed: bool,
    },
    /// 403: the user that the token belongs to has no right, or is not in the list of the topic or subscription.
    #[error(
        "the user of this token has no right to do so (403){}: ask the project's administrator for it",
        said(words)
    )]
    Forbidden {
        /// Names the user where the server does.
        words: String,
    },
    /// 404: project, topic or subscription.
    #[error("the project, or what is named in it, does not exist (404){}: check both names", said(words))]
    NotFound {
        /// Says which of the two.
        words: String,
    },
    /// 409 on a pull: the topic of the subscription was deleted.
    #[error(
        "the topic of the subscription does not exist any more (409){}: ask the project's administrator",
        said(words)
    )]
    TopicGone {
        /// The server's.
        words: String,
    },
    /// 413: the stored form of a message is longer than AMS takes. The same message never passes.
    #[error("AMS takes no message of this size (413){}: send less in one message", said(words))]
    TooLarge {
        /// The server's.
        words: String,
    },
    /// 400 on publishing: the topic's schema, or a request that AMS does not understand.
    #[error("AMS refuses the messages (400){}: see the schema of the topic", said(words))]
    Schema {
        /// The validator's.
        words: String,
    },
    /// 408 on acknowledging: later than the subscription's deadline. The messages come again.
    #[error(
        "the acknowledgement came after the deadline of the subscription (408): the messages will be delivered again; \
         ask the project's administrator for a longer deadline if this repeats"
    )]
    AckTimeout,
    /// 500 "wrong ack": the id is outside of what the latest pull may acknowledge.
    #[error(
        "the id is outside of what the latest pull delivered (500){}: another consumer pulls from this subscription, \
         or the messages were acknowledged before",
        said(words)
    )]
    WrongAck {
        /// The server's.
        words: String,
    },
    /// 500 "no ack pending": the messages were acknowledged before, or nothing was pulled since.
    #[error("nothing waits for an acknowledgement (500){}: an earlier one may have been taken", said(words))]
    NoAckPending {
        /// The server's.
        words: String,
    },
    /// 400 on acknowledging: AMS does not know the id.
    #[error("AMS does not take the acknowledgement id (400){}", said(words))]
    AckRefused {
        /// The server's.
        words: String,
    },
    /// 500 on a pull: a message that cannot be read blocks the subscription.
    #[error(
        "a stored message is not valid JSON and blocks the subscription (500){}: only modifyOffset passes it, for \
         which the project's administrator has the right",
        said(words)
    )]
    Poisoned {
        /// The server's.
        words: String,
    },
    /// 500 with any other words, such as "Backend Error".
    #[error("AMS has an internal failure ({status}){}", said(words))]
    Backend {
        /// The status, 500 to 599.
        status: u16,
        /// The server's.
        words: String,
    },
    /// 408, 429, 502, 503, 504, or any 5xx without words of AMS: mostly a load balancer without an AMS behind it.
    #[error("AMS is not available ({status}){}", said(words))]
    Unavailable {
        /// The status.
        status: u16,
        /// The balancer's.
        words: String,
    },
    /// Any other status that AMS explains.
    #[error("AMS refuses the request ({status}){}", said(words))]
    Refused {
        /// The status.
        status: u16,
        /// The server's.
        words: String,
    },
    /// A status, also a redirection, without the words that AMS would add.
    #[error("the answer ({status}) is not one of AMS{}: check host and port", said(words))]
    NotAms {
        /// The status.
        status: u16,
        /// The server's.
        words: String,
    },
    /// The connection ended in the middle of an answer.
    #[error("the answer was cut off after {got} bytes")]
    CutOff {
        /// How much was read, in bytes.
        got: usize,
    },
    /// The answer is longer than is read.
    #[error("the answer is longer than {bound} bytes, the most that is read")]
    TooLong {
        /// The bound, in bytes.
        bound: usize,
    },
    /// The answer did not end in time.
    #[error("the answer did not end within {} s", after.as_secs_f32())]
    Endless {
        /// The deadline for the whole request.
        after: Duration,
    },
    /// The answer is not JSON, or lacks what it must have.
    #[error("the answer cannot be understood: {what}")]
    NotUnderstood {
        /// What is wrong with it.
        what: String,
    },
    /// AMS must name an id for each message.
    #[error("AMS answered with {got} ids where {sent} {} due", if *sent == 1 { "was" } else { "were" })]
    Ids {
        /// How many messages were sent.
        sent: usize,
        /// How many ids came back.
        got: usize,
    },
    /// An acknowledgement id in a pull that is not of this subscription, or has no offset.
    #[error("a pulled message has the acknowledgement id {id:?}, which is none of this subscription")]
    ForeignAckId {
        /// The id, fit to be shown.
        id: String,
    },
    /// The deadline passed before the request was on its way: nothing happened.
    #[error("the request could not be sent within {} s", after.as_secs_f32())]
    NotSent {
        /// The deadline.
        after: Duration,
    },
    /// The deadline passed after the request was sent.
    #[error("no answer within {} s", after.as_secs_f32())]
    NoAnswer {
        /// The deadline.
        after: Duration,
    },
    /// The connection failed before the answer.
    #[error("the connection failed before the answer: {reason}")]
    Lost {
        /// Whether the whole request had been handed to the connection.
        sent: bool,
        /// How.
        reason: String,
    },
    /// There is no connection.
    #[error(transparent)]
    Connect(Arc<ConnectError>),
    /// There is no token.
    #[error(transparent)]
    Token(Arc<TokenError>),
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
#[error("no token from {service}: {fault}")]
pub struct TokenError {
    /// The token service.
    pub service: Endpoint,
    /// What went wrong.
    #[source]
    pub fault: TokenFault,
}

/// What went wrong with the request for a token.
#[derive(Debug, thiserror::Error)]
pub enum TokenFault {
    /// 400: it saw no client certificate.
    #[error("it saw no client certificate (400){}: check certificate and key of this host", said(words))]
    NoCertificate {
        /// The server's.
        words: String,
    },
    /// 403: expired, not yet valid, revoked, of another host, or without a CRL distribution point.
    #[error(
        "it does not accept our certificate (403){}: the certificate is expired, not yet valid, revoked, of another \
         host, or has no CRL distribution point",
        said(words)
    )]
    CertificateRefused {
        /// The server's.
        words: String,
    },
    /// 404: the certificate is bound to no user of AMS, or the service does not serve this AMS.
    #[error(
        "our certificate is bound to no user of {ams} (404){}: the host's DN must be registered (in GOCDB), exactly as \
         the certificate has it",
        said(words)
    )]
    NotBound {
        /// The host of AMS.
        ams: String,
        /// The server's.
        words: String,
    },
    /// 500: AMS behind it failed.
    #[error("AMS behind it failed (500){}", said(words))]
    Service {
        /// The server's.
        words: String,
    },
    /// The answer holds no token, or one that cannot be sent. It is not shown.
    #[error("its answer holds no usable token")]
    NoToken,
    /// Anything else, as for a request to AMS.
    #[error(transparent)]
    Request(Fault),
}

impl Fault {
    /// See [`Error::is_transient`](crate::Error::is_transient).
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Backend { .. }
            | Self::Unavailable { .. }
            | Self::AckTimeout
            | Self::CutOff { .. }
            | Self::Endless { .. }
            | Self::Ids { .. }
            | Self::NotSent { .. }
            | Self::NoAnswer { .. }
            | Self::Lost { .. } => true,
            Self::Connect(error) => error.is_transient(),
            Self::Token(error) => match &error.fault {
                TokenFault::Service { .. } => true,
                TokenFault::Request(fault) => fault.is_transient(),
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether AMS may have done what a request with `messages` messages asked, or a part of it.
    pub(crate) fn may_have_been_taken(&self, messages: usize) -> bool {
        match self {
            // Messages are published one after the other: those before the one that is refused are there.
            Self::TooLarge { .. } | Self::Schema { .. } => messages > 1,
            Self::Unavailable { status, .. } => *status != 429,
            Self::Lost { sent, .. } => *sent,
            Self::Backend { .. }
            | Self::CutOff { .. }
            | Self::TooLong { .. }
            | Self::Endless { .. }
            | Self::NotUnderstood { .. }
            | Self::Ids { .. }
            | Self::NoAnswer { .. } => true,
            _ => false,
        }
    }
}

fn advice_on_token(renewed: bool) -> &'static str {
    if renewed {
        "a new one from the token service is not accepted either; ask the administrators of AMS"
    } else {
        "check the token in the configuration"
    }
}

fn said(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!(", it says: {words}") }
}
