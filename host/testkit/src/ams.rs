//! A server of the ARGO Messaging Service on the loopback interface, for `sesame demo` and for our own tests.
//!
//! It has the service's two ports, the API and the authentication service, and keeps everything in memory. Its answers
//! follow AMS 1.7.0, including what surprises: acknowledgements are cumulative and bound to the latest pull, a pull that
//! waits blocks all others of its topic, attributes are stored without escaping. Start with [`Server::start`] and
//! [`Server::create`]; a [`Fault`] makes it misbehave on purpose.
//!
//! It has no push subscriptions, no metrics and no durable store; projects, topics, subscriptions and users are created by
//! methods, not by requests. It is not meant for production, and listens on the loopback interface only.

mod answer;
mod api;
mod authentication;
mod connection;
mod request;
mod script;
mod store;
mod stored;
mod subscriptions;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use message::locked;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use self::authentication::bound_name;
pub use self::script::{Fault, Route};
pub use self::store::{Counters, Role, Schema};
pub use self::stored::{AttributeForm, Message};

use self::connection::{Port, accept};
use self::request::Request;
use self::script::Script;
use self::store::{Store, Subscription};
use self::stored::Fields;

/// How the server is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where both ports are; an address of the loopback interface.
    pub address: Ipv4Addr,
    /// The authentication port; 0 for a free one.
    pub authentication_port: u16,
    /// How both ports speak TLS, such as [`Authority::requesting_config`](crate::pki::Authority::requesting_config);
    /// plain HTTP if there is none, and then no token for a certificate.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// The names of the service that the authentication port knows.
    pub hosts: Vec<String>,
    /// The most bytes of a message's stored text.
    pub max_stored: usize,
    /// What a larger one is answered.
    pub too_large: TooLarge,
    /// How long a pull waits that is not to return immediately.
    pub wait: Duration,
    /// How attributes are written.
    pub attributes: AttributeForm,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            address: Ipv4Addr::LOCALHOST,
            authentication_port: 0,
            tls: None,
            hosts: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
            max_stored: 1_500_000,
            too_large: TooLarge::default(),
            wait: Duration::from_secs(300),
            attributes: AttributeForm::default(),
        }
    }
}

/// The answer to a message that is too large.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TooLarge {
    /// 500 "Backend Error", as since 1.7.0.
    #[default]
    BackendError,
    /// 413 "Message size is too large", as before.
    PayloadTooLarge,
}

/// A running server; dropped, it stops and forgets everything.
#[derive(Debug)]
pub struct Server {
    api: SocketAddr,
    authentication: SocketAddr,
    shared: Arc<Shared>,
    listening: [JoinHandle<()>; 2],
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    settings: Settings,
    store: Mutex<Store>,
    script: Mutex<Script>,
    /// Increases with each message stored.
    stored: watch::Sender<u64>,
    /// Increases to drop every connection.
    cut: watch::Sender<u64>,
    /// Whether the server is gone.
    stop: watch::Sender<bool>,
}

impl Shared {
    fn store(&self) -> MutexGuard<'_, Store> {
        locked(&self.store)
    }

    /// Counts a request and gives what goes wrong with it.
    fn count(&self, request: &Request) -> Option<Fault> {
        let mut store = self.store();
        *store.counters.requests.entry(request.route).or_default() += 1;
        store.counters.tokens_in_address += u64::from(request.token_in_address);
        locked(&self.script).next(request.route)
    }
}

impl Server {
    /// Listens on two ports of the loopback interface.
    ///
    /// # Errors
    /// If a port cannot be had, or the address is another one.
    pub async fn start(settings: Settings) -> io::Result<Self> {
        let (address, port) = (settings.address, settings.authentication_port);
        let (first, second) = (listen(address, 0).await?, listen(address, port).await?);
        let (api, authentication) = (first.local_addr()?, second.local_addr()?);
        let shared = Arc::new(Shared {
            settings,
            store: Mutex::default(),
            script: Mutex::default(),
            stored: watch::Sender::new(0),
            cut: watch::Sender::new(0),
            stop: watch::Sender::new(false),
        });
        let listening = [(first, Port::Api), (second, Port::Authentication)]
            .map(|(listener, port)| tokio::spawn(accept(listener, port, Arc::clone(&shared))));
        Ok(Self { api, authentication, shared, listening })
    }

    /// Where the API is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.api
    }

    /// Where tokens are given.
    #[must_use]
    pub fn authentication_address(&self) -> SocketAddr {
        self.authentication
    }

    /// Creates a topic with a subscription, and a user who may publish to the one and pull from the other.
    pub fn create(&self, project: &str, topic: &str, subscription: &str, user: &str, token: &str) {
        self.create_topic(project, topic);
        self.create_subscription(project, subscription, topic, 10);
        self.create_user(user, token);
        self.grant(user, project, &[Role::Publisher, Role::Consumer]);
        self.allow_topic(project, topic, &[user]);
        self.allow_subscription(project, subscription, &[user]);
    }

    /// Creates a project without anything in it.
    pub fn create_project(&self, project: &str) {
        self.shared.store().projects.entry(project.to_owned()).or_default();
    }

    /// Creates a topic, and its project. No one may publish to it yet.
    pub fn create_topic(&self, project: &str, topic: &str) {
        let mut store = self.shared.store();
        store.projects.entry(project.to_owned()).or_default().topics.entry(topic.to_owned()).or_default();
    }

    /// Deletes a topic, and leaves its subscriptions.
    pub fn delete_topic(&self, project: &str, topic: &str) {
        if let Some(project) = self.shared.store().projects.get_mut(project) {
            project.topics.remove(topic);
        }
    }

    /// Creates a subscription that begins at the end of its topic, with this deadline in seconds.
    pub fn create_subscription(&self, project: &str, subscription: &str, topic: &str, deadline: u64) {
        let mut store = self.shared.store();
        let end = store.topic(project, topic).map_or(0, |topic| topic.end());
        let created = Subscription::new(topic, deadline, end);
        store.projects.entry(project.to_owned()).or_default().subscriptions.insert(subscription.to_owned(), created);
    }

    /// Creates a user, or gives one another token.
    pub fn create_user(&self, user: &str, token: &str) {
        token.clone_into(&mut self.shared.store().user(user).token);
    }

    /// Sets what a user may do in a project.
    pub fn grant(&self, user: &str, project: &str, roles: &[Role]) {
        self.shared.store().user(user).roles.insert(project.to_owned(), roles.iter().copied().collect());
    }

    /// Sets who may publish to a topic.
    pub fn allow_topic(&self, project: &str, topic: &str, users: &[&str]) {
        if let Some(topic) = self.shared.store().topic(project, topic) {
            topic.users = users.iter().map(|&user| user.to_owned()).collect();
        }
    }

    /// Sets who may pull from a subscription.
    pub fn allow_subscription(&self, project: &str, subscription: &str, users: &[&str]) {
        if let Some(subscription) = self.shared.store().subscription(project, subscription) {
            subscription.users = users.iter().map(|&user| user.to_owned()).collect();
        }
    }

    /// Gives the token of `user` to the holder of a certificate with this subject, as [`bound_name`] writes it.
    pub fn bind(&self, subject: &str, user: &str) {
        self.shared.store().bindings.insert(subject.to_owned(), user.to_owned());
    }

    /// Makes a user's token bad: requests with it are refused until a new one is fetched.
    pub fn renew_token(&self, user: &str) {
        self.shared.store().renew_token(user);
    }

    /// Sets what the data sent to a topic must be.
    pub fn set_schema(&self, project: &str, topic: &str, schema: Option<Schema>) {
        if let Some(topic) = self.shared.store().topic(project, topic) {
            topic.schema = schema;
        }
    }

    /// Puts a message into a topic, as if a client had published it; gives its offset.
    pub fn put(&self, project: &str, topic: &str, attributes: &[(&str, &str)], data: &[u8]) -> Option<u64> {
        let fields = Fields::new(attributes, data);
        let offset = self.shared.store().topic(project, topic).map(|topic| topic.add(&fields));
        self.shared.stored.send_modify(|count| *count += 1);
        offset
    }

    /// Puts any text in place of a message into a topic. What is not JSON makes every pull fail that comes to it.
    pub fn put_text(&self, project: &str, topic: &str, text: &str) {
        if let Some(topic) = self.shared.store().topic(project, topic) {
            topic.messages.push_back(text.to_owned());
        }
        self.shared.stored.send_modify(|count| *count += 1);
    }

    /// What a topic keeps.
    #[must_use]
    pub fn messages(&self, project: &str, topic: &str) -> Vec<Message> {
        let mut store = self.shared.store();
        let Some(topic) = store.topic(project, topic) else {
            return Vec::new();
        };
        (topic.first..).zip(&topic.messages).map(|(offset, text)| Message::read(offset, text)).collect()
    }

    /// Drops the messages of a topic before `offset`, as those that are too old.
    pub fn drop_before(&self, project: &str, topic: &str, offset: u64) {
        if let Some(topic) = self.shared.store().topic(project, topic) {
            topic.drop_before(offset);
        }
    }

    /// The offset of the first message that is not acknowledged.
    #[must_use]
    pub fn offset(&self, project: &str, subscription: &str) -> Option<u64> {
        self.shared.store().subscription(project, subscription).map(|subscription| subscription.offset)
    }

    /// The acknowledgement deadline of a subscription, in seconds.
    #[must_use]
    pub fn deadline(&self, project: &str, subscription: &str) -> Option<u64> {
        self.shared.store().subscription(project, subscription).map(|subscription| subscription.deadline)
    }

    /// Makes what was pulled last too late to acknowledge.
    pub fn expire(&self, project: &str, subscription: &str) {
        if let Some(subscription) = self.shared.store().subscription(project, subscription) {
            subscription.expire();
        }
    }

    /// Makes a request of this kind go wrong, after those before it in the queue.
    pub fn fault(&self, route: Route, fault: Fault) {
        locked(&self.shared.script).push(route, fault);
    }

    /// Makes every request of this kind go wrong for which the queue has nothing.
    pub fn set_lasting_fault(&self, route: Route, fault: Option<Fault>) {
        locked(&self.shared.script).set_lasting(route, fault);
    }

    /// How many faults of a route are still to come.
    #[must_use]
    pub fn faults(&self, route: Route) -> usize {
        locked(&self.shared.script).waiting(route)
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.store().counters.clone()
    }

    /// How many requests of a kind there were.
    #[must_use]
    pub fn requests(&self, route: Route) -> u64 {
        self.shared.store().counters.requests.get(&route).copied().unwrap_or_default()
    }

    /// Drops every connection, as a load balancer that is killed does; requests in flight are still carried out.
    pub fn drop_connections(&self) {
        self.shared.cut.send_modify(|cuts| *cuts += 1);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for listening in &self.listening {
            listening.abort();
        }
        self.shared.stop.send_replace(true);
        self.drop_connections();
    }
}

async fn listen(address: Ipv4Addr, port: u16) -> io::Result<TcpListener> {
    if !address.is_loopback() {
        return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "not an address of the loopback interface"));
    }
    TcpListener::bind((address, port)).await
}

#[cfg(test)]
mod tests;
