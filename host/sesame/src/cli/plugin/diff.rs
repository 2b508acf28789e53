//! `sesame plugin diff`: messages for which a plugin in shadow answered otherwise than what serves. A running Sesame writes
//! them to a file beside its journal; that of one that stopped stays.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;

use super::Diff;
use super::list::listed_by_daemon;
use crate::channel::Channel;
use crate::cli::context::{say, select};
use crate::cli::{EXIT_DONE, EXIT_FAILED, output};
use crate::config::{Config, Kind};
use crate::service::{Compared, Differences, Example, directory};

/// A plugin in shadow of a channel.
struct Found {
    shadow: Compared,
    /// When it was written, if the Sesame that wrote it has stopped.
    stopped: Option<u64>,
}

pub(super) fn run(config: &Config, arguments: &Diff) -> anyhow::Result<u8> {
    let selection = match select(config, &arguments.channels, Kind::Any) {
        Ok(selection) => selection,
        Err(status) => return Ok(status),
    };
    let mut all = Vec::new();
    for channel in Channel::all(config).filter(|channel| selection.contains(channel.name())) {
        match found(config, &channel) {
            Ok(found) => all.extend(found),
            Err(error) => {
                say(&format!("sesame: channel {channel}: {error}"));
                return Ok(EXIT_FAILED);
            }
        }
    }
    let stem = |name: &str| name.strip_suffix(".wasm").unwrap_or(name).to_owned();
    let (named, others): (Vec<Found>, Vec<Found>) =
        all.into_iter().partition(|found| stem(&found.shadow.plugin) == stem(&arguments.name));
    if named.is_empty() {
        let mut others: Vec<String> = others.iter().map(|found| stem(&found.shadow.plugin)).collect();
        others.sort();
        others.dedup();
        let known = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
        say(&format!(
            "sesame: plugin {:?} is not in shadow in a running Sesame (in shadow: {known}): set mode = \"shadow\" in its \
             sidecar",
            arguments.name
        ));
        return Ok(EXIT_FAILED);
    }
    if arguments.json {
        named.iter().for_each(|found| output::json(&json_of(found)));
    } else {
        print(&named);
    }
    Ok(EXIT_DONE)
}

/// The plugins in shadow of a channel.
fn found(config: &Config, channel: &Channel) -> Result<Vec<Found>, String> {
    let Some(directory) = directory(config, channel) else { return Ok(Vec::new()) };
    let runs = listed_by_daemon(directory, channel.name())?.is_some();
    let read = Differences::read(directory).map_err(|error| {
        format!("cannot read the differences in {}, {error}: run this as the user of Sesame", directory.display())
    })?;
    let Some(Differences { written, shadows }) = read else { return Ok(Vec::new()) };
    let own = shadows.into_iter().filter(|shadow| shadow.channel == channel.name());
    Ok(own.map(|shadow| Found { shadow, stopped: (!runs).then_some(written) }).collect())
}

fn print(all: &[Found]) {
    let mut table = output::Table::new(&["CHANNEL", "TIME", "MESSAGE", "NOW", "WITH IT", "FINDING"]);
    for shadow in all.iter().map(|found| &found.shadow) {
        for example in &shadow.examples {
            table.row(row(&shadow.channel, example));
        }
    }
    if all.iter().any(|found| !found.shadow.examples.is_empty()) {
        table.print();
    }
    all.iter().for_each(|found| output::line(&summary(found)));
}

fn row(channel: &str, example: &Example) -> [String; 6] {
    let Example { at, message, now, then, finding } = example;
    let finding = finding.as_ref().map_or_else(|| "-".to_owned(), output::finding);
    [channel.to_owned(), time(*at), output::text(message.as_bytes()), now.clone(), then.clone(), finding]
}

fn summary(found: &Found) -> String {
    let Found { shadow, stopped } = found;
    let beside = shadow.compare_to.as_deref().unwrap_or("the pipeline");
    let until = stopped.map(|at| format!(" until {}, when Sesame stopped", time(at))).unwrap_or_default();
    format!(
        "{}: {} beside {beside} since {}{until}: {} calls, {} verdicts differ, {} failed, {} messages passed over{}",
        shadow.channel,
        shadow.plugin,
        time(shadow.since),
        shadow.calls,
        shadow.differences,
        shadow.failed,
        shadow.passed_over,
        match shadow.examples.len() as u64 {
            shown if shown < shadow.differences => format!("; shown are the last {shown}"),
            _ => String::new(),
        }
    )
}

fn time(milliseconds: u64) -> String {
    output::time(UNIX_EPOCH + Duration::from_millis(milliseconds))
}

fn json_of(found: &Found) -> serde_json::Value {
    json!({ "shadow": found.shadow, "stopped": found.stopped })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_says_what_the_figures_cover() {
        let shadow = Compared {
            channel: "central".to_owned(),
            plugin: "pbs-new.wasm".to_owned(),
            compare_to: Some("pbs".to_owned()),
            since: 0,
            calls: 9,
            differences: 3,
            failed: 1,
            passed_over: 4,
            examples: Vec::new(),
        };
        let found = |stopped| Found { shadow: shadow.clone(), stopped };
        let start = time(0);
        let expected = format!(
            "central: pbs-new.wasm beside pbs since {start}: 9 calls, 3 verdicts differ, 1 failed, 4 messages passed over; \
             shown are the last 0"
        );
        assert_eq!(summary(&found(None)), expected);
        assert!(summary(&found(Some(0))).contains(&format!(" until {start}, when Sesame stopped: 9 calls")));
    }
}
