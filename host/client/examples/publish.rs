//! Signs one record from standard input and publishes it:
//!
//!     publish stomp HOST PORT    QUEUE CERTIFICATE KEY ANCHORS < record
//!     publish ams   HOST PROJECT TOPIC CERTIFICATE KEY ANCHORS < record

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::time::Duration;

use sesame_client::{Broker, Message, Publisher, Settings, ams, stomp};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut record = Vec::new();
    std::io::stdin().read_to_end(&mut record)?;
    let done = publish(&arguments, record).await?;
    writeln!(std::io::stdout(), "{done}")?;
    Ok(())
}

pub(crate) async fn publish(arguments: &[String], record: Vec<u8>) -> Result<String, Box<dyn Error>> {
    let [kind, host, place, destination, certificate, key, anchors] = arguments else {
        return Err("give stomp HOST PORT or ams HOST PROJECT, then DESTINATION CERTIFICATE KEY ANCHORS".into());
    };
    let broker: Broker = match kind.as_str() {
        "stomp" => stomp(host, place.parse()?)?.into(),
        _ => ams(host, place)?.into(),
    };
    let mut settings = Settings::new(broker, destination, certificate, key, anchors);
    settings.deadline = Duration::from_secs(60);

    // One publisher for as long as the program runs: it keeps its connection.
    let publisher = Publisher::new(settings)?;
    let outcome = publisher.publish(Message::new(record)).await;
    publisher.close().await;
    match outcome {
        Ok(published) => Ok(format!("{} is at {}", published.id, published.broker)),
        // Nothing helps before someone has corrected what the text says.
        Err(error) if error.failure.is_final() => Err(error.into()),
        // The same content, later, as `Message::new(record).with_id(error.id)`.
        Err(error) => Err(format!("{error}; keep the record and publish it again as {}", error.id).into()),
    }
}
