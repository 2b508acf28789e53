//! The header line, by which a message's format is recognised.

use super::table::Table;
use super::{cloud, cloud_summary, job, normalised, summary, sync};
use crate::Finding;
use crate::records::report::broken;
use crate::records::{NOT_RECOGNISED, python};

/// A format of text records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// [`super::job`]
    Job,
    /// [`super::summary`]
    Summary,
    /// [`super::normalised`]
    NormalisedSummary,
    /// [`super::sync`]
    Sync,
    /// [`super::cloud`]
    Cloud,
    /// [`super::cloud_summary`]
    CloudSummary,
}

impl Format {
    /// What an operator calls a message of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.table().name
    }

    pub(super) fn table(self) -> &'static Table {
        match self {
            Self::Job => &job::TABLE,
            Self::Summary => &summary::TABLE,
            Self::NormalisedSummary => &normalised::TABLE,
            Self::Sync => &sync::TABLE,
            Self::Cloud => &cloud::TABLE,
            Self::CloudSummary => &cloud_summary::TABLE,
        }
    }
}

/// A message whose format is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its format.
    pub format: Format,
    /// The version, such as `v0.3`, without the colons and blanks around it.
    pub version: &'a str,
    /// All that follows the header line.
    pub body: &'a str,
}

impl Header<'_> {
    /// Whether the rules of version 0.4 apply, with tables of benchmarks.
    #[must_use]
    pub fn is_v04(&self) -> bool {
        self.version == "v0.4"
    }
}

/// The text of a message, stripped.
///
/// # Errors
/// It is not UTF-8, or there is nothing but white space.
pub fn decode(payload: &[u8]) -> Result<&str, Vec<Finding>> {
    let text = std::str::from_utf8(payload).map_err(|error| {
        let text = format!("is not UTF-8 text at byte {}", error.valid_up_to());
        vec![Finding::error("message.not-utf8", text)]
    })?;
    match python::strip(text) {
        "" => Err(vec![Finding::error("message.empty", "is empty: it has no header line")]),
        stripped => Ok(stripped),
    }
}

/// Recognises the format of a stripped text. White space at the end of the header line is not part of it.
///
/// # Errors
/// The first line is the header of no format.
pub fn header(text: &str) -> Result<Header<'_>, Vec<Finding>> {
    let mut lines = python::lines(text);
    let line = python::strip(lines.next().unwrap_or_default());
    let (kind, rest) = line.split_once(':').unwrap_or((line, ""));
    let format = match line {
        "APEL-summary-job-message: v0.2" | "APEL-summary-job-message: v0.4" => Format::Summary,
        "APEL-summary-job-message: v0.3" | "APEL-normalised-summary-message: v0.4" => Format::NormalisedSummary,
        _ => match python::strip(kind) {
            "APEL-individual-job-message" => Format::Job,
            "APEL-sync-message" => Format::Sync,
            "APEL-cloud-message" => Format::Cloud,
            "APEL-cloud-summary-message" => Format::CloudSummary,
            "APEL-summary-job-message" | "APEL-normalised-summary-message" => {
                let text = "the header line of a summary must be exact, as in APEL-summary-job-message: v0.2";
                return Err(unknown("inexact-header", text, line));
            }
            _ => {
                let text = "the first line is the header of no type of message that the consumer recognises";
                return Err(unknown(NOT_RECOGNISED, text, line));
            }
        },
    };
    if kind.len() == line.len() {
        let text = "the header line has no colon and version after the type of message";
        return Err(unknown("no-header", text, line));
    }
    Ok(Header { format, version: version(rest), body: lines.rest() })
}

/// The version that a header line, stripped, has behind its first colon.
pub(in crate::records) fn version(rest: &str) -> &str {
    python::trim(rest, |c| c == ':' || c == ' ')
}

fn unknown(rule: &str, text: &str, line: &str) -> Vec<Finding> {
    vec![broken("message", rule, None, None, Some(line), text)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(findings: Vec<Finding>) -> Vec<String> {
        findings.into_iter().map(|finding| finding.code).collect()
    }

    fn format_of(text: &str) -> Result<(Format, &str), Vec<String>> {
        decode(text.as_bytes()).and_then(header).map(|found| (found.format, found.version)).map_err(codes)
    }

    #[test]
    fn formats_are_known_by_their_headers() {
        for (line, format, version) in [
            ("APEL-individual-job-message: v0.3", Format::Job, "v0.3"),
            ("\u{a0}\n APEL-individual-job-message\t:: v0.4 : \n", Format::Job, "v0.4"),
            ("APEL-individual-job-message:\tv0.4\n", Format::Job, "\tv0.4"),
            ("APEL-individual-job-message:", Format::Job, ""),
            ("APEL-sync-message: whatever", Format::Sync, "whatever"),
            ("APEL-cloud-message:v0.2", Format::Cloud, "v0.2"),
            ("APEL-cloud-summary-message: v0.4\u{1c}", Format::CloudSummary, "v0.4"),
            ("APEL-sync-message: v0.1 \t", Format::Sync, "v0.1"),
            ("APEL-summary-job-message: v0.2", Format::Summary, "v0.2"),
            ("APEL-summary-job-message: v0.4", Format::Summary, "v0.4"),
            ("APEL-summary-job-message: v0.3", Format::NormalisedSummary, "v0.3"),
            ("APEL-normalised-summary-message: v0.4", Format::NormalisedSummary, "v0.4"),
        ] {
            assert_eq!(format_of(line), Ok((format, version)), "{line:?}");
        }
    }

    #[test]
    fn white_space_after_a_header_line_is_not_part_of_it() {
        for (line, format) in [
            ("APEL-individual-job-message: v0.4", Format::Job),
            ("APEL-summary-job-message: v0.4", Format::Summary),
            ("APEL-normalised-summary-message: v0.4", Format::NormalisedSummary),
            ("APEL-sync-message: v0.4", Format::Sync),
            ("APEL-cloud-message: v0.4", Format::Cloud),
            ("APEL-cloud-summary-message: v0.4", Format::CloudSummary),
        ] {
            for space in ["", " ", "\t", " \t ", "\u{a0}", "\u{3000}", "\u{1f}"] {
                for end in ["\n", "\r\n", "\u{2028}"] {
                    assert_eq!(format_of(&format!("{line}{space}{end}Site: x")), Ok((format, "v0.4")), "{space:?}");
                }
            }
        }
    }

    #[test]
    fn other_headers_are_refused_by_name() {
        for (line, code) in [
            (" \r\n", "message.empty"),
            ("APEL-sync-message", "message.no-header"),
            ("APEL-summary-job-message \nSite: x", "message.inexact-header"),
            ("no header", "message.type-not-recognised"),
            ("\u{feff}APEL-sync-message: v0.1", "message.type-not-recognised"),
            ("apel-sync-message: v0.1", "message.type-not-recognised"),
            ("APEL-summary-job-message:v0.2", "message.inexact-header"),
            ("APEL-summary-job-message: v0.2 .", "message.inexact-header"),
            ("APEL-summary-job-message : v0.2", "message.inexact-header"),
            ("APEL-normalised-summary-message: v0.3", "message.inexact-header"),
        ] {
            assert_eq!(format_of(line), Err(vec![code.to_owned()]), "{line:?}");
        }
        assert_eq!(decode(b"APEL-sync-message: v0.1\n\xff").map_err(codes), Err(vec!["message.not-utf8".to_owned()]));
    }
}
