//! Logging: lines on standard error or in the journal of systemd, and what plugins say in a file of its own.
//!
//! Start at [`start`]. Everything else in the program only uses the macros of `tracing`.
//!
//! # Policy
//! - One event is one line. Whatever came from outside, a control character is written as an escape sequence, so that it
//!   cannot forge a line or control the terminal.
//! - Plugins log with target [`PLUGIN_TARGET`], which never reaches standard error: it may hold personal data and goes to a
//!   file that only its owner may read.
//! - A log that cannot be written, or that no one reads, stops nothing: the lines are lost and the messages flow on.

mod journal;
mod outlet;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use clap::ValueEnum;
use message::locked;
use message::text::{escaped, escaped_json};
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Layer, Registry, reload};

use journal::Journal;
use outlet::{Outlet, Stderr, To};
use plugins::LOG_TARGET as PLUGIN_TARGET;

/// The minimum level of the lines that are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// An operator must act.
    Error,
    /// A message or connection was refused, or is tried again.
    Warn,
    /// One line for each change of state.
    Info,
    /// Why the state changed.
    Debug,
    /// Every step.
    Trace,
}

/// The format of log lines, and where they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// To the journal of systemd where standard error goes there, else text.
    Auto,
    /// To the journal of systemd, with fields.
    Journal,
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// `[log]`: what is logged, how, and where the log of plugins goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The minimum level.
    pub level: Level,
    /// The format of a line.
    pub format: Format,
    /// What plugins log, in a file of its own with mode 0600: it may hold personal data.
    pub plugin_log: PathBuf,
}

/// The log while the program runs.
#[derive(Clone)]
pub struct Logging {
    own: reload::Handle<Targets, Registry>,
    plugins: reload::Handle<Targets, Registry>,
    plugin_log: PluginLog,
}

/// Why the log is not what the configuration says.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A log was set up before.
    #[error("the log was started before")]
    StartedBefore,
    /// What plugins log is lost until this is fixed.
    #[error("cannot open the plugin log {}", .file.display())]
    PluginLog {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Starts the log for the whole process: lines on standard error or in the journal, plugins in `settings.plugin_log`.
///
/// # Errors
/// [`LogError::StartedBefore`]. That the journal or the plugin log cannot be opened is logged and does not stop the program.
pub fn start(settings: &Settings) -> Result<Logging, LogError> {
    let plugin_log = PluginLog::default();
    let opened = plugin_log.open(&settings.plugin_log);
    let (layer, no_journal) = match to_journal(settings.format) {
        Some(Ok(journal)) => (journal.boxed(), None),
        Some(Err(error)) => (lines(settings.format, standard_error(settings.format)), Some(error)),
        None => (lines(settings.format, standard_error(settings.format)), None),
    };
    let (subscriber, own, plugins) = subscriber(settings, layer, plugin_log.clone());
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::StartedBefore)?;
    plugins::log_is_at(&settings.plugin_log);
    if let Some(error) = no_journal {
        tracing::warn!(socket = journal::SOCKET, %error, "cannot reach the journal: logging to standard error");
    }
    report(&opened);
    Ok(Logging { own, plugins, plugin_log })
}

/// Waits a moment for lines that no one has read so far, before the program ends.
pub fn finish() {
    outlet::finish();
}

fn standard_error(format: Format) -> To<Stderr> {
    To(Outlet::new(Stderr::new(format == Format::Json)))
}

/// The journal, where lines are to go there.
fn to_journal(format: Format) -> Option<io::Result<Journal>> {
    let given = || std::env::var(journal::STREAM).is_ok_and(|stream| journal::is_stream(&stream, io::stderr()));
    let wanted = format == Format::Journal || format == Format::Auto && given();
    wanted.then(|| Journal::open(Path::new(journal::SOCKET)))
}

/// Starts the log for a command at a terminal: lines on standard error, no plugin log.
///
/// # Errors
/// [`LogError::StartedBefore`].
pub fn start_for_command(level: Level) -> Result<(), LogError> {
    let settings = Settings { level, ..Settings::default() };
    let (subscriber, ..) = subscriber(&settings, lines(Format::Text, io::stderr), io::sink);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::StartedBefore)
}

/// Starts the log for an author who tries a plugin: what it logs goes to standard error too.
///
/// # Errors
/// [`LogError::StartedBefore`].
pub fn start_for_author(level: Level) -> Result<(), LogError> {
    let settings = Settings { level, ..Settings::default() };
    let (subscriber, ..) = subscriber(&settings, lines(Format::Text, io::sink), io::stderr);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::StartedBefore)
}

impl Logging {
    /// Applies level and plugin log of a reloaded configuration, and reopens that file, as after a rotation. The format of
    /// the lines stays until the next start.
    pub fn apply(&self, settings: &Settings) {
        // A handle only fails once its subscriber is gone.
        let _ = self.own.reload(own_targets(settings.level));
        let _ = self.plugins.reload(plugin_targets(settings.level));
        plugins::log_is_at(&settings.plugin_log);
        report(&self.plugin_log.open(&settings.plugin_log));
    }
}

fn report(opened: &Result<(), LogError>) {
    if let Err(LogError::PluginLog { file, source }) = opened {
        let file = file.display();
        tracing::warn!(error = %source, "cannot open the plugin log {file}: what plugins log is lost");
    }
}

fn filter(level: Level) -> LevelFilter {
    match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    }
}

/// Our own lines as the level says; libraries only when something is wrong.
fn own_targets(level: Level) -> Targets {
    let libraries = filter(level).min(LevelFilter::WARN);
    Targets::new()
        .with_default(libraries)
        .with_target("sesame", filter(level))
        .with_target(PLUGIN_TARGET, LevelFilter::OFF)
}

fn plugin_targets(level: Level) -> Targets {
    Targets::new().with_target(PLUGIN_TARGET, filter(level))
}

type Handle = reload::Handle<Targets, Registry>;
type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

fn subscriber<P>(
    settings: &Settings,
    own: BoxedLayer,
    plugins: P,
) -> (impl Subscriber + Send + Sync + use<P>, Handle, Handle)
where
    P: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (own_filter, own_handle) = reload::Layer::new(own_targets(settings.level));
    let (plugin_filter, plugin_handle) = reload::Layer::new(plugin_targets(settings.level));
    let layers =
        vec![own.with_filter(own_filter).boxed(), lines(settings.format, plugins).with_filter(plugin_filter).boxed()];
    (tracing_subscriber::registry().with(layers), own_handle, plugin_handle)
}

/// Lines to `out`; text unless JSON is asked for.
fn lines<W>(format: Format, out: W) -> BoxedLayer
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_target(false).log_internal_errors(false);
    let out = OneLine { out, format };
    match format {
        Format::Auto | Format::Journal | Format::Text => layer.with_writer(out).boxed(),
        Format::Json => layer.json().flatten_event(true).with_current_span(false).with_writer(out).boxed(),
    }
}

/// Makes writers that keep each event on one line.
struct OneLine<W> {
    out: W,
    format: Format,
}

impl<'w, W: MakeWriter<'w>> MakeWriter<'w> for OneLine<W> {
    type Writer = Line<W::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        Line { out: self.out.make_writer(), format: self.format }
    }
}

/// Writes one event, which `tracing` hands over whole and with its line end.
struct Line<W> {
    out: W,
    format: Format,
}

impl<W: Write> Write for Line<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let mut line = match self.format {
            Format::Auto | Format::Journal | Format::Text => escaped(text),
            Format::Json => escaped_json(text),
        };
        line.to_mut().push('\n');
        let _ = self.out.write_all(line.as_bytes());
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = self.out.flush();
        Ok(())
    }
}

/// The file of what plugins say: appended to, mode 0600, and never through a symbolic link.
#[derive(Clone, Default)]
struct PluginLog {
    file: Arc<Mutex<Option<File>>>,
}

impl PluginLog {
    /// Opens `path` in place of what was open; on failure what was open stays.
    fn open(&self, path: &Path) -> Result<(), LogError> {
        let file = open_private(path).map_err(|source| LogError::PluginLog { file: path.to_owned(), source })?;
        *locked(&self.file) = Some(file);
        Ok(())
    }
}

fn open_private(path: &Path) -> io::Result<File> {
    use rustix::fs::{CWD, Mode, OFlags};
    if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
        message::files::make_directory(folder, 0o750)?;
    }
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::NONBLOCK;
    let file = message::files::open(CWD, path, flags, 0o600)?;
    rustix::fs::fchmod(&file, Mode::RUSR | Mode::WUSR)?;
    Ok(file)
}

impl Write for PluginLog {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match locked(&self.file).as_mut() {
            Some(file) => file.write(line),
            None => Ok(line.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for PluginLog {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use message::text::{is_unsafe, non_empty};

    use super::*;

    /// What was written, for a test to read.
    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'w> MakeWriter<'w> for Buffer {
        type Writer = Self;

        fn make_writer(&'w self) -> Self {
            self.clone()
        }
    }

    impl Buffer {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn logged(settings: &Settings, speak: impl FnOnce()) -> (String, String) {
        let (own, plugins) = (Buffer::default(), Buffer::default());
        let (subscriber, ..) = subscriber(settings, lines(settings.format, own.clone()), plugins.clone());
        tracing::subscriber::with_default(subscriber, speak);
        (own.text(), plugins.text())
    }

    #[test]
    fn text_from_outside_stays_on_one_line() {
        let hostile = "a\nINFO forged\r\u{1b}[31m\u{9b}\u{202e}\u{61c}\u{7f}\0";
        let speak = || {
            let span = tracing::info_span!(target: "sesame", "message", id = hostile);
            let _entered = span.enter();
            tracing::info!(target: "sesame", error = hostile, other = %hostile, "{hostile}");
        };
        for format in [Format::Text, Format::Json] {
            let (own, _) = logged(&Settings { format, ..Settings::default() }, speak);
            assert_eq!(own.lines().count(), 1, "{own}");
            assert!(!own.trim_end_matches('\n').chars().any(is_unsafe), "{own:?}");
            if format == Format::Json {
                let line: serde_json::Value = serde_json::from_str(&own).unwrap();
                assert_eq!(line["other"], hostile);
                assert_eq!(line["spans"][0]["id"], hostile);
            }
        }
    }

    #[test]
    fn an_empty_field_is_left_out() {
        for format in [Format::Text, Format::Json] {
            let (own, _) = logged(&Settings { format, ..Settings::default() }, || {
                let reason = non_empty("").map(tracing::field::display);
                tracing::warn!(target: "sesame", signer = non_empty(""), plugin = non_empty("p"), reason, "message rejected");
            });
            assert!(own.contains("plugin") && !own.contains("signer") && !own.contains("reason"), "{own}");
        }
    }

    #[test]
    fn what_plugins_say_never_reaches_our_own_log() {
        let (own, plugins) = logged(&Settings::default(), || {
            tracing::info!(target: PLUGIN_TARGET, plugin = "x", "a user's name");
            tracing::info!(target: "sesame::sender", "message sent");
        });
        assert!(own.contains("message sent") && !own.contains("name"), "{own}");
        assert!(plugins.contains("name") && !plugins.contains("message sent"), "{plugins}");
    }

    #[test]
    fn the_level_holds_for_us_and_libraries_only_warn() {
        let (own, _) = logged(&Settings { level: Level::Debug, ..Settings::default() }, || {
            tracing::debug!(target: "sesame::stomp", "ours");
            tracing::debug!(target: "rustls::client", "theirs");
            tracing::warn!(target: "rustls::client", "their warning");
            tracing::trace!(target: "sesame::stomp", "too fine");
        });
        assert!(own.contains("ours") && own.contains("their warning"), "{own}");
        assert!(!own.contains("theirs") && !own.contains("too fine"), "{own}");
    }

    #[test]
    fn the_level_can_change_while_running() {
        let own = Buffer::default();
        let (subscriber, handle, plugins) =
            subscriber(&Settings::default(), lines(Format::Text, own.clone()), io::sink);
        let folder = tempfile::tempdir().unwrap();
        let logging = Logging { own: handle, plugins, plugin_log: PluginLog::default() };
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!(target: "sesame", "before");
            logging.apply(&Settings {
                level: Level::Debug,
                plugin_log: folder.path().join("p.log"),
                ..Settings::default()
            });
            tracing::debug!(target: "sesame", "after");
        });
        assert!(own.text().contains("after") && !own.text().contains("before"));
    }

    #[test]
    fn the_plugin_log_is_private_and_follows_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log/plugins.log");
        let mut log = PluginLog::default();
        log.open(&path).unwrap();
        log.write_all(b"one\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        log.open(&path).unwrap();
        log.write_all(b"two\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let link = folder.path().join("link.log");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(log.open(&link), Err(LogError::PluginLog { .. })));
    }

    #[test]
    fn a_log_that_cannot_be_written_stops_nothing() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::Error::from(io::ErrorKind::StorageFull))
            }

            fn flush(&mut self) -> io::Result<()> {
                Err(io::Error::from(io::ErrorKind::StorageFull))
            }
        }
        let (subscriber, ..) = subscriber(&Settings::default(), lines(Format::Text, || Full), io::sink);
        tracing::subscriber::with_default(subscriber, || tracing::error!(target: "sesame", "disk full"));
    }
}
