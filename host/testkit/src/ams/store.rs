//! Projects, topics, subscriptions and users: what AMS keeps in its databases.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::answer::Answer;
use super::script::Route;
use super::stored::Fields;

/// What a user may do in a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Publish to the topics that list the user.
    Publisher,
    /// Pull from the subscriptions that list the user, and acknowledge.
    Consumer,
    /// Everything, and `modifyOffset`, which the others may not.
    Admin,
}

/// Checks the data of a message; gives the refusal in the validator's words.
pub type Schema = fn(data: &[u8]) -> Option<String>;

/// What happened so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests by what they ask for, refused ones too.
    pub requests: BTreeMap<Route, u64>,
    /// Tokens given for a certificate.
    pub tokens: u64,
    /// Connections accepted, on both ports.
    pub connections: u64,
    /// Connections to the port of the API that came with a client certificate.
    pub certificates_at_api: u64,
    /// Requests with the token in their address.
    pub tokens_in_address: u64,
    /// Messages stored, whatever the client got to know of it.
    pub stored: u64,
    /// Messages sent in answers to pulls.
    pub pulled: u64,
    /// Messages acknowledged.
    pub acknowledged: u64,
}

#[derive(Debug, Default)]
pub(super) struct User {
    pub(super) token: String,
    pub(super) roles: BTreeMap<String, BTreeSet<Role>>,
}

#[derive(Debug, Default)]
pub(super) struct Project {
    pub(super) topics: BTreeMap<String, Topic>,
    pub(super) subscriptions: BTreeMap<String, Subscription>,
}

#[derive(Debug, Default)]
pub(super) struct Topic {
    /// The oldest offset that is kept.
    pub(super) first: u64,
    pub(super) messages: VecDeque<String>,
    pub(super) users: BTreeSet<String>,
    pub(super) schema: Option<Schema>,
    /// Held by the pull at hand.
    pub(super) lock: Arc<tokio::sync::Mutex<()>>,
}

impl Topic {
    /// The offset of the next message.
    pub(super) fn end(&self) -> u64 {
        self.first + self.messages.len() as u64
    }

    pub(super) fn add(&mut self, fields: &Fields) -> u64 {
        let offset = self.end();
        self.messages.push_back(fields.store(offset));
        offset
    }

    /// What is kept from `offset` on, up to `count` messages.
    pub(super) fn from(&self, offset: u64, count: usize) -> Vec<String> {
        let skipped = usize::try_from(offset.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.messages.iter().skip(skipped).take(count).cloned().collect()
    }

    pub(super) fn drop_before(&mut self, offset: u64) {
        while self.first < offset && self.messages.pop_front().is_some() {
            self.first += 1;
        }
    }
}

#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) topic: String,
    /// Seconds.
    pub(super) deadline: u64,
    /// Where the next pull begins.
    pub(super) offset: u64,
    /// The end of the latest pull; 0 for none, as in AMS's database.
    window: u64,
    pulled: Option<Instant>,
    pub(super) users: BTreeSet<String>,
}

impl Subscription {
    pub(super) fn new(topic: &str, deadline: u64, offset: u64) -> Self {
        let topic = topic.to_owned();
        Self { topic, deadline, offset, window: 0, pulled: None, users: BTreeSet::new() }
    }

    /// Moves to an offset; what was pulled cannot be acknowledged any more.
    pub(super) fn seek(&mut self, offset: u64) {
        (self.offset, self.window, self.pulled) = (offset, 0, None);
    }

    /// Opens what may be acknowledged, up to `end`, and starts the clock again.
    pub(super) fn open_window(&mut self, end: u64) {
        (self.window, self.pulled) = (end, Some(Instant::now()));
    }

    /// Makes the latest pull too old to be acknowledged.
    pub(super) fn expire(&mut self) {
        self.pulled = None;
    }

    /// Acknowledges everything before `next` and closes the window; gives how many messages that are. AMS compares whole
    /// seconds, so that the deadline passes up to a second late.
    pub(super) fn acknowledge(&mut self, next: u64) -> Result<u64, Answer> {
        if self.window == 0 {
            return Err(Answer::internal("no ack pending"));
        }
        if next <= self.offset || next > self.window {
            return Err(Answer::internal("wrong ack"));
        }
        if self.pulled.is_none_or(|pulled| pulled.elapsed().as_secs() > self.deadline) {
            return Err(Answer::error(408, "ack timeout", "TIMEOUT"));
        }
        let count = next - self.offset;
        self.seek(next);
        Ok(count)
    }
}

/// Everything.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) projects: BTreeMap<String, Project>,
    pub(super) users: BTreeMap<String, User>,
    /// Users by the subject of their certificate.
    pub(super) bindings: BTreeMap<String, String>,
    pub(super) counters: Counters,
    renewals: u64,
}

impl Store {
    pub(super) fn topic(&mut self, project: &str, topic: &str) -> Option<&mut Topic> {
        self.projects.get_mut(project)?.topics.get_mut(topic)
    }

    pub(super) fn subscription(&mut self, project: &str, subscription: &str) -> Option<&mut Subscription> {
        self.projects.get_mut(project)?.subscriptions.get_mut(subscription)
    }

    pub(super) fn user(&mut self, name: &str) -> &mut User {
        self.users.entry(name.to_owned()).or_default()
    }

    /// The user of a token, with their roles in a project; none if they have no part in it.
    pub(super) fn authenticate(&self, project: &str, token: &str) -> Option<(String, BTreeSet<Role>)> {
        let (name, user) = self.users.iter().find(|(_, user)| user.token == token)?;
        let roles = user.roles.get(project).filter(|roles| !roles.is_empty())?;
        Some((name.clone(), roles.clone()))
    }

    /// Gives a user another token.
    pub(super) fn renew_token(&mut self, name: &str) {
        self.renewals += 1;
        let number = self.renewals;
        let user = self.user(name);
        user.token = format!("{}-{number}", user.token);
    }
}
