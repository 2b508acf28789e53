//! The stock plugins in the path of real messages: what record teams and sites switch on by a name.

use std::fmt::Write as _;
use std::path::Path;

use crate::harness::{Folder, eventually};
use crate::languages::{done, sesame};
use crate::peers::Kind;
use crate::peers::broker::shared;
use crate::peers::python;
use crate::plugins::{bodies, one_in};
use crate::queues;
use crate::sesame::{Pair, Site, Way, encrypted_for, own_destination, recipient};

const HEADER: &str = "APEL-individual-job-message: v0.3\n";

/// One job record of a site, whole and right.
pub(crate) fn job(site: &str, number: u32) -> String {
    format!(
        "Site: {site}\nSubmitHost: ce.example.org:9619/cluster-short\nLocalJobId: {number}\nLocalUserId: u{number}\n\
         GlobalUserName: /C=UK/O=eScience/CN=user {number}\nVO: auriga\nWallDuration: 3600\nCpuDuration: 3500\n\
         Processors: 1\nNodeCount: 1\nStartTime: 1700000000\nEndTime: 1700003600\nInfrastructureType: grid\n\
         ServiceLevelType: hepspec\nServiceLevel: 10.5\n"
    )
}

pub(crate) fn message(records: &[String]) -> Vec<u8> {
    let mut message = HEADER.to_owned();
    records.iter().for_each(|record| writeln!(message, "{record}%%").unwrap());
    message.into_bytes()
}

fn records_in(body: &str) -> usize {
    body.matches("LocalJobId: ").count()
}

#[test]
fn a_large_message_is_sent_in_parts_within_the_size_on_the_wire() {
    let broker = shared(Kind::RabbitMq);
    for encrypted in ["", &encrypted_for(&recipient())] {
        let destination = own_destination();
        let more = format!(
            "{encrypted}pipeline = [\"builtin:any-record\", \"builtin:split-records\"]\n\
             [plugin.\"builtin:split-records\".config]\nmax-wire-bytes = 40_000\n"
        );
        let site = Site::of("sender.example.org").on(broker, Way::Plain).sending("cpu", &destination, &more);
        let records: Vec<String> = (0..400).map(|number| job("UKI-TEST", number)).collect();
        let whole = message(&records);
        queues::add(&site.outgoing("cpu"), &whole);
        site.run(&["send"]).expect(0);
        let parts = broker.waiting(&destination);
        assert!((4..=12).contains(&parts), "{parts} parts of {} bytes", whole.len());
        let frames = python::take(&Way::Plain.link(broker, &site.host), &destination, parts);
        let sizes: Vec<usize> = frames.iter().map(|frame| frame.body.len()).collect();
        assert!(sizes.iter().all(|size| *size <= 40_000), "{sizes:?}");
        assert!(sizes.iter().filter(|size| **size > 35_000).count() >= parts - 1, "parts are too small: {sizes:?}");
    }
}

#[test]
fn the_parts_of_a_message_hold_each_record_once() {
    let more = "pipeline = [\"builtin:split-records\"]\n[plugin.\"builtin:split-records\".config]\nmax-records = 30\n";
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Plain, more, "pipeline = [\"builtin:any-record\"]\n");
    let records: Vec<String> = (0..100).map(|number| job("UKI-TEST", number)).collect();
    queues::add(&pair.outgoing(), &message(&records));
    pair.sender.run(&["send"]).expect(0);
    let _receiver = pair.receiver.start(&["receive"]);
    eventually("four parts", || (queues::count(&pair.incoming()) == 4).then_some(()));
    let bodies = bodies(&pair.incoming());
    assert!(bodies.iter().all(|body| body.starts_with(HEADER)));
    let mut counts: Vec<usize> = bodies.iter().map(|body| records_in(body)).collect();
    counts.sort_unstable();
    assert_eq!(counts, [10, 30, 30, 30]);
    for record in &records {
        assert_eq!(bodies.iter().filter(|body| body.contains(record.as_str())).count(), 1, "{record}");
    }
}

#[test]
fn one_bad_record_is_refused_and_the_others_go_on() {
    let more = "pipeline = [\"builtin:salvage-records\"]\n";
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Plain, more, "");
    let mut records: Vec<String> = (0..50).map(|number| job("UKI-TEST", number)).collect();
    records[20] = records[20].replace("CpuDuration: 3500", "CpuDuration: many");
    queues::add(&pair.outgoing(), &message(&records));
    pair.sender.run(&["send"]).expect(1);
    let _receiver = pair.receiver.start(&["receive"]);
    assert_eq!(records_in(&one_in(&pair.incoming()).text("body")), 49);
    let refused = one_in(&pair.sender.refused("cpu"));
    assert_eq!(refused.text("body").matches(&records[20]).count(), 1);
    assert_eq!(records_in(&refused.text("body")), 1);
    let findings: serde_json::Value = serde_json::from_slice(refused.bytes("findings")).unwrap();
    let finding = &findings[0];
    assert_eq!((&finding["record-number"], &finding["field"]), (&21.into(), &"CpuDuration".into()), "{findings}");
    assert_eq!(finding["value"], "many", "{findings}");
}

#[test]
fn types_of_records_have_queues_of_their_own() {
    let receive = "pipeline = [\"builtin:route-by-type\"]\n[receive.central.route]\ncloud = \"incoming-cloud\"\n\
                   [plugin.\"builtin:route-by-type\".config.routes]\ncloud = \"cloud\"\ncloud-summary = \"cloud\"\n";
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Plain, "", receive);
    let cloud = "APEL-cloud-message: v0.4\nVMUUID: 1\nSiteName: ALPINE-CLOUD\n%%\n";
    queues::add(&pair.outgoing(), cloud.as_bytes());
    queues::add(&pair.outgoing(), &message(&[job("UKI-TEST", 1)]));
    pair.sender.run(&["send"]).expect(0);
    let _receiver = pair.receiver.start(&["receive"]);
    assert_eq!(one_in(&pair.receiver.queue("central", "incoming-cloud")).text("body"), cloud);
    assert_eq!(one_in(&pair.incoming()).text("body"), job_message_text(1));
}

/// The messages that `plugin-sdk/tests/records` keeps with their verdicts, through the component and with its configuration.
#[test]
fn any_record_and_salvage_records_have_the_verdicts_of_the_loader() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for plugin in ["any-record", "salvage-records"] {
        let component = sources.join(format!("plugins/{plugin}.wasm"));
        for setting in ["refuse", "pass"] {
            let folder = Folder::new("verdicts");
            for entry in std::fs::read_dir(sources.join("plugin-sdk/tests/records/verdicts")).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap();
                let unknown = name.ends_with(".not-recognised");
                let expected = match (unknown, name.ends_with(".accept")) {
                    (false, true) => "verdict = \"accepted\"\n".to_owned(),
                    (true, _) if setting == "pass" => finding("accepted", "warning", "message.type-not-recognised"),
                    (true, _) => finding("invalid", "error", "message.type-not-recognised"),
                    (false, false) if name.starts_with("job") => finding("invalid", "error", "job.missing-field"),
                    (false, false) => finding("invalid", "error", "message.inexact-header"),
                };
                folder.write(&format!("cases/{name}/message"), std::fs::read(&path).unwrap());
                folder.write(&format!("cases/{name}/expected.toml"), expected);
                folder.write(&format!("cases/{name}/config.toml"), format!("unknown-types = \"{setting}\"\n"));
            }
            let cases = folder.join("cases");
            let arguments = ["plugin", "test", component.to_str().unwrap(), cases.to_str().unwrap()];
            let said = done(sesame(folder.path(), &arguments));
            assert!(said.contains("20 passed, 0 failed"), "{plugin}, {setting}: {said}");
        }
    }
}

fn finding(verdict: &str, severity: &str, code: &str) -> String {
    format!("verdict = {verdict:?}\n[[finding]]\nseverity = {severity:?}\ncode = {code:?}\n")
}

fn job_message_text(number: u32) -> String {
    String::from_utf8(message(&[job("UKI-TEST", number)])).unwrap()
}

#[test]
fn a_signer_reports_only_for_its_own_sites() {
    let site = Site::of("sender.example.org");
    let receive = format!(
        "pipeline = [\"builtin:site-binding\"]\n[plugin.\"builtin:site-binding\".config.signers]\n{:?} = [\"UKI-TEST\"]\n",
        site.host.subject
    );
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Plain, "", &receive);
    queues::add(&pair.outgoing(), &message(&[job("UKI-TEST", 1)]));
    queues::add(&pair.outgoing(), &message(&[job("UKI-TEST", 2), job("ELSEWHERE", 3)]));
    pair.sender.run(&["send"]).expect(0);
    let receiver = pair.receiver.start(&["receive"]);
    let refused = one_in(&pair.reject());
    assert!(refused.text("body").contains("Site: ELSEWHERE"));
    let findings: serde_json::Value = serde_json::from_slice(refused.bytes("findings")).unwrap();
    assert_eq!(findings[0]["record-number"], 2, "{findings}");
    assert_eq!(one_in(&pair.incoming()).text("body"), job_message_text(1));
    assert!(!receiver.log().contains("ELSEWHERE"), "{}", receiver.log());
}

#[test]
fn names_of_users_are_withheld_and_fields_are_set_before_a_message_leaves() {
    let more = "pipeline = [\"builtin:pseudonymise\", \"builtin:set-fields\"]\n\
                [plugin.\"builtin:set-fields\".config.set]\nInfrastructureDescription = \"APEL-HTCONDOR-CE\"\n\
                [plugin.\"builtin:set-fields\".config.map.VO]\nauriga = \"auriga.example.org\"\n";
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Plain, more, "pipeline = [\"builtin:any-record\"]\n");
    queues::add(&pair.outgoing(), &message(&[job("UKI-TEST", 7)]));
    pair.sender.run(&["send"]).expect(0);
    let _receiver = pair.receiver.start(&["receive"]);
    let body = one_in(&pair.incoming()).text("body");
    assert!(!body.contains("user 7") && body.contains("GlobalUserName: withheld"), "{body}");
    assert!(
        body.contains("VO: auriga.example.org\n") && body.contains("InfrastructureDescription: APEL-HTCONDOR-CE\n")
    );
}
