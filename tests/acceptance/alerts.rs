//! The shipped alert rules in a real Prometheus that scrapes a running Sesame: each alert fires for what it is for, and is
//! resolved when that is over.
//!
//! Hours are too long for a test, so the rules are loaded with shorter times, and with nothing else changed: [`quick`] says
//! which. What the rules say over hours and days is tested by `promtool test rules`.

mod expressions;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use ::sesame::service::FAMILIES;
use rustix::process::Signal;
use serde_json::Value;

use crate::acknowledgements;
use crate::full_disk::Disk;
use crate::gaps;
use crate::harness::{Folder, eventually};
use crate::metrics::{get, observed, value};
use crate::peers::broker::{shared, succeed};
use crate::peers::openssl::{self, Host, Key, RSA_2048, Validity, copy_into, pki};
use crate::peers::prometheus::{Prometheus, shipped};
use crate::peers::{Broker, Kind, require};
use crate::plugins::{behaving, install};
use crate::queues;
use crate::sesame::{Pair, Site, Way, own_destination, program};
use expressions::{Named, named};

const SENDER: &str = "sender.example.org";

/// Times of expressions that are too long for a test. Each text is in the rules as often as the number says.
const SHORTER: [(&str, &str, usize); 4] =
    [("36 * 3600", "4", 1), ("24 * 3600", "4", 1), ("> 3600", "> 4", 2), ("[1h]", "[20s]", 3)];

fn rules() -> String {
    std::fs::read_to_string(shipped("sesame-alerts.yml")).unwrap()
}

/// The shipped rules with each `for:` of a second, and the times of [`SHORTER`].
fn quick() -> String {
    let mut rules = rules();
    for (from, to, times) in SHORTER {
        assert_eq!(rules.matches(from).count(), times, "{from:?} in the rules");
        rules = rules.replace(from, to);
    }
    let short = |line: &str| match line.split_once("for: ") {
        Some((before, _)) if before.trim().is_empty() => format!("{before}for: 1s\n"),
        _ => format!("{line}\n"),
    };
    rules.lines().map(short).collect()
}

/// The names of all rules.
fn alerts() -> BTreeSet<String> {
    rules().lines().filter_map(|line| Some(line.trim().strip_prefix("- alert: ")?.to_owned())).collect()
}

fn instance(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn watching(port: u16) -> Prometheus {
    Prometheus::scraping(&[port], &quick())
}

#[test]
fn promtool_accepts_the_rules_and_they_hold_over_hours_and_days() {
    let rules = shipped("sesame-alerts.yml");
    succeed(Command::new(require("promtool")).args(["check", "rules"]).arg(&rules));
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/alerts/sesame-alerts-test.yml");
    succeed(Command::new(require("promtool")).args(["test", "rules"]).arg(tests));
}

#[test]
fn each_alert_is_made_to_fire_and_to_be_resolved() {
    let tests: String = include_str!("alerts.rs").split_whitespace().collect();
    for alert in alerts() {
        let has = |word: &str| tests.contains(&format!(".{word}(\"{alert}\""));
        assert!(has("fires"), "no test makes {alert} fire");
        assert!(has("resolves") || has("resolves_while"), "no test has {alert} resolved");
    }
}

#[test]
fn a_silent_signer_a_full_incoming_queue_and_rejections() {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Plain, "", "");
    let (outgoing, incoming) = (pair.outgoing(), pair.incoming());
    let signer = pair.sender.host.subject.clone();
    let (sender, at_sender) = observed(pair.sender);
    let (receiver, at_receiver) = observed(pair.receiver);
    let _sending = sender.start(&["run"]);
    let _receiving = receiver.start(&["run"]);
    let prometheus = Prometheus::scraping(&[at_sender, at_receiver], &quick());

    queues::add(&outgoing, b"Site: X\n");
    let (central, cpu) = ([("channel", "central"), ("signer", &signer)], [("channel", "cpu"), ("direction", "send")]);
    let alert = prometheus.fires("SesameSignerSilent", &central);
    let summary = alert["annotations"]["summary"].as_str().unwrap();
    assert!(summary.contains(&signer), "{summary}");
    prometheus.resolves_while("SesameSignerSilent", &central, || drop(queues::add(&outgoing, b"Site: X\n")));

    prometheus.fires("SesameIncomingNotTaken", &[("channel", "central"), ("queue", "incoming")]);
    prometheus.resolves_while("SesameIncomingNotTaken", &[], || {
        for element in queues::elements(&incoming) {
            std::fs::remove_dir_all(incoming.join(element.name)).unwrap();
        }
    });

    // The first of their code since the start: their counter was there with zero before.
    for _ in 0..40 {
        queues::add(&outgoing, b" \n");
    }
    prometheus.fires("SesameMessagesRejected", &cpu);
    prometheus.resolves("SesameMessagesRejected", &cpu);
}

#[test]
fn a_broker_that_is_away_and_a_sesame_that_does_not_run() {
    let broker = Broker::own(Kind::RabbitMq);
    let pair = Pair::on(&broker, Way::Plain, "", "");
    broker.declare(&pair.destination);
    let outgoing = pair.outgoing();
    let (sender, at_sender) = observed(pair.sender);
    let (receiver, at_receiver) = observed(pair.receiver);
    let _sending = sender.start(&["run"]);
    let mut receiving = receiver.start(&["run"]);
    eventually("the receiver to be ready", || (get(at_receiver, "/ready")?.0 == 200).then_some(()));
    let prometheus = Prometheus::scraping(&[at_sender, at_receiver], &quick());
    let (sends, receives) = (instance(at_sender), instance(at_receiver));
    let (sends, receives) = ([("instance", sends.as_str())], [("instance", receives.as_str())]);

    broker.kill();
    queues::add(&outgoing, b"Site: X\n");
    for at in [&sends, &receives] {
        prometheus.fires("SesameBrokerAway", at);
        prometheus.fires("SesameChannelNotReady", at);
    }
    prometheus.fires("SesameOutgoingWaits", &sends);
    broker.restart();
    for at in [&sends, &receives] {
        prometheus.resolves("SesameBrokerAway", at);
        prometheus.resolves("SesameChannelNotReady", at);
    }
    prometheus.resolves("SesameOutgoingWaits", &sends);

    assert!(prometheus.is_quiet("SesameDown", &[]));
    assert_eq!(receiving.stop(), 0);
    prometheus.fires("SesameDown", &receives);
    assert!(prometheus.is_quiet("SesameDown", &sends));
    let _receiving = receiver.start(&["run"]);
    prometheus.resolves("SesameDown", &receives);
}

#[test]
fn a_plugin_that_fails_and_one_that_is_broken() {
    let pair = behaving("[config]\nvalidate = \"panic\"\ntext = \"out of cheese\"\n", "");
    for _ in 0..10 {
        queues::add(&pair.outgoing(), b"Site: X\n");
    }
    pair.sender.run(&["send"]).expect(0);
    let incoming = pair.incoming();
    let (receiver, port) = observed(pair.receiver);
    let receiving = receiver.start(&["run"]);
    let prometheus = watching(port);
    let central = [("channel", "central")];
    prometheus.fires("SesameChannelPaused", &central);
    prometheus.fires("SesameDeferredWaits", &central);
    install(&receiver, "behaviour", "");
    receiving.signal(Signal::HUP);
    eventually("the messages", || (queues::count(&incoming) == 10).then_some(()));
    prometheus.resolves("SesameChannelPaused", &central);
    prometheus.resolves("SesameDeferredWaits", &central);

    let broken = receiver.folder.write("plugins.d/zz-broken.wasm", "no component");
    let broken_one = [("channel", "central"), ("state", "broken")];
    let alert = prometheus.fires("SesamePluginOutOfService", &broken_one);
    let plugin = alert["labels"]["plugin"].as_str().unwrap();
    assert!(plugin.contains("zz-broken"), "{plugin}");
    std::fs::remove_file(broken).unwrap();
    receiver.run(&["plugin", "remove", "zz-broken"]).expect(0);
    prometheus.resolves("SesamePluginOutOfService", &central);
}

/// A certificate of the site's own that ends in so many days.
fn ending_in(days: &str) -> Host {
    pki().special(SENDER, RSA_2048, &[], &["-days", days])
}

fn renew(site: &Site, host: &Host) {
    std::fs::copy(&host.key, &site.host.key).unwrap();
    std::fs::copy(&host.certificate, &site.host.certificate).unwrap();
}

#[test]
fn certificates_that_end_and_a_revocation_list_that_is_late() {
    let authority = openssl::another("Listing CA");
    authority.publish_late_crl();
    let mut site = Site::with(ending_in("20"));
    site.host = copy_into(site.folder.path(), &site.host);
    let site = site.trusting(&[&pki().anchors(), &authority.anchors()]);
    let site = site.on(shared(Kind::RabbitMq), Way::Plain).sending("cpu", &own_destination(), "");
    let (site, port) = observed(site);
    let _sending = site.start(&["run"]);
    let prometheus = watching(port);
    let own = site.host.certificate.display().to_string();
    let own = [("use", "own"), ("file", own.as_str())];
    prometheus.fires("SesameCertificateExpiresSoon", &own);
    assert!(prometheus.is_quiet("SesameCertificateExpired", &[]));
    renew(&site, &pki().issue(SENDER, Key::Rsa2048, Validity::Over));
    prometheus.fires("SesameCertificateExpired", &own);
    prometheus.resolves("SesameCertificateExpiresSoon", &own);
    renew(&site, &ending_in("40"));
    prometheus.resolves("SesameCertificateExpired", &own);
    assert!(prometheus.is_quiet("SesameCertificateExpiresSoon", &own));

    // The certificate alone is renewed, and its key is forgotten.
    assert!(prometheus.is_quiet("SesameFileUnusable", &[]));
    let next = ending_in("50");
    std::fs::copy(&next.certificate, &site.host.certificate).unwrap();
    prometheus.fires("SesameFileUnusable", &own);
    site.run(&["status"]).expect(1).says("changed and cannot be used").says("copy the key of that certificate there");
    renew(&site, &next);
    prometheus.resolves("SesameFileUnusable", &own);

    let alert = prometheus.fires("SesameCrlStale", &[]);
    let file = alert["labels"]["file"].as_str().unwrap();
    assert!(file.starts_with(&authority.anchors().display().to_string()), "{file}");
    authority.publish_crl();
    prometheus.resolves("SesameCrlStale", &[]);
    for family in
        ["sesame_crl_expiry_seconds", "sesame_certificate_expiry_seconds", "sesame_file_last_reload_successful"]
    {
        assert!(labels_are_those_of_the_table(&get(port, "/metrics").unwrap().1).contains(family));
    }
}

#[test]
fn a_disk_that_fills() {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Plain, "", "");
    let disk = Disk::mounted_at(&pair.receiver.spool("central"), 96);
    let spool = pair.receiver.spool("central").display().to_string();
    let (receiver, port) = observed(pair.receiver.changed("min-free = 0", "min-free = \"20MiB\""));
    let mut receiving = receiver.start(&["run"]);
    let prometheus = watching(port);
    let there = [("directory", spool.as_str())];
    eventually("a look at the disk", || {
        value(&get(port, "/metrics")?.1, &format!("sesame_disk_free_bytes{{directory={spool:?}}}")).map(|_| ())
    });
    assert!(prometheus.is_quiet("SesameDiskNearMinFree", &[]));
    disk.fill(30 << 10);
    prometheus.fires("SesameDiskNearMinFree", &there);
    let ballast = disk.fill(10 << 10);
    prometheus.fires("SesameDiskFull", &there);
    prometheus.resolves("SesameDiskNearMinFree", &there);
    std::fs::remove_file(ballast).unwrap();
    prometheus.resolves("SesameDiskFull", &there);
    prometheus.resolves("SesameDiskNearMinFree", &there);
    assert_eq!(receiving.stop(), 0);
    drop(receiving);
    drop(disk);
}

#[test]
fn acknowledgements_that_do_not_come() {
    let (pair, _) = acknowledgements::pair(shared(Kind::RabbitMq), Way::Plain, "required", "repeat-after = \"1s\"\n");
    let outgoing = pair.outgoing();
    let (sender, port) = observed(pair.sender);
    let _sending = sender.start(&["run"]);
    let prometheus = watching(port);
    queues::add(&outgoing, b"Site: X\n");
    let cpu = [("channel", "cpu")];
    // After five repeats, in a minute.
    prometheus.fires("SesameAcknowledgementsOverdue", &cpu);
    let _receiving = pair.receiver.start(&["run"]);
    prometheus.resolves("SesameAcknowledgementsOverdue", &cpu);
}

#[test]
fn messages_that_are_missing() {
    let broker = shared(Kind::RabbitMq);
    let pair = gaps::numbered(broker);
    gaps::send(&pair, 1);
    assert_eq!(gaps::receiver_until(&pair, 1).stop(), 0);
    gaps::send(&pair, 2);
    let lost = gaps::take(&pair, broker, 2);
    gaps::send(&pair, 1);
    let (receiver, port) = observed(pair.receiver);
    let _receiving = receiver.start(&["run"]);
    let prometheus = watching(port);
    let central = [("channel", "central")];
    let alert = prometheus.fires("SesameMessagesMissing", &central);
    assert!(alert["annotations"]["summary"].as_str().unwrap().starts_with("2 messages"), "{alert}");
    let pair = Pair { receiver, ..pair };
    gaps::put(&pair, broker, &lost);
    prometheus.resolves("SesameMessagesMissing", &central);
}

/// The names of the metrics on a page. Fails where a series has other labels than the table gives its metric.
fn labels_are_those_of_the_table(page: &str) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    for line in page.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let series = named(line.rsplit_once(' ').unwrap().0).remove(0);
        let Some((name, labels)) = known(&series.metric) else { panic!("{line} is in no table") };
        assert_eq!(series.labels, labels, "{line}");
        found.insert(name);
    }
    found
}

/// The metric of a series, and all labels that Sesame gives the series.
fn known(series: &str) -> Option<(&'static str, BTreeSet<String>)> {
    FAMILIES.iter().find_map(|family| {
        let name = family.full_name();
        let mut labels: BTreeSet<String> = family.labels.iter().map(|label| (*label).to_owned()).collect();
        let part = series.strip_prefix(&name)?;
        let is_part = match family.kind {
            observe::Kind::Histogram => ["_bucket", "_sum", "_count"].contains(&part),
            _ => part.is_empty(),
        };
        if part == "_bucket" {
            labels.insert("le".to_owned());
        }
        is_part.then(|| (&*name.leak(), labels))
    })
}

/// Fails where an expression names a metric or a label that no page has, or a legend a label that is not there.
fn is_known(expression: &str, shown: &[&str]) {
    let all = named(expression);
    assert!(!all.is_empty(), "{expression} names no metric");
    let mut offered: BTreeSet<String> = ["job", "instance"].map(str::to_owned).into();
    for Named { metric, labels } in &all {
        if metric == "up" {
            continue;
        }
        let Some((_, known)) = known(metric) else { panic!("{metric} of {expression} is in no table") };
        let of_prometheus = |label: &&String| ["job", "instance"].contains(&label.as_str());
        for label in labels.iter().filter(|label| !of_prometheus(label)) {
            assert!(known.contains(label), "{metric} has no label {label}: {expression}");
        }
        offered.extend(known);
    }
    for label in expressions::grouped(expression).iter().map(String::as_str).chain(shown.iter().copied()) {
        assert!(offered.contains(label), "no metric of {expression} has the label {label}");
    }
}

#[test]
fn rules_name_what_a_running_sesame_shows() {
    let prometheus = Prometheus::scraping(&[], &rules());
    let rules = prometheus.rules();
    assert_eq!(rules.len(), alerts().len());
    for rule in &rules {
        let annotations = &rule["annotations"];
        let said = ["summary", "description"].map(|name| annotations[name].as_str().unwrap().to_owned()).concat();
        let shown = expressions::placeholders(&said, "$labels.");
        is_known(rule["query"].as_str().unwrap(), &shown.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(["warning", "critical"].map(Value::from).contains(&rule["labels"]["severity"]), "{rule}");
        assert!(annotations["runbook"].as_str().unwrap().starts_with("alerts.md#"), "{rule}");
    }
}

#[test]
fn the_dashboard_names_what_a_running_sesame_shows_and_no_other_host() {
    let text = std::fs::read_to_string(shipped("sesame-dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    assert!(!text.contains("://"), "a dashboard that loads from another host");
    let panels: Vec<&Value> =
        dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row").collect();
    let mut drawn = BTreeSet::new();
    for panel in &panels {
        for target in panel["targets"].as_array().unwrap() {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{target}");
            let expression = target["expr"].as_str().unwrap().replace("$__rate_interval", "5m");
            let shown = expressions::placeholders(target["legendFormat"].as_str().unwrap(), "");
            is_known(&expression, &shown.iter().map(String::as_str).collect::<Vec<_>>());
            drawn.extend(named(&expression).iter().filter_map(|named| Some(known(&named.metric)?.0)));
        }
    }
    let all: BTreeSet<&str> = FAMILIES.iter().map(|family| &*family.full_name().leak()).collect();
    let missing: Vec<_> = all.difference(&drawn).collect();
    assert!(missing.is_empty(), "the dashboard does not draw {missing:?}");
    let variables: Vec<&str> =
        dashboard["templating"]["list"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(variables, ["datasource", "instance", "channel"]);
}

#[test]
fn a_page_has_the_labels_of_the_table() {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Plain, "", "");
    queues::add(&pair.outgoing(), b"Site: X\n");
    let incoming = pair.incoming();
    let (sender, at_sender) = observed(pair.sender);
    let (receiver, at_receiver) = observed(pair.receiver);
    let _sending = sender.start(&["run"]);
    let _receiving = receiver.start(&["run"]);
    eventually("the message", || (queues::count(&incoming) == 1).then_some(()));
    let all: BTreeSet<&str> = FAMILIES.iter().map(|family| &*family.full_name().leak()).collect();
    eventually("all metrics", || {
        let pages = [at_sender, at_receiver].map(|port| get(port, "/metrics").unwrap().1);
        let found: BTreeSet<&str> = pages.iter().flat_map(|page| labels_are_those_of_the_table(page)).collect();
        // The authorities of the tests have no revocation lists; see the test of certificates. For shadows see `shadow`.
        let elsewhere = ["sesame_crl_expiry_seconds", "sesame_plugin_shadow_messages_total"];
        all.iter().all(|name| found.contains(name) || elsewhere.contains(name)).then_some(())
    });
}

#[test]
fn packages_have_rules_dashboard_and_the_page_about_them() {
    let folder = Folder::new("stage");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    succeed(Command::new(root.join("packaging/stage")).arg(program()).arg(folder.path().join("root")));
    for name in ["sesame-alerts.yml", "sesame-dashboard.json", "prometheus.yml"] {
        let staged = folder.join(format!("root/usr/share/sesame/observe/{name}"));
        assert_eq!(std::fs::read(staged).unwrap(), std::fs::read(shipped(name)).unwrap(), "{name}");
    }
    assert!(folder.join("root/usr/share/doc/sesame/alerts.md").exists());
    let manifest = std::fs::read_to_string(root.join("host/sesame/Cargo.toml")).unwrap();
    let assets = manifest.matches("target/release/packages/root/usr/share/sesame/observe/*").count();
    assert_eq!(assets, 2, "the .deb and the .rpm each name the folder");
}
