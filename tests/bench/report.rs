//! The lines that are printed: a name, a value with its unit, the goal and whether it is reached.

use std::collections::BTreeMap;

use crate::clock;

/// The goal of a figure.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
    Exactly(f64),
}

impl Goal {
    fn reached(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
            Self::Exactly(wanted) => (value - wanted).abs() < f64::EPSILON,
        }
    }

    fn words(self) -> String {
        match self {
            Self::AtMost(limit) => format!("at most {}", number(limit)),
            Self::AtLeast(limit) => format!("at least {}", number(limit)),
            Self::Exactly(wanted) => format!("exactly {}", number(wanted)),
        }
    }
}

/// Prints as it goes and remembers what was measured.
#[derive(Debug)]
pub(crate) struct Report {
    values: BTreeMap<String, f64>,
    missed: Vec<String>,
    goals: usize,
}

impl Report {
    /// Says on what machine and under what load the figures are taken.
    pub(crate) fn begin() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        println!("{processors} processors, load {}", clock::load());
        Self { values: BTreeMap::new(), missed: Vec::new(), goals: 0 }
    }

    /// A new part.
    pub(crate) fn heading(&self, name: &str) {
        println!("\n== {name} (load {})", clock::load());
    }

    /// Words about what follows.
    pub(crate) fn note(&self, words: &str) {
        println!("   {words}");
    }

    /// A figure without a goal.
    pub(crate) fn figure(&mut self, name: &str, value: f64, unit: &str) {
        println!("{name:<52} {:>10} {unit}", number(value));
        self.values.insert(name.to_owned(), value);
    }

    /// A figure with a goal.
    pub(crate) fn goal(&mut self, name: &str, value: f64, unit: &str, goal: Goal) {
        let reached = goal.reached(value);
        let verdict = if reached { "reached" } else { "not reached" };
        println!("{name:<52} {:>10} {unit:<12} goal: {}, {verdict}", number(value), goal.words());
        self.values.insert(name.to_owned(), value);
        self.goals += 1;
        if !reached {
            self.missed.push(name.to_owned());
        }
    }

    /// A figure that was printed before.
    pub(crate) fn value(&self, name: &str) -> Option<f64> {
        self.values.get(name).copied()
    }

    /// Says what was not reached.
    pub(crate) fn end(self) {
        println!("\nload {}", clock::load());
        println!("{} of {} goals reached", self.goals - self.missed.len(), self.goals);
        for name in self.missed {
            println!("not reached: {name}");
        }
    }
}

/// Three digits that count, no more.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.01 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// The value in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    assert!(!values.is_empty(), "nothing was measured");
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
