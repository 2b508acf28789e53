//! A line in parts, for tables and screens that have colours at a terminal and none elsewhere.

use crate::style::{Style, is_styled, styled, styled_line};

/// A line in parts, each with its style.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line(Vec<(Style, String)>);

impl Line {
    /// A line that begins with this text.
    #[must_use]
    pub fn of(style: Style, text: impl Into<String>) -> Self {
        Self::default().and(style, text)
    }

    /// The line with more text at its end.
    #[must_use]
    pub fn and(mut self, style: Style, text: impl Into<String>) -> Self {
        self.0.push((style, text.into()));
        self
    }

    /// What is written for it, without colour.
    #[must_use]
    pub fn plain(&self) -> String {
        styled(&self.parts(false))
    }

    /// Prints it. Errors are ignored, as by [`line()`](crate::line()).
    pub fn print(&self) {
        styled_line(&self.parts(is_styled()));
    }

    fn parts(&self, colours: bool) -> Vec<(Style, &str)> {
        let style = |style| if colours { style } else { Style::Plain };
        self.0.iter().filter(|(_, text)| !text.is_empty()).map(|(own, text)| (style(*own), text.as_str())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_left_out_where_no_one_sees_them_and_foreign_text_is_always_escaped() {
        let line = Line::of(Style::Heading, "send.cpu").and(Style::Plain, " is ").and(Style::Bad, "x\u{1b}[2J");
        let line = line.and(Style::Bad, "");
        assert_eq!(line.plain(), "send.cpu is x\\u001b[2J");
        assert_eq!(styled(&line.parts(true)), "\u{1b}[1msend.cpu\u{1b}[0m is \u{1b}[1;31mx\\u001b[2J\u{1b}[0m");
    }
}
