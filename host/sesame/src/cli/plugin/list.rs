//! `sesame plugin list`: the stages of each channel. A running Sesame writes its status to a file beside its journal, whose
//! age is shown; otherwise the stages are those that a start would find.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::List;
use crate::channel::Channel;
use crate::cli::context::{say, say_compiling, select};
use crate::cli::{EXIT_DONE, EXIT_FAILED, output};
use crate::config::{Config, Kind};
use crate::service::{Shared, Status, directory, pipeline};
use message::cause::chain;
use plugins::{ChannelReport, PluginState, StageReport};

/// A status file is written every twenty seconds; one that is older than this was left by a Sesame that died.
const STALE: Duration = Duration::from_secs(30);
/// Digits of a hash that are shown to people.
const SHORT_HASH: usize = 12;
const HEADINGS: [&str; 12] =
    ["CHANNEL", "PLUGIN", "STATE", "VERSION", "SHA-256", "ROLES", "POWERS", "CALLS", "REJECTS", "ERRORS", "P50", "P99"];

/// The stages of one channel, and where they are from.
pub(in crate::cli) struct Listed {
    pub(in crate::cli) report: ChannelReport,
    /// The process that wrote them and how long ago; absent where none runs.
    pub(in crate::cli) source: Option<(u32, Duration)>,
}

pub(super) fn run(config: &Config, arguments: &List) -> anyhow::Result<u8> {
    let selection = match select(config, &arguments.channels, Kind::Any) {
        Ok(selection) => selection,
        Err(status) => return Ok(status),
    };
    let mut looker = Looker { config, shared: None };
    let mut all = Vec::new();
    let mut status = EXIT_DONE;
    for channel in Channel::all(config).filter(|channel| selection.contains(channel.name())) {
        match looker.list(&channel) {
            Ok(one) => all.push(one),
            Err(error) => {
                say(&format!("sesame: channel {channel}: {error}"));
                status = EXIT_FAILED;
            }
        }
    }
    if arguments.json {
        all.iter().for_each(|one| output::json(&json_of(one)));
    } else {
        print(&all);
    }
    Ok(status)
}

/// Finds out about channels; plugins are set up only where no Sesame runs.
struct Looker<'a> {
    config: &'a Config,
    shared: Option<Shared>,
}

impl Looker<'_> {
    fn list(&mut self, channel: &Channel) -> Result<Listed, String> {
        if let Some(directory) = directory(self.config, channel)
            && let Some(listed) = listed_by_daemon(directory, channel.name())?
        {
            return Ok(listed);
        }
        if self.shared.is_none() {
            self.shared = Some(Shared::start(self.config).map_err(|error| chain(&error))?);
        }
        let Some(shared) = &self.shared else { return Err("plugins cannot be run".to_owned()) };
        say_compiling(shared, self.config, channel);
        let made = pipeline(shared, self.config, channel).map_err(|error| chain(&error))?;
        Ok(Listed { report: ChannelReport::of(channel.name(), &made.pipeline, &made.stages), source: None })
    }
}

/// What the Sesame that runs a channel reports of it; none where none runs.
///
/// # Errors
/// The status file cannot be read, so that it is not known whether one runs.
pub(in crate::cli) fn listed_by_daemon(directory: &Path, channel: &str) -> Result<Option<Listed>, String> {
    let shown = directory.display();
    let status = Status::read(directory).map_err(|error| {
        format!("cannot read the status of a running Sesame in {shown}, {error}: run this as its user")
    })?;
    let Some(status) = status else { return Ok(None) };
    let age = status.age();
    if !status.running || age > STALE {
        return Ok(None);
    }
    let report = status.channels.into_iter().find(|report| report.channel == channel);
    Ok(report.map(|report| Listed { report, source: Some((status.process, age)) }))
}

fn print(all: &[Listed]) {
    let mut table = output::Table::new(&HEADINGS);
    for one in all {
        for stage in &one.report.stages {
            table.row(row(&one.report.channel, stage));
        }
    }
    table.print();
    for one in all {
        let channel = &one.report.channel;
        for stage in &one.report.stages {
            if let Some(reason) = &stage.reason {
                output::line(&format!("{channel}: plugin {} {reason}{}", stage.name, consequence(stage)));
            }
            if let Some(line) = shadow(stage) {
                output::line(&format!("{channel}: plugin {} {line}", stage.name));
            }
            if let Some(line) = last_error(stage) {
                output::line(&format!("{channel}: plugin {} {line}", stage.name));
            }
        }
        match &one.source {
            Some((process, age)) => {
                output::line(&format!("{channel}: as of {} ago, from Sesame process {process}", output::age(*age)))
            }
            None => output::line(&format!("{channel}: no Sesame runs; shown is what a start would find")),
        }
    }
}

/// What a stage that is not as it should be means for messages.
fn consequence(stage: &StageReport) -> &'static str {
    if stage.shadow.is_some() {
        return "; it is in shadow, so no message waits for it";
    }
    match (stage.serves, stage.state) {
        (true, _) => "; the last good one stays in service",
        (false, PluginState::Broken | PluginState::Missing) => "; until this is fixed, the messages it applies to wait",
        (false, _) => "",
    }
}

/// What was compared of a plugin in shadow.
fn shadow(stage: &StageReport) -> Option<String> {
    let shadow = stage.shadow.as_ref()?;
    let beside = shadow.compare_to.as_deref().unwrap_or("the pipeline");
    Some(format!(
        "is in shadow of {beside} since {}: {} calls, {} verdicts differ, {} failed, {} messages passed over",
        output::time(moment(shadow.since)),
        stage.calls,
        shadow.differences,
        stage.errors,
        shadow.passed_over
    ))
}

/// The last failure, where it is not what is wrong now.
fn last_error(stage: &StageReport) -> Option<String> {
    let (at, error) = (stage.last_error_at?, stage.last_error.as_ref()?);
    let shown = stage.reason.as_ref() == Some(error);
    (!shown).then(|| format!("last failed at {}: it {error}", output::time(moment(at))))
}

/// The state, and for how long where that may end by itself.
fn state(stage: &StageReport) -> String {
    match stage.compiling_since {
        None if stage.shadow.is_some() && stage.state == PluginState::Ready => "shadow".to_owned(),
        None => stage.state.to_string(),
        Some(since) => {
            let age = SystemTime::now().duration_since(moment(since)).unwrap_or_default();
            format!("{} ({})", stage.state, output::age(age))
        }
    }
}

fn moment(milliseconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(milliseconds)
}

fn row(channel: &str, stage: &StageReport) -> [String; 12] {
    let or_dash =
        |text: &Option<String>| text.clone().filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned());
    let sha256 = stage.sha256.as_deref().and_then(|hash| hash.get(..SHORT_HASH)).unwrap_or("-").to_owned();
    [
        channel.to_owned(),
        stage.name.clone(),
        state(stage),
        or_dash(&stage.version),
        sha256,
        or_dash(&stage.roles),
        or_dash(&stage.powers),
        stage.calls.to_string(),
        stage.rejects.to_string(),
        stage.errors.to_string(),
        span(stage.p50_us),
        span(stage.p99_us),
    ]
}

/// A time as people read it.
fn span(micros: Option<u64>) -> String {
    match micros {
        None => "-".to_owned(),
        Some(micros) if micros < 10_000 => format!("{micros} us"),
        Some(micros) if micros < 10_000_000 => format!("{} ms", micros / 1000),
        Some(micros) => format!("{} s", micros / 1_000_000),
    }
}

fn json_of(listed: &Listed) -> Value {
    let process = listed.source.map(|(process, _)| process);
    let age = listed.source.map(|(_, age)| age.as_secs_f64());
    let ChannelReport { channel, pipeline, stages } = &listed.report;
    json!({ "channel": channel, "pipeline": pipeline, "process": process, "age-seconds": age, "stages": stages })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        let shown = [None, Some(95), Some(12_300), Some(61_000_000)].map(span);
        assert_eq!(shown, ["-", "95 us", "12 ms", "61 s"]);
    }

    #[test]
    fn a_status_file_that_cannot_be_read_does_not_say_that_no_sesame_runs() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(listed_by_daemon(folder.path(), "central"), Ok(None)));
        std::fs::write(folder.path().join("plugins.json"), "{\"written\":1").unwrap();
        let error = listed_by_daemon(folder.path(), "central").err().unwrap();
        assert!(error.starts_with("cannot read the status of a running Sesame in "), "{error}");
    }

    #[test]
    fn what_is_not_known_is_a_dash() {
        let stage = StageReport { name: "a.wasm".into(), state: PluginState::Missing, ..StageReport::default() };
        let shown = row("central", &stage);
        assert_eq!(shown[..7], ["central", "a.wasm", "missing", "-", "-", "-", "-"]);
    }
}
