//! Takes some errors of another validator, which is composed into it, for warnings.

use sesame_plugin::{Failure, Finding, Message, Plugin, Severity, Validator, export, inner};

/// The operator's `[config]`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Codes of the findings that are warnings here.
    tolerate: Vec<String>,
    /// The configuration of the other validator.
    inner: serde_json::Value,
}

struct Lenient {
    tolerate: Vec<String>,
}

impl Plugin for Lenient {
    type Config = Config;
    const NAME: &'static str = env!("CARGO_PKG_NAME");
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Takes some errors of another validator for warnings.";

    fn new(config: Config) -> Result<Self, String> {
        inner::lifecycle::init(&config.inner.to_string())?;
        Ok(Self { tolerate: config.tolerate })
    }
}

impl Validator for Lenient {
    fn validate(&self, message: &Message) -> Result<Vec<Finding>, Failure> {
        let mut findings = match inner::validator::validate(message) {
            Err(Failure::Invalid(findings)) => findings,
            other => return other,
        };
        for finding in &mut findings {
            if self.tolerate.contains(&finding.code) {
                finding.severity = Severity::Warning;
            }
        }
        match findings.iter().any(|finding| finding.severity == Severity::Error) {
            true => Err(Failure::Invalid(findings)),
            false => Ok(findings),
        }
    }
}

export!(Lenient: validator);
