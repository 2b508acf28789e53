//! What belongs to the channels that a command names.

use observe::overview::{Channel, Overview, Trouble};

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
/// its section; no name means all. A channel that does not run is known by its trouble.
///
/// # Errors
/// Where no channel has a name.
pub fn select(mut overview: Overview, names: &[String]) -> Result<Overview, NoChannel> {
    let is = |channel: &Channel, name: &String| channel.name == *name || channel.section() == *name;
    let has_trouble = |name: &String| overview.troubles.iter().any(|trouble| is_of(trouble, name));
    let is_known = |name: &String| overview.channels.iter().any(|channel| is(channel, name)) || has_trouble(name);
    if let Some(name) = names.iter().find(|name| !is_known(name)) {
        return Err(NoChannel { name: name.clone(), known: overview.channels.iter().map(Channel::section).collect() });
    }
    if names.is_empty() {
        return Ok(overview);
    }
    let all = std::mem::take(&mut overview.channels);
    let (wanted, others): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|channel| names.iter().any(|name| is(channel, name)));
    let used = |broker: &str| wanted.iter().any(|channel| channel.broker == broker);
    let mut left_out: Vec<String> = others.iter().map(Channel::section).collect();
    left_out.extend(overview.brokers.iter().filter(|one| !used(&one.name)).map(|one| format!("broker {}", one.name)));
    overview.troubles.retain(|trouble| match &trouble.channel {
        Some(_) => names.iter().any(|name| is_of(trouble, name)),
        None => !left_out.contains(&trouble.about),
    });
    overview.brokers.retain(|broker| used(&broker.name));
    overview.channels = wanted;
    Ok(overview)
}

/// Whether a trouble is of the channel with this name or section.
fn is_of(trouble: &Trouble, name: &str) -> bool {
    let section = trouble.channel.as_deref();
    section.is_some_and(|section| section == name || section.split_once('.').is_some_and(|(_, own)| own == name))
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
    fn a_trouble_belongs_to_its_channel_whatever_it_is_about() {
        let mut overview = well();
        let silent =
            Trouble { channel: Some("receive.central".to_owned()), ..trouble(Severity::Warning, "/CN=x", "y") };
        let absent = Trouble { channel: Some("send.gpu".to_owned()), ..trouble(Severity::Critical, "send.gpu", "z") };
        overview.troubles = vec![silent, absent];
        let about = |name: &str| {
            let selected = select(overview.clone(), &[name.to_owned()]).unwrap();
            (selected.channels.len(), selected.troubles.into_iter().map(|one| one.about).collect::<Vec<_>>())
        };
        assert_eq!(about("cpu"), (1, vec![]));
        assert_eq!(about("receive.central"), (1, vec!["/CN=x".to_owned()]));
        assert_eq!(about("gpu"), (0, vec!["send.gpu".to_owned()]), "it is known, and does not run");
        assert_eq!(about("send.gpu"), about("gpu"));
    }

    #[test]
    fn a_name_that_no_channel_has_is_said_with_those_that_there_are() {
        let error = selected(&["cpu", "gpu"]).unwrap_err();
        assert_eq!(error.to_string(), "no channel \"gpu\" runs (channels: send.cpu, receive.central)");
    }
}
