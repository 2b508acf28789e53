//! A record as a flat set of elements: the consumer looks for each by its name alone, at any depth inside the record,
//! and takes the first it finds. A format is a table of what it looks for, which is all that most checks need.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::{Element, escape};
use crate::records::iso8601::{self, BadDuration, Time};
use crate::records::python;
use crate::records::report::Report;
use crate::records::words;

/// What a format looks for in a record.
pub(crate) struct Table {
    pub(crate) namespace: &'static str,
    /// The prefix of the namespace in the names in findings.
    pub(crate) prefix: &'static str,
    pub(crate) lines: &'static [Line],
}

/// One value of a record.
pub(crate) struct Line {
    pub(crate) element: &'static str,
    /// Empty: the element's text. An element without the attribute has an empty one, as it has for the consumer.
    pub(crate) attribute: &'static str,
    pub(crate) content: Content,
    pub(crate) need: Need,
    /// For strict checks: the most characters of a text, or the largest number.
    pub(crate) most: i64,
}

/// How a value is read.
#[derive(Clone, Copy)]
pub(crate) enum Content {
    Text,
    Integer,
    Time,
    Duration,
    /// Not by the table.
    Other,
}

/// Whether a value must be there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Mandatory,
    /// For strict checks only, and looked at in them only.
    Strict,
    Optional,
}

/// Shorthand for a table's line.
pub(crate) const fn line(element: &'static str, content: Content, need: Need, most: i64) -> Line {
    attribute(element, "", content, need, most)
}

/// Shorthand for a table's line of an attribute.
pub(crate) const fn attribute(
    element: &'static str,
    attribute: &'static str,
    content: Content,
    need: Need,
    most: i64,
) -> Line {
    Line { element, attribute, content, need, most }
}

/// The first element of each line's name inside a record.
pub(crate) struct Fields<'d, 'a> {
    record: Element<'d, 'a>,
    table: &'static Table,
    first: Vec<Option<Element<'d, 'a>>>,
}

impl<'d, 'a> Fields<'d, 'a> {
    pub(crate) fn of(record: Element<'d, 'a>, table: &'static Table) -> Self {
        let mut first = vec![None; table.lines.len()];
        for element in record.descendants().filter(|element| record.shares_namespace(element, table.namespace)) {
            let name = element.name();
            for (slot, line) in first.iter_mut().zip(table.lines) {
                if slot.is_none() && words::same(line.element, name) {
                    *slot = Some(element);
                }
            }
        }
        Self { record, table, first }
    }

    /// The value of a line, by its element and attribute.
    pub(crate) fn value(&self, element: &str, attribute: &str) -> Option<Cow<'a, str>> {
        let is_it = |line: &Line| line.element == element && line.attribute == attribute;
        let index = self.table.lines.iter().position(is_it)?;
        self.read(*self.first.get(index)?, attribute)
    }

    /// The text of an element; None also if it is null.
    pub(crate) fn text(&self, element: &str) -> Option<Cow<'a, str>> {
        self.value(element, "").filter(|value| !python::is_null(value))
    }

    /// An attribute; None also if it is null.
    pub(crate) fn attribute(&self, element: &str, attribute: &str) -> Option<Cow<'a, str>> {
        self.value(element, attribute).filter(|value| !python::is_null(value))
    }

    /// A whole number, if it is one.
    pub(crate) fn integer(&self, element: &str) -> Option<i64> {
        python::int(&self.text(element)?)
    }

    /// A time, if it is one.
    pub(crate) fn time(&self, element: &str, attribute: &str) -> Option<Time> {
        Time::parse(&self.value(element, attribute)?)
    }

    fn read(&self, element: Option<Element<'d, 'a>>, attribute: &str) -> Option<Cow<'a, str>> {
        let element = element?;
        Some(match attribute {
            "" => element.text(),
            _ => element.attribute(self.table.namespace, attribute).unwrap_or_default(),
        })
    }

    /// All elements of that name.
    pub(crate) fn all(&self, name: &'static str) -> impl Iterator<Item = Element<'d, 'a>> + use<'d, 'a> {
        let namespace = self.table.namespace;
        self.record.descendants().filter(move |element| element.is(namespace, name))
    }

    /// Checks the record by the table.
    pub(crate) fn check(&self, strict: bool, report: &mut Report<'_>) {
        for (line, element) in self.table.lines.iter().zip(&self.first) {
            if line.need == Need::Strict && !strict {
                continue;
            }
            match self.read(*element, line.attribute) {
                Some(value) => {
                    if let Some((rule, text)) = fault(line, &value, strict) {
                        report.error(rule, &self.path(line), Some(&value), &text);
                    }
                }
                None if line.need == Need::Optional => {}
                None => report.error("missing-field", &self.path(line), None, "a mandatory field is missing"),
            }
        }
    }

    /// The XPath in a finding.
    fn path(&self, line: &Line) -> String {
        let (prefix, element) = (self.table.prefix, line.element);
        match line.attribute {
            "" => format!("{prefix}:{element}"),
            attribute => format!("{prefix}:{element}/@{prefix}:{attribute}"),
        }
    }
}

/// What is wrong with a value: the rule and its text.
fn fault(line: &Line, value: &str, strict: bool) -> Option<(&'static str, Cow<'static, str>)> {
    let null = python::is_null(value);
    match line.content {
        Content::Time if Time::parse(value).is_none() => {
            Some(("bad-timestamp", "is not a time of ISO 8601, such as 2026-01-31T23:59:59Z".into()))
        }
        Content::Duration => duration_fault(value),
        Content::Text | Content::Integer if null => {
            let text = "a mandatory field is empty, or has a value that means null (none, null)";
            (line.need != Need::Optional).then_some(("null-field", text.into()))
        }
        Content::Integer => match python::int(value) {
            None => Some(("bad-integer", "is not a whole number".into())),
            Some(number) if strict && !(0..=line.most).contains(&number) => {
                Some(("out-of-range", format!("is not between 0 and {}", line.most).into()))
            }
            Some(_) => None,
        },
        Content::Text if strict && python::len(value) as i64 > line.most => {
            Some(("too-long", format!("is longer than the {} characters that the database keeps", line.most).into()))
        }
        _ => None,
    }
}

/// What is wrong with a duration.
pub(crate) fn duration_fault(value: &str) -> Option<(&'static str, Cow<'static, str>)> {
    let text = match iso8601::duration(value).err()? {
        BadDuration::Form if value.is_empty() => "is empty, or occurs twice with the usage type all",
        BadDuration::Form => "is not a duration of ISO 8601, such as PT3600S",
        BadDuration::Range => "is a larger number of seconds than the consumer can reckon with",
    };
    Some(("bad-duration", text.into()))
}

/// Writes elements with one prefix, each on a line of its own.
pub(crate) struct Writer {
    prefix: &'static str,
    text: String,
}

impl Writer {
    /// Begins a document whose root has that name.
    pub(crate) fn new(prefix: &'static str, root: &str, namespace: &str) -> Self {
        let text = format!("<?xml version=\"1.0\" ?>\n<{prefix}:{root} xmlns:{prefix}=\"{namespace}\">\n");
        Self { prefix, text }
    }

    /// A start tag.
    pub(crate) fn open(&mut self, name: &str) {
        let _ = writeln!(self.text, "<{}:{name}>", self.prefix);
    }

    /// An end tag.
    pub(crate) fn close(&mut self, name: &str) {
        let _ = writeln!(self.text, "</{}:{name}>", self.prefix);
    }

    /// An element with attributes and text; without text it is empty.
    pub(crate) fn element(&mut self, name: &str, attributes: &[(&str, Option<&str>)], text: Option<&str>) {
        let _ = write!(self.text, "<{}:{name}", self.prefix);
        for (attribute, value) in attributes {
            if let Some(value) = value {
                let _ = write!(self.text, " {}:{attribute}=\"", self.prefix);
                escape(value, &mut self.text);
                self.text.push('"');
            }
        }
        match text {
            Some(text) => {
                self.text.push('>');
                escape(text, &mut self.text);
                self.close(name);
            }
            None => self.text.push_str("/>\n"),
        }
    }

    /// An element of text alone, if there is any.
    pub(crate) fn field(&mut self, name: &str, text: Option<&str>) {
        if text.is_some() {
            self.element(name, &[], text);
        }
    }

    /// An element of a number alone, if there is one.
    pub(crate) fn number(&mut self, name: &str, number: Option<i64>) {
        self.field(name, number.map(|number| number.to_string()).as_deref());
    }

    /// Ends the document.
    pub(crate) fn finish(mut self, root: &str) -> String {
        self.close(root);
        self.text
    }
}
