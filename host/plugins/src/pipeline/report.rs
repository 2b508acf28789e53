//! The stages of a channel as the status file of the daemon and `sesame plugin list` show them.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::catalog::status::{PluginState, PluginStatus};
use crate::pipeline::{Pipeline, ShadowInfo, StageInfo};

/// A channel and its stages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ChannelReport {
    /// The channel.
    pub channel: String,
    /// The hash of its pipeline.
    pub pipeline: String,
    /// Its stages, in order; then plugins in shadow, and disabled and uninstalled ones.
    pub stages: Vec<StageReport>,
}

/// One stage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StageReport {
    /// The name of the file, or `builtin:NAME`.
    pub name: String,
    /// Its state; `ready`, `compiling` and so on in the file.
    pub state: PluginState,
    /// What is wrong and what to do, if anything is.
    pub reason: Option<String>,
    /// Since when a file of it is being compiled, in milliseconds since 1970; an earlier one may serve meanwhile.
    pub compiling_since: Option<u64>,
    /// When it failed last or could not be loaded, in milliseconds since 1970.
    pub last_error_at: Option<u64>,
    /// Why, as in the log.
    pub last_error: Option<String>,
    /// Whether it is called with messages: `false` if they wait or bypass it.
    pub serves: bool,
    /// The author's name for what serves.
    pub title: Option<String>,
    /// The author's version of what serves.
    pub version: Option<String>,
    /// SHA-256 of the component that serves, in hexadecimal.
    pub sha256: Option<String>,
    /// Its roles.
    pub roles: Option<String>,
    /// What it imports and is linked with.
    pub powers: Option<String>,
    /// How often it was called, with a message or a part of one.
    pub calls: u64,
    /// How often it found one invalid.
    pub rejects: u64,
    /// How often it answered `retry`.
    pub retries: u64,
    /// How often it failed.
    pub errors: u64,
    /// Median time of a call, in microseconds.
    pub p50_us: Option<u64>,
    /// 99th percentile of the time of a call, in microseconds.
    pub p99_us: Option<u64>,
    /// If it is in shadow, what was compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<ShadowReport>,
}

/// What was compared of a plugin in shadow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ShadowReport {
    /// The plugin that it is compared with; the whole pipeline, if none.
    pub compare_to: Option<String>,
    /// Since when, in milliseconds since 1970.
    pub since: u64,
    /// How often its verdict differed.
    pub differences: u64,
    /// Messages that it was not called with, because it was busy.
    pub passed_over: u64,
}

impl ChannelReport {
    /// A channel: the pipeline in service, and the disabled and uninstalled ones of `stages`.
    #[must_use]
    pub fn of(channel: &str, pipeline: &Pipeline, stages: &[PluginStatus]) -> Self {
        let ended = stages.iter().filter(|status| status.state().is_ended()).map(|status| StageReport {
            name: status.name().to_owned(),
            state: status.state(),
            ..StageReport::default()
        });
        let serving = pipeline.stages().map(|stage| StageReport::from(&stage));
        let shadows = pipeline.shadows().map(|shadow| StageReport::from(&shadow));
        let mut reports: Vec<StageReport> = serving.chain(shadows).collect();
        for stage in &mut reports {
            let status = stages.iter().find(|status| status.name() == stage.name);
            let loading = status.and_then(|status| status.loading);
            // The pipeline is not rebuilt for this, because the earlier component serves meanwhile.
            if let Some(since) = loading.filter(|_| stage.serves) {
                (stage.state, stage.compiling_since) = (PluginState::Compiling, Some(milliseconds(since)));
                stage.reason = Some("a newer file is being compiled".to_owned());
            }
        }
        Self {
            channel: channel.to_owned(),
            pipeline: pipeline.hash().to_owned(),
            stages: reports.into_iter().chain(ended).collect(),
        }
    }
}

fn milliseconds(at: SystemTime) -> u64 {
    u64::try_from(at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

impl From<&StageInfo<'_>> for StageReport {
    fn from(stage: &StageInfo<'_>) -> Self {
        let ready = stage.ready.as_ref();
        let micros = |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Self {
            name: stage.name.to_owned(),
            state: stage.state,
            reason: stage.reason.map(str::to_owned),
            compiling_since: stage.loading.filter(|_| ready.is_none()).map(milliseconds),
            last_error_at: stage.last_error.as_ref().map(|(at, _)| milliseconds(*at)),
            last_error: stage.last_error.as_ref().map(|(_, text)| text.clone()),
            serves: ready.is_some(),
            title: ready.map(|ready| ready.description.name.clone()),
            version: ready.map(|ready| ready.description.version.clone()),
            sha256: ready.map(|ready| ready.sha256.clone()),
            roles: ready.map(|ready| ready.roles.to_string()),
            powers: ready.map(|ready| ready.powers.to_string()),
            calls: stage.figures.calls,
            rejects: stage.figures.rejects,
            retries: stage.figures.retries,
            errors: stage.figures.errors,
            p50_us: stage.figures.p50.map(micros),
            p99_us: stage.figures.p99.map(micros),
            shadow: None,
        }
    }
}

impl From<&ShadowInfo<'_>> for StageReport {
    fn from(info: &ShadowInfo<'_>) -> Self {
        let shadow = ShadowReport {
            compare_to: info.compare_to.map(str::to_owned),
            since: milliseconds(info.since),
            differences: info.differences,
            passed_over: info.passed_over,
        };
        Self { shadow: Some(shadow), ..Self::from(&info.stage) }
    }
}
