//! What `sesame proof` writes is checked with OpenSSL alone: these tests run the commands of its README.txt, as they are.

use std::path::Path;
use std::process::{Command, Output};

use crate::acknowledgements::{acknowledgement, all_acknowledged, line, pair, retained, sent};
use crate::harness::eventually;
use crate::peers::broker::shared;
use crate::peers::openssl::pki;
use crate::peers::{Kind, openssl, python};
use crate::queues;
use crate::sesame::Way;

/// The commands of a README.txt: its lines that begin with four spaces.
fn commands(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("README.txt")).unwrap();
    text.lines().filter_map(|line| line.strip_prefix("    ")).map(str::to_owned).collect()
}

fn run(folder: &Path, command: &str) -> Output {
    Command::new("sh").arg("-c").arg(command).current_dir(folder).output().unwrap()
}

/// Runs all commands; what they print.
#[track_caller]
fn all_succeed(folder: &Path) -> String {
    let mut printed = String::new();
    for command in commands(folder) {
        let output = run(folder, &command);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}\nfailed in {}:\n{said}", folder.display());
        printed.push_str(&String::from_utf8_lossy(&output.stdout));
    }
    printed
}

/// Changes one byte of a file, for as long as `test` runs.
fn changed(file: &Path, place: impl Fn(&[u8]) -> usize, test: impl FnOnce()) {
    let original = std::fs::read(file).unwrap();
    let mut other = original.clone();
    let at = place(&original);
    other[at] = if other[at] == b'a' { b'b' } else { b'a' };
    std::fs::write(file, other).unwrap();
    test();
    std::fs::write(file, original).unwrap();
}

fn find(content: &[u8], word: &[u8]) -> usize {
    content.windows(word.len()).position(|found| found == word).unwrap()
}

#[test]
fn the_commands_of_a_proof_succeed_and_with_one_byte_changed_they_fail() {
    let body = b"Site: X\nRecord: 1\n".as_slice();
    let (pair, _) = pair(shared(Kind::RabbitMq), Way::Plain, "required", "");
    let id = python::add(&pair.outgoing(), &[body]).remove(0);
    let sender = pair.sender.start(&["send", "--watch"]);
    eventually("the receipt", || (retained(&pair) == 1).then_some(()));
    pair.sender.run(&["proof", &id]).expect(1).says(&format!("no receiver has acknowledged message {id} to "));
    pair.sender.run(&["proof", "0/unknown"]).expect(1).says("no journal of a sender knows message 0/unknown");
    pair.sender
        .run(&["queue", "status", "--json"])
        .expect(0)
        .says("\"unacknowledged\":{\"messages\":1,\"oldest\":\"20");
    let _receiver = pair.receiver.start(&["receive"]);
    all_acknowledged(&pair, &sender);
    pair.sender.run(&["queue", "status", "--json"]).expect(0).says("\"unacknowledged\":{\"messages\":0,");
    pair.receiver.run(&["queue", "status", "central"]).expect(0).says("central   1 (");

    let said = pair.sender.run(&["proof", &id]).expect(0).output;
    let folder = pair.sender.folder.join(format!("proof-{}", id.replace('/', "-")));
    assert!(said.contains("1 acknowledgement message written to proof-"), "{said}");
    std::fs::write(folder.join("content-1-1"), body).unwrap();
    let printed = all_succeed(&folder);
    assert_eq!(printed.matches(&format!("\"id\":\"{id}\"")).count(), 2, "the line itself, with and without the digest");
    assert!(printed.contains("CN = receiver.example.org"), "{printed}");

    let commands = commands(&folder);
    let (verify, crls, digest) = (&commands[0], &commands[1], commands.last().unwrap());
    assert!(verify.starts_with("openssl cms -verify ") && crls.contains(" -crl_check_all "), "{commands:?}");
    let message = folder.join("acknowledgement-1.eml");
    // The signature itself is at the end of its part, in base64.
    let signature = |raw: &[u8]| {
        let end = raw.windows(4).rposition(|found| found == b"\n\n--").unwrap() - 100;
        (end..).find(|&at| raw[at].is_ascii_alphanumeric()).unwrap()
    };
    let raw = std::fs::read(&message).unwrap();
    for place in [find(&raw, b"accepted"), find(&raw, id.as_bytes()), signature(&raw)] {
        changed(
            &message,
            |_| place,
            || {
                assert!(!run(&folder, verify).status.success(), "a changed acknowledgement was verified");
                assert!(!run(&folder, crls).status.success(), "a changed acknowledgement was verified");
            },
        );
    }
    changed(
        &folder.join("content-1-1"),
        |_| 6,
        || {
            assert!(!run(&folder, digest).status.success(), "other content has the digest");
        },
    );
    all_succeed(&folder);

    let before = std::fs::read(folder.join("README.txt")).unwrap();
    pair.sender.run(&["proof", &id]).expect(1).says("exists, and nothing is overwritten");
    assert_eq!(std::fs::read(folder.join("README.txt")).unwrap(), before);
}

#[test]
fn an_acknowledgement_in_base64_and_with_the_content_inside_is_a_proof_as_well() {
    let broker = shared(Kind::ActiveMq);
    let (pair, queue) = pair(broker, Way::Plain, "required", "");
    let id = python::add(&pair.outgoing(), &[b"Site: Y\n"]).remove(0);
    let _sender = pair.sender.start(&["send", "--watch"]);
    eventually("the receipt", || (retained(&pair) == 1).then_some(()));
    let link = Way::Plain.link(broker, &pair.sender.host);
    let taken = python::take(&link, &pair.destination, 1).remove(0);
    // A name with a letter that needs an encoding, and a quote that a shell would act on.
    let said = line(&id, b"Site: Y\n", &sent(&taken.body)).replace("\"x\"", "\"CN=Zürich's $(false)\"");
    let encoded = String::from_utf8(openssl::run(&["base64"], said.as_bytes())).unwrap();
    let receiver = pki().host("receiver.example.org");
    let head = "Content-Type: application/sesame-acknowledgement; version=1\r\nContent-Transfer-Encoding: base64";
    let content = format!("{head}\r\n\r\n{}", encoded.replace('\n', "\r\n"));
    python::send(&link, &queue, &[acknowledgement(&receiver, &content, &["cms", "-sign", "-nodetach"])]);
    eventually("the acknowledgement", || (retained(&pair) == 0).then_some(()));
    let folder = pair.sender.folder.join("given");
    pair.sender.run(&["proof", &id, "--output", &folder.display().to_string()]).expect(0);
    std::fs::write(folder.join("content-1-1"), b"Site: Y\n").unwrap();
    let printed = all_succeed(&folder);
    assert_eq!(printed.matches("Zürich's $(false)").count(), 2, "{printed}");
    assert_eq!(queues::outgoing(&pair.outgoing()).len(), 0);
}
