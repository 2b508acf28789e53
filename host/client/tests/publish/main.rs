//! Publishing to a scripted broker and a scripted AMS server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and says why"
)]

mod ams;
mod certificates;
#[allow(dead_code, reason = "the test calls what `main` calls")]
#[path = "../../examples/publish.rs"]
mod example;
mod queues;
mod stomp;

use std::sync::LazyLock;
use std::time::Duration;

use sesame_client::{Broker, Message, PublishError, Published, Publisher, Settings};
use tempfile::TempDir;
use testkit::pki::{Authority, Directory, Issued, KeyKind, Request};

const RECORD: &str = "APEL-individual-job-message: v0.3\nSite: UKI-TEST\n%%\n";
const SUBJECT: &str = "/O=Test/CN=ce.example.org";

/// An authority and what it issued, made once.
struct World {
    authority: Authority,
    server: Issued,
    folder: TempDir,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::root(&Request::authority("/O=Test CA/CN=Root")).unwrap();
    Directory::create(folder.path().join("ca")).unwrap().add_authority(&authority.own.certificate).unwrap();
    let server = authority.issue(&host("/O=Test/CN=mq.example.org")).unwrap();
    authority.issue(&host(SUBJECT)).unwrap().write(folder.path(), "own").unwrap();
    World { authority, server, folder }
});

fn host(subject: &str) -> Request {
    Request { key: KeyKind::P256, addresses: vec!["127.0.0.1".parse().unwrap()], ..Request::host(subject) }
}

fn settings(broker: impl Into<Broker>, destination: &str) -> Settings {
    let file = |name: &str| WORLD.folder.path().join(name);
    let settings = Settings::new(broker, destination, file("own.pem"), file("own.key"), file("ca"));
    Settings { deadline: Duration::from_secs(20), ..settings }
}

/// Publishes on a task of its own.
fn start(settings: Settings, message: Message) -> tokio::task::JoinHandle<Result<Published, PublishError>> {
    let publisher = Publisher::new(settings).unwrap();
    tokio::spawn(async move { publisher.publish(message).await })
}

/// Waits until something is so.
async fn until(what: &str, mut is: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if is() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}
