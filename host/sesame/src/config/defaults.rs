//! Every default of the configuration, in one place. `conf/sesame.toml` says the same to the operator; a test compares.

use std::time::Duration;

pub(super) use settings::{GIB, KIB, MIB};
pub use smime::MAX_PAYLOAD;
pub(super) use transport::defaults::{
    ALLOW_CN, CONNECT_TIMEOUT, HEART_BEAT, MAX_FRAME, MAX_MESSAGE, RECEIPT_TIMEOUT, TLS, VIRTUAL_HOST,
};

const DAY: Duration = Duration::from_secs(86_400);

/// Where the configuration is read from when the command line does not say.
pub const CONFIGURATION: &str = "/etc/sesame/sesame.toml";
/// Where SSM has its list of those who may send.
pub const SSM_DNS: &str = "/etc/apel/dns";

pub(super) const CERTIFICATE: &str = "/etc/grid-security/hostcert.pem";
pub(super) const KEY: &str = "/etc/grid-security/hostkey.pem";

pub(super) const ANCHORS: &str = "/etc/grid-security/certificates";
pub(super) const SIGNING_POLICY: bool = true;
pub(super) const ALLOW_SHA1_DIGEST: bool = false;
pub(super) const REFRESH: Duration = Duration::from_secs(60);

pub(super) const PLUGIN_FOLDER: &str = "/etc/sesame/plugins.d";
/// Where the service keeps compiled plugins.
pub const PLUGIN_CACHE: &str = "/var/cache/sesame";
pub(super) const PLUGIN_SIGNERS: &str = "/etc/sesame/plugin-signers";
pub(super) const PLUGINS_ADOPTED: &str = "/var/lib/sesame/adopted-plugins";
pub(super) const REQUIRE_SIGNED: bool = false;

pub(super) const COUNT_RECORDS: bool = true;
pub(super) const JOURNAL_RETENTION: Duration = DAY.saturating_mul(90);

pub(super) const PLUGIN_LOG: &str = "/var/log/sesame/plugins.log";

pub(super) const GRACE: Duration = Duration::from_secs(30);
pub(super) const MEMORY: u64 = 256 * MIB;

pub(super) const ISOLATE: bool = true;

pub(super) const ALLOW_REMOTE: bool = false;
pub(super) const SHOW_PAYLOAD: bool = false;

pub(super) const MISSING_AFTER: Duration = Duration::from_secs(900);
pub(super) const ALLOW_TOPIC: bool = false;
pub(super) const WINDOW: u32 = 64;
pub(super) const PREFETCH: u32 = 128;
pub(super) const EXCLUSIVE: bool = false;
/// What `max-payload` may be raised to.
pub(super) const HIGHEST_MAX_PAYLOAD: u64 = 128 * MIB;
pub(super) const POLL: Duration = Duration::from_secs(5);
pub(super) const ATTEMPTS: u32 = 10;
pub(super) const BACK_OFF_MIN: Duration = Duration::from_secs(60);
pub(super) const BACK_OFF_MAX: Duration = Duration::from_secs(3600);
pub(super) const DIRECTORY_MODE: u32 = 0o750;
pub(super) const FILE_MODE: u32 = 0o640;
/// The default of `repeat-after` of a sender that waits for acknowledgements.
pub const REPEAT_AFTER: Duration = Duration::from_secs(6 * 3600);
pub(super) const MIN_FREE: u64 = 256 * MIB;
