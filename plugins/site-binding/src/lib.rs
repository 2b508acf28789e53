//! The stock plugin `builtin:site-binding`: a signer may report for its own sites only.
//!
//! Every `Site` or `SiteName` of every record must be among the sites that the table has for the signer. Signers are
//! written as `/C=UK/O=…/CN=…` or as `CN=…,O=…,C=UK`; sites are compared letter for letter. Every occurrence counts,
//! for a consumer might take the first or the last. A record without a site is refused unless `no-site` is `pass`, and
//! a message whose records cannot be separated is refused.
//!
//! Outbound there is no signer but ourselves: what goes out must be of the sites in `own`; without `own` it is not
//! looked at.
//!
//!     [config]
//!     unlisted = "reject"               # signers that the table does not have; or "pass"
//!     table = "sites"                   # signers and sites in a lookup table that the sidecar grants
//!     [config.signers]
//!     "/C=UK/O=Example/CN=ce1.example.org" = ["UKI-TEST", "UKI-TEST-2"]
//!
//! The key of the lookup table is the DN, in slash form or as `CN=…,O=…,C=UK` without blanks around `,` and `=` and with
//! attribute types in capitals; its column `sites`, or the one that `column` names, has the sites with blanks between. Both
//! tables together decide.

use sesame_plugin::records::json::Value;
use sesame_plugin::records::shape::{Field, Place, Record, edit};
use sesame_plugin::records::{Findings, answer};
use sesame_plugin::table::{Table, text, texts};
use sesame_plugin::tables;
use sesame_plugin::{Configuration, Direction, Failure, Finding, Message, Plugin, Signer, Validator};

/// The column of the lookup table with the sites.
const COLUMN: &str = "sites";

#[derive(Clone, Copy, Default, PartialEq)]
enum Otherwise {
    #[default]
    Reject,
    Pass,
}

impl Otherwise {
    fn read(value: Value<'_, '_>) -> Result<Self, String> {
        match text(value)?.as_str() {
            "reject" => Ok(Self::Reject),
            "pass" => Ok(Self::Pass),
            _ => Err(" must be reject or pass".to_owned()),
        }
    }
}

struct Config {
    signers: Vec<(String, Vec<String>)>,
    table: Option<String>,
    column: String,
    own: Option<Vec<String>>,
    unlisted: Otherwise,
    no_site: Otherwise,
}

impl Configuration for Config {
    fn from_json(json: &str) -> Result<Self, String> {
        Table::read(json, |table| {
            Ok(Self {
                signers: table.entries("signers", texts)?,
                table: table.value("table", text)?,
                column: table.value("column", text)?.unwrap_or_else(|| COLUMN.to_owned()),
                own: table.value("own", texts)?,
                unlisted: table.value("unlisted", Otherwise::read)?.unwrap_or_default(),
                no_site: table.value("no-site", Otherwise::read)?.unwrap_or_default(),
            })
        })
    }
}

struct SiteBinding {
    config: Config,
}

impl Plugin for SiteBinding {
    type Config = Config;
    const NAME: &'static str = "site-binding";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Refuses records of sites that their signer may not report for.";

    fn config_schema() -> Option<String> {
        let schema = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "signers": {
      "description": "For each signer DN, as /C=UK/O=.../CN=... or CN=...,O=...,C=UK, the sites it may report for.",
      "type": "object",
      "propertyNames": { "pattern": "=" },
      "additionalProperties": { "type": "array", "items": { "type": "string", "minLength": 1 } }
    },
    "table": {
      "description": "A lookup table, granted in the sidecar: for each signer DN its sites.",
      "type": "string",
      "minLength": 1
    },
    "column": {
      "description": "The column of the lookup table with the sites, separated by blanks; default: sites.",
      "type": "string",
      "minLength": 1
    },
    "own": {
      "description": "The sites that messages which go out may name; without it they are not looked at.",
      "type": "array",
      "items": { "type": "string", "minLength": 1 }
    },
    "unlisted": {
      "description": "What becomes of a message whose signer is not listed; default: reject.",
      "enum": ["reject", "pass"]
    },
    "no-site": {
      "description": "What becomes of a record that names no site; default: reject.",
      "enum": ["reject", "pass"]
    }
  }
}"#;
        Some(schema.to_owned())
    }

    fn new(config: Config) -> Result<Self, String> {
        let one = |(dn, sites): (String, Vec<String>)| match dn.contains('=') {
            true => Ok((canonical(&dn), sites)),
            false => Err(format!("signers: {dn:?} is not a DN: write it as /C=UK/O=.../CN=... or CN=...,O=...,C=UK")),
        };
        let signers = config.signers.into_iter().map(one).collect::<Result<_, _>>()?;
        if let Some(table) = &config.table {
            tables::contains(table, "")?;
        }
        Ok(Self { config: Config { signers, ..config } })
    }
}

impl Validator for SiteBinding {
    fn validate(&self, message: &Message) -> Result<Vec<Finding>, Failure> {
        let sites: Vec<String> = match (&message.context.signer, message.context.direction) {
            (None, Direction::Outbound) => match &self.config.own {
                Some(own) => own.clone(),
                None => return Ok(Vec::new()),
            },
            (None, Direction::Inbound) => {
                return Err(
                    Finding::error("site.no-signer", "the message has no signer whose sites could be known").into()
                );
            }
            (Some(signer), _) => match (self.sites_of(signer).map_err(Failure::Internal)?, self.config.unlisted) {
                (Some(sites), _) => sites,
                (None, Otherwise::Pass) => return Ok(Vec::new()),
                (None, Otherwise::Reject) => {
                    let finding = Finding::error(
                        "site.unlisted-signer",
                        "the signer has no sites in `signers` and the lookup table",
                    );
                    return Err(finding.in_field("signer", &signer.subject).into());
                }
            },
        };
        self.check(&message.payload, &sites)
    }
}

impl SiteBinding {
    /// The sites of a signer under both forms of its name; None: it is not listed.
    fn sites_of(&self, signer: &Signer) -> Result<Option<Vec<String>>, String> {
        let slash = signer.properties.iter().find(|(name, _)| name == "subject-slash").map(|(_, dn)| dn.as_str());
        let forms = [Some(signer.subject.as_str()), slash].map(|dn| dn.map(canonical));
        // Both forms of one name, or two spellings of it, add up.
        let of_signer = |(dn, _): &&(String, Vec<String>)| forms.iter().flatten().any(|form| form == dn);
        let mut rows: Vec<Vec<String>> =
            self.config.signers.iter().filter(of_signer).map(|(_, sites)| sites.clone()).collect();
        for dn in forms.iter().flatten() {
            let Some(table) = &self.config.table else { break };
            let sites = tables::value(table, dn, &self.config.column)?;
            rows.extend(sites.map(|sites| sites.split_whitespace().map(str::to_owned).collect()));
        }
        Ok((!rows.is_empty()).then(|| rows.concat()))
    }

    fn check(&self, payload: &[u8], sites: &[String]) -> Result<Vec<Finding>, Failure> {
        let mut findings = Findings::new();
        edit(payload, |record| {
            for finding in self.check_record(record, sites) {
                findings.push(finding);
            }
        })
        .map_err(Failure::Invalid)?;
        answer(findings.finish())
    }

    fn check_record(&self, record: &Record<'_>, sites: &[String]) -> Vec<Finding> {
        let mut named = false;
        let mut findings = Vec::new();
        for field in record.fields().iter().filter(|field| is_site(field)) {
            named |= !field.null;
            if !field.null && !sites.iter().any(|site| *site == field.value) {
                let finding = Finding::error("site.not-bound", "the signer may not report for this site");
                findings.push(finding.in_record(record.number()).in_field(&field.name, &field.value));
            }
        }
        if !named && self.config.no_site == Otherwise::Reject {
            findings.push(Finding::error("site.missing", "the record names no site").in_record(record.number()));
        }
        findings
    }
}

/// In XML an element at any depth, in JSON a member of the record itself.
fn is_site(field: &Field<'_>) -> bool {
    field.place != Place::Attribute && (field.name == "Site" || field.name == "SiteName")
}

/// A DN as it is compared: the slash form as it is, the other without blanks around `,`, `+` and `=` and with attribute
/// types in capitals. A separator behind a backslash belongs to a value.
fn canonical(dn: &str) -> String {
    if dn.starts_with('/') {
        return dn.to_owned();
    }
    let (mut canonical, mut part, mut escaped) = (String::new(), String::new(), false);
    for character in dn.chars() {
        match character {
            ',' | '+' if !escaped => {
                canonical.push_str(&attribute(&part));
                canonical.push(character);
                part.clear();
            }
            _ => part.push(character),
        }
        escaped = character == '\\' && !escaped;
    }
    canonical + &attribute(&part)
}

fn attribute(text: &str) -> String {
    match text.split_once('=') {
        Some((name, value)) => {
            let value = value.trim_start();
            let trimmed = value.trim_end();
            // An escaped blank at the end belongs to the value.
            let end = if trimmed.ends_with('\\') { value } else { trimmed };
            format!("{}={end}", name.trim().to_ascii_uppercase())
        }
        None => text.trim().to_owned(),
    }
}

sesame_plugin::export!(SiteBinding: validator);

#[cfg(test)]
mod tests;
