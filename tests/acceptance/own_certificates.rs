//! What our own certificate, the recipient's and the broker's must be, and what an operator reads where one is not: nothing
//! leaves that no receiver would accept, and nothing is lost or rejected for a certificate that can be renewed.

use std::process::Command;
use std::time::Duration;

use crate::harness::patience::within;
use crate::harness::{Child, eventually, ports};
use crate::peers::broker::shared;
use crate::peers::openssl::{self, Host, Key, P_256, RSA_2048, Validity, copy_into, pki};
use crate::peers::python;
use crate::peers::{Kind, require};
use crate::queues;
use crate::sesame::{Site, Way, encrypted_for, own_destination};

const SENDER: &str = "sender.example.org";
const HELD: &str = "no message can be sealed";
const KEY_USAGE: &str = "keyUsage = critical, digitalSignature, keyEncipherment, keyAgreement";
const PURPOSES: &str = "extendedKeyUsage = serverAuth, clientAuth";
const IDENTIFIER: &str = "authorityKeyIdentifier = keyid";

/// A site with files of its own that a test may replace.
fn site_with(host: &Host) -> Site {
    let mut site = Site::with(host.clone());
    site.host = copy_into(site.folder.path(), host);
    site
}

fn renew(site: &Site, host: &Host) {
    std::fs::copy(&host.key, &site.host.key).unwrap();
    std::fs::copy(&host.certificate, &site.host.certificate).unwrap();
}

/// Nothing left the queue and nothing was set aside.
#[track_caller]
fn all_wait(site: &Site, count: usize) {
    assert_eq!(queues::outgoing(&site.outgoing("cpu")).len(), count, "messages left the queue");
    assert_eq!(queues::count(&site.refused("cpu")), 0, "messages were rejected");
}

fn sent(site: &Site) {
    eventually("the messages to be sent", || queues::outgoing(&site.outgoing("cpu")).is_empty().then_some(()));
    assert_eq!(queues::count(&site.refused("cpu")), 0, "messages were rejected");
}

/// A moment so many seconds from now, as `openssl ca` wants it.
fn moment(seconds: i64) -> String {
    let output = Command::new("date").args(["-u", "+%Y%m%d%H%M%SZ", "-d", &format!("{seconds} seconds")]).output();
    String::from_utf8(output.unwrap().stdout).unwrap().trim().to_owned()
}

#[test]
fn nothing_is_sent_with_a_certificate_that_every_receiver_refuses() {
    let tomorrow = moment(86_400);
    let special = |changes: &[(&str, &str)], dates: &[&str]| pki().special(SENDER, RSA_2048, changes, dates);
    let good = pki().host(SENDER);
    for (host, words) in [
        (pki().issue(SENDER, Key::Rsa2048, Validity::Over), "expired on 2020-02-01T00:00:00Z; have it renewed"),
        (special(&[], &["-startdate", &tomorrow, "-days", "9"]), "is not valid before "),
        (special(&[(KEY_USAGE, "keyUsage = critical, keyEncipherment")], &[]), "have one issued with digitalSignature"),
        (special(&[(PURPOSES, "extendedKeyUsage = codeSigning")], &[]), "the extended key usage of "),
    ] {
        let site = site_with(&host).on(shared(Kind::RabbitMq), Way::Plain).sending("cpu", &own_destination(), "");
        for body in [b"Site: A\n", b"Site: B\n"] {
            queues::add(&site.outgoing("cpu"), body);
        }
        let outcome = site.run(&["send"]).expect(1).says(words).says("0 sent, 0 rejected, 2 waiting");
        assert_eq!(outcome.log.matches(HELD).count(), 1, "one error says it\n{}", outcome.log);
        all_wait(&site, 2);
        let words = words.split(';').next().unwrap();
        site.run(&["check", "--offline"]).expect(1).says("error    credential");
        let file = site.folder.write("message", "Site: A\n").display().to_string();
        site.run(&["explain", "cpu", &file]).expect(1).says("verdict: waiting").says(words);
        renew(&site, &good);
        site.run(&["send"]).expect(0).says("2 sent");
        sent(&site);
    }
}

#[test]
fn a_certificate_that_ends_while_the_sender_watches_holds_the_messages_until_it_is_renewed() {
    let end = moment(14);
    let host = pki().special(SENDER, RSA_2048, &[], &["-startdate", &moment(-60), "-enddate", &end]);
    let site = site_with(&host).on(shared(Kind::RabbitMq), Way::Plain).sending("cpu", &own_destination(), "");
    let mut sender = site.start(&["send", "--watch"]);
    queues::add(&site.outgoing("cpu"), b"Site: before\n");
    sent(&site);
    assert!(!sender.log().contains(HELD), "the test began too late\n{}", sender.last_words());
    std::thread::sleep(Duration::from_secs(15));
    for body in [&b"Site: after\n"[..], b"Site: and after\n"] {
        queues::add(&site.outgoing("cpu"), body);
    }
    eventually("the error", || sender.log().contains(HELD).then_some(()));
    std::thread::sleep(Duration::from_secs(3));
    all_wait(&site, 2);
    let log = sender.log();
    assert_eq!(log.matches(HELD).count(), 1, "one error says it\n{log}");
    assert!(log.contains(" expired on "), "{log}");
    renew(&site, &pki().host(SENDER));
    sent(&site);
    assert!(sender.log().contains("messages can be sealed again"), "{}", sender.last_words());
    assert_eq!(sender.stop(), 0);
}

#[test]
fn a_revocation_and_a_signing_policy_hold_messages_until_they_are_lifted() {
    let pki = openssl::another("Holding CA");
    let (first, second) = (pki.host(SENDER), pki.host("other.example.org"));
    let site = site_with(&first).trusting(&[&pki.anchors()]);
    let site = site.on(shared(Kind::RabbitMq), Way::Plain).sending("cpu", &own_destination(), "");
    let mut sender = site.start(&["send", "--watch"]);
    queues::add(&site.outgoing("cpu"), b"Site: before\n");
    sent(&site);

    pki.revoke(&first);
    eventually("the revocation to be read", || sender.log().contains("trust anchors read again").then_some(()));
    queues::add(&site.outgoing("cpu"), b"Site: revoked\n");
    eventually("the error", || sender.log().contains("is revoked: serial ").then_some(()));
    std::thread::sleep(Duration::from_secs(2));
    all_wait(&site, 1);
    renew(&site, &second);
    sent(&site);

    pki.publish_policy("Holding CA", "/C=FR/*");
    eventually("the policy to be enforced", || {
        within(Duration::from_secs(2), || sender.log().contains("the signing policy of ").then_some(()))
    });
    queues::add(&site.outgoing("cpu"), b"Site: outside\n");
    std::thread::sleep(Duration::from_secs(2));
    all_wait(&site, 1);
    pki.publish_policy("Holding CA", "/C=UK/*");
    sent(&site);
    assert_eq!(sender.stop(), 0);
}

#[test]
fn an_anchor_that_only_our_directory_lacks_holds_nothing() {
    let stranger = openssl::strangers().host(SENDER);
    let site = site_with(&stranger).on(shared(Kind::RabbitMq), Way::Plain).sending("cpu", &own_destination(), "");
    queues::add(&site.outgoing("cpu"), b"Site: A\n");
    site.run(&["send"]).expect(0).says("1 sent");
    site.run(&["check", "--offline"]).expect(0).says("would not be accepted by our own trust anchors");
}

#[test]
fn a_recipient_that_expired_holds_the_messages_for_it_and_not_the_program() {
    let expired = pki().issue("receiver.example.org", Key::Rsa2048, Validity::Over);
    let site = Site::of(SENDER).on(shared(Kind::RabbitMq), Way::Plain);
    let recipient = copy_into(site.folder.path(), &expired);
    let site = site.sending("cpu", &own_destination(), &encrypted_for(&recipient));
    let site = site.sending("clear", &own_destination(), "");
    for channel in ["cpu", "clear"] {
        queues::add(&site.outgoing(channel), b"Site: A\n");
    }
    site.run(&["send"]).expect(1).says("put the receiver's current certificate there");
    all_wait(&site, 1);
    assert!(queues::outgoing(&site.outgoing("clear")).is_empty(), "the other channel was held as well");
    let mut sender = site.start(&["send", "--watch"]);
    eventually("the error", || sender.log().contains(HELD).then_some(()));
    all_wait(&site, 1);
    std::fs::copy(pki().host("receiver.example.org").certificate, &recipient.certificate).unwrap();
    sent(&site);
    assert_eq!(sender.stop(), 0);
}

#[test]
fn only_text_leaves_for_an_ssm_receiver() {
    let (broker, destination) = (shared(Kind::RabbitMq), own_destination());
    let site = Site::of(SENDER).on(broker, Way::Plain).sending("cpu", &destination, "");
    queues::add(&site.outgoing("cpu"), b"Site: Universit\xe4t\n");
    queues::add(&site.outgoing("cpu"), "Site: Universität\n".as_bytes());
    site.run(&["send"]).expect(1).says("1 sent, 1 rejected, 0 waiting");
    let refused = queues::elements(&site.refused("cpu")).remove(0);
    assert!(refused.text("error").starts_with("not-text: the content is not UTF-8 text (at byte 15)"));
    assert!(refused.text("error").contains("peer = \"sesame\""));
    assert_eq!(refused.bytes("body"), b"Site: Universit\xe4t\n");
    assert_eq!(python::take(&Way::Plain.link(broker, &site.host), &destination, 1).len(), 1);
    let file = site.folder.write("latin", b"Site: Universit\xe4t\n").display().to_string();
    site.run(&["explain", "cpu", &file]).expect(1).says("verdict: rejected: not-text: ");
}

#[test]
fn check_names_keys_with_which_nothing_can_ever_be_sent() {
    let check = |host: &Host, more: &str| {
        let site = site_with(host).on(shared(Kind::RabbitMq), Way::Plain).sending("cpu", &own_destination(), more);
        queues::add(&site.outgoing("cpu"), b"Site: A\n");
        let send = site.run(&["send"]).expect(1);
        all_wait(&site, 1);
        assert_eq!(send.log.matches(HELD).count(), 1, "{}", send.log);
        site.run(&["check", "--offline"]).expect(1)
    };
    let ed25519 = pki().special(SENDER, &["-algorithm", "ED25519"], &[], &[]);
    check(&ed25519, "").says("error    send.cpu: no message can ever be sent: cannot sign with the key of ");
    check(&ed25519, "peer = \"sesame\"\n").says("this is an Ed25519 key");
    let pss = pki().special(SENDER, &["-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"], &[], &[]);
    check(&pss, "").says("an RSA key for PSS only");
    let sender = pki().host(SENDER);
    let p256 = pki().special("receiver.example.org", P_256, &[], &[]);
    check(&sender, &encrypted_for(&p256)).says("an SSM receiver cannot decrypt with an EC key");
    let other = pki().special("receiver.example.org", &["-algorithm", "ED25519"], &[], &[]);
    check(&sender, &encrypted_for(&other)).says("error    send.cpu: ");
    let signs = pki().special("receiver.example.org", RSA_2048, &[(KEY_USAGE, "keyUsage = digitalSignature")], &[]);
    check(&sender, &encrypted_for(&signs)).says("key usage").says("error    send.cpu: ");
}

#[test]
fn a_certificate_without_client_use_is_named_by_check_and_by_the_refusal_of_rabbitmq() {
    let host = pki().special(SENDER, RSA_2048, &[(PURPOSES, "extendedKeyUsage = serverAuth")], &[]);
    let site = site_with(&host).on(shared(Kind::RabbitMq), Way::Tls).sending("cpu", &own_destination(), "");
    queues::add(&site.outgoing("cpu"), b"Site: A\n");
    let offline = site.run(&["check", "--offline"]).expect(0);
    offline.says("warning  credential: a broker may refuse the TLS connection").says("lacks clientAuth");
    let outcome = site.run(&["check"]).expect(1);
    let line = outcome.output.lines().find(|line| line.contains("cannot connect")).unwrap().to_owned();
    assert!(line.contains("refused our certificate: TLS alert ") && line.contains("lacks clientAuth"), "{line}");
    let send = site.run(&["send", "--deadline", "3s"]).expect(1);
    assert!(send.log.contains("lacks clientAuth"), "{}", send.log);
    let plain = site_with(&host).on(shared(Kind::RabbitMq), Way::Plain).sending("cpu", &own_destination(), "");
    let plain = plain.run(&["check"]).expect(0);
    assert!(!plain.output.contains("clientAuth"), "no TLS, no client certificate\n{}", plain.output);
}

/// A TLS server of `openssl` with this certificate, and its address.
fn server(site: &Site, host: &Host, more: &[&str]) -> (Child, String) {
    let port = ports::free().to_string();
    let mut command = Command::new(require("openssl"));
    let address = format!("127.0.0.1:{port}");
    command.args(["s_server", "-quiet", "-accept", &address, "-cert"]).arg(&host.certificate);
    command.arg("-key").arg(&host.key).args(more);
    let child = Child::start("openssl s_server", &mut command, &site.folder.join(format!("server-{port}.log")));
    eventually("the server", || std::net::TcpStream::connect(&address).ok());
    (child, format!("localhost:{port}"))
}

#[test]
fn a_refused_broker_is_told_with_dates_and_what_to_do() {
    let none = "subjectAltName = ${ENV::ALTERNATIVE_NAMES}\n";
    let special = |changes: &[(&str, &str)], dates: &[&str]| pki().special("localhost", RSA_2048, changes, dates);
    let own = openssl::another("Refusing CA");
    let revoked = own.host("localhost");
    own.revoke(&revoked);
    for (host, words) in [
        (special(&[(none, "")], &[]), "set allow-cn = true"),
        (pki().issue("localhost", Key::Rsa2048, Validity::Over), "expired on 2020-02-01T00:00:00Z; renew it there"),
        (special(&[], &["-startdate", &moment(86_400), "-days", "9"]), "is not valid before 20"),
        (pki().host("mq.example.org"), "is not for localhost, but for mq.example.org; use that name in hosts"),
        (
            special(&[(PURPOSES, "extendedKeyUsage = clientAuth")], &[]),
            "the broker needs a certificate with serverAuth",
        ),
        (openssl::strangers().host("localhost"), "no trust anchor for issuer /C=UK/O=Sesame/CN=Unknown CA; add that"),
        (revoked, "is revoked: serial "),
    ] {
        let site = Site::of(SENDER).trusting(&[&pki().anchors(), &own.anchors()]);
        let (_server, address) = server(&site, &host, &[]);
        let site = site.at(&[&address], Way::Tls, "").sending("cpu", "/queue/x", "");
        let output = site.run(&["check"]).expect(1).says(words).output;
        assert!(!output.contains("Other(") && !output.contains("OtherError"), "debug form\n{output}");
        queues::add(&site.outgoing("cpu"), b"Site: A\n");
        let send = site.run(&["send", "--deadline", "2s"]).expect(1);
        assert!(send.log.contains(words), "the log does not say {words}\n{}", send.log);
    }
}

#[test]
fn alerts_of_a_broker_are_said_by_name_and_meaning() {
    let own = pki().host("localhost");
    let strange = openssl::strangers();
    let authority = strange.authority().display().to_string();
    for (more, words) in [
        (vec!["-Verify", "3", "-verify_return_error", "-CAfile", authority.as_str()], "TLS alert unknown_ca: "),
        (vec!["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "TLS alert protocol_version: "),
    ] {
        let site = Site::of(SENDER);
        let (_server, address) = server(&site, &own, &more);
        let site = site.at(&[&address], Way::Tls, "").sending("cpu", "/queue/x", "");
        site.run(&["check"]).expect(1).says(words);
    }
}

#[test]
fn a_signer_under_an_authority_issued_again_is_accepted() {
    let pki = openssl::another("Rolled CA");
    let signer = pki.special(SENDER, RSA_2048, &[(IDENTIFIER, "authorityKeyIdentifier = keyid, issuer:always")], &[]);
    let message = openssl::sign(&signer, b"Site: A\n");
    pki.issue_authority_again();
    let site = Site::of("receiver.example.org").trusting(&[&pki.anchors()]);
    let site = site.on(shared(Kind::RabbitMq), Way::Plain);
    let site = site.receiving("central", &own_destination(), &[&signer.subject], "");
    let file = site.folder.write("m", &message).display().to_string();
    site.run(&["explain", "central", &file]).expect(0).says("verdict: stored");
}

#[test]
fn the_line_offered_for_an_unlisted_signer_is_the_one_that_ssm_reads() {
    let signer = pki().host(SENDER);
    let message = openssl::sign(&signer, b"Site: A\n");
    let site = Site::of("receiver.example.org").on(shared(Kind::RabbitMq), Way::Plain);
    let long = format!("{} issuer=/C=UK/O=Sesame/CN=Sesame Test CA", signer.subject);
    let site = site.receiving("central", &own_destination(), &["/C=UK/CN=x", "/C=UK/O=Sesame/*", &long], "");
    let file = site.folder.write("m", &message).display().to_string();
    site.run(&["explain", "central", &file]).expect(1).says(&format!("to authorise, add the line: {}", signer.subject));
    let check = site.run(&["check", "--offline"]).expect(0).says("1 signer authorised");
    let right = format!("write: \"{}\" issuer=\"/C=UK/O=Sesame/CN=Sesame Test CA\"", signer.subject);
    check.says("line 2: * is a pattern").says("line 3: the issuer needs double quotes").says(&right);
}
