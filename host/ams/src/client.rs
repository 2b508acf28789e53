//! The client: what a sender and a receiver ask of AMS.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::answer;
use crate::call::Call;
use crate::error::Error;
use crate::fault::Fault;
use crate::http::{Answer, Http, Limits, Outgoing, Timing};
use crate::names::{Endpoint, Project, Subscription, Topic};
use crate::publication::{MessageId, Messages, Publication, Published};
use crate::quote::quoted;
use crate::received::{AckId, Offsets, Pulled, Received, text};
use crate::secret::Token;
use crate::tls::anonymous;
use crate::token::{TokenSource, Tokens};

/// How many idle connections are kept.
const IDLE_CONNECTIONS: usize = 4;

/// What a client needs to know.
#[derive(Clone)]
pub struct Settings {
    /// AMS.
    pub endpoint: Endpoint,
    /// The project of all topics and subscriptions.
    pub project: Project,
    /// Verifies the certificate of AMS (by the grid's trust anchors). A client certificate in it is not used.
    pub tls: Arc<rustls::ClientConfig>,
    /// Where the token comes from.
    pub token: TokenSource,
    /// An HTTP proxy for AMS and the token service (CONNECT, without a login). Environment variables are not read.
    pub proxy: Option<Endpoint>,
    /// Deadlines.
    pub timing: Timing,
    /// How much of an answer is read.
    pub limits: Limits,
}

impl Settings {
    /// Without a proxy, and with the default deadlines and bounds.
    #[must_use]
    pub fn new(endpoint: Endpoint, project: Project, tls: Arc<rustls::ClientConfig>, token: TokenSource) -> Self {
        Self { endpoint, project, tls, token, proxy: None, timing: Timing::default(), limits: Limits::default() }
    }
}

/// A client of AMS for one project. Cheap to clone; clones share connections and token.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    endpoint: Endpoint,
    project: Project,
    http: Http,
    tokens: Tokens,
    limits: Limits,
}

/// A subscription, as far as a receiver must know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionState {
    /// Its topic, as AMS has it: `/projects/P/topics/T`, fit to be shown.
    pub topic: String,
    /// How long after a pull messages can be acknowledged. For all consumers alike; AMS's default is 10 s.
    pub ack_deadline: Duration,
    /// Whether AMS itself sends the messages somewhere, which makes pulling senseless.
    pub is_push: bool,
}

#[derive(Deserialize)]
struct Described {
    #[serde(default)]
    topic: String,
    #[serde(rename = "ackDeadlineSeconds", default)]
    deadline: u64,
    #[serde(rename = "pushConfig", default)]
    push: Value,
}

impl Client {
    /// A client. Nothing is sent yet: the token is fetched when it is first needed.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let Settings { endpoint, project, tls, token, proxy, timing, limits } = settings;
        let tokens = Tokens::new(token, &endpoint, proxy.clone(), timing);
        let tls = anonymous(tls);
        let http = Http::new(endpoint.clone(), proxy, tls, timing, IDLE_CONNECTIONS);
        Self(Arc::new(Inner { endpoint, project, http, tokens, limits }))
    }

    /// AMS.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    /// The project.
    #[must_use]
    pub fn project(&self) -> &Project {
        &self.0.project
    }

    /// Publishes messages to `topic`, one after the other, and returns their ids in the same order. Nothing is sent for
    /// an empty slice. See [`Publication::check`] for messages that AMS would not store.
    ///
    /// # Errors
    /// Ask [`Error::may_have_been_taken`] before another attempt: AMS has no idempotence, and an error in the middle
    /// leaves the earlier messages published ([Publishing](crate#publishing)).
    pub async fn publish(&self, topic: &Topic, messages: &[Publication]) -> Result<Vec<MessageId>, Error> {
        let sent = messages.len();
        let call = Call::Publish { project: self.0.project.clone(), topic: topic.clone(), messages: sent };
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(name) = messages.iter().find_map(Publication::unsafe_attribute) {
            let name = quoted(name.as_bytes(), None);
            return Err(self.error(&call, Fault::Attribute { name }));
        }
        let body = serde_json::to_vec(&Messages::new(messages));
        let (published, _) = self.post::<Published>(&call, body).await?;
        match published.ids.len() {
            got if got != sent => Err(self.error(&call, Fault::Ids { sent, got })),
            _ => Ok(published.ids.into_iter().map(MessageId::new).collect()),
        }
    }

    /// Pulls up to `max` messages, in the order of their offsets, and returns at once also if there are none: an empty
    /// answer does not prove that none wait ([`Offsets::waiting`] does). Every pull makes the acknowledgements of the
    /// one before wrong, so a subscription has one consumer with one pull at a time ([Pulling](crate#pulling)).
    ///
    /// # Errors
    /// One message that cannot be decoded is no error: see [`Received::data`].
    pub async fn pull(&self, subscription: &Subscription, max: u32) -> Result<Vec<Received>, Error> {
        let project = &self.0.project;
        let call = Call::Pull { project: project.clone(), subscription: subscription.clone() };
        // Both must be JSON strings. "false" would wait up to 300 s and lock the topic for everyone.
        let body = json!({ "maxMessages": max.to_string(), "returnImmediately": "true" });
        let (pulled, secret) = self.post::<Pulled>(&call, serde_json::to_vec(&body)).await?;
        let mut messages = Vec::new();
        for mut item in pulled.messages.unwrap_or_default() {
            let id = text(std::mem::take(&mut item.ack_id));
            let foreign = || Fault::ForeignAckId { id: quoted(id.as_bytes(), secret.as_ref()) };
            let id = AckId::parse(&id, project, subscription).ok_or_else(|| self.error(&call, foreign()))?;
            messages.push(item.received(id));
        }
        messages.sort_by_key(|message| message.ack_id.offset());
        Ok(messages)
    }

    /// Acknowledges a message of the latest pull and all before it: they are not delivered again.
    ///
    /// # Errors
    /// Ask [`Error::settles_by_offsets`]: then [`Offsets::are_beyond`] says whether it was taken.
    pub async fn acknowledge(&self, up_to: &AckId) -> Result<(), Error> {
        let (project, subscription) = (up_to.project().clone(), up_to.subscription().clone());
        let call = Call::Acknowledge { project, subscription };
        if up_to.project() != &self.0.project {
            return Err(self.error(&call, Fault::NotOurs { id: up_to.to_string() }));
        }
        let body = json!({ "ackIds": [up_to.to_string()] });
        self.post::<Value>(&call, serde_json::to_vec(&body)).await.map(drop)
    }

    /// Reads how far a subscription is.
    ///
    /// # Errors
    /// As for every request.
    pub async fn offsets(&self, subscription: &Subscription) -> Result<Offsets, Error> {
        self.get(&Call::Offsets { project: self.0.project.clone(), subscription: subscription.clone() }).await
    }

    /// Looks whether a topic exists. A user who may only publish may lack the right to look.
    ///
    /// # Errors
    /// [`Fault::NotFound`] if it does not.
    pub async fn topic(&self, topic: &Topic) -> Result<(), Error> {
        let call = Call::Topic { project: self.0.project.clone(), topic: topic.clone() };
        self.get::<Value>(&call).await.map(drop)
    }

    /// Looks at a subscription.
    ///
    /// # Errors
    /// [`Fault::NotFound`] if there is none.
    pub async fn subscription(&self, subscription: &Subscription) -> Result<SubscriptionState, Error> {
        let call = Call::Subscription { project: self.0.project.clone(), subscription: subscription.clone() };
        let found: Described = self.get(&call).await?;
        let endpoint = found.push.get("pushEndpoint").and_then(Value::as_str).unwrap_or_default();
        Ok(SubscriptionState {
            topic: quoted(found.topic.as_bytes(), None),
            ack_deadline: Duration::from_secs(found.deadline),
            is_push: !endpoint.is_empty(),
        })
    }

    /// What AMS says of itself, such as `ok`, fit to be shown. Needs no token.
    ///
    /// # Errors
    /// As for every request.
    pub async fn status(&self) -> Result<String, Error> {
        self.field(&Call::Status, "status").await
    }

    /// Which release of AMS it is, such as `1.7.0`, fit to be shown. Needs no token.
    ///
    /// # Errors
    /// As for every request.
    pub async fn version(&self) -> Result<String, Error> {
        self.field(&Call::Version, "release").await
    }

    async fn field(&self, call: &Call, name: &str) -> Result<String, Error> {
        let answer: Value = self.get(call).await?;
        match answer.get(name).and_then(Value::as_str) {
            Some(value) => Ok(quoted(value.as_bytes(), None)),
            None => Err(self.error(call, Fault::NotUnderstood { what: format!("it has no text {name:?}") })),
        }
    }

    async fn get<T: DeserializeOwned>(&self, call: &Call) -> Result<T, Error> {
        let asked = self.ask(call, None).await;
        asked.map(|(value, _)| value).map_err(|fault| self.error(call, fault))
    }

    /// An answer, and the token that must not be shown from it.
    async fn post<T>(&self, call: &Call, body: serde_json::Result<Vec<u8>>) -> Result<(T, Option<Token>), Error>
    where
        T: DeserializeOwned,
    {
        let asked = match body {
            Ok(body) => self.ask(call, Some(body.into())).await,
            Err(error) => Err(Fault::Lost { sent: false, reason: error.to_string() }),
        };
        asked.map_err(|fault| self.error(call, fault))
    }

    async fn ask<T>(&self, call: &Call, json: Option<Bytes>) -> Result<(T, Option<Token>), Fault>
    where
        T: DeserializeOwned,
    {
        let (answer, secret) = self.exchange(call, json).await?;
        if answer.status != 200 {
            return Err(answer::fault(call, answer.status, &answer.body, secret.as_ref()));
        }
        match serde_json::from_slice(&answer.body) {
            Ok(value) => Ok((value, secret)),
            Err(error) => Err(answer::not_understood(&error, &answer.body, secret.as_ref())),
        }
    }

    /// Sends a request, and once more with a new token where AMS refuses the old one.
    async fn exchange(&self, call: &Call, json: Option<Bytes>) -> Result<(Answer, Option<Token>), Fault> {
        let tokens = &self.0.tokens;
        if !call.needs_token() {
            return Ok((self.send(call, json, None).await?, None));
        }
        let mut issued = tokens.current().await?;
        let mut answer = self.send(call, json.clone(), Some(&issued.token)).await?;
        if answer.status == 401 {
            issued = tokens.another(&issued).await?;
            answer = self.send(call, json, Some(&issued.token)).await?;
        }
        if answer.status == 401 {
            return Err(Fault::Unauthorised { renewed: true });
        }
        tokens.worked(&issued);
        Ok((answer, Some(issued.token)))
    }

    async fn send(&self, call: &Call, json: Option<Bytes>, token: Option<&Token>) -> Result<Answer, Fault> {
        let Limits { pull, other } = self.0.limits;
        let bound = if matches!(call, Call::Pull { .. }) { pull } else { other };
        self.0.http.send(Outgoing { path: &call.path(), json, token, bound }).await
    }

    fn error(&self, call: &Call, fault: Fault) -> Error {
        Error::new(call, &self.0.endpoint, fault)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { endpoint, project, .. } = &*self.0;
        f.debug_struct("Client").field("endpoint", endpoint).field("project", project).finish_non_exhaustive()
    }
}
