//! Connects to the first broker of a list that answers (TCP, TLS, CONNECT), and retries with a back-off.
//!
//! # Policy
//! - A round tries every broker of the list in order, from the first. Names are resolved in every round, and every
//!   address is tried.
//! - The pause between rounds is random, up to a limit that doubles from 1 s to 60 s ("full jitter"), and at least half
//!   a second. A session that ended in less than [`Timing::stable`] counts as a failed round, so that a broker that
//!   accepts and closes is not retried in a hot loop.
//! - [`Connector::connect`] retries forever; drop its future to stop.

mod address;
mod attempt;
mod error;
mod first_bytes;

use std::sync::Arc;
use std::time::Duration;

use message::cause::chain;
use message::daily::Condition;
use tokio::time::{Instant, sleep};

use super::session::{Session, SessionOptions};

pub use self::address::{Address, InvalidAddress};
pub use self::error::ConnectError;

/// The deadlines and pauses of a connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Deadline of the name lookup, of the TCP connection and of the TLS handshake each.
    pub attempt: Duration,
    /// Deadline of the TCP connection to an address that is not the last one of its name.
    pub address: Duration,
    /// Maximum of the first pause.
    pub first_pause: Duration,
    /// Maximum of any pause.
    pub longest_pause: Duration,
    /// A session that lasted this long resets the back-off.
    pub stable: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            attempt: Duration::from_secs(15),
            address: dial::EARLIER_ADDRESS,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
            stable: Duration::from_secs(10),
        }
    }
}

/// Looks up the known defect of our certificate as a TLS client when a broker refuses it.
#[derive(Clone)]
pub struct OwnCertificate(Arc<dyn Fn() -> Option<String> + Send + Sync>);

impl OwnCertificate {
    /// Calls `known` at each refusal.
    #[must_use]
    pub fn new(known: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(known))
    }
}

impl std::fmt::Debug for OwnCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OwnCertificate")
    }
}

/// Opens sessions with the first broker of a list that answers.
#[derive(Debug)]
pub struct Connector {
    brokers: Vec<Address>,
    tls: Option<Arc<rustls::ClientConfig>>,
    options: SessionOptions,
    timing: Timing,
    own: Option<OwnCertificate>,
    failures: u32,
    opened: Option<Instant>,
    broker: Option<Address>,
}

impl Connector {
    /// A connector to `brokers`, over TLS if a configuration is given. That configuration verifies the broker's
    /// certificate and contains ours.
    #[must_use]
    pub fn new(brokers: Vec<Address>, tls: Option<Arc<rustls::ClientConfig>>, options: SessionOptions) -> Self {
        let timing = Timing::default();
        Self { brokers, tls, options, timing, own: None, failures: 0, opened: None, broker: None }
    }

    /// This connector with other deadlines and pauses.
    #[must_use]
    pub fn with_timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// A connector to the broker of the list with this address; `None` if the list does not contain it.
    #[must_use]
    pub fn to(&self, broker: &str) -> Option<Self> {
        let broker = self.brokers.iter().find(|known| known.to_string() == broker)?;
        let one = Self::new(vec![broker.clone()], self.tls.clone(), self.options.clone()).with_timing(self.timing);
        Some(Self { own: self.own.clone(), ..one })
    }

    /// This connector with errors that name the known defect of our certificate when a broker refuses it.
    #[must_use]
    pub fn with_own_certificate(mut self, own: OwnCertificate) -> Self {
        self.own = Some(own);
        self
    }

    /// The broker of the last session.
    #[must_use]
    pub fn broker(&self) -> Option<&Address> {
        self.broker.as_ref()
    }

    /// Retries until a session is open and logs every failed attempt. Cancel-safe: dropping the future stops it.
    pub async fn connect(&mut self) -> Session {
        match self.opened.take() {
            Some(opened) if opened.elapsed() < self.timing.stable => self.pause().await,
            Some(_) => self.failures = 0,
            None => {}
        }
        loop {
            match self.connect_once().await {
                Ok(session) => return session,
                Err(failures) => {
                    let all: Vec<String> =
                        failures.iter().map(|(broker, error)| format!("{broker}: {}", chain(error))).collect();
                    self.options.counters.count_failed(all.join("; "));
                    for (broker, error) in &failures {
                        let error = chain(error);
                        if away(broker).is_due(&error) {
                            tracing::warn!(broker = %broker, error, "cannot connect");
                        }
                    }
                }
            }
            self.pause().await;
        }
    }

    /// Notes that the last session served its purpose, however early it ended: pauses start again with the shortest.
    pub fn served(&mut self) {
        self.failures = 0;
    }

    /// Tries every broker once.
    ///
    /// # Errors
    /// Every failed address with its error; empty if the list of brokers is empty.
    pub async fn connect_once(&mut self) -> Result<Session, Vec<(Address, ConnectError)>> {
        let session = self.open_first().await?;
        if let Some(broker) = &self.broker {
            away(broker).end();
            tracing::info!(broker = %broker, version = %session.version(), server = session.server(), "connected");
        }
        Ok(session)
    }

    /// As [`connect_once`](Self::connect_once), for an additional connection: success is not logged.
    ///
    /// # Errors
    /// As [`connect_once`](Self::connect_once).
    pub async fn connect_beside(&mut self) -> Result<Session, Vec<(Address, ConnectError)>> {
        self.open_first().await
    }

    async fn open_first(&mut self) -> Result<Session, Vec<(Address, ConnectError)>> {
        let mut failures = Vec::new();
        for broker in &self.brokers {
            match attempt::open(broker, self.tls.as_ref(), &self.options, &self.timing).await {
                Ok(session) => {
                    self.opened = Some(Instant::now());
                    self.broker = Some(broker.clone());
                    return Ok(session);
                }
                Err(errors) => {
                    let known = || self.own.as_ref().and_then(|own| (own.0)());
                    failures.extend(errors.into_iter().map(|error| (broker.clone(), error.advise(known))));
                }
            }
        }
        Err(failures)
    }

    async fn pause(&mut self) {
        self.failures = self.failures.saturating_add(1);
        let pause = pause_after(self.failures, &self.timing);
        tracing::debug!(pause = %message::duration::words(pause), "waiting before the next attempt");
        sleep(pause).await;
    }
}

/// What is logged while a broker does not answer.
fn away(broker: &Address) -> Condition {
    Condition::warning("cannot connect", &broker.to_string())
}

/// A random pause after this many consecutive failed rounds.
fn pause_after(failures: u32, timing: &Timing) -> Duration {
    let doubled = timing.first_pause.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let most = doubled.min(timing.longest_pause);
    let least = timing.first_pause.min(most) / 2;
    least + (most - least).mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests;
