//! One test case: the message and its context.
//!
//! What `context.toml` leaves out has a fixed value, including the time of receipt, so that a case that passes today still
//! passes in a year.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use message::{Direction, MessageId};
use plugins::{Input, Sidecar, SignerFacts};

/// 2026-01-01T00:00:00Z.
const RECEIVED_AT: u64 = 1_767_225_600_000;
/// 2027-01-01T00:00:00Z.
const NOT_AFTER: u64 = 1_798_761_600;

/// `context.toml`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Context {
    direction: Option<Direction>,
    channel: Option<String>,
    destination: Option<String>,
    message_id: Option<String>,
    content_type: Option<String>,
    received_at: Option<Moment>,
    attempt: Option<u32>,
    /// The channel's routes, which a router may name.
    routes: Vec<String>,
    headers: BTreeMap<String, String>,
    properties: BTreeMap<String, String>,
    signer: Option<Signer>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Signer {
    subject: String,
    subject_slash: Option<String>,
    issuer: Option<String>,
    serial: Option<String>,
    not_after: Option<Moment>,
}

/// A TOML date and time with offset.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "toml::value::Datetime")]
struct Moment(jiff::Timestamp);

impl TryFrom<toml::value::Datetime> for Moment {
    type Error = String;

    fn try_from(written: toml::value::Datetime) -> Result<Self, String> {
        let text = written.to_string();
        let moment = text.parse().map_err(|_| {
            format!("{text} is not a date and time with offset: write one such as 2026-01-31T12:00:00Z")
        })?;
        Ok(Self(moment))
    }
}

/// A case, ready to be asked.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) message: Vec<u8>,
    /// The sidecar's settings with the configuration of the case.
    pub(super) settings: Sidecar,
    pub(super) channel: String,
    pub(super) direction: Direction,
    pub(super) routes: Vec<String>,
    id: MessageId,
    destination: String,
    content_type: Option<String>,
    signer: Option<SignerFacts>,
    received_at: u64,
    attempt: u32,
    headers: Vec<(String, String)>,
    properties: Vec<(String, String)>,
}

impl Case {
    /// Reads the case in `folder`; `settings` apply unless it has a configuration of its own.
    pub(crate) fn read(folder: &Path, settings: &Sidecar) -> anyhow::Result<Self> {
        let path = folder.join("message");
        let message = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let context: Context = read(&folder.join("context.toml"))?.unwrap_or_default();
        let own: Option<serde_json::Map<String, serde_json::Value>> = read(&folder.join("config.toml"))?;
        let mut settings = settings.clone();
        if let Some(own) = own {
            settings.config = serde_json::Value::Object(own);
        }
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let direction = context.direction.unwrap_or(Direction::Inbound);
        let signed = direction == Direction::Inbound;
        Ok(Self {
            message,
            settings,
            channel: context.channel.unwrap_or_else(|| "test".to_owned()),
            direction,
            routes: context.routes,
            id: MessageId::from_peer(&context.message_id.unwrap_or(name)),
            destination: context.destination.unwrap_or_else(|| "/queue/test".to_owned()),
            content_type: context.content_type,
            signer: signed.then(|| context.signer.map_or_else(default_signer, Signer::facts)),
            received_at: context.received_at.map_or(RECEIVED_AT, |moment| moment.since_1970(1000)),
            attempt: context.attempt.unwrap_or(1),
            headers: context.headers.into_iter().collect(),
            properties: context.properties.into_iter().collect(),
        })
    }

    /// The input of the pipeline.
    pub(crate) fn input(&self) -> Input<'_> {
        Input {
            message_id: &self.id,
            destination: &self.destination,
            content_type: self.content_type.as_deref(),
            signer: self.signer.as_ref(),
            received_at: self.received_at,
            attempt: self.attempt,
            transport_headers: &self.headers,
            properties: &self.properties,
        }
    }
}

impl Moment {
    /// In units of which a second has so many.
    fn since_1970(self, units: i64) -> u64 {
        let milliseconds = self.0.as_millisecond();
        u64::try_from(milliseconds / (1000 / units.max(1))).unwrap_or(0)
    }
}

impl Signer {
    fn facts(self) -> SignerFacts {
        let default = default_signer();
        SignerFacts {
            subject: self.subject,
            subject_slash: self.subject_slash,
            issuer: self.issuer.unwrap_or(default.issuer),
            serial: self.serial.unwrap_or(default.serial),
            not_after: self.not_after.map_or(default.not_after, |moment| moment.since_1970(1)),
            certificate: Vec::new(),
        }
    }
}

/// Every inbound message has a signer.
fn default_signer() -> SignerFacts {
    SignerFacts {
        subject: "CN=sender.example.org,O=Example,C=UK".to_owned(),
        subject_slash: Some("/C=UK/O=Example/CN=sender.example.org".to_owned()),
        issuer: "CN=Example CA,O=Example,C=UK".to_owned(),
        serial: "01".to_owned(),
        not_after: NOT_AFTER,
        certificate: Vec::new(),
    }
}

/// A TOML file, `None` where it is not there.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Option<T>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let wrong = |error: toml::de::Error| anyhow::anyhow!("{}: {}", path.display(), error.to_string().trim_end());
    toml::from_str(&text).map(Some).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(context: &str) -> anyhow::Result<Case> {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("message"), "a: 1\n").unwrap();
        fs::write(home.path().join("context.toml"), context).unwrap();
        Case::read(home.path(), &Sidecar::default())
    }

    #[test]
    fn missing_keys_have_fixed_values() {
        let plain = case("").unwrap();
        assert_eq!((plain.direction, plain.received_at, plain.attempt), (Direction::Inbound, RECEIVED_AT, 1));
        assert_eq!(plain.input().signer.unwrap().subject, "CN=sender.example.org,O=Example,C=UK");
        assert!(case("direction = \"outbound\"").unwrap().input().signer.is_none());
    }

    #[test]
    fn reads_every_key() {
        let read = case(
            "direction = \"inbound\"\nchannel = \"c\"\ndestination = \"/queue/d\"\nmessage-id = \"a/b\"\n\
             content-type = \"text/plain\"\nreceived-at = 1970-01-01T00:00:01Z\nattempt = 2\nroutes = [\"cloud\"]\n\
             [headers]\nh = \"1\"\n[properties]\np = \"2\"\n[signer]\nsubject = \"CN=a\"\nsubject-slash = \"/CN=a\"\n\
             issuer = \"CN=b\"\nserial = \"0f\"\nnot-after = 1970-01-01T00:00:05Z\n",
        );
        let read = read.unwrap();
        let input = read.input();
        assert_eq!((input.message_id.as_str(), input.received_at, input.attempt), ("a/b", 1000, 2));
        assert_eq!((input.transport_headers[0].1.as_str(), input.properties[0].1.as_str()), ("1", "2"));
        assert_eq!((input.signer.unwrap().not_after, read.routes.len()), (5, 1));
    }

    #[test]
    fn refuses_unknown_keys_and_malformed_times() {
        assert!(case("chanel = \"c\"").unwrap_err().to_string().contains("context.toml"));
        assert!(format!("{:#}", case("received-at = 2026-01-01").unwrap_err()).contains("2026-01-31T12:00:00Z"));
    }
}
