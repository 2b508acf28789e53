//! What is between the sites of the demo: a broker, or a server of AMS, on the loopback interface.

use std::io;

use super::pki::Pki;
use testkit::ams::{self, Server};
use testkit::broker::Broker;

const QUEUE: &str = "/queue/demo";
const PROJECT: &str = "accounting";
const TOPIC: &str = "jobs";
const SUBSCRIPTION: &str = "central";
const USER: &str = "demo";

/// The protocol of the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// A STOMP broker.
    Stomp,
    /// The ARGO Messaging Service.
    Ams,
}

/// A running server.
#[derive(Debug)]
pub enum Service {
    /// A STOMP broker.
    Stomp(Broker),
    /// The ARGO Messaging Service.
    Ams(Server),
}

impl Service {
    pub(super) async fn start(protocol: Protocol, pki: &Pki) -> io::Result<Self> {
        match protocol {
            Protocol::Stomp => Broker::start(Some(pki.requiring.clone())).await.map(Self::Stomp),
            Protocol::Ams => {
                let tls = Some(pki.requesting.clone());
                let server = Server::start(ams::Settings { tls, ..ams::Settings::default() }).await?;
                let token = format!("{:032x}", fastrand::u128(..));
                server.create(PROJECT, TOPIC, SUBSCRIPTION, USER, &token);
                pki.subjects.iter().for_each(|subject| server.bind(subject, USER));
                Ok(Self::Ams(server))
            }
        }
    }

    /// The section `[broker.demo]`.
    pub(super) fn section(&self) -> String {
        match self {
            Self::Stomp(broker) => format!("[broker.demo]\nhosts = [\"localhost:{}\"]\n", broker.address().port()),
            Self::Ams(server) => format!(
                "[broker.demo]\nkind = \"ams\"\nhost = \"localhost:{}\"\nauth-host = \"localhost:{}\"\n\
                 project = \"{PROJECT}\"\n",
                server.address().port(),
                server.authentication_address().port()
            ),
        }
    }

    /// Where a sender sends to, as a line of its section.
    pub(super) fn target(&self) -> String {
        match self {
            Self::Stomp(_) => format!("destination = \"{QUEUE}\""),
            Self::Ams(_) => format!("destination = \"{TOPIC}\""),
        }
    }

    /// What a receiver receives from, as a line of its section.
    pub(super) fn source(&self) -> String {
        match self {
            Self::Stomp(_) => format!("destination = \"{QUEUE}\""),
            Self::Ams(_) => format!("subscription = \"{SUBSCRIPTION}\""),
        }
    }

    /// Whether everything that was sent is acknowledged.
    pub(super) fn is_drained(&self) -> bool {
        match self {
            Self::Stomp(broker) => broker.depth(QUEUE) == 0,
            Self::Ams(server) => {
                let sent = u64::try_from(server.messages(PROJECT, TOPIC).len()).ok();
                server.offset(PROJECT, SUBSCRIPTION) == sent
            }
        }
    }

    /// What it is, as a sentence.
    #[must_use]
    pub fn introduction(&self) -> String {
        match self {
            Self::Stomp(broker) => {
                format!("A broker listens on {} with TLS and requires client certificates.", broker.address())
            }
            Self::Ams(server) => format!(
                "A server of AMS listens on {} with TLS; at {} it gives tokens for client certificates.",
                server.address(),
                server.authentication_address()
            ),
        }
    }

    /// How it confirms a message.
    #[must_use]
    pub fn confirmation(&self) -> &'static str {
        match self {
            Self::Stomp(_) => "confirmed with a RECEIPT; only then removed from outgoing",
            Self::Ams(_) => "stored under a message id; only then removed from outgoing",
        }
    }
}
