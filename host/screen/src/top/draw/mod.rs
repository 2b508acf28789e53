//! From a [`Model`] to cells: head, troubles, body, foot.
//!
//! Everything fits any size: what has no room is cut at the right or left out at the end.

mod alone;
mod channels;
mod tables;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style as Cells};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph};
use terminal::Style;

use super::Model;
use super::model::{Picture, View};
use crate::words::{overall, safe, severity, since};

/// The most troubles above the body.
const MOST_TROUBLES: usize = 4;

const KEYS: [(&str, &str); 8] = [
    ("q", "quit"),
    ("Esc", "back, or quit"),
    ("Tab, ← →", "next and last view"),
    ("↑ ↓, k j", "select a line"),
    ("Enter", "the selected channel alone, or all"),
    ("p", "pause the display, or go on"),
    ("?", "these keys"),
    ("", "Counts are since the start of Sesame."),
];

/// How styles look in this terminal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Theme {
    colours: bool,
}

impl Theme {
    fn of(self, style: Style) -> Cells {
        let colour = |colour| if self.colours { Cells::new().fg(colour) } else { Cells::new() };
        match style {
            Style::Plain => Cells::new(),
            Style::Heading => Cells::new().add_modifier(Modifier::BOLD),
            Style::Good => colour(Color::Green),
            Style::Doubtful => colour(Color::Yellow),
            Style::Bad => colour(Color::Red).add_modifier(Modifier::BOLD),
        }
    }

    /// Text in a style; foreign text is made safe.
    pub(super) fn span(self, style: Style, text: impl AsRef<str>) -> Span<'static> {
        Span::styled(safe(text.as_ref()), self.of(style))
    }

    /// The same on a line of its own.
    pub(super) fn line(self, parts: &[(Style, &str)]) -> Line<'static> {
        Line::from(parts.iter().map(|(style, text)| self.span(*style, text)).collect::<Vec<_>>())
    }

    fn sparkline(self) -> Cells {
        if self.colours { Cells::new().fg(Color::Cyan) } else { Cells::new() }
    }
}

/// Draws the model as it is at this time.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, now: u64) {
    let theme = Theme { colours: model.colours };
    let picture = model.picture();
    let troubles = troubles(theme, picture, frame.area());
    let height = u16::try_from(troubles.len()).unwrap_or(u16::MAX);
    let areas = [Constraint::Length(2), Constraint::Length(height), Constraint::Fill(1), Constraint::Length(1)];
    let [head, above, body, foot] = Layout::vertical(areas).areas(frame.area());
    frame.render_widget(Paragraph::new(heading(theme, model)), head);
    frame.render_widget(Paragraph::new(troubles), above);
    if picture.known {
        draw_body(frame, body, theme, model);
    } else if picture.fault.is_none() {
        frame.render_widget(Paragraph::new("asking Sesame …"), body);
    }
    frame.render_widget(Paragraph::new(footer(theme, model, now)), foot);
    if model.help {
        draw_help(frame, body, theme);
    }
}

fn draw_body(frame: &mut Frame<'_>, area: Rect, theme: Theme, model: &Model) {
    let picture = model.picture();
    match (model.view, model.channel()) {
        (View::Channels, Some(channel)) if model.alone => alone::draw(frame, area, theme, picture, channel),
        (View::Channels, _) => channels::draw(frame, area, theme, picture, model.selected),
        (View::Messages, _) => tables::messages(frame, area, theme, picture, model.selected),
        (View::Plugins, _) => tables::plugins(frame, area, theme, picture, model.selected),
        (View::Brokers, _) => tables::brokers(frame, area, theme, picture, model.selected),
    }
}

fn heading(theme: Theme, model: &Model) -> Vec<Line<'static>> {
    let overview = &model.picture().overview;
    let mut first = vec![theme.span(Style::Heading, format!("Sesame {}", overview.version))];
    if model.picture().known {
        let (text, style) = overall(overview);
        let up = since(overview.started, overview.at);
        first.push(theme.span(Style::Plain, format!("  process {}  up {up}  ", overview.process)));
        first.push(theme.span(style, text));
    }
    let mut tabs = Vec::new();
    for view in View::ALL {
        let style = if view == model.view { Cells::new().add_modifier(Modifier::REVERSED) } else { Cells::new() };
        tabs.extend([Span::styled(format!(" {} ", view.title()), style), Span::raw(" ")]);
    }
    vec![Line::from(first), Line::from(tabs)]
}

/// The worst troubles, in at most a third of the screen, and how many there are more.
fn troubles(theme: Theme, picture: &Picture, area: Rect) -> Vec<Line<'static>> {
    let all = &picture.overview.troubles;
    let room = MOST_TROUBLES.min(usize::from(area.height / 3));
    let shown = if all.len() > room { room.saturating_sub(1) } else { all.len() };
    let mut lines: Vec<Line<'static>> = Vec::new();
    for trouble in all.iter().take(shown) {
        let (word, style) = severity(trouble.severity);
        let text = format!(" {}: {}", trouble.about, trouble.text);
        let text = fitted(&text, usize::from(area.width).saturating_sub(word.len()));
        lines.push(theme.line(&[(style, word), (Style::Plain, &text)]));
    }
    if all.len() > shown && room > 0 {
        let more = format!("{} more: see sesame status", all.len() - shown);
        lines.push(theme.line(&[(Style::Doubtful, &more)]));
    }
    lines
}

/// A text in so many characters, with an ellipsis where it is cut.
fn fitted(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    text.chars().take(room.saturating_sub(1)).chain(['…']).collect()
}

fn footer(theme: Theme, model: &Model, now: u64) -> Line<'static> {
    let paused = if model.is_paused() { "PAUSED (p goes on)  " } else { "" };
    if let Some((since_when, why)) = &model.picture().fault {
        let at = terminal::seconds(since_when / 1000);
        let text = format!("not reachable since {at} ({}): {why}", since(*since_when, now));
        return theme.line(&[(Style::Doubtful, paused), (Style::Bad, &text)]);
    }
    let keys = "q quit  Tab view  ↑↓ select  Enter channel  p pause  ? keys";
    theme.line(&[(Style::Doubtful, paused), (Style::Plain, keys)])
}

fn draw_help(frame: &mut Frame<'_>, area: Rect, theme: Theme) {
    let lines =
        KEYS.map(|(key, meaning)| theme.line(&[(Style::Heading, &format!("{key:<10}")), (Style::Plain, meaning)]));
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines.to_vec()), area);
}

/// The first of `count` rows to show, so that the selected one is among those for which there is room.
fn first_shown(selected: usize, count: usize, room: usize) -> usize {
    let last = count.saturating_sub(room);
    selected.saturating_sub(room.saturating_sub(1) / 2).min(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_cut_ends_with_an_ellipsis() {
        assert_eq!((fitted("queue é", 7).as_str(), fitted("queue é", 6).as_str()), ("queue é", "queue…"));
        assert_eq!(fitted("a", 0), "…");
    }

    #[test]
    fn the_selected_row_is_always_shown() {
        for (count, room) in [(0, 0), (0, 5), (3, 5), (5, 5), (100, 7), (100, 1), (9, 0)] {
            for selected in 0..count {
                let first = first_shown(selected, count, room);
                assert!(first <= count.saturating_sub(room), "{selected} {count} {room}");
                assert!(room == 0 || (first..first + room).contains(&selected), "{selected} {count} {room}");
            }
        }
    }
}
