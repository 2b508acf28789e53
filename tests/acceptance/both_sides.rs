//! The pages that lead an operator step by step are followed: their files and commands are taken from the text, and what
//! the commands print is compared with it. Host names, ports and paths alone are others.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Child, Folder, eventually};
use crate::peers::broker::{Broker, Place};
use crate::peers::openssl::pki;
use crate::sesame::Site;

const BOTH_SIDES: &str = include_str!("../../docs/src/both-sides.md");
const CERTIFICATES: &str = include_str!("../../docs/src/certificates.md");

/// The fenced blocks of a page in this language.
fn blocks<'p>(page: &'p str, language: &str) -> Vec<&'p str> {
    let fence = format!("```{language}\n");
    page.split(fence.as_str()).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// A command of a page and the lines that it prints.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    /// What stands before the `$`: the machine.
    at: String,
    command: String,
    lines: Vec<String>,
}

/// The commands of a page, in order.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in blocks(page, "console").into_iter().flat_map(str::lines) {
        match line.split_once("$ ") {
            Some((at, command)) if at.chars().all(|c| c.is_ascii_alphanumeric()) => {
                steps.push(Step { at: at.to_owned(), command: command.to_owned(), lines: Vec::new() });
            }
            _ => steps.last_mut().unwrap().lines.push(line.to_owned()),
        }
    }
    steps
}

/// Whether a line is as the page has it; `…` stands for anything.
fn fits(line: &str, shown: &str) -> bool {
    let pieces: Vec<&str> = shown.split('…').collect();
    let (first, last) = (pieces[0], *pieces.last().unwrap());
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    for piece in pieces.iter().skip(1) {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.is_empty() || pieces.len() > 1 && (last.is_empty() || line.ends_with(last))
}

/// The first line of the page that is not among what was printed, in this order.
fn lacking<'s>(printed: &str, shown: &'s [String]) -> Option<&'s String> {
    let mut lines = printed.lines();
    shown.iter().find(|shown| !lines.any(|line| fits(line, shown)))
}

#[track_caller]
fn is_as_shown(printed: &str, step: &Step) {
    let lacks = lacking(printed, &step.lines);
    assert_eq!(lacks, None, "{}$ {}\nprinted:\n{printed}", step.at, step.command);
}

#[test]
fn a_line_fits_what_a_page_shows_of_it() {
    for (line, shown, expected) in [
        ("cpu  1 (3s)   0", "cpu  1 (…)…0", true),
        ("cpu  1 (3s)   10 ", "cpu  1 (…)…0", false),
        ("cpu  0", "cpu  1", false),
        ("a and b", "a", false),
        ("a and b", "a…", true),
        ("at 1 said b", "… said b", true),
        ("at 1 said b, c", "… said b", false),
    ] {
        assert_eq!(fits(line, shown), expected, "{line:?} {shown:?}");
    }
    let printed = "one\ntwo\n";
    assert_eq!(lacking(printed, &["one".to_owned(), "two".to_owned()]), None);
    assert!(lacking(printed, &["two".to_owned(), "one".to_owned()]).is_some());
}

/// The machines of the page.
struct World {
    mq: Broker,
    central: Site,
    ce: Site,
    running: Vec<(String, Child)>,
    /// The id that the page shows, and the real one.
    id: Option<(String, String)>,
}

/// The text with the names that the certificates of the tests have.
fn renamed(text: &str) -> String {
    text.replace("/O=eScience/", "/O=Sesame/OU=Hosts/").replace(",O=eScience,", ",OU=Hosts,O=Sesame,")
}

impl World {
    fn new() -> Self {
        let configuration = blocks(BOTH_SIDES, "ini")[0];
        let tables = blocks(BOTH_SIDES, "toml");
        let mq = Broker::configured(|place| broker_configuration(configuration, place));
        std::fs::write(definitions(), renamed(blocks(BOTH_SIDES, "json")[0])).unwrap();
        let (central, ce) = (Site::of("central.example.org"), Site::of("ce.example.org"));
        let (spool, list) =
            (central.spool("central"), central.folder.write("dns", renamed(blocks(BOTH_SIDES, "text")[0])));
        std::fs::create_dir_all(&spool).unwrap();
        std::fs::create_dir_all(ce.outgoing("cpu")).unwrap();
        ce.folder.write("record.txt", "Site: EXAMPLE\n");
        let places = |text: &str, places: &[(&str, &Path)]| {
            let text = renamed(text).replace("mq.example.org:61614", &mq.tls());
            places.iter().fold(text, |text, (place, real)| {
                assert!(text.contains(place), "{place}");
                text.replace(place, &real.display().to_string())
            })
        };
        let receiver = places(tables[0], &[("/etc/sesame/dns", &list), ("/var/spool/apel", &spool)]);
        let recipient = central.host.certificate.clone();
        let sender =
            [("/etc/sesame/receiver.pem", recipient.as_path()), ("/var/spool/apel/outgoing", &ce.outgoing("cpu"))];
        let sender = places(tables[1], &sender);
        Self {
            mq,
            central: central.with_sections(&receiver),
            ce: ce.with_sections(&sender),
            running: Vec::new(),
            id: None,
        }
    }

    fn take(&mut self, step: Step) {
        let (shown, real) = self.id.clone().unwrap_or_default();
        let with_id = |text: &str| match shown.as_str() {
            "" => renamed(text),
            shown => renamed(text).replace(shown, &real).replace(&shown.replace('/', "-"), &real.replace('/', "-")),
        };
        let step = Step {
            command: with_id(&step.command),
            lines: step.lines.iter().map(|line| with_id(line)).collect(),
            at: step.at,
        };
        let words: Vec<&str> = step.command.split(' ').collect();
        let site = if step.at == "central" { &self.central } else { &self.ce };
        match words[..] {
            ["rabbitmq-plugins", "enable", ..] => {
                assert_eq!(words[2..], ["rabbitmq_stomp", "rabbitmq_auth_mechanism_ssl"], "those of the test's broker");
            }
            ["rabbitmqctl", ref arguments @ ..] => {
                let file = definitions().display().to_string();
                let arguments: Vec<&str> =
                    arguments.iter().map(|word| if word.starts_with('/') { &file } else { *word }).collect();
                is_as_shown(&self.mq.ctl(&arguments), &step);
            }
            ["systemctl", "start", "sesame"] => {
                let child = site.start(&["run"]);
                self.running.push((step.at, child));
            }
            ["journalctl", ..] => {
                let (_, child) = self.running.iter().find(|(at, _)| *at == step.at).unwrap();
                eventually(&format!("{:?}", step.lines), || lacking(&child.log(), &step.lines).is_none().then_some(()));
            }
            ["sesame", "publish", ..] => {
                let printed = site.run(&words[1..]).expect(0).output;
                self.id = Some((step.lines[0].clone(), printed.trim().to_owned()));
            }
            ["sesame", ref arguments @ ..] => is_as_shown(&site.run(arguments).expect(0).output, &step),
            _ => panic!("no one runs {:?}", step.command),
        }
    }
}

/// The page's file of users and queues.
fn definitions() -> PathBuf {
    static FOLDER: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    FOLDER.get_or_init(|| Folder::for_the_run("definitions")).join("sesame.json")
}

/// The page's configuration of RabbitMQ at the ports of a test, with the plain listener by which a test sees that it runs.
fn broker_configuration(page: &str, place: &Place) -> String {
    let host = |path: &Path| path.display().to_string();
    let mut text = page.to_owned();
    for (line, instead) in [
        ("stomp.listeners.tcp = none", format!("stomp.listeners.tcp.1 = 127.0.0.1:{}", place.plain)),
        ("ssl.1 = 61614", format!("ssl.1 = 127.0.0.1:{}", place.tls)),
        ("/etc/rabbitmq/authorities.pem", host(&pki().authority())),
        ("/etc/rabbitmq/hostcert.pem", host(&place.host.certificate)),
        ("/etc/rabbitmq/hostkey.pem", host(&place.host.key)),
    ] {
        assert!(text.contains(line), "{line}");
        text = text.replace(line, &instead);
    }
    let definitions = place.folder.join("definitions.json");
    format!("{text}load_definitions = {}\ndisk_free_limit.absolute = 1MB\n", definitions.display())
}

#[test]
fn the_page_of_both_sides_is_followed_from_the_broker_to_the_proof() {
    let steps = steps(BOTH_SIDES);
    assert!(steps.len() >= 15, "{steps:?}");
    let mut world = World::new();
    for step in steps {
        world.take(step);
    }
    assert_eq!(world.running.len(), 2);
}

#[test]
fn the_commands_of_the_page_of_certificates_print_what_it_shows() {
    let steps = steps(CERTIFICATES);
    assert!(steps.len() >= 12, "{steps:?}");
    let folder = Folder::new("certificates");
    let host = pki().host("ce.example.org");
    let mut hash = String::new();
    for step in steps {
        // The request is for the name that the page has; the certificate comes from the authority of the tests.
        let made = step.command.contains("host.csr");
        let place = |text: &str| {
            let text = text.replace("/etc/grid-security/certificates", &pki().anchors().display().to_string());
            let text = if hash.is_empty() { text } else { text.replace("HASH", &hash) };
            if made { text } else { renamed(&text) }
        };
        let command = place(&step.command);
        let step = Step { lines: step.lines.iter().map(|line| place(line)).collect(), ..step };
        let output = Command::new("sh").arg("-c").arg(&command).current_dir(folder.path()).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{command}\n{}", String::from_utf8_lossy(&output.stderr));
        if command.ends_with("-issuer_hash") {
            hash = printed.trim().to_owned();
            continue;
        }
        is_as_shown(&printed, &step);
        if made && command.contains(" -verify ") {
            use std::os::unix::fs::PermissionsExt as _;
            let key = folder.join("hostkey.pem");
            assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o400);
            // What the authority sends back, with its key.
            std::fs::remove_file(&key).unwrap();
            std::fs::copy(&host.key, &key).unwrap();
            std::fs::copy(&host.certificate, folder.join("hostcert.pem")).unwrap();
        }
    }
    assert!(!hash.is_empty());
}
