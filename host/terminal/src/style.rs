//! Colour for people at a terminal. Programs, files and pipes get plain text.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};

use message::text::escaped_json;

/// How a part of a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As the terminal writes.
    Plain,
    /// A heading.
    Heading,
    /// As it should be.
    Good,
    /// Needs attention.
    Doubtful,
    /// Does not work.
    Bad,
}

impl Style {
    /// The parameters of the escape sequence (ECMA-48, SGR).
    fn parameters(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Heading => "1",
            Self::Good => "32",
            Self::Doubtful => "33",
            Self::Bad => "1;31",
        }
    }
}

/// Whether standard output is a terminal that shows colour, and the user has not set `NO_COLOR`.
#[must_use]
pub fn is_styled() -> bool {
    allows_colour(std::env::var_os("NO_COLOR").as_deref(), std::env::var_os("TERM").as_deref())
        && io::stdout().is_terminal()
}

fn allows_colour(no_colour: Option<&OsStr>, terminal: Option<&OsStr>) -> bool {
    no_colour.is_none_or(OsStr::is_empty) && terminal.is_some_and(|kind| !kind.is_empty() && kind != "dumb")
}

/// A line of parts for a terminal. What they say is escaped as in [`line`](crate::line()).
#[must_use]
pub fn styled(parts: &[(Style, &str)]) -> String {
    let mut line = String::new();
    for (style, text) in parts {
        let text = escaped_json(text);
        let _ = match style.parameters() {
            "" => write!(line, "{text}"),
            parameters => write!(line, "\u{1b}[{parameters}m{text}\u{1b}[0m"),
        };
    }
    line
}

/// Prints a line of [`styled`] parts.
pub fn styled_line(parts: &[(Style, &str)]) {
    crate::note(&writeln!(io::stdout().lock(), "{}", styled(parts)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_sequences_reach_the_terminal() {
        let line = styled(&[(Style::Bad, "error"), (Style::Plain, " \u{1b}[2J\u{202e}x\n")]);
        assert_eq!(line, "\u{1b}[1;31merror\u{1b}[0m \\u001b[2J\\u202ex\\u000a");
    }

    #[test]
    fn colour_can_be_switched_off() {
        let allows = |no_colour: Option<&str>, terminal: Option<&str>| {
            allows_colour(no_colour.map(OsStr::new), terminal.map(OsStr::new))
        };
        assert!(allows(None, Some("xterm")) && allows(Some(""), Some("xterm")));
        assert!(!allows(Some("1"), Some("xterm")) && !allows(None, Some("dumb")) && !allows(None, None));
    }
}
