//! Who may ask for what, and what exists.

use super::*;

#[tokio::test]
async fn requests_are_refused_in_the_order_of_ams() {
    let server = server().await;
    server.create_project("empty");
    server.create_user("stranger", "strange");
    server.grant("stranger", "accounting", &[Role::Publisher]);
    let publish = |project: &str, topic: &str| format!("/v1/projects/{project}/topics/{topic}:publish");
    for (path, token, answer) in [
        (publish("acc.ounting", "jobs"), "", (400, "Invalid project name")),
        (publish("accounting", "jo.bs"), "", (400, "Invalid topic name")),
        (publish("nowhere", "jobs"), "", (401, "Unauthorized")),
        (publish("nowhere", "jobs"), "wrong", (404, "project doesn't exist")),
        (publish("accounting", "nothing"), "wrong", (401, "Unauthorized")),
        (publish("empty", "jobs"), "secret", (401, "Unauthorized")),
        (format!("{SUBSCRIPTION}:pull"), "strange", (403, "Access to this resource is forbidden")),
        (publish("accounting", "nothing"), "strange", (404, "Topic doesn't exist")),
        (publish("accounting", "jobs"), "strange", (403, "Access to this resource is forbidden")),
        (publish("accounting", "jobs"), "secret", (400, "Invalid Message Arguments")),
    ] {
        let (status, words) = error(send(&server, "POST", &path, token, "").await.unwrap());
        assert_eq!((status, words.as_str()), answer, "{path} {token}");
    }
}

#[tokio::test]
async fn topics_and_subscriptions_are_shown_if_they_exist() {
    let server = server().await;
    assert_eq!(get(&server, TOPIC).await, (200, json!({ "name": "/projects/accounting/topics/jobs" })));
    let (status, said) = get(&server, SUBSCRIPTION).await;
    assert_eq!((status, &said["ackDeadlineSeconds"]), (200, &json!(10)));
    assert_eq!(said["topic"], "/projects/accounting/topics/jobs");
    assert_eq!(error(get(&server, &format!("{TOPIC}-old")).await).1, "Topic doesn't exist");
    assert_eq!(error(get(&server, &format!("{SUBSCRIPTION}-old")).await).1, "Subscription doesn't exist");
    server.delete_topic("accounting", "jobs");
    assert_eq!(error(pull(&server, 1).await), (409, "Subscription's topic doesn't exist".to_owned()));
}

#[tokio::test]
async fn status_and_version_need_no_token() {
    let server = server().await;
    for path in ["/v1/status", "/v1/version"] {
        assert_eq!(send(&server, "GET", path, "", "").await.unwrap().0, 200);
    }
    assert_eq!(get(&server, "/v1/nothing").await, (404, json!("404 page not found\n")));
}

#[tokio::test]
async fn a_token_in_the_address_is_taken_and_counted() {
    let server = server().await;
    assert_eq!(send(&server, "GET", &format!("{TOPIC}?key=secret"), "", "").await.unwrap().0, 200);
    assert_eq!(server.counters().tokens_in_address, 1);
}
