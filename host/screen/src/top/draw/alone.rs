//! One channel with all that is known of it.

use observe::overview::{Acknowledgements, Channel, Step};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::Paragraph;
use terminal::Style;

use super::{Theme, channels};
use crate::top::model::Picture;
use crate::words::{bytes, depth, seconds, since};

/// The most signers that are shown, the longest silent first.
const MOST_SIGNERS: usize = 10;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, theme: Theme, picture: &Picture, channel: &Channel) {
    let now = picture.overview.at;
    let mut lines = vec![
        channels::title(theme, channel),
        channels::way(theme, picture, channel),
        channels::figures(theme, picture, channel, usize::from(area.width)),
        fact(theme, "destination", &channel.destination),
        fact(theme, "directory", &channel.directory),
    ];
    let queues: Vec<String> =
        channel.queues.iter().map(|queue| format!("{} {}", queue.name, depth(queue, now))).collect();
    lines.push(fact(theme, "queues", &queues.join("  ")));
    let codes = channel.rejections.iter().filter(|(_, count)| **count > 0);
    let codes: Vec<String> = codes.map(|(code, count)| format!("{code} {count}")).collect();
    if !codes.is_empty() {
        lines.push(fact(theme, "rejected", &codes.join("  ")));
    }
    if channel.redeliveries > 0 {
        lines.push(fact(theme, "redelivered", &channel.redeliveries.to_string()));
    }
    if let Some(acknowledgements) = &channel.acknowledgements {
        lines.push(fact(theme, "acknowledged", &acknowledged(acknowledgements, now)));
    }
    lines.extend(steps(theme, &channel.steps));
    lines.extend(signers(theme, channel, now));
    frame.render_widget(Paragraph::new(lines), area);
}

fn fact(theme: Theme, name: &str, value: &str) -> Line<'static> {
    theme.line(&[(Style::Heading, &format!("  {name:<13}")), (Style::Plain, value)])
}

fn acknowledged(acknowledgements: &Acknowledgements, now: u64) -> String {
    let Acknowledgements { awaited, oldest, overdue, owed, missing } = acknowledgements;
    let oldest = oldest.map(|oldest| format!(" ({})", since(oldest, now))).unwrap_or_default();
    format!("awaited {awaited}{oldest}  overdue {overdue}  owed {owed}  missing {missing}")
}

fn steps(theme: Theme, steps: &[Step]) -> Vec<Line<'static>> {
    let mut lines = vec![Line::default()];
    let heading = format!("  {:<13}{:>10}  {:>9}  {:>9}", "step", "count", "mean time", "bytes");
    lines.push(theme.line(&[(Style::Heading, &heading)]));
    for step in steps {
        #[expect(clippy::cast_precision_loss, reason = "it is shown with three digits")]
        let mean = if step.count == 0 { "-".to_owned() } else { seconds(step.time / 1000.0 / step.count as f64) };
        let text = format!("  {:<13}{:>10}  {mean:>9}  {:>9}", step.name, step.count, bytes(step.bytes));
        lines.push(theme.line(&[(Style::Plain, &text)]));
    }
    lines
}

fn signers(theme: Theme, channel: &Channel, now: u64) -> Vec<Line<'static>> {
    if channel.signers.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![Line::default(), theme.line(&[(Style::Heading, "  last heard   signer")])];
    for signer in channel.signers.iter().take(MOST_SIGNERS) {
        let text = format!("  {:<13}{}", since(signer.last, now), signer.name);
        lines.push(theme.line(&[(Style::Plain, &text)]));
    }
    lines
}
