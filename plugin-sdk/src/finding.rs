//! A finding as the contract has it, for a program that is no plugin.

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The message cannot be used as it is.
    Error,
    /// The message was used, but an operator should look at it.
    Warning,
    /// For information only.
    Info,
}

/// One thing that is to be said of a message.
#[derive(Clone, Debug)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Stable and machine-readable.
    pub code: String,
    /// In words, without personal data.
    pub text: String,
    /// Position of the record in the message, from 1.
    pub record_number: Option<u32>,
    /// Field name or XPath.
    pub field: Option<String>,
    /// Its content.
    pub value: Option<String>,
    /// None has a meaning yet.
    pub properties: Vec<(String, String)>,
}
