//! What must be true of the queues after any fault: nothing lost, nothing torn, nothing twice, nothing unexpected.
//!
//! Every message carries a number and a body derived from it, so that the checker needs no record of what was sent.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use crate::harness::eventually;
use crate::queues;
use crate::sesame::Pair;

/// The body of message `number`: a header like a summary record's, its number, and filling up to about `size` bytes.
pub(crate) fn body(number: u32, size: usize) -> Vec<u8> {
    let mut text = format!("APEL-summary-job-message: v0.2\nMessage: {number}\n");
    let mut word = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while text.len() < size {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(&format!("Filling: {word:016x}{word:016x}{word:016x}\n"));
    }
    text.push_str("%%\n");
    text.into_bytes()
}

/// The number that a body says it has.
fn number(content: &[u8]) -> Option<u32> {
    String::from_utf8_lossy(content).lines().nth(1)?.strip_prefix("Message: ")?.parse().ok()
}

/// Messages that were accepted: they were visible in an outgoing queue.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    numbers: Range<u32>,
    size: usize,
}

/// The four counts, and what they are of: numbers of messages, names of elements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) lost: Vec<u32>,
    pub(crate) torn: Vec<String>,
    pub(crate) duplicated: Vec<u32>,
    pub(crate) unexpected: Vec<String>,
}

impl Workload {
    /// Puts `count` messages of about `size` bytes into an outgoing queue.
    pub(crate) fn queued_in(queue: &Path, count: u32, size: usize) -> Self {
        let workload = Self { numbers: 0..count, size };
        workload.numbers.clone().for_each(|number| drop(queues::add(queue, &body(number, size))));
        workload
    }

    /// Messages that were queued one by one, with the bodies of [`body`].
    pub(crate) fn of(count: u32, size: usize) -> Self {
        Self::numbered(0..count, size)
    }

    /// Those with these numbers.
    pub(crate) fn numbered(numbers: Range<u32>, size: usize) -> Self {
        Self { numbers, size }
    }

    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Waits until everything has gone from the outgoing queue and come into incoming, then holds the account against zero.
    #[track_caller]
    pub(crate) fn arrives(&self, pair: &Pair) {
        eventually("the outgoing queue to be empty", || queues::outgoing(&pair.outgoing()).is_empty().then_some(()));
        self.is_stored_in(&pair.incoming());
        // A removal takes the elements of a batch first and their locks after them.
        eventually("the locks to go", || queues::locks(&pair.outgoing()).is_empty().then_some(()));
        assert_eq!(queues::count(&pair.reject()), 0, "something was rejected");
    }

    /// Waits until as many elements as messages are stored, then holds the account against zero.
    #[track_caller]
    pub(crate) fn is_stored_in(&self, incoming: &Path) {
        eventually(&format!("{} elements in {}", self.len(), incoming.display()), || {
            (queues::count(incoming) >= self.len()).then_some(())
        });
        assert_eq!(self.account(incoming), Account::default());
    }

    /// Waits until as many elements as messages are stored by several receivers, then holds the account against zero.
    #[track_caller]
    pub(crate) fn is_stored_among(&self, incoming: &[&Path]) {
        let stored = || incoming.iter().map(|queue| queues::count(queue)).sum::<usize>();
        eventually(&format!("{} elements in {incoming:?}", self.len()), || (stored() >= self.len()).then_some(()));
        assert_eq!(self.account_among(incoming), Account::default());
    }

    /// Holds what is stored against what was queued.
    pub(crate) fn account(&self, incoming: &Path) -> Account {
        self.account_among(&[incoming])
    }

    /// The same for the queues of several receivers.
    pub(crate) fn account_among(&self, incoming: &[&Path]) -> Account {
        let mut account = Account::default();
        let mut seen: BTreeMap<u32, u32> = BTreeMap::new();
        for element in incoming.iter().flat_map(|queue| queues::elements(queue)) {
            let content = element.bytes("body");
            match number(content).filter(|number| self.numbers.contains(number)) {
                None => account.unexpected.push(element.name.clone()),
                Some(number) => {
                    *seen.entry(number).or_default() += 1;
                    if content != body(number, self.size)
                        || element.bytes("signer").is_empty()
                        || element.id().is_empty()
                    {
                        account.torn.push(element.name.clone());
                    }
                }
            }
        }
        account.duplicated = seen.iter().filter(|(_, count)| **count > 1).map(|(number, _)| *number).collect();
        account.lost = self.numbers.clone().filter(|number| !seen.contains_key(number)).collect();
        account
    }
}

/// How far a workload has come; for faults that are to strike in the middle.
#[track_caller]
pub(crate) fn when_stored(incoming: &Path, at_least: usize) {
    eventually(&format!("{at_least} elements in {}", incoming.display()), || {
        (queues::count(incoming) >= at_least).then_some(())
    });
}
