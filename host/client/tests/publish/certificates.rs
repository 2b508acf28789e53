//! Own and recipient certificates that must not be used.

use sesame_client::{Failure, Message, Publisher};
use testkit::broker::Broker;
use testkit::pki::Request;

use super::stomp::{QUEUE, at, ids};
use super::{RECORD, SUBJECT, WORLD, host, settings};

#[tokio::test]
async fn nothing_is_sent_with_an_expired_certificate_until_it_is_renewed() {
    let broker = Broker::start(None).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let write = |request: &Request| WORLD.authority.issue(request).unwrap().write(folder.path(), "own").unwrap();
    let (certificate, key) = write(&Request { not_before: -7200, not_after: -3600, ..host(SUBJECT) });
    let mut settings = settings(at(&broker), QUEUE);
    (settings.certificate, settings.key) = (certificate, key);
    let publisher = Publisher::new(settings).unwrap();
    let error = publisher.publish(Message::new(RECORD)).await.unwrap_err();
    assert_eq!((error.failure, error.attempts, broker.counters().sessions), (Failure::Certificate, 0, 0));
    assert!(error.reason.contains("expired") && error.reason.contains("have it renewed"), "{error}");

    write(&host(SUBJECT));
    let published = publisher.publish(Message::new(RECORD).with_id(error.id)).await.unwrap();
    assert_eq!(ids(&broker, QUEUE), [published.id.as_str()]);
}

#[tokio::test]
async fn messages_are_encrypted_for_a_recipient_that_is_good() {
    let broker = Broker::start(None).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let issue =
        |request: &Request, stem: &str| WORLD.authority.issue(request).unwrap().write(folder.path(), stem).unwrap().0;
    let request = Request::host("/O=Test/CN=apel.example.org");
    let mut settings = settings(at(&broker), QUEUE);
    settings.recipient = Some(issue(&request, "good"));
    let publisher = Publisher::new(settings.clone()).unwrap();
    publisher.publish(Message::new(RECORD)).await.unwrap();
    let body = String::from_utf8(broker.waiting(QUEUE)[0].1.to_vec()).unwrap();
    assert!(body.contains("enveloped-data") && !body.contains("UKI-TEST"), "{body}");

    settings.recipient = Some(issue(&Request { not_before: -7200, not_after: -3600, ..request }, "old"));
    let error = Publisher::new(settings).unwrap().publish(Message::new(RECORD)).await.unwrap_err();
    assert_eq!(error.failure, Failure::Certificate, "{error}");
}
