//! What both sides count of a month: equal where all arrived, and a lost message is named by its site.

use std::path::PathBuf;

use message::{MessageId, Month};

use crate::acknowledgements::{all_acknowledged, pair};
use crate::harness::eventually;
use crate::peers::broker::shared;
use crate::peers::openssl::{pki, verify};
use crate::peers::{Kind, python};
use crate::queues;
use crate::sesame::{Pair, Site, Way};

fn sync(sites: &[&str]) -> Vec<u8> {
    let record = |site: &&str| format!("Site: {site}\nSubmitHost: ce\nNumberOfJobs: 1\nMonth: 10\nYear: 2026\n%%\n");
    format!("APEL-sync-message: v0.1\n{}", sites.iter().map(record).collect::<String>()).into_bytes()
}

fn report(site: &Site, month: &str, options: &[&str], file: &str) -> PathBuf {
    let output = site.run(&[&["report", "--month", month], options].concat()).expect(0).output;
    site.folder.write(file, output)
}

fn both(pair: &Pair, month: &str) -> [PathBuf; 2] {
    [report(&pair.sender, month, &["--sign"], "a.eml"), report(&pair.receiver, month, &["--json"], "b.json")]
}

#[test]
fn both_sides_report_the_same_until_a_message_is_lost() {
    let broker = shared(Kind::RabbitMq);
    let (pair, _) = pair(broker, Way::Plain, "required", "");
    let bodies = [sync(&["A", "B", "A"]), sync(&["=B,\"\u{1b}"])];
    let ids = python::add(&pair.outgoing(), &[&bodies[0], &bodies[1]]);
    let month = Month::of(MessageId::parse(&ids[0]).unwrap().made().unwrap()).to_string();
    let mut receiver = pair.receiver.start(&["receive"]);
    let mut sender = pair.sender.start(&["send", "--watch"]);
    all_acknowledged(&pair, &sender);

    let [a, b] = both(&pair, &month);
    let signed = std::fs::read(&a).unwrap();
    let content = String::from_utf8(verify("cms", pki(), &signed)).unwrap();
    assert!(
        content.contains("\"site\":\"A\",\"format\":\"sync\",\"sent\":{\"messages\":1,\"records\":2}"),
        "{content}"
    );
    let compared = |a: &PathBuf, b: &PathBuf, code| {
        pair.receiver.run(&["report", "--compare", a.to_str().unwrap(), b.to_str().unwrap()]).expect(code)
    };
    let equal = compared(&a, &b, 0).says("no difference");
    assert!(equal.output.contains("signed by ") && equal.output.contains("CN=sender.example.org"), "{}", equal.output);
    let table = pair.sender.run(&["report", "cpu", "--month", &month]).expect(0).output;
    assert!(table.lines().any(|line| line.split_whitespace().take(5).eq(["cpu", "A", "sync", "2", "(1)"])), "{table}");
    let csv = pair.receiver.run(&["report", "--month", &month, "--csv"]).expect(0).output;
    assert!(csv.contains(",sync,1,2,1,2,0,0,0,0,0,0,0,0\r\n") && csv.contains(",\"'=B,\"\"\\u{1b}\",sync,"), "{csv}");

    assert_eq!(receiver.stop(), 0);
    let sent = python::add(&pair.outgoing(), &[&sync(&["LOST", "B"])]).len();
    eventually("the receipt", || queues::outgoing(&pair.outgoing()).is_empty().then_some(()));
    let lost = python::take(&Way::Plain.link(broker, &pair.sender.host), &pair.destination, sent);
    assert_eq!(lost.len(), 1);
    let mut receiver = pair.receiver.start(&["receive"]);
    python::add(&pair.outgoing(), &[&sync(&["C"])]);
    eventually("the message after it", || (queues::count(&pair.incoming()) == 3).then_some(()));
    // The receiver may have a message before its sender wrote that it was sent.
    let missing = eventually("the sender's journal", || {
        let said = pair.sender.run(&["report", "--month", &month, "--json"]).expect(0);
        said.output.contains("\"site\":\"C\"").then_some(said)
    });
    missing.says("\"missing\":{\"messages\":1,\"records\":1}");
    let [a, b] = both(&pair, &month);
    let different = compared(&a, &b, 1).output;
    let lines: Vec<&str> = different.lines().collect();
    assert_eq!(lines.len(), 5, "{different}");
    let named = |words: &[&str]| lines.iter().any(|line| line.split_whitespace().take(words.len()).eq(words.to_vec()));
    assert!(named(&["LOST", "sync", "1", "(1)", "0", "0", "0"]), "{different}");
    assert!(named(&["B", "sync", "2", "(2)", "1", "(1)", "0", "0"]), "{different}");

    let changed = String::from_utf8(signed).unwrap().replace("\"messages\":1", "\"messages\":2");
    let changed = pair.sender.folder.write("changed.eml", changed);
    compared(&changed, &b, 2).says("signature");
    compared(&pair.sender.folder.join("none"), &b, 2).says("cannot read");
    assert_eq!((sender.stop(), receiver.stop()), (0, 0));
}
