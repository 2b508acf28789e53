//! All channels, each as the way of its messages: queue → plugins → broker, or broker → plugins → spool.

use observe::overview::{Broker, Channel, Direction, Queue};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use terminal::Style;

use super::{Theme, first_shown};
use crate::top::model::Picture;
use crate::words::{arrived, arrived_word, depth, main_queue, plugin_style, rate, rejected, safe, state};

/// Lines of a channel, with the empty one below.
const HEIGHT: usize = 4;
/// The widest sparkline.
const WIDEST: usize = 60;
const ARROW: &str = " ─► ";

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, theme: Theme, picture: &Picture, selected: usize) {
    let channels = &picture.overview.channels;
    if channels.is_empty() {
        frame.render_widget(Paragraph::new("no channel runs"), area);
        return;
    }
    let room = (usize::from(area.height) / HEIGHT).max(1);
    let first = first_shown(selected, channels.len(), room);
    let mut lines = Vec::new();
    for (at, channel) in channels.iter().enumerate().skip(first).take(room + 1) {
        let mut title = title(theme, channel);
        if at == selected {
            title = title.patch_style(Modifier::REVERSED);
        }
        lines.push(title);
        lines.push(way(theme, picture, channel));
        lines.push(figures(theme, picture, channel, usize::from(area.width)));
        lines.push(Line::default());
    }
    frame.render_widget(Paragraph::new(lines), area);
}

/// The name, whether it is in service, and why not.
pub(super) fn title(theme: Theme, channel: &Channel) -> Line<'static> {
    let (word, style, reason) = state(channel);
    let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    theme.line(&[(Style::Heading, &channel.section()), (Style::Plain, "  "), (style, word), (Style::Plain, &reason)])
}

/// The way of a message through the channel.
pub(super) fn way(theme: Theme, picture: &Picture, channel: &Channel) -> Line<'static> {
    let now = picture.overview.at;
    let queue = main_queue(channel)
        .map_or_else(|| "queue ?".to_owned(), |queue| format!("{} {}", queue.name, depth(queue, now)));
    let broker = picture.overview.brokers.iter().find(|broker| broker.name == channel.broker);
    let queue = theme.span(Style::Plain, queue);
    let arrow = || Span::raw(ARROW);
    let broker = [theme.span(Style::Plain, &channel.broker), sessions(theme, broker)];
    let plugins = plugins(theme, channel);
    let mut parts = vec![Span::raw("  ")];
    match channel.direction {
        Direction::Send => {
            parts.extend([queue, arrow(), plugins, arrow()]);
            parts.extend(broker);
        }
        Direction::Receive => {
            parts.extend(broker);
            parts.extend([arrow(), plugins, arrow(), queue]);
        }
    }
    for other in channel.queues.iter().filter(|one| is_shown(channel, one)) {
        parts.push(Span::raw("   "));
        parts.push(theme.span(Style::Doubtful, format!("{} {}", other.name, depth(other, now))));
    }
    Line::from(parts)
}

/// Whether a queue beside the main one has something in it.
fn is_shown(channel: &Channel, queue: &Queue) -> bool {
    queue.messages > 0 && main_queue(channel).is_none_or(|main| main.name != queue.name)
}

fn plugins(theme: Theme, channel: &Channel) -> Span<'static> {
    let all = &channel.plugins;
    let bad = all.iter().find(|plugin| plugin_style(&plugin.state) != Style::Good && !plugin.state.is_empty());
    match bad {
        Some(plugin) => theme.span(plugin_style(&plugin.state), format!("{} {}", plugin.name, plugin.state)),
        None => theme.span(Style::Good, terminal::count(all.len(), "plugin")),
    }
}

fn sessions(theme: Theme, broker: Option<&Broker>) -> Span<'static> {
    match broker.map_or((0, 0), |broker| (broker.connecting, broker.sessions)) {
        (1.., _) => theme.span(Style::Bad, " (cannot connect)"),
        (0, 0) => theme.span(Style::Plain, " (no session)"),
        (0, _) => theme.span(Style::Good, " ●"),
    }
}

/// The rate, as a number and over time, and the counts.
pub(super) fn figures(theme: Theme, picture: &Picture, channel: &Channel, width: usize) -> Line<'static> {
    let name = channel.section();
    let rejected = rejected(channel);
    let counts = format!("  {} {}  in flight {}", arrived(channel), arrived_word(channel), channel.in_flight);
    let refused = if rejected > 0 { format!("  rejected {rejected}") } else { String::new() };
    let rate = format!("  {:>7}  ", rate(picture.history.rate(&name)));
    let taken = rate.chars().count() + safe(&counts).chars().count() + refused.chars().count();
    let columns = picture.history.sparkline(&name, WIDEST.min(width.saturating_sub(taken)));
    Line::from(vec![
        theme.span(Style::Plain, rate),
        Span::styled(columns, theme.sparkline()),
        theme.span(Style::Plain, counts),
        theme.span(Style::Doubtful, refused),
    ])
}
