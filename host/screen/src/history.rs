//! Rates: what changed from one overview to the next.

use std::collections::{BTreeMap, VecDeque};

use observe::overview::Overview;

use crate::words::arrived;

/// How many intervals are kept: as many as a wide terminal has columns for.
const KEPT: usize = 240;
/// A rate in figures is that of so many intervals, so that it does not flicker.
const SMOOTHED: usize = 10;

/// An interval between two overviews.
#[derive(Clone, Copy, Debug)]
struct Interval {
    messages: u64,
    seconds: f64,
}

/// What passed in each channel, interval by interval.
#[derive(Clone, Debug, Default)]
pub struct History {
    last: Option<(u64, BTreeMap<String, u64>)>,
    intervals: BTreeMap<String, VecDeque<Interval>>,
}

impl History {
    /// Takes the next overview. Counts that became smaller are those of a process that started again. The intervals of
    /// channels that are gone are forgotten.
    pub fn add(&mut self, overview: &Overview) {
        let counts: BTreeMap<String, u64> =
            overview.channels.iter().map(|channel| (channel.section(), arrived(channel))).collect();
        let Some((at, before)) = &self.last else {
            self.last = Some((overview.at, counts));
            return;
        };
        // The same overview again, or a clock that was set back.
        if overview.at <= *at {
            if overview.at < *at {
                self.last = Some((overview.at, counts));
            }
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "an interval is short")]
        let seconds = (overview.at - at) as f64 / 1000.0;
        self.intervals.retain(|channel, _| counts.contains_key(channel));
        for (channel, count) in &counts {
            let before = before.get(channel).copied().unwrap_or(*count);
            let messages = count.checked_sub(before).unwrap_or(*count);
            let intervals = self.intervals.entry(channel.clone()).or_default();
            if intervals.len() == KEPT {
                intervals.pop_front();
            }
            intervals.push_back(Interval { messages, seconds });
        }
        self.last = Some((overview.at, counts));
    }

    /// Messages per second that arrived lately; none before the second overview.
    #[must_use]
    pub fn rate(&self, section: &str) -> Option<f64> {
        let intervals = self.intervals.get(section).filter(|intervals| !intervals.is_empty())?;
        let recent = || intervals.iter().rev().take(SMOOTHED);
        let messages: u64 = recent().map(|interval| interval.messages).sum();
        Some(per_second(messages, recent().map(|interval| interval.seconds).sum()))
    }

    /// The last intervals as small columns, the newest at the right; at most `width` of them. The highest is full.
    #[must_use]
    pub fn sparkline(&self, section: &str, width: usize) -> String {
        let Some(intervals) = self.intervals.get(section) else { return String::new() };
        let skipped = intervals.len().saturating_sub(width);
        let rates = intervals.iter().skip(skipped).map(|interval| per_second(interval.messages, interval.seconds));
        let rates: Vec<f64> = rates.collect();
        let highest = rates.iter().copied().fold(0.0, f64::max);
        rates.into_iter().map(|rate| column(rate, highest)).collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate is shown with few digits")]
fn per_second(messages: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { messages as f64 / seconds } else { 0.0 }
}

/// A column of eight heights. Whatever is more than nothing shows at least the lowest.
fn column(rate: f64, highest: f64) -> char {
    const COLUMNS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    if rate <= 0.0 || highest <= 0.0 {
        return ' ';
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 8")]
    let height = (rate / highest * 8.0).ceil() as usize;
    COLUMNS.get(height.saturating_sub(1)).copied().unwrap_or('█')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::tests::{NOW, well};

    fn at(second: u64, sent: u64) -> Overview {
        let mut overview = Overview { at: NOW + second * 1000, ..well() };
        if let Some(channel) = overview.channels.first_mut() {
            channel.fates.insert("sent".to_owned(), sent);
        }
        overview
    }

    fn of(overviews: &[Overview]) -> History {
        let mut history = History::default();
        overviews.iter().for_each(|overview| history.add(overview));
        history
    }

    #[test]
    fn a_rate_needs_two_overviews_and_is_that_of_the_last_intervals() {
        assert_eq!(of(&[at(0, 5)]).rate("send.cpu"), None);
        assert_eq!(of(&[at(0, 5), at(2, 8)]).rate("send.cpu"), Some(1.5));
        assert_eq!(of(&[at(0, 5), at(2, 8), at(4, 8)]).rate("send.cpu"), Some(0.75));
        assert_eq!(of(&[at(0, 5), at(2, 8)]).rate("send.other"), None);
        let later: Vec<Overview> = (0..30).map(|second| at(second, if second > 20 { 100 } else { 0 })).collect();
        assert_eq!(of(&later).rate("send.cpu"), Some(10.0));
    }

    #[test]
    fn a_process_that_started_again_counts_from_zero_and_time_never_runs_backwards() {
        assert_eq!(of(&[at(0, 50), at(1, 3)]).rate("send.cpu"), Some(3.0));
        assert_eq!(of(&[at(5, 50), at(5, 50)]).rate("send.cpu"), None);
        assert_eq!(of(&[at(5, 50), at(1, 53), at(2, 57)]).rate("send.cpu"), Some(4.0));
    }

    #[test]
    fn columns_show_the_newest_at_the_right() {
        let history = of(&[at(0, 0), at(1, 0), at(2, 1), at(3, 9), at(4, 13)]);
        assert_eq!(history.sparkline("send.cpu", 10), " ▁█▄");
        assert_eq!(history.sparkline("send.cpu", 2), "█▄");
        assert_eq!(history.sparkline("send.cpu", 0), "");
        assert_eq!(history.sparkline("receive.central", 9), "    ");
    }

    #[test]
    fn what_is_kept_is_bounded_and_ends_with_the_channel() {
        let mut history = of(&(0..1000).map(|second| at(second, second)).collect::<Vec<_>>());
        assert_eq!(history.sparkline("send.cpu", 5000).chars().count(), KEPT);
        history.add(&Overview { at: NOW + 2_000_000, ..Overview::default() });
        assert_eq!(history.rate("send.cpu"), None);
    }
}
