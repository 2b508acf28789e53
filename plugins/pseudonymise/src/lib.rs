//! The stock plugin `builtin:pseudonymise`: withholds the names of users, or puts a keyed hash in their place.
//!
//! Fields are found by name in text, JSON and XML records, in whatever case and however deep; nothing else of the
//! message changes. With a key, the same name gets the same pseudonym in every record, message and format, and without
//! the key it cannot be traced to a user (HMAC-SHA-256). What is null or already `withheld` stays. A message that cannot
//! be read is refused, because it may name users.
//!
//!     [config]
//!     key-hex = "8f3c…"                 # or key = "at least 16 characters"; without one, names are withheld
//!     fields = ["GlobalUserName", "LocalUserId", "FQAN"]
//!     table = "pseudonyms"              # names that have a pseudonym already, in a lookup table that the sidecar grants
//!
//! The key should be a secret of the configuration: key = { secret = "NAME" }.
//!
//! FQANs and groups are kept unless they are listed. A listed XML element that only contains others is left unchanged.

use hmac::{Hmac, Mac as _};
use sesame_plugin::records::shape::{Field, edit};
use sesame_plugin::table::{Table, text, texts, whole};
use sesame_plugin::tables;
use sesame_plugin::{Configuration, Failure, Message, Output, Plugin, Transformed, Transformer, Verdict};
use sha2::Sha256;

/// Replaces a name.
const WITHHELD: &str = "withheld";
/// What names a user in the formats: text and JSON, CAR, StAR and public IP records.
const USER_FIELDS: [&str; 4] = ["GlobalUserName", "LocalUserId", "LocalUser", "UserIdentity"];
/// The column of the lookup table with the pseudonyms.
const COLUMN: &str = "pseudonym";
const MIN_KEY: usize = 16;
const DIGITS: std::ops::RangeInclusive<usize> = 16..=64;

struct Config {
    key: Option<String>,
    key_hex: Option<String>,
    prefix: String,
    digits: usize,
    fields: Vec<String>,
    table: Option<String>,
    column: String,
}

impl Configuration for Config {
    fn from_json(json: &str) -> Result<Self, String> {
        Table::read(json, |table| {
            Ok(Self {
                key: table.value("key", text)?,
                key_hex: table.value("key-hex", text)?,
                prefix: table.value("prefix", text)?.unwrap_or_default(),
                digits: table.value("digits", |value| whole(value, *DIGITS.start()))?.unwrap_or(32),
                table: table.value("table", text)?,
                column: table.value("column", text)?.unwrap_or_else(|| COLUMN.to_owned()),
                fields: table.value("fields", texts)?.unwrap_or_else(|| USER_FIELDS.map(str::to_owned).to_vec()),
            })
        })
    }
}

struct Pseudonymise {
    /// None: names are withheld.
    mac: Option<Hmac<Sha256>>,
    prefix: String,
    digits: usize,
    fields: Vec<String>,
    table: Option<String>,
    column: String,
}

impl Plugin for Pseudonymise {
    type Config = Config;
    const NAME: &'static str = "pseudonymise";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Withholds the names of users, or puts a keyed hash in their place.";

    fn config_schema() -> Option<String> {
        let schema = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "key": {
      "description": "The key of the hash, as text; without a key, names are replaced by `withheld`.",
      "type": "string",
      "minLength": 16
    },
    "key-hex": {
      "description": "The key of the hash, in hexadecimal, at least 16 bytes.",
      "type": "string",
      "pattern": "^([0-9A-Fa-f]{2}){16,}$"
    },
    "prefix": {
      "description": "What each pseudonym begins with, in printable ASCII; default: nothing.",
      "type": "string",
      "maxLength": 64,
      "pattern": "^[!-$&-~]*$"
    },
    "digits": {
      "description": "How many hexadecimal digits of the hash are kept; default 32.",
      "type": "integer",
      "minimum": 16,
      "maximum": 64
    },
    "fields": {
      "description": "The fields to replace; default: GlobalUserName, LocalUserId, LocalUser, UserIdentity.",
      "type": "array",
      "minItems": 1,
      "items": { "type": "string", "minLength": 1 }
    },
    "table": {
      "description": "A lookup table, granted in the sidecar: for each name its pseudonym. Other names are hashed or withheld.",
      "type": "string",
      "minLength": 1
    },
    "column": {
      "description": "The column of the lookup table with the pseudonym; default: pseudonym.",
      "type": "string",
      "minLength": 1
    }
  },
  "not": { "required": ["key", "key-hex"] }
}"#;
        Some(schema.to_owned())
    }

    fn new(config: Config) -> Result<Self, String> {
        let key = match (config.key, config.key_hex) {
            (Some(_), Some(_)) => return Err("key and key-hex exclude each other: leave one out".to_owned()),
            (Some(text), None) => Some(text.into_bytes()),
            (None, Some(digits)) => Some(bytes(&digits).ok_or("key-hex is not hexadecimal")?),
            (None, None) => None,
        };
        if key.as_ref().is_some_and(|key| key.len() < MIN_KEY) {
            return Err(format!("the key must have at least {MIN_KEY} bytes"));
        }
        if !DIGITS.contains(&config.digits) {
            return Err(format!("digits must be {} to {}", DIGITS.start(), DIGITS.end()));
        }
        if config.prefix.len() > 64 || !config.prefix.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'%') {
            return Err("prefix must be at most 64 printable ASCII characters without blanks and `%`".to_owned());
        }
        if config.fields.is_empty() {
            return Err("fields must name at least one field".to_owned());
        }
        if let Some(table) = &config.table {
            tables::contains(table, "")?;
        }
        let mac = key.map(|key| Hmac::new_from_slice(&key)).transpose().map_err(|error| error.to_string())?;
        let Config { prefix, digits, fields, table, column, .. } = config;
        Ok(Self { mac, prefix, digits, fields, table, column })
    }
}

impl Transformer for Pseudonymise {
    fn transform(&self, message: &Message) -> Result<Transformed, Failure> {
        let mut failed = None;
        let edited = edit(&message.payload, |record| {
            for index in 0..record.fields().len() {
                let new = record
                    .fields()
                    .get(index)
                    .filter(|field| self.concerns(field))
                    .map(|field| self.name(&field.value));
                match new {
                    Some(Ok(new)) => record.set(index, &new),
                    Some(Err(error)) => failed = Some(error),
                    None => {}
                }
            }
        })
        .map_err(Failure::Invalid)?;
        if let Some(error) = failed {
            return Err(Failure::Internal(error));
        }
        Ok(match edited.payload {
            Some(payload) => Verdict::Replaced(Output::new(payload)).into(),
            None => Verdict::Unchanged.into(),
        })
    }
}

impl Pseudonymise {
    fn concerns(&self, field: &Field<'_>) -> bool {
        let listed = |name: &String| name.eq_ignore_ascii_case(&field.name) || name.eq_ignore_ascii_case(field.leaf());
        // In CAR the element UserIdentity holds the names; in JSON a listed object goes as a whole.
        let holder = field.container && field.place == sesame_plugin::records::shape::Place::Element;
        !field.null && !holder && field.value != WITHHELD && self.fields.iter().any(listed)
    }

    fn name(&self, user: &str) -> Result<String, String> {
        let known = self.table.as_ref().map(|table| tables::value(table, user.trim(), &self.column)).transpose()?;
        if let Some(known) = known.flatten().filter(|known| !known.is_empty()) {
            return Ok(known);
        }
        let Some(mac) = &self.mac else { return Ok(WITHHELD.to_owned()) };
        let hash = mac.clone().chain_update(user.trim().as_bytes()).finalize().into_bytes();
        let mut name = self.prefix.clone();
        name.extend(hash.iter().flat_map(|byte| [byte >> 4, byte & 0x0F]).take(self.digits).map(digit));
        Ok(name)
    }
}

fn digit(nibble: u8) -> char {
    char::from_digit(nibble.into(), 16).unwrap_or('0')
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    let nibbles: Vec<u8> =
        digits.chars().map(|digit| digit.to_digit(16).map(|nibble| nibble as u8)).collect::<Option<_>>()?;
    nibbles
        .len()
        .is_multiple_of(2)
        .then(|| nibbles.chunks(2).map(|two| two.iter().fold(0, |byte, nibble| byte << 4 | nibble)).collect())
}

sesame_plugin::export!(Pseudonymise: transformer);

#[cfg(test)]
mod tests;
