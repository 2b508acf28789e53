//! From the text of a schema to [`Schema`]: every keyword is read once, whether or not it applies to a value.

use std::collections::BTreeMap;

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Number, Value};

use super::{Bound, Count, Id, Kind, Node, Rule, Schema, SchemaError};
use crate::text::clean;

/// Depth of nested schemas.
const MAX_DEPTH: usize = 128;

/// The longest JSON pointer to a nested schema, in bytes: each is kept.
const MAX_POINTER_BYTES: usize = 2000;

/// Total number of patterns, and the compiled size of each, in bytes.
const MAX_PATTERNS: usize = 64;
const MAX_PATTERN_BYTES: usize = 64 << 10;

/// Keywords of the dialect that are not supported.
const UNSUPPORTED: [&str; 7] = [
    "unevaluatedProperties",
    "unevaluatedItems",
    "$dynamicRef",
    "$recursiveRef",
    "dependencies",
    "additionalItems",
    "$vocabulary",
];

type Read<T> = Result<T, SchemaError>;

/// Parses one document.
pub(super) struct Reader<'a> {
    document: &'a Value,
    nodes: Vec<Node>,
    /// Nodes already read or being read, by JSON pointer.
    known: BTreeMap<String, Id>,
    patterns: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(document: &'a Value) -> Self {
        Self { document, nodes: Vec::new(), known: BTreeMap::new(), patterns: 0 }
    }

    pub(super) fn read(mut self) -> Read<Schema> {
        self.node(self.document, "", 0)?;
        Ok(Schema { nodes: self.nodes })
    }

    /// The node at the pointer `at`. One that refers to itself is found among the known ones.
    fn node(&mut self, json: &'a Value, at: &str, depth: usize) -> Read<Id> {
        if let Some(id) = self.known.get(at) {
            return Ok(*id);
        }
        if depth > MAX_DEPTH {
            return Err(fault("it nests schemas more than 128 deep", ""));
        }
        if at.len() > MAX_POINTER_BYTES {
            return Err(fault("the pointer to a schema in it is longer than 2 kB", at));
        }
        let id = self.nodes.len();
        self.nodes.push(Node::Always(true));
        self.known.insert(at.to_owned(), id);
        let node = match json {
            Value::Bool(flag) => Node::Always(*flag),
            Value::Object(keywords) => Node::Rules(self.rules(keywords, at, depth + 1)?),
            _ => return Err(fault("a schema is neither a table nor true or false", at)),
        };
        if let Some(slot) = self.nodes.get_mut(id) {
            *slot = node;
        }
        Ok(id)
    }

    fn rules(&mut self, keywords: &'a Map<String, Value>, at: &str, depth: usize) -> Read<Vec<Rule>> {
        let mut rules = Vec::new();
        for (keyword, value) in keywords {
            let place = below(at, keyword);
            if UNSUPPORTED.contains(&keyword.as_str()) {
                return Err(fault(&format!("Sesame does not support the keyword {keyword}"), at));
            }
            let rule = match self.simple(keyword, value, &place)? {
                Some(rule) => Some(rule),
                None => self.nested(keyword, value, &place, depth)?,
            };
            rules.extend(rule);
        }
        rules.extend(self.properties(keywords, at, depth)?);
        rules.extend(self.items(keywords, at, depth)?);
        rules.extend(self.contains(keywords, at, depth)?);
        rules.extend(self.condition(keywords, at, depth)?);
        Ok(rules)
    }

    /// Keywords without nested schemas.
    fn simple(&mut self, keyword: &str, value: &'a Value, at: &str) -> Read<Option<Rule>> {
        Ok(Some(match keyword {
            "type" => Rule::Types(kinds(value, at)?),
            "enum" => Rule::OneOfValues(list(value, at)?.clone()),
            "const" => Rule::OneOfValues(vec![value.clone()]),
            "minimum" => Rule::Bound(Bound::Least, number(value, at)?),
            "maximum" => Rule::Bound(Bound::Most, number(value, at)?),
            "exclusiveMinimum" => Rule::Bound(Bound::Above, number(value, at)?),
            "exclusiveMaximum" => Rule::Bound(Bound::Below, number(value, at)?),
            "multipleOf" => Rule::MultipleOf(positive(value, at)?),
            "minLength" => Rule::Count(Count::LeastCharacters, count(value, at)?),
            "maxLength" => Rule::Count(Count::MostCharacters, count(value, at)?),
            "minItems" => Rule::Count(Count::LeastItems, count(value, at)?),
            "maxItems" => Rule::Count(Count::MostItems, count(value, at)?),
            "minProperties" => Rule::Count(Count::LeastKeys, count(value, at)?),
            "maxProperties" => Rule::Count(Count::MostKeys, count(value, at)?),
            "pattern" => Rule::Pattern(self.pattern(text(value, at)?, at)?),
            "required" => Rule::Required(texts(value, at)?),
            "dependentRequired" => {
                let each = table(value, at)?.iter();
                Rule::DependentRequired(
                    each.map(|(key, keys)| Ok((key.clone(), texts(keys, at)?.into_iter().collect())))
                        .collect::<Read<_>>()?,
                )
            }
            "uniqueItems" => match value.as_bool() {
                Some(true) => Rule::Unique,
                Some(false) => return Ok(None),
                None => return Err(fault("it must be true or false", at)),
            },
            _ => return Ok(None),
        }))
    }

    /// Keywords with nested schemas that do not depend on other keywords.
    fn nested(&mut self, keyword: &str, value: &'a Value, at: &str, depth: usize) -> Read<Option<Rule>> {
        Ok(Some(match keyword {
            "allOf" => Rule::AllOf(self.several(value, at, depth)?),
            "anyOf" => Rule::AnyOf(self.several(value, at, depth)?),
            "oneOf" => Rule::OneOf(self.several(value, at, depth)?),
            "not" => Rule::Not(self.node(value, at, depth)?),
            "propertyNames" => Rule::PropertyNames(self.node(value, at, depth)?),
            "dependentSchemas" => Rule::DependentSchemas(self.named(value, at, depth)?),
            "$ref" => Rule::Same(self.reference(text(value, at)?, at, depth)?),
            // Read here, so that what is wrong in them is found even where nothing refers to it.
            "$defs" | "definitions" => {
                self.named(value, at, depth)?;
                return Ok(None);
            }
            _ => return Ok(None),
        }))
    }

    fn several(&mut self, value: &'a Value, at: &str, depth: usize) -> Read<Vec<Id>> {
        let list = list(value, at)?;
        if list.is_empty() {
            return Err(fault("it must hold a schema", at));
        }
        list.iter().enumerate().map(|(n, each)| self.node(each, &below(at, &n.to_string()), depth)).collect()
    }

    fn named(&mut self, value: &'a Value, at: &str, depth: usize) -> Read<BTreeMap<String, Id>> {
        let each = table(value, at)?.iter();
        each.map(|(name, schema)| Ok((name.clone(), self.node(schema, &below(at, name), depth)?))).collect()
    }

    /// Only within the document: nothing is ever fetched.
    fn reference(&mut self, to: &str, at: &str, depth: usize) -> Read<Id> {
        let Some(pointer) = to.strip_prefix('#').filter(|pointer| pointer.is_empty() || pointer.starts_with('/'))
        else {
            return Err(fault(&format!("{:?} is not a pointer into this schema", clean(to, 100)), at));
        };
        // As in a URI; names that need more than this are not used in schemas.
        let pointer = pointer.replace("%25", "%").replace("%24", "$");
        let target = self.document.pointer(&pointer);
        let target = target.ok_or_else(|| fault(&format!("there is nothing at {:?}", clean(to, 100)), at))?;
        self.node(target, &pointer, depth)
    }

    fn properties(&mut self, keywords: &'a Map<String, Value>, at: &str, depth: usize) -> Read<Option<Rule>> {
        let part = |name: &str| keywords.get(name).map(|value| (value, below(at, name)));
        let (known, patterns, others) = (part("properties"), part("patternProperties"), part("additionalProperties"));
        if known.is_none() && patterns.is_none() && others.is_none() {
            return Ok(None);
        }
        let known = known.map(|(value, at)| self.named(value, &at, depth)).transpose()?.unwrap_or_default();
        let mut compiled = Vec::new();
        if let Some((value, at)) = patterns {
            for (pattern, id) in self.named(value, &at, depth)? {
                compiled.push((self.pattern(&pattern, &at)?, id));
            }
        }
        let others = others.map(|(value, at)| self.node(value, &at, depth)).transpose()?;
        Ok(Some(Rule::Properties { known, patterns: compiled, others }))
    }

    fn items(&mut self, keywords: &'a Map<String, Value>, at: &str, depth: usize) -> Read<Option<Rule>> {
        let first = match keywords.get("prefixItems") {
            Some(value) => self.several(value, &below(at, "prefixItems"), depth)?,
            None => Vec::new(),
        };
        let place = below(at, "items");
        match keywords.get("items") {
            Some(value @ Value::Array(_)) if first.is_empty() => {
                Ok(Some(Rule::Items { first: self.several(value, &place, depth)?, rest: None }))
            }
            Some(value) => Ok(Some(Rule::Items { first, rest: Some(self.node(value, &place, depth)?) })),
            None => Ok((!first.is_empty()).then_some(Rule::Items { first, rest: None })),
        }
    }

    fn contains(&mut self, keywords: &'a Map<String, Value>, at: &str, depth: usize) -> Read<Option<Rule>> {
        let Some(value) = keywords.get("contains") else { return Ok(None) };
        let which = self.node(value, &below(at, "contains"), depth)?;
        let bound = |name: &str| keywords.get(name).map(|value| count(value, &below(at, name))).transpose();
        Ok(Some(Rule::Contains { which, least: bound("minContains")?.unwrap_or(1), most: bound("maxContains")? }))
    }

    fn condition(&mut self, keywords: &'a Map<String, Value>, at: &str, depth: usize) -> Read<Option<Rule>> {
        let mut part =
            |name: &str| keywords.get(name).map(|value| self.node(value, &below(at, name), depth)).transpose();
        let (condition, then, otherwise) = (part("if")?, part("then")?, part("else")?);
        Ok(condition.map(|condition| Rule::If { condition, then, otherwise }))
    }

    fn pattern(&mut self, pattern: &str, at: &str) -> Read<Regex> {
        self.patterns += 1;
        if self.patterns > MAX_PATTERNS {
            return Err(fault("it holds more than 64 patterns", ""));
        }
        let built = RegexBuilder::new(pattern).size_limit(MAX_PATTERN_BYTES).dfa_size_limit(MAX_PATTERN_BYTES).build();
        built.map_err(|error| {
            let error = error.to_string();
            let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
            fault(&format!("a pattern is invalid, {}", clean(reason, 200)), at)
        })
    }
}

fn fault(what: &str, at: &str) -> SchemaError {
    SchemaError { what: what.to_owned(), at: clean(at, 200) }
}

/// RFC 6901.
fn below(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn kinds(value: &Value, at: &str) -> Read<Vec<Kind>> {
    let names = match value {
        Value::String(name) => vec![name.clone()],
        _ => texts(value, at)?,
    };
    let kind =
        |name: &String| Kind::named(name).ok_or_else(|| fault(&format!("unknown type {:?}", clean(name, 40)), at));
    names.iter().map(kind).collect()
}

fn list<'a>(value: &'a Value, at: &str) -> Read<&'a Vec<Value>> {
    value.as_array().ok_or_else(|| fault("it must be a list", at))
}

fn table<'a>(value: &'a Value, at: &str) -> Read<&'a Map<String, Value>> {
    value.as_object().ok_or_else(|| fault("it must be a table", at))
}

fn text<'a>(value: &'a Value, at: &str) -> Read<&'a str> {
    value.as_str().ok_or_else(|| fault("it must be a string", at))
}

fn texts(value: &Value, at: &str) -> Read<Vec<String>> {
    list(value, at)?.iter().map(|each| text(each, at).map(str::to_owned)).collect()
}

fn number(value: &Value, at: &str) -> Read<Number> {
    value.as_number().cloned().ok_or_else(|| fault("it must be a number", at))
}

fn positive(value: &Value, at: &str) -> Read<Number> {
    number(value, at)?.as_f64().filter(|float| *float > 0.0).ok_or_else(|| fault("it must be more than 0", at))?;
    number(value, at)
}

fn count(value: &Value, at: &str) -> Read<u64> {
    let whole = value.as_f64().filter(|float| *float >= 0.0 && float.fract() == 0.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and not negative; it saturates")]
    whole.map(|float| float as u64).ok_or_else(|| fault("it must be a whole number, 0 or more", at))
}
