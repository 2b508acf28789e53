//! `sesame proof`: the signed acknowledgements of a message, with what is needed to check them without Sesame.
//!
//! An acknowledgement message is verified again before it is written, as of the time when it was received. CRLs do not
//! count for that: those of today say nothing about that time. They are written as well, and the `README.txt` says how to
//! check the certificate with them.
//!
//! # On disk
//! A new directory with `README.txt` and, for each acknowledgement message N, `acknowledgement-N.eml` (as received),
//! `signer-N.pem` and `trusted-N.pem` (issuers, trust anchor, CRLs). Nothing is overwritten.

mod readme;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, bail};
use clap::Args;

use super::context::{journal_in, say_not_run};
use super::{EXIT_DONE, output};
use crate::channel::{JOURNAL, trust_settings};
use crate::config::{self, Config};
use message::MessageId;
use message::acknowledgement::{Acknowledgement, ContentDigest, MOST_BYTES, is_acknowledgement};
use message::cause::chain;
use smime::{OpenError, OpenPolicy, Opened};
use spool::journal::{Journal, KeptProof, Proved};
use trust::{CertPath, CrlMode, PathCrl, Role, Signer, TrustStore, seconds};

/// `sesame proof`.
#[derive(Args, Debug)]
pub struct Proof {
    /// Message id as in the log and in `sesame trace`, or the id of a part.
    #[arg(value_name = "ID")]
    pub id: String,
    /// Directory to create for the files [default: proof-ID].
    #[arg(long, short, value_name = "DIRECTORY")]
    pub output: Option<PathBuf>,
}

/// An acknowledgement message, verified, and what it says about the message.
struct Evidence {
    channel: String,
    received: SystemTime,
    raw: Vec<u8>,
    signer: Signer,
    /// The signer's certificate in PEM.
    certificate: Vec<u8>,
    /// Its issuers, the trust anchor and their CRLs in PEM.
    trusted: Vec<u8>,
    crls: Crls,
    lines: Vec<Line>,
}

/// What an acknowledgement message says about one part of the message.
struct Line {
    sent: Proved,
    /// The line as signed.
    text: String,
}

/// How the certificate is checked with the CRLs.
enum Crls {
    /// There is none of the signer's issuer.
    Missing,
    /// With this option, as of this time.
    Usable { option: &'static str, at: u64 },
    /// They are stale, or the certificate was revoked.
    Unusable(String),
}

/// What the journals have about the message.
#[derive(Default)]
struct Found {
    evidence: Vec<Evidence>,
    /// Parts that no receiver has acknowledged, as text.
    open: Vec<String>,
    /// Parts whose acknowledgement is older than the retention, as text.
    expired: Vec<String>,
    /// Channels whose journal knows the message.
    known: Vec<String>,
    /// The journals.
    read: Vec<String>,
}

pub(super) fn run(config: &Config, arguments: &Proof) -> anyhow::Result<u8> {
    if config.senders.is_empty() {
        bail!(
            "this configuration has no sender: the sending side keeps acknowledgements, so run `sesame proof` there; `sesame \
             trace` shows what this side decided about the message"
        );
    }
    let id = MessageId::from_peer(arguments.id.trim());
    let mut found = Found::default();
    for (name, sender) in &config.senders {
        let Some(journal) = journal_in(&sender.state)? else {
            say_not_run(name, &sender.state);
            continue;
        };
        search(&journal, (name, sender), &id, &mut found)?;
        found.read.push(sender.state.join(JOURNAL).display().to_string());
    }
    if found.evidence.is_empty() {
        return Err(nothing(&id, &found));
    }
    let directory =
        arguments.output.clone().unwrap_or_else(|| format!("proof-{}", id.as_str().replace('/', "-")).into());
    write(&directory, &id, &found)?;
    let messages = output::count(found.evidence.len(), "acknowledgement message");
    output::line(&format!("{messages} written to {}; README.txt has the commands", directory.display()));
    for part in &found.open {
        output::line(&format!("not acknowledged: {part}"));
    }
    for part in &found.expired {
        output::line(&format!("acknowledgement no longer kept: {part}"));
    }
    Ok(EXIT_DONE)
}

/// Why there is nothing to write.
fn nothing(id: &MessageId, found: &Found) -> anyhow::Error {
    let (expired, known) = (found.expired.join(", "), found.known.join(", "));
    if !found.expired.is_empty() {
        return anyhow::anyhow!(
            "the acknowledgement of {expired} is older than the journal's retention and no longer kept"
        );
    }
    if !found.open.is_empty() {
        return anyhow::anyhow!("no receiver has acknowledged {}", found.open.join(", "));
    }
    if !found.known.is_empty() {
        return anyhow::anyhow!("message {id} was not numbered for acknowledgements (channel {known})");
    }
    let searched = if found.read.is_empty() { "there is none yet".to_owned() } else { found.read.join(", ") };
    anyhow::anyhow!("no journal of a sender knows message {id} (searched: {searched})")
}

/// Adds what the journal has about the message in a channel.
fn search(
    journal: &Journal,
    (channel, sender): (&str, &config::Sender),
    id: &MessageId,
    found: &mut Found,
) -> anyhow::Result<()> {
    let proved = journal.proved(channel, id)?;
    if !proved.is_empty() || journal.trace(id)?.iter().any(|step| step.channel == channel) {
        found.known.push(channel.to_owned());
    }
    let mut by_proof: BTreeMap<i64, Vec<Proved>> = BTreeMap::new();
    for one in proved {
        match one.proof {
            Some(number) => by_proof.entry(number).or_default().push(one),
            None => found.open.push(named(&one, channel)),
        }
    }
    for (number, sent) in by_proof {
        match journal.proof(number)? {
            Some(kept) => found.evidence.push(verify(kept, sent, (channel, sender))?),
            None => found.expired.extend(sent.iter().map(|one| named(one, channel))),
        }
    }
    Ok(())
}

fn named(sent: &Proved, channel: &str) -> String {
    format!("message {} to {} (channel {channel})", sent.id, sent.destination)
}

/// Verifies an acknowledgement message as of the time when it was received, and collects what proves it.
fn verify(kept: KeptProof, sent: Vec<Proved>, (channel, sender): (&str, &config::Sender)) -> anyhow::Result<Evidence> {
    let KeptProof { at, raw } = kept;
    let load = |crls| TrustStore::load(&trust::TrustSettings { crls, ..trust_settings(&sender.trust) });
    let opened = open(&raw, &load(CrlMode::Ignore)?, at)
        .with_context(|| format!("the acknowledgement message of {} cannot be verified any more", output::time(at)))?;
    let lines = lines(&opened, sent)?;
    let path = opened.path().context("its certification path is unknown")?;
    let with_crls = load(CrlMode::IfPresent)?;
    let crls = with_crls.crls_of(path);
    let (certificate, trusted) = pem(path, &crls)?;
    let crls = usable(&with_crls, path, &crls, at);
    let signer = Signer::clone(path.signer());
    Ok(Evidence { channel: channel.to_owned(), received: at, signer, certificate, trusted, crls, lines, raw })
}

fn open(raw: &[u8], trust: &TrustStore, at: SystemTime) -> anyhow::Result<Opened> {
    let policy = OpenPolicy {
        encryption_required: false,
        allow_sha1: false,
        max_payload: MOST_BYTES,
        max_age: None,
        names: Vec::new(),
    };
    match smime::open(raw, &[], trust, &policy, at) {
        Ok(opened) if opened.content_type().is_some_and(is_acknowledgement) => Ok(opened),
        Ok(_) => bail!("it is no acknowledgement"),
        Err(OpenError::NotForUs { .. }) => bail!("it is encrypted, so that no one else can check it"),
        Err(error) => Err(error.into()),
    }
}

/// The lines of an acknowledgement message about these parts.
fn lines(opened: &Opened, sent: Vec<Proved>) -> anyhow::Result<Vec<Line>> {
    let mut all = Vec::new();
    for line in opened.payload().split(|&byte| byte == b'\n') {
        for said in Acknowledgement::parse(line)? {
            all.push((said, String::from_utf8_lossy(line).trim_end().to_owned()));
        }
    }
    let about = |sent: Proved| {
        let digest = ContentDigest(sent.digest);
        let same =
            |said: &Acknowledgement| said.id == sent.id && said.digest == digest && said.sequence == sent.sequence;
        let text = all.iter().find(|(said, _)| same(said)).map(|(_, text)| text.clone());
        let text = text.with_context(|| format!("the acknowledgement message has no line about {}", sent.id))?;
        Ok(Line { sent, text })
    };
    sent.into_iter().map(about).collect()
}

/// The signer's certificate, and what it is checked with.
fn pem(path: &CertPath, crls: &[PathCrl]) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
    let all = path.certificates();
    let leaf = all.first().context("an empty certification path")?.to_pem()?;
    // A certificate that is a trust anchor itself has no issuers.
    let issuers = if all.len() > 1 { all.get(1..).unwrap_or_default() } else { all };
    let mut trusted = Vec::new();
    for certificate in issuers {
        trusted.extend(certificate.to_pem()?);
    }
    crls.iter().for_each(|crl| trusted.extend(&crl.pem));
    Ok((leaf, trusted))
}

/// How the certificate is checked with the CRLs: as of the receipt where they are of that time, otherwise as of now.
fn usable(trust: &TrustStore, path: &CertPath, crls: &[PathCrl], received: SystemTime) -> Crls {
    let (received_at, issuers) = (seconds(received), path.certificates().len());
    let of = |issuer: usize| crls.iter().filter(move |crl| crl.issuer == issuer);
    if of(1).next().is_none() {
        return Crls::Missing;
    }
    let all = (1..issuers).all(|issuer| of(issuer).next().is_some());
    let (option, checked) = if all { ("-crl_check_all", 1..issuers) } else { ("-crl_check", 1..2) };
    let covers =
        |crl: &PathCrl| crl.this_update <= received_at && crl.next_update.is_some_and(|end| received_at <= end);
    let at = if checked.into_iter().all(|issuer| of(issuer).any(covers)) { received } else { SystemTime::now() };
    let (leaf, others) = match path.certificates() {
        [leaf, others @ ..] => (leaf, others),
        [] => return Crls::Missing,
    };
    match trust.check_path(leaf, others, Role::MessageSigner, at) {
        Ok(_) => Crls::Usable { option, at: seconds(at) },
        Err(error) => Crls::Unusable(chain(&error)),
    }
}

/// Writes the directory, which must not exist.
fn write(directory: &Path, id: &MessageId, found: &Found) -> anyhow::Result<()> {
    match DirBuilder::new().create(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            bail!("{} exists, and nothing is overwritten: name another directory with --output", directory.display())
        }
        other => other.with_context(|| format!("cannot create directory {}", directory.display()))?,
    }
    for (number, evidence) in (1..).zip(&found.evidence) {
        new_file(directory, &format!("acknowledgement-{number}.eml"), &evidence.raw)?;
        new_file(directory, &format!("signer-{number}.pem"), &evidence.certificate)?;
        new_file(directory, &format!("trusted-{number}.pem"), &evidence.trusted)?;
    }
    new_file(directory, "README.txt", readme::text(id, found).as_bytes())
}

fn new_file(directory: &Path, name: &str, content: &[u8]) -> anyhow::Result<()> {
    let path = directory.join(name);
    let written = File::create_new(&path).and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()));
    written.with_context(|| format!("cannot write {}", path.display()))
}
