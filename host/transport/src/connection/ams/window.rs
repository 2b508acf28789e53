//! The messages of the latest pull: which are durable, which are in hand.

use std::collections::BTreeSet;

use ams::Received;

/// What became of one message of a pull: it is durable, or it is to come again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settled {
    pub(super) offset: u64,
    pub(super) durable: bool,
}

/// The messages of one pull, by their offsets.
#[derive(Debug)]
pub(super) struct Window {
    /// Those that are not durable.
    open: BTreeSet<u64>,
    /// Those of them that may still become durable.
    in_hand: BTreeSet<u64>,
    /// All of them.
    all: BTreeSet<u64>,
}

impl Window {
    pub(super) fn of(messages: &[Received]) -> Self {
        let all: BTreeSet<u64> = messages.iter().map(|message| message.ack_id.offset()).collect();
        Self { open: all.clone(), in_hand: all.clone(), all }
    }

    pub(super) fn settle(&mut self, settled: Settled) {
        self.in_hand.remove(&settled.offset);
        if settled.durable {
            self.open.remove(&settled.offset);
        }
    }

    /// Whether nothing of it is in hand.
    pub(super) fn is_done(&self) -> bool {
        self.in_hand.is_empty()
    }

    /// The last message that is durable with all before it: what may be acknowledged.
    pub(super) fn last_durable(&self) -> Option<u64> {
        match self.open.first() {
            Some(open) => self.all.range(..open).next_back().copied(),
            None => self.all.last().copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_durable_with_all_before_it_may_be_acknowledged() {
        let all: BTreeSet<u64> = (7..11).collect();
        let mut window = Window { open: all.clone(), in_hand: all.clone(), all };
        let mut after = |offset, durable| {
            window.settle(Settled { offset, durable });
            (window.last_durable(), window.is_done())
        };
        assert_eq!(after(8, true), (None, false), "7 may still be lost");
        assert_eq!(after(7, true), (Some(8), false));
        assert_eq!(after(10, true), (Some(8), false));
        assert_eq!(after(9, false), (Some(8), true), "9 comes again, and 10 with it");
        assert_eq!(after(9, true), (Some(10), true));
        assert_eq!(Window::of(&[]).last_durable(), None);
    }
}
