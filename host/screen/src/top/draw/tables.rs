//! Lists: messages that did not pass, plugins, brokers with certificates.

use observe::overview::{Channel, Event, Plugin};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Row, Table, Wrap};
use terminal::Style;

use super::{Theme, first_shown};
use crate::top::model::Picture;
use crate::words::{plugin_style, seconds, since, until};

/// Lines for what is known of the selected line, below a list.
const DETAIL: u16 = 6;

type Cells = Vec<(Style, String)>;

fn plain(text: impl Into<String>) -> (Style, String) {
    (Style::Plain, text.into())
}

/// What a list is: its headings with the widths of the columns, and what to say where it is empty.
struct List<'a> {
    headings: &'a [(&'a str, Constraint)],
    empty: &'a str,
}

fn draw(frame: &mut Frame<'_>, area: Rect, theme: Theme, list: &List<'_>, rows: Vec<Cells>, selected: usize) {
    if rows.is_empty() {
        frame.render_widget(Paragraph::new(list.empty), area);
        return;
    }
    let room = usize::from(area.height.saturating_sub(1));
    let first = first_shown(selected, rows.len(), room);
    let shown = rows.into_iter().enumerate().skip(first).take(room).map(|(at, cells)| {
        let row = Row::new(cells.into_iter().map(|(style, text)| theme.span(style, text)));
        if at == selected { row.style(Modifier::REVERSED) } else { row }
    });
    let heading = Row::new(list.headings.iter().map(|(heading, _)| Span::raw(*heading))).style(Modifier::BOLD);
    let widths = list.headings.iter().map(|(_, width)| *width);
    frame.render_widget(Table::new(shown, widths).header(heading).column_spacing(1), area);
}

pub(super) fn messages(frame: &mut Frame<'_>, area: Rect, theme: Theme, picture: &Picture, selected: usize) {
    let now = picture.overview.at;
    let rows = picture.recent.iter().map(|event| {
        let fate = if event.fate == "rejected" { Style::Bad } else { Style::Doubtful };
        vec![
            plain(since(event.at, now)),
            plain(&event.channel),
            (fate, event.fate.clone()),
            plain(event.code.as_deref().unwrap_or_default()),
            plain(event.reason.as_deref().unwrap_or_default()),
        ]
    });
    let headings = [
        ("AGE", Constraint::Length(8)),
        ("CHANNEL", Constraint::Length(12)),
        ("FATE", Constraint::Length(9)),
        ("CODE", Constraint::Length(14)),
        ("REASON", Constraint::Fill(1)),
    ];
    let list = List { headings: &headings, empty: "no message was rejected, deferred or kept waiting lately" };
    let [above, below] = with_detail(area);
    draw(frame, above, theme, &list, rows.collect(), selected);
    if let Some(event) = picture.recent.get(selected) {
        frame.render_widget(Paragraph::new(message(theme, event)).wrap(Wrap { trim: true }), below);
    }
}

/// A list, and below it room for what is known of the selected line, where the area is high enough.
fn with_detail(area: Rect) -> [Rect; 2] {
    let detail = if area.height > 2 * DETAIL { DETAIL } else { 0 };
    Layout::vertical([Constraint::Fill(1), Constraint::Length(detail)]).areas(area)
}

fn facts(theme: Theme, facts: &[(&str, Option<&str>)]) -> Vec<Line<'static>> {
    let known = facts.iter().filter_map(|(name, value)| Some((name, (*value)?)));
    known.map(|(name, value)| theme.line(&[(Style::Heading, &format!("{name:<8}")), (Style::Plain, value)])).collect()
}

/// What is known of one message.
fn message(theme: Theme, event: &Event) -> Vec<Line<'static>> {
    let known = [
        ("reason", event.reason.as_deref()),
        ("plugin", event.plugin.as_deref()),
        ("message", event.id.as_deref()),
        ("element", event.element.as_deref()),
        ("signer", event.signer.as_deref()),
    ];
    facts(theme, &known)
}

pub(super) fn plugins(frame: &mut Frame<'_>, area: Rect, theme: Theme, picture: &Picture, selected: usize) {
    let channels = picture.overview.channels.iter();
    let all: Vec<(&Channel, &Plugin)> =
        channels.flat_map(|channel| channel.plugins.iter().map(move |plugin| (channel, plugin))).collect();
    let rows = all.iter().map(|(channel, plugin)| {
        let time = |time: Option<f64>| time.map_or_else(|| "-".to_owned(), |time| seconds(time / 1000.0));
        let errors = if plugin.errors > 0 { Style::Doubtful } else { Style::Plain };
        vec![
            plain(&plugin.name),
            plain(channel.section()),
            (plugin_style(&plugin.state), plugin.state.clone()),
            plain(plugin.calls.to_string()),
            plain(plugin.rejects.to_string()),
            (errors, plugin.errors.to_string()),
            plain(time(plugin.p50)),
            plain(time(plugin.p99)),
            plain(plugin.fault.as_deref().unwrap_or_default()),
        ]
    });
    let headings = [
        ("PLUGIN", Constraint::Length(20)),
        ("CHANNEL", Constraint::Length(12)),
        ("STATE", Constraint::Length(9)),
        ("CALLS", Constraint::Length(7)),
        ("REJECT", Constraint::Length(6)),
        ("ERROR", Constraint::Length(5)),
        ("P50", Constraint::Length(6)),
        ("P99", Constraint::Length(6)),
        ("FAULT", Constraint::Fill(1)),
    ];
    let [above, below] = with_detail(area);
    draw(frame, above, theme, &List { headings: &headings, empty: "no plugin runs" }, rows.collect(), selected);
    if let Some((_, plugin)) = all.get(selected) {
        let retries = (plugin.retries > 0).then(|| plugin.retries.to_string());
        let known = [
            ("plugin", Some(plugin.name.as_str())),
            ("version", plugin.version.as_deref()),
            ("fault", plugin.fault.as_deref()),
            ("retries", retries.as_deref()),
        ];
        frame.render_widget(Paragraph::new(facts(theme, &known)).wrap(Wrap { trim: true }), below);
    }
}

pub(super) fn brokers(frame: &mut Frame<'_>, area: Rect, theme: Theme, picture: &Picture, selected: usize) {
    let overview = &picture.overview;
    let mut rows: Vec<Cells> = Vec::new();
    for broker in &overview.brokers {
        let state = match (broker.connecting, broker.sessions) {
            (1.., _) => (Style::Bad, "cannot connect".to_owned()),
            (0, 0) => plain("no session"),
            (0, number) => (Style::Good, terminal::count(usize::try_from(number).unwrap_or(usize::MAX), "session")),
        };
        let mut text = format!("opened {}, lost {}", broker.opened, broker.lost);
        text.push_str(&format!(", silent {}, not reached {}", broker.silent, broker.failed));
        text.push_str(&format!(", blocked {}", seconds(broker.blocked / 1000.0)));
        rows.push(vec![plain("broker"), state, plain(format!("{}: {text}", broker.name))]);
    }
    let mut expiries: Vec<_> = overview.expiries.iter().collect();
    expiries.sort_by_key(|expiry| expiry.ends);
    for expiry in expiries {
        let style = if expiry.ends > overview.at { Style::Plain } else { Style::Bad };
        rows.push(vec![plain(&expiry.purpose), (style, until(expiry.ends, overview.at)), plain(&expiry.file)]);
    }
    let headings =
        [("WHAT", Constraint::Length(12)), ("STATE OR END", Constraint::Length(14)), ("", Constraint::Fill(1))];
    draw(frame, area, theme, &List { headings: &headings, empty: "no broker is used" }, rows, selected);
}
