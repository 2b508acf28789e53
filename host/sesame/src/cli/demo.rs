//! `sesame demo`: sends sample messages, shows each step and where the files are.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;

use clap::Args;

use super::context::runtime;
use super::output;
use crate::demo::{Ending, Protocol, Scene, Story, play, stage};
use message::Fate;
use terminal::{EXIT_DONE, EXIT_FAILED};

/// `sesame demo`.
#[derive(Args, Debug)]
pub struct Demo {
    /// Folder for the files [default: a new folder in the temporary directory].
    #[arg(long, value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
    /// Send through the ARGO Messaging Service instead of a STOMP broker.
    #[arg(long)]
    pub ams: bool,
}

pub(super) fn run(arguments: &Demo) -> anyhow::Result<u8> {
    crate::log::start_for_command(crate::log::Level::Error)?;
    let folder = folder(arguments.folder.as_deref())?;
    let runtime = runtime().context("cannot start threads")?;
    let clean = runtime.block_on(perform(&folder, if arguments.ams { Protocol::Ams } else { Protocol::Stomp }))?;
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    Ok(if clean { EXIT_DONE } else { EXIT_FAILED })
}

/// The requested folder, which must be empty or absent, or a fresh one.
fn folder(wanted: Option<&Path>) -> anyhow::Result<PathBuf> {
    let Some(wanted) = wanted else {
        let fresh = tempfile::Builder::new().prefix("sesame-demo-").tempdir().context("cannot create a folder")?;
        return Ok(fresh.keep());
    };
    let empty = std::fs::read_dir(wanted).map_or(true, |mut entries| entries.next().is_none());
    anyhow::ensure!(empty, "{} is not empty: name another folder", wanted.display());
    Ok(wanted.to_owned())
}

async fn perform(folder: &Path, protocol: Protocol) -> anyhow::Result<bool> {
    let begun = Instant::now();
    let scene = stage(folder, protocol).await?;
    introduce(&scene);
    let mut number = 0;
    let stories = play(&scene, |story| {
        number += 1;
        print_story(story, number, scene.service.confirmation());
    })
    .await?;
    let ended = |ending: Ending| stories.iter().filter(|story| story.ending == ending).count();
    let (stored, rejected) = (ended(Ending::Stored), ended(Ending::Rejected));
    output::line("");
    output::line(&format!(
        "{} messages in {:.1} s: {stored} stored, {rejected} rejected, none lost.",
        stories.len(),
        begun.elapsed().as_secs_f32(),
    ));
    conclude(&scene);
    Ok(stored == scene.queued.len() - 1 && rejected == 2)
}

fn introduce(scene: &Scene) {
    output::line(&scene.service.introduction());
    output::line(&format!("{} messages are queued by a site and one by a stranger.", scene.queued.len()));
}

/// The steps of one message, a line each.
fn print_story(story: &Story, number: usize, confirmation: &str) {
    let sample = story.sample;
    output::line("");
    output::line(&format!(
        "{number}. {} ({}), {} bytes, id {}",
        sample.name,
        sample.about,
        sample.content.len(),
        story.id
    ));
    match story.sending.iter().find(|step| step.fate == Fate::Rejected) {
        Some(refused) => {
            step("sender", &format!("rejected: {}", refused.detail.as_deref().unwrap_or_default()));
            step("", &format!("kept, with the reason, in {}", refused.elements.join(", ")));
        }
        None => {
            step("sender", "passed the pipeline (builtin:passthrough), signed, encrypted for the receiver");
            step("broker", confirmation);
        }
    }
    for received in &story.receiving {
        let signer = crate::receiver::subject_of_key(&received.signer);
        step("receiver", &format!("decrypted; signature and certification path verified: {signer}"));
        let elements = received.elements.join(", ");
        let detail = received.detail.as_deref().unwrap_or_default();
        if received.fate == Fate::Stored {
            step("", "the signer is authorised; passed the pipeline (builtin:passthrough)");
            step("", &format!("stored durably, then acknowledged: spool/{elements}"));
        } else {
            step("", &format!("{}: {detail}", received.fate));
            step("", &format!("kept, with the reason, in spool/{elements}"));
        }
    }
}

fn step(who: &str, what: &str) {
    output::line(&format!("   {who:<9} {what}"));
}

fn conclude(scene: &Scene) {
    let folder = scene.folder.display();
    output::line("");
    output::line(&format!("All files are in {folder}:"));
    for (name, about) in [
        ("sesame.toml", "the configuration of a site"),
        ("dns", "the list of authorised signers"),
        ("spool/incoming", "received messages, one directory each: body, signer, empaid"),
        ("spool/reject", "messages refused on receipt: `error` and the message as received"),
        ("outgoing.reject", "messages refused before sending"),
        ("credentials", "throw-away certificates and their authority"),
    ] {
        output::line(&format!("   {name:<16} {about}"));
    }
    output::line("Try next:");
    let program = std::env::current_exe().map_or_else(|_| "sesame".to_owned(), |path| path.display().to_string());
    let config = scene.folder.join("sesame.toml");
    let config = config.display();
    output::line(&format!("   {program} queue list --config {config}"));
    if let Some((_, id)) = scene.queued.first() {
        output::line(&format!("   {program} trace {id} --config {config}"));
    }
}
