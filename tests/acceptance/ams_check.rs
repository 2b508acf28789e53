//! `sesame check` says what AMS would refuse, before a message is lost sight of.

use testkit::ams::{Fault, Route};

use crate::harness::eventually;
use crate::peers::ams::{Ams, PROJECT, SUBSCRIPTION, TOPIC};
use crate::peers::openssl::{Host, RSA_2048, copy_into, pki};
use crate::sesame::{Pair, Site, Way, encrypted_for};

/// A table `[broker.test.credential]`.
fn own_credential(host: &Host) -> String {
    format!("[broker.test.credential]\ncertificate = {:?}\nkey = {:?}\n", host.certificate, host.key)
}

#[test]
fn check_says_that_topic_and_subscription_can_be_used() {
    let ams = Ams::start();
    ams.server.put(PROJECT, TOPIC, &[], b"waits");
    let pair = Pair::at(&ams, "", "");
    pair.sender.run(&["check"]).expect(0).says("topic jobs is there");
    let words =
        "subscription repository of /projects/accounting/topics/jobs: 1 messages wait; acknowledged within 10 s";
    pair.receiver.run(&["check"]).expect(0).says(words);
    assert_eq!(ams.server.offset(PROJECT, SUBSCRIPTION), Some(0), "check took a message");
}

#[test]
fn check_names_what_is_not_there() {
    let ams = Ams::start();
    let site = Site::of("sender.example.org").on_ams(&ams).sending("cpu", "other", "");
    site.run(&["check"]).expect(1).says("other").says("does not exist (404)");
    let site = Site::of("receiver.example.org").on_ams(&ams).pulling("central", "other", &["/CN=a"], "");
    site.run(&["check"]).expect(1).says("other").says("does not exist (404)");
}

#[test]
fn check_looks_at_the_topics_and_subscriptions_of_acknowledgements() {
    let ams = Ams::start();
    ams.server.create(PROJECT, "acknowledgements", "acknowledgements-site", "site", "secret");
    let sends = |from: &str| format!("[send.cpu.acknowledgements]\nfrom = {from:?}\nreceivers = [\"/CN=a\"]\n");
    let gives = |to: &str| {
        format!("[receive.central.acknowledgements]\n\"{}\" = {to:?}\n", pki().host("sender.example.org").subject)
    };
    let pair = Pair::at(&ams, &sends("acknowledgements-site"), &gives("acknowledgements"));
    let words = "ok       send.cpu.acknowledgements: subscription acknowledgements-site of ";
    pair.sender.run(&["check"]).expect(0).says(words);
    let words = "ok       receive.central.acknowledgements: topic acknowledgements is there";
    pair.receiver.run(&["check"]).expect(0).says(words);
    let pair = Pair::at(&ams, &sends("other"), &gives("other"));
    for (site, subject) in [(&pair.sender, "send.cpu"), (&pair.receiver, "receive.central")] {
        let error = format!("error    {subject}.acknowledgements: ");
        site.run(&["check"]).expect(1).says(&error).says("does not exist (404)");
    }
    let pair = Pair::at(&ams, &sends(SUBSCRIPTION), &gives(TOPIC));
    for (site, one, other) in [(&pair.sender, SUBSCRIPTION, TOPIC), (&pair.receiver, TOPIC, SUBSCRIPTION)] {
        site.run(&["check"]).expect(1).says(&format!("{one} is where the records of {other} go"));
    }
}

#[test]
fn check_says_that_the_certificate_has_no_user() {
    let ams = Ams::start();
    let stranger = Site::of("stranger.example.org").at_ams(&ams).sending("cpu", TOPIC, "");
    stranger.run(&["check"]).expect(1).says("no token from").says("404");
}

#[test]
fn check_reads_the_token_of_a_file_that_only_its_owner_may_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let ams = Ams::start();
    let site = Site::of("stranger.example.org");
    let file = site.folder.write("token", "secret\n");
    let site = site.with_ams(&format!("{}token-file = {file:?}\n", ams.lines())).sending("cpu", TOPIC, "");
    let mode = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    site.run(&["check"]).expect(1).says("may be read or written by others than its owner: run chmod 600");
    mode(0o600);
    site.run(&["check"]).expect(0).says("topic jobs is there");
    std::fs::write(&file, "another\n").unwrap();
    let said = site.run(&["check"]).expect(1).says("does not accept the token (401)").all();
    assert!(!said.contains("another"), "the token was shown: {said}");
    assert!(
        !said.contains("AMS looks up") && !said.contains("CRL distribution point"),
        "AMS sees no certificate: {said}"
    );
    assert_eq!(ams.server.counters().tokens, 0);
}

#[test]
fn check_warns_of_a_user_who_may_not_look() {
    let ams = Ams::start();
    let pair = Pair::at(&ams, "", "");
    ams.server.fault(Route::Topic, Fault::error(403, "Access to this resource is forbidden", "FORBIDDEN"));
    pair.sender.run(&["check"]).says("publishing may be allowed all the same");
}

#[test]
fn explain_says_what_ams_would_not_store() {
    let ams = Ams::start();
    let pair = Pair::at(&ams, "", "");
    let file = |bytes: usize| {
        let body = "Site: X\n".repeat(bytes / 8);
        pair.sender.folder.write("message", body).display().to_string()
    };
    pair.sender.run(&["explain", "cpu", &file(500_000)]).expect(0).says("jobs");
    let refused = pair.sender.run(&["explain", "cpu", &file(900_000)]).expect(1);
    refused.says("more than max-message, 1000000").says("builtin:split-records splits messages");
}

#[test]
fn check_shows_the_dn_that_ams_looks_up_and_what_ams_misses_in_the_certificate() {
    let ams = Ams::start();
    let pair = Pair::at(&ams, "", "");
    let name =
        |host: &Host, name: &str| format!("{} as CN={name},OU=Hosts,O=Sesame,C=UK: ", host.certificate.display());
    let no_crl = |host: &Host| format!("{} has no CRL distribution point", host.certificate.display());
    let own = &pair.sender.host;
    let outcome = pair.sender.run(&["check"]).expect(0);
    let said = outcome.says(&name(own, "sender.example.org")).says(&no_crl(own)).all();
    assert_eq!(said.matches("distribution point").count(), 1, "{said}");

    let names_crl =
        ("subjectKeyIdentifier = hash", "subjectKeyIdentifier = hash\ncrlDistributionPoints = URI:http://ca/crl");
    let tls = pki().special("tls.example.org", RSA_2048, &[names_crl], &[]);
    ams.admit(&tls);
    let site = Site::of("sender.example.org").on_ams_with(&ams, &own_credential(&tls)).sending("cpu", TOPIC, "");
    let said = site.run(&["check"]).expect(0).says(&name(&tls, "tls.example.org")).all();
    assert!(!said.contains("distribution point"), "{said}");
    assert!(!said.contains(&name(own, "sender.example.org")), "AMS sees only the credential of the broker: {said}");
}

#[test]
fn check_shows_the_version_of_ams_and_needs_none() {
    let ams = Ams::start();
    let pair = Pair::at(&ams, "", "");
    pair.sender.run(&["check"]).expect(0).says(" answers, AMS 1.7.0");
    ams.server.set_lasting_fault(
        Route::Version,
        Some(Fault::error(403, "Access to this resource is forbidden", "FORBIDDEN")),
    );
    pair.sender.run(&["check"]).expect(0).says(" answers, AMS of an unknown version").says("topic jobs is there");
}

#[test]
fn check_warns_of_a_broker_credential_without_client_auth_at_either_kind_of_broker() {
    let purposes = ("extendedKeyUsage = serverAuth, clientAuth", "extendedKeyUsage = serverAuth");
    let server_only = pki().special("tls.example.org", RSA_2048, &[purposes], &[]);
    let words = format!("{} lacks clientAuth in its extended key usage", server_only.certificate.display());
    let site = || Site::of("sender.example.org");
    let ams = site().with_ams(&format!("{}{}", Ams::start().lines(), own_credential(&server_only)));
    let stomp = site().at(&["localhost:1"], Way::Tls, &own_credential(&server_only));
    for site in [ams.sending("cpu", TOPIC, ""), stomp.sending("cpu", "/queue/cpu", "")] {
        let said = site.run(&["check", "--offline"]).expect(0).says(&words).all();
        assert_eq!(said.matches("clientAuth in its").count(), 1, "only this certificate lacks it: {said}");
    }
}

/// A sender with a certificate of its own for each purpose, all in files that a test may replace.
struct Renewed {
    site: Site,
    hosts: [Host; 3],
}

impl Renewed {
    fn new(ams: &Ams) -> Self {
        let names = ["sender.example.org", "tls.example.org", "receiver.example.org"];
        let mut site = Site::of(names[0]);
        let hosts = names.map(|name| {
            let folder = site.folder.join(name);
            std::fs::create_dir(&folder).unwrap();
            copy_into(&folder, &pki().host(name))
        });
        site.host = hosts[0].clone();
        for name in ["new.example.org", names[1]] {
            ams.admit(&pki().host(name));
        }
        let lines = format!("{}{}", ams.lines(), own_credential(&hosts[1]));
        let site = site.with_ams(&lines).sending("cpu", TOPIC, &encrypted_for(&hosts[2]));
        Self { site, hosts }
    }

    /// Replaces all certificates by that of another host.
    fn replace(&self) {
        let other = pki().host("new.example.org");
        for host in &self.hosts {
            let folder = host.certificate.parent().unwrap();
            // The recipient must not be our own certificate.
            let other = if host.subject.contains("receiver") { pki().host("other.example.org") } else { other.clone() };
            copy_into(folder, &other);
        }
    }

    /// What is said of each certificate.
    fn changes(&self) -> Vec<String> {
        let change = |host: &Host| {
            let now = if host.subject.contains("receiver") { "other.example.org" } else { "new.example.org" };
            let now = format!("/C=UK/O=Sesame/OU=Hosts/CN={now}");
            format!(
                "certificate {} has another subject ({} before, {now} now): ",
                host.certificate.display(),
                host.subject
            )
        };
        self.hosts.iter().map(change).collect()
    }
}

#[test]
fn a_certificate_with_another_dn_is_said_when_it_is_read_again() {
    let ams = Ams::start();
    let renewed = Renewed::new(&ams);
    let mut daemon = renewed.site.start(&["send", "--watch"]);
    renewed.replace();
    for change in renewed.changes() {
        eventually(&change, || daemon.log().contains(&change).then_some(()));
    }
    assert_eq!(daemon.stop(), 0);
    let log = daemon.log();
    assert_eq!(log.matches("has another subject").count(), 3, "each once\n{log}");
    assert!(log.contains("register the new DN with the broker (AMS: in GOCDB)"), "{log}");
    // What was said once is what is known from then on.
    let said = renewed.site.run(&["check", "--offline"]).all();
    assert!(!said.contains("another subject"), "{said}");
}

#[test]
fn a_certificate_with_another_dn_is_said_by_check_and_by_the_next_run() {
    let ams = Ams::start();
    let renewed = Renewed::new(&ams);
    let said = renewed.site.run(&["check", "--offline"]).all();
    assert!(!said.contains("another subject"), "{said}");
    renewed.site.run(&["send"]).expect(0);
    renewed.replace();
    let checked = renewed.site.run(&["check", "--offline"]).expect(0);
    let sent = renewed.site.run(&["send"]).expect(0);
    for change in renewed.changes() {
        assert_eq!(
            [&checked, &sent].map(|outcome| outcome.all().matches(&change).count()),
            [1, 1],
            "{change}\n{}",
            sent.all()
        );
    }
    let said = renewed.site.run(&["send"]).expect(0).all();
    assert!(!said.contains("another subject"), "{said}");
}
