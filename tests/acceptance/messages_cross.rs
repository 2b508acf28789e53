//! What one Sesame is given, another one stores: on both brokers, plain and over TLS, signed and encrypted, any bytes.

use crate::checker::Workload;
use crate::harness::eventually;
use crate::peers::broker::{BOTH, LOGIN, PASSCODE, shared};
use crate::peers::openssl::{Key, Validity, pki};
use crate::peers::scripted::{relay, unreachable_broker};
use crate::peers::{Kind, python};
use crate::queues;
use crate::sesame::{Pair, Site, Way, encrypted_for, own_destination, recipient};

fn crosses(kind: Kind, way: Way) {
    for more in [String::new(), encrypted_for(&recipient())] {
        let pair = Pair::on(shared(kind), way, &more, "");
        let messages = Workload::queued_in(&pair.outgoing(), 20, 3_000);
        let _receiver = pair.receiver.start(&["receive"]);
        pair.sender.run(&["send", "--deadline", "30s"]).expect(0);
        messages.arrives(&pair);
        let element = &queues::elements(&pair.incoming())[0];
        assert_eq!(element.text("signer"), pair.sender.host.subject);
    }
}

#[test]
fn rabbitmq_over_plain_tcp() {
    crosses(Kind::RabbitMq, Way::Plain);
}

#[test]
fn rabbitmq_over_tls_with_client_certificates() {
    crosses(Kind::RabbitMq, Way::Tls);
}

#[test]
fn activemq_over_plain_tcp() {
    crosses(Kind::ActiveMq, Way::Plain);
}

#[test]
fn activemq_over_tls_with_client_certificates() {
    crosses(Kind::ActiveMq, Way::Tls);
}

#[test]
fn a_message_keeps_its_id_from_element_to_element() {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Plain, "", "");
    let names = python::add(&pair.outgoing(), &[b"Site: X\n"]);
    pair.sender.run(&["send"]).expect(0);
    let _receiver = pair.receiver.start(&["receive"]);
    let stored = eventually("the message", || queues::elements(&pair.incoming()).pop());
    assert_eq!(stored.id(), names[0]);
}

/// Contents that text formats like to change on the way.
fn delicate() -> Vec<Vec<u8>> {
    let contents: &[&[u8]] = &[
        b"ends without a newline",
        b"\n\n  begins and ends with blank space \t\n\n \n",
        b"carriage returns\r\nand\ra lone one\r\n",
        b"a NUL \0 and every control \x01\x0b\x0c\x1c\x1d\x1e\x7f\n",
        "Universität, \u{85}\u{2028}\u{2029}: 東京\n".as_bytes(),
        b"not UTF-8 \xff\xfe\x80\n",
        b"From here\n.\n------A\n--\nContent-Type: application/pkcs7-mime\n\nquoted-printable base64 =3D\n",
        b"\xef\xbb\xbfwith a byte order mark\n",
    ];
    let mut contents: Vec<Vec<u8>> = contents.iter().map(|content| content.to_vec()).collect();
    contents.push([b"x".repeat(100_000), b"\n".to_vec()].concat());
    contents.push((0..=255).collect::<Vec<u8>>().repeat(100));
    contents
}

fn keeps_every_byte(more: &str) {
    keeps(delicate(), more);
}

fn keeps(contents: Vec<Vec<u8>>, more: &str) {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Plain, more, "");
    contents.iter().for_each(|content| drop(queues::add(&pair.outgoing(), content)));
    pair.sender.run(&["send"]).expect(0);
    let _receiver = pair.receiver.start(&["receive"]);
    eventually("all of them", || (queues::count(&pair.incoming()) == contents.len()).then_some(()));
    let stored = queues::elements(&pair.incoming());
    for content in &contents {
        let found = stored.iter().any(|element| element.bytes("body") == *content);
        assert!(found, "changed on the way: {:?}", String::from_utf8_lossy(&content[..content.len().min(60)]));
    }
}

#[test]
fn any_bytes_survive_between_two_sesames() {
    keeps_every_byte("peer = \"sesame\"\n");
}

#[test]
fn any_text_survives_in_the_form_that_ssm_can_read() {
    let mut contents = delicate();
    contents.retain(|content| std::str::from_utf8(content).is_ok());
    assert!(contents.len() > 6, "{}", contents.len());
    contents.push(('\0'..='\u{2ff}').collect::<String>().repeat(20).into_bytes());
    keeps(contents, "");
}

#[test]
fn any_bytes_survive_authenticated_encryption() {
    keeps_every_byte(&format!("peer = \"sesame\"\n{}", encrypted_for(&recipient())));
}

#[test]
fn signers_with_rsa_4096_and_p_256_keys_are_verified() {
    for key in [Key::Rsa4096, Key::P256] {
        let (broker, destination) = (shared(Kind::RabbitMq), own_destination());
        let host = pki().issue("other.example.org", key, Validity::Now);
        let sender = Site::with(host).on(broker, Way::Tls).sending("cpu", &destination, "");
        let receiver = Site::of("receiver.example.org").on(broker, Way::Tls);
        let receiver = receiver.receiving("central", &destination, &[&sender.host.subject], "");
        let messages = Workload::queued_in(&sender.outgoing("cpu"), 3, 1_000);
        sender.run(&["send"]).expect(0);
        let _receiver = receiver.start(&["receive"]);
        messages.is_stored_in(&receiver.queue("central", "incoming"));
    }
}

#[test]
fn a_recipient_with_a_p_256_key_decrypts() {
    let (broker, destination) = (shared(Kind::RabbitMq), own_destination());
    let host = pki().issue("ec.example.org", Key::P256, Validity::Now);
    let more = format!("peer = \"sesame\"\n{}", encrypted_for(&host));
    let sender = Site::of("sender.example.org").on(broker, Way::Plain).sending("cpu", &destination, &more);
    let receiver = Site::with(host).on(broker, Way::Plain);
    let receiver = receiver.receiving("central", &destination, &[&sender.host.subject], "encryption = \"required\"\n");
    let messages = Workload::queued_in(&sender.outgoing("cpu"), 3, 1_000);
    sender.run(&["send"]).expect(0);
    let _receiver = receiver.start(&["receive"]);
    messages.is_stored_in(&receiver.queue("central", "incoming"));
}

#[test]
fn a_broker_is_told_login_and_passcode_from_a_private_file() {
    use std::os::unix::fs::PermissionsExt as _;
    for kind in BOTH {
        let destination = own_destination();
        let site = Site::of("sender.example.org");
        let file = site.folder.write("login", format!("{LOGIN}\n{PASSCODE}\n"));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let site = site.at(&[&shared(kind).plain()], Way::Plain, &format!("login-file = {file:?}\n"));
        let site = site.sending("cpu", &destination, "");
        queues::add(&site.outgoing("cpu"), b"Site: X\n");
        site.run(&["send"]).expect(0);
        std::fs::write(&file, format!("{LOGIN}\nwrong\n")).unwrap();
        queues::add(&site.outgoing("cpu"), b"Site: Y\n");
        let refused = site.run(&["send", "--deadline", "3s"]).expect(1);
        assert!(!refused.all().contains("wrong"), "the passcode is in the log:\n{}", refused.log);
        assert_eq!(queues::outgoing(&site.outgoing("cpu")).len(), 1);
    }
}

#[test]
fn the_second_broker_of_the_list_is_taken_when_the_first_is_away() {
    let (broker, destination) = (shared(Kind::RabbitMq), own_destination());
    let hosts = [&*unreachable_broker(), &*broker.tls()];
    let site = Site::of("sender.example.org").at(&hosts, Way::Tls, "").sending("cpu", &destination, "");
    queues::add(&site.outgoing("cpu"), b"Site: X\n");
    site.run(&["send", "--deadline", "30s"]).expect(0);
    assert_eq!(broker.waiting(&destination), 1);
}

#[test]
fn one_process_sends_and_receives_on_all_its_channels() {
    let broker = shared(Kind::ActiveMq);
    let (first, second) = (own_destination(), own_destination());
    let host = pki().host("sender.example.org");
    let site = Site::of("sender.example.org").on(broker, Way::Tls);
    let site = site.sending("one", &first, "").sending("two", &second, "format = \"directory\"\n");
    let site = site.receiving("three", &first, &[&host.subject], "").receiving("four", &second, &[&host.subject], "");
    let mut daemon = site.start(&["run"]);
    queues::add(&site.outgoing("one"), b"Site: one\n");
    std::fs::write(site.outgoing("two").join(".two.tmp"), b"Site: two\n").unwrap();
    std::fs::rename(site.outgoing("two").join(".two.tmp"), site.outgoing("two").join("two.txt")).unwrap();
    for (channel, body) in [("three", "Site: one\n"), ("four", "Site: two\n")] {
        let stored = eventually(channel, || queues::elements(&site.queue(channel, "incoming")).pop());
        assert_eq!(stored.text("body"), body);
    }
    eventually("the file to be gone", || (!site.outgoing("two").join("two.txt").exists()).then_some(()));
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn a_connection_that_is_cut_in_the_middle_costs_nothing() {
    let broker = shared(Kind::RabbitMq);
    let pair = Pair::on(broker, Way::Plain, "", "");
    let relay = relay(&broker.plain(), Some(40_000));
    let sender = Site::of("sender.example.org").at(&[&relay.address()], Way::Plain, "");
    let sender = sender.sending("cpu", &pair.destination, "window = 4\n");
    let messages = Workload::queued_in(&sender.outgoing("cpu"), 20, 3_000);
    let _receiver = pair.receiver.start(&["receive"]);
    sender.run(&["send", "--deadline", "60s"]).expect(0);
    assert!(relay.struck() > 0 && relay.connections() > 1, "the relay cut nothing");
    messages.is_stored_in(&pair.incoming());
}
