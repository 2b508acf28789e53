//! Destinations: the forms that RabbitMQ and ActiveMQ know, and what a RECEIPT for a SEND to each of them guarantees.
//!
//! Each broker parses destinations in its own way, and both confirm messages that no queue holds. The table in
//! `docs/src/destinations.md` lists what each broker does with every form; a test checks it against both.
//!
//! Whether a queue exists is checked in [`rabbitmq`](super::rabbitmq).

use std::fmt;
use std::ops::Deref;

/// A destination and its form. Dereferences to the text that [`Destination::parse`] was given.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination {
    text: String,
    form: Form,
}

/// The syntax of a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// `/queue/NAME`: RabbitMQ declares the queue at the first frame of a connection that names it; ActiveMQ creates
    /// it.
    Queue,
    /// `/amq/queue/NAME`: an existing queue of RabbitMQ; nothing is declared.
    AmqQueue,
    /// `/topic/NAME`, and `/dsub/NAME` of a durable subscription.
    Topic,
    /// `/exchange/NAME[/KEY]` of RabbitMQ.
    Exchange,
    /// `/temp-queue/`, `/temp-topic/`, `/remote-temp-queue/`, `/remote-temp-topic/`: deleted with a connection.
    Temporary,
    /// `/reply-queue/NAME` of RabbitMQ: the default exchange, without a check.
    ReplyQueue,
    /// `queue://NAME`, `topic://NAME` and their `temp-` forms (ActiveMQ).
    Url,
    /// No known prefix: RabbitMQ 3.10 declares a queue, ActiveMQ creates one of that name.
    Plain,
    /// Several destinations, separated by commas (ActiveMQ).
    Composite,
    /// A known prefix without a name.
    Nameless,
}

/// What a RECEIPT for a SEND guarantees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// A queue holds the message, provided that it was not deleted after the connection first used the destination.
    Held,
    /// The same as `Held` once the queue is known to exist; nothing before that.
    HeldIfProved,
    /// Nothing: no queue may hold the message.
    Nothing,
}

const FORMS: &[(&str, Form)] = &[
    ("/queue/", Form::Queue),
    ("/amq/queue/", Form::AmqQueue),
    ("/topic/", Form::Topic),
    ("/dsub/", Form::Topic),
    ("/exchange/", Form::Exchange),
    ("/temp-queue/", Form::Temporary),
    ("/temp-topic/", Form::Temporary),
    ("/remote-temp-queue/", Form::Temporary),
    ("/remote-temp-topic/", Form::Temporary),
    ("/reply-queue/", Form::ReplyQueue),
    ("queue://", Form::Url),
    ("topic://", Form::Url),
    ("temp-queue://", Form::Url),
    ("temp-topic://", Form::Url),
];

impl Destination {
    /// Parses a destination. Every text has a form; [`promise`](Self::promise) decides whether messages may be sent to
    /// it.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let known = FORMS.iter().find_map(|(prefix, form)| Some((*form, text.strip_prefix(prefix)?)));
        let form = match known {
            Some((_, name)) if name.trim().is_empty() => Form::Nameless,
            // A comma is a part of the name for RabbitMQ, and begins another destination for ActiveMQ.
            _ if text.contains(',') => Form::Composite,
            Some((form, _)) => form,
            None => Form::Plain,
        };
        Self { text: text.to_owned(), form }
    }

    /// The destination as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    /// What a RECEIPT for a SEND to it guarantees.
    #[must_use]
    pub fn promise(&self) -> Promise {
        match self.form {
            Form::Queue => Promise::Held,
            Form::AmqQueue => Promise::HeldIfProved,
            _ => Promise::Nothing,
        }
    }

    /// Whether a part of the name, between dots, is `*` or `>`. ActiveMQ delivers a message for such a name to every
    /// queue that matches at that moment; if none does, only a receiver of the same wildcard is certain to get it.
    #[must_use]
    pub fn has_wildcard(&self) -> bool {
        let name = |one: &str| {
            let known = FORMS.iter().find_map(|(prefix, _)| one.trim().strip_prefix(prefix).map(str::to_owned));
            known.unwrap_or_else(|| one.trim().to_owned())
        };
        let wild = |one: &str| name(one).split(['.', '?']).any(|part| part == "*" || part == ">");
        self.form != Form::Exchange && self.text.split(',').any(wild)
    }

    /// The RabbitMQ destination that names the same queue without declaring it; `None` if this form names no queue.
    #[must_use]
    pub fn without_declaring(&self) -> Option<String> {
        match self.form {
            Form::Queue => self.text.strip_prefix("/queue/").map(|name| format!("/amq/queue/{name}")),
            Form::AmqQueue => Some(self.text.clone()),
            _ => None,
        }
    }
}

impl Deref for Destination {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_recognised_and_only_queues_promise_anything() {
        for (text, form, promise) in [
            ("/queue/global.accounting.cpu", Form::Queue, Promise::Held),
            ("/queue/a%2Fb", Form::Queue, Promise::Held),
            ("/queue/a?consumer.priority=1", Form::Queue, Promise::Held),
            ("/amq/queue/a", Form::AmqQueue, Promise::HeldIfProved),
            ("/topic/a", Form::Topic, Promise::Nothing),
            ("/dsub/a", Form::Topic, Promise::Nothing),
            ("/exchange/amq.direct/a", Form::Exchange, Promise::Nothing),
            ("/temp-queue/a", Form::Temporary, Promise::Nothing),
            ("/temp-topic/a", Form::Temporary, Promise::Nothing),
            ("/remote-temp-queue/a", Form::Temporary, Promise::Nothing),
            ("/remote-temp-topic/a", Form::Temporary, Promise::Nothing),
            ("/reply-queue/a", Form::ReplyQueue, Promise::Nothing),
            ("queue://a", Form::Url, Promise::Nothing),
            ("topic://a", Form::Url, Promise::Nothing),
            ("temp-queue://a", Form::Url, Promise::Nothing),
            ("a", Form::Plain, Promise::Nothing),
            ("global.accounting.cpu", Form::Plain, Promise::Nothing),
            ("/Queue/a", Form::Plain, Promise::Nothing),
            (" /queue/a", Form::Plain, Promise::Nothing),
            ("/queue", Form::Plain, Promise::Nothing),
            ("/queue/a,b", Form::Composite, Promise::Nothing),
            ("/amq/queue/a,b", Form::Composite, Promise::Nothing),
            ("/queue/a,topic://b", Form::Composite, Promise::Nothing),
            ("queue://a,queue://b", Form::Composite, Promise::Nothing),
            ("a,b", Form::Composite, Promise::Nothing),
            ("/queue/", Form::Nameless, Promise::Nothing),
            ("/queue/ ", Form::Nameless, Promise::Nothing),
            ("/amq/queue/", Form::Nameless, Promise::Nothing),
            ("queue://", Form::Nameless, Promise::Nothing),
        ] {
            let destination = Destination::parse(text);
            assert_eq!((destination.form(), destination.promise()), (form, promise), "{text}");
            assert_eq!((destination.as_str(), destination.to_string()), (text, text.to_owned()));
        }
    }

    #[test]
    fn a_wildcard_is_a_whole_part_of_a_name() {
        for text in ["/queue/>", "/queue/*", "/queue/a.>", "/queue/*.a", "/queue/a.*.b", "/topic/a.>", "queue://a.*"] {
            assert!(Destination::parse(text).has_wildcard(), "{text}");
        }
        for text in ["a.>", "/queue/a,/queue/b.>", "/queue/a,b.*", "/amq/queue/a.*", "/queue/a.>?x=1"] {
            assert!(Destination::parse(text).has_wildcard(), "{text}");
        }
        for text in ["/queue/a", "/queue/a>b", "/queue/a*b", "/queue/a.b>", "/exchange/amq.topic/*", "/queue/a.#"] {
            assert!(!Destination::parse(text).has_wildcard(), "{text}");
        }
    }

    #[test]
    fn a_queue_is_named_without_declaring_it() {
        let named = |text: &str| Destination::parse(text).without_declaring();
        assert_eq!(named("/queue/a%2Fb").as_deref(), Some("/amq/queue/a%2Fb"));
        assert_eq!(named("/amq/queue/a").as_deref(), Some("/amq/queue/a"));
        assert_eq!(named("/topic/a"), None);
        assert_eq!(named("/queue/a,b"), None);
    }
}
