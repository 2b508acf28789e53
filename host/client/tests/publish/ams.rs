//! To AMS.

use std::time::Duration;

use sesame_client::{AmsBroker, Failure, Message, MessageId, Project};
use testkit::ams::{Fault, Route, Server, Settings as Service, TooLarge};

use super::{RECORD, SUBJECT, WORLD, settings, start};

const TOPIC: &str = "gocdb";

/// A server where our certificate is bound to a publisher of the topic.
async fn server(service: Service) -> Server {
    let tls = Some(WORLD.authority.requesting_config(&WORLD.server).unwrap());
    let server = Server::start(Service { tls, ..service }).await.unwrap();
    server.create("accounting", TOPIC, "apel", "site", "s3cr3t");
    let name = SUBJECT.split('/').rev().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(",");
    server.bind(&name, "site");
    server
}

fn at(server: &Server) -> AmsBroker {
    let endpoint = |address: std::net::SocketAddr| address.to_string().parse().unwrap();
    let authentication = endpoint(server.authentication_address());
    AmsBroker { authentication, ..AmsBroker::new(endpoint(server.address()), Project::new("accounting").unwrap()) }
}

fn named(id: &str) -> Message {
    Message::new(RECORD).with_id(MessageId::parse(id).unwrap())
}

fn stored(server: &Server) -> Vec<String> {
    let messages = server.messages("accounting", TOPIC);
    messages.iter().map(|message| message.attributes["empaid"].clone()).collect()
}

#[tokio::test]
async fn a_message_is_published_with_a_token_for_the_certificate() {
    let server = server(Service::default()).await;
    let published = start(settings(at(&server), TOPIC), named("one")).await.unwrap().unwrap();
    assert_eq!((published.attempts, published.ams_id.as_deref()), (1, Some("0")));
    assert_eq!(published.broker, format!("{}/accounting", server.address()));
    assert_eq!(stored(&server), ["one"]);
    assert_eq!(server.counters().certificates_at_api, 0);
}

#[tokio::test]
async fn what_passes_is_tried_again_under_the_same_id() {
    for (fault, copies) in [
        (Fault::error(500, "Backend Error", "INTERNAL SERVER ERROR"), 1),
        (Fault::html(502), 1),
        (Fault::Reset, 1),
        (Fault::Lost, 2),
        (Fault::CutOff, 2),
    ] {
        let server = server(Service::default()).await;
        let name = format!("{fault:?}");
        server.fault(Route::Publish, fault);
        let published = start(settings(at(&server), TOPIC), named("one")).await.unwrap().unwrap();
        assert_eq!((published.attempts, stored(&server)), (2, vec!["one".to_owned(); copies]), "{name}");
    }
}

#[tokio::test]
async fn what_ams_refuses_for_good_is_not_tried_again() {
    for (fault, failure, words) in [
        (Fault::error(413, "Message size is too large", "INVALID_ARGUMENT"), Failure::TooLarge, "(413)"),
        (Fault::error(400, "data is not a record", "INVALID_ARGUMENT"), Failure::Refused, "data is not a record"),
        (Fault::error(403, "Access to this resource is forbidden", "FORBIDDEN"), Failure::Refused, "(403)"),
        (Fault::error(404, "Topic doesn't exist", "NOT_FOUND"), Failure::Refused, "Topic doesn't exist"),
    ] {
        let server = server(Service { too_large: TooLarge::PayloadTooLarge, ..Service::default() }).await;
        server.fault(Route::Publish, fault);
        let error = start(settings(at(&server), TOPIC), named("one")).await.unwrap().unwrap_err();
        assert_eq!((error.failure, error.attempts, error.may_have_arrived), (failure, 1, false), "{error}");
        assert!(error.reason.contains(words), "{error}");
        assert_eq!((server.requests(Route::Publish), stored(&server).len()), (1, 0), "{error}");
    }
}

#[tokio::test]
async fn a_certificate_without_a_user_of_ams_is_refused_for_good() {
    let server = server(Service::default()).await;
    server.set_lasting_fault(Route::Token, Some(Fault::error(404, "Binding was not found", "NOT_FOUND")));
    let error = start(settings(at(&server), TOPIC), named("one")).await.unwrap().unwrap_err();
    assert_eq!((error.failure, error.may_have_arrived), (Failure::Refused, false), "{error}");
    assert!(error.reason.contains("bound to no user"), "{error}");
}

#[tokio::test]
async fn what_ams_cannot_store_is_given_up_at_the_deadline() {
    let server = server(Service::default()).await;
    let fault = Fault::error(500, "Backend Error", "INTERNAL SERVER ERROR");
    server.set_lasting_fault(Route::Publish, Some(fault));
    let mut settings = settings(at(&server), TOPIC);
    settings.deadline = Duration::from_secs(2);
    let error = start(settings, named("one")).await.unwrap().unwrap_err();
    assert_eq!((error.failure, error.may_have_arrived), (Failure::NotConfirmed, true));
    assert!(error.attempts >= 2 && error.reason.contains("Backend Error"), "{error}");
    assert_eq!(u64::from(error.attempts), server.requests(Route::Publish));
}

#[tokio::test]
async fn a_message_larger_than_ams_stores_is_not_sent() {
    let server = server(Service::default()).await;
    let settings = settings(AmsBroker { max_message: 1000, ..at(&server) }, TOPIC);
    let error = start(settings, named("one")).await.unwrap().unwrap_err();
    assert_eq!((error.failure, error.attempts), (Failure::TooLarge, 0), "{error}");
    assert_eq!(server.requests(Route::Publish), 0);
}
