//! The dashboard in a real browser: what it shows of messages that pass, of what strangers write, to whom, and how.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ::observe::overview::{
    Acknowledgements, Broker, Channel, Direction, Event, Expiry, Overview, Place, Plugin, Queue, Severity, Signer,
    Step, Trouble, Verdict, WatchedFile,
};
use ::observe::{Address, Control, Events, Limits, Listener, Page, Rejected, Source};
use message::{Fate, Finding};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::harness::{eventually, ports};
use crate::peers::Kind;
use crate::peers::broker::shared;
use crate::peers::browser::{Browser, ENTER, TAB, screenshots};
use crate::peers::python::{Frame, send};
use crate::queues;
use crate::sesame::{Pair, Site, Way};

/// What an attacker writes wherever a text may stand.
const HOSTILE: &str =
    "<img src=x onerror='window.__x=1'><script>window.__x=1</script>\"'&lt;\u{202e}{{7*7}}</td></svg>";
/// As it is shown: the sign that turns the direction of writing is written out.
const SHOWN: &str = "<img src=x onerror='window.__x=1'><script>window.__x=1</script>\"'&lt;\\u{202e}{{7*7}}</td></svg>";
/// A name that browsers find on this machine, and that is none of ours.
pub(crate) const ELSEWHERE: &str = "evil.example";

fn hostile(before: &str) -> String {
    format!("{before}{HOSTILE}")
}

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// What is shown by a listener in this process: every text is hostile.
#[derive(Debug)]
struct MadeUp {
    started: u64,
    asked: AtomicU64,
    events: Arc<Events>,
}

impl MadeUp {
    fn new() -> Self {
        let events = Arc::new(Events::default());
        for number in 0..3 {
            events.publish(Fate::Rejected, event(number));
        }
        Self { started: now() - 86_400_000, asked: AtomicU64::new(0), events }
    }
}

fn event(number: u64) -> Event {
    Event {
        at: now() - 1000 * number,
        channel: hostile("central"),
        direction: Direction::Receive,
        fate: "rejected".to_owned(),
        code: Some(hostile("finding")),
        reason: Some(hostile("job.negative: ")),
        id: Some(hostile(&format!("id-{number} "))),
        signer: Some(hostile("/C=UK/CN=")),
        plugin: Some(hostile("plugin ")),
        element: Some(hostile("reject/")),
        bytes: Some(4000),
        headers: vec![(hostile("x-"), hostile("value "))],
        verdicts: vec![Verdict { plugin: hostile("p "), answer: hostile("reject ") }],
        ..Event::default()
    }
}

fn channel(name: &str, direction: Direction, passed: u64) -> Channel {
    let steps: &[&str] = match direction {
        Direction::Send => &["lock", "pipeline", "seal", "send", "receipt"],
        Direction::Receive => &["receive", "open", "authorise", "pipeline", "commit"],
    };
    let step = |name: &&str| Step { name: (*name).to_owned(), count: passed, time: 2.5, bytes: 1000 * passed };
    let queue = |name: &str| Queue { name: name.to_owned(), messages: 3, oldest: Some(now() - 5000) };
    let plugin = Plugin {
        name: hostile("plugin "),
        version: Some(hostile("1.0")),
        state: "broken".to_owned(),
        fault: Some(hostile("cannot be loaded: ")),
        p50: Some(0.4),
        ..Plugin::default()
    };
    Channel {
        name: hostile(name),
        direction,
        broker: hostile("egi"),
        destination: hostile("/queue/"),
        directory: hostile("/var/spool/"),
        out_of_service: Some(hostile("no session ")),
        fates: [(hostile("sent"), passed)].into(),
        rejections: [(hostile("finding"), 3)].into(),
        steps: steps.iter().map(step).collect(),
        queues: ["outgoing", "incoming", "reject"].map(queue).into(),
        plugins: vec![plugin],
        signers: (0..30)
            .map(|number| Signer { name: hostile(&format!("/CN={number}")), last: now() - 1000 * number })
            .collect(),
        acknowledgements: Some(Acknowledgements { awaited: 4, overdue: 1, ..Acknowledgements::default() }),
        ..Channel::default()
    }
}

impl Source for MadeUp {
    fn page(&self) -> Page {
        Page::default()
    }

    fn overview(&self) -> Overview {
        let passed = self.asked.fetch_add(1, Ordering::Relaxed) * 20;
        let trouble = |severity, about: &str| Trouble {
            severity,
            channel: None,
            about: hostile(about),
            text: hostile("look at it "),
        };
        Overview {
            version: hostile("0.1.0"),
            process: 17,
            started: self.started,
            at: now(),
            looked_at: Some(now()),
            troubles: vec![trouble(Severity::Critical, "send.cpu"), trouble(Severity::Warning, "/CN=")],
            channels: vec![channel("cpu", Direction::Send, passed), channel("central", Direction::Receive, passed)],
            brokers: vec![Broker { name: hostile("egi"), sessions: 1, opened: 2, ..Broker::default() }],
            expiries: vec![Expiry { purpose: hostile("own"), file: hostile("/etc/"), ends: now() + 86_400_000 }],
            files: vec![WatchedFile {
                purpose: hostile("own"),
                file: hostile("/etc/"),
                fault: Some(hostile("no key")),
            }],
            places: vec![Place { directory: hostile("/var/"), journal: 4096, free: Some(9), min_free: 10 }],
        }
    }

    fn events(&self) -> &Arc<Events> {
        &self.events
    }

    fn trace(&self, id: &str) -> Result<Vec<Value>, String> {
        let stage = json!({ "name": hostile("plugin "), "version": "1.0", "sha256": "00" });
        Ok(vec![
            json!({ "at": "2026-01-02T03:04:05Z", "fate": hostile("rejected"), "channel": hostile("cpu"), "id": id,
            "stages": [stage], "reason": hostile("why "), hostile("name"): hostile("value"), "signer": null }),
        ])
    }

    fn out_of_service(&self) -> Vec<String> {
        Vec::new()
    }
}

impl Control for MadeUp {
    fn rejected(&self, _: &str, _: &str) -> Result<Rejected, String> {
        let finding = json!({ "severity": "error", "code": hostile("job.x"), "text": hostile("below zero "),
            "record-number": 3, "field": hostile("Wall"), "value": hostile("-5 ") });
        let finding: Finding = serde_json::from_value(finding).unwrap();
        let payload = Some(hostile("Site: A\nWallDuration: "));
        Ok(Rejected { error: Some(hostile("finding: ")), findings: vec![finding], payload, bytes: 9000, more: true })
    }
}

/// A listener of this process, until it is dropped.
struct Showing {
    port: u16,
    source: Arc<MadeUp>,
    _stop: oneshot::Sender<()>,
    _runtime: tokio::runtime::Runtime,
}

impl Showing {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (port, source) = (ports::free(), Arc::new(MadeUp::new()));
        let shown: Arc<dyn Source> = source.clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let address = Address::parse(&format!("127.0.0.1:{port}")).unwrap();
        let listener = runtime.block_on(async { Listener::bind(&address).unwrap() });
        runtime.spawn(::observe::serve(listener, shown, Limits::default(), async { _ = stopped.await }));
        Self { port, source, _stop: stop, _runtime: runtime }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }
}

/// Waits until the page shows an overview.
pub(crate) fn wait_until_live(browser: &Browser) {
    browser.wait("the page to be live", "return document.getElementById('connection').textContent === 'live';");
}

/// Neither the page nor what it shows broke its policy, ran code of others or asked another host.
#[track_caller]
pub(crate) fn nothing_of_others_ran(browser: &Browser, own: &str) {
    assert_eq!(browser.run("return window.__x ?? null;"), Value::Null, "a script of an attacker ran");
    assert_eq!(browser.run("return window.__violations;"), json!([]));
    // What was refused on purpose is no fault of the page.
    let refused = |line: &String| line.contains("/api/control") && line.contains("Failed to load resource");
    let said: Vec<String> = browser.console().into_iter().filter(|line| !refused(line)).collect();
    assert_eq!(said, Vec::<String>::new());
    let foreign: Vec<String> = browser.requests().into_iter().filter(|url| !url.starts_with(own)).collect();
    assert!(foreign.iter().all(|url| url.starts_with("data:") || url == "about:blank"), "{foreign:?}");
    assert_eq!(browser.run("return [document.cookie, localStorage.length, sessionStorage.length];"), json!(["", 0, 0]));
}

/// What the checks of the page find.
#[track_caller]
pub(crate) fn is_usable(browser: &Browser) {
    assert_eq!(browser.run(include_str!("page/checks.js")), json!([]));
}

#[test]
fn what_strangers_write_is_shown_as_text_and_runs_nothing() {
    let showing = Showing::start();
    let browser = Browser::start((1200, 900), ELSEWHERE);
    browser.open(&showing.url());
    wait_until_live(&browser);
    browser.wait("messages", "return document.querySelectorAll('#rejected-list > li').length === 3;");
    browser.run("for (const node of document.querySelectorAll('summary')) node.click();");
    let open = "[...document.querySelectorAll('#rejected-list button')].filter((one) => one.textContent.startsWith('Findings'))";
    browser.run(&format!("{open}.forEach((one) => one.click());"));
    browser.wait("payloads", "return document.querySelectorAll('#rejected-list pre').length === 3;");
    browser.run("document.querySelector('#rejected-list button').click();");
    browser.wait("a trace", "return document.querySelectorAll('#trace-list > li').length === 1;");
    for (place, least) in [
        ("#identity", 1),
        ("#troubles", 4),
        ("#channels", 16),
        ("#rejected", 30),
        ("#trace-list", 6),
        ("#plugins", 6),
        ("#signers", 25),
        ("#certificates", 2),
        ("#brokers", 1),
        ("#disks", 1),
    ] {
        let text = browser.text(place);
        let times = text.matches(SHOWN).count();
        assert!(times >= least, "{place} shows it {times} times:\n{text}");
        assert!(!text.contains('\u{202e}'), "{place}:\n{text}");
    }
    let made = "return document.querySelectorAll('img, body script, iframe, object, embed, [onerror]').length;";
    assert_eq!(browser.run(made), json!(0));
    nothing_of_others_ran(&browser, &showing.url());
}

#[test]
fn the_page_is_usable_by_keyboard_and_screen_reader_in_both_themes_on_small_screens() {
    let showing = Showing::start();
    let browser = Browser::start((1200, 900), ELSEWHERE);
    browser.open(&showing.url());
    wait_until_live(&browser);
    browser.wait("messages", "return document.querySelectorAll('#rejected-list > li').length === 3;");
    browser.wait("rates", "return !document.querySelector('#channels .now').textContent.startsWith('–');");
    for theme in ["light", "dark"] {
        browser.prefer("prefers-color-scheme", theme);
        for (name, width) in [("wide", 1200), ("narrow", 320)] {
            browser.resize(width, 900);
            browser.wait("the pictures to follow the width", &format!(
                "return [...document.querySelectorAll('.flow')].every((one) => (Number(one.getAttribute('width')) === 300) === {});",
                width == 320
            ));
            is_usable(&browser);
            let wide = "return document.documentElement.scrollWidth <= window.innerWidth ? [] : \
                        [...document.querySelectorAll('body *')].filter((node) => !node.closest('.wide, .tables') \
                        && node.getBoundingClientRect().right > window.innerWidth).map((node) => node.outerHTML.slice(0, 100));";
            assert_eq!(browser.run(wide), json!([]), "{name}: wider than the screen");
            browser.screenshot(&screenshots().join(format!("dashboard-{theme}-{name}.png")));
        }
    }
    browser.resize(1200, 900);
    let moving = "return getComputedStyle(document.querySelector('.moving .line')).animationName;";
    assert_eq!(browser.run(moving), json!("moving"));
    browser.prefer("prefers-reduced-motion", "reduce");
    assert_eq!(browser.run(moving), json!("none"));
    let live = "return document.getElementById('troubles-summary').getAttribute('aria-live');";
    assert_eq!(browser.run(live), json!("polite"));
    all_is_done_by_keyboard(&browser);
}

/// Walks through the page with the Tab key and does something at each kind of control.
fn all_is_done_by_keyboard(browser: &Browser) {
    browser.run("document.activeElement?.blur(); window.scrollTo(0, 0);");
    let focus = "const node = document.activeElement; if (node === document.body) return null; \
                 const style = getComputedStyle(node); node.__walked = (node.__walked ?? 0) + 1; \
                 return [node.id || node.textContent.slice(0, 30), node.tagName, node.__walked, \
                         style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2, \
                         node.getBoundingClientRect().width > 0];";
    let mut walked: Vec<(String, String)> = Vec::new();
    loop {
        browser.press(TAB);
        let at = browser.run(focus);
        if at == Value::Null || at[2] != json!(1) {
            break;
        }
        let (name, tag) = (at[0].as_str().unwrap().to_owned(), at[1].as_str().unwrap().to_owned());
        assert_eq!((&at[3], &at[4]), (&json!(true), &json!(true)), "the focus on {name} is not seen");
        walked.push((name, tag.clone()));
        match tag.as_str() {
            // Enter on it does what a click does.
            "SUMMARY" => {
                browser.press(ENTER);
                assert_eq!(browser.run("return document.activeElement.parentElement.open;"), json!(true));
            }
            "INPUT" => {
                browser.press("some-id");
                browser.press(ENTER);
                browser.wait("the trace", "return document.querySelectorAll('#trace-list > li').length === 1;");
                assert!(browser.text("#trace-answer").contains("some-id"));
            }
            _ => {}
        }
        assert!(walked.len() < 300, "{walked:?}");
    }
    let focusable = "return [...document.querySelectorAll('a[href], button, input, summary, [tabindex=\"0\"]')]\
                     .filter((node) => node.getClientRects().length > 0).length;";
    let all = browser.run(focusable).as_u64().unwrap();
    assert_eq!(walked.len() as u64, all, "{walked:?}");
    assert_eq!(walked.first().map(|(name, _)| name.as_str()), Some("Skip to the content"));
}

#[test]
fn the_page_is_small_and_quick_and_rests_while_it_is_hidden() {
    let showing = Showing::start();
    let browser = Browser::start((1200, 900), ELSEWHERE);
    let paint = || {
        browser.open(&showing.url());
        wait_until_live(&browser);
        let entries =
            "const paint = performance.getEntriesByName('first-contentful-paint')[0]; return paint?.startTime ?? null;";
        browser.wait("the first paint", entries).as_f64().unwrap()
    };
    // The first start of a browser compiles what all pages need, and other tests run beside this one.
    let paints: Vec<f64> = (0..5).map(|_| paint()).collect();
    let first = paints.iter().copied().fold(f64::MAX, f64::min);
    println!("first paint after {paints:.1?} ms");
    assert!(first < 300.0, "{paints:?} ms");
    let bytes = "return performance.getEntries().filter((one) => one.transferSize !== undefined && !one.name.includes('/api/'))\
                 .reduce((sum, one) => sum + one.transferSize, 0);";
    let bytes = browser.run(bytes).as_u64().unwrap();
    println!("{bytes} bytes in all");
    assert!((10_000..150_000).contains(&bytes), "{bytes} bytes");

    let asked = || showing.source.asked.load(Ordering::Relaxed);
    browser.run(
        "Object.defineProperty(document, 'hidden', { get: () => true, configurable: true }); \
                 document.dispatchEvent(new Event('visibilitychange'));",
    );
    let before = asked();
    std::thread::sleep(Duration::from_millis(2500));
    // One may have been on its way.
    assert!(asked() <= before + 1, "it asks while it is hidden");
    browser.run("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'));");
    let resumed = Instant::now();
    eventually("the page to ask again", || (asked() > before + 2).then_some(()));
    assert!(resumed.elapsed() < Duration::from_secs(20));
    nothing_of_others_ran(&browser, &showing.url());
}

/// What the listener at a port answers to a request with these lines: its status.
fn status(port: u16, request: &str) -> u16 {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "{request}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap_or_else(|| panic!("{answer}")).parse().unwrap()
}

#[test]
fn names_of_others_and_pages_of_other_sites_get_nothing() {
    let showing = Showing::start();
    let browser = Browser::start((1200, 900), ELSEWHERE);
    let port = showing.port;
    browser.open(&format!("http://{ELSEWHERE}:{port}/"));
    assert!(browser.text("body").contains("names no host of this machine"), "{}", browser.text("body"));
    browser.open(&format!("http://{ELSEWHERE}:{}/", page_of_an_attacker()));
    let before = showing.source.asked.load(Ordering::Relaxed);
    browser.run(&format!(
        "window.__done = 0; const done = () => {{ window.__done += 1; }};\
         for (const mode of ['cors', 'no-cors']) for (const path of ['', 'api/overview', 'api/recent'])\
           fetch('http://127.0.0.1:{port}/' + path, {{ mode }}).then(done, done);\
         fetch('http://127.0.0.1:{port}/api/control', {{ method: 'POST', mode: 'no-cors', body: '{{}}' }}).then(done, done);"
    ));
    browser.wait("the requests to end", "return window.__done === 7;");
    assert_eq!(showing.source.asked.load(Ordering::Relaxed), before, "a page of another site made it answer");
    for (refused, request) in [
        (421, format!("GET / HTTP/1.1\r\nHost: {ELSEWHERE}:{port}")),
        (403, format!("GET /api/overview HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nSec-Fetch-Site: cross-site")),
        (403, format!("GET /api/overview HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://{ELSEWHERE}")),
        (403, format!("POST /api/control HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0")),
        (405, format!("POST /api/overview HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0")),
        (413, format!("POST /api/control HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 4097")),
    ] {
        assert_eq!(status(port, &request), refused, "{request}");
    }
}

/// Serves a page without any policy until the end of the run; its port.
fn page_of_an_attacker() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4096]);
            let page = "<!doctype html><title>attacker</title>";
            let length = page.len();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{page}"
            );
        }
    });
    port
}

/// The section of an observed site, and its port.
fn observed(site: Site) -> (Site, u16) {
    let port = ports::free();
    (site.with_sections(&format!("[observe]\nlisten = \"127.0.0.1:{port}\"\nshow-payload = true\n")), port)
}

#[test]
fn the_flow_of_real_messages_moves_and_a_restart_is_noticed() {
    let broker = shared(Kind::RabbitMq);
    let pair = Pair::on(broker, Way::Tls, "", "");
    let (outgoing, incoming, destination) = (pair.outgoing(), pair.incoming(), pair.destination.clone());
    let stranger = pair.sender.host.clone();
    let (sender, at_sender) = observed(pair.sender);
    let (receiver, at_receiver) = observed(pair.receiver);
    let (mut sending, mut receiving) = (sender.start(&["run"]), receiver.start(&["run"]));
    let browser = Browser::start((1200, 900), ELSEWHERE);
    let url = format!("http://127.0.0.1:{at_sender}/");
    browser.open(&url);
    wait_until_live(&browser);
    queues::add(&outgoing, b" \n");
    let sent = "document.querySelector('#channels .flow desc').textContent";
    let speed = "[...document.querySelectorAll('#channels .arrow.moving')].length > 0";
    let mut added = 0;
    eventually("figures and rates that move", || {
        queues::add(&outgoing, b"Site: X\n");
        added += 1;
        browser.run(&format!("return {speed} && / [1-9][0-9,]* sent/.test({sent});")).as_bool().filter(|moves| *moves)
    });
    eventually("all messages", || (queues::count(&incoming) == added).then_some(()));
    browser.wait("the last figure", &format!("return {sent}.includes('Receipts: {added} sent');"));
    browser.wait(
        "what was rejected",
        "return document.querySelector('#rejected-list .badge')?.textContent === 'rejected: empty';",
    );
    browser.run("[...document.querySelectorAll('#rejected-list button')].find((one) => one.textContent.startsWith('Findings')).click();");
    browser.wait(
        "its payload",
        "return document.querySelector('#rejected-list figcaption')?.textContent === 'Payload of 2 B';",
    );
    browser.screenshot(&screenshots().join("dashboard-sender.png"));
    nothing_of_others_ran(&browser, &url);

    let url = format!("http://127.0.0.1:{at_receiver}/");
    browser.open(&url);
    wait_until_live(&browser);
    let body = hostile("no S/MIME at all: ");
    send(&Way::Tls.link(broker, &stranger), &destination, &[Frame::labelled(&hostile("id "), body.as_bytes())]);
    browser.wait("the stranger's message", "return document.querySelectorAll('#rejected-list > li').length === 1;");
    browser.run("[...document.querySelectorAll('#rejected-list button')].find((one) => one.textContent.startsWith('Findings')).click();");
    browser.wait("its payload", "return document.querySelector('#rejected-list pre') !== null;");
    let text = browser.text("#rejected-list pre");
    assert!(text.contains(SHOWN), "{text}");
    assert!(browser.text("#signers").contains(&stranger.subject), "{}", browser.text("#signers"));
    browser.run("document.querySelector('#rejected-list button').click();");
    browser.wait("its trace", "return document.querySelectorAll('#trace-list > li').length > 0;");
    let trace = browser.text("#trace");
    assert!(trace.contains("rejected") && trace.contains("central"), "{trace}");
    is_usable(&browser);
    browser.screenshot(&screenshots().join("dashboard-receiver.png"));

    assert_eq!(receiving.stop(), 0);
    browser.wait(
        "the outage",
        "return document.getElementById('connection').textContent.startsWith('not reachable since');",
    );
    let _ = browser.console();
    let mut receiving = receiver.start(&["run"]);
    wait_until_live(&browser);
    assert_eq!((sending.stop(), receiving.stop()), (0, 0));
    assert!(Path::new(&screenshots()).join("dashboard-receiver.png").exists());
}
