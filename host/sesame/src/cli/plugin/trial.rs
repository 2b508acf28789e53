//! `sesame plugin try`: a component that is not installed, asked about messages that are there. Shows the messages on which
//! the channel would decide otherwise with it. Nothing is sent, stored or removed.
//!
//! A message of a receiver that is there as it came is decided by `receiver::decide`, as a delivery is: it is opened, and its
//! signer verified, with today's lists and CRLs. Of others the content goes through the plugins.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context as _;
use serde_json::json;

use super::super::context::{say_compiling, select};
use super::super::explain::{Explanation, field, placeholder, plain_input, snapshot_with};
use super::super::queue::{Place, chosen, open, read_file, storage};
use super::super::{EXIT_DONE, EXIT_FAILED, output};
use super::Try;
use crate::channel::Channel;
use crate::config::{Config, Kind};
use crate::receiver::{Received, Snapshot, decide};
use crate::service::{Shared, with_candidate};
use message::{Code, Direction, Fate, MessageId, content_digest};
use plugins::{Input, Outcome, Pipeline, SignerFacts};
use spool::Outgoing;

/// The largest message that is read, in bytes.
const LARGEST: u64 = 1 << 30;

/// A message to try.
struct Subject {
    name: String,
    /// As it came, if that is there.
    sealed: Option<Vec<u8>>,
    content: Vec<u8>,
    id: MessageId,
    /// The DN of the signer, as elements name it.
    signer: Option<String>,
    since: SystemTime,
}

/// What would become of a message, as far as it is compared.
#[derive(Debug, PartialEq)]
struct Verdict {
    fate: Fate,
    /// Whether a plugin could not answer.
    failed: bool,
    reason: Option<String>,
    /// Code, record and field of each finding.
    findings: Vec<(String, Option<u32>, Option<String>)>,
    /// Where content would go, and which.
    contents: Vec<(String, [u8; 32])>,
}

/// The channel as it is and with the candidate.
struct Trial<'a> {
    direction: Direction,
    destination: &'a str,
    max_payload: u64,
    pipelines: [Arc<Pipeline>; 2],
    /// What a receiver decides with.
    snapshot: Option<Snapshot>,
}

/// How many messages there were, and what became of them.
#[derive(Debug, Default)]
struct Count {
    tried: usize,
    differ: usize,
    failed: usize,
}

pub(super) fn run(arguments: &Try, config: &Config) -> anyhow::Result<u8> {
    let channel = &arguments.channel;
    if let Err(status) = select(config, std::slice::from_ref(channel), Kind::Any) {
        return Ok(status);
    }
    let source = match Source::of(config, channel, &arguments.from) {
        Ok(source) => source,
        Err(status) => return Ok(status),
    };
    let trial = Trial::new(config, channel, &arguments.file)?;
    let mut table = output::Table::new(&["MESSAGE", "NOW", "WITH IT"]);
    let mut count = Count::default();
    source.each(config, arguments.limit, |subject| {
        let [now, then] = trial.verdicts(&subject);
        count.tried += 1;
        count.failed += usize::from(then.failed && !now.failed);
        if now == then {
            return;
        }
        count.differ += 1;
        if arguments.json {
            output::json(&json!({ "message": subject.name, "now": now.words(), "then": then.words_beside(&now) }));
        } else {
            table.row([subject.name.clone(), now.words(), then.words_beside(&now)]);
        }
    })?;
    if !arguments.json {
        if count.differ > 0 {
            table.print();
        }
        let Count { tried, differ, failed } = count;
        output::line(&format!("{tried} messages, {differ} verdicts differ, the plugin fails for {failed}"));
    }
    Ok(if count.failed > 0 { EXIT_FAILED } else { EXIT_DONE })
}

/// Where the messages are.
enum Source {
    Queue(Place),
    /// A folder with one message a file.
    Folder(PathBuf),
}

impl Source {
    /// A text with a slash is a folder. Reports a wrong name and returns the exit status for it.
    fn of(config: &Config, channel: &str, from: &str) -> Result<Self, u8> {
        if from.contains('/') || from == "." {
            return Ok(Self::Folder(from.into()));
        }
        let places = chosen(config, std::slice::from_ref(&channel.to_owned()), Some(from))?;
        places.into_iter().next().map(Self::Queue).ok_or(output::EXIT_USAGE)
    }

    /// At most `limit` messages, in order.
    fn each(&self, config: &Config, limit: usize, mut take: impl FnMut(Subject)) -> anyhow::Result<()> {
        match self {
            Self::Folder(folder) => {
                let read = || format!("cannot read {}", folder.display());
                let mut files: Vec<PathBuf> = Vec::new();
                for entry in fs::read_dir(folder).with_context(read)? {
                    files.push(entry.with_context(read)?.path());
                }
                files.sort();
                files.retain(|file| file.is_file());
                for file in files.iter().take(limit) {
                    take(Subject::file(file, file)?);
                }
                Ok(())
            }
            Self::Queue(place) if place.format.is_some() => outgoing(place, limit, take),
            Self::Queue(place) => {
                let Some(queue) = open(place, &storage(config, &place.channel))? else { return Ok(()) };
                for element in queue.elements()?.take(limit) {
                    let element = element?;
                    // An element may be taken away meanwhile.
                    let Ok(read) = queue.read(&element, LARGEST) else { continue };
                    take(Subject::element(element.to_string(), read.fields, read.modified));
                }
                Ok(())
            }
        }
    }
}

fn outgoing(place: &Place, limit: usize, mut take: impl FnMut(Subject)) -> anyhow::Result<()> {
    let Some(format) = place.format else { return Ok(()) };
    let mut scan = Outgoing::open(&place.path, format)?.scan()?;
    for _ in 0..limit {
        let Some(name) = scan.next(|_| false)? else { break };
        let path = place.path.join(name.as_os_str());
        if path.exists() {
            take(Subject::file(&path, Path::new(name.as_os_str()))?);
        }
    }
    Ok(())
}

impl Subject {
    fn file(path: &Path, shown: &Path) -> anyhow::Result<Self> {
        let read = read_file(path, LARGEST).with_context(|| format!("cannot read {}", path.display()))?;
        let content = read.with_context(|| format!("{} has more than {LARGEST} bytes", path.display()))?;
        let (name, id) = (shown.display().to_string(), placeholder());
        Ok(Self { name, sealed: None, content, id, signer: None, since: SystemTime::now() })
    }

    fn element(name: String, mut fields: BTreeMap<String, Vec<u8>>, since: SystemTime) -> Self {
        let text = |field: &str| fields.get(field).map(|bytes| output::text(bytes));
        let id = text("empaid").map_or_else(placeholder, |id| MessageId::from_peer(&id));
        let signer = text("signer").filter(|signer| signer != crate::channel::NO_SIGNER);
        let (sealed, content) = (fields.remove("sealed"), fields.remove("body").unwrap_or_default());
        Self { name, sealed, content, id, signer, since }
    }
}

impl<'a> Trial<'a> {
    fn new(config: &'a Config, name: &str, candidate: &Path) -> anyhow::Result<Self> {
        let shared = Shared::start(config)?;
        let sender = config.senders.get(name);
        let channel = sender.map_or_else(|| Channel::receiver(name), |_| Channel::sender(name));
        say_compiling(&shared, config, &channel);
        let (now, then) = with_candidate(&shared, config, &channel, candidate)?;
        let pipelines = [now, then].map(Arc::new);
        if let Some(sender) = sender {
            let (destination, max_payload) = (sender.destination.as_str(), sender.max_payload);
            let direction = Direction::Outbound;
            return Ok(Self { direction, destination, max_payload, pipelines, snapshot: None });
        }
        let receiver = config.receivers.get(name).with_context(|| format!("there is no receiver {name:?}"))?;
        let (destination, max_payload) = (receiver.destination.as_str(), receiver.max_payload);
        let snapshot = Some(snapshot_with(config, name, &shared, |_| Ok(Arc::clone(&pipelines[0])))?);
        Ok(Self { direction: Direction::Inbound, destination, max_payload, pipelines, snapshot })
    }

    /// The verdict as it is now, and with the candidate.
    fn verdicts(&self, subject: &Subject) -> [Verdict; 2] {
        self.pipelines.each_ref().map(|pipeline| match (&subject.sealed, &self.snapshot) {
            (Some(sealed), Some(snapshot)) => {
                let snapshot = Snapshot { pipeline: Arc::clone(pipeline), ..snapshot.clone() };
                decided(&snapshot, subject, sealed)
            }
            _ => self.asked(pipeline, subject),
        })
    }

    /// What the plugins answer to the content.
    fn asked(&self, pipeline: &Pipeline, subject: &Subject) -> Verdict {
        let fate = if self.direction == Direction::Outbound { Fate::Sent } else { Fate::Stored };
        if subject.content.is_empty() || subject.content.len() as u64 > self.max_payload {
            let reason = Some("no content for plugins".to_owned());
            return Verdict { fate: Fate::Rejected, failed: false, reason, findings: Vec::new(), contents: Vec::new() };
        }
        let signer = subject.signer.as_ref().map(|name| SignerFacts {
            subject: name.clone(),
            subject_slash: name.starts_with('/').then(|| name.clone()),
            ..SignerFacts::default()
        });
        let input = Input { signer: signer.as_ref(), ..plain_input(&subject.id, self.destination) };
        let outcome = pipeline.run(&input, &subject.content);
        Verdict::of(fate, outcome, &subject.content)
    }
}

fn decided(snapshot: &Snapshot, subject: &Subject, sealed: &[u8]) -> Verdict {
    let header_id = Some(subject.id.as_str());
    let received = Received { raw: sealed, header_id, headers: &[], at: subject.since, attempt: 1 };
    let decision = decide(&received, snapshot, SystemTime::now());
    let reason = decision.reason();
    let contents = decision.elements.iter().map(|element| {
        let body = field(element, "body").map(content_digest).unwrap_or_default();
        (element.queue.display().to_string(), body)
    });
    Verdict {
        fate: decision.disposition.fate(),
        failed: reason.as_ref().is_some_and(|reason| reason.starts_with(Code::PluginFailed.as_str())),
        reason,
        contents: contents.collect(),
        findings: Verdict::findings(&decision.findings),
    }
}

impl Verdict {
    /// Of a message with this fate if nothing stops it.
    fn of(fate: Fate, outcome: Outcome, content: &[u8]) -> Self {
        let mut explanation = Explanation::new(fate);
        let (mut contents, failed) = (Vec::new(), matches!(outcome, Outcome::Failed { .. }));
        explanation.take(outcome, |_, output| {
            let digest = content_digest(output.payload.as_deref().unwrap_or(content));
            contents.push((format!("{:?} {:?} {:?}", output.routes, output.content_type, output.headers), digest));
        });
        let Explanation { fate, reason, findings, .. } = explanation;
        Self { fate, failed, reason, findings: Self::findings(&findings), contents }
    }

    fn findings(findings: &[message::Finding]) -> Vec<(String, Option<u32>, Option<String>)> {
        findings.iter().map(|one| (one.code.clone(), one.record_number, one.field.clone())).collect()
    }

    fn words(&self) -> String {
        match &self.reason {
            Some(reason) => format!("{}: {reason}", self.fate),
            None => self.fate.to_string(),
        }
    }

    /// The same, with what differs where the words do not say it.
    fn words_beside(&self, now: &Self) -> String {
        let words = self.words();
        match words == now.words() {
            false => words,
            true if self.contents != now.contents => format!("{words}, other content, headers or routes"),
            true => format!("{words}, other findings"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::queue::Site;
    use super::*;
    use message::{Finding, Severity};
    use plugins::Output;

    #[test]
    fn verdicts_differ_in_fate_findings_and_content() {
        let passed = |payload: Option<&[u8]>| {
            let payload = payload.map(<[u8]>::to_vec);
            let output = Output { payload, content_type: None, headers: vec![], routes: vec![], part: None };
            let outcome = Outcome::Pass { outputs: vec![output], refused: vec![], findings: vec![] };
            Verdict::of(Fate::Stored, outcome, b"a: 1\n")
        };
        let now = passed(None);
        assert_eq!(passed(Some(b"a: 1\n")), now, "the same content");
        let other = passed(Some(b"a: 2\n"));
        assert_eq!(other.words_beside(&now), "stored, other content, headers or routes");
        let (code, text) = ("site.unknown".to_owned(), "is not listed".to_owned());
        let finding = Finding { severity: Severity::Error, code, text, record_number: None, field: None, value: None };
        let invalid = Outcome::Invalid { findings: vec![finding], plugin: "sites.wasm".to_owned() };
        let invalid = Verdict::of(Fate::Stored, invalid, b"a: 1\n");
        assert_ne!(invalid, now);
        assert!(invalid.words_beside(&now).starts_with("rejected: plugin-invalid: sites.wasm: "), "{invalid:?}");
        assert!(!invalid.failed);
        let (after, reason, plugin) = (None, "not yet".to_owned(), "sites.wasm".to_owned());
        let later = Verdict::of(Fate::Sent, Outcome::Retry { after, reason, plugin }, b"a: 1\n");
        assert_eq!((later.fate, later.failed), (Fate::Waiting, false), "it answered");
    }

    #[test]
    fn messages_are_taken_from_a_folder_and_from_queues() {
        let site = Site::new();
        let names = |from: &str| {
            let mut names = Vec::new();
            let source = Source::of(&site.config, "cpu", from).unwrap();
            source.each(&site.config, 2, |subject| names.push(subject.name)).unwrap();
            names
        };
        let folder = site.folder.path().join("messages");
        fs::create_dir_all(folder.join("sub")).unwrap();
        for name in ["b", "a", "c"] {
            fs::write(folder.join(name), "x").unwrap();
        }
        let shown = |name: &str| folder.join(name).display().to_string();
        assert_eq!(names(folder.to_str().unwrap()), [shown("a"), shown("b")]);
        let sender = &site.config.senders["cpu"];
        let outgoing = Outgoing::open(&sender.queue, sender.format).unwrap();
        let name = outgoing.add(None, b"a: 1\n").unwrap();
        assert_eq!(names("outgoing"), [name.to_string()]);
        assert!(names("reject").is_empty());
        assert_eq!(Source::of(&site.config, "cpu", "nowhere").err(), Some(output::EXIT_USAGE));
    }
}
