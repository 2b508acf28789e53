//! What `sesame check` prints: in colour and in groups for people at a terminal, else one line for each finding, which begins
//! with its level, or one JSON object.

use serde_json::{Value, json};

use super::super::output;
use super::{Found, Level};
use terminal::{EXIT_DONE, EXIT_FAILED, EXIT_WARNINGS, Style};

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Configuration,
    ServiceUser,
    Certificates,
    Ams,
    Trust,
    Queues,
    Acknowledgements,
    Metrics,
    Plugins,
    Brokers,
}

impl Group {
    /// The heading at a terminal, and the name in JSON.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Configuration => ("Configuration", "configuration"),
            Self::ServiceUser => ("User of the service", "service-user"),
            Self::Certificates => ("Certificates and keys", "certificates"),
            Self::Ams => ("AMS", "ams"),
            Self::Trust => ("Trust anchors and signers", "trust"),
            Self::Queues => ("Queues and disks", "queues"),
            Self::Acknowledgements => ("Acknowledgements", "acknowledgements"),
            Self::Metrics => ("Metrics and health", "metrics"),
            Self::Plugins => ("Plugins", "plugins"),
            Self::Brokers => ("Brokers and destinations", "brokers"),
        }
    }
}

/// For whom the findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// People at a terminal.
    Styled,
    /// Files, pipes, and terminals without colour.
    Plain,
    Json,
}

impl Form {
    pub(super) fn wanted(as_json: bool) -> Self {
        match as_json {
            true => Self::Json,
            false if output::is_styled() => Self::Styled,
            false => Self::Plain,
        }
    }
}

/// Prints what was found and counts it.
#[derive(Debug)]
pub(super) struct Report {
    form: Form,
    group: Option<Group>,
    fine: usize,
    warnings: usize,
    errors: usize,
}

impl Report {
    pub(super) fn new(form: Form) -> Self {
        Self { form, group: None, fine: 0, warnings: 0, errors: 0 }
    }

    pub(super) fn take(&mut self, group: Group, found: Vec<Found>) {
        for found in found {
            match found.level {
                Level::Error => self.errors += 1,
                Level::Warning => self.warnings += 1,
                Level::Ok => self.fine += 1,
            }
            match self.form {
                Form::Json => output::json(&json_of(group, &found)),
                Form::Plain => output::line(&line_of(&found)),
                Form::Styled => {
                    self.styled(group, &found).iter().for_each(|parts| output::styled_line(&borrowed(parts)))
                }
            }
        }
    }

    /// The lines for a terminal: a heading where the group changes.
    fn styled(&mut self, group: Group, found: &Found) -> Vec<Vec<(Style, String)>> {
        let mut lines = Vec::new();
        if self.group != Some(group) {
            if self.group.is_some() {
                lines.push(Vec::new());
            }
            lines.push(vec![(Style::Heading, group.names().0.to_owned())]);
            self.group = Some(group);
        }
        let (word, Found { subject, text, .. }) = (found.level.word(), found);
        let word = (style(found.level), format!("  {word:<8}"));
        lines.push(vec![word, (Style::Plain, format!(" {subject}: {text}"))]);
        lines
    }

    pub(super) fn end(&self, offline: bool) {
        let untried = if offline { "; the brokers were not tried" } else { "" };
        let (errors, warnings) = (output::count(self.errors, "error"), output::count(self.warnings, "warning"));
        match self.form {
            Form::Json => {
                let (errors, warnings) = (self.errors, self.warnings);
                output::json(&json!({ "errors": errors, "warnings": warnings, "brokers-tried": !offline }));
            }
            Form::Plain => output::line(&format!("{errors}, {warnings}{untried}")),
            Form::Styled => {
                let counted = |style, number| if number == 0 { Style::Plain } else { style };
                output::styled_line(&[]);
                output::styled_line(&[
                    (counted(Style::Bad, self.errors), &errors),
                    (Style::Plain, ", "),
                    (counted(Style::Doubtful, self.warnings), &warnings),
                    (Style::Plain, &format!(", {} ok{untried}", self.fine)),
                ]);
            }
        }
    }

    /// The exit status; `strict`: warnings count.
    pub(super) fn status(&self, strict: bool) -> u8 {
        match (self.errors, self.warnings) {
            (0, 0) => EXIT_DONE,
            (0, _) if !strict => EXIT_DONE,
            (0, _) => EXIT_WARNINGS,
            _ => EXIT_FAILED,
        }
    }
}

fn style(level: Level) -> Style {
    match level {
        Level::Ok => Style::Good,
        Level::Warning => Style::Doubtful,
        Level::Error => Style::Bad,
    }
}

fn borrowed(parts: &[(Style, String)]) -> Vec<(Style, &str)> {
    parts.iter().map(|(style, text)| (*style, text.as_str())).collect()
}

fn line_of(found: &Found) -> String {
    format!("{:<8} {}: {}", found.level.word(), found.subject, found.text)
}

fn json_of(group: Group, found: &Found) -> Value {
    json!({ "level": found.level.word(), "group": group.names().1, "subject": found.subject, "text": found.text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_and_one_object() {
        let found = Found::error("send.cpu", "broken");
        assert_eq!(line_of(&found), "error    send.cpu: broken");
        let object = json_of(Group::Queues, &found);
        assert_eq!((object["level"].as_str(), object["group"].as_str()), (Some("error"), Some("queues")));
    }

    #[test]
    fn a_terminal_shows_a_heading_for_each_group_and_escapes_what_it_is_told() {
        let mut report = Report::new(Form::Styled);
        let mut shown = String::new();
        for (group, found) in [
            (Group::Trust, Found::ok("trust", "1 anchor")),
            (Group::Trust, Found::warning("trust", "late")),
            (Group::Queues, Found::error("send.cpu", "\u{1b}[2J")),
        ] {
            for parts in report.styled(group, &found) {
                shown += &output::styled(&borrowed(&parts));
                shown.push('\n');
            }
        }
        let expected = "\u{1b}[1mTrust anchors and signers\u{1b}[0m\n\u{1b}[32m  ok      \u{1b}[0m trust: 1 anchor\n\
                        \u{1b}[33m  warning \u{1b}[0m trust: late\n\n\u{1b}[1mQueues and disks\u{1b}[0m\n\
                        \u{1b}[1;31m  error   \u{1b}[0m send.cpu: \\u001b[2J\n";
        assert_eq!(shown, expected);
    }

    #[test]
    fn warnings_alone_fail_only_a_strict_check() {
        let status = |found: Vec<Found>, strict| {
            let mut report = Report::new(Form::Plain);
            report.take(Group::Queues, found);
            report.status(strict)
        };
        let (fine, warning, error) = (Found::ok("a", "b"), Found::warning("a", "b"), Found::error("a", "b"));
        assert_eq!(status(vec![fine.clone()], true), EXIT_DONE);
        assert_eq!(status(vec![fine, warning.clone()], false), EXIT_DONE);
        assert_eq!(status(vec![warning.clone()], true), EXIT_WARNINGS);
        assert_eq!(status(vec![warning, error.clone()], true), EXIT_FAILED);
        assert_eq!(status(vec![error], false), EXIT_FAILED);
    }
}
