//! Tables of benchmarks, which version 0.4 has in place of a benchmark's name and its value.
//!
//! # Format
//! `{HEPscore23: 12.5, hepspec: 11}`: braces around it, which may be missing; pairs separated by commas; a name and a
//! number separated by one colon. No name may come twice in the same spelling. The consumer keeps one pair: the first of
//! `hepscore23`, `hepspec` and `si2k`, in any case, that is there.

use crate::records::{python, repeated};

/// A value that is plain in older versions of a format and a table of benchmarks in version 0.4.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Benchmarked<'a, T> {
    /// The value alone.
    Plain(T),
    /// The table as it is written in the message, and the value that the consumer takes from it.
    Table(&'a str, T),
}

impl<T: Copy> Benchmarked<'_, T> {
    /// The value that the consumer keeps.
    #[must_use]
    pub fn value(&self) -> T {
        match self {
            Self::Plain(value) | Self::Table(_, value) => *value,
        }
    }
}

/// The benchmarks the consumer knows, the one it prefers first.
pub(super) const KNOWN: [&str; 3] = ["hepscore23", "hepspec", "si2k"];

/// The consumer's benchmark that `name` is, in any case.
pub(super) fn known(name: &str) -> Option<&'static str> {
    KNOWN.into_iter().find(|known| python::lower_is(name, known))
}

/// What is wrong with a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadTable {
    /// It is no table of names and numbers.
    Malformed,
    /// A name comes twice.
    Doubled,
    /// It has none of the benchmarks the consumer knows.
    Unknown,
}

/// Reads a table: the benchmark that the consumer keeps, and its value.
pub(super) fn read(text: &str) -> Result<(&'static str, f64), BadTable> {
    let mut found = [None; KNOWN.len()];
    let mut names = Vec::new();
    for pair in python::trim(text, |c| c == '{' || c == '}').split(',') {
        let mut parts = pair.split(':');
        let (Some(name), Some(number), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(BadTable::Malformed);
        };
        let name = python::strip(name);
        let value = python::float(python::strip(number)).ok_or(BadTable::Malformed)?;
        for (slot, known) in found.iter_mut().zip(KNOWN) {
            if python::lower_is(name, known) {
                *slot = Some(value);
            }
        }
        names.push(name.into());
    }
    if names.len() > 1 && repeated(&names).contains(&true) {
        return Err(BadTable::Doubled);
    }
    let kept = KNOWN.into_iter().zip(found).find_map(|(known, value)| Some((known, value?)));
    kept.ok_or(BadTable::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_benchmark_is_kept() {
        for (text, kept) in [
            ("{HEPscore23: 12.5, hepspec: 11}", ("hepscore23", 12.5)),
            ("{hepspec: 11, HEPSCORE23:1_2}", ("hepscore23", 12.0)),
            ("hepspec:11", ("hepspec", 11.0)),
            ("{{si2k: 1, other: 2}", ("si2k", 1.0)),
            ("{si2\u{212a}: 3}", ("si2k", 3.0)),
            ("{hepspec: 1, HEPspec: 2}", ("hepspec", 2.0)),
            ("{hepspec : inf}", ("hepspec", f64::INFINITY)),
        ] {
            assert_eq!(read(text), Ok(kept), "{text:?}");
        }
    }

    #[test]
    fn a_bad_table_is_told_apart() {
        for text in
            ["", "None", "12.5", "{}", "{hepspec: 1,}", "{hepspec: 1: 2}", "{hepspec: x}", "{hepspec: 1} x", "hepspec"]
        {
            assert_eq!(read(text), Err(BadTable::Malformed), "{text:?}");
        }
        assert_eq!(read("{hepspec: 1, hepspec: 1}"), Err(BadTable::Doubled));
        assert_eq!(read("{hs06: 1, : 2}"), Err(BadTable::Unknown));
    }
}
