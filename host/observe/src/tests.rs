//! A listener and its clients, good and bad ones.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::overview::{Event, Overview};
use message::Fate;

static PAGES: Family =
    Family { name: "test_pages", help: "Pages made.", kind: Kind::Counter, unit: Unit::Number, labels: &["text"] };

/// Shows how many pages were made, and as many series as asked for.
#[derive(Default)]
struct Shown {
    pages: AtomicU64,
    series: usize,
    slow: Option<Duration>,
    reasons: Vec<String>,
    token: Option<Arc<Token>>,
    events: Arc<Events>,
}

impl Control for Shown {
    fn token(&self) -> Option<Arc<Token>> {
        self.token.clone()
    }

    fn held(&self) -> Vec<String> {
        vec!["cpu".to_owned()]
    }

    fn act(&self, action: &Action, from: &str) -> Result<String, String> {
        assert!(from.starts_with("127.0.0.1:"), "{from}");
        match action {
            Action::Pause { channel } if channel == "cpu" => Ok("paused".to_owned()),
            _ => Err("no".to_owned()),
        }
    }

    fn rejected(&self, channel: &str, element: &str) -> Result<Rejected, String> {
        match (channel, element) {
            ("cpu", "reject/0 1") => Ok(Rejected { bytes: 5, ..Rejected::default() }),
            _ => Err("gone".to_owned()),
        }
    }
}

impl Source for Shown {
    fn page(&self) -> Page {
        if let Some(slow) = self.slow {
            std::thread::sleep(slow);
        }
        let made = self.pages.fetch_add(1, Ordering::Relaxed) + 1;
        let mut page = Page::default();
        page.add(&PAGES, &["first"], Value::Whole(made));
        for number in 0..self.series {
            page.add(&PAGES, &[&format!("{number}{}", "x".repeat(1000))], Value::Whole(1));
        }
        page
    }

    fn overview(&self) -> Overview {
        let made = self.pages.fetch_add(1, Ordering::Relaxed) + 1;
        Overview { version: "1.2.3".to_owned(), at: made, ..Overview::default() }
    }

    fn events(&self) -> &Arc<Events> {
        &self.events
    }

    fn trace(&self, id: &str) -> Result<Vec<serde_json::Value>, String> {
        match id {
            "unreadable" => Err("cannot read the journal".to_owned()),
            "unknown" => Ok(Vec::new()),
            id => Ok(vec![serde_json::json!({ "id": id })]),
        }
    }

    fn out_of_service(&self) -> Vec<String> {
        self.reasons.clone()
    }
}

struct Running {
    address: SocketAddr,
    source: Arc<Shown>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    fn start(source: Shown, limits: Limits) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let listener = Listener::bind(&Address::Tcp(free)).unwrap();
        let source = Arc::new(source);
        let (stop, stopped) = oneshot::channel();
        let shown: Arc<dyn Source> = source.clone();
        let task = tokio::spawn(serve(listener, shown, limits, async { _ = stopped.await }));
        Self { address: free, source, stop, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// The whole answer to these lines.
    async fn ask(&self, head: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(head.as_bytes()).await.unwrap();
        read_all(&mut stream).await
    }

    async fn get(&self, path: &str, more: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\r\n")).await
    }
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // A connection that is reset says as much as one that is closed.
    let _ = timeout(Duration::from_secs(20), stream.read_to_end(&mut text)).await.expect("an end");
    String::from_utf8(text).unwrap()
}

const LIMITS: fn() -> Limits = || Limits {
    connections: 4,
    idle: Duration::from_millis(400),
    answer: Duration::from_millis(500),
    write: Duration::from_millis(400),
    ..Limits::default()
};

#[tokio::test]
async fn metrics_come_in_the_form_that_is_asked_for() {
    let running = Running::start(Shown::default(), Limits::default());
    let text = running.get("/metrics", "").await;
    assert!(text.starts_with("HTTP/1.1 200 OK") && text.contains("content-type: text/plain; version=0.0.4"), "{text}");
    assert!(text.contains("test_pages_total{text=\"first\"} 1") && text.contains("cache-control: no-store"), "{text}");
    let open = running.get("/metrics", "Accept: application/openmetrics-text;version=1.0.0\r\n").await;
    assert!(open.contains("content-type: application/openmetrics-text; version=1.0.0"), "{open}");
    assert!(open.ends_with("# EOF\n") && !open.to_lowercase().contains("access-control"), "{open}");
    let head = running.ask("HEAD /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(running.get("/metric", "").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn many_requests_make_few_pages() {
    let running = Running::start(Shown::default(), Limits::default());
    for _ in 0..20 {
        assert!(running.get("/metrics", "").await.contains("200 OK"));
    }
    let made = running.source.pages.load(Ordering::Relaxed);
    assert!((1..=10).contains(&made), "{made}");
}

#[tokio::test]
async fn what_is_out_of_service_is_said() {
    let running = Running::start(Shown::default(), Limits::default());
    assert!(running.get("/ready", "").await.ends_with("\r\n\r\nready\n"));
    let reasons = vec!["send.cpu: paused".to_owned(), "receive.a: no session".to_owned()];
    let running = Running::start(Shown { reasons, ..Shown::default() }, Limits::default());
    let answer = running.get("/ready", "").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nsend.cpu: paused\nreceive.a: no session\n"), "{answer}");
    assert!(running.get("/health", "").await.ends_with("\r\n\r\nalive\n"));
}

#[tokio::test]
async fn a_foreign_host_and_a_large_request_get_no_metrics() {
    let running = Running::start(Shown::default(), Limits::default());
    let foreign = running.ask("GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n").await;
    assert!(foreign.starts_with("HTTP/1.1 421") && !foreign.contains("test_pages"), "{foreign}");
    let body = "POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n";
    assert!(running.ask(body).await.starts_with("HTTP/1.1 405"));
    let long = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    let answer = running.ask(&long).await;
    assert!(answer.starts_with("HTTP/1.1 431") || answer.is_empty(), "{answer}");
    let many = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(100));
    let answer = running.ask(&many).await;
    assert!(answer.starts_with("HTTP/1.1 431") || answer.is_empty(), "{answer}");
    assert!(running.get("/health", "").await.contains("200 OK"));
}

#[tokio::test]
async fn a_further_connection_closes_the_oldest_idle_one() {
    let running = Running::start(Shown::default(), Limits { idle: Duration::from_secs(60), ..LIMITS() });
    let mut idle = Vec::new();
    for _ in 0..4 {
        let mut stream = running.connect().await;
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut start = [0; 15];
        stream.read_exact(&mut start).await.unwrap();
        assert_eq!(&start, b"HTTP/1.1 200 OK");
        idle.push(stream);
    }
    assert!(running.get("/health", "").await.contains("200 OK"));
    assert!(read_all(&mut idle[0]).await.ends_with("alive\n"), "it is closed");
    idle[3].write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    assert_eq!(read_all(&mut idle[3]).await.matches("alive\n").count(), 2);
}

#[tokio::test]
async fn ten_thousand_connections_that_say_nothing_keep_no_one_out() {
    let running = Running::start(Shown::default(), LIMITS());
    for _ in 0..10_000 / 50 {
        let mut streams = Vec::new();
        for _ in 0..50 {
            streams.push(running.connect().await);
        }
        drop(streams);
    }
    let _held = [running.connect().await, running.connect().await, running.connect().await, running.connect().await];
    assert!(running.get("/health", "").await.contains("200 OK"));
}

#[tokio::test]
async fn half_a_request_and_a_client_that_never_reads_are_cut_off() {
    let running = Running::start(Shown { series: 9_000, ..Shown::default() }, LIMITS());
    let half = running.ask("GET /metrics HTTP/1.1\r\nHost: local").await;
    assert!(half.is_empty() || half.starts_with("HTTP/1.1 408"), "{half}");
    let mut deaf = running.connect().await;
    deaf.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let mut got = Vec::new();
    let _ = timeout(Duration::from_secs(20), deaf.read_to_end(&mut got)).await.expect("the connection is closed");
    assert!(got.len() < 9_000_000, "{} bytes: all of it came", got.len());
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_given_up() {
    let running = Running::start(Shown { slow: Some(Duration::from_secs(2)), ..Shown::default() }, LIMITS());
    let late = running.get("/metrics", "").await;
    assert!(late.starts_with("HTTP/1.1 503") && late.ends_with("no answer in time\n"), "{late}");
    assert!(running.get("/health", "").await.contains("200 OK"));
}

#[tokio::test]
async fn a_stop_closes_all_connections_and_frees_the_port() {
    let running = Running::start(Shown::default(), Limits::default());
    let mut open = running.connect().await;
    assert!(running.get("/health", "").await.contains("200 OK"));
    running.stop.send(()).unwrap();
    running.task.await.unwrap();
    assert_eq!(read_all(&mut open).await, "");
    Listener::bind(&Address::Tcp(running.address)).unwrap();
}

#[tokio::test]
async fn a_unix_socket_answers_whatever_the_host() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("observe.sock");
    let listener = Listener::bind(&Address::Unix(path.clone())).unwrap();
    let task = tokio::spawn(serve(listener, Arc::new(Shown::default()), Limits::default(), std::future::pending()));
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: sesame\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("alive\n"), "{answer}");
    task.abort();
}

#[tokio::test]
async fn the_overview_is_json_and_made_once_for_many() {
    let running = Running::start(Shown::default(), Limits::default());
    for _ in 0..20 {
        let answer = running.get("/api/overview", "").await;
        assert!(answer.contains("content-type: application/json") && answer.contains("nosniff"), "{answer}");
        let overview: Overview = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!(overview.version, "1.2.3");
    }
    let made = running.source.pages.load(Ordering::Relaxed);
    assert!((1..=10).contains(&made), "{made}");
}

#[tokio::test]
async fn a_trace_is_asked_for_by_id() {
    let running = Running::start(Shown::default(), Limits::default());
    assert!(running.get("/api/trace?id=a%2Fb", "").await.ends_with("\r\n\r\n[{\"id\":\"a/b\"}]"));
    assert!(running.get("/api/trace?id=unknown", "").await.ends_with("\r\n\r\n[]"));
    let failed = running.get("/api/trace?id=unreadable", "").await;
    assert!(failed.starts_with("HTTP/1.1 500") && failed.ends_with("cannot read the journal\n"), "{failed}");
    assert!(running.get("/api/trace", "").await.starts_with("HTTP/1.1 400"));
}

/// Reads from a stream until it has this text.
async fn read_until(stream: &mut TcpStream, wanted: &str) -> String {
    let mut text = Vec::new();
    let mut some = [0; 4096];
    while !String::from_utf8_lossy(&text).contains(wanted) {
        let read = timeout(Duration::from_secs(20), stream.read(&mut some)).await.expect("more").unwrap();
        assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&text));
        text.extend(&some[..read]);
    }
    String::from_utf8(text).unwrap()
}

impl Running {
    /// A stream of events whose head has come.
    async fn listen(&self) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let head = read_until(&mut stream, "\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("application/x-ndjson"), "{head}");
        stream
    }

    fn happens(&self, fate: Fate, id: &str) {
        self.source.events.publish(fate, Event { id: Some(id.to_owned()), ..Event::default() });
    }
}

#[tokio::test]
async fn events_come_as_they_happen_and_outlive_the_deadline_and_other_connections() {
    let running = Running::start(Shown::default(), LIMITS());
    let mut stream = running.listen().await;
    running.happens(Fate::Sent, "first");
    let line = read_until(&mut stream, "\n\r\n").await;
    assert!(line.contains("\"fate\":\"sent\",\"id\":\"first\"}"), "{line}");
    // More connections than there may be, and longer than an answer, a pause between requests and a write may take.
    for _ in 0..10 {
        let _idle = running.connect().await;
        assert!(running.get("/health", "").await.contains("200 OK"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    running.happens(Fate::Sent, "second");
    read_until(&mut stream, "second").await;
    drop(stream);
    timeout(Duration::from_secs(20), async {
        while running.source.events.are_watched() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("no one watches any more");
    running.happens(Fate::Rejected, "third");
    assert!(running.get("/api/recent", "").await.contains("\"fate\":\"rejected\",\"id\":\"third\"}]"));
}

#[tokio::test]
async fn a_stream_that_is_never_read_is_cut_and_delays_no_event() {
    let running = Running::start(Shown::default(), LIMITS());
    let mut deaf = running.listen().await;
    let mut reading = running.listen().await;
    for number in 0..100_000 {
        running.source.events.publish(Fate::Sent, Event { id: Some("x".repeat(900)), at: number, ..Event::default() });
        if number % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    running.happens(Fate::Sent, "the last");
    let text = read_until(&mut reading, "the last").await;
    assert!(text.contains("\"missed\":"), "a reader that is too slow is told");
    tokio::time::sleep(LIMITS().write + Duration::from_millis(500)).await;
    let mut got = Vec::new();
    let _ = timeout(Duration::from_secs(20), deaf.read_to_end(&mut got)).await.expect("the connection is closed");
    assert!(got.len() < 90_000_000, "{} bytes: all of it came", got.len());
}

#[tokio::test]
async fn an_action_whose_body_does_not_come_holds_no_one_up() {
    const POST: &str =
        "POST /api/control HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n";
    // Without the token the body is not waited for.
    let running = Running::start(Shown::default(), Limits::default());
    let refused =
        timeout(Duration::from_secs(1), running.ask(&format!("{POST}\r\n"))).await.expect("an answer at once");
    assert!(refused.starts_with("HTTP/1.1 403") && refused.contains("connection: close"), "{refused}");
    // With it, the connection is one that waits, and gives way to another.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "0123456789abcdef").unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let token = Some(Arc::new(Token::read(&file).unwrap()));
    let running = Running::start(Shown { token, ..Shown::default() }, Limits::default());
    let head = format!("{POST}Authorization: Bearer 0123456789abcdef\r\n\r\n");
    let mut waiting = Vec::new();
    for _ in 0..Limits::default().connections {
        let mut stream = running.connect().await;
        stream.write_all(head.as_bytes()).await.unwrap();
        waiting.push(stream);
    }
    let health = async { while !running.get("/health", "").await.contains("200 OK") {} };
    timeout(Duration::from_secs(1), health).await.expect("an answer at once");
    let late = read_all(waiting.last_mut().unwrap()).await;
    assert!(late.starts_with("HTTP/1.1 408"), "{late}");
    // It is done where the whole of it comes.
    let whole = format!("{}{{\"a\": 1 }}", head.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
    let answered = running.ask(&whole).await;
    assert!(answered.starts_with("HTTP/1.1 400") && answered.contains("not an action"), "{answered}");
}

#[tokio::test]
async fn there_are_only_so_many_streams() {
    let running = Running::start(Shown::default(), Limits::default());
    let mut streams = Vec::new();
    for _ in 0..shared::STREAMS {
        streams.push(running.listen().await);
    }
    let refused = running.get("/api/events", "").await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("there are 8 streams already"), "{refused}");
    assert!(running.get("/health", "").await.contains("200 OK"));
}
