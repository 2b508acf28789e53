//! Plugins in shadow beside real messages, and the way back to an earlier component.

use std::os::unix::fs::PermissionsExt as _;

use crate::harness::{Child, eventually};
use crate::metrics::{get, observed, value};
use crate::peers::Kind;
use crate::peers::broker::shared;
use crate::peers::guests::component;
use crate::plugins::{bodies, install};
use crate::queues;
use crate::sesame::{Pair, Site, Way};

const LISTED: &str = "[config]\nsites = [\"UKI-TEST\"]\n";
const OTHERS: &str = "[config]\nsites = [\"ELSEWHERE\"]\n";

/// Puts a guest into the plugin folder under another name, its sidecar first.
fn install_as(site: &Site, name: &str, guest: &str, sidecar: &str) {
    site.folder.write(&format!("plugins.d/{name}.toml"), sidecar);
    put(site, name, &std::fs::read(component(guest)).unwrap());
}

/// Puts a component into the plugin folder by a rename.
fn put(site: &Site, name: &str, bytes: &[u8]) {
    let aside = site.folder.write("plugins.d/.new", bytes);
    std::fs::rename(aside, site.folder.join(format!("plugins.d/{name}.wasm"))).unwrap();
}

fn pair() -> Pair {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Plain, "", "");
    install(&pair.receiver, "sites", LISTED);
    pair
}

/// Sends these bodies; their ids.
fn send(pair: &Pair, bodies: &[&str]) -> Vec<String> {
    let ids = bodies.iter().map(|body| queues::add(&pair.outgoing(), body.as_bytes())).collect();
    pair.sender.run(&["send"]).expect(0);
    ids
}

/// Waits until so many messages are in both queues.
fn arrived(pair: &Pair, incoming: usize, rejected: usize) {
    eventually("the messages", || {
        let counts = (queues::count(&pair.incoming()), queues::count(&pair.reject()));
        (counts == (incoming, rejected)).then_some(())
    });
}

/// What a command says once it says this.
fn says(site: &Site, arguments: &[&str], words: &str) -> String {
    eventually(&format!("{arguments:?} to say {words:?}"), || {
        let outcome = site.run(arguments);
        outcome.all().contains(words).then_some(outcome.output)
    })
}

fn in_service(child: &Child, times: usize) {
    eventually("the plugin in service", || (child.log().matches("plugin in service").count() >= times).then_some(()));
}

#[test]
fn a_new_version_in_shadow_decides_nothing_and_its_differences_are_shown() {
    let mut pair = pair();
    let (receiver, port) = observed(pair.receiver);
    pair.receiver = receiver;
    let shadow = format!("mode = \"shadow\"\ncompare-to = \"sites\"\n{OTHERS}");
    install_as(&pair.receiver, "sites-new", "sites", &shadow);
    let mut receiver = pair.receiver.start(&["run"]);
    in_service(&receiver, 1);
    let ids = send(&pair, &["Site: UKI-TEST\n", "Site: ELSEWHERE\n", "Other: 1\n"]);
    arrived(&pair, 2, 1);
    assert_eq!(bodies(&pair.reject()), ["Site: ELSEWHERE\n"]);
    let shown = says(&pair.receiver, &["plugin", "diff", "sites-new"], "3 calls, 2 verdicts differ, 0 failed");
    let line = |id: &str| shown.lines().find(|line| line.contains(id)).unwrap_or_default().to_owned();
    let (passed, refused) = (line(&ids[0]), line(&ids[1]));
    assert!(passed.contains("unchanged") && passed.contains("rejected") && passed.contains("site.unknown"), "{shown}");
    assert!(refused.contains("rejected") && refused.contains("unchanged"), "{shown}");
    assert_eq!(line(&ids[2]), "", "the same verdict: {shown}");
    let file = pair.receiver.spool("central").join("plugin-differences.json");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let kept = std::fs::read_to_string(&file).unwrap();
    assert!(!kept.contains("ELSEWHERE") && !kept.contains("UKI-TEST"), "a value is kept: {kept}");
    let listed = says(&pair.receiver, &["plugin", "list"], "3 calls, 2 verdicts differ");
    assert!(listed.contains("plugin sites-new.wasm is in shadow of sites since "), "{listed}");
    let series = |outcome: &str| {
        format!(
            "sesame_plugin_shadow_messages_total{{channel=\"central\",plugin=\"sites-new.wasm\",outcome=\"{outcome}\"}}"
        )
    };
    let page = get(port, "/metrics").unwrap().1;
    let outcomes = ["same", "differs", "failed", "passed-over"];
    assert_eq!(outcomes.map(|outcome| value(&page, &series(outcome))), ["1", "2", "0", "0"].map(Some));
    pair.receiver.run(&["plugin", "diff", "nothing"]).expect(1).says("(in shadow: sites-new)");
    pair.receiver.run(&["plugin", "diff", "sites-new", "central", "--json"]).expect(0).says("\"differences\":2");
    pair.receiver.run(&["check"]).says("plugin sites-new.wasm in shadow of sites");
    assert_eq!(receiver.stop(), 0);
    pair.receiver.run(&["plugin", "diff", "sites-new"]).expect(0).says(", when Sesame stopped: 3 calls");
}

#[test]
fn shadows_that_loop_trap_eat_memory_or_are_broken_hold_nothing_up() {
    let pair = pair();
    for (name, how) in [("loops", "loop"), ("traps", "unreachable"), ("eats", "eat-memory")] {
        let sidecar = format!("mode = \"shadow\"\ndeadline = \"600s\"\n[config]\nvalidate = \"{how}\"\n");
        install_as(&pair.receiver, name, "behaviour", &sidecar);
    }
    pair.receiver.folder.write("plugins.d/broken.toml", "mode = \"shadow\"\ndeadline = 5\n");
    put(&pair.receiver, "broken", b"nonsense");
    let bodies: Vec<String> = (0..200).map(|number| format!("Site: UKI-TEST\nNumber: {number}\n")).collect();
    send(&pair, &bodies.iter().map(String::as_str).collect::<Vec<_>>());
    let mut receiver = pair.receiver.start(&["receive"]);
    arrived(&pair, 200, 0);
    let listed = says(&pair.receiver, &["plugin", "list"], "messages passed over");
    assert!(listed.contains("it is in shadow, so no message waits for it"), "{listed}");
    assert!(!receiver.log().contains("until this is fixed"), "{}", receiver.last_words());
    // A shadow that works on a message stops nothing.
    assert_eq!(receiver.stop(), 0);
}

#[test]
fn a_plugin_goes_into_shadow_and_back_into_service() {
    let pair = pair();
    let receiver = pair.receiver.start(&["receive"]);
    in_service(&receiver, 1);
    send(&pair, &["Site: ELSEWHERE\n"]);
    arrived(&pair, 0, 1);
    pair.receiver.folder.write("plugins.d/sites.toml", format!("mode = \"shadow\"\n{LISTED}"));
    says(&pair.receiver, &["plugin", "list"], "plugin sites.wasm is in shadow of the pipeline since ");
    send(&pair, &["Site: ELSEWHERE\n"]);
    arrived(&pair, 1, 1);
    let shown = says(&pair.receiver, &["plugin", "diff", "sites.wasm"], "1 calls, 1 verdicts differ");
    assert!(shown.contains("accepted") && shown.contains("rejected"), "{shown}");
    // Its files may go without notice.
    std::fs::remove_file(pair.receiver.folder.join("plugins.d/sites.wasm")).unwrap();
    send(&pair, &["Site: ELSEWHERE\n"]);
    arrived(&pair, 2, 1);
    install(&pair.receiver, "sites", LISTED);
    in_service(&receiver, 3);
    send(&pair, &["Site: ELSEWHERE\n"]);
    arrived(&pair, 2, 2);
}

/// The files of `sites` in the plugin folder.
fn files(site: &Site) -> (Vec<u8>, String) {
    let path = |ending: &str| site.folder.join(format!("plugins.d/sites{ending}"));
    (std::fs::read(path(".wasm")).unwrap(), std::fs::read_to_string(path(".toml")).unwrap())
}

/// Waits until a component with these bytes serves.
fn serves(site: &Site, bytes: &[u8]) {
    let hash = ::message::hex(&::message::content_digest(bytes));
    says(site, &["plugin", "list", "--json"], &hash);
}

#[test]
fn rollback_returns_to_the_component_that_served_and_a_restart_keeps_it() {
    let pair = pair();
    let mut receiver = pair.receiver.start(&["receive"]);
    in_service(&receiver, 1);
    pair.receiver.run(&["plugin", "rollback", "sites"]).expect(1).says("no earlier component of plugin sites is kept");
    let good = files(&pair.receiver);
    let newer = [good.0.as_slice(), &[0, 3, 1, b'x', 1]].concat();
    install_as(&pair.receiver, "sites", "sites", OTHERS);
    put(&pair.receiver, "sites", &newer);
    serves(&pair.receiver, &newer);
    send(&pair, &["Site: UKI-TEST\n"]);
    arrived(&pair, 0, 1);
    let done = says(&pair.receiver, &["plugin", "rollback", "sites"], "plugin sites is version ");
    assert_eq!(done.matches("put back ").count(), 2, "{done}");
    assert_eq!(files(&pair.receiver), good);
    serves(&pair.receiver, &good.0);
    send(&pair, &["Site: UKI-TEST\n"]);
    arrived(&pair, 1, 1);
    assert_eq!(receiver.stop(), 0);
    put(&pair.receiver, "sites", b"nonsense");
    let receiver = pair.receiver.start(&["receive"]);
    send(&pair, &["Site: UKI-TEST\n", "Site: ELSEWHERE\n"]);
    arrived(&pair, 2, 2);
    assert!(receiver.log().contains("the last good one stays in service"), "{}", receiver.last_words());
    pair.receiver.run(&["plugin", "rollback", "sites"]).expect(0);
    assert_eq!(files(&pair.receiver), good);
}
