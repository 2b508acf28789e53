//! Plugins are dropped in, replaced and removed while messages flow: the next message meets what is there, none is lost or
//! passed through half of a change, and a plugin that is not there any more holds messages back until it is ended on purpose.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::bombs;
use crate::checker::{self, Workload};
use crate::harness::{Child, eventually};
use crate::peers::Kind;
use crate::peers::broker::shared;
use crate::peers::guests::component;
use crate::queues;
use crate::sesame::{Pair, Site, Way, own_destination};

const SITES: &str = "[config]\nsites = [\"UKI-TEST\"]\n";
const UPPER: &str = "[config]\ntransform = \"upper\"\n";

fn pair() -> Pair {
    Pair::on(shared(Kind::RabbitMq), Way::Plain, "", "")
}

pub(crate) fn file(site: &Site, name: &str) -> PathBuf {
    site.folder.join(format!("plugins.d/{name}"))
}

/// As `cp` does it: the file is written where it lies.
fn copy(site: &Site, guest: &str, name: &str) {
    let mut from = fs::File::open(component(guest)).unwrap();
    std::io::copy(&mut from, &mut fs::File::create(file(site, name)).unwrap()).unwrap();
}

/// As careful people do it: the file is written aside and renamed.
pub(crate) fn put(site: &Site, name: &str, content: impl AsRef<[u8]>) {
    let aside = file(site, &format!(".{name}.new"));
    fs::write(&aside, content).unwrap();
    fs::rename(aside, file(site, name)).unwrap();
}

fn put_guest(site: &Site, guest: &str, name: &str) {
    put(site, name, fs::read(component(guest)).unwrap());
}

/// Sends a message and gives the queue in which it arrives, and its body there.
#[track_caller]
fn fate(pair: &Pair, body: &str) -> (&'static str, String) {
    let before = |queue: &str| queues::count(&pair.receiver.queue("central", queue));
    let counts: Vec<(&'static str, usize)> =
        ["incoming", "reject", "deferred"].into_iter().map(|queue| (queue, before(queue))).collect();
    queues::add(&pair.outgoing(), body.as_bytes());
    pair.sender.run(&["send"]).expect(0);
    eventually("the message to arrive somewhere", || {
        let (queue, _) = counts.iter().find(|(queue, count)| before(queue) > *count)?;
        let newest = queues::elements(&pair.receiver.queue("central", queue)).pop()?;
        Some((*queue, newest.text("body")))
    })
}

/// The status of a stage in `sesame plugin list`.
pub(crate) fn listed(site: &Site, plugin: &str) -> Option<Value> {
    let told = site.run(&["plugin", "list", "--json"]).expect(0).output;
    let channels: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut stages = channels.iter().flat_map(|channel| channel["stages"].as_array().unwrap());
    stages.find(|stage| stage["name"] == plugin).cloned()
}

/// Waits until a running Sesame lists a stage in this state.
#[track_caller]
pub(crate) fn becomes(site: &Site, plugin: &str, state: &str) -> Value {
    eventually(&format!("{plugin} to be {state}"), || listed(site, plugin).filter(|stage| stage["state"] == state))
}

/// Waits until the receiver has put another pipeline into service.
#[track_caller]
fn swapped(receiver: &Child, times: usize) {
    eventually("another pipeline in service", || {
        (receiver.log().matches("pipeline in service").count() >= times).then_some(())
    });
}

#[test]
fn a_plugin_that_is_dropped_in_serves_the_next_message() {
    let pair = pair();
    let mut receiver = pair.receiver.start(&["receive"]);
    assert_eq!(fate(&pair, "Site: ELSEWHERE\n").0, "incoming");
    put(&pair.receiver, "sites.toml", SITES);
    copy(&pair.receiver, "sites", "sites.wasm");
    swapped(&receiver, 1);
    assert_eq!(fate(&pair, "Site: ELSEWHERE\n\n").0, "reject");
    assert_eq!(fate(&pair, "Site: UKI-TEST\n").0, "incoming");
    let stage = eventually("the counters", || listed(&pair.receiver, "sites.wasm").filter(|s| s["calls"] == 2));
    assert_eq!((&stage["rejects"], &stage["errors"], &stage["roles"]), (&1.into(), &0.into(), &"validator".into()));
    assert!(stage["p50-us"].as_u64() <= stage["p99-us"].as_u64() && stage["p99-us"].is_u64(), "{stage}");
    pair.receiver.run(&["plugin", "list"]).expect(0).says("from Sesame process");
    assert_eq!(receiver.stop(), 0);
    pair.receiver.run(&["plugin", "list"]).expect(0).says("no Sesame runs");
}

#[test]
fn a_sender_s_plugin_is_dropped_in_as_well() {
    let pair = pair();
    let mut sender = pair.sender.start(&["send", "--watch"]);
    let _receiver = pair.receiver.start(&["receive"]);
    put(&pair.sender, "upper.toml", UPPER);
    put_guest(&pair.sender, "behaviour", "upper.wasm");
    swapped(&sender, 1);
    queues::add(&pair.outgoing(), b"Site: x\n");
    let stored = eventually("the message", || queues::elements(&pair.incoming()).pop());
    assert_eq!(stored.text("body"), "SITE: X\n");
    assert_eq!(sender.stop(), 0);
}

#[test]
fn a_replaced_plugin_serves_the_next_message_and_trace_tells_which_it_was() {
    let pair = pair();
    put(&pair.receiver, "check.toml", SITES);
    put_guest(&pair.receiver, "sites", "check.wasm");
    let receiver = pair.receiver.start(&["receive"]);
    assert_eq!(fate(&pair, "Site: ELSEWHERE\n").0, "reject");
    let first = becomes(&pair.receiver, "check.wasm", "ready")["sha256"].as_str().unwrap().to_owned();
    put(&pair.receiver, "check.toml", UPPER);
    copy(&pair.receiver, "behaviour", "check.wasm");
    swapped(&receiver, 1);
    assert_eq!(fate(&pair, "Site: elsewhere\n"), ("incoming", "SITE: ELSEWHERE\n".to_owned()));
    let second = becomes(&pair.receiver, "check.wasm", "ready")["sha256"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    let id = queues::elements(&pair.incoming()).pop().unwrap().id();
    pair.receiver.run(&["trace", &id]).expect(0).says(&format!("check.wasm 0.1.0 SHA-256 {second}"));
}

#[test]
fn a_broken_replacement_leaves_the_good_plugin_in_service() {
    let pair = pair();
    put(&pair.receiver, "check.toml", SITES);
    put_guest(&pair.receiver, "sites", "check.wasm");
    let receiver = pair.receiver.start(&["receive"]);
    assert_eq!(fate(&pair, "Site: ELSEWHERE\n").0, "reject");
    let good = fs::read(component("sites")).unwrap();
    for broken in [&good[..good.len() / 2], b"nonsense".as_slice(), b"".as_slice()] {
        let said = receiver.log().matches("the last good one stays in service").count();
        fs::write(file(&pair.receiver, "check.wasm"), broken).unwrap();
        eventually("a word about the file", || {
            (receiver.log().matches("the last good one stays in service").count() > said).then_some(())
        });
        let stage = becomes(&pair.receiver, "check.wasm", "broken");
        assert_eq!(stage["serves"], true);
        assert_eq!(fate(&pair, &format!("Site: ELSEWHERE\nBytes: {}\n", broken.len())).0, "reject");
    }
    let check = pair.receiver.run(&["check"]);
    assert_ne!(check.code, 0);
    check.says("check.wasm");
    fs::write(file(&pair.receiver, "check.toml"), "deadline = 5\n").unwrap();
    put(&pair.receiver, "check.wasm", &good);
    eventually("a line about the sidecar", || receiver.log().contains("check.toml:1: deadline").then_some(()));
    assert_eq!(fate(&pair, "Site: ELSEWHERE\n\n\n").0, "reject");
}

#[test]
fn a_half_copied_file_is_waited_for() {
    let pair = pair();
    let receiver = pair.receiver.start(&["receive"]);
    let whole = fs::read(component("sites")).unwrap();
    put(&pair.receiver, "sites.toml", SITES);
    let arrived = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut copy = fs::File::create(file(&pair.receiver, "sites.wasm")).unwrap();
            let (most, last) = whole.split_at(whole.len() - 500);
            for piece in most.chunks(200) {
                copy.write_all(piece).unwrap();
                if !arrived.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
            copy.write_all(last).unwrap();
        });
        std::thread::sleep(Duration::from_secs(2));
        queues::add(&pair.outgoing(), b"Site: ELSEWHERE\n");
        pair.sender.run(&["send"]).expect(0);
        becomes(&pair.receiver, "sites.wasm", "compiling");
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!((queues::count(&pair.incoming()), queues::count(&pair.reject())), (0, 0), "it waits for the file");
        arrived.store(true, Ordering::Relaxed);
    });
    swapped(&receiver, 1);
    eventually("the message to meet the plugin", || (queues::count(&pair.reject()) == 1).then_some(()));
    assert_eq!(fate(&pair, "Site: ELSEWHERE\n\n").0, "reject");
    assert!(!receiver.log().contains(" ERROR "), "{}", receiver.last_words());
}

/// Waits until nothing is deferred and so many messages are stored.
#[track_caller]
fn all_stored(pair: &Pair, count: usize) {
    eventually("every message stored", || {
        let deferred = queues::count(&pair.receiver.queue("central", "deferred"));
        (queues::count(&pair.incoming()) == count && deferred == 0).then_some(())
    });
}

#[test]
fn a_plugin_that_vanished_holds_its_messages_back_until_it_is_uninstalled_or_back() {
    let pair = pair();
    put(&pair.receiver, "sites.toml", SITES);
    put_guest(&pair.receiver, "sites", "sites.wasm");
    let mut receiver = pair.receiver.start(&["receive"]);
    assert_eq!(fate(&pair, "Site: UKI-TEST\n").0, "incoming");
    fs::remove_file(file(&pair.receiver, "sites.wasm")).unwrap();
    becomes(&pair.receiver, "sites.wasm", "missing");
    assert_eq!(fate(&pair, "Site: UKI-TEST\n1\n").0, "deferred");
    put_guest(&pair.receiver, "sites", "sites.wasm");
    all_stored(&pair, 2);
    // Everything goes while Sesame is stopped.
    assert_eq!(receiver.stop(), 0);
    ["sites.wasm", "sites.toml"].iter().for_each(|name| fs::remove_file(file(&pair.receiver, name)).unwrap());
    let receiver = pair.receiver.start(&["receive"]);
    assert_eq!(fate(&pair, "Site: UKI-TEST\n2\n").0, "deferred");
    assert!(receiver.log().contains("sesame plugin remove sites"), "{}", receiver.last_words());
    pair.receiver.run(&["plugin", "list"]).expect(0).says("missing");
    let check = pair.receiver.run(&["check"]);
    assert_ne!(check.code, 0);
    check.says("sites.wasm");
    pair.receiver.run(&["plugin", "remove", "site"]).expect(1).says("(known: sites)");
    pair.receiver.run(&["plugin", "remove", "sites"]).expect(0).says("uninstalled");
    all_stored(&pair, 3);
    assert_eq!(fate(&pair, "Site: ELSEWHERE\n").0, "incoming");
    becomes(&pair.receiver, "sites.wasm", "removed");
}

#[test]
fn a_removed_plugin_stays_removed_and_a_new_file_begins_it_again() {
    let pair = pair();
    put(&pair.receiver, "sites.toml", SITES);
    put_guest(&pair.receiver, "sites", "sites.wasm");
    let mut receiver = pair.receiver.start(&["receive"]);
    assert_eq!(fate(&pair, "Site: ELSEWHERE\n").0, "reject");
    pair.receiver.run(&["plugin", "remove", "sites"]).expect(0);
    becomes(&pair.receiver, "sites.wasm", "removed");
    assert_eq!(fate(&pair, "Site: ELSEWHERE\n\n").0, "incoming");
    assert_eq!(receiver.stop(), 0);
    let _receiver = pair.receiver.start(&["receive"]);
    assert_eq!(fate(&pair, "Site: ELSEWHERE\n\n\n").0, "incoming");
    put(&pair.receiver, "sites.toml", SITES);
    put_guest(&pair.receiver, "sites", "sites.wasm");
    becomes(&pair.receiver, "sites.wasm", "ready");
    assert_eq!(fate(&pair, "Site: ELSEWHERE\n\n\n\n").0, "reject");
    // The tombstone is older than the stage: it does not excuse that the file is gone.
    fs::remove_file(file(&pair.receiver, "sites.wasm")).unwrap();
    fs::remove_file(file(&pair.receiver, "sites.toml")).unwrap();
    becomes(&pair.receiver, "sites.wasm", "missing");
    assert_eq!(fate(&pair, "Site: ELSEWHERE\n\n\n\n\n").0, "deferred");
}

#[test]
fn a_side_car_ends_a_stage_and_begins_it_again() {
    let pair = pair();
    put(&pair.receiver, "sites.toml", SITES);
    put_guest(&pair.receiver, "sites", "sites.wasm");
    let receiver = pair.receiver.start(&["receive"]);
    assert_eq!(fate(&pair, "Site: ELSEWHERE\n").0, "reject");
    put(&pair.receiver, "sites.toml", format!("enabled = false\n{SITES}"));
    becomes(&pair.receiver, "sites.wasm", "disabled");
    assert_eq!(fate(&pair, "Site: ELSEWHERE\n\n").0, "incoming");
    put(&pair.receiver, "sites.toml", SITES);
    swapped(&receiver, 2);
    assert_eq!(fate(&pair, "Site: ELSEWHERE\n\n\n").0, "reject");
}

#[test]
fn a_plugin_that_a_pipeline_lists_is_replaced_as_well() {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Plain, "", "pipeline = [\"check\"]\n");
    put(&pair.receiver, "check.toml", SITES);
    put_guest(&pair.receiver, "sites", "check.wasm");
    let mut receiver = pair.receiver.start(&["receive"]);
    assert_eq!(fate(&pair, "Site: ELSEWHERE\n").0, "reject");
    put(&pair.receiver, "check.toml", UPPER);
    put_guest(&pair.receiver, "behaviour", "check.wasm");
    swapped(&receiver, 1);
    assert_eq!(fate(&pair, "Site: elsewhere\n"), ("incoming", "SITE: ELSEWHERE\n".to_owned()));
    fs::remove_file(file(&pair.receiver, "check.wasm")).unwrap();
    becomes(&pair.receiver, "check.wasm", "missing");
    assert_eq!(fate(&pair, "Site: x\n").0, "deferred");
    assert_eq!(receiver.stop(), 0);
}

#[test]
fn a_plugin_that_takes_long_to_compile_holds_up_its_own_channel_alone() {
    let broker = shared(Kind::RabbitMq);
    let (checked, free) = (own_destination(), own_destination());
    let sender = Site::of("sender.example.org").on(broker, Way::Plain);
    let sender = sender.sending("one", &checked, "").sending("two", &free, "");
    let site = Site::of("receiver.example.org").on(broker, Way::Plain);
    let site = site.receiving("checked", &checked, &[&sender.host.subject], "");
    let site = site.receiving("free", &free, &[&sender.host.subject], "");
    put(&site, "slow.toml", "channels = [\"checked\"]\n");
    put(&site, "slow.wasm", bombs::ponderous());
    for channel in ["one", "two"] {
        queues::add(&sender.outgoing(channel), b"Site: X\n");
    }
    sender.run(&["send"]).expect(0);
    let mut receiver = site.start(&["receive"]);
    eventually("the other channel's message", || queues::elements(&site.queue("free", "incoming")).pop());
    assert_eq!(listed(&site, "slow.wasm").unwrap()["state"], "compiling", "{}", receiver.last_words());
    let begun = |line: &str| line.contains(" subscribed ") && line.contains("channel=checked");
    assert!(!receiver.log().lines().any(begun), "the channel began before its plugin was compiled");
    // A stop waits neither for the compiler nor for a reload.
    receiver.signal(Signal::HUP);
    std::thread::sleep(Duration::from_millis(200));
    receiver.signal(Signal::TERM);
    let asked = std::time::Instant::now();
    assert_eq!(receiver.exit_code(), 0);
    assert!(asked.elapsed() < Duration::from_secs(5), "it took {:?} to stop", asked.elapsed());
}

/// The hash of the pipeline of every stored message, and those of which the journal knows what they stand for.
fn pipelines(spool: &Path) -> (BTreeSet<String>, BTreeSet<String>) {
    let journal = rusqlite::Connection::open(spool.join("journal.sqlite")).unwrap();
    let texts = |query: &str| -> BTreeSet<String> {
        let mut statement = journal.prepare(query).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let met = texts("SELECT DISTINCT text FROM received JOIN name ON name.number = received.pipeline");
    let known = texts(
        "SELECT text FROM pipeline JOIN name ON name.number = pipeline.number WHERE stages LIKE '%a.wasm%b.wasm%'",
    );
    (met, known)
}

/// The generations of the two stages that each message met, as their warnings in the log show.
fn generations(log: &str) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    let mut open = std::collections::BTreeMap::new();
    for line in log.lines().filter(|line| line.contains("plugin finding")) {
        let id = line.split("id=").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
        let generation = line.split("generation-").nth(1).unwrap();
        let generation: String = generation.chars().take_while(char::is_ascii_digit).collect();
        match open.remove(&id) {
            None => drop(open.insert(id, generation)),
            Some(first) => all.push((first, generation)),
        }
    }
    assert!(open.is_empty(), "messages that met one of two stages only: {open:?}");
    all
}

#[test]
fn a_hundred_reloads_under_load_lose_and_mix_nothing() {
    const RELOADS: usize = 100;
    const SIZE: usize = 1000;
    let pair = pair();
    let side_car = |generation: usize| format!("[config]\nvalidate = \"warn\"\ntext = \"generation-{generation}.\"\n");
    for stage in ["a", "b"] {
        put(&pair.receiver, &format!("{stage}.toml"), side_car(0));
        put_guest(&pair.receiver, "behaviour", &format!("{stage}.wasm"));
    }
    let mut receiver = pair.receiver.start(&["receive"]);
    let mut sender = pair.sender.start(&["send", "--watch"]);
    let over = AtomicBool::new(false);
    let sent = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut sent = 0;
            while !over.load(Ordering::Relaxed) {
                queues::add(&pair.outgoing(), &checker::body(sent, SIZE));
                sent += 1;
                std::thread::sleep(Duration::from_millis(10));
            }
            sent
        });
        for generation in 1..=RELOADS {
            for stage in ["a", "b"] {
                put(&pair.receiver, &format!("{stage}.toml"), side_car(generation));
                // Now and then another component, too: it has one more empty custom section.
                if generation % 10 == 0 {
                    let custom = [0, 3, 1, b'x', generation as u8];
                    let bytes = [fs::read(component("behaviour")).unwrap(), custom.to_vec()].concat();
                    put(&pair.receiver, &format!("{stage}.wasm"), bytes);
                }
            }
            swapped(&receiver, generation);
        }
        over.store(true, Ordering::Relaxed);
        load.join().unwrap()
    });
    Workload::of(sent, SIZE).arrives(&pair);
    assert_eq!((sender.stop(), receiver.stop()), (0, 0));
    let met = generations(&receiver.log());
    assert_eq!(met.len(), sent as usize);
    assert!(met.iter().all(|(a, b)| a == b), "messages met stages of two generations: {met:?}");
    let distinct: BTreeSet<&String> = met.iter().map(|(a, _)| a).collect();
    assert!(distinct.len() > RELOADS / 2, "{} generations saw messages", distinct.len());
    let (met, known) = pipelines(&pair.receiver.spool("central"));
    assert!(met.is_subset(&known), "{:?}", met.difference(&known));
    assert_eq!(met.len(), distinct.len());
}
