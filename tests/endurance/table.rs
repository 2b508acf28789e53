//! The table at the end: a row for each promise.

use std::fmt;

use crate::checker::Account;
use crate::scene::Outcome;

/// What is promised of one kind of fault, and what was found.
#[derive(Debug, Default)]
pub(crate) struct Row {
    promise: String,
    /// Faults that struck.
    cases: u32,
    /// LOST, TORN, DUPLICATED, UNEXPECTED.
    counts: [usize; 4],
    /// No message was accounted for.
    uncounted: bool,
    /// What fell short besides: a fault that did not strike, a side that did not recover, a figure that was missed.
    faults: Vec<String>,
    /// Figures that were measured.
    figures: Vec<String>,
}

impl Row {
    pub(crate) fn new(promise: impl Into<String>) -> Self {
        Self { promise: promise.into(), ..Self::default() }
    }

    /// Of a part that stopped.
    pub(crate) fn failed(part: &str) -> Self {
        let mut row = Self::new(part);
        row.fault("the part stopped: see its message above");
        row
    }

    /// Counts a fault, if it struck, and what was left in the end.
    pub(crate) fn count(&mut self, case: &str, struck: bool, outcome: &Outcome) {
        self.cases += u32::from(struck);
        self.add(case, &outcome.account);
        if !outcome.settled {
            self.fault(format!("{case}: something was still under way a minute later"));
        }
    }

    /// Counts faults that are accounted for together.
    pub(crate) fn count_all(&mut self, cases: u32, account: &Account) {
        self.cases += cases;
        self.add("all", account);
    }

    /// Counts cases that only give figures.
    pub(crate) fn measured(&mut self, cases: u32) {
        self.cases += cases;
        self.uncounted = true;
    }

    fn add(&mut self, case: &str, account: &Account) {
        let counts = [account.lost.len(), account.torn.len(), account.duplicated.len(), account.unexpected.len()];
        for (sum, count) in self.counts.iter_mut().zip(counts) {
            *sum += count;
        }
        if counts != [0; 4] {
            println!("{}, {case}: {account:?}", self.promise);
        }
    }

    pub(crate) fn fault(&mut self, text: impl Into<String>) {
        let text = text.into();
        println!("{}: {text}", self.promise);
        self.faults.push(text);
    }

    pub(crate) fn figure(&mut self, text: impl Into<String>) {
        self.figures.push(text.into());
    }
}

/// All rows.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<Row>);

impl Table {
    pub(crate) fn take(&mut self, row: Row) {
        self.0.push(row);
    }

    /// Cases and counts, for a run that is not over.
    pub(crate) fn summary(&self) -> String {
        let (cases, [lost, torn, duplicated, unexpected]) = self.sums();
        format!("{cases} cases, LOST={lost} TORN={torn} DUPLICATED={duplicated} UNEXPECTED={unexpected}")
    }

    fn sums(&self) -> (u32, [usize; 4]) {
        let counts = |place: usize| self.0.iter().map(|row| row.counts[place]).sum();
        (self.0.iter().map(|row| row.cases).sum(), [0, 1, 2, 3].map(counts))
    }

    /// Whether something was struck for every promise, and all were kept.
    pub(crate) fn holds(&self) -> bool {
        let kept = |row: &Row| row.cases > 0 && row.counts == [0; 4] && row.faults.is_empty();
        !self.0.is_empty() && self.0.iter().all(kept)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|row| row.promise.chars().count()).max().unwrap_or(0).max(7);
        let line = |out: &mut fmt::Formatter<'_>, words: [&str; 6]| {
            let [promise, cases, lost, torn, duplicated, unexpected] = words;
            writeln!(out, "{promise:width$} {cases:>6} {lost:>6} {torn:>6} {duplicated:>11} {unexpected:>11}")
        };
        writeln!(out)?;
        line(out, ["promise", "cases", "LOST", "TORN", "DUPLICATED", "UNEXPECTED"])?;
        let numbers = |out: &mut fmt::Formatter<'_>, name: &str, cases: u32, counts: [usize; 4], uncounted: bool| {
            let text = |count: usize| if uncounted { "-".to_owned() } else { count.to_string() };
            let [lost, torn, duplicated, unexpected] = counts.map(text);
            line(out, [name, &cases.to_string(), &lost, &torn, &duplicated, &unexpected])
        };
        for row in &self.0 {
            numbers(out, &row.promise, row.cases, row.counts, row.uncounted)?;
        }
        let (cases, sums) = self.sums();
        numbers(out, "all", cases, sums, false)?;
        for row in &self.0 {
            for figure in &row.figures {
                writeln!(out, "{}: {figure}", row.promise)?;
            }
            for fault in &row.faults {
                writeln!(out, "NOT KEPT, {}: {fault}", row.promise)?;
            }
        }
        Ok(())
    }
}
