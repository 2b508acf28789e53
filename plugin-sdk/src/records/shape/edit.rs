//! Editing fields in place: what is not edited stays as it is, byte for byte.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::ops::Range;

use super::{Form, Kind, json, text, xml};
use crate::Finding;
use crate::records::{self, usage_json};

/// How a field is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line `Key: value`.
    Line,
    /// A member of a JSON object.
    Member,
    /// An XML element.
    Element,
    /// An XML attribute.
    Attribute,
}

/// A field of a record. A name that occurs more than once is that many fields.
#[derive(Clone, Debug)]
pub struct Field<'a> {
    /// `Key` in text; `Outer.Inner` for a JSON member inside another; in XML the local name of an element, at whatever
    /// depth, or `Element@attribute`.
    pub name: Cow<'a, str>,
    /// What it says, without white space around it in text and XML.
    pub value: Cow<'a, str>,
    /// Empty, `None` or `null` in any case.
    pub null: bool,
    /// It has other fields and no content of its own.
    pub container: bool,
    /// How it is written.
    pub place: Place,
    pub(super) span: Span,
}

impl Field<'_> {
    /// The last part of the name: the name of a nested field in its parent.
    #[must_use]
    pub fn leaf(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or_default()
    }
}

/// Where the parts of a field stand.
#[derive(Clone, Debug, Default)]
pub(super) struct Span {
    /// The key, in JSON with its quotes, in XML without its prefix.
    pub(super) name: Range<usize>,
    /// The value; the `/>` of an empty element.
    pub(super) value: Range<usize>,
    /// The prefix of an element, with its colon.
    pub(super) prefix: Range<usize>,
    /// Where an element's start tag takes another attribute.
    pub(super) tag_end: usize,
    /// The name in an element's end tag.
    pub(super) close: Option<Range<usize>>,
}

/// A message whose fields were edited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited {
    /// The new message; `None`: nothing was edited.
    pub payload: Option<Vec<u8>>,
    /// Its content.
    pub kind: Kind,
    /// The number of its records.
    pub records: usize,
}

/// One record, to be edited.
#[derive(Debug)]
pub struct Record<'a> {
    payload: &'a [u8],
    kind: Kind,
    form: Form,
    number: u32,
    fields: Vec<Field<'a>>,
    /// The record itself, as an element is described.
    own: Span,
    edits: Vec<(Range<usize>, String)>,
    fault: Option<Finding>,
}

impl<'a> Record<'a> {
    /// The kind of the message.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its number in the message, from 1.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Its fields as they came, in order.
    #[must_use]
    pub fn fields(&self) -> &[Field<'a>] {
        &self.fields
    }

    /// Gives a field another value. In JSON it is a string then.
    pub fn set(&mut self, index: usize, value: &str) {
        self.write(index, value, false);
    }

    /// Gives a field a number, which JSON writes without quotes; `literal` is one.
    pub fn set_number(&mut self, index: usize, literal: &str) {
        self.write(index, literal, true);
    }

    /// Gives a field another name. In XML an element keeps its prefix and attributes, and an attribute its element.
    pub fn rename(&mut self, index: usize, name: &str) {
        let Some(Field { place, span, .. }) = self.fields.get(index) else { return };
        let (span, new) = match place {
            Place::Line if text::is_line(name) && !name.contains(':') => (span.clone(), name.to_owned()),
            Place::Member => (span.clone(), json::quoted(name)),
            Place::Element if xml::is_name(name) => (span.clone(), name.to_owned()),
            Place::Attribute => match name.rsplit('@').next() {
                Some(name) if xml::is_name(name) => (span.clone(), name.to_owned()),
                _ => return self.refuse(name),
            },
            _ => return self.refuse(name),
        };
        if let Some(close) = span.close {
            self.edits.push((close, new.clone()));
        }
        self.edits.push((span.name, new));
    }

    /// Adds a field: a line at the record's end, a member, an element with the record's prefix, or with
    /// `Element@attribute` an attribute of the first such element, which is made if there is none.
    pub fn add(&mut self, name: &str, value: &str) {
        self.insert(name, value, false);
    }

    /// Adds a number, which JSON writes without quotes; `literal` is one.
    pub fn add_number(&mut self, name: &str, literal: &str) {
        self.insert(name, literal, true);
    }

    fn write(&mut self, index: usize, value: &str, number: bool) {
        let Some(Field { place, span, name, .. }) = self.fields.get(index) else { return };
        let fits = match place {
            Place::Line => text::is_line(value),
            Place::Member => true,
            Place::Element | Place::Attribute => xml::is_text(value),
        };
        if !fits {
            let name = name.to_string();
            return self.refuse(&name);
        }
        let new = match place {
            Place::Line if span.value.start.checked_sub(1).and_then(|at| self.payload.get(at)) == Some(&b':') => {
                format!(" {value}")
            }
            Place::Line => value.to_owned(),
            Place::Member if number => value.to_owned(),
            Place::Member => json::quoted(value),
            Place::Element if span.close.is_none() => {
                let name = text::lossy(self.payload, span.prefix.start..span.name.end);
                format!(">{}</{name}>", xml::escaped(value))
            }
            Place::Element | Place::Attribute => xml::escaped(value),
        };
        self.edits.push((span.value.clone(), new));
    }

    fn insert(&mut self, name: &str, value: &str, number: bool) {
        let at = self.own.value.end;
        match self.form {
            Form::Text if text::is_line(name) && !name.contains(':') && text::is_line(value) => {
                self.edits.push((at..at, format!("{}{name}: {value}", text::line_break(self.payload))));
            }
            Form::Json => {
                let first = self.fields.is_empty() && !self.edits.iter().any(|(span, _)| *span == (at..at));
                let value = if number { value.to_owned() } else { json::quoted(value) };
                let comma = if first { "" } else { ", " };
                self.edits.push((at..at, format!("{comma}{}: {value}", json::quoted(name))));
            }
            Form::Xml if self.own.close.is_some() && xml::is_text(value) => self.insert_xml(name, value),
            _ => self.refuse(name),
        }
    }

    fn insert_xml(&mut self, name: &str, value: &str) {
        let prefix = text::lossy(self.payload, self.own.prefix.clone()).into_owned();
        let value = xml::escaped(value);
        let at = self.own.value.end;
        let Some((element, attribute)) = name.split_once('@') else {
            if !xml::is_name(name) {
                return self.refuse(name);
            }
            return self.edits.push((at..at, format!("<{prefix}{name}>{value}</{prefix}{name}>")));
        };
        if !xml::is_name(element) || !xml::is_name(attribute) {
            return self.refuse(name);
        }
        let there = self.fields.iter().find(|field| field.place == Place::Element && field.name == element);
        let edit = match there.map(|field| &field.span) {
            Some(span) => {
                let prefix = text::lossy(self.payload, span.prefix.clone());
                (span.tag_end..span.tag_end, format!(" {prefix}{attribute}=\"{value}\""))
            }
            None => (at..at, format!("<{prefix}{element} {prefix}{attribute}=\"{value}\"/>")),
        };
        self.edits.push(edit);
    }

    fn refuse(&mut self, name: &str) {
        let text = format!("{name} cannot be written with this name and value in this format");
        self.fault.get_or_insert_with(|| Finding::error("shape.not-written", text).in_record(self.number));
    }
}

/// Lets `change` edit each record of a message.
///
/// # Errors
/// Findings: the message cannot be cut, or a name or value cannot be written in its format.
pub fn edit(payload: &[u8], mut change: impl FnMut(&mut Record<'_>)) -> Result<Edited, Vec<Finding>> {
    let payload = super::from_first(payload);
    let mut edits = Vec::new();
    let form = Form::of(payload);
    let mut one = |kind, number: usize, fields, own| {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let mut record = Record { payload, kind, form, number, fields, own, edits: Vec::new(), fault: None };
        change(&mut record);
        edits.append(&mut record.edits);
        record.fault.map_or(Ok(()), |fault| Err(vec![fault]))
    };
    let (kind, records) = match form {
        Form::Text => {
            let (kind, shape) = (text::kind(payload), text::cut(payload)?);
            for (at, span) in shape.spans().iter().enumerate() {
                one(kind, at + 1, text::fields(payload, span.clone()), own(span.start..span.end))?;
            }
            (kind, shape.len())
        }
        Form::Json => {
            let document = usage_json::document(payload)?;
            let (kind, mut count) = (json::kind_of(&document), 0);
            for value in json::records(&document)? {
                count += 1;
                let span = value.span();
                one(kind, count, json::fields(value), own(span.start..json::end(payload, &span)))?;
            }
            (kind, count)
        }
        Form::Xml => {
            let document = records::xml::document(payload)?;
            let (kind, elements) = xml::records(&document)?;
            for (at, element) in elements.iter().enumerate() {
                let own = xml::span(payload, element.span(), element.name().len());
                one(kind, at + 1, xml::fields(payload, *element), own)?;
            }
            (kind, elements.len())
        }
    };
    Ok(Edited { payload: apply(payload, edits), kind, records })
}

fn own(value: Range<usize>) -> Span {
    Span { value, ..Span::default() }
}

/// The payload with the edits made: at one place insertions first, and an edit inside another is lost in it.
fn apply(payload: &[u8], edits: Vec<(Range<usize>, String)>) -> Option<Vec<u8>> {
    if edits.is_empty() {
        return None;
    }
    let mut edited = Vec::with_capacity(payload.len() + payload.len() / 8);
    let mut from = 0;
    for (span, new) in sorted(edits) {
        if span.start >= from {
            edited.extend_from_slice(payload.get(from..span.start).unwrap_or_default());
            edited.extend_from_slice(new.as_bytes());
            from = span.end;
        }
    }
    edited.extend_from_slice(payload.get(from..).unwrap_or_default());
    Some(edited).filter(|edited| edited != payload)
}

/// Edits in the order of their places. They come nearly so, and each finds its place from the end in a few steps.
fn sorted(edits: Vec<(Range<usize>, String)>) -> Vec<(Range<usize>, String)> {
    let key = |(span, _): &(Range<usize>, String)| (span.start, !span.is_empty(), Reverse(span.end));
    let mut sorted = Vec::with_capacity(edits.len());
    for edit in edits {
        let at = sorted.iter().rposition(|before| key(before) <= key(&edit)).map_or(0, |before| before + 1);
        sorted.insert(at, edit);
    }
    sorted
}
