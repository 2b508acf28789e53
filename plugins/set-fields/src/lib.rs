//! The stock plugin `builtin:set-fields`: adds, renames and maps fields of records in text, JSON and XML.
//!
//! In this order: `rename` gives a field another name, `map` exchanges certain values for others, `lookup` takes a value from
//! a lookup table, `default` writes a field that is missing or null, `set` writes it in any case. The tables apply to every message; those under `types`
//! for one type of record, and win. Nothing else of the message changes.
//!
//!     [config.set]
//!     InfrastructureDescription = "APEL-HTCONDOR-CE"
//!     [config.map.VO]
//!     "atlas.old" = "atlas"
//!     [config.lookup.ProjectGroup]      # the column `group` of the row whose key is the record's VO
//!     table = "groups"
//!     column = "group"
//!     from = "VO"                       # without it: the value of the field itself
//!     [config.types.cloud.default]
//!     CloudType = "OpenStack"
//!
//! # Names
//! As in the record: `VO`, in JSON `Outer.Inner` for a member inside another, in XML the name of an element at any
//! depth without its prefix, or `Element@attribute`. In XML records `VO` also means `Group`, and in CAR
//! `InfrastructureType`, `InfrastructureDescription` and `ServiceLevelType` mean the attributes with these values.

use sesame_plugin::records::json::{self, Value};
use sesame_plugin::records::shape::{Kind, Record, edit};
use sesame_plugin::table::{Table, entries, text};
use sesame_plugin::tables;
use sesame_plugin::{Configuration, Failure, Finding, Message, Output, Plugin, Transformed, Transformer, Verdict};

/// Warnings of one message.
const MAX_FINDINGS: usize = 100;
/// What fields of text records are called in XML ones.
const XML_NAMES: [(Kind, &str, &str); 5] = [
    (Kind::Storage, "VO", "Group"),
    (Kind::Usage, "VO", "Group"),
    (Kind::Usage, "InfrastructureType", "Infrastructure@type"),
    (Kind::Usage, "InfrastructureDescription", "Infrastructure@description"),
    (Kind::Usage, "ServiceLevelType", "ServiceLevel@type"),
];

/// A value of the configuration; JSON records keep numbers as numbers.
#[derive(Clone)]
struct Literal {
    text: String,
    number: bool,
}

impl Literal {
    fn read(value: Value<'_, '_>) -> Result<Self, String> {
        match value.kind() {
            json::Kind::Text => Ok(Self { text: value.text().into_owned(), number: false }),
            json::Kind::Number => Ok(Self { text: value.source().to_owned(), number: true }),
            _ => Err(" must be a string or a number".to_owned()),
        }
    }
}

/// Tables as they are written; of two entries for one name the later one applies.
type Entries<T> = Vec<(String, T)>;

#[derive(Clone, Default)]
struct Rules {
    set: Entries<Literal>,
    default: Entries<Literal>,
    rename: Entries<String>,
    map: Entries<Entries<Literal>>,
    lookup: Entries<Lookup>,
}

/// A value that is in a lookup table, granted in the sidecar.
#[derive(Clone)]
struct Lookup {
    table: String,
    column: String,
    /// The field with the key; none: the field itself.
    from: Option<String>,
}

impl Lookup {
    fn read(value: Value<'_, '_>) -> Result<Self, String> {
        Table::inner(value, |table| {
            let missing = |key: &str| format!(".{key} is missing");
            Ok(Self {
                table: table.value("table", text)?.ok_or_else(|| missing("table"))?,
                column: table.value("column", text)?.ok_or_else(|| missing("column"))?,
                from: table.value("from", text)?,
            })
        })
    }
}

impl Rules {
    fn read(table: &mut Table<'_, '_>) -> Result<Self, String> {
        Ok(Self {
            set: table.entries("set", Literal::read)?,
            default: table.entries("default", Literal::read)?,
            rename: table.entries("rename", text)?,
            map: table.entries("map", |value| entries(value, Literal::read))?,
            lookup: table.entries("lookup", Lookup::read)?,
        })
    }
}

/// The entry that applies to a name.
fn find<'t, T>(table: &'t [(String, T)], name: &str) -> Option<&'t T> {
    table.iter().rev().find(|(known, _)| known == name).map(|(_, entry)| entry)
}

struct SetFields {
    /// For each kind of message.
    rules: Vec<(Kind, Rules)>,
}

impl Configuration for SetFields {
    fn from_json(json: &str) -> Result<Self, String> {
        let (general, types) = Table::read(json, |table| {
            let types = table.entries("types", |value| Table::inner(value, Rules::read))?;
            Ok((Rules::read(table)?, types))
        })?;
        if let Some((name, _)) = types.iter().find(|(name, _)| Kind::named(name).is_none()) {
            return Err(format!("types: {name:?} is not a record type such as job or cloud-summary"));
        }
        let of_kind = |kind: Kind| {
            let own = find(&types, kind.name()).cloned().unwrap_or_default();
            (kind, general.clone().with(own).named_for(kind))
        };
        Ok(Self { rules: Kind::ALL.into_iter().map(of_kind).collect() })
    }
}

impl Plugin for SetFields {
    type Config = Self;
    const NAME: &'static str = "set-fields";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Adds, renames and maps fields of records.";

    fn config_schema() -> Option<String> {
        Some(include_str!("schema.json").to_owned())
    }

    fn new(config: Self) -> Result<Self, String> {
        for (_, lookup) in config.rules.iter().flat_map(|(_, rules)| &rules.lookup) {
            tables::contains(&lookup.table, "")?;
        }
        Ok(config)
    }
}

impl Transformer for SetFields {
    fn transform(&self, message: &Message) -> Result<Transformed, Failure> {
        let kind = Kind::of(&message.payload);
        let Some((_, rules)) = self.rules.iter().find(|(known, _)| *known == kind) else {
            return Ok(Verdict::Unchanged.into());
        };
        if rules.is_empty() {
            return Ok(Verdict::Unchanged.into());
        }
        if kind == Kind::Unknown {
            let finding =
                Finding::warning("set-fields.unknown-type", "the message is of no known type and stays as it is");
            return Ok(Transformed { verdict: Verdict::Unchanged, findings: vec![finding] });
        }
        let mut findings = Vec::new();
        let mut failed = None;
        let edited = edit(&message.payload, |record| {
            if let Err(error) = rules.apply(record, &mut findings) {
                failed = Some(error);
            }
        })
        .map_err(Failure::Invalid)?;
        if let Some(error) = failed {
            return Err(Failure::Internal(error));
        }
        findings.truncate(MAX_FINDINGS);
        let verdict = edited.payload.map_or(Verdict::Unchanged, |payload| Verdict::Replaced(Output::new(payload)));
        Ok(Transformed { verdict, findings })
    }
}

impl Rules {
    fn is_empty(&self) -> bool {
        self.set.is_empty()
            && self.default.is_empty()
            && self.rename.is_empty()
            && self.map.is_empty()
            && self.lookup.is_empty()
    }

    /// These, and `other` where both say something.
    fn with(mut self, other: Self) -> Self {
        self.set.extend(other.set);
        self.default.extend(other.default);
        self.rename.extend(other.rename);
        self.map.extend(other.map);
        self.lookup.extend(other.lookup);
        self
    }

    /// These, with the names that the fields have in records of a kind.
    fn named_for(self, kind: Kind) -> Self {
        let name = |name: String| match XML_NAMES.iter().find(|(of, text, _)| *of == kind && *text == name) {
            Some((.., xml)) => (*xml).to_owned(),
            None => name,
        };
        fn renamed<T>(table: Entries<T>, name: impl Fn(String) -> String) -> Entries<T> {
            table.into_iter().map(|(field, value)| (name(field), value)).collect()
        }
        Self {
            set: renamed(self.set, name),
            default: renamed(self.default, name),
            rename: self.rename.into_iter().map(|(old, new)| (name(old), name(new))).collect(),
            map: renamed(self.map, name),
            lookup: renamed(self.lookup, name)
                .into_iter()
                .map(|(field, lookup)| (field, Lookup { from: lookup.from.map(name), ..lookup }))
                .collect(),
        }
    }

    fn apply(&self, record: &mut Record<'_>, findings: &mut Vec<Finding>) -> Result<(), String> {
        let mut there: Vec<String> = record.fields().iter().map(|field| field.name.to_string()).collect();
        // Each new name with whether the record has it already: looked up once, because a record may have a hundred
        // thousand fields.
        let new_names = |(old, new): &(String, String)| (old.clone(), (new.clone(), there.contains(new)));
        let renames: Entries<(String, bool)> = self.rename.iter().map(new_names).collect();
        for index in 0..there.len() {
            let Some(old) = there.get(index) else { break };
            if let Some((new, taken)) = find(&renames, old) {
                if *taken && findings.len() >= MAX_FINDINGS {
                    continue;
                } else if *taken {
                    let finding = Finding::warning(
                        "set-fields.name-taken",
                        format!("{old} was not renamed: the record has {new}"),
                    );
                    findings.push(finding.in_record(record.number()));
                } else {
                    record.rename(index, new);
                }
            }
        }
        let looked_up = self.look_up(record)?;
        // With the new names, which no field had before.
        for (index, name) in there.iter_mut().enumerate() {
            if let Some((new, false)) = find(&renames, name) {
                name.clone_from(new);
            }
            let null = record.fields().get(index).is_none_or(|field| field.null);
            let default = find(&self.default, name).filter(|_| null);
            let mut maps = self.map.iter().rev().filter(|(field, _)| field == name);
            let value = record.fields().get(index).map_or("", |field| &field.value);
            let mapped = maps.find_map(|(_, values)| find(values, value));
            let new = find(&self.set, name).or(mapped).or_else(|| find(&looked_up, name)).or(default);
            match new {
                Some(Literal { text, number: false }) => record.set(index, text),
                Some(Literal { text, number: true }) => record.set_number(index, text),
                None => {}
            }
        }
        let mut written: Vec<&String> = there.iter().collect();
        for (name, value) in self.set.iter().rev().chain(looked_up.iter().rev()).chain(self.default.iter().rev()) {
            if !written.contains(&name) {
                written.push(name);
                match value {
                    Literal { text, number: false } => record.add(name, text),
                    Literal { text, number: true } => record.add_number(name, text),
                }
            }
        }
        Ok(())
    }

    /// The values that lookup tables have for this record. A key that a table does not have gives none.
    fn look_up(&self, record: &Record<'_>) -> Result<Entries<Literal>, String> {
        let mut values = Vec::new();
        for (name, lookup) in &self.lookup {
            let from = lookup.from.as_ref().unwrap_or(name);
            let Some(field) = record.fields().iter().find(|field| field.name == *from && !field.null) else { continue };
            let value = tables::value(&lookup.table, field.value.trim(), &lookup.column)?;
            values.extend(value.map(|text| (name.clone(), Literal { text, number: false })));
        }
        Ok(values)
    }
}

sesame_plugin::export!(SetFields: transformer);

#[cfg(test)]
mod tests;
