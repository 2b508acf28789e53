//! Logs broken and missing plugins: each error once, at error level.

use super::status::{PluginState, PluginStatus};
use super::{Catalog, Snapshot};
use message::locked;

impl Catalog {
    /// Logs what is wrong now and was not logged before.
    pub fn report(&self, snapshot: &Snapshot) {
        snapshot.folder.iter().for_each(|status| self.report_plugin(status.name(), status));
        snapshot.named.iter().for_each(|(key, status)| self.report_plugin(key, status));
        let unusable = snapshot.unusable.as_ref().map(|error| {
            let error = message::cause::chain(error);
            format!("{error}; plugins already loaded stay in service, and new files in the folder are not seen")
        });
        self.report_once("", "", unusable.as_deref());
    }

    fn report_plugin(&self, about: &str, status: &PluginStatus) {
        if let Some(reason) = status.trouble() {
            let text = format!("plugin {} {reason}; the last good one stays in service", status.name);
            self.report_once(about, &status.name, Some(&text));
        } else if let Some(reason) = status.unanswering() {
            self.report_once(about, &status.name, Some(&waiting(status, reason)));
        } else if status.state != PluginState::Compiling {
            // While it compiles, the earlier error may still apply. Whether a plugin is missing in a channel is reported for
            // each channel.
            self.report_once(about, "", None);
        }
    }

    /// Logs once that messages of a channel wait for a plugin, unless the error of the plugin itself was logged.
    pub fn report_waiting(&self, channel: &str, status: &PluginStatus) {
        let about = format!("{channel}\n{}", status.name);
        let text = status.unanswering().map(|reason| waiting(status, reason));
        let known =
            |text: &String| locked(&self.reported).iter().any(|(other, logged)| *other != about && logged == text);
        let text = text.filter(|text| !known(text));
        self.report_once(&about, &status.name, text.as_deref());
    }

    fn report_once(&self, about: &str, plugin: &str, text: Option<&str>) {
        let mut reported = locked(&self.reported);
        match text {
            None => drop(reported.remove(about)),
            Some(text) if reported.get(about).is_some_and(|before| before == text) => {}
            Some(text) => {
                tracing::error!(plugin, "{text}");
                reported.insert(about.to_owned(), text.to_owned());
            }
        }
    }
}

fn waiting(status: &PluginStatus, reason: &str) -> String {
    let plugin = &status.name;
    if status.is_shadow() {
        return format!("plugin {plugin} {reason}; it is in shadow, so no message waits for it");
    }
    format!("plugin {plugin} {reason}; until this is fixed, the messages it applies to wait")
}
