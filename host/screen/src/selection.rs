//! What belongs to the channels that a command names.

use observe::overview::{Channel, Overview};

use crate::words::section;

/// A name that no running channel has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoChannel {
    /// The name.
    pub name: String,
    /// The channels that run.
    pub known: Vec<String>,
}

impl std::fmt::Display for NoChannel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, known } = self;
        write!(
            f,
            "no channel {name:?} runs (channels: {})",
            if known.is_empty() { "none".to_owned() } else { known.join(", ") }
        )
    }
}

impl std::error::Error for NoChannel {}

/// Leaves only these channels, their brokers, and the troubles that are not about others. A channel is named by its name or
/// its section; no name means all.
///
/// # Errors
/// Where no channel has a name.
pub fn select(mut overview: Overview, names: &[String]) -> Result<Overview, NoChannel> {
    let is = |channel: &Channel, name: &String| channel.name == *name || section(channel) == *name;
    if let Some(name) = names.iter().find(|name| !overview.channels.iter().any(|channel| is(channel, name))) {
        return Err(NoChannel { name: name.clone(), known: overview.channels.iter().map(section).collect() });
    }
    if names.is_empty() {
        return Ok(overview);
    }
    let all = std::mem::take(&mut overview.channels);
    let (wanted, others): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|channel| names.iter().any(|name| is(channel, name)));
    let used = |broker: &str| wanted.iter().any(|channel| channel.broker == broker);
    let mut left_out: Vec<String> = others.iter().map(section).collect();
    left_out.extend(overview.brokers.iter().filter(|one| !used(&one.name)).map(|one| format!("broker {}", one.name)));
    overview.troubles.retain(|trouble| !left_out.contains(&trouble.about));
    overview.brokers.retain(|broker| used(&broker.name));
    overview.channels = wanted;
    Ok(overview)
}

#[cfg(test)]
mod tests {
    use observe::overview::{Broker, Severity};

    use super::*;
    use crate::words::tests::{trouble, well};

    fn selected(names: &[&str]) -> Result<Overview, NoChannel> {
        let mut overview = well();
        overview.channels.iter_mut().filter(|one| one.name == "cpu").for_each(|one| one.broker = "other".to_owned());
        overview.brokers.push(Broker { name: "other".to_owned(), ..Broker::default() });
        let about = ["send.cpu", "receive.central", "broker egi", "broker other", "/etc/sesame/hostcert.pem"];
        overview.troubles = about.map(|about| trouble(Severity::Warning, about, "x")).into();
        select(overview, &names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_about_other_channels_is_left_out() {
        assert_eq!(selected(&[]).unwrap().troubles.len(), 5);
        for name in ["cpu", "send.cpu"] {
            let overview = selected(&[name]).unwrap();
            let about: Vec<&str> = overview.troubles.iter().map(|trouble| trouble.about.as_str()).collect();
            assert_eq!(about, ["send.cpu", "broker other", "/etc/sesame/hostcert.pem"]);
            assert_eq!((overview.channels.len(), overview.brokers.len()), (1, 1));
        }
        assert_eq!(selected(&["cpu", "central"]).unwrap(), selected(&[]).unwrap());
    }

    #[test]
    fn a_name_that_no_channel_has_is_said_with_those_that_there_are() {
        let error = selected(&["cpu", "gpu"]).unwrap_err();
        assert_eq!(error.to_string(), "no channel \"gpu\" runs (channels: send.cpu, receive.central)");
    }
}
