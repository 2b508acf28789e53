//! The token: where it comes from, when it is fetched again, and what the token service refuses with.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;

/// A token service that answers the n-th request as scripted, and a client of `api` that uses it.
async fn with_service(api: &Server, script: impl Fn(usize) -> Reply + Send + Sync + 'static) -> (Server, Client) {
    let service = Server::start(Some(WORLD.token_tls()), move |n, _| script(n)).await;
    let token = TokenSource::X509 { service: service.endpoint(), tls: WORLD.client_tls(true), otherwise: None };
    assert_eq!(format!("{token:?}"), format!("X509 {{ service: {:?}, .. }}", service.endpoint()));
    let client = Client::new(Settings { token, ..settings(api) });
    (service, client)
}

fn given(token: &str) -> Reply {
    Reply::ok(&format!("{{\"token\":\"{token}\"}}"))
}

/// AMS that takes the tokens for which `takes` is true.
async fn picky(takes: impl Fn(&str) -> bool + Send + Sync + 'static) -> Server {
    let script = move |_, seen: &server::Seen| match seen.header("x-api-key") {
        Some(token) if takes(token) => Reply::ok(r#"{"max":1,"min":0,"current":1}"#),
        _ => refusal(401, "Unauthorized"),
    };
    Server::start(Some(WORLD.api_tls()), script).await
}

#[tokio::test]
async fn a_certificate_gets_a_token_once() {
    let api = picky(|token| token == "s3cr3t-1").await;
    let (service, client) = with_service(&api, |n| given(&format!("s3cr3t-{}", n + 1))).await;
    for _ in 0..3 {
        client.offsets(&subscription()).await.unwrap();
    }
    assert_eq!(client.clone().offsets(&subscription()).await.unwrap().waiting(), 0);
    let seen = service.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].line(), "get /v1/service-types/ams/hosts/127.0.0.1:authx509");
    assert_eq!(seen[0].header("x-api-key"), None);
    assert!(!format!("{client:?}").contains("s3cr3t"));
}

#[tokio::test]
async fn a_refused_token_is_fetched_again_once_for_all_who_were_refused() {
    let api = picky(|token| token == "s3cr3t-2").await;
    let (service, client) = with_service(&api, |n| given(&format!("s3cr3t-{}", n + 1))).await;
    let asked: Vec<_> = (0..8)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.offsets(&subscription()).await })
        })
        .collect();
    for asked in asked {
        asked.await.unwrap().unwrap();
    }
    assert_eq!(service.count(), 2);
    assert_eq!(api.seen().iter().filter(|seen| seen.header("x-api-key") == Some("s3cr3t-2")).count(), 8);
}

#[tokio::test]
async fn a_new_token_that_is_refused_is_not_replaced_before_one_worked() {
    let open = Arc::new(AtomicBool::new(false));
    let opened = Arc::clone(&open);
    let api = picky(move |token| token == "s3cr3t-2" && opened.load(Ordering::Relaxed)).await;
    let (service, client) = with_service(&api, |n| given(&format!("s3cr3t-{}", n + 1))).await;
    for _ in 0..3 {
        let error = client.offsets(&subscription()).await.unwrap_err();
        assert_eq!(
            text(&error, &api),
            "cannot read the offsets of subscription apel of project accounting at HOST: AMS does not accept the token \
             (401): a new one from the token service is not accepted either; ask the administrators of AMS"
        );
        assert!(!error.is_transient());
    }
    assert_eq!((service.count(), api.count()), (2, 4));
    open.store(true, Ordering::Relaxed);
    client.offsets(&subscription()).await.unwrap();
    open.store(false, Ordering::Relaxed);
    client.offsets(&subscription()).await.unwrap_err();
    assert_eq!(service.count(), 3);
}

#[tokio::test]
async fn requests_share_the_failure_they_waited_for() {
    let api = picky(|_| true).await;
    let (service, client) = with_service(&api, |_| refusal(500, "Internal Error")).await;
    let asked: Vec<_> = (0..8)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.offsets(&subscription()).await })
        })
        .collect();
    for asked in asked {
        asked.await.unwrap().unwrap_err();
    }
    assert_eq!(service.count(), 1);
    client.offsets(&subscription()).await.unwrap_err();
    assert_eq!(service.count(), 2);
}

/// Checks the texts of publishing while the token service answers like this, and that AMS is not asked.
async fn no_token(cases: impl IntoIterator<Item = (Reply, &'static str)>, transient: bool) {
    let api = picky(|_| true).await;
    for (reply, expected) in cases {
        let (service, client) = with_service(&api, move |_| reply.clone()).await;
        let error = client.publish(&topic(), &one()).await.unwrap_err();
        let said = text(&error, &api).replace(&service.endpoint().to_string(), "SERVICE");
        let begins = "cannot publish to topic gocdb of project accounting at HOST: no token from SERVICE";
        assert_eq!(said, format!("{begins}: {expected}"));
        assert_eq!((error.is_transient(), error.may_have_been_taken()), (transient, false), "{expected}");
    }
    assert_eq!(api.count(), 0);
}

#[tokio::test]
async fn the_token_service_refuses() {
    let none =
        "it saw no client certificate (400), it says: No certificate provided: check certificate and key of this host";
    let refused = "it does not accept our certificate (403), it says: Your certificate has expired: the certificate is \
                   expired, not yet valid, revoked, of another host, or has no CRL distribution point";
    let not_bound = "our certificate is bound to no user of 127.0.0.1 (404), it says: Binding was not found: the \
                     host's DN must be registered (in GOCDB), exactly as the certificate has it";
    let page = "it saw no client certificate (400), it says: a web page instead of JSON: check certificate and key of \
                this host";
    let other = "the answer (404) is not one of AMS, it says: a web page instead of JSON: check host and port";
    let cases = [
        (refusal(400, "No certificate provided"), none),
        (refusal(403, "Your certificate has expired"), refused),
        (refusal(404, "Binding was not found"), not_bound),
        (Reply::new(400, "<html>No required SSL certificate was sent</html>"), page),
        (Reply::new(404, "<html>"), other),
        (Reply::new(401, ""), "the answer (401) is not one of AMS: check host and port"),
    ];
    no_token(cases, false).await;
}

#[tokio::test]
async fn the_token_service_fails() {
    let cases = [
        (refusal(500, "Internal Error"), "AMS behind it failed (500), it says: Internal Error"),
        (Reply::new(503, "<html>"), "AMS is not available (503), it says: a web page instead of JSON"),
        (Reply::cut("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"), "the answer was cut off after 1 bytes"),
    ];
    no_token(cases, true).await;
}

#[tokio::test]
async fn the_token_service_gives_no_token() {
    let answers = [r#"{"key":"s3cr3t-t0k3n"}"#, r#"{"token":"s3cr3t t0k3n"}"#, r#"{"token":""}"#, "s3cr3t-t0k3n"];
    no_token(answers.map(|answer| (Reply::ok(answer), "its answer holds no usable token")), false).await;
}

#[tokio::test]
async fn a_token_service_that_refuses_the_certificate_in_tls_says_so() {
    let api = picky(|_| true).await;
    let service = Server::start(Some(WORLD.token_tls()), |_, _| given("x")).await;
    let token = TokenSource::X509 { service: service.endpoint(), tls: WORLD.client_tls(false), otherwise: None };
    let client = Client::new(Settings { token, ..settings(&api) });
    let error = client.offsets(&subscription()).await.unwrap_err();
    assert_eq!(
        text(&error, &api).replace(&service.endpoint().to_string(), "SERVICE"),
        "cannot read the offsets of subscription apel of project accounting at HOST: no token from SERVICE: SERVICE \
         refused our certificate: TLS alert certificate_required: the server requires a client certificate and got none \
         that it can use"
    );
}

#[tokio::test]
async fn a_token_service_that_cannot_be_reached() {
    let api = picky(|_| true).await;
    let token = TokenSource::X509 {
        service: "ams.invalid:8443".parse().unwrap(),
        tls: WORLD.client_tls(true),
        otherwise: None,
    };
    let error = Client::new(Settings { token, ..settings(&api) }).pull(&subscription(), 1).await.unwrap_err();
    let begins = "cannot pull from subscription apel of project accounting at HOST: no token from ams.invalid:8443: \
                  cannot resolve host name ams.invalid: ";
    let said = text(&error, &api);
    assert!(said.starts_with(begins) && said.len() > begins.len(), "{said}");
    assert!(error.is_transient() && !error.may_have_been_taken());
}

#[tokio::test]
async fn ams_is_not_shown_the_certificate() {
    // It asks for one, and the handshake fails: also where the configuration for AMS has one by mistake.
    for by_mistake in [false, true] {
        let api = Server::start(Some(WORLD.token_tls()), |_, _| Reply::ok("{}")).await;
        let client = Client::new(Settings { tls: WORLD.client_tls(by_mistake), ..settings(&api) });
        let error = client.offsets(&subscription()).await.unwrap_err();
        assert!(text(&error, &api).contains("HOST refused our certificate: TLS alert certificate_required"), "{error}");
        assert_eq!(api.count(), 0);
    }
}

#[tokio::test]
async fn a_fixed_token_is_not_fetched_again() {
    let tried = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tried);
    let api = picky(move |_| counted.fetch_add(1, Ordering::Relaxed) > 5).await;
    client(&api).offsets(&subscription()).await.unwrap_err();
    assert_eq!(tried.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_configured_token_is_used_while_the_service_gives_none() {
    let api = picky(|token| token != "refused").await;
    for (otherwise, expected) in [("configured", None), ("refused", Some("AMS does not accept the token (401)"))] {
        let service = Server::start(Some(WORLD.token_tls()), |_, _| refusal(404, "Binding was not found")).await;
        let otherwise = Some(Token::new(otherwise).unwrap());
        let token = TokenSource::X509 { service: service.endpoint(), tls: WORLD.client_tls(true), otherwise };
        assert!(!format!("{token:?}").contains("configured"));
        let client = Client::new(Settings { token, ..settings(&api) });
        match (client.offsets(&subscription()).await, expected) {
            (Ok(_), None) => assert_eq!(service.seen().len(), 1),
            (Err(error), Some(expected)) => {
                assert!(text(&error, &api).contains(expected), "{error}");
                // The service may give one by now.
                assert_eq!(service.seen().len(), 2);
            }
            (other, _) => panic!("{other:?}"),
        }
    }
}
