//! What a format is made of: its fields, their kinds and limits; and one record's values by its table.

use super::levels::Benchmarked;
use super::report::Report;
use crate::records::{Rules, words};

/// The most fields a format has.
pub(super) const SLOTS: usize = 32;

/// How a field's text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// As it is.
    Text,
    /// A whole number of any size.
    Integer,
    /// A floating-point number, which may be infinite or none.
    Number,
    /// A point in time.
    Time,
    /// A number; in version 0.4 a table of benchmarks.
    Level,
    /// A whole number; in version 0.4 a table of benchmarks, fractions cut off.
    Count,
}

/// In which versions a field is accepted and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// In all.
    Always,
    /// Accepted in all, written before version 0.4, where a table of benchmarks says the same.
    WrittenBeforeV04,
    /// Accepted from version 0.4 on, never written.
    ReadFromV04,
}

/// The type of a field's column in the consumer's database.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Limit {
    /// So many characters.
    Characters(u16),
    /// The part of INT that is not negative.
    Int,
    /// The part of BIGINT that is not negative.
    BigInt,
    /// BIGINT, for what the loader itself does not let be negative.
    SignedBigInt,
    /// Ten decimal digits, three of them behind the point.
    Decimal,
    /// No limit is known.
    Unknown,
}

impl Limit {
    /// Whether a column of whole numbers can store this one. A number at an end of `i64` may represent a larger one.
    pub(super) fn holds(self, number: i64) -> bool {
        match self {
            Self::Int => (0..=i64::from(i32::MAX)).contains(&number),
            Self::BigInt => (0..i64::MAX).contains(&number),
            Self::SignedBigInt => number < i64::MAX,
            _ => true,
        }
    }
}

/// One field of a format.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) presence: Presence,
    /// The loader rejects a record without it.
    pub(super) mandatory: bool,
    /// The documents call it mandatory, the loader does not.
    pub(super) demanded: bool,
    pub(super) limit: Limit,
}

impl Field {
    const fn new(name: &'static str, kind: Kind, limit: Limit) -> Self {
        Self { name, kind, presence: Presence::Always, mandatory: false, demanded: false, limit }
    }

    pub(super) const fn text(name: &'static str) -> Self {
        Self::new(name, Kind::Text, Limit::Characters(255))
    }

    pub(super) const fn integer(name: &'static str) -> Self {
        Self::new(name, Kind::Integer, Limit::Unknown)
    }

    pub(super) const fn number(name: &'static str) -> Self {
        Self::new(name, Kind::Number, Limit::Decimal)
    }

    pub(super) const fn time(name: &'static str) -> Self {
        Self::new(name, Kind::Time, Limit::Unknown)
    }

    pub(super) const fn level(name: &'static str) -> Self {
        Self::new(name, Kind::Level, Limit::Decimal)
    }

    pub(super) const fn count(name: &'static str) -> Self {
        Self::new(name, Kind::Count, Limit::BigInt)
    }

    /// Whether it is called `name` and accepted in the version.
    #[inline]
    fn is(&self, name: &str, v04: bool) -> bool {
        words::same(self.name, name) && (v04 || self.presence != Presence::ReadFromV04)
    }

    pub(super) const fn mandatory(self) -> Self {
        Self { mandatory: true, ..self }
    }

    pub(super) const fn demanded(self) -> Self {
        Self { demanded: true, ..self }
    }

    pub(super) const fn limit(self, limit: Limit) -> Self {
        Self { limit, ..self }
    }

    pub(super) const fn presence(self, presence: Presence) -> Self {
        Self { presence, ..self }
    }
}

/// A format.
pub(super) struct Table {
    /// What an operator calls a message of it.
    pub(super) name: &'static str,
    /// What the codes of its findings begin with.
    pub(super) code: &'static str,
    /// The versions that are documented.
    pub(super) versions: &'static [&'static str],
    /// In the order of the consumer's writer, at most [`SLOTS`].
    pub(super) fields: &'static [Field],
    /// Names of fields that are accepted with any value and not looked at.
    pub(super) ignored: &'static [&'static str],
    /// The index of the benchmark's name among the fields.
    pub(super) level_type: Option<usize>,
    /// What goes beyond single fields.
    pub(super) check: fn(&Row<'_>, &Rules, &mut Report<'_>),
}

impl Table {
    /// The index of the field `name`; `likely` is tried first.
    pub(super) fn find(&self, name: &str, likely: usize, v04: bool) -> Option<usize> {
        if let Some(field) = self.fields.get(likely)
            && field.is(name, v04)
        {
            return Some(likely);
        }
        for (slot, field) in self.fields.iter().enumerate() {
            if field.is(name, v04) {
                return Some(slot);
            }
        }
        None
    }
}

/// The index of the field `name` in `fields`; does not compile for an unknown name.
pub(super) const fn slot(fields: &[Field], name: &str) -> usize {
    let mut at = 0;
    while !same(fields[at].name.as_bytes(), name.as_bytes()) {
        at += 1;
    }
    at
}

const fn same(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

/// What a record has in one field.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Value<'a> {
    #[default]
    Absent,
    /// The field is there and has no value.
    Null,
    Text(&'a str),
    /// Also a time, in seconds since 1970.
    Integer(i64),
    Number(f64),
    Level(Benchmarked<'a, f64>),
    Count(Benchmarked<'a, i64>),
    /// Already reported; what is checked further leaves it alone.
    Bad,
}

/// The values of one record, by the slots of its table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    pub(super) values: [Value<'a>; SLOTS],
    /// A bit for each slot whose field was read.
    pub(super) seen: u32,
    /// The rules of version 0.4 apply.
    pub(super) v04: bool,
}

impl<'a> Row<'a> {
    pub(super) fn new(v04: bool) -> Self {
        Self { values: [Value::Absent; SLOTS], seen: 0, v04 }
    }

    pub(super) fn value(&self, slot: usize) -> Value<'a> {
        self.values.get(slot).copied().unwrap_or_default()
    }

    pub(super) fn set(&mut self, slot: usize, value: Value<'a>) {
        if let Some(place) = self.values.get_mut(slot) {
            *place = value;
        }
    }

    /// A whole number or a time, if there is a good one.
    pub(super) fn integer(&self, slot: usize) -> Option<i64> {
        match self.value(slot) {
            Value::Integer(value) => Some(value),
            Value::Count(value) => Some(value.value()),
            _ => None,
        }
    }

    /// A text, if there is one.
    pub(super) fn text(&self, slot: usize) -> Option<&'a str> {
        match self.value(slot) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}
