//! What an operator does in the dashboard, and what no one can do without the token.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;
use serde_json::json;

use crate::dashboard::{ELSEWHERE, nothing_of_others_ran, wait_until_live};
use crate::harness::{eventually, ports};
use crate::peers::Kind;
use crate::peers::broker::shared;
use crate::peers::browser::Browser;
use crate::queues;
use crate::sesame::{Pair, Site, Way};

const TOKEN: &str = "8e1f0c7a52b94d36a0c8";

/// A site that takes actions of those who have the token.
fn controlled(site: Site) -> (Site, u16) {
    let port = ports::free();
    let file = site.folder.write("token", format!("{TOKEN}\n"));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    (site.with_sections(&format!("[observe]\nlisten = \"127.0.0.1:{port}\"\ncontrol = {file:?}\n")), port)
}

/// Asks for an action by HTTP alone: the status and the body of the answer.
fn act(port: u16, token: &str, action: &serde_json::Value) -> (u16, String) {
    let body = action.to_string();
    request(
        port,
        &format!(
            "POST /api/control HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n\
         Authorization: Bearer {token}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ),
    )
}

fn get(port: u16, path: &str) -> (u16, String) {
    request(port, &format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"))
}

fn request(port: u16, text: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Clicks the button with these words, which must be seen.
#[track_caller]
fn click(browser: &Browser, words: &str) {
    let body = format!(
        "const wanted = [...document.querySelectorAll('button')].find((one) => one.textContent.startsWith({}) \
         && one.getClientRects().length > 0); wanted?.click(); return wanted !== undefined;",
        json!(words)
    );
    browser.wait(&format!("a button {words}"), &body);
}

#[track_caller]
fn answered(browser: &Browser, words: &str) {
    let body = format!("return document.getElementById('control-answer').textContent.includes({});", json!(words));
    browser.wait(words, &body);
}

fn use_token(browser: &Browser, token: &str) {
    browser.run(&format!("document.getElementById('control-token').value = {};", json!(token)));
    click(browser, "Use the token");
}

#[test]
fn without_a_token_nothing_can_be_done() {
    let site = Site::of("sender.example.org").on(shared(Kind::RabbitMq), Way::Tls).sending("cpu", "/queue/control", "");
    let port = ports::free();
    let site = site.with_sections(&format!("[observe]\nlisten = \"127.0.0.1:{port}\"\n"));
    let mut running = site.start(&["run"]);
    let browser = Browser::start((1200, 900), ELSEWHERE);
    let url = format!("http://127.0.0.1:{port}/");
    browser.open(&url);
    wait_until_live(&browser);
    let seen = "return [...document.querySelectorAll('button.control, #control')].filter((one) => one.getClientRects().length > 0).length;";
    assert_eq!(browser.run(seen), json!(0));
    let (status, words) = act(port, TOKEN, &json!({ "action": "pause", "channel": "cpu" }));
    assert_eq!(status, 403, "{words}");
    assert!(words.contains("[observe] control"), "{words}");
    nothing_of_others_ran(&browser, &url);
    assert_eq!(running.stop(), 0);

    let exposed = site.folder.write("token", TOKEN);
    std::fs::set_permissions(&exposed, std::fs::Permissions::from_mode(0o644)).unwrap();
    let site = site.with_sections(&format!("control = {exposed:?}\n"));
    site.run(&["run"]).expect(78).says("observe.control").says("run chmod 600");
}

#[test]
fn an_operator_pauses_and_resumes_a_channel_and_has_rejected_messages_tried_again() {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Tls, "", "");
    let (outgoing, incoming, reject) = (pair.outgoing(), pair.incoming(), pair.reject());
    let signer = pair.sender.host.subject.clone();
    let (sender, at_sender) = controlled(pair.sender);
    let (receiver, at_receiver) = controlled(pair.receiver);
    std::fs::write(receiver.signer_list("central"), "/CN=someone else\n").unwrap();
    let (mut sending, mut receiving) = (sender.start(&["run"]), receiver.start(&["run"]));
    queues::add(&outgoing, b"Site: X\n");
    eventually("a rejected message", || (queues::count(&reject) == 1).then_some(()));

    let browser = Browser::start((1200, 900), ELSEWHERE);
    let url = format!("http://127.0.0.1:{at_receiver}/");
    browser.open(&url);
    wait_until_live(&browser);
    click(&browser, "Pause");
    answered(&browser, "Enter the token first.");
    use_token(&browser, "0000000000000000");
    click(&browser, "Pause");
    answered(&browser, "the token is wrong");
    assert!(receiving.log().contains("an action with a wrong token was refused"), "{}", receiving.log());

    use_token(&browser, TOKEN);
    click(&browser, "Retry");
    answered(&browser, "it would be rejected again");
    std::fs::write(receiver.signer_list("central"), format!("{signer}\n")).unwrap();
    eventually("the retry", || {
        click(&browser, "Retry");
        (queues::count(&incoming) == 1).then_some(())
    });
    queues::becomes_empty(&reject);

    pauses_and_resumes(&browser, &mut receiving, at_receiver, || {
        queues::add(&outgoing, b"Site: Y\n");
        eventually("it to be sent", || queues::outgoing(&outgoing).is_empty().then_some(()));
        queues::count(&incoming) == 1
    });
    eventually("the message after the pause", || (queues::count(&incoming) == 2).then_some(()));
    for words in [
        "channel paused by an operator",
        "channel resumed by an operator",
        "rejected message tried again for an operator",
    ] {
        assert!(receiving.log().contains(words), "{words} in\n{}", receiving.log());
    }
    assert!(!receiving.log().contains(TOKEN), "the token is in the log");
    nothing_of_others_ran(&browser, &url);

    a_sender_is_paused_by_http_alone(at_sender, &outgoing);
    eventually("the message after the pause", || (queues::count(&incoming) == 3).then_some(()));
    assert_eq!((sending.stop(), receiving.stop()), (0, 0));
}

#[test]
fn a_senders_rejected_message_is_sent_again_and_a_reload_changes_the_token() {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Tls, "max-payload = 1000\n", "");
    let (outgoing, incoming) = (pair.outgoing(), pair.incoming());
    let (mut sender, port) = controlled(pair.sender);
    let (mut sending, mut receiving) = (sender.start(&["run"]), pair.receiver.start(&["run"]));
    let body = "Site: X\n".repeat(200);
    queues::add(&outgoing, body.as_bytes());
    let reject = sender.refused("cpu");
    eventually("a rejected message", || (queues::count(&reject) == 1).then_some(()));
    let element = queues::elements(&reject).remove(0).name;
    let retry = json!({ "action": "retry", "channel": "cpu", "element": element });
    let (status, words) = act(port, TOKEN, &retry);
    assert!(status == 409 && words.contains("1600 bytes is larger than max-payload, 1000"), "{status} {words}");

    sender.change("max-payload = 1000", "max-payload = 2000");
    let new = "b5d2477e0c9f4f6e8a31";
    sender.configuration();
    sender.folder.write("token", new);
    sending.signal(Signal::HUP);
    eventually("the reload", || sending.log().contains("configuration reloaded").then_some(()));
    assert_eq!(act(port, TOKEN, &retry).0, 401, "the token before the reload");
    let (status, words) = act(port, new, &retry);
    assert!(status == 200 && words.contains("is outgoing/"), "{status} {words}");
    eventually("the message", || (queues::count(&incoming) == 1).then_some(()));
    queues::becomes_empty(&reject);
    assert_eq!((sending.stop(), receiving.stop()), (0, 0));
}

/// Pauses the receiver, sees that it stays paused over a reload, and resumes it. `waits`: a message was sent and is not stored.
fn pauses_and_resumes(
    browser: &Browser,
    receiving: &mut crate::harness::Child,
    port: u16,
    waits: impl FnOnce() -> bool,
) {
    click(browser, "Pause");
    answered(browser, "channel central is paused");
    browser.wait("the badge", "return document.querySelector('#channels .badge').textContent === 'paused';");
    let (status, reasons) = get(port, "/ready");
    assert!(status == 503 && reasons.contains("receive.central: paused by an operator since"), "{status} {reasons}");
    eventually("the metric", || {
        get(port, "/metrics").1.contains("sesame_channel_paused{channel=\"central\"} 1").then_some(())
    });
    receiving.signal(Signal::HUP);
    eventually("the reload", || receiving.log().contains("configuration reloaded").then_some(()));
    assert!(waits(), "a paused channel takes up no message");
    assert_eq!(get(port, "/api/control").1, r#"{"control":true,"held":["central"]}"#);
    click(browser, "Resume");
    answered(browser, "takes up messages again");
    browser.wait("the badge", "return document.querySelector('#channels .badge').textContent !== 'paused';");
}

fn a_sender_is_paused_by_http_alone(port: u16, outgoing: &std::path::Path) {
    let pause = json!({ "action": "pause", "channel": "cpu" });
    assert_eq!(act(port, "", &pause).0, 401);
    assert_eq!(act(port, TOKEN, &pause).0, 200);
    let (status, words) = act(port, TOKEN, &pause);
    assert!(status == 409 && words.contains("paused already"), "{status} {words}");
    for (action, refused) in [
        (json!({ "action": "pause", "channel": "nope" }), 409),
        (json!({ "action": "stop", "channel": "cpu" }), 400),
        (json!({ "action": "retry", "channel": "cpu", "element": "../../etc/passwd" }), 409),
        (json!({ "action": "retry", "channel": "cpu", "element": "reject/00000000/6b03126398f937" }), 409),
    ] {
        let (status, words) = act(port, TOKEN, &action);
        assert_eq!(status, refused, "{action}: {words}");
    }
    queues::add(outgoing, b"Site: Z\n");
    // As long as several looks at the queue.
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(queues::outgoing(outgoing).len(), 1, "a paused sender sends nothing");
    assert_eq!(act(port, TOKEN, &json!({ "action": "resume", "channel": "cpu" })).0, 200);
}
