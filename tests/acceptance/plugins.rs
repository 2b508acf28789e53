//! Plugins in the path of real messages: what their verdicts do, and what becomes of messages when they fail.

use std::path::Path;

use crate::harness::{Child, eventually};
use crate::peers::Kind;
use crate::peers::broker::shared;
use crate::peers::guests::component;
use crate::peers::openssl::{Host, pki};
use crate::peers::python;
use crate::queues::{self, Element};
use crate::sesame::{Pair, Site, Way, own_destination};

/// Puts a component and its sidecar into a site's plugin folder.
pub(crate) fn install(site: &Site, guest: &str, side_car: &str) {
    std::fs::copy(component(guest), site.folder.join(format!("plugins.d/{guest}.wasm"))).unwrap();
    site.folder.write(&format!("plugins.d/{guest}.toml"), side_car);
}

/// A pair whose receiver has the guest `behaviour` with this configuration.
pub(crate) fn behaving(side_car: &str, receive: &str) -> Pair {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Plain, "", receive);
    install(&pair.receiver, "behaviour", side_car);
    pair
}

/// Sends these bodies to the pair's receiver and starts it.
pub(crate) fn deliver(pair: &Pair, bodies: &[&str]) -> Child {
    bodies.iter().for_each(|body| drop(queues::add(&pair.outgoing(), body.as_bytes())));
    pair.sender.run(&["send"]).expect(0);
    pair.receiver.start(&["receive"])
}

pub(crate) fn one_in(queue: &Path) -> Element {
    eventually(&format!("an element in {}", queue.display()), || queues::elements(queue).pop())
}

pub(crate) fn bodies(queue: &Path) -> Vec<String> {
    let mut bodies: Vec<String> = queues::elements(queue).iter().map(|element| element.text("body")).collect();
    bodies.sort();
    bodies
}

#[test]
fn a_validator_refuses_what_it_finds_wrong_and_passes_the_rest() {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Tls, "", "");
    install(&pair.receiver, "sites", "direction = \"inbound\"\n[config]\nsites = [\"UKI-TEST\"]\n");
    let receiver = deliver(&pair, &["Site: UKI-TEST\n", "Site: ELSEWHERE\n", "Site: UKI-TEST\nOther: 1\n"]);
    let refused = one_in(&pair.reject());
    assert_eq!(refused.text("body"), "Site: ELSEWHERE\n");
    let error = refused.text("error");
    assert!(error.contains("sites") && error.contains("is not a listed site"), "{error}");
    let findings: serde_json::Value = serde_json::from_slice(refused.bytes("findings")).unwrap();
    assert!(findings.to_string().contains("site.unknown"), "{findings}");
    assert!(!receiver.log().contains("ELSEWHERE"), "a finding's value is in the log:\n{}", receiver.log());
    eventually("the others", || (queues::count(&pair.incoming()) == 2).then_some(()));
}

#[test]
fn a_sender_s_validator_keeps_a_bad_message_from_leaving() {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Tls, "", "");
    install(&pair.sender, "sites", "direction = \"outbound\"\n[config]\nsites = [\"UKI-TEST\"]\n");
    queues::add(&pair.outgoing(), b"Site: ELSEWHERE\n");
    queues::add(&pair.outgoing(), b"Site: UKI-TEST\n");
    pair.sender.run(&["send"]).expect(1);
    assert_eq!(one_in(&pair.sender.refused("cpu")).text("body"), "Site: ELSEWHERE\n");
    let _receiver = pair.receiver.start(&["receive"]);
    assert_eq!(one_in(&pair.incoming()).text("body"), "Site: UKI-TEST\n");
}

#[test]
fn a_transformer_replaces_the_content() {
    let pair = behaving("[config]\ntransform = \"upper\"\n", "");
    let _receiver = deliver(&pair, &["Site: x\n"]);
    assert_eq!(one_in(&pair.incoming()).text("body"), "SITE: X\n");
}

#[test]
fn a_split_message_is_sent_in_parts_and_its_bad_part_is_refused() {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Plain, "", "");
    install(&pair.sender, "behaviour", "[config]\ntransform = \"split-lines\"\n");
    let id = queues::add(&pair.outgoing(), b"one\ntwo\n!three\nfour\n");
    pair.sender.run(&["send"]).expect(1);
    let _receiver = pair.receiver.start(&["receive"]);
    eventually("three parts", || (queues::count(&pair.incoming()) == 3).then_some(()));
    let stored = queues::elements(&pair.incoming());
    assert!(stored.iter().all(|part| part.id().starts_with(&format!("{id}."))), "{stored:?}");
    assert_eq!(bodies(&pair.incoming()), ["four", "one", "two"]);
    assert_eq!(one_in(&pair.sender.refused("cpu")).text("body"), "!three");
    assert_eq!(queues::outgoing(&pair.outgoing()).len(), 0);
}

#[test]
fn a_dropped_message_is_stored_nowhere_and_traced() {
    let pair = behaving("[config]\ntransform = \"drop-if-contains\"\ntext = \"unwanted\"\n", "");
    let id = queues::add(&pair.outgoing(), b"an unwanted one\n");
    let mut receiver = deliver(&pair, &["a good one\n"]);
    assert_eq!(one_in(&pair.incoming()).text("body"), "a good one\n");
    let broker = shared(Kind::RabbitMq);
    eventually("the broker's queue to be empty", || (broker.waiting(&pair.destination) == 0).then_some(()));
    assert_eq!(queues::count(&pair.incoming()) + queues::count(&pair.reject()), 1);
    assert_eq!(receiver.stop(), 0);
    pair.receiver.run(&["trace", &id]).expect(0).says("dropped");
}

#[test]
fn a_router_chooses_queues_and_may_choose_several() {
    let routes = "[receive.central.route]\ncloud = \"incoming-cloud\"\ngrid = \"incoming-grid\"\n";
    let side_car = "[config]\nroute = [\"by-content:\"]\n";
    let pair = behaving(side_car, routes);
    let receiver = deliver(&pair, &["cloud", "grid", "default"]);
    assert_eq!(one_in(&pair.receiver.queue("central", "incoming-cloud")).text("body"), "cloud");
    assert_eq!(one_in(&pair.receiver.queue("central", "incoming-grid")).text("body"), "grid");
    assert_eq!(one_in(&pair.incoming()).text("body"), "default");
    drop(receiver);

    let pair = behaving("[config]\nroute = [\"cloud\", \"default\"]\n", routes);
    let _receiver = deliver(&pair, &["both"]);
    let (first, second) = (one_in(&pair.incoming()), one_in(&pair.receiver.queue("central", "incoming-cloud")));
    assert_eq!((first.text("body"), first.id()), (second.text("body"), second.id()));
}

#[test]
fn a_sender_s_router_chooses_destinations() {
    let (broker, first, second) = (shared(Kind::ActiveMq), own_destination(), own_destination());
    let routes = format!("[send.cpu.route]\ncloud = \"{second}\"\n");
    let site = Site::of("sender.example.org").on(broker, Way::Tls).sending("cpu", &first, &routes);
    install(&site, "behaviour", "[config]\nroute = [\"cloud\", \"default\"]\n");
    queues::add(&site.outgoing("cpu"), b"both\n");
    site.run(&["send"]).expect(0);
    assert_eq!((broker.waiting(&first), broker.waiting(&second)), (1, 1));
    let link = Way::Plain.link(broker, &site.host);
    let ids = [&first, &second]
        .map(|destination| python::take(&link, destination, 1)[0].header("empa-id").unwrap().to_owned());
    assert_eq!(ids[0], ids[1]);
}

#[test]
fn nothing_is_kept_from_one_message_to_the_next() {
    let pair = behaving("[config]\nvalidate = \"remember\"\n", "");
    let _receiver = deliver(&pair, &["one\n", "two\n", "three\n"]);
    eventually("all three", || (queues::count(&pair.incoming()) == 3).then_some(()));
}

/// What a plugin may do wrong, with its limits.
const MISBEHAVIOUR: [(&str, &str); 9] = [
    ("loop", "[config]\nvalidate = \"loop\"\n"),
    ("eat-memory", "[config]\nvalidate = \"eat-memory\"\n"),
    ("panic", "[config]\nvalidate = \"panic\"\ntext = \"out of cheese\"\n"),
    ("recurse", "[config]\nvalidate = \"recurse\"\n"),
    ("exit", "[config]\nvalidate = \"exit\"\n"),
    ("huge", "output-limit = \"1MiB\"\n[config]\ntransform = \"huge\"\nsize = 8000000\n"),
    ("split-empty", "[config]\ntransform = \"split-empty\"\n"),
    ("invalid-without-findings", "[config]\nvalidate = \"invalid-without-findings\"\n"),
    ("unknown-route", "[config]\nroute = [\"nowhere\"]\n"),
];

#[test]
fn a_failing_plugin_is_named_beside_the_message_it_failed_for() {
    for (what, side_car) in MISBEHAVIOUR {
        let pair = behaving(&format!("on-error = \"reject\"\ndeadline = \"300ms\"\n{side_car}"), "");
        let mut receiver = deliver(&pair, &["Site: X\n"]);
        let refused = one_in(&pair.reject());
        assert_eq!(refused.text("body"), "Site: X\n", "{what}");
        assert!(refused.text("error").contains("behaviour"), "{what}: {}", refused.text("error"));
        assert_eq!((queues::count(&pair.incoming()), receiver.stop()), (0, 0), "{what}");
    }
}

#[test]
fn a_failing_plugin_may_be_passed_over() {
    let pair = behaving("on-error = \"pass\"\n[config]\nvalidate = \"panic\"\ntext = \"out of cheese\"\n", "");
    let receiver = deliver(&pair, &["Site: X\n"]);
    assert_eq!(one_in(&pair.incoming()).text("body"), "Site: X\n");
    assert!(receiver.log().contains("behaviour"), "{}", receiver.last_words());
}

#[test]
fn messages_wait_for_a_failing_plugin_to_be_fixed() {
    let pair = behaving("[config]\nvalidate = \"panic\"\ntext = \"out of cheese\"\n", "back-off-min = \"100ms\"\n");
    let mut receiver = deliver(&pair, &["one\n", "two\n"]);
    eventually("a word about the plugin", || receiver.log().contains("behaviour").then_some(()));
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(queues::count(&pair.incoming()) + queues::count(&pair.reject()), 0);
    assert_eq!(receiver.stop(), 0);
    install(&pair.receiver, "behaviour", "");
    let _receiver = pair.receiver.start(&["receive"]);
    eventually("both messages", || (queues::count(&pair.incoming()) == 2).then_some(()));
    assert_eq!(bodies(&pair.incoming()), ["one\n", "two\n"]);
}

#[test]
fn a_file_that_is_no_plugin_holds_up_its_own_messages_and_no_others() {
    let broker = shared(Kind::RabbitMq);
    let signer: Host = pki().host("sender.example.org");
    for guest in ["nonsense", "files", "no-role", "no-lifecycle"] {
        let (checked, free) = (own_destination(), own_destination());
        let sender = Site::of("sender.example.org").on(broker, Way::Plain);
        let sender = sender.sending("one", &checked, "").sending("two", &free, "");
        let site = Site::of("receiver.example.org").on(broker, Way::Plain);
        let site = site.receiving("checked", &checked, &[&signer.subject], "");
        let site = site.receiving("free", &free, &[&signer.subject], "");
        let content = match guest {
            "nonsense" => b"not a component".to_vec(),
            built => std::fs::read(component(built)).unwrap(),
        };
        site.folder.write(&format!("plugins.d/{guest}.wasm"), content);
        let sidecar = "channels = [\"checked\"]\ndeny-stand-ins = true\n";
        site.folder.write(&format!("plugins.d/{guest}.toml"), sidecar);
        for channel in ["one", "two"] {
            queues::add(&sender.outgoing(channel), b"Site: X\n");
        }
        sender.run(&["send"]).expect(0);
        let mut receiver = site.start(&["receive"]);
        one_in(&site.queue("free", "incoming"));
        let said = format!("until this is fixed, the messages it applies to wait plugin=\"{guest}.wasm\"");
        eventually("a word about the file", || receiver.log().contains(&said).then_some(()));
        assert_eq!(queues::count(&site.queue("checked", "incoming")), 0, "{guest}: a message passed unchecked");
        assert_eq!(receiver.stop(), 0, "{guest}");
        let check = site.run(&["check"]);
        assert_ne!(check.code, 0, "{guest}: check finds nothing:\n{}", check.all());
        let all = check.all();
        let sentence =
            all.lines().find_map(|line| line.split_once(&format!("plugin {guest}.wasm "))).unwrap_or_else(|| {
                panic!("{guest}: check does not name it:\n{all}");
            });
        let reason = sentence.1.split("; until it is fixed").next().unwrap();
        assert!(receiver.log().contains(reason), "{guest}: the log does not say what check says: {reason}");
    }
}

#[test]
fn a_plugin_of_the_pipeline_that_is_not_there_stops_the_start() {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Plain, "", "pipeline = [\"missing\"]\n");
    pair.receiver.run(&["receive"]).expect(78).says("missing");
}

#[test]
fn the_stock_pipeline_passes_a_message_unchanged() {
    let pipeline = "pipeline = [\"builtin:passthrough\"]\n";
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Plain, pipeline, pipeline);
    let _receiver = deliver(&pair, &["Site: X\n"]);
    assert_eq!(one_in(&pair.incoming()).text("body"), "Site: X\n");
}
