//! Mistakes in the configuration are reported all together, each with its key and a remedy, and end with status 78.

use crate::peers::scripted::unreachable_broker;
use crate::sesame::{Site, Way};

fn sender() -> Site {
    Site::of("sender.example.org").at(&[&unreachable_broker()], Way::Plain, "")
}

#[test]
fn all_mistakes_are_reported_together() {
    let site = sender().sending("cpu", "/queue/x", "windw = 3\nformat = \"dirqq\"\nbroker-list = []\n");
    let site = site.receiving("central", "/queue/x", &[], "prefetch = 0\nencryption = \"perhaps\"\n");
    let outcome = site.run(&["run"]).expect(78);
    for key in [
        "send.cpu.windw",
        "send.cpu.format",
        "send.cpu.broker-list",
        "receive.central.prefetch",
        "receive.central.encryption",
    ] {
        assert!(outcome.all().contains(key), "{key} is not reported:\n{}", outcome.all());
    }
    assert!(outcome.all().contains("sesame.toml"), "the file is not named:\n{}", outcome.all());
    assert!(outcome.all().contains("window"), "the key that was meant is not told:\n{}", outcome.all());
    assert!(!site.queue("central", "incoming").exists(), "something was made");
}

#[test]
fn files_that_are_not_there_are_reported() {
    let site = sender().sending("cpu", "/queue/x", "recipient-certificate = \"/nowhere/certificate.pem\"\n");
    site.run(&["send"]).expect(78).says("/nowhere/certificate.pem");
}

#[test]
fn a_configuration_that_is_not_there_or_is_no_toml() {
    let site = sender();
    let missing = site.folder.join("other.toml").display().to_string();
    site.run(&["check", "--config", &missing]).expect(78).says(&missing);
    let broken = site.folder.write("broken.toml", "[send.cpu\nqueue = 1\n").display().to_string();
    site.run(&["check", "--config", &broken]).expect(78).says("broken.toml:1: ");
}

#[test]
fn a_check_in_json_gives_each_mistake_as_a_finding() {
    let site = sender().sending("cpu", "/queue/x", "windw = 3\nformat = \"dirqq\"\n");
    let output = site.run(&["check", "--json"]).expect(78).output;
    let found: Vec<serde_json::Value> = output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(found.len(), 3, "{output}");
    for (finding, key) in found.iter().zip(["send.cpu.windw", "send.cpu.format"]) {
        assert_eq!((&finding["level"], &finding["subject"]), (&"error".into(), &"configuration".into()), "{output}");
        assert!(output.contains(key), "{key} in {output}");
    }
    assert_eq!(found[2]["errors"], 2, "{output}");
}

#[test]
fn a_channel_that_is_not_there() {
    let outcome = sender().sending("cpu", "/queue/x", "").run(&["send", "gpu"]);
    assert_ne!(outcome.code, 0);
    outcome.says("gpu").says("cpu");
}

#[test]
fn a_key_that_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = sender();
    let own = crate::peers::openssl::copy_into(site.folder.path(), &site.host);
    std::fs::set_permissions(&own.key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let key = own.key.display().to_string();
    let site = Site::with(own).at(&[&unreachable_broker()], Way::Plain, "").sending("cpu", "/queue/x", "");
    site.run(&["send", "--deadline", "1s"]).expect(78).says(&key).says("chmod");
}

#[test]
fn a_wrong_command_line_has_status_2() {
    let outcome = sender().run(&["sned"]).expect(2);
    outcome.says("send");
}

#[test]
fn a_bad_configuration_on_reload_changes_nothing() {
    let site =
        Site::of("sender.example.org").on(crate::peers::broker::shared(crate::peers::Kind::RabbitMq), Way::Plain);
    let destination = crate::sesame::own_destination();
    let site = site.sending("cpu", &destination, "");
    let mut sender = site.start(&["send", "--watch"]);
    let sent = |body: &[u8]| {
        crate::queues::add(&site.outgoing("cpu"), body);
        crate::harness::eventually("the message to be sent", || {
            crate::queues::outgoing(&site.outgoing("cpu")).is_empty().then_some(())
        });
    };
    sent(b"Site: 1\n");
    site.folder.write("sesame.toml", "nonsense = [\n");
    sender.signal(rustix::process::Signal::HUP);
    crate::harness::eventually("a word about the bad file", || sender.log().contains("sesame.toml").then_some(()));
    sent(b"Site: 2\n");
    assert_eq!(sender.stop(), 0);
}

#[test]
fn a_reload_says_which_changes_take_a_restart() {
    let site =
        Site::of("sender.example.org").on(crate::peers::broker::shared(crate::peers::Kind::RabbitMq), Way::Plain);
    let site = site.sending("cpu", &crate::sesame::own_destination(), "");
    let mut sender = site.start(&["send", "--watch"]);
    crate::harness::eventually("the start", || sender.log().contains("running").then_some(()));
    let file = site.folder.path().join("sesame.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains("[limits]"), "{text}");
    site.folder.write("sesame.toml", format!("{text}\n[limits]\nworkers = 7\n"));
    sender.signal(rustix::process::Signal::HUP);
    let line = crate::harness::eventually("a word about the restart", || {
        sender.log().lines().find(|line| line.contains("restart Sesame")).map(str::to_owned)
    });
    assert!(line.contains("WARN") && line.contains("limits.workers"), "{line}");
    crate::harness::eventually("the reload", || sender.log().contains("configuration reloaded").then_some(()));
    assert_eq!(sender.stop(), 0);
}
