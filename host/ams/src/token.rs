//! Where the token comes from, and when it is fetched again.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use message::daily::Condition;
use message::locked;
use serde::Deserialize;
use tokio::sync::Mutex as Flight;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::answer;
use crate::fault::{Fault, TokenError, TokenFault};
use crate::http::{Answer, Http, Outgoing, Timing};
use crate::names::Endpoint;
use crate::secret::Token;

/// How much of the token service's answer is read, in bytes.
const BOUND: usize = 64 << 10;
/// A new token that AMS refuses too is replaced again after this, so that a long-running process recovers.
const AGAIN_AFTER: Duration = Duration::from_secs(900);

/// Where the token comes from.
#[derive(Clone)]
pub enum TokenSource {
    /// The configuration.
    Fixed(Token),
    /// The authentication service, which takes a client certificate for it.
    X509 {
        /// The authentication service: mostly AMS's host at port [`Endpoint::AUTHENTICATION`].
        service: Endpoint,
        /// Holds the client certificate. It is used for `service` alone, and AMS itself never sees the certificate.
        tls: Arc<rustls::ClientConfig>,
        /// The token that is used while the authentication service gives none (SSM's `token`).
        otherwise: Option<Token>,
    },
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(token) => f.debug_tuple("Fixed").field(token).finish(),
            Self::X509 { service, .. } => f.debug_struct("X509").field("service", service).finish_non_exhaustive(),
        }
    }
}

/// The token of a client: fetched when it is first needed, and again once when AMS refuses it.
pub(crate) enum Tokens {
    Fixed(Token),
    Fetched(Box<Fetched>),
}

pub(crate) struct Fetched {
    service: Endpoint,
    ams: String,
    http: Http,
    otherwise: Option<Token>,
    /// Held by the one request that fetches a token. The others wait for it and share what comes of it.
    flight: Flight<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    /// Whether that is the token for want of one from the service.
    is_otherwise: bool,
    /// Counts the tokens, so that of several requests with a refused one the first fetches another for all.
    generation: u64,
    /// When the last token was fetched because AMS refused the one before; nothing once a token worked.
    replaced: Option<Instant>,
    /// Counts the failures to fetch one, and the last of them.
    failures: u64,
    failure: Option<Arc<TokenError>>,
}

impl State {
    fn issue(&mut self, token: Token, is_otherwise: bool) -> Issued {
        self.token = Some(token.clone());
        self.is_otherwise = is_otherwise;
        self.generation += 1;
        Issued { token, generation: self.generation }
    }

    /// The token, if it is another than that of generation `refused`.
    fn issued(&self, refused: u64) -> Option<Issued> {
        let token = self.token.clone().filter(|_| self.generation != refused)?;
        Some(Issued { token, generation: self.generation })
    }
}

/// A token, and which one it is.
pub(crate) struct Issued {
    pub(crate) token: Token,
    generation: u64,
}

impl Tokens {
    /// The tokens of `source` for the host `ams`.
    pub(crate) fn new(source: TokenSource, ams: &Endpoint, proxy: Option<Endpoint>, timing: Timing) -> Self {
        match source {
            TokenSource::Fixed(token) => Self::Fixed(token),
            TokenSource::X509 { service, tls, otherwise } => {
                let http = Http::new(service.clone(), proxy, tls, timing, 0);
                let ams = ams.host().to_owned();
                Self::Fetched(Box::new(Fetched {
                    service,
                    ams,
                    http,
                    otherwise,
                    flight: Flight::default(),
                    state: Mutex::default(),
                }))
            }
        }
    }

    /// The current token.
    pub(crate) async fn current(&self) -> Result<Issued, Fault> {
        match self {
            Self::Fixed(token) => Ok(Issued { token: token.clone(), generation: 0 }),
            Self::Fetched(fetched) => fetched.other_than(None).await,
        }
    }

    /// Another token than `refused`, or what the refusal means if there is none.
    pub(crate) async fn another(&self, refused: &Issued) -> Result<Issued, Fault> {
        match self {
            Self::Fixed(_) => Err(Fault::Unauthorised { renewed: false }),
            Self::Fetched(fetched) => fetched.other_than(Some(refused.generation)).await,
        }
    }

    /// AMS took this token.
    pub(crate) fn worked(&self, used: &Issued) {
        if let Self::Fetched(fetched) = self {
            let mut state = locked(&fetched.state);
            if state.generation == used.generation {
                state.replaced = None;
            }
        }
    }
}

impl Fetched {
    /// A token that is not of generation `refused`. The first is of generation 1.
    async fn other_than(&self, refused: Option<u64>) -> Result<Issued, Fault> {
        let failures = {
            let state = locked(&self.state);
            if let Some(issued) = state.issued(refused.unwrap_or(0)) {
                return Ok(issued);
            }
            state.failures
        };
        let _flight = self.flight.lock().await;
        {
            let state = locked(&self.state);
            if let Some(issued) = state.issued(refused.unwrap_or(0)) {
                return Ok(issued);
            }
            match &state.failure {
                Some(failure) if state.failures != failures => return Err(Fault::Token(Arc::clone(failure))),
                _ => {}
            }
            if refused.is_some() && state.replaced.is_some_and(|at| at.elapsed() < AGAIN_AFTER) {
                return Err(Fault::Unauthorised { renewed: true });
            }
        }
        self.renew(refused.is_some()).await
    }

    async fn renew(&self, replaces: bool) -> Result<Issued, Fault> {
        let fetched = self.fetch().await;
        let mut state = locked(&self.state);
        match fetched {
            Ok(token) => {
                tracing::debug!(service = %self.service, "fetched a token");
                without_token(&self.service).end();
                state.replaced = replaces.then(Instant::now);
                Ok(state.issue(token, false))
            }
            Err(fault) => {
                let failure = Arc::new(TokenError { service: self.service.clone(), fault });
                if let Some(token) = &self.otherwise {
                    // AMS has just refused it: the service is asked again with the next request.
                    if replaces && state.is_otherwise {
                        return Err(Fault::Unauthorised { renewed: false });
                    }
                    let error = message::cause::chain(&*failure);
                    if without_token(&self.service).is_due(&error) {
                        tracing::warn!(service = %self.service, error, "no token for our certificate; using the token of the configuration");
                    }
                    return Ok(state.issue(token.clone(), true));
                }
                state.failures += 1;
                state.failure = Some(Arc::clone(&failure));
                Err(Fault::Token(failure))
            }
        }
    }

    /// `GET /v1/service-types/ams/hosts/HOST:authx509` ([Authentication](crate#authentication)).
    async fn fetch(&self) -> Result<Token, TokenFault> {
        let path = format!("/v1/service-types/ams/hosts/{}:authx509", self.ams);
        let outgoing = Outgoing { path: &path, json: None, token: None, bound: BOUND };
        let answer = self.http.send(outgoing).await.map_err(TokenFault::Request)?;
        if answer.status != 200 {
            return Err(self.refusal(&answer));
        }
        let answer: Given = serde_json::from_slice(&answer.body).map_err(|_| TokenFault::NoToken)?;
        let token = Zeroizing::new(answer.token);
        Token::new(&token).map_err(|_| TokenFault::NoToken)
    }

    fn refusal(&self, answer: &Answer) -> TokenFault {
        let words = answer::words(&answer.body, None);
        // A web server before the service checks certificates as well, and says so on a page of its own.
        let or_page = |words: Option<String>| words.unwrap_or_else(|| answer::said(&answer.body, None));
        match (answer.status, words) {
            (400, words) => TokenFault::NoCertificate { words: or_page(words) },
            (403, words) => TokenFault::CertificateRefused { words: or_page(words) },
            (404, Some(words)) => TokenFault::NotBound { ams: self.ams.clone(), words },
            (500, Some(words)) => TokenFault::Service { words },
            (status, _) => TokenFault::Request(answer::other(status, &answer.body)),
        }
    }
}

/// `{"token":"…"}`
#[derive(Deserialize)]
struct Given {
    token: String,
}

/// What is logged while the service gives no token.
fn without_token(service: &Endpoint) -> Condition {
    Condition::warning("no token", &service.to_string())
}
