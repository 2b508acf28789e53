//! Pulling, and acknowledging what was pulled.

use std::time::{Duration, Instant};

use super::*;

#[tokio::test]
async fn what_is_pulled_comes_again_until_it_is_acknowledged() {
    let server = server().await;
    fill(&server, 3);
    assert_eq!(offsets(&pull(&server, 2).await), [0, 1]);
    assert_eq!(offsets(&pull(&server, 2).await), [0, 1]);
    assert_eq!(acknowledge(&server, &[1]).await, (200, json!({})));
    assert_eq!(offsets(&pull(&server, 2).await), [2]);
    assert_eq!((server.offset("accounting", "repository"), server.counters().acknowledged), (Some(2), 2));
    let said = get(&server, &format!("{SUBSCRIPTION}:offsets")).await;
    assert_eq!(said, (200, json!({ "max": 3, "min": 0, "current": 2 })));
}

#[tokio::test]
async fn a_received_message_carries_what_was_sent() {
    for (form, attributes) in [
        (AttributeForm::Object, json!({ "empaid": "0" })),
        (AttributeForm::List, json!([{ "key": "empaid", "value": "0" }])),
    ] {
        let server = server_with(Settings { attributes: form, ..Settings::default() }).await;
        fill(&server, 1);
        let (_, body) = pull(&server, 1).await;
        let received = &body["receivedMessages"][0];
        assert_eq!(received["ackId"], "projects/accounting/subscriptions/repository:0");
        assert_eq!(
            (&received["message"]["data"], &received["message"]["attributes"]),
            (&json!("ZGF0YQ=="), &attributes)
        );
    }
}

#[tokio::test]
async fn only_messages_of_the_latest_pull_can_be_acknowledged() {
    let server = server().await;
    fill(&server, 5);
    pull(&server, 4).await;
    pull(&server, 2).await;
    assert_eq!(error(acknowledge(&server, &[3]).await), (500, "wrong ack".to_owned()));
    assert_eq!(acknowledge(&server, &[0]).await.0, 200, "a part of the window");
    assert_eq!(error(acknowledge(&server, &[1]).await), (500, "no ack pending".to_owned()));
    server.fault(Route::Pull, Fault::Empty);
    assert_eq!(offsets(&pull(&server, 5).await), [0_u64; 0]);
    assert_eq!(error(acknowledge(&server, &[1]).await), (500, "wrong ack".to_owned()));
}

#[tokio::test]
async fn an_acknowledgement_whose_answer_was_lost_cannot_be_repeated() {
    let server = server().await;
    fill(&server, 1);
    pull(&server, 1).await;
    server.fault(Route::Acknowledge, Fault::Lost);
    let ids = json!({ "ackIds": ["projects/accounting/subscriptions/repository:0"] }).to_string();
    let said = send(&server, "POST", &format!("{SUBSCRIPTION}:acknowledge"), "secret", &ids).await;
    assert!(said.is_err(), "{said:?}");
    assert_eq!(error(acknowledge(&server, &[0]).await), (500, "no ack pending".to_owned()));
    let (_, said) = get(&server, &format!("{SUBSCRIPTION}:offsets")).await;
    assert_eq!(said["current"], said["max"]);
}

#[tokio::test]
async fn an_empty_or_foreign_list_of_ids_is_refused() {
    let server = server().await;
    fill(&server, 1);
    pull(&server, 1).await;
    let path = format!("{SUBSCRIPTION}:acknowledge");
    for ids in [
        json!([]),
        json!(null),
        json!(["projects/accounting/subscriptions/other:0"]),
        json!(["projects/accounting/subscriptions/repository:x"]),
    ] {
        let said = post(&server, &path, json!({ "ackIds": ids })).await;
        assert_eq!(error(said), (400, "Invalid ack id".to_owned()));
    }
    assert_eq!(error(post(&server, &path, json!({ "ackIds": 1 })).await).1, "Invalid ack parameter");
}

#[tokio::test]
async fn past_the_deadline_nothing_can_be_acknowledged_and_messages_come_again() {
    let server = server().await;
    fill(&server, 1);
    let path = format!("{SUBSCRIPTION}:modifyAckDeadline");
    assert_eq!(post(&server, &path, json!({ "ackDeadlineSeconds": 601 })).await.0, 400);
    assert_eq!(post(&server, &path, json!({ "ackDeadlineSeconds": 0 })).await, (200, json!("")));
    assert_eq!(server.deadline("accounting", "repository"), Some(0));
    pull(&server, 1).await;
    server.expire("accounting", "repository");
    assert_eq!(error(acknowledge(&server, &[0]).await), (408, "ack timeout".to_owned()));
    assert_eq!(offsets(&pull(&server, 1).await), [0]);
    assert_eq!(acknowledge(&server, &[0]).await.0, 200);
}

#[tokio::test]
async fn only_the_text_false_waits_and_numbers_are_refused() {
    let server = server_with(Settings { wait: Duration::from_secs(1), ..Settings::default() }).await;
    let path = format!("{SUBSCRIPTION}:pull");
    for body in [json!({ "maxMessages": 1 }), json!({ "returnImmediately": false })] {
        assert_eq!(error(post(&server, &path, body).await).0, 400);
    }
    for (value, waits) in [("False", false), ("no", false), ("false", true)] {
        let began = Instant::now();
        assert_eq!(offsets(&post(&server, &path, json!({ "returnImmediately": value })).await), [0_u64; 0]);
        assert_eq!(began.elapsed() >= Duration::from_secs(1), waits, "{value}");
    }
}

#[tokio::test]
async fn a_waiting_pull_ends_when_it_has_what_it_asked_for() {
    let server = server().await;
    let path = format!("{SUBSCRIPTION}:pull");
    let pulling = post(&server, &path, json!({ "maxMessages": "1", "returnImmediately": "false" }));
    let putting = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        fill(&server, 1);
    };
    assert_eq!(offsets(&tokio::join!(pulling, putting).0), [0]);
}

#[tokio::test]
async fn a_waiting_pull_blocks_all_others_even_when_its_client_is_gone() {
    let server = server_with(Settings { wait: Duration::from_secs(1), ..Settings::default() }).await;
    fill(&server, 1);
    let path = format!("{SUBSCRIPTION}:pull");
    let began = Instant::now();
    let waiting = post(&server, &path, json!({ "maxMessages": "2", "returnImmediately": "false" }));
    let arrived = async {
        while server.requests(Route::Pull) == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    tokio::select! {
        said = waiting => panic!("{said:?}"),
        () = arrived => {}
    }
    assert_eq!(offsets(&pull(&server, 1).await), [0]);
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_poisoned_message_stops_the_subscription_until_it_is_passed() {
    let server = server().await;
    fill(&server, 1);
    server.put_text("accounting", "jobs", "{\"data\": ");
    fill(&server, 1);
    let (status, words) = error(pull(&server, 3).await);
    assert!(status == 500 && words.ends_with("invalid JSON Structure"), "{status} {words}");
    let path = format!("{SUBSCRIPTION}:modifyOffset");
    assert_eq!(error(post(&server, &path, json!({ "offset": 2 })).await).0, 403, "only an administrator may");
    server.grant("site", "accounting", &[Role::Admin]);
    assert_eq!(post(&server, &path, json!({ "offset": 2 })).await, (200, json!("")));
    assert_eq!(offsets(&pull(&server, 3).await), [2]);
    assert_eq!(error(post(&server, &path, json!({ "offset": 9 })).await), (400, "Offset out of bounds".to_owned()));
    assert_eq!(server.offset("accounting", "repository"), Some(9), "refused, and set all the same");
}

#[tokio::test]
async fn an_offset_that_is_not_kept_any_more_is_moved_silently() {
    let server = server().await;
    fill(&server, 5);
    server.drop_before("accounting", "jobs", 3);
    assert_eq!(offsets(&pull(&server, 1).await), [3]);
    assert_eq!(acknowledge(&server, &[3]).await.0, 200);
    server.drop_before("accounting", "jobs", 5);
    let (_, said) = get(&server, &format!("{SUBSCRIPTION}:offsets")).await;
    assert_eq!(said, json!({ "max": 5, "min": 5, "current": 5 }));
}
