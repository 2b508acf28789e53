//! Finding a broker: the list in order, every address of each, TCP, TLS, CONNECT; and again with a back-off until one
//! answers.
//!
//! # Policy
//! - A round tries every broker of the list in order, from the first; a name is resolved again each time and every
//!   address is tried.
//! - Between rounds the pause is random, up to a limit that doubles from 1 s to 60 s ("full jitter"), and never below half
//!   a second. A session that lived for less than [`Timing::stable`] counts as a failed round, so that a broker that
//!   accepts and closes is not retried in a hot loop.
//! - Nothing here gives up. To stop, drop the future of [`Connector::connect`].

mod address;
mod dial;
mod error;
mod opening;

use std::sync::Arc;
use std::time::Duration;

use message::cause::chain;
use tokio::time::{Instant, sleep};

use super::session::{Session, SessionOptions};

pub use self::address::{Address, InvalidAddress};
pub use self::error::ConnectError;

/// The deadlines and pauses of a connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// For the TCP connection, and again for the TLS handshake.
    pub attempt: Duration,
    /// For the TCP connection to an address that is not the last one of its name.
    pub address: Duration,
    /// The first pause is at most this long.
    pub first_pause: Duration,
    /// No pause is longer.
    pub longest_pause: Duration,
    /// A session that lived this long was a good one.
    pub stable: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            attempt: Duration::from_secs(15),
            address: Duration::from_secs(4),
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
            stable: Duration::from_secs(10),
        }
    }
}

/// Says what is known to be wrong with our certificate as a TLS client, if anything, when a broker refuses it.
#[derive(Clone)]
pub struct OwnCertificate(Arc<dyn Fn() -> Option<String> + Send + Sync>);

impl OwnCertificate {
    /// Asks `known` at each refusal.
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
    /// A connector to `brokers`, over TLS where a configuration is given. That configuration verifies the broker's
    /// certificate and holds ours.
    #[must_use]
    pub fn new(brokers: Vec<Address>, tls: Option<Arc<rustls::ClientConfig>>, options: SessionOptions) -> Self {
        let timing = Timing::default();
        Self { brokers, tls, options, timing, own: None, failures: 0, opened: None, broker: None }
    }

    /// The same with other deadlines and pauses.
    #[must_use]
    pub fn with_timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// A connector to the one broker of the list that is written like this.
    #[must_use]
    pub fn to(&self, broker: &str) -> Option<Self> {
        let broker = self.brokers.iter().find(|known| known.to_string() == broker)?;
        let one = Self::new(vec![broker.clone()], self.tls.clone(), self.options.clone()).with_timing(self.timing);
        Some(Self { own: self.own.clone(), ..one })
    }

    /// The same, and errors name what is known of our certificate when a broker refuses it.
    #[must_use]
    pub fn with_own_certificate(mut self, own: OwnCertificate) -> Self {
        self.own = Some(own);
        self
    }

    /// The broker that the last session was opened with.
    #[must_use]
    pub fn broker(&self) -> Option<&Address> {
        self.broker.as_ref()
    }

    /// Tries until a session is open. Each failure is logged once. Cancel-safe: dropped, it stops.
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
                    for (broker, error) in &failures {
                        tracing::warn!(broker = %broker, error = %chain(error), "cannot connect");
                    }
                }
            }
            self.pause().await;
        }
    }

    /// The last session did what it was for, however soon it ended: pauses start again with the shortest.
    pub fn served(&mut self) {
        self.failures = 0;
    }

    /// Tries every broker once.
    ///
    /// # Errors
    /// Every address that failed, with its reason; empty if the list of brokers is.
    pub async fn connect_once(&mut self) -> Result<Session, Vec<(Address, ConnectError)>> {
        let session = self.open_first().await?;
        if let Some(broker) = &self.broker {
            tracing::info!(broker = %broker, version = %session.version(), server = session.server(), "connected");
        }
        Ok(session)
    }

    /// The same for a connection beside another one, of which the log has no line.
    ///
    /// # Errors
    /// As [`connect_once`](Self::connect_once).
    pub async fn connect_beside(&mut self) -> Result<Session, Vec<(Address, ConnectError)>> {
        self.open_first().await
    }

    async fn open_first(&mut self) -> Result<Session, Vec<(Address, ConnectError)>> {
        let mut failures = Vec::new();
        for broker in &self.brokers {
            match dial::open(broker, self.tls.as_ref(), &self.options, &self.timing).await {
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

/// A random pause after so many failed rounds in a row.
fn pause_after(failures: u32, timing: &Timing) -> Duration {
    let doubled = timing.first_pause.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let most = doubled.min(timing.longest_pause);
    let least = timing.first_pause.min(most) / 2;
    least + (most - least).mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests;
