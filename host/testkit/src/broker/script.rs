//! What a broker may do wrong, for tests.

use std::time::Duration;

use stomp::frame::Version;

/// How the broker misbehaves. The default is a broker that does not.
#[derive(Clone, Debug)]
pub struct Script {
    /// Speak this version whatever was offered.
    pub version: Option<Version>,
    /// The `heart-beat` header of CONNECTED: what is sent and what is wanted, in milliseconds.
    pub heart_beat: (u64, u64),
    /// Promise heart-beats and send none.
    pub heart_beats_stop: bool,
    /// Login and passcode to demand.
    pub login: Option<(String, String)>,
    /// Accept connections and say nothing, not even CONNECTED.
    pub silent: bool,
    /// Send no RECEIPT.
    pub withhold_receipts: bool,
    /// Send every RECEIPT twice.
    pub duplicate_receipts: bool,
    /// Answer every frame with a RECEIPT of this id instead.
    pub foreign_receipt: Option<String>,
    /// Answer every SEND with an ERROR of this text that names the frame.
    pub refuse_sends: Option<String>,
    /// Answer a SEND with a larger body by an ERROR that names nothing.
    pub max_body: Option<usize>,
    /// Answer every SUBSCRIBE with an ERROR of this text.
    pub refuse_subscriptions: Option<String>,
    /// Know no `client-individual`.
    pub cumulative_only: bool,
    /// Deliver more than `prefetch-count` allows.
    pub ignore_prefetch: bool,
    /// Deliver every message twice.
    pub duplicate_deliveries: bool,
    /// Forget every ACK.
    pub lose_acks: bool,
    /// Drop the connection after so many frames of the client; counted for each connection.
    pub close_after_frames: Option<u64>,
    /// Wait before writing.
    pub delay: Duration,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            version: None,
            heart_beat: (10_000, 10_000),
            heart_beats_stop: false,
            login: None,
            silent: false,
            withhold_receipts: false,
            duplicate_receipts: false,
            foreign_receipt: None,
            refuse_sends: None,
            max_body: None,
            refuse_subscriptions: None,
            cumulative_only: false,
            ignore_prefetch: false,
            duplicate_deliveries: false,
            lose_acks: false,
            close_after_frames: None,
            delay: Duration::ZERO,
        }
    }
}
