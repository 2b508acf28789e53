//! The server does what AMS does, and what its script says.

mod faults;
mod publishing;
mod pulling;
mod refusals;
mod tokens;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::*;

const TOPIC: &str = "/v1/projects/accounting/topics/jobs";
const SUBSCRIPTION: &str = "/v1/projects/accounting/subscriptions/repository";

/// An answer: its status, and its body as JSON or as a text.
type Said = (u16, Value);

async fn server() -> Server {
    server_with(Settings::default()).await
}

async fn server_with(settings: Settings) -> Server {
    let server = Server::start(settings).await.unwrap();
    server.create("accounting", "jobs", "repository", "site", "secret");
    server
}

/// Sends one request over `stream`.
async fn exchange<S>(stream: S, method: &str, path: &str, token: &str, body: &str) -> hyper::Result<(u16, Bytes)>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let mut request = hyper::Request::builder().method(method).uri(path).header("host", "localhost");
    if !token.is_empty() {
        request = request.header("x-api-key", token);
    }
    let answer = sender.send_request(request.body(Full::new(Bytes::from(body.to_owned()))).unwrap()).await?;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await?.to_bytes();
    connection.abort();
    Ok((status, body))
}

async fn send(server: &Server, method: &str, path: &str, token: &str, body: &str) -> hyper::Result<Said> {
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let (status, body) = exchange(stream, method, path, token, body).await?;
    let text = || String::from_utf8_lossy(&body).into_owned().into();
    Ok((status, serde_json::from_slice(&body).unwrap_or_else(|_| text())))
}

async fn get(server: &Server, path: &str) -> Said {
    send(server, "GET", path, "secret", "").await.unwrap()
}

async fn post(server: &Server, path: &str, body: Value) -> Said {
    send(server, "POST", path, "secret", &body.to_string()).await.unwrap()
}

/// The status and the words of an error.
fn error((status, body): Said) -> (u16, String) {
    assert_eq!(body["error"]["code"], status, "{body}");
    (status, body["error"]["message"].as_str().unwrap().to_owned())
}

fn message(id: &str, data: &str) -> Value {
    json!({ "attributes": { "empaid": id }, "data": data })
}

async fn publish(server: &Server, messages: &[Value]) -> Said {
    post(server, &format!("{TOPIC}:publish"), json!({ "messages": messages })).await
}

async fn pull(server: &Server, count: usize) -> Said {
    let options = json!({ "maxMessages": count.to_string(), "returnImmediately": "true" });
    post(server, &format!("{SUBSCRIPTION}:pull"), options).await
}

/// The offsets in the answer to a pull.
fn offsets((status, body): &Said) -> Vec<u64> {
    assert_eq!(*status, 200, "{body}");
    let received = body["receivedMessages"].as_array().unwrap().iter();
    received.map(|received| received["message"]["messageId"].as_str().unwrap().parse().unwrap()).collect()
}

async fn acknowledge(server: &Server, offsets: &[u64]) -> Said {
    let ids: Vec<String> =
        offsets.iter().map(|offset| format!("projects/accounting/subscriptions/repository:{offset}")).collect();
    post(server, &format!("{SUBSCRIPTION}:acknowledge"), json!({ "ackIds": ids })).await
}

/// Puts so many messages into the topic.
fn fill(server: &Server, count: usize) {
    for number in 0..count {
        server.put("accounting", "jobs", &[("empaid", &number.to_string())], b"data");
    }
}
