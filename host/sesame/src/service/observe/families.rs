//! Every metric: its name, kind, unit and labels. The reference page is made from this table.

use observe::{Family, Kind, Unit};

macro_rules! families {
    ($($(#[$group:meta])? $constant:ident $name:literal $kind:ident $unit:ident [$($label:literal)*] $help:literal)*) => {
        $(
            $(#[$group])?
            pub(super) static $constant: Family = Family {
                name: $name,
                help: $help,
                kind: Kind::$kind,
                unit: Unit::$unit,
                labels: &[$($label),*],
            };
        )*

        /// Every metric, in the order of the page.
        pub static FAMILIES: &[&Family] = &[$(&$constant),*];
    };
}

families! {
    BUILD "sesame_build" Info Number ["version"] "The release of Sesame that runs."
    STARTED "process_start_time" Gauge Seconds [] "When the process started, in seconds since 1970."
    CPU "process_cpu" Counter Seconds [] "Processor time of the process, user and system."
    MEMORY "process_resident_memory" Gauge Bytes [] "Memory of the process that is resident."
    FILES "process_open_fds" Gauge Number [] "File descriptors that are open."
    MOST_FILES "process_max_fds" Gauge Number [] "File descriptors that may be open."
    OPENERS "sesame_opening_processes" Gauge Number [] "Child processes that open messages; 0 with `isolate = false`."
    OPENER_CRASHES "sesame_opening_crashes" Counter Number [] "Child processes that ended while they opened a message."
    READY "sesame_channel_ready" Gauge Number ["channel" "direction"] "1 where the channel is in service, 0 where /ready says why it is not."
    PAUSED "sesame_channel_paused" Gauge Number ["channel"] "1 while none is taken up: a plugin fails for every message, or an operator paused the channel."
    MESSAGES "sesame_messages" Counter Number ["channel" "direction" "fate" "code"] "What became of messages; code is empty except for rejections. A message that waits or is deferred counts each time."
    STEP "sesame_step" Histogram Seconds ["channel" "step"] "Time of each step of a message or part; its count says how many went through, rejected ones too."
    STEP_BYTES "sesame_step" Counter Bytes ["channel" "step"] "Bytes that went through each step."
    IN_FLIGHT "sesame_in_flight_messages" Gauge Number ["channel"] "Messages that are sent and not confirmed, or delivered and not stored."
    AGE "sesame_sent_age" Histogram Seconds ["channel"] "How long messages had been in the outgoing queue when the broker confirmed them."
    REDELIVERIES "sesame_redeliveries" Counter Number ["channel"] "Deliveries that the broker marked as delivered before."
    QUEUED "sesame_queue_messages" Gauge Number ["channel" "queue"] "Messages in a queue."
    OLDEST "sesame_queue_oldest_age" Gauge Seconds ["channel" "queue"] "Age of the oldest message in a queue; 0 where it is empty."
    AWAITED "sesame_acknowledgements_awaited" Gauge Number ["channel"] "Sent messages that are kept until they are acknowledged, the overdue ones among them."
    AWAITED_AGE "sesame_acknowledgements_oldest_age" Gauge Seconds ["channel"] "How long ago the oldest of these was sent; 0 where there is none."
    OVERDUE "sesame_acknowledgements_overdue" Gauge Number ["channel"] "Sent messages that were repeated as often as allowed and are not acknowledged."
    OWED "sesame_acknowledgements_owed" Gauge Number ["channel"] "Acknowledgements that the receiver has not sent yet."
    GAPS "sesame_gap_messages" Gauge Number ["channel"] "Messages that are missing in numbered streams of signers."
    SIGNER_LAST "sesame_signer_last_message_timestamp" Gauge Seconds ["channel" "signer"] "When the last message of an authorised signer came, in seconds since 1970. The signers beyond the first 1,000 are `other`."
    SIGNER_AGE "sesame_signer_last_message_age" Gauge Seconds ["channel" "signer"] "Seconds since the last message of an authorised signer."
    PLUGIN_CALLS "sesame_plugin_calls" Counter Number ["channel" "plugin" "outcome"] "Calls of a plugin by outcome: answered, rejected, retry, failed. They start at zero when the plugin is replaced."
    PLUGIN_LIMITS "sesame_plugin_limits_reached" Counter Number ["channel" "plugin" "limit"] "Calls that failed at a limit: time, memory, stack, output."
    PLUGIN_TIME "sesame_plugin_call" Histogram Seconds ["channel" "plugin"] "Time of a call of a plugin."
    PLUGIN_STATE "sesame_plugin_state" Gauge Number ["channel" "plugin" "state"] "1 for the state that the plugin is in, 0 for the others."
    PLUGIN_SHADOW "sesame_plugin_shadow_messages" Counter Number ["channel" "plugin" "outcome"] "Messages of a plugin in shadow by outcome: same, differs, failed, passed-over. They start at zero when the plugin is replaced."
    BROKER_CONNECTING "sesame_broker_connecting" Gauge Number ["broker"] "Links that have no session and are trying to open one, those for acknowledgements included. More than a moment above 0: the broker cannot be reached."
    BROKER_OPEN "sesame_broker_sessions" Gauge Number ["broker"] "Sessions that are open, those for acknowledgements included."
    BROKER_OPENED "sesame_broker_sessions_opened" Counter Number ["broker"] "Sessions that were opened; links that nothing is sent on open theirs again when it is needed."
    BROKER_FAILED "sesame_broker_connections_failed" Counter Number ["broker"] "Attempts in which no host of the broker could be reached."
    BROKER_LOST "sesame_broker_sessions_lost" Counter Number ["broker"] "Sessions that the broker or the network ended."
    BROKER_SILENT "sesame_broker_heart_beats_missed" Counter Number ["broker"] "Sessions that ended because the broker sent no heart-beat."
    BROKER_BLOCKED "sesame_broker_blocked" Counter Seconds ["broker"] "Time in which a broker read nothing though frames waited to be sent."
    CERTIFICATE "sesame_certificate_expiry" Gauge Seconds ["use" "file"] "Seconds until a certificate ends; below 0 where it has."
    CRL "sesame_crl_expiry" Gauge Seconds ["file"] "Seconds until the next update of a revocation list is due; below 0 where it is late."
    RELOADED "sesame_file_last_reload_successful" Gauge Number ["use" "file"] "1 where a file in use is as it is on disk; 0 where it changed and cannot be used: what was read before stays in use, and a restart fails. `use` is own, recipient, anchors or signers."
    JOURNAL "sesame_journal" Gauge Bytes ["directory"] "Size of the journal with its log."
    FREE "sesame_disk_free" Gauge Bytes ["directory"] "Room on the disk of a queue or spool."
    MIN_FREE "sesame_disk_min_free" Gauge Bytes ["directory"] "The room below which the channel pauses, min-free."
    LOOKED "sesame_queues_looked_at_timestamp" Gauge Seconds [] "When queues, journals and disks were last looked at, in seconds since 1970."
    LEFT_OUT "sesame_series_left_out" Gauge Number [] "Series that were left out, because a metric has at most 10,000."
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_follow_the_rules_of_prometheus() {
        let mut names = BTreeSet::new();
        for family in FAMILIES {
            let name = family.full_name();
            let well = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            assert!(well(&name) && family.labels.iter().all(|label| well(label)), "{name}");
            assert!(name.starts_with("sesame_") || name.starts_with("process_"), "{name}");
            assert!(family.help.ends_with('.') && !family.help.contains('\n'), "{name}");
            for reserved in ["_total", "_count", "_sum", "_bucket", "_info", "_created", "_seconds", "_bytes"] {
                assert!(!family.name.ends_with(reserved), "{name}: the ending {reserved} is added");
            }
            assert!(names.insert(name.clone()), "{name} twice");
        }
    }
}
