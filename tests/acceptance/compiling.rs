//! Plugins that take long to compile: from the moment a component is in the folder, nothing passes it that it should see,
//! and what it does not apply to goes on.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::bombs;
use crate::harness::{Folder, eventually};
use crate::peers::Kind;
use crate::peers::broker::shared;
use crate::peers::guests::component;
use crate::peers::scripted::unreachable_broker;
use crate::plugins::{behaving, bodies, install, one_in};
use crate::queues;
use crate::reloads::{becomes, file, listed, put};
use crate::sesame::{Pair, Site, Way, program};

/// Refuses every message of these tests.
const NO_SITE: &str = "[config]\nsites = [\"NOWHERE\"]\n";

fn pair() -> Pair {
    Pair::on(shared(Kind::RabbitMq), Way::Plain, "", "")
}

/// A good plugin that no cache holds and whose compilation takes some seconds: it carries a module that nothing uses.
fn laden(guest: &str) -> Vec<u8> {
    let unique = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    let custom = [vec![0, 18, 1, b'x'], unique.to_le_bytes().to_vec()].concat();
    [std::fs::read(component(guest)).unwrap(), bombs::slow_section(), custom].concat()
}

#[test]
fn nothing_leaves_past_a_plugin_that_is_still_compiled_and_all_of_it_meets_the_plugin() {
    let (pair, broker) = (pair(), shared(Kind::RabbitMq));
    let mut sender = pair.sender.start(&["send", "--watch"]);
    queues::add(&pair.outgoing(), b"Site: FIRST\n");
    eventually("the first message", || (broker.waiting(&pair.destination) == 1).then_some(()));
    put(&pair.sender, "sites.toml", NO_SITE);
    put(&pair.sender, "sites.wasm", laden("sites"));
    for number in 0..10 {
        queues::add(&pair.outgoing(), format!("Site: {number}\n").as_bytes());
    }
    let told = becomes(&pair.sender, "sites.wasm", "compiling");
    assert!(told["compiling-since"].is_u64() && told["serves"] == false, "{told}");
    assert_eq!(queues::count(&pair.sender.refused("cpu")), 0, "it serves already");
    pair.sender.run(&["plugin", "list"]).expect(0).says("compiling (").says("wait until it is ready");
    assert_eq!(broker.waiting(&pair.destination), 1);
    eventually("all ten refused", || (queues::count(&pair.sender.refused("cpu")) == 10).then_some(()));
    assert_eq!(broker.waiting(&pair.destination), 1);
    // As the author would see it: since the refusals are few, each is named; that messages wait is said once.
    let waits = sender.log().matches("is being compiled").count();
    assert!((1..4).contains(&waits), "{waits} lines:\n{}", sender.log());
    assert_eq!(sender.stop(), 0);
    let refused = queues::elements(&pair.sender.refused("cpu")).pop().unwrap();
    pair.sender.run(&["trace", &refused.id()]).expect(0).says("rejected").says("sites.wasm 0.1.0 SHA-256 ");
}

#[test]
fn sending_once_waits_for_the_compiler_and_says_so() {
    let (pair, broker) = (pair(), shared(Kind::RabbitMq));
    put(&pair.sender, "sites.toml", NO_SITE);
    put(&pair.sender, "sites.wasm", laden("sites"));
    for number in 0..10 {
        queues::add(&pair.outgoing(), format!("Site: {number}\n").as_bytes());
    }
    pair.sender.run(&["send"]).expect(1).says("compiling plugin").says("10 rejected");
    assert_eq!(broker.waiting(&pair.destination), 0);
    put(&pair.sender, "sites.wasm", laden("sites"));
    let file = pair.sender.folder.write("message", "Site: X\n");
    let path = file.to_str().unwrap();
    let said = "compiling plugin sites.wasm";
    pair.sender.run(&["explain", "cpu", path]).expect(1).says(said).says("verdict: rejected");
    put(&pair.sender, "sites.wasm", laden("sites"));
    pair.sender.run(&["publish", "cpu", path]).expect(1).says("compiling plugin").says("rejected");
}

#[test]
fn a_receiver_stores_nothing_past_a_plugin_that_is_still_compiled() {
    let pair = pair();
    let mut receiver = pair.receiver.start(&["receive"]);
    let _sender = pair.sender.start(&["send", "--watch"]);
    queues::add(&pair.outgoing(), b"Site: FIRST\n");
    one_in(&pair.incoming());
    put(&pair.receiver, "sites.toml", NO_SITE);
    put(&pair.receiver, "sites.wasm", laden("sites"));
    for number in 0..10 {
        queues::add(&pair.outgoing(), format!("Site: {number}\n").as_bytes());
    }
    becomes(&pair.receiver, "sites.wasm", "compiling");
    eventually("all ten refused", || (queues::count(&pair.reject()) == 10).then_some(()));
    assert_eq!(queues::count(&pair.incoming()), 1);
    assert_eq!(queues::count(&pair.receiver.queue("central", "deferred")), 0);
    assert_eq!(receiver.log().matches(" subscribed ").count(), 1, "{}", receiver.log());
    // A stop waits for no compiler.
    put(&pair.receiver, "again.toml", NO_SITE);
    put(&pair.receiver, "again.wasm", laden("sites"));
    queues::add(&pair.outgoing(), b"Site: LAST\n");
    becomes(&pair.receiver, "again.wasm", "compiling");
    let asked = Instant::now();
    assert_eq!(receiver.stop(), 0);
    assert!(asked.elapsed() < Duration::from_secs(5), "it took {:?} to stop", asked.elapsed());
    assert_eq!(queues::count(&pair.incoming()), 1);
}

#[test]
fn messages_that_a_compiling_plugin_does_not_apply_to_go_on_as_its_sidecar_reads_now() {
    let pair = pair();
    let _receiver = pair.receiver.start(&["receive"]);
    let _sender = pair.sender.start(&["send", "--watch"]);
    put(&pair.receiver, "sites.toml", format!("signer = [\"/CN=somebody.else\"]\n{NO_SITE}"));
    put(&pair.receiver, "sites.wasm", laden("sites"));
    queues::add(&pair.outgoing(), b"Site: OTHERS\n");
    assert_eq!(one_in(&pair.incoming()).text("body"), "Site: OTHERS\n");
    assert_eq!(listed(&pair.receiver, "sites.wasm").unwrap()["state"], "compiling");
    // While it is compiled, its settings begin to name all signers.
    put(&pair.receiver, "sites.toml", NO_SITE);
    queues::add(&pair.outgoing(), b"Site: MINE\n");
    assert_eq!(one_in(&pair.reject()).text("body"), "Site: MINE\n");
    assert_eq!(bodies(&pair.incoming()), ["Site: OTHERS\n"]);
}

#[test]
fn a_start_with_a_cold_cache_sends_nothing_before_its_plugin_serves() {
    let (pair, broker) = (pair(), shared(Kind::RabbitMq));
    put(&pair.sender, "sites.toml", NO_SITE);
    put(&pair.sender, "sites.wasm", laden("sites"));
    (0..10).for_each(|number| drop(queues::add(&pair.outgoing(), format!("Site: {number}\n").as_bytes())));
    let mut sender = pair.sender.start(&["send", "--watch"]);
    // By the log, which keeps it: a busy machine may not look into the state as long as it lasts.
    eventually("the compiler", || sender.log().contains("compiling plugin").then_some(()));
    // The file changes once more while it is compiled: what comes of the first is of no use.
    put(&pair.sender, "sites.wasm", laden("sites"));
    eventually("all ten refused", || (queues::count(&pair.sender.refused("cpu")) == 10).then_some(()));
    assert_eq!(broker.waiting(&pair.destination), 0);
    assert_eq!(sender.stop(), 0);
}

#[test]
fn check_and_the_running_sesame_say_the_same_of_a_broken_replacement() {
    let pair = pair();
    install(&pair.receiver, "sites", NO_SITE);
    let mut receiver = pair.receiver.start(&["receive"]);
    let good = becomes(&pair.receiver, "sites.wasm", "ready");
    std::fs::write(file(&pair.receiver, "sites.wasm"), "nonsense").unwrap();
    let broken = becomes(&pair.receiver, "sites.wasm", "broken");
    let reason = broken["reason"].as_str().unwrap();
    let short = &good["sha256"].as_str().unwrap()[..12];
    let serves = format!("{reason}; the last good one stays in service (version 0.1.0, SHA-256 {short}");
    pair.receiver.run(&["check"]).says(&serves);
    assert!(receiver.log().contains(&format!("{reason}; the last good one stays in service")), "{}", receiver.log());
    let at = broken["last-error-at"].as_u64().unwrap();
    assert_eq!(broken["last-error"], *reason);
    // It is still listed when the file is fixed, with the time of the error.
    std::fs::write(file(&pair.receiver, "sites.wasm"), std::fs::read(component("sites")).unwrap()).unwrap();
    let fixed = becomes(&pair.receiver, "sites.wasm", "ready");
    assert_eq!((&fixed["last-error"], fixed["last-error-at"].as_u64()), (&broken["last-error"], Some(at)));
    pair.receiver.run(&["plugin", "list"]).expect(0).says("plugin sites.wasm last failed at ").says(reason);
    assert_eq!(receiver.stop(), 0);
    std::fs::write(file(&pair.receiver, "sites.wasm"), "nonsense").unwrap();
    pair.receiver.run(&["check"]).says(&format!("(version 0.1.0, SHA-256 {short}), also over a restart"));
}

#[test]
fn messages_that_wait_for_a_plugin_are_told_of_once_in_a_back_off() {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Plain, "back-off-min = \"30s\"\n", "");
    put(&pair.sender, "sites.toml", NO_SITE);
    put(&pair.sender, "sites.wasm", "nonsense");
    (0..20).for_each(|number| drop(queues::add(&pair.outgoing(), format!("Site: {number}\n").as_bytes())));
    let mut sender = pair.sender.start(&["send", "--watch"]);
    let waits = "messages wait for a plugin";
    eventually("a word about the plugin", || sender.log().contains(waits).then_some(()));
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(sender.log().matches(waits).count(), 1, "{}", sender.log());
    assert_eq!(sender.stop(), 0);
    // A plugin's own fault sends the operator to a file that there is.
    let pair = behaving("[config]\nvalidate = \"internal\"\ntext = \"no table\"\n", "");
    let _receiver = crate::plugins::deliver(&pair, &["a\n"]);
    let error = one_in(&pair.receiver.queue("central", "deferred")).text("error");
    let named = error.split("see its log, ").nth(1).and_then(|rest| rest.split(',').next()).unwrap();
    assert!(std::path::Path::new(named).is_file(), "{error}");
}

#[test]
fn trace_names_the_routes_of_what_was_sent() {
    let (broker, second) = (shared(Kind::RabbitMq), crate::sesame::own_destination());
    let pair = Pair::on(broker, Way::Plain, &format!("[send.cpu.route]\ncloud = \"{second}\"\n"), "");
    install(&pair.sender, "behaviour", "[config]\nroute = [\"cloud\", \"default\"]\n");
    let id = queues::add(&pair.outgoing(), b"both\n");
    pair.sender.run(&["send"]).expect(0);
    pair.sender.run(&["trace", &id]).expect(0).says("routes    cloud, default");
    let told = pair.sender.run(&["trace", &id, "--json"]).expect(0).output;
    let step: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    assert_eq!((step["fate"].as_str(), &step["routes"]), (Some("sent"), &serde_json::json!(["cloud", "default"])));
}

/// The compiled components in a folder, which may not exist.
fn compiled_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|ending| ending == "cwasm")).collect()
}

#[test]
fn what_one_command_has_compiled_is_not_compiled_again() {
    let folder = Folder::new("compiled-once");
    let (service, own) = (folder.join("service"), folder.join("home/sesame/plugins"));
    // Long enough for its progress to be reported.
    let component = folder.write("laden.wasm", laden("sites"));
    folder.write("sesame.toml", format!("[plugins]\ncache = {:?}\n", service.display().to_string()));
    let inspect = |home: &str, config: bool| {
        let mut command = Command::new(program());
        if config {
            command.arg("--config").arg(folder.join("sesame.toml"));
        }
        command.args(["plugin", "inspect"]).arg(&component).env("XDG_CACHE_HOME", folder.join(home));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = inspect("home", false);
    assert!(said.contains("sesame: compiling plugin laden.wasm: "), "no progress in {said:?}");
    assert_eq!(compiled_in(&own).len(), 1);
    // As if the service had compiled it.
    std::fs::rename(&own, &service).unwrap();
    inspect("home", true);
    assert_eq!((compiled_in(&own).len(), compiled_in(&service).len()), (0, 1), "it was compiled again");
    // Where the service is another user, root loads nothing from there, and leaves what it compiles for the service.
    const SERVICE: u32 = 65_534;
    std::fs::remove_file(&compiled_in(&service)[0]).unwrap();
    std::os::unix::fs::chown(&service, Some(SERVICE), Some(SERVICE)).unwrap();
    let site = Site::of("sender.example.org").at(&[&unreachable_broker()], Way::Tls, "").sending("cpu", "/queue/x", "");
    put(&site, "laden.wasm", std::fs::read(&component).unwrap());
    let config = std::fs::read_to_string(site.configuration()).unwrap();
    let line = config.lines().find(|line| line.starts_with("cache = ")).unwrap();
    let config = config.replace(line, &format!("cache = {:?}", service.display().to_string()));
    let file = folder.write("site.toml", config);
    let check = || {
        let mut command = Command::new(program());
        command.arg("--config").arg(&file).args(["check", "--offline"]).env("XDG_CACHE_HOME", folder.join("root"));
        String::from_utf8_lossy(&command.output().unwrap().stderr).into_owned()
    };
    assert!(check().contains("compiling plugin laden.wasm for the first time"));
    let names =
        |found: &[PathBuf]| -> BTreeSet<_> { found.iter().map(|path| path.file_name().unwrap().to_owned()).collect() };
    let (of_service, of_root) = (compiled_in(&service), compiled_in(&folder.join("root/sesame/plugins")));
    // The plugin, and the one that is built in.
    assert_eq!((of_service.len(), names(&of_service)), (2, names(&of_root)));
    assert!(of_service.iter().all(|path| path.metadata().unwrap().uid() == SERVICE), "{of_service:?}");
    let again = check();
    assert!(!again.contains("compiling plugin"), "{again}");
}
