//! What goes right: the requests as they are on the wire, and what is read from the answers.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::*;

#[tokio::test]
async fn publishes_and_returns_the_ids() {
    let server = api(|_| Reply::ok(r#"{"messageIds":["18","19"]}"#)).await;
    let client = client(&server);
    let messages = [Publication::new("a/b", "hello"), Publication::default()];
    let ids = client.publish(&topic(), &messages).await.unwrap();
    assert_eq!(ids.iter().map(MessageId::as_str).collect::<Vec<_>>(), ["18", "19"]);
    let seen = &server.seen()[0];
    assert_eq!(seen.line(), "post /v1/projects/accounting/topics/gocdb:publish");
    assert_eq!(
        seen.body,
        r#"{"messages":[{"attributes":{"empaid":"a/b"},"data":"aGVsbG8="},{"attributes":{},"data":""}]}"#
    );
    assert_eq!(seen.header("x-api-key"), Some(TOKEN));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.header("host"), Some(server.endpoint().to_string().as_str()));
    assert!(!seen.line().contains("key"));
}

#[tokio::test]
async fn nothing_is_sent_for_no_messages() {
    let server = api(|_| Reply::ok("{}")).await;
    assert_eq!(client(&server).publish(&topic(), &[]).await.unwrap(), []);
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn pulls_with_strings_and_without_waiting() {
    let server = api(|_| Reply::ok(r#"{"receivedMessages":[]}"#)).await;
    assert_eq!(client(&server).pull(&subscription(), 10).await.unwrap(), []);
    let seen = &server.seen()[0];
    assert_eq!(seen.line(), "post /v1/projects/accounting/subscriptions/apel:pull");
    assert_eq!(seen.body, r#"{"maxMessages":"10","returnImmediately":"true"}"#);
}

/// An answer to a pull. The messages are not in their order, and of several servers.
const PULLED: &str = r#"{"receivedMessages":[
    {"ackId":"projects/accounting/subscriptions/apel:8","message":{"messageId":"8","attributes":
        [{"key":"empaid","value":"c/d"},{"key":"n","value":5},{"value":"lost"}],"data":"d29ybGQ",
        "publishTime":"yesterday"}},
    {"ackId":"projects/accounting/subscriptions/apel:7","message":{"messageId":"7","attributes":{"empaid":"a/b"},
        "data":"aGVs\nbG8=","publishTime":"1970-01-01T00:00:01.5Z"}},
    {"ackId":"projects/accounting/subscriptions/apel:9","message":{"attributes":null,"data":"*"}},
    {"ackId":"projects/accounting/subscriptions/apel:10"}]}"#;

#[tokio::test]
async fn a_message_that_cannot_be_decoded_does_not_hide_the_others() {
    let server = api(|_| Reply::ok(PULLED)).await;
    let messages = client(&server).pull(&subscription(), 10).await.unwrap();
    let [first, second, third, fourth] = messages.as_slice() else { panic!("{messages:?}") };
    assert_eq!(first.ack_id.to_string(), "projects/accounting/subscriptions/apel:7");
    assert_eq!((first.ack_id.offset(), first.message_id.as_str()), (7, "7"));
    assert_eq!(first.attributes, BTreeMap::from([("empaid".to_owned(), "a/b".to_owned())]));
    assert_eq!(first.data.as_ref().unwrap(), "hello");
    assert_eq!(first.publish_time, Some(SystemTime::UNIX_EPOCH + Duration::from_millis(1500)));
    assert_eq!((second.attributes["empaid"].as_str(), second.attributes["n"].as_str()), ("c/d", "5"));
    assert_eq!(second.data.as_ref().unwrap(), "world");
    assert_eq!((second.publish_time, second.attributes.len()), (None, 2));
    let said = third.data.as_ref().unwrap_err().to_string();
    assert_eq!(said, "the message's data is not base64: Invalid symbol 42, offset 0.");
    assert_eq!(third.message_id.as_str(), "");
    assert_eq!(fourth.data.as_ref().unwrap_err().to_string(), "the message has no data");
    assert_eq!(fourth.ack_id.offset(), 10);
}

#[tokio::test]
async fn acknowledges_one_id_and_reads_offsets() {
    let script = |n| Reply::ok([r"{}", r#"{"max":14,"min":0,"current":4}"#][n]);
    let server = api(script).await;
    let client = client(&server);
    client.acknowledge(&ack(&client, 3)).await.unwrap();
    let offsets = client.offsets(&subscription()).await.unwrap();
    assert_eq!(offsets, Offsets { min: 0, max: 14, current: 4 });
    assert_eq!(offsets.waiting(), 10);
    assert!(offsets.are_beyond(&ack(&client, 3)) && !offsets.are_beyond(&ack(&client, 4)));
    let seen = server.seen();
    assert_eq!(seen[0].line(), "post /v1/projects/accounting/subscriptions/apel:acknowledge");
    assert_eq!(seen[0].body, r#"{"ackIds":["projects/accounting/subscriptions/apel:3"]}"#);
    assert_eq!(seen[1].line(), "get /v1/projects/accounting/subscriptions/apel:offsets");
    assert_eq!((seen[1].body.as_str(), seen[1].connection), ("", 0));
}

#[tokio::test]
async fn status_and_version_need_no_token() {
    let script = |n| Reply::ok([r#"{"status":"ok","push_servers":[]}"#, r#"{"release":"1.7.0\u001b"}"#][n]);
    let server = api(script).await;
    let client = client(&server);
    assert_eq!(client.status().await.unwrap(), "ok");
    assert_eq!(client.version().await.unwrap(), "1.7.0\\u{1b}");
    let seen = server.seen();
    assert_eq!((seen[0].line(), seen[1].line()), ("get /v1/status", "get /v1/version"));
    assert!(seen.iter().all(|seen| seen.header("x-api-key").is_none()));
}

#[tokio::test]
async fn looks_up_topic_and_subscription() {
    let described = r#"{"name":"/projects/accounting/subscriptions/apel","topic":"/projects/accounting/topics/gocdb",
        "pushConfig":{"pushEndpoint":""},"ackDeadlineSeconds":10}"#;
    let push = r#"{"topic":"t","pushConfig":{"pushEndpoint":"https://elsewhere"}}"#;
    let server = api(move |n| Reply::ok(["{}", described, push][n])).await;
    let client = client(&server);
    client.topic(&topic()).await.unwrap();
    let state = client.subscription(&subscription()).await.unwrap();
    let topic = "/projects/accounting/topics/gocdb".to_owned();
    assert_eq!(state, SubscriptionState { topic, ack_deadline: Duration::from_secs(10), is_push: false });
    assert!(client.subscription(&subscription()).await.unwrap().is_push);
    let seen = server.seen();
    assert_eq!(seen[0].line(), "get /v1/projects/accounting/topics/gocdb");
    assert_eq!(seen[1].line(), "get /v1/projects/accounting/subscriptions/apel");
}

#[tokio::test]
async fn no_form_of_client_or_settings_shows_the_token() {
    let server = api(|_| Reply::ok("{}")).await;
    let settings = settings(&server);
    for debug in [format!("{:?}", settings.token), format!("{:#?}", client(&server))] {
        assert!(!debug.contains("s3cr3t"), "{debug}");
    }
}
