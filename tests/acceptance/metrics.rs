//! Metrics and health of a running Sesame, scraped while real messages pass through a real broker.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use ::sesame::service::FAMILIES;
use rustix::process::Signal;

use crate::acknowledgements;
use crate::harness::{eventually, ports};
use crate::peers::broker::shared;
use crate::peers::{Kind, require};
use crate::queues;
use crate::sesame::{Pair, Site, Way};

/// What the listener at a port answers: status and body. None where it does not answer yet.
pub(crate) fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    assert!(!chunked, "a page has a length: {head}");
    Some((status, body.to_owned()))
}

/// The value of a series, as it is written.
pub(crate) fn value<'a>(page: &'a str, series: &str) -> Option<&'a str> {
    page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
}

/// Waits until a page has these values.
fn wait_for(port: u16, expected: &[(&str, &str)]) -> String {
    eventually("the metrics", || {
        let page = get(port, "/metrics").map(|(_, page)| page).unwrap_or_default();
        expected.iter().all(|(series, wanted)| value(&page, series) == Some(*wanted)).then_some(page)
    })
}

/// `promtool check metrics` finds nothing to say.
fn check(page: &str) {
    let mut promtool = Command::new(require("promtool"));
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = promtool.spawn().unwrap();
    child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success() && said.trim().is_empty(), "{said}\n{page}");
}

/// A site whose metrics are shown, and the port.
pub(crate) fn observed(site: Site) -> (Site, u16) {
    let port = ports::free();
    (site.with_sections(&format!("[observe]\nlisten = \"127.0.0.1:{port}\"\n")), port)
}

/// The names of all metrics on a page.
fn names(page: &str) -> BTreeSet<String> {
    page.lines().filter_map(|line| Some(line.strip_prefix("# TYPE ")?.split(' ').next()?.to_owned())).collect()
}

/// Another program listens at this port.
fn a_taken_port_stops_the_start(port: u16) {
    let listen = format!("[observe]\nlisten = \"127.0.0.1:{port}\"\n");
    let other = Site::of("other.example.org").with_sections(&listen).on(shared(Kind::RabbitMq), Way::Tls).sending(
        "gpu",
        "/queue/gpu",
        "",
    );
    let taken = format!("127.0.0.1:{port} is in use by process ");
    other.run(&["run"]).expect(1).says(&taken).says(" (sesame): ").says("sesame run");
}

#[test]
fn a_scrape_shows_what_became_of_real_messages_and_promtool_accepts_it() {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Tls, "", "");
    let outgoing = pair.outgoing();
    let (incoming, signer) = (pair.incoming(), pair.sender.host.subject.clone());
    let (sender, at_sender) = observed(pair.sender);
    let (receiver, at_receiver) = observed(pair.receiver);
    let mut receiving = receiver.start(&["run"]);
    for _ in 0..3 {
        queues::add(&outgoing, b"Site: X\n");
    }
    queues::add(&outgoing, b" \n");
    let mut sending = sender.start(&["run"]);
    eventually("the messages", || (queues::count(&incoming) == 3).then_some(()));

    let sent = wait_for(
        at_sender,
        &[
            (r#"sesame_messages_total{channel="cpu",direction="send",fate="sent",code=""}"#, "3"),
            (r#"sesame_messages_total{channel="cpu",direction="send",fate="rejected",code="empty"}"#, "1"),
            (r#"sesame_step_seconds_count{channel="cpu",step="seal"}"#, "3"),
            (r#"sesame_step_seconds_count{channel="cpu",step="receipt"}"#, "3"),
            (r#"sesame_step_bytes_total{channel="cpu",step="pipeline"}"#, "24"),
            (r#"sesame_sent_age_seconds_count{channel="cpu"}"#, "3"),
            (r#"sesame_queue_messages{channel="cpu",queue="outgoing"}"#, "0"),
            (r#"sesame_queue_messages{channel="cpu",queue="reject"}"#, "1"),
            (r#"sesame_in_flight_messages{channel="cpu"}"#, "0"),
            (r#"sesame_plugin_calls_total{channel="cpu",plugin="builtin:passthrough",outcome="answered"}"#, "3"),
            (r#"sesame_plugin_state{channel="cpu",plugin="builtin:passthrough",state="ready"}"#, "1"),
        ],
    );
    let stored = wait_for(
        at_receiver,
        &[
            (r#"sesame_messages_total{channel="central",direction="receive",fate="stored",code=""}"#, "3"),
            (r#"sesame_step_seconds_count{channel="central",step="open"}"#, "3"),
            (r#"sesame_step_seconds_count{channel="central",step="commit"}"#, "3"),
            (r#"sesame_queue_messages{channel="central",queue="incoming"}"#, "3"),
            (r#"sesame_broker_sessions{broker="test"}"#, "1"),
            (r#"sesame_broker_sessions_lost_total{broker="test"}"#, "0"),
            (r#"sesame_acknowledgements_owed{channel="central"}"#, "0"),
            (r#"sesame_channel_ready{channel="central",direction="receive"}"#, "1"),
        ],
    );
    let age =
        value(&stored, &format!("sesame_signer_last_message_age_seconds{{channel=\"central\",signer=\"{signer}\"}}"));
    let age: f64 = age.unwrap_or_else(|| panic!("{signer} in\n{stored}")).parse().unwrap();
    assert!((0.0..300.0).contains(&age), "{age}");
    assert_eq!(get(at_receiver, "/ready"), Some((200, "ready\n".to_owned())));
    assert_eq!(get(at_sender, "/health"), Some((200, "alive\n".to_owned())));
    check(&sent);
    check(&stored);

    let shown: BTreeSet<String> = names(&sent).union(&names(&stored)).cloned().collect();
    let known: BTreeSet<String> = FAMILIES.iter().map(|family| family.full_name()).collect();
    // The authorities of the tests have no revocation lists, and no plugin is in shadow here; `shadow` looks at its family.
    let elsewhere = ["sesame_crl_expiry_seconds", "sesame_plugin_shadow_messages_total"];
    let missing: Vec<&String> = known.difference(&shown).filter(|name| !elsewhere.contains(&name.as_str())).collect();
    assert!(shown.is_subset(&known) && missing.is_empty(), "not shown: {missing:?}");

    a_taken_port_stops_the_start(at_sender);
    assert_eq!((sending.stop(), receiving.stop()), (0, 0));

    // The signer is not silent only because Sesame was started again.
    let mut receiving = receiver.start(&["run"]);
    let series = format!("sesame_signer_last_message_timestamp_seconds{{channel=\"central\",signer=\"{signer}\"}}");
    eventually("the signer after a restart", || value(&get(at_receiver, "/metrics")?.1, &series).map(|_| ()));
    assert_eq!(receiving.stop(), 0);
}

#[test]
fn sessions_for_acknowledgements_are_counted_and_a_reload_forgets_nothing() {
    let (pair, _) = acknowledgements::pair(shared(Kind::RabbitMq), Way::Plain, "required", "");
    let (outgoing, incoming) = (pair.outgoing(), pair.incoming());
    let (mut sender, at_sender) = observed(pair.sender);
    let (receiver, at_receiver) = observed(pair.receiver);
    let _receiving = receiver.start(&["run"]);
    let sending = sender.start(&["run"]);
    queues::add(&outgoing, b"Site: X\n");
    eventually("the acknowledgement", || sending.log().contains("messages acknowledged").then_some(()));
    // Messages go over one session, acknowledgements over another.
    let two = [
        (r#"sesame_broker_sessions{broker="test"}"#, "2"),
        (r#"sesame_broker_sessions_opened_total{broker="test"}"#, "2"),
        (r#"sesame_broker_connecting{broker="test"}"#, "0"),
    ];
    wait_for(at_sender, &two);
    wait_for(at_receiver, &two);

    sender.change("poll = \"200ms\"", "poll = \"300ms\"");
    sender.configuration();
    sending.signal(Signal::HUP);
    eventually("the reload", || sending.log().contains("configuration reloaded").then_some(()));
    queues::add(&outgoing, b"Site: Y\n");
    eventually("the second message", || (queues::count(&incoming) == 2).then_some(()));
    let four = [
        (r#"sesame_broker_sessions{broker="test"}"#, "2"),
        (r#"sesame_broker_sessions_opened_total{broker="test"}"#, "4"),
        (r#"sesame_broker_sessions_lost_total{broker="test"}"#, "0"),
        (r#"sesame_messages_total{channel="cpu",direction="send",fate="sent",code=""}"#, "2"),
    ];
    wait_for(at_sender, &four);
}

#[test]
fn as_many_files_may_be_open_as_the_system_allows() {
    let site = Site::of("sender.example.org").on(shared(Kind::RabbitMq), Way::Plain).sending("cpu", "/queue/cpu", "");
    let (site, port) = observed(site);
    let mut running = site.start_with_files(&["run"], (256, 4000));
    wait_for(port, &[("process_max_fds", "4000")]);
    assert_eq!(running.stop(), 0);
}

#[test]
fn check_says_who_is_at_the_address_of_the_metrics() {
    let site = Site::of("sender.example.org").on(shared(Kind::RabbitMq), Way::Plain).sending("cpu", "/queue/cpu", "");
    let (site, port) = observed(site);
    let address = format!("127.0.0.1:{port}");
    let check = |code: i32| site.run(&["check", "--offline"]).expect(code);
    check(0).says(&format!("ok       observe: metrics and health will be shown on {address}"));
    let taken = std::net::TcpListener::bind(&address).unwrap();
    let serving = std::thread::spawn(move || drop(taken.accept()));
    check(1).says(&format!("error    observe: {address} is in use by another program"));
    serving.join().unwrap();
    let mut running = site.start(&["run"]);
    eventually("the listener", || get(port, "/health"));
    check(0).says(&format!("ok       observe: metrics and health are shown on {address}"));
    // The same port in the configuration of another Sesame.
    let other = Site::of("other.example.org").on(shared(Kind::RabbitMq), Way::Plain).sending("gpu", "/queue/gpu", "");
    let other = other.with_sections(&format!("[observe]\nlisten = \"{address}\"\n"));
    other.run(&["check", "--offline"]).expect(1).says("in use by a Sesame with other queues");
    assert_eq!(running.stop(), 0);
}
