//! What a sender would do with content.

use super::{Explanation, Product, placeholder, plain_input, stages};
use crate::channel::Channel;
use crate::cli::context::say_compiling;
use crate::config::{self, Config};
use crate::sender::{destinations, seal_policy};
use crate::service::{Shared, pipeline};
use message::{Code, Fate};
use plugins::{Input, Output};
use smime::{Seal, SealError};
use transport::{Broker, Outbound, too_large};

pub(super) fn explain(
    config: &Config,
    channel: &str,
    sender: &config::Sender,
    content: &[u8],
) -> anyhow::Result<Explanation> {
    let mut explanation = Explanation::new(Fate::Sent);
    if content.iter().all(u8::is_ascii_whitespace) {
        explanation.failed("content", "is empty or blank");
        return Ok(explanation.end(Fate::Rejected, Code::Empty.because("the message is empty or blank")));
    }
    if content.len() as u64 > sender.max_payload {
        let size = format!("{} bytes are more than max-payload, {}", content.len(), sender.max_payload);
        let reason = Code::TooLarge.because(&size);
        explanation.failed("content", reason.clone());
        return Ok(explanation.end(Fate::Rejected, reason));
    }
    explanation.passed("content", format!("{} bytes; the id is assigned when it is queued", content.len()));
    let shared = Shared::start(config)?;
    let seal = match sealing(&shared, sender)? {
        Ok(seal) => seal,
        Err(error) if error.stops_the_channel() => {
            let reason = message::cause::chain(&error);
            explanation.failed("seal", reason.clone());
            return Ok(explanation.end(Fate::Waiting, reason));
        }
        Err(error) => return Err(error.into()),
    };
    let broker = config.brokers.get(&sender.broker);
    let channel = &Channel::sender(channel);
    say_compiling(&shared, config, channel);
    let pipeline = pipeline(&shared, config, channel)?.pipeline;
    explanation.passed("plugins", stages(&pipeline));
    let id = placeholder();
    let mut properties = seal.properties(&id);
    if let Some(broker) = broker {
        properties.extend(transport::properties(broker, &id));
    }
    let input = Input { properties: &properties, ..plain_input(&id, &sender.destination) };
    let outcome = pipeline.run(&input, content);
    let mut refused = None;
    explanation.take(outcome, |explanation, output| {
        if let Err(reason) = place(explanation, sender, (&seal, broker), &output, content) {
            refused = Some(reason);
        }
    });
    if let Some(reason) = refused {
        explanation.failed("seal", reason.clone());
        return Ok(explanation.end(Fate::Rejected, reason));
    }
    if explanation.fate == Fate::Sent {
        let word = if sender.recipient_certificate.is_some() { "signed and encrypted" } else { "signed" };
        explanation.passed("seal", format!("{word}, in memory only"));
    }
    Ok(explanation)
}

fn sealing(shared: &Shared, sender: &config::Sender) -> anyhow::Result<Result<Seal, SealError>> {
    let identity = shared.registry.identity(&sender.credential, &sender.trust)?;
    let recipient = match &sender.recipient_certificate {
        Some(file) => Some(shared.registry.recipient(file, &identity)?.current()),
        None => None,
    };
    Ok(Seal::new(seal_policy(sender), identity.credential.current(), &identity.trust, recipient))
}

/// Seals one output for each of its destinations.
///
/// # Errors
/// The reason, led by its code.
fn place(
    explanation: &mut Explanation,
    sender: &config::Sender,
    (seal, broker): (&Seal, Option<&Broker>),
    output: &Output,
    content: &[u8],
) -> Result<(), String> {
    let id = output.part.map_or_else(placeholder, |number| placeholder().part(number));
    let payload = output.payload.as_deref().unwrap_or(content);
    let mut notes: Vec<String> = output.content_type.iter().map(|kind| format!("content type {kind}")).collect();
    notes.extend(output.headers.iter().map(|(name, value)| format!("header {name}: {value}")));
    for destination in destinations(sender, &output.routes) {
        let sealed = seal.seal((&id, None), output.content_type.as_deref(), payload);
        let sealed = sealed.map_err(|error| error.code().because(&message::cause::chain(&error)))?;
        let wire = sealed.bytes().len();
        let message = Outbound {
            destination: destination.clone(),
            id: id.to_string(),
            headers: output.headers.clone(),
            body: sealed.into_bytes().into(),
        };
        if let Some(why) = broker.and_then(|broker| too_large(broker, &message)) {
            return Err(Code::TooLarge.because(&why));
        }
        let notes = notes.clone();
        let product = Product {
            id: id.to_string(),
            target: destination.to_string(),
            bytes: payload.len(),
            wire: Some(wire),
            notes,
        };
        explanation.products.push(product);
    }
    Ok(())
}
