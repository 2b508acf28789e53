//! Either end may be SSM 4.0.0 without the other noticing; here `openssl smime`, `stomp.py` and `dirq` play SSM.

use std::path::PathBuf;

use crate::harness::{Folder, eventually};
use crate::peers::broker::{BOTH, shared};
use crate::peers::openssl::{self, Host, Key, Validity, pki};
use crate::peers::python::{self, Frame, SsmReceiver, SsmSender};
use crate::peers::{Broker, Kind};
use crate::queues;
use crate::sesame::{Site, Way, encrypted_for, own_destination, recipient};

const RECORD: &[u8] = b"APEL-summary-job-message: v0.2\nSite: UKI-TEST\nMonth: 3\nYear: 2026\n%%\n";

fn receives_from_ssm(kind: Kind, way: Way) {
    let (broker, host) = (shared(kind), pki().host("sender.example.org"));
    let recipient = recipient();
    for encrypt_for in [None, Some(&recipient)] {
        let destination = own_destination();
        let site = Site::of("receiver.example.org").on(broker, way);
        let site = site.receiving("central", &destination, &[&host.subject], "");
        let _receiver = site.start(&["receive"]);
        let queue = Folder::new("ssm-outgoing");
        let names = python::add(queue.path(), &[RECORD, b"two\nlines\n"]);
        let (link, queue) = (way.link(broker, &host), queue.path());
        let ssm = SsmSender { link, destination: &destination, signer: &host, encrypt_for, queue, format: "dirq" };
        assert_eq!(python::send_as_ssm(&ssm), names);
        let incoming = site.queue("central", "incoming");
        eventually("both messages", || (queues::count(&incoming) == 2).then_some(()));
        let mut stored = python::take_elements(&incoming, "loader");
        stored.sort_by(|a, b| a.id.cmp(&b.id));
        assert_eq!([&stored[0].body, &stored[1].body].map(String::as_bytes), [RECORD, b"two\nlines\n"]);
        assert_eq!([&stored[0].id, &stored[1].id], [&names[0], &names[1]]);
        assert!(stored.iter().all(|element| element.signer == host.subject), "{stored:?}");
        assert_eq!(queues::count(&incoming), 0, "dirq did not remove what it took");
    }
}

#[test]
fn receives_from_ssm_over_rabbitmq() {
    receives_from_ssm(Kind::RabbitMq, Way::Plain);
    receives_from_ssm(Kind::RabbitMq, Way::Tls);
}

#[test]
fn receives_from_ssm_over_activemq() {
    receives_from_ssm(Kind::ActiveMq, Way::Plain);
    receives_from_ssm(Kind::ActiveMq, Way::Tls);
}

fn sends_to_ssm(kind: Kind, way: Way) {
    let (broker, ssm_host) = (shared(kind), recipient());
    // Numbered, and asked for acknowledgements that SSM does not know of.
    let acknowledgements = format!("[send.cpu.acknowledgements]\nfrom = \"{}\"\n", own_destination());
    for more in [String::new(), format!("{}{acknowledgements}", encrypted_for(&ssm_host))] {
        let destination = own_destination();
        let site = Site::of("sender.example.org").on(broker, way).sending("cpu", &destination, &more);
        let link = way.link(broker, &ssm_host);
        let ssm = SsmReceiver::start(&link, &destination, &ssm_host, &[&site.host.subject], 3);
        let utf8 = "Site: Universität Göttingen\nName: Łódź\n".as_bytes();
        let names = python::add(&site.outgoing("cpu"), &[RECORD, utf8, b"mentions application/pkcs7-not-mime\n"]);
        site.run(&["send"]).expect(0);
        let (mut stored, refused) = ssm.finish();
        assert_eq!(refused, []);
        stored.sort_by(|a, b| a.id.cmp(&b.id));
        // The stand-in, like SSM, strips blank space at the end.
        assert_eq!(stored[0].body.as_bytes(), RECORD.trim_ascii_end());
        assert_eq!(stored[1].body.as_bytes().trim_ascii_end(), utf8.trim_ascii_end());
        assert_eq!(stored.iter().map(|element| element.id.clone()).collect::<Vec<_>>(), names);
        assert!(stored.iter().all(|element| element.signer == site.host.subject), "{stored:?}");
        assert_eq!(queues::outgoing(&site.outgoing("cpu")), [] as [PathBuf; 0]);
        let kept = site.folder.join("cpu-outgoing.state/retained");
        assert_eq!(kept.read_dir().map_or(0, Iterator::count), 0, "something waits for an answer of SSM");
    }
}

#[test]
fn sends_to_ssm_over_rabbitmq() {
    sends_to_ssm(Kind::RabbitMq, Way::Plain);
    sends_to_ssm(Kind::RabbitMq, Way::Tls);
}

#[test]
fn sends_to_ssm_over_activemq() {
    sends_to_ssm(Kind::ActiveMq, Way::Plain);
    sends_to_ssm(Kind::ActiveMq, Way::Tls);
}

#[test]
fn a_plain_directory_goes_to_ssm_and_comes_from_it() {
    let (broker, ssm_host) = (shared(Kind::ActiveMq), recipient());
    let destination = own_destination();
    let site =
        Site::of("sender.example.org").on(broker, Way::Tls).sending("cpu", &destination, "format = \"directory\"\n");
    let ssm = SsmReceiver::start(&Way::Tls.link(broker, &ssm_host), &destination, &ssm_host, &[&site.host.subject], 1);
    let file = site.outgoing("cpu").join("record.txt");
    std::fs::write(&file, RECORD).unwrap();
    site.run(&["send", "--deadline", "30s"]).expect(0);
    let (stored, refused) = ssm.finish();
    assert_eq!((stored.len(), refused.len()), (1, 0));
    assert!(stored[0].id.starts_with("record.txt-"), "{}", stored[0].id);
    assert!(!file.exists());

    let receiver = Site::of("receiver.example.org").on(broker, Way::Tls);
    let receiver = receiver.receiving("central", &destination, &[&site.host.subject], "");
    std::fs::write(&file, RECORD).unwrap();
    let (link, queue) = (Way::Tls.link(broker, &site.host), site.outgoing("cpu"));
    let (signer, encrypt_for) = (&site.host, Some(&ssm_host));
    let sent = SsmSender { link, destination: &destination, signer, encrypt_for, queue: &queue, format: "directory" };
    assert_eq!(python::send_as_ssm(&sent), ["record.txt"]);
    let _receiver = receiver.start(&["receive"]);
    let stored = eventually("the file", || queues::elements(&receiver.queue("central", "incoming")).pop());
    assert_eq!((stored.bytes("body"), stored.id().as_str()), (RECORD, "record.txt"));
}

/// Sends S/MIME messages under the ids given and gives what a receiver stored, in the order of the ids.
fn stored(broker: &'static Broker, signer: &Host, messages: &[(&str, Vec<u8>)]) -> Vec<queues::Element> {
    let destination = own_destination();
    let site = Site::of("receiver.example.org").on(broker, Way::Plain);
    let site = site.receiving("central", &destination, &[&signer.subject], "");
    let _receiver = site.start(&["receive"]);
    let frames: Vec<Frame> = messages.iter().map(|(id, message)| Frame::labelled(id, message)).collect();
    python::send(&Way::Plain.link(broker, signer), &destination, &frames);
    let (incoming, reject) = (site.queue("central", "incoming"), site.queue("central", "reject"));
    eventually("all messages", || (queues::count(&incoming) + queues::count(&reject) == messages.len()).then_some(()));
    let refused: Vec<String> =
        queues::elements(&reject).iter().map(|e| format!("{}: {}", e.id(), e.text("error"))).collect();
    assert!(refused.is_empty(), "refused: {refused:?}");
    let mut elements = queues::elements(&incoming);
    elements.sort_by_key(queues::Element::id);
    elements
}

#[test]
fn every_form_that_openssl_signs_in_is_read() {
    let signer = pki().host("sender.example.org");
    let forms: [(&str, &[&str]); 8] = [
        ("a-smime-text", &["smime", "-sign", "-text"]),
        ("b-smime-sha512", &["smime", "-sign", "-text", "-md", "sha512"]),
        ("c-smime-no-capabilities", &["smime", "-sign", "-text", "-nosmimecap"]),
        ("d-smime-opaque", &["smime", "-sign", "-text", "-nodetach"]),
        ("e-cms-text", &["cms", "-sign", "-text"]),
        ("f-cms-opaque-indefinite-length", &["cms", "-sign", "-text", "-nodetach", "-stream"]),
        ("g-cms-pss", &["cms", "-sign", "-text", "-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:32"]),
        ("h-cms-crlf", &["cms", "-sign", "-text", "-crlfeol"]),
    ];
    let mut messages: Vec<(&str, Vec<u8>)> =
        forms.iter().map(|(id, arguments)| (*id, openssl::sign_with(&signer, RECORD, arguments))).collect();
    let authority = pki().authority().display().to_string();
    let arguments = ["smime", "-sign", "-text", "-certfile", authority.as_str()];
    messages.push(("i-with-its-chain", openssl::sign_with(&signer, RECORD, &arguments)));
    for element in stored(shared(Kind::RabbitMq), &signer, &messages) {
        assert_eq!(element.text("body").replace('\r', ""), String::from_utf8_lossy(RECORD), "{}", element.id());
        assert_eq!(element.text("signer"), signer.subject, "{}", element.id());
    }
}

#[test]
fn quoted_printable_and_base64_parts_are_decoded() {
    let signer = pki().host("sender.example.org");
    let part = |encoding: &str, body: &str| {
        let part =
            format!("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: {encoding}\n\n{body}\n");
        openssl::sign_with(&signer, part.as_bytes(), &["smime", "-sign"])
    };
    let messages = [
        ("a", part("quoted-printable", "Site: Universit=C3=A4t=\n X")),
        ("b", part("base64", "U2l0ZTogVW5pdmVyc2l0w6R0IFg=")),
    ];
    for element in stored(shared(Kind::ActiveMq), &signer, &messages) {
        assert_eq!(element.text("body").trim_end(), "Site: Universität X", "{}", element.id());
    }
}

#[test]
fn every_key_and_cipher_that_openssl_encrypts_with_is_read() {
    let (signer, recipient) = (pki().host("sender.example.org"), recipient());
    let signed = openssl::sign(&signer, RECORD);
    let certificate = recipient.certificate.display().to_string();
    let forms: [(&str, &[&str]); 5] = [
        ("a-128", &["smime", "-encrypt", "-aes128", &certificate]),
        ("b-192", &["smime", "-encrypt", "-aes192", &certificate]),
        ("c-256", &["smime", "-encrypt", "-aes256", &certificate]),
        ("d-gcm", &["cms", "-encrypt", "-aes-256-gcm", &certificate]),
        ("e-oaep", &["cms", "-encrypt", "-aes256", "-recip", &certificate, "-keyopt", "rsa_padding_mode:oaep"]),
    ];
    let encrypt = |arguments: &[&str]| openssl::run(arguments, &signed);
    let messages: Vec<(&str, Vec<u8>)> = forms.iter().map(|(id, arguments)| (*id, encrypt(arguments))).collect();
    for element in stored(shared(Kind::RabbitMq), &signer, &messages) {
        assert_eq!(element.bytes("body"), RECORD, "{}", element.id());
    }
}

#[test]
fn openssl_reads_what_sesame_seals() {
    let broker = shared(Kind::RabbitMq);
    let host = pki().issue("sender.example.org", Key::Rsa4096, Validity::Now);
    let recipient = recipient();
    for (peer, program) in [("ssm", "smime"), ("ssm", "cms"), ("sesame", "cms")] {
        let destination = own_destination();
        let more = format!("peer = \"{peer}\"\n{}", encrypted_for(&recipient));
        let site = Site::with(host.clone()).on(broker, Way::Tls).sending("cpu", &destination, &more);
        let name = queues::add(&site.outgoing("cpu"), RECORD);
        site.run(&["send"]).expect(0);
        let frame = python::take(&Way::Plain.link(broker, &host), &destination, 1).remove(0);
        assert_eq!(frame.header("empa-id"), Some(name.as_str()));
        assert!(!frame.body.contains(&b'\r'), "SSM's line ends are newlines");
        let signed = openssl::decrypt(program, &recipient, &frame.body);
        let content = openssl::verify(program, pki(), &signed);
        let content = String::from_utf8(content).unwrap().replace('\r', "");
        let (headers, body) = content.split_once("\n\n").unwrap();
        assert!(headers.contains(&format!("Sesame-Message-Id: {name}")), "{headers}");
        assert_eq!(body.as_bytes(), RECORD);
    }
}

#[test]
fn a_ping_is_acknowledged_and_ignored() {
    for kind in BOTH {
        let (broker, destination) = (shared(kind), own_destination());
        let signer = pki().host("sender.example.org");
        let site = Site::of("receiver.example.org").on(broker, Way::Plain);
        let site = site.receiving("central", &destination, &[&signer.subject], "");
        let _receiver = site.start(&["receive"]);
        let frames = [Frame::labelled("ping", b""), Frame::labelled("after-it", &openssl::sign(&signer, RECORD))];
        python::send(&Way::Plain.link(broker, &signer), &destination, &frames);
        eventually("the message after it", || (queues::count(&site.queue("central", "incoming")) == 1).then_some(()));
        assert_eq!(queues::count(&site.queue("central", "reject")), 0);
        eventually("the broker's queue to be empty", || (broker.waiting(&destination) == 0).then_some(()));
    }
}

/// SSM's own configuration for one end, in `file`.
fn ssm_configuration(site: &Site, file: &str, broker: &str, destination: &str, path: &std::path::Path) -> String {
    let (host, port) = broker.rsplit_once(':').unwrap();
    let Host { certificate, key, .. } = &site.host;
    let text = format!(
        "[broker]\nhost: {host}\nport: {port}\n\n[certificates]\ncertificate: {}\nkey: {}\ncapath: {}\n\n\
         [messaging]\ndestination: {destination}\npath: {}\n\n[logging]\nlevel: INFO\nlogfile: /var/log/ssm.log\n",
        certificate.display(),
        key.display(),
        pki().anchors().display(),
        path.display(),
    );
    site.folder.write(file, text).display().to_string()
}

#[test]
fn its_own_configuration_is_used_as_it_is() {
    let (broker, destination) = (shared(Kind::RabbitMq), own_destination());
    let sender = Site::of("sender.example.org");
    let receiver = Site::of("receiver.example.org");
    let queue = sender.folder.join("outgoing");
    let sending = ssm_configuration(&sender, "sender.cfg", &broker.tls(), &destination, &queue);
    let spool = receiver.folder.join("spool");
    let receiving = ssm_configuration(&receiver, "receiver.cfg", &broker.tls(), &destination, &spool);
    let pid_file = "[receiver]\nprotocol: STOMP\n[daemon]\npidfile: /var/run/apel/ssm.pid\n";
    std::fs::write(&receiving, std::fs::read_to_string(&receiving).unwrap() + pid_file).unwrap();
    let dns = receiver.folder.write("dns", format!("# hosts\n{}\n", sender.host.subject)).display().to_string();
    let names = python::add(&queue, &[RECORD, b"two\nlines\n"]);
    sender.run(&["send", "--ssm-config", &sending]).expect(0).says("sender.cfg:16: logging.logfile: is not written");
    let mut daemon = receiver.start(&["receive", "--ssm-config", &receiving, "--ssm-dns", &dns]);
    let incoming = spool.join("incoming");
    eventually("both messages", || (queues::count(&incoming) == 2).then_some(()));
    let mut stored = python::take_elements(&incoming, "loader");
    stored.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!([&stored[0].id, &stored[1].id], [&names[0], &names[1]]);
    assert_eq!(daemon.stop(), 0);
    receiver
        .run(&["check", "--ssm-config", &receiving, "--ssm-dns", &dns])
        .expect(0)
        .says("daemon.pidfile: is not written");
    let kept = sender.run(&["check", "--effective", "--ssm-config", &sending]).expect(0).output;
    assert!(kept.contains("[send.sender]") && kept.contains(&destination), "{kept}");
    let wrong = std::fs::read_to_string(&sending).unwrap().replace("port: ", "port: 7");
    sender.folder.write("wrong.cfg", wrong);
    let wrong = sender.folder.join("wrong.cfg").display().to_string();
    sender.run(&["send", "--ssm-config", &wrong]).expect(78).says("wrong.cfg:2: broker.host: ").says("is not a port");
}
