//! XML: StAR, CAR and AUR records, one or many under a root element.
//!
//! What would make a record mean something else once it is cut out is refused: records inside records, other elements
//! between them, a document type declaration.

use std::ops::Range;

use super::edit::{Field, Place, Span};
use super::{Form, Kind, Shape, uncuttable};
use crate::Finding;
use crate::records::python::{is_null, strip};
use crate::records::xml::{self, AttributeAt, Document, Element};
use crate::records::{car, star};

/// Namespace, kind, and the name of a record. The root's name is not looked at: the loader asks for its namespace only.
const FORMATS: [(&str, Kind, &str); 3] = [
    (star::NAMESPACE, Kind::Storage, star::RECORD),
    (car::NAMESPACE, Kind::Usage, car::RECORD),
    (car::AGGREGATED, Kind::AggregatedUsage, "SummaryRecord"),
];

/// The kind that the root element's namespace names; of a text that is not well formed, none.
pub(super) fn kind(payload: &[u8]) -> Kind {
    xml::document(payload).ok().and_then(|document| format(&document)).map_or(Kind::Unknown, |(kind, _)| kind)
}

/// Kind and name of the records of a document, by the namespace of its root.
pub(in crate::records) fn format(document: &Document<'_>) -> Option<(Kind, &'static str)> {
    let root = document.root()?;
    let (_, kind, record) = FORMATS.into_iter().find(|(known, ..)| *known == root.namespace())?;
    Some((kind, record))
}

/// Cuts at the record elements.
pub(super) fn cut(payload: &[u8]) -> Result<Shape<'_>, Vec<Finding>> {
    let document = xml::document(payload)?;
    let (_, nodes) = records(&document)?;
    let mut records: Vec<Range<usize>> = nodes.iter().map(Element::span).collect();
    if let (Some(only), Some(root)) = (records.first_mut(), document.root())
        && *only == root.span()
    {
        // A record that is the root itself is the whole document.
        *only = 0..payload.len();
    }
    Ok(Shape { payload, form: Form::Xml, records })
}

/// The kind of a document, and its record elements in order.
pub(super) fn records<'d, 't>(document: &'d Document<'t>) -> Result<(Kind, Vec<Element<'d, 't>>), Vec<Finding>> {
    let (Some((kind, name)), Some(root)) = (format(document), document.root()) else {
        return Err(uncuttable("the XML is of no known record format: its root element has another namespace"));
    };
    let (mut children, mut end) = (Vec::new(), 0);
    let (mut others, mut inner) = (!strip(&root.text()).is_empty(), false);
    for element in root.descendants() {
        let (span, is_record) = (element.span(), element.is(root.namespace(), name));
        if span.start >= end {
            end = span.end;
            others |= !is_record;
            children.push(element);
        } else {
            inner |= is_record;
        }
    }
    let bare =
        root.is(root.namespace(), name) && !inner && !children.iter().any(|child| child.is(root.namespace(), name));
    match (others, inner) {
        _ if bare => Ok((kind, vec![root])),
        (true, _) => Err(uncuttable(format!("the XML has more than {name} elements under its root"))),
        (_, true) => Err(uncuttable(format!("the XML has a {name} inside another one"))),
        _ => Ok((kind, children)),
    }
}

/// The fields of a record: every element and attribute inside it, by local name.
pub(super) fn fields<'a>(payload: &'a [u8], record: Element<'_, 'a>) -> Vec<Field<'a>> {
    let mut fields = attributes(record);
    let elements: Vec<_> = record.descendants().collect();
    for (index, element) in elements.iter().enumerate() {
        let span = span(payload, element.span(), element.name().len());
        let next = elements.get(index + 1).map(Element::span).filter(|next| next.start < element.span().end);
        let text = element.text();
        let value = if text.trim().is_empty() && next.is_none() {
            // The consumer does not read CDATA sections; a person who reads the message does.
            super::text::lossy(payload, if span.close.is_some() { span.value.clone() } else { 0..0 })
        } else {
            text
        };
        let value = strip(&value).to_owned();
        let hidden = next.is_some() && holds_cdata(payload, &span, *element);
        let container = next.is_some() && value.is_empty() && !hidden;
        let null = !container && !hidden && is_null(&value);
        let name = element.name().into();
        fields.push(Field { name, value: value.into(), null, container, place: Place::Element, span });
        fields.append(&mut attributes(*element));
    }
    fields
}

/// Whether an element has a CDATA section between its child elements.
fn holds_cdata(payload: &[u8], span: &Span, element: Element<'_, '_>) -> bool {
    let mut from = span.value.start;
    let ends = element.descendants().map(|inner| inner.span()).chain(std::iter::once(span.value.end..span.value.end));
    let mut gaps = ends.filter_map(|inner| {
        let gap = from..inner.start;
        from = from.max(inner.end);
        payload.get(gap)
    });
    let is_cdata = |gap: &[u8], at: usize| gap.get(at..).is_some_and(|text| text.starts_with(b"<![CDATA["));
    gaps.any(|gap| memchr::memchr_iter(b'<', gap).any(|at| is_cdata(gap, at)))
}

fn attributes<'a>(element: Element<'_, 'a>) -> Vec<Field<'a>> {
    let one = |attribute: AttributeAt<'a>| {
        let value = strip(&attribute.text).to_owned();
        Field {
            name: format!("{}@{}", element.name(), attribute.local_name).into(),
            null: is_null(&value),
            value: value.into(),
            container: false,
            place: Place::Attribute,
            span: Span { name: attribute.name, value: attribute.value, ..Span::default() },
        }
    };
    element.attributes().map(one).collect()
}

/// Where the parts of an element stand, whose local name has `length` bytes. The text is well formed.
pub(super) fn span(payload: &[u8], whole: Range<usize>, length: usize) -> Span {
    let text = payload.get(whole.clone()).unwrap_or_default();
    let named = text.iter().position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>')).unwrap_or(0);
    let name = whole.start + named.saturating_sub(length)..whole.start + named;
    let prefix = whole.start + 1..name.start;
    let end = start_tag_end(text);
    if text.get(..end).is_some_and(|tag| tag.ends_with(b"/")) {
        let at = whole.start + end - 1;
        return Span { name, value: at..at + 2, prefix, tag_end: at, close: None };
    }
    let close = memchr::memrchr(b'<', text).unwrap_or(text.len());
    let close_name = whole.start + close + 2 + prefix.len();
    Span {
        name,
        value: whole.start + end + 1..whole.start + close,
        tag_end: whole.start + end,
        close: Some(close_name..close_name + length),
        prefix,
    }
}

/// The position of the `>` of the start tag.
fn start_tag_end(text: &[u8]) -> usize {
    let mut quote = None;
    for (at, &byte) in text.iter().enumerate() {
        match (quote, byte) {
            (None, b'>') => return at,
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
    }
    text.len()
}

/// `text` with what XML reserves escaped, for an element or an attribute in either quotes.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for (at, part) in text.split('\'').enumerate() {
        escaped.push_str(if at > 0 { "&apos;" } else { "" });
        xml::escape(part, &mut escaped);
    }
    escaped
}

/// Whether XML can hold it (XML 1.0, production 2), without what a parser would change.
pub(super) fn is_text(text: &str) -> bool {
    text.chars().all(|character| character >= ' ' && !matches!(character, '\u{fffe}' | '\u{ffff}'))
}

/// Whether it can name an element or attribute; stricter than XML, without a prefix.
pub(super) fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}
