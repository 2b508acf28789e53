//! What is shown, and what keys change.

use observe::overview::{Channel, Event, Overview};

use crate::History;

/// What Sesame answered, and what was made of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Picture {
    pub(super) overview: Overview,
    /// Messages that did not simply pass, the newest first.
    pub(super) recent: Vec<Event>,
    pub(super) history: History,
    /// Whether anything was answered yet.
    pub(super) known: bool,
    /// Since when there is no answer, and why.
    pub(super) fault: Option<(u64, String)>,
}

/// What the body shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum View {
    #[default]
    Channels,
    Messages,
    Plugins,
    Brokers,
}

impl View {
    pub(super) const ALL: [Self; 4] = [Self::Channels, Self::Messages, Self::Plugins, Self::Brokers];

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Channels => "Channels",
            Self::Messages => "Rejected",
            Self::Plugins => "Plugins",
            Self::Brokers => "Brokers",
        }
    }

    fn next(self, steps: usize) -> Self {
        let all = Self::ALL;
        all.get((self as usize + steps) % all.len()).copied().unwrap_or_default()
    }
}

/// A key that means something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// `q` or Ctrl-C.
    Quit,
    /// Esc: back, or quit where there is nothing to go back to.
    Back,
    /// The next of the list.
    Down,
    /// The one before.
    Up,
    /// The next view.
    NextView,
    /// The view before.
    LastView,
    /// The selected channel alone, or all again.
    Enter,
    /// Stops the display, or goes on.
    Pause,
    /// Shows the keys.
    Help,
}

/// What follows a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Goes on.
    Stay,
    /// Ends.
    Quit,
}

/// What is shown, and where in it the user is.
#[derive(Debug, Default)]
pub struct Model {
    live: Picture,
    /// What is shown while the display is paused.
    frozen: Option<Picture>,
    pub(super) view: View,
    /// The line of the view that is selected.
    pub(super) selected: usize,
    /// Whether the selected channel is shown alone.
    pub(super) alone: bool,
    pub(super) help: bool,
    pub(super) colours: bool,
}

impl Model {
    /// A model without an answer.
    #[must_use]
    pub fn new(colours: bool) -> Self {
        Self { colours, ..Self::default() }
    }

    /// Takes an answer.
    pub fn take(&mut self, overview: Overview, recent: Vec<Event>) {
        self.live.history.add(&overview);
        self.live.overview = overview;
        self.live.recent = recent;
        self.live.known = true;
        self.live.fault = None;
        self.bound();
    }

    /// There was no answer at this time. What was known stays.
    pub fn miss(&mut self, now: u64, why: String) {
        let since = self.live.fault.as_ref().map_or(now, |(since, _)| *since);
        self.live.fault = Some((since, why));
    }

    /// Does what a key means.
    pub fn key(&mut self, key: Key) -> Next {
        match key {
            Key::Quit => return Next::Quit,
            Key::Back if self.help => self.help = false,
            Key::Back if self.alone => self.alone = false,
            Key::Back => return Next::Quit,
            Key::Help => self.help = !self.help,
            Key::Pause => {
                self.frozen = if self.frozen.is_some() { None } else { Some(self.live.clone()) };
                self.bound();
            }
            Key::Down => self.selected = self.selected.saturating_add(1),
            Key::Up => self.selected = self.selected.saturating_sub(1),
            Key::NextView => self.turn(1),
            Key::LastView => self.turn(View::ALL.len() - 1),
            Key::Enter => self.alone = self.view == View::Channels && !self.alone && self.channel().is_some(),
        }
        self.bound();
        Next::Stay
    }

    fn turn(&mut self, steps: usize) {
        (self.view, self.selected, self.alone) = (self.view.next(steps), 0, false);
    }

    /// What is shown.
    pub(super) fn picture(&self) -> &Picture {
        self.frozen.as_ref().unwrap_or(&self.live)
    }

    /// Whether the display is paused.
    pub(super) fn is_paused(&self) -> bool {
        self.frozen.is_some()
    }

    /// The channel that is selected.
    pub(super) fn channel(&self) -> Option<&Channel> {
        self.picture().overview.channels.get(self.selected)
    }

    /// How many lines of the view can be selected.
    fn lines(&self) -> usize {
        let Picture { overview, recent, .. } = self.picture();
        match self.view {
            View::Channels => overview.channels.len(),
            View::Messages => recent.len(),
            View::Plugins => overview.channels.iter().map(|channel| channel.plugins.len()).sum(),
            View::Brokers => overview.brokers.len() + overview.expiries.len(),
        }
    }

    fn bound(&mut self) {
        self.selected = self.selected.min(self.lines().saturating_sub(1));
        self.alone &= self.channel().is_some();
    }
}
