//! What is stored of what is published.

use super::*;

#[tokio::test]
async fn what_is_published_is_stored_under_the_next_offsets() {
    let server = server().await;
    fill(&server, 2);
    let said = publish(&server, &[message("a/1", "aGVsbG8="), json!({ "data": "" })]).await;
    assert_eq!(said, (200, json!({ "messageIds": ["2", "3"] })));
    let stored = server.messages("accounting", "jobs");
    assert_eq!((stored[2].offset, stored[2].data.as_deref()), (2, Some(&b"hello"[..])));
    assert_eq!(stored[2].attributes["empaid"], "a/1");
    let start = "{\n   \"messageId\": \"2\",\n   \"attributes\": {\n      \"empaid\": \"a/1\"\n   },\n   \"data\": \"aGVsbG8=\",\n";
    assert!(stored[2].text.starts_with(start), "{}", stored[2].text);
    assert!(!stored[3].text.contains("attributes"), "{}", stored[3].text);
    assert_eq!((server.counters().stored, server.requests(Route::Publish)), (2, 1));
}

#[tokio::test]
async fn the_size_of_the_whole_stored_text_counts() {
    for (too_large, answer) in [
        (TooLarge::BackendError, (500, "Backend Error")),
        (TooLarge::PayloadTooLarge, (413, "Message size is too large")),
    ] {
        let server = server_with(Settings { max_stored: 1000, too_large, ..Settings::default() }).await;
        let large = "A".repeat(1000 - 140);
        let said = error(publish(&server, &[message("a", "QUFB"), message("b", &large), message("c", "QUFB")]).await);
        assert_eq!((said.0, said.1.as_str()), answer);
        assert_eq!(server.messages("accounting", "jobs").len(), 1, "the first message stays published");
        let fits = "A".repeat(1000 - 240);
        assert_eq!(publish(&server, &[message("b", &fits)]).await.0, 200);
    }
}

#[tokio::test]
async fn attributes_are_stored_without_escaping() {
    let server = server().await;
    publish(&server, &[message(r#"a","site":"b"#, "")]).await;
    let stored = server.messages("accounting", "jobs");
    assert_eq!((stored[0].attributes["empaid"].as_str(), stored[0].attributes["site"].as_str()), ("a", "b"));
    assert_eq!(publish(&server, &[message("a\"b", "")]).await.0, 200);
    assert_eq!(server.messages("accounting", "jobs")[1].text, "", "poisoned");
}

#[tokio::test]
async fn what_is_no_list_of_messages_is_refused() {
    let server = server().await;
    let path = format!("{TOPIC}:publish");
    for body in [json!({ "messages": "none" }), json!({ "messages": [{ "attributes": [], "data": "" }] }), json!(7)] {
        assert_eq!(error(post(&server, &path, body).await), (400, "Invalid Message Arguments".to_owned()));
    }
    assert_eq!(publish(&server, &[]).await, (200, json!({ "messageIds": [] })));
}

#[tokio::test]
async fn a_schema_refuses_all_of_a_batch_in_its_own_words() {
    let server = server().await;
    let schema: Schema = |data| (data != b"good").then(|| "Message 1 data is not valid".to_owned());
    server.set_schema("accounting", "jobs", Some(schema));
    let said = publish(&server, &[message("a", "Z29vZA=="), message("b", "YmFk")]).await;
    assert_eq!(error(said), (400, "Message 1 data is not valid".to_owned()));
    assert!(server.messages("accounting", "jobs").is_empty());
}

#[tokio::test]
async fn publish_times_vary_in_their_decimals() {
    let server = server().await;
    fill(&server, 10);
    let (_, body) = pull(&server, 10).await;
    let times = body["receivedMessages"].as_array().unwrap().iter();
    let times: Vec<&str> = times.map(|received| received["message"]["publishTime"].as_str().unwrap()).collect();
    assert!(times.iter().all(|time| time.parse::<jiff::Timestamp>().is_ok() && time.ends_with('Z')), "{times:?}");
    let lengths: std::collections::BTreeSet<usize> = times.iter().map(|time| time.len()).collect();
    assert!(!times[0].contains('.') && lengths.len() > 3, "{times:?}");
}
