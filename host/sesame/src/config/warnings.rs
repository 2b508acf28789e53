//! What a configuration may say and what is still worth a word when the program starts.

use std::path::Path;

use super::{Config, OnError, Trust};
use transport::Broker;
use trust::CrlMode;

const NFS: u64 = 0x6969;
const TMPFS: u64 = 0x0102_1994;

impl Config {
    /// One line each: no TLS, CRLs ignored, SHA-1, plugins that let everything pass, queues on a disk that does not keep
    /// its word.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.notes.clone();
        for (name, broker) in &self.brokers {
            let Broker::Stomp(broker) = broker else { continue };
            if broker.tls {
                continue;
            }
            let hosts: Vec<String> = broker.hosts.iter().map(ToString::to_string).collect();
            warnings.push(format!("broker.{name}.tls: messages travel to {} without TLS", hosts.join(", ")));
        }
        for (name, sender) in &self.senders {
            warnings.extend(trust(&sender.trust).map(|warning| format!("send.{name}.trust: {warning}")));
            warnings.extend(disk(&sender.queue).map(|warning| format!("send.{name}.queue: {warning}")));
        }
        for (name, receiver) in &self.receivers {
            warnings.extend(trust(&receiver.trust).map(|warning| format!("receive.{name}.trust: {warning}")));
            warnings.extend(disk(&receiver.spool).map(|warning| format!("receive.{name}.spool: {warning}")));
        }
        for (name, _) in self.plugin.iter().filter(|(_, settings)| settings.on_error == OnError::Pass) {
            warnings.push(format!("plugin.{name:?}.on-error: a message passes unchecked when this plugin fails"));
        }
        warnings
    }

    /// The keys that `later` has otherwise and that only a start takes notice of.
    #[must_use]
    pub fn needs_restart(&self, later: &Self) -> Vec<&'static str> {
        let (plugins, later_plugins) = (&self.plugins, &later.plugins);
        let (limits, later_limits) = (&self.limits, &later.limits);
        let changed = [
            ("plugins.cache", plugins.cache != later_plugins.cache),
            ("plugins.signers", plugins.signers != later_plugins.signers),
            ("plugins.require-signed", plugins.require_signed != later_plugins.require_signed),
            ("plugins.adopted", plugins.adopted != later_plugins.adopted),
            ("limits.memory", limits.memory != later_limits.memory),
            ("limits.grace", limits.grace != later_limits.grace),
            ("limits.workers", limits.workers != later_limits.workers),
            ("log.format", self.log.format != later.log.format),
            ("index", self.index != later.index),
        ];
        changed.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
    }
}

fn trust(trust: &Trust) -> impl Iterator<Item = &'static str> {
    let crls = (trust.crls == CrlMode::Ignore).then_some("a revoked certificate is accepted, for crls = \"ignore\"");
    let sha1 = trust.allow_sha1_digest.then_some("messages signed with SHA-1 are accepted");
    crls.into_iter().chain(sha1)
}

fn disk(path: &Path) -> Option<String> {
    let there = path.ancestors().find_map(|ancestor| rustix::fs::statfs(ancestor).ok())?;
    let path = path.display();
    match u64::try_from(there.f_type).ok()? {
        NFS => Some(format!("{path} is on NFS, where locks and syncs may not hold")),
        TMPFS => Some(format!("{path} is in memory and will not survive a restart of the machine")),
        _ => None,
    }
}
