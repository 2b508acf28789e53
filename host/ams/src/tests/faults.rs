//! What AMS, and a balancer before it, refuse with.

use super::*;

/// What a fault lets the caller do.
#[derive(Debug, PartialEq, Eq)]
struct Means {
    transient: bool,
    taken: bool,
    offsets: bool,
}

const FINAL: Means = Means { transient: false, taken: false, offsets: false };
const PASSES: Means = Means { transient: true, ..FINAL };
const UNCLEAR: Means = Means { taken: true, ..PASSES };

fn means(error: &Error) -> Means {
    Means { transient: error.is_transient(), taken: error.may_have_been_taken(), offsets: error.settles_by_offsets() }
}

const PUBLISH: &str = "cannot publish to topic gocdb of project accounting at HOST: ";
const PULL: &str = "cannot pull from subscription apel of project accounting at HOST: ";
const ACK: &str = "cannot acknowledge messages of subscription apel of project accounting at HOST: ";

/// Checks the text of a failed publish, without its beginning.
async fn publish_fails(reply: Reply, expected: &str, expects: Means) {
    let server = api(move |_| reply.clone()).await;
    let error = client(&server).publish(&topic(), &one()).await.unwrap_err();
    assert_eq!(text(&error, &server), format!("{PUBLISH}{expected}"));
    assert_eq!(means(&error), expects, "{expected}");
}

async fn pull_fails(reply: Reply, expected: &str, expects: Means) {
    let server = api(move |_| reply.clone()).await;
    let error = client(&server).pull(&subscription(), 10).await.unwrap_err();
    assert_eq!(text(&error, &server), format!("{PULL}{expected}"));
    assert_eq!(means(&error), expects, "{expected}");
}

async fn ack_fails(reply: Reply, expected: &str, expects: Means) {
    let server = api(move |_| reply.clone()).await;
    let client = client(&server);
    let error = client.acknowledge(&ack(&client, 7)).await.unwrap_err();
    assert_eq!(text(&error, &server), format!("{ACK}{expected}"));
    assert_eq!(means(&error), expects, "{expected}");
}

#[tokio::test]
async fn unauthorised() {
    let expected = "AMS does not accept the token (401): check the token in the configuration";
    publish_fails(refusal(401, "Unauthorized"), expected, FINAL).await;
}

#[tokio::test]
async fn forbidden() {
    let expected = "the user of this token has no right to do so (403), it says: Access to this resource is forbidden. \
                    User site-x: ask the project's administrator for it";
    publish_fails(refusal(403, "Access to this resource is forbidden. User site-x"), expected, FINAL).await;
}

#[tokio::test]
async fn not_found() {
    let expected =
        "the project, or what is named in it, does not exist (404), it says: Topic doesn't exist: check both names";
    publish_fails(refusal(404, "Topic doesn't exist"), expected, FINAL).await;
    let expected = "the project, or what is named in it, does not exist (404), it says: Subscription doesn't exist: \
                    check both names";
    pull_fails(refusal(404, "Subscription doesn't exist"), expected, FINAL).await;
}

#[tokio::test]
async fn the_topic_is_gone() {
    let expected = "the topic of the subscription does not exist any more (409), it says: Subscription's topic doesn't \
                    exist: ask the project's administrator";
    pull_fails(refusal(409, "Subscription's topic doesn't exist"), expected, FINAL).await;
}

#[tokio::test]
async fn too_large() {
    let expected =
        "AMS takes no message of this size (413), it says: Message size is too large: send less in one message";
    publish_fails(refusal(413, "Message size is too large"), expected, FINAL).await;
    let expected =
        "AMS takes no message of this size (413), it says: a web page instead of JSON: send less in one message";
    publish_fails(Reply::new(413, "<html>nginx</html>"), expected, FINAL).await;
}

#[tokio::test]
async fn a_schema() {
    let expected = "AMS refuses the messages (400), it says: Message 0 data is not valid. (root): name is required: \
                    see the schema of the topic";
    publish_fails(refusal(400, "Message 0 data is not valid. (root): name is required"), expected, FINAL).await;
}

#[tokio::test]
async fn of_several_messages_the_first_may_be_there() {
    let server = api(|_| refusal(413, "Message size is too large")).await;
    let error = client(&server).publish(&topic(), &[one(), one()].concat()).await.unwrap_err();
    assert!(text(&error, &server).ends_with("; some or all messages may have been published all the same"));
    assert_eq!(means(&error), Means { taken: true, ..FINAL });
}

#[tokio::test]
async fn acknowledgements() {
    let expected = "the acknowledgement came after the deadline of the subscription (408): the messages will be \
                    delivered again; ask the project's administrator for a longer deadline if this repeats";
    ack_fails(refusal(408, "ack timeout"), expected, PASSES).await;
    let asks = Means { offsets: true, ..FINAL };
    let expected = "the id is outside of what the latest pull delivered (500), it says: wrong ack: another consumer \
                    pulls from this subscription, or the messages were acknowledged before";
    ack_fails(refusal(500, "wrong ack"), expected, asks).await;
    let asks = Means { offsets: true, ..FINAL };
    let expected =
        "nothing waits for an acknowledgement (500), it says: no ack pending: an earlier one may have been taken";
    ack_fails(refusal(500, "no ack pending"), expected, asks).await;
    let expected = "AMS does not take the acknowledgement id (400), it says: Invalid ack id";
    ack_fails(refusal(400, "Invalid ack id"), expected, FINAL).await;
}

#[tokio::test]
async fn a_poisoned_message() {
    let expected = "a stored message is not valid JSON and blocks the subscription (500), it says: Message retrieved \
                    from broker network has an invalid JSON Structure: only modifyOffset passes it, for which the \
                    project's administrator has the right";
    let words = "Message retrieved from broker network has an invalid JSON Structure";
    pull_fails(refusal(500, words), expected, FINAL).await;
}

#[tokio::test]
async fn backend() {
    let taken =
        "AMS has an internal failure (500), it says: Backend Error; the message may have been published all the same";
    publish_fails(refusal(500, "Backend Error"), taken, UNCLEAR).await;
    pull_fails(refusal(500, "Backend Error"), "AMS has an internal failure (500), it says: Backend Error", PASSES)
        .await;
    let expected = "AMS has an internal failure (500), it says: Error handling acknowledgement; the acknowledgement \
                    may have been taken all the same";
    ack_fails(refusal(500, "Error handling acknowledgement"), expected, Means { offsets: true, ..UNCLEAR }).await;
}

#[tokio::test]
async fn balancers() {
    for (status, body, said) in [
        (502, "<html><body><h1>502 Bad Gateway</h1></body></html>", ", it says: a web page instead of JSON"),
        (503, "", ""),
        (504, "upstream\u{1b}[1m timeout\n", ", it says: upstream\\u{1b}[1m timeout"),
        (500, "<html>", ", it says: a web page instead of JSON"),
        (408, "", ""),
    ] {
        let expected = format!("AMS is not available ({status}){said}");
        pull_fails(Reply::new(status, body), &expected, PASSES).await;
        let expected = format!("{expected}; the message may have been published all the same");
        publish_fails(Reply::new(status, body), &expected, UNCLEAR).await;
    }
    publish_fails(refusal(429, "slow down"), "AMS is not available (429), it says: slow down", PASSES).await;
    let cut = Reply::cut("HTTP/1.1 503 X\r\nContent-Length: 100\r\n\r\n<html>");
    pull_fails(cut, "AMS is not available (503), it says: a web page instead of JSON", PASSES).await;
}

#[tokio::test]
async fn another_server_than_ams() {
    let expected = "the answer (404) is not one of AMS, it says: a web page instead of JSON: check host and port";
    publish_fails(Reply::new(404, "  <!DOCTYPE html>"), expected, FINAL).await;
    let moved = Reply::hang("HTTP/1.1 302 Found\r\nLocation: https://elsewhere/\r\nContent-Length: 0\r\n\r\n");
    publish_fails(moved, "the answer (302) is not one of AMS: check host and port", FINAL).await;
    let expected = "AMS refuses the request (418), it says: short and stout";
    publish_fails(refusal(418, "short and stout"), expected, FINAL).await;
}

#[tokio::test]
async fn foreign_words_are_cut_and_escaped_and_never_hold_the_token() {
    let words = format!("key {TOKEN} is\u{202e} bad\n{}", "x".repeat(10_000));
    let shown = format!("key [token] is\\u{{202e}} bad\\n{}…", "x".repeat(280));
    let expected = format!(
        "the user of this token has no right to do so (403), it says: {shown}: ask the project's \
                            administrator for it"
    );
    publish_fails(refusal(403, &words), &expected, FINAL).await;
    let echo = Reply::new(502, &format!("GET / x-api-key: {TOKEN}"));
    let expected = "AMS is not available (502), it says: GET / x-api-key: [token]";
    pull_fails(echo, expected, PASSES).await;
    let expected = "the answer cannot be understood: it is not JSON: x-api-key: [token]";
    pull_fails(Reply::ok(&format!("x-api-key: {TOKEN}")), expected, FINAL).await;
    let echo = Reply::ok(&format!("{{\"receivedMessages\":\"{TOKEN}\"}}"));
    let expected =
        "the answer cannot be understood: invalid type: string \"[token]\", expected a sequence at line 1 column 44";
    pull_fails(echo, expected, FINAL).await;
    let echo = format!("{{\"receivedMessages\":[{{\"ackId\":\"{TOKEN}\"}}]}}");
    let expected = "a pulled message has the acknowledgement id \"[token]\", which is none of this subscription";
    pull_fails(Reply::ok(&echo), expected, FINAL).await;
}

#[tokio::test]
async fn foreign_acknowledgement_ids() {
    for (id, shown) in [
        (r#""projects/accounting/subscriptions/other:1""#, "projects/accounting/subscriptions/other:1"),
        (r#""projects/other/subscriptions/apel:1""#, "projects/other/subscriptions/apel:1"),
        (r#""projects/accounting/subscriptions/apel:x""#, "projects/accounting/subscriptions/apel:x"),
        (r#""projects/accounting/subscriptions/apel:""#, "projects/accounting/subscriptions/apel:"),
        (r#""projects/accounting/subscriptions/apel:-1""#, "projects/accounting/subscriptions/apel:-1"),
        (r#""projects/accounting/subscriptions/apel:+1""#, "projects/accounting/subscriptions/apel:+1"),
        (
            r#""projects/accounting/subscriptions/apel:99999999999999999999""#,
            "projects/accounting/subscriptions/apel:99999999999999999999",
        ),
        ("17", "17"),
        ("null", "null"),
    ] {
        let body = format!("{{\"receivedMessages\":[{{\"ackId\":{id},\"message\":{{\"data\":\"\"}}}}]}}");
        let expected =
            format!("a pulled message has the acknowledgement id {shown:?}, which is none of this subscription");
        pull_fails(Reply::ok(&body), &expected, FINAL).await;
    }
}

#[tokio::test]
async fn an_id_of_another_project_is_not_sent() {
    let server = api(|_| Reply::ok("{}")).await;
    let id = AckId::new(&Project::new("other").unwrap(), &subscription(), 7);
    let error = client(&server).acknowledge(&id).await.unwrap_err();
    assert_eq!(
        text(&error, &server),
        "cannot acknowledge messages of subscription apel of project other at HOST: the acknowledgement id \
         projects/other/subscriptions/apel:7 is not of this project: nothing was sent"
    );
    assert_eq!((means(&error), server.count()), (FINAL, 0));
}

#[tokio::test]
async fn an_attribute_that_would_poison_the_topic_is_not_sent() {
    let server = api(|_| Reply::ok("{}")).await;
    for bad in ["a\"b", "a\\b", "a\nb"] {
        let error = client(&server).publish(&topic(), &[Publication::new(bad, "")]).await.unwrap_err();
        let expected = "attribute \"empaid\" has a double quote, a backslash or a control character, which AMS would \
                        store as broken JSON: nothing was sent";
        assert_eq!(text(&error, &server), format!("{PUBLISH}{expected}"));
        assert_eq!(means(&error), FINAL);
    }
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn answers_that_lack_what_they_must_have() {
    let all_the_same = "; the message may have been published all the same";
    let unclear = || Means { taken: true, ..FINAL };
    for (body, said) in [
        ("", "it is empty"),
        ("<html>", "it is not JSON: a web page instead of JSON"),
        ("{\"messageIds\":[\"1\"", "it is not JSON: {\"messageIds\":[\"1\""),
        ("{}", "missing field `messageIds` at line 1 column 2"),
    ] {
        let expected = format!("the answer cannot be understood: {said}{all_the_same}");
        publish_fails(Reply::ok(body), &expected, unclear()).await;
    }
    for (body, got) in [(r#"{"messageIds":[]}"#, 0), (r#"{"messageIds":["1","2"]}"#, 2)] {
        publish_fails(Reply::ok(body), &format!("AMS answered with {got} ids where 1 was due{all_the_same}"), UNCLEAR)
            .await;
    }
    let server = api(|_| Reply::ok(r#"{"max":-1,"min":-1,"current":0}"#)).await;
    let error = client(&server).offsets(&subscription()).await.unwrap_err();
    assert_eq!(
        text(&error, &server),
        "cannot read the offsets of subscription apel of project accounting at HOST: the answer cannot be understood: \
         invalid value: integer `-1`, expected u64 at line 1 column 9"
    );
    let error = client(&server).status().await.unwrap_err();
    assert_eq!(
        text(&error, &server),
        "cannot read the status of AMS at HOST: the answer cannot be understood: it has no text \"status\""
    );
}
