//! Validation of a value against a [`Schema`].

use std::cmp::Ordering;
use std::fmt::Write as _;

use serde_json::{Map, Number, Value};

use super::compare::{equal, is_multiple, numbers, weight};
use super::{Bound, Count, Id, Kind, Node, Rule, Schema, SchemaError, Violation};
use crate::text::clean;

/// Steps of one validation; an ordinary schema of a hundred keys needs some hundreds.
const STEPS: u64 = 1_000_000;

/// Depth of nested schemas; more means that they refer to each other in a loop.
const MAX_DEPTH: usize = 200;

/// Violations that are kept.
const KEPT: usize = 1000;

/// Validation takes too many steps.
struct TooLong;

type Checked<T> = Result<T, TooLong>;

/// One check of one value.
pub(super) struct Check<'a> {
    schema: &'a Schema,
    steps: u64,
    depth: usize,
    found: Vec<Violation>,
    /// More than 0 while alternatives are tried, whose violations are not reported.
    quiet: usize,
}

impl<'a> Check<'a> {
    pub(super) fn new(schema: &'a Schema) -> Self {
        Self { schema, steps: STEPS, depth: 0, found: Vec::new(), quiet: 0 }
    }

    pub(super) fn whole(mut self, value: &Value) -> Result<Vec<Violation>, SchemaError> {
        match self.node(0, value, "") {
            Ok(_) => {
                self.found.dedup();
                Ok(self.found)
            }
            Err(TooLong) => {
                let what = format!(
                    "validating this configuration takes more than {STEPS} steps, or the schema refers to itself in a loop"
                );
                Err(SchemaError { what, at: String::new() })
            }
        }
    }

    fn spend(&mut self, steps: u64) -> Checked<()> {
        self.steps = self.steps.checked_sub(steps).ok_or(TooLong)?;
        Ok(())
    }

    /// Whether the value is allowed; if not, the violations are recorded.
    fn node(&mut self, id: Id, value: &Value, key: &str) -> Checked<bool> {
        self.spend(1)?;
        if self.depth >= MAX_DEPTH {
            return Err(TooLong);
        }
        let schema = self.schema;
        match schema.nodes.get(id) {
            Some(Node::Always(false)) => Ok(self.refuse(key, "is not allowed here")),
            Some(Node::Rules(rules)) => {
                self.depth += 1;
                let mut allowed = true;
                for rule in rules {
                    allowed &= self.rule(rule, value, key)?;
                }
                self.depth -= 1;
                Ok(allowed)
            }
            Some(Node::Always(true)) | None => Ok(true),
        }
    }

    fn refuse(&mut self, key: &str, reason: impl Into<String>) -> bool {
        if self.quiet == 0 && self.found.len() < KEPT {
            let subject = if key.is_empty() { "the table" } else { key };
            self.found.push(Violation { key: key.to_owned(), text: format!("{subject} {}", reason.into()) });
        }
        false
    }

    /// Records a missing or unknown key, which the text names.
    fn refuse_key(&mut self, key: &str, text: String) -> bool {
        if self.quiet == 0 && self.found.len() < KEPT {
            self.found.push(Violation { key: key.to_owned(), text });
        }
        false
    }

    fn demand(&mut self, holds: bool, key: &str, reason: impl FnOnce() -> String) -> bool {
        holds || self.refuse(key, reason())
    }

    /// Whether the value is allowed, without recording violations.
    fn tried(&mut self, id: Id, value: &Value, key: &str) -> Checked<bool> {
        self.quiet += 1;
        let allowed = self.node(id, value, key);
        self.quiet -= 1;
        allowed
    }

    fn rule(&mut self, rule: &Rule, value: &Value, key: &str) -> Checked<bool> {
        self.spend(1)?;
        match (rule, value) {
            (Rule::Types(kinds), _) => Ok(self.types(kinds, value, key)),
            (Rule::OneOfValues(allowed), _) => self.one_of_values(allowed, value, key),
            (Rule::Bound(bound, limit), Value::Number(number)) => Ok(self.bound(*bound, limit, number, key)),
            (Rule::MultipleOf(of), Value::Number(number)) => {
                Ok(self.demand(is_multiple(number, of), key, || format!("is not a multiple of {of}")))
            }
            (Rule::Count(what, limit), _) => self.count(*what, *limit, value, key),
            (Rule::Pattern(pattern), Value::String(text)) => {
                self.spend(text.len() as u64)?;
                let shown = || format!("does not match {:?}", clean(pattern.as_str(), 100));
                Ok(self.demand(pattern.is_match(text), key, shown))
            }
            (_, Value::Object(table)) if rule.is_about_tables() => self.table(rule, table, value, key),
            (_, Value::Array(items)) if rule.is_about_lists() => self.list(rule, items, key),
            _ => self.combined(rule, value, key),
        }
    }

    fn types(&mut self, kinds: &[Kind], value: &Value, key: &str) -> bool {
        let found = Kind::of(value);
        let holds = kinds.contains(&found) || (found == Kind::Integer && kinds.contains(&Kind::Number));
        self.demand(holds, key, || {
            let wanted: Vec<&str> = kinds.iter().map(|kind| kind.words()).collect();
            format!("is {} and must be {}", found.words(), wanted.join(" or "))
        })
    }

    fn one_of_values(&mut self, allowed: &[Value], value: &Value, key: &str) -> Checked<bool> {
        self.spend(allowed.len() as u64 * weight(value))?;
        let holds = allowed.iter().any(|each| equal(each, value));
        Ok(self.demand(holds, key, || {
            let mut shown: Vec<String> = allowed.iter().take(8).map(|each| clean(&each.to_string(), 60)).collect();
            if allowed.len() > shown.len() {
                shown.push("…".to_owned());
            }
            format!("is {} that is not allowed (allowed: {})", Kind::of(value).words(), shown.join(", "))
        }))
    }

    fn bound(&mut self, bound: Bound, limit: &Number, number: &Number, key: &str) -> bool {
        let order = numbers(number, limit);
        let (holds, words) = match bound {
            Bound::Least => (order != Ordering::Less, "at least"),
            Bound::Most => (order != Ordering::Greater, "at most"),
            Bound::Above => (order == Ordering::Greater, "more than"),
            Bound::Below => (order == Ordering::Less, "less than"),
        };
        self.demand(holds, key, || format!("is a number and must be {words} {limit}"))
    }

    fn count(&mut self, what: Count, limit: u64, value: &Value, key: &str) -> Checked<bool> {
        let (count, things) = match (what, value) {
            (Count::LeastCharacters | Count::MostCharacters, Value::String(text)) => {
                self.spend(text.len() as u64 / 16)?;
                (text.chars().count(), "characters")
            }
            (Count::LeastItems | Count::MostItems, Value::Array(items)) => (items.len(), "entries"),
            (Count::LeastKeys | Count::MostKeys, Value::Object(table)) => (table.len(), "keys"),
            _ => return Ok(true),
        };
        let least = matches!(what, Count::LeastCharacters | Count::LeastItems | Count::LeastKeys);
        let (holds, words) =
            if least { (count as u64 >= limit, "at least") } else { (count as u64 <= limit, "at most") };
        Ok(self.demand(holds, key, || format!("has {count} {things} and must have {words} {limit}")))
    }

    fn table(&mut self, rule: &Rule, table: &Map<String, Value>, value: &Value, key: &str) -> Checked<bool> {
        match rule {
            Rule::Properties { .. } => self.properties(rule, table, key),
            Rule::PropertyNames(id) => {
                let mut allowed = true;
                for name in table.keys() {
                    if !self.tried(*id, &Value::String(name.clone()), key)? {
                        allowed = self.refuse(&below(key, name), "is a key whose name is not allowed");
                    }
                }
                Ok(allowed)
            }
            Rule::Required(names) => Ok(names.iter().fold(true, |allowed, name| {
                let place = below(key, name);
                let there = table.contains_key(name);
                (there || self.refuse_key(&place, format!("missing key `{place}`"))) && allowed
            })),
            Rule::DependentRequired(each) => {
                let mut allowed = true;
                for (name, needed) in each.iter().filter(|(name, _)| table.contains_key(*name)) {
                    for lacking in needed.iter().filter(|needed| !table.contains_key(*needed)) {
                        let place = below(key, lacking);
                        let text = format!("missing key `{place}`, required with `{}`", bare(name));
                        allowed = self.refuse_key(&place, text);
                    }
                }
                Ok(allowed)
            }
            Rule::DependentSchemas(each) => {
                let mut allowed = true;
                for (_, id) in each.iter().filter(|(name, _)| table.contains_key(*name)) {
                    allowed &= self.node(*id, value, key)?;
                }
                Ok(allowed)
            }
            _ => Ok(true),
        }
    }

    fn properties(&mut self, rule: &Rule, table: &Map<String, Value>, key: &str) -> Checked<bool> {
        let Rule::Properties { known, patterns, others } = rule else { return Ok(true) };
        let mut allowed = true;
        for (name, value) in table {
            let (place, mut seen) = (below(key, name), false);
            if let Some(id) = known.get(name) {
                (seen, allowed) = (true, self.node(*id, value, &place)? && allowed);
            }
            for (pattern, id) in patterns {
                self.spend(1 + name.len() as u64)?;
                if pattern.is_match(name) {
                    (seen, allowed) = (true, self.node(*id, value, &place)? && allowed);
                }
            }
            match others {
                Some(id) if !seen && matches!(self.schema.nodes.get(*id), Some(Node::Always(false))) => {
                    allowed = self.refuse_key(&place, unknown(&place, known.keys()));
                }
                Some(id) if !seen => allowed &= self.node(*id, value, &place)?,
                _ => {}
            }
        }
        Ok(allowed)
    }

    fn list(&mut self, rule: &Rule, items: &[Value], key: &str) -> Checked<bool> {
        match rule {
            Rule::Items { first, rest } => {
                let mut allowed = true;
                for (at, item) in items.iter().enumerate() {
                    if let Some(id) = first.get(at).or(rest.as_ref()) {
                        allowed &= self.node(*id, item, &format!("{key}[{at}]"))?;
                    }
                }
                Ok(allowed)
            }
            Rule::Contains { which, least, most } => {
                let mut count = 0;
                for item in items {
                    count += u64::from(self.tried(*which, item, key)?);
                }
                let holds = count >= *least && most.is_none_or(|most| count <= most);
                let most = most.map(|most| format!(" and at most {most}")).unwrap_or_default();
                let reason = || format!("has {count} entries that match and must have at least {least}{most}");
                Ok(self.demand(holds, key, reason))
            }
            Rule::Unique => {
                let weight: u64 = items.iter().map(weight).sum();
                self.spend(weight.saturating_mul(items.len() as u64))?;
                let again = |at: usize, item| items.iter().take(at).any(|before| equal(before, item));
                let twice = items.iter().enumerate().find(|(at, item)| again(*at, item));
                Ok(twice.is_none_or(|(at, _)| self.refuse(&format!("{key}[{at}]"), "is a duplicate")))
            }
            _ => Ok(true),
        }
    }

    fn combined(&mut self, rule: &Rule, value: &Value, key: &str) -> Checked<bool> {
        match rule {
            Rule::Same(id) => self.node(*id, value, key),
            Rule::AllOf(ids) => {
                let mut allowed = true;
                for id in ids {
                    allowed &= self.node(*id, value, key)?;
                }
                Ok(allowed)
            }
            Rule::AnyOf(ids) => Ok(self.fitting(ids, value, key)? > 0 || self.none_fits(ids, value, key)?),
            Rule::OneOf(ids) => match self.fitting(ids, value, key)? {
                0 => self.none_fits(ids, value, key),
                1 => Ok(true),
                several => Ok(self.refuse(key, format!("matches {several} forms and must match exactly one"))),
            },
            Rule::Not(id) => {
                let fits = self.tried(*id, value, key)?;
                Ok(self.demand(!fits, key, || format!("is {} that is excluded", Kind::of(value).words())))
            }
            Rule::If { condition, then, otherwise } => {
                let next = if self.tried(*condition, value, key)? { then } else { otherwise };
                next.map_or(Ok(true), |id| self.node(id, value, key))
            }
            _ => Ok(true),
        }
    }

    fn fitting(&mut self, ids: &[Id], value: &Value, key: &str) -> Checked<usize> {
        let mut fitting = 0;
        for id in ids {
            fitting += usize::from(self.tried(*id, value, key)?);
        }
        Ok(fitting)
    }

    /// If only one alternative takes this kind of value, its violations are reported.
    fn none_fits(&mut self, ids: &[Id], value: &Value, key: &str) -> Checked<bool> {
        let found = Kind::of(value);
        let about: Vec<Id> = ids.iter().copied().filter(|id| self.takes(*id, found)).collect();
        match about.as_slice() {
            [id] => self.node(*id, value, key),
            _ => {
                Ok(self
                    .refuse(key, format!("is {} and matches none of the {} forms allowed", found.words(), ids.len())))
            }
        }
    }

    /// Whether a schema may allow values of this kind; nested schemas are not examined.
    fn takes(&self, id: Id, kind: Kind) -> bool {
        match self.schema.nodes.get(id) {
            Some(Node::Rules(rules)) => rules.iter().all(|rule| match rule {
                Rule::Types(kinds) => kinds.contains(&kind) || (kind == Kind::Integer && kinds.contains(&Kind::Number)),
                Rule::OneOfValues(values) => values.iter().any(|value| Kind::of(value) == kind),
                _ => true,
            }),
            _ => false,
        }
    }
}

impl Rule {
    fn is_about_tables(&self) -> bool {
        matches!(
            self,
            Self::Properties { .. }
                | Self::PropertyNames(_)
                | Self::Required(_)
                | Self::DependentRequired(_)
                | Self::DependentSchemas(_)
        )
    }

    fn is_about_lists(&self) -> bool {
        matches!(self, Self::Items { .. } | Self::Contains { .. } | Self::Unique)
    }
}

fn unknown<'a>(place: &str, known: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<String> = known.take(30).map(|name| bare(name)).collect();
    match names.as_slice() {
        [] => format!("unknown key `{place}` (known: none)"),
        _ => format!("unknown key `{place}` (known: {})", names.join(", ")),
    }
}

/// A key as TOML writes it.
fn bare(name: &str) -> String {
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    if plain { clean(name, 80) } else { format!("\"{}\"", clean(name, 80)) }
}

fn below(key: &str, name: &str) -> String {
    let mut place = key.to_owned();
    if !place.is_empty() {
        place.push('.');
    }
    let _ = write!(place, "{}", bare(name));
    place
}
