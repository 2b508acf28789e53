//! Metrics and health of a running service, shown by a listener of the crate `observe`.
//!
//! The counters belong to what counts: channels (`channel::Meters`), plugins and brokers. They are read in one place (`read`),
//! into an overview. What is wrong is found in that (`troubles`), and the metrics are made of it (`collect`), under their
//! names (`families`). What must be looked up on the disk is looked up apart (`sample`). Nothing here waits for a message,
//! and no message waits for anything here.

mod collect;
mod control;
mod families;
mod read;
mod report;
mod sample;
mod troubles;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use observe::overview::Overview;
use observe::{
    Address, BindError, Events, Limits, Listener, Page, Pages, SocketFile, Source, Token, TokenError, Value,
};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::Daemon;
use super::trace::Traced;
use crate::channel::{Channel, Meters, Registry, milliseconds};
use crate::config::{self, Config};
use crate::receiver::Receiver;
use crate::sender::Sender;
pub use families::FAMILIES;
use plugins::Pipeline;
pub use report::Reporter;
use sample::{Sampler, Target};

/// What there is to see of a daemon.
#[derive(Debug)]
struct View {
    config: Arc<Config>,
    channels: Vec<Channel>,
    senders: Vec<Arc<Sender>>,
    receivers: Vec<Arc<Receiver>>,
    registry: Arc<Registry>,
    pool: Arc<isolate::Pool>,
}

/// What the listener shows.
#[derive(Debug)]
struct Shown {
    view: ArcSwapOption<View>,
    sampler: Arc<Sampler>,
    started: SystemTime,
    events: Arc<Events>,
    /// What was written last, for all listeners together.
    pages: Pages,
    /// What lets an operator act.
    token: ArcSwapOption<Token>,
}

/// Why a program cannot be observed as its configuration asks.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// Nothing can listen there.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// There is no token.
    #[error("control")]
    Token(#[from] TokenError),
}

/// The name of the private socket in a state directory or spool, where `sesame status`, `top` and `tap` ask.
pub const SOCKET: &str = "sesame.sock";

/// The listeners of a process: a private socket in each directory that it holds, and the one that its configuration asks for.
/// They stay over reloads.
#[derive(Debug)]
pub struct Observer {
    shown: Arc<Shown>,
    running: Option<Running>,
    /// By directory; none where no socket can be made.
    private: BTreeMap<PathBuf, Option<Serving>>,
    sampling: JoinHandle<()>,
}

/// A listener that runs.
#[derive(Debug)]
struct Running {
    address: Address,
    serving: Serving,
}

/// A task that serves until it is stopped or this is dropped.
#[derive(Debug)]
struct Serving {
    /// Where it listens, if that is a file.
    file: Option<SocketFile>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Serving {
    fn start(listener: Listener, shown: &Arc<Shown>) -> Self {
        let (stop, stopped) = oneshot::channel();
        let file = listener.file();
        let source: Arc<dyn Source> = Arc::clone(shown) as Arc<dyn Source>;
        let serving = observe::serve(listener, source, Limits::default(), async {
            let _ = stopped.await;
        });
        Self { file, stop, task: tokio::spawn(serving) }
    }

    /// Whether its socket was deleted, so that no one can connect any more.
    fn is_deleted(&self) -> bool {
        self.file.as_ref().is_some_and(|file| !file.is_there())
    }

    async fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

impl Observer {
    /// Listens where the configuration says.
    ///
    /// # Errors
    /// [`ObserveError`]: a program that is to be observed and cannot be must not look as if it were.
    pub fn start(config: &config::Observe, events: &Arc<Events>) -> Result<Self, ObserveError> {
        let shown = Arc::new(Shown::new(Arc::clone(events)));
        shown.token.store(token(config)?.map(Arc::new));
        let seen = Arc::clone(&shown);
        let target = move || seen.view.load_full().map(|view| view.target());
        let sampling = tokio::spawn(Arc::clone(&shown.sampler).run(target));
        let mut observer = Self { shown, running: None, private: BTreeMap::new(), sampling };
        if let Some(address) = &config.listen {
            observer.listen(address)?;
        }
        Ok(observer)
    }

    /// Shows this daemon from now on, also at a private socket in each of its directories.
    pub fn show(&mut self, daemon: &Daemon) {
        let directories = daemon.channels.iter().filter_map(|channel| super::directory(&daemon.config, channel));
        self.listen_in(directories.map(ToOwned::to_owned).collect());
        self.shown.view.store(Some(Arc::new(View {
            config: Arc::new(daemon.config.clone()),
            channels: daemon.channels.clone(),
            senders: daemon.senders.clone(),
            receivers: daemon.receivers.clone(),
            registry: Arc::clone(&daemon.shared.registry),
            pool: Arc::clone(&daemon.shared.pool),
        })));
        if self.running.is_some() {
            // The first scrape is to find what is on the disk.
            self.shown.sampler.last();
        }
    }

    /// What writes the status to the log.
    #[must_use]
    pub fn reporter(&self) -> Reporter {
        Reporter::of(&self.shown)
    }

    /// Listens in these directories, whose locks the process holds, and in no others. A socket that was deleted is made again.
    fn listen_in(&mut self, directories: BTreeSet<PathBuf>) {
        let is_deleted = |serving: &Option<Serving>| serving.as_ref().is_some_and(Serving::is_deleted);
        self.private.retain(|directory, serving| directories.contains(directory) && !is_deleted(serving));
        for directory in directories {
            if self.private.contains_key(&directory) {
                continue;
            }
            let listener = Listener::private(&directory, SOCKET);
            if let Err(error) = &listener {
                let error = message::cause::chain(error);
                tracing::warn!(
                    directory = %directory.display(), error,
                    "no socket for `sesame status`, `top` and `tap` in a directory; messages are not affected",
                );
            }
            let serving = listener.ok().map(|listener| Serving::start(listener, &self.shown));
            self.private.insert(directory, serving);
        }
    }

    /// Listens where a new configuration says. Where that is not possible, the listener stays as it was.
    pub async fn reload(&mut self, config: &config::Observe) {
        match token(config) {
            Ok(token) => self.shown.token.store(token.map(Arc::new)),
            Err(error) => {
                let error = message::cause::chain(&error);
                tracing::error!(
                    error,
                    "cannot read the token of `[observe] control`; the one that was read before stays in use"
                );
            }
        }
        let before = self.running.as_ref().map(|running| running.address.clone());
        let is_deleted = self.running.as_ref().is_some_and(|running| running.serving.is_deleted());
        if config.listen == before && !is_deleted {
            return;
        }
        // Another address of the same port may be free only once the listener is gone.
        self.stop().await;
        let Some(address) = &config.listen else { return };
        if let Err(error) = self.listen(address) {
            let error = message::cause::chain(&error);
            let stays = before.as_ref().map_or("off".to_owned(), ToString::to_string);
            tracing::error!(%address, error, stays, "cannot listen for metrics; the listener stays as it was");
            if let Some(before) = &before
                && let Err(error) = self.listen(before)
            {
                tracing::error!(address = %before, error = message::cause::chain(&error), "metrics are not shown");
            }
        }
    }

    fn listen(&mut self, address: &Address) -> Result<(), BindError> {
        let listener = Listener::bind(address)?;
        tracing::info!(%address, "metrics and health are shown");
        self.running = Some(Running { address: address.clone(), serving: Serving::start(listener, &self.shown) });
        Ok(())
    }

    async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.serving.stop().await;
        }
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.sampling.abort();
    }
}

/// The token that the configuration names.
fn token(config: &config::Observe) -> Result<Option<Token>, TokenError> {
    config.control.as_deref().map(Token::read).transpose()
}

impl View {
    fn target(&self) -> Target {
        let (config, channels) = (Arc::clone(&self.config), self.channels.clone());
        Target { config, channels, registry: Arc::clone(&self.registry) }
    }
}

/// Puts what was counted of a channel and its plugins on a page, and why it is not in service.
pub fn show_channel(
    page: &mut Page,
    (of, meters): (&Channel, &Meters),
    pipeline: &Pipeline,
    out_of_service: Option<String>,
) {
    let channel = read::channel((of, meters), pipeline, out_of_service);
    let now = milliseconds(SystemTime::now());
    collect::channel(page, &channel, meters, now);
    collect::plugins(page, &channel, pipeline);
}

impl Shown {
    fn new(events: Arc<Events>) -> Self {
        let (view, sampler) = (ArcSwapOption::empty(), Arc::default());
        let pages = Pages::default();
        Self { view, sampler, started: SystemTime::now(), events, pages, token: ArcSwapOption::empty() }
    }

    fn read(&self, view: Option<&View>) -> Overview {
        read::overview(self.started, view, self.sampler.last().as_deref())
    }
}

impl Source for Shown {
    fn page(&self) -> Page {
        let view = self.view.load_full();
        let overview = self.read(view.as_deref());
        let mut page = Page::default();
        collect::process(&mut page, &overview);
        if let Some(view) = &view {
            collect::openers(&mut page, view.pool.counts());
            let senders = view.senders.iter().map(|sender| (sender.meters(), sender.pipeline()));
            let receivers = view.receivers.iter().map(|receiver| (receiver.meters(), receiver.pipeline()));
            for (channel, (meters, active)) in overview.channels.iter().zip(senders.chain(receivers)) {
                collect::channel(&mut page, channel, meters, overview.at);
                collect::plugins(&mut page, channel, &active.load());
            }
        }
        collect::brokers(&mut page, &overview.brokers);
        collect::expiries(&mut page, &overview.expiries, overview.at);
        collect::files(&mut page, &overview.files);
        collect::sample(&mut page, &overview);
        let left_out = page.left_out();
        page.add(&families::LEFT_OUT, &[], Value::Whole(left_out));
        page
    }

    fn pages(&self) -> Pages {
        self.pages.clone()
    }

    fn overview(&self) -> Overview {
        let overview = self.read(self.view.load_full().as_deref());
        Overview { troubles: troubles::of(&overview), ..overview }
    }

    fn events(&self) -> &Arc<Events> {
        &self.events
    }

    fn trace(&self, id: &str) -> Result<Vec<serde_json::Value>, String> {
        let Some(view) = self.view.load_full() else { return Err("the channels are being started".to_owned()) };
        // What waits is seen in the queue; to know the id of a plain file it would have to be locked.
        let traced = Traced::of(&view.config, id.trim(), None);
        match traced.faults.first() {
            Some(fault) => Err(message::cause::chain(fault)),
            None => Ok(traced.json()),
        }
    }

    fn out_of_service(&self) -> Vec<String> {
        let Some(view) = self.view.load_full() else { return vec!["the channels are being started".to_owned()] };
        let senders = view.senders.iter().map(|sender| (sender.channel(), sender.out_of_service()));
        let receivers = view.receivers.iter().map(|receiver| (receiver.channel(), receiver.out_of_service()));
        let all = senders.chain(receivers);
        all.filter_map(|(channel, fault)| Some(format!("{}: {}", channel.section(), fault?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use super::*;

    fn free() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    fn at(address: Option<SocketAddr>) -> config::Observe {
        config::Observe { listen: address.map(Address::Tcp), ..config::Observe::default() }
    }

    fn listens(address: SocketAddr) -> bool {
        std::net::TcpStream::connect(address).is_ok()
    }

    #[tokio::test]
    async fn a_reload_moves_the_listener_or_leaves_it_where_it_was() {
        let (first, second) = (free(), free());
        let mut observer = Observer::start(&at(Some(first)), &Arc::default()).unwrap();
        assert!(listens(first));
        observer.reload(&at(Some(second))).await;
        assert!(!listens(first) && listens(second));
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        observer.reload(&at(Some(taken.local_addr().unwrap()))).await;
        assert!(listens(second), "it stays");
        observer.reload(&at(None)).await;
        assert!(!listens(second));
        let error = Observer::start(&at(Some(taken.local_addr().unwrap())), &Arc::default()).unwrap_err();
        assert!(error.to_string().contains("in use by process "), "{error}");
    }

    #[tokio::test]
    async fn a_socket_that_was_deleted_is_made_again_by_a_reload() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("observe.sock");
        let settings = config::Observe { listen: Some(Address::Unix(path.clone())), ..config::Observe::default() };
        let mut observer = Observer::start(&settings, &Arc::default()).unwrap();
        std::fs::remove_file(&path).unwrap();
        observer.reload(&settings).await;
        assert!(std::os::unix::net::UnixStream::connect(&path).is_ok());
    }

    #[tokio::test]
    async fn private_sockets_come_and_go_with_the_directories() {
        let folder = tempfile::tempdir().unwrap();
        let places: Vec<PathBuf> = ["a", "b", "none"].iter().map(|name| folder.path().join(name)).collect();
        places[..2].iter().for_each(|place| std::fs::create_dir(place).unwrap());
        let socket = |at: usize| places[at].join(SOCKET);
        let mut observer = Observer::start(&at(None), &Arc::default()).unwrap();
        observer.listen_in(places.iter().cloned().collect());
        assert!(socket(0).exists() && socket(1).exists(), "what cannot be in one directory is in the others");
        let before = std::os::unix::fs::MetadataExt::ino(&socket(0).metadata().unwrap());
        observer.listen_in([places[0].clone()].into());
        assert_eq!(std::os::unix::fs::MetadataExt::ino(&socket(0).metadata().unwrap()), before, "it stays");
        std::fs::remove_file(socket(0)).unwrap();
        observer.listen_in([places[0].clone()].into());
        assert!(socket(0).exists(), "it is made again");
        for gone in [1, 0] {
            for _ in 0..1000 {
                tokio::task::yield_now().await;
            }
            assert!(!socket(gone).exists());
            observer.listen_in(BTreeSet::new());
        }
    }

    #[test]
    fn before_the_channels_run_it_says_so_and_shows_the_process() {
        let shown = Shown::new(Arc::default());
        assert_eq!(shown.out_of_service(), ["the channels are being started"]);
        let page = shown.page().write(observe::Format::Text);
        for name in ["sesame_build_info{version=", "process_cpu_seconds_total ", "process_open_fds "] {
            assert!(page.contains(&format!("\n{name}")), "{name} in\n{page}");
        }
    }
}
