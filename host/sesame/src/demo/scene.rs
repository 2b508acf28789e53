//! The demo's folder, and the play on it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::pki::{self, Pki};
use super::samples::{SAMPLES, Sample};
use super::service::{Protocol, Service};
use crate::config::{Config, ConfigErrors, Kind, SelectionError};
use crate::sender::Stay;
use crate::service::{ChannelError, Daemon, Shared};
use crate::shutdown;
use message::cause;
use message::{Fate, MessageId};
use plugins::StartError;
use spool::journal::{Journal, JournalError, Step};
use spool::{Format, Outgoing, SpoolError};
use testkit::pki::ThrowawayError;

/// How long the demo waits for the last verdict.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why the demo failed.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The folder.
    #[error("cannot write to the demo's folder {}", .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The certificates.
    #[error("cannot make the demo's certificates")]
    Certificates(#[from] ThrowawayError),
    /// The loopback broker, or the server of AMS.
    #[error("cannot start the demo's broker on 127.0.0.1")]
    Broker(#[source] std::io::Error),
    /// The configuration that the demo wrote.
    #[error("the demo's own configuration is wrong: {0}")]
    Configuration(#[from] ConfigErrors),
    /// Its channels.
    #[error(transparent)]
    Selection(#[from] SelectionError),
    /// Its channels.
    #[error("{}", .0.iter().map(|error| cause::chain(error)).collect::<Vec<_>>().join("; "))]
    Channels(Vec<ChannelError>),
    /// The plugin engine.
    #[error(transparent)]
    Plugins(#[from] StartError),
    /// A queue.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// A journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Not every message has its verdict.
    #[error("{missing} messages have no verdict after {}", message::duration::words(PATIENCE))]
    Unfinished {
        /// How many.
        missing: usize,
    },
}

/// The stage: a folder, a broker and queued messages.
#[derive(Debug)]
pub struct Scene {
    /// Everything lies here.
    pub folder: PathBuf,
    /// The configuration, as a site would write it.
    pub config: Config,
    /// What is between the sites.
    pub service: Service,
    /// What was queued, with the ids the messages have.
    pub queued: Vec<(Sample, MessageId)>,
    /// The message of a signer who is on no list.
    pub stranger: (Sample, MessageId),
}

/// How a message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// In incoming.
    Stored,
    /// In a reject queue.
    Rejected,
}

/// The way of one message.
#[derive(Clone, Debug)]
pub struct Story {
    /// The message.
    pub sample: Sample,
    /// Its id.
    pub id: MessageId,
    /// What the sender's journal says.
    pub sending: Vec<Step>,
    /// What the receiver's journal says.
    pub receiving: Vec<Step>,
    /// How it ended.
    pub ending: Ending,
}

fn folder_error(folder: &Path) -> impl Fn(std::io::Error) -> DemoError {
    let folder = folder.to_owned();
    move |source| DemoError::Folder { folder: folder.clone(), source }
}

/// Sets the stage in `folder`, which must be empty or absent.
///
/// # Errors
/// [`DemoError`].
pub async fn stage(folder: &Path, protocol: Protocol) -> Result<Scene, DemoError> {
    let failed = folder_error(folder);
    for part in ["", "credentials", "outgoing", "outgoing-stranger", "spool"] {
        std::fs::create_dir_all(folder.join(part)).map_err(&failed)?;
    }
    let folder = &folder.canonicalize().map_err(&failed)?;
    let pki = pki::make(&folder.join("credentials"))?;
    let service = Service::start(protocol, &pki).await.map_err(DemoError::Broker)?;
    let file = folder.join("sesame.toml");
    std::fs::write(folder.join("dns"), format!("# Who may send.\n{}\n", pki::SITE)).map_err(&failed)?;
    std::fs::write(&file, configuration(folder, &pki, &service)).map_err(&failed)?;
    let config = Config::load(&file)?;
    let outgoing = Outgoing::open(&folder.join("outgoing"), Format::Dirq)?;
    let mut queued = Vec::new();
    for sample in SAMPLES {
        let name = outgoing.add(None, sample.content.as_bytes())?;
        queued.push((*sample, MessageId::from_peer(&name.to_string())));
    }
    let about = "signed by a stranger, who is on no list";
    let sample = Sample { name: "stranger.txt", about, ..SAMPLES.first().copied().unwrap_or(STRANGERS) };
    let name = Outgoing::open(&folder.join("outgoing-stranger"), Format::Dirq)?.add(None, sample.content.as_bytes())?;
    let stranger = (sample, MessageId::from_peer(&name.to_string()));
    Ok(Scene { folder: folder.clone(), config, service, queued, stranger })
}

const STRANGERS: Sample = Sample { name: "stranger.txt", about: "", content: "" };

/// The configuration of the demo: what a site, a stranger and the central receiver would have, in one file.
fn configuration(folder: &Path, pki: &Pki, service: &Service) -> String {
    let path = |name: &str| format!("{:?}", folder.join(name).to_string_lossy());
    let file = |path: &Path| format!("{:?}", path.to_string_lossy());
    let mut text = String::new();
    let credential =
        |files: &(PathBuf, PathBuf)| format!("certificate = {}\nkey = {}\n", file(&files.0), file(&files.1));
    let _ = write!(
        text,
        "# The configuration of this demo, as a site and a central receiver would write theirs.\n\
         [credential]\n{site}\n\
         [trust]\nanchors = {anchors}\n\n\
         [plugins]\ncache = {cache}\n\n\
         [log]\nplugin-log = {plugin_log}\n\n\
         {broker}\n\
         [send.site]\nbroker = \"demo\"\nqueue = {outgoing}\n{target}\n\
         recipient-certificate = {central_certificate}\npoll = \"100ms\"\nmin-free = 0\n\n\
         [send.stranger]\nbroker = \"demo\"\nqueue = {outgoing_stranger}\n{target}\n\
         recipient-certificate = {central_certificate}\npoll = \"100ms\"\nmin-free = 0\n\
         [send.stranger.credential]\n{stranger}\n\
         [receive.central]\nbroker = \"demo\"\n{source}\nauthorised = {dns}\nspool = {spool}\n\
         encryption = \"required\"\nmin-free = 0\n\
         [receive.central.credential]\n{central}",
        broker = service.section(),
        target = service.target(),
        source = service.source(),
        site = credential(&pki.site),
        stranger = credential(&pki.stranger),
        central = credential(&pki.central),
        central_certificate = file(&pki.central.0),
        anchors = file(&pki.anchors),
        cache = path("cache"),
        plugin_log = path("plugins.log"),
        outgoing = path("outgoing"),
        outgoing_stranger = path("outgoing-stranger"),
        dns = path("dns"),
        spool = path("spool"),
    );
    text
}

impl Scene {
    fn messages(&self) -> impl Iterator<Item = &(Sample, MessageId)> {
        self.queued.iter().chain(std::iter::once(&self.stranger))
    }

    /// The stories of the messages that have a verdict, in the order in which they were queued.
    ///
    /// # Errors
    /// [`DemoError::Journal`].
    pub fn stories(&self) -> Result<Vec<Story>, DemoError> {
        let open = |name: &str| Journal::open_to_read(&self.folder.join(name).join(crate::channel::JOURNAL));
        let journals = [open("outgoing.state")?, open("outgoing-stranger.state")?];
        let receiver = open("spool")?;
        let mut stories = Vec::new();
        for (sample, id) in self.messages() {
            let mut sending = Vec::new();
            for journal in &journals {
                sending.extend(journal.trace(id)?);
            }
            let receiving = receiver.trace(id)?;
            let last = receiving.last().or_else(|| sending.iter().find(|step| step.fate == Fate::Rejected));
            let ending = match last.map(|step| step.fate) {
                Some(Fate::Stored) => Ending::Stored,
                Some(_) => Ending::Rejected,
                None => continue,
            };
            stories.push(Story { sample: *sample, id: id.clone(), sending, receiving, ending });
        }
        Ok(stories)
    }
}

/// Runs every channel of the scene until each message has its verdict; `seen` is called for each.
///
/// # Errors
/// [`DemoError`]; [`DemoError::Unfinished`] after half a minute.
pub async fn play(scene: &Scene, mut seen: impl FnMut(&Story)) -> Result<Vec<Story>, DemoError> {
    let shared = Shared::start(&scene.config)?;
    let selection = scene.config.select(&[], Kind::Any)?;
    let daemon = Daemon::build(&scene.config, &selection, &shared).map_err(DemoError::Channels)?;
    let (switch, shutdown) = shutdown::switch();
    let running = tokio::spawn(async move { daemon.run(Stay::Watch, &shutdown).await });
    let deadline = Instant::now() + PATIENCE;
    let wanted = scene.messages().count();
    let mut seen_ids: Vec<MessageId> = Vec::new();
    let stories = loop {
        let stories = scene.stories()?;
        for story in &stories {
            if !seen_ids.contains(&story.id) {
                seen(story);
                seen_ids.push(story.id.clone());
            }
        }
        if stories.len() == wanted && scene.service.is_drained() {
            break Ok(stories);
        }
        if Instant::now() > deadline {
            break Err(DemoError::Unfinished { missing: wanted - stories.len() });
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    switch.press();
    let _ = running.await;
    // Once more: the senders have noted their receipts by now.
    stories?;
    scene.stories()
}
