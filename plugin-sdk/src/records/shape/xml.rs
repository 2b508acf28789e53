//! XML: StAR, CAR and AUR records, one or many under a root element.
//!
//! `roxmltree` says whether the text is well formed and where everything stands. What would make a record mean something else
//! once it is cut out is refused: records inside records, other elements between them, a document type declaration.

use std::ops::Range;

use roxmltree::{Document, Node};

use super::edit::{Field, Place, Span};
use super::{Form, Kind, Shape, uncuttable};
use crate::Finding;
use crate::records::python::is_null;

/// Namespace, kind, and the name of a record. The root's name is not looked at: the loader asks for its namespace only.
const FORMATS: [(&str, Kind, &str); 3] = [
    ("http://eu-emi.eu/namespaces/2011/02/storagerecord", Kind::Storage, "StorageUsageRecord"),
    ("http://eu-emi.eu/namespaces/2012/11/computerecord", Kind::Usage, "UsageRecord"),
    ("http://eu-emi.eu/namespaces/2012/11/aggregatedcomputerecord", Kind::AggregatedUsage, "SummaryRecord"),
];

/// The kind that the root element's namespace names; of a text that is not well formed, none.
pub(super) fn kind(payload: &[u8]) -> Kind {
    parse(payload).ok().and_then(|document| format(&document)).map_or(Kind::Unknown, |(kind, _)| kind)
}

fn format(document: &Document<'_>) -> Option<(Kind, &'static str)> {
    let namespace = document.root_element().tag_name().namespace()?;
    let (_, kind, record) = FORMATS.into_iter().find(|(known, ..)| *known == namespace)?;
    Some((kind, record))
}

/// Reads the text.
pub(super) fn parse(payload: &[u8]) -> Result<Document<'_>, Finding> {
    let text = std::str::from_utf8(payload).map_err(|_| uncuttable("the XML is not in UTF-8"))?;
    Document::parse(text).map_err(|error| uncuttable(format!("the XML cannot be read: {error}")))
}

/// Cuts at the record elements.
pub(super) fn cut(payload: &[u8]) -> Result<Shape<'_>, Finding> {
    let document = parse(payload)?;
    let (kind, nodes) = records(&document)?;
    let records: Vec<Range<usize>> = match nodes.as_slice() {
        // A record that is the root itself is the whole document.
        [only] if *only == document.root_element() => vec![0..payload.len()],
        nodes => nodes.iter().map(Node::range).collect(),
    };
    Ok(Shape { payload, kind, form: Form::Xml, records })
}

/// The kind of a document, and its record elements in order.
pub(super) fn records<'d, 't>(document: &'d Document<'t>) -> Result<(Kind, Vec<Node<'d, 't>>), Finding> {
    let root = document.root_element();
    let (kind, record_name) = format(document)
        .ok_or_else(|| uncuttable("the XML is of no known record format: its root element has another namespace"))?;
    let is_record = |node: &Node<'_, '_>| node.is_element() && is_named(node, &root, record_name);
    let within = root.descendants().skip(1).filter(&is_record).count();
    if is_record(&root) && within == 0 {
        return Ok((kind, vec![root]));
    }
    let records: Vec<_> = root.children().filter(&is_record).collect();
    let others = root.children().filter(|node| node.is_element() && !is_record(node)).count();
    let text = root.children().any(|node| node.is_text() && !node.text().unwrap_or_default().trim().is_empty());
    if others > 0 || text {
        return Err(uncuttable(format!("the XML has more than {record_name} elements under its root")));
    }
    if within != records.len() {
        return Err(uncuttable(format!("the XML has a {record_name} inside another one")));
    }
    Ok((kind, records))
}

/// Of this local name, and of the root's namespace.
fn is_named(node: &Node<'_, '_>, root: &Node<'_, '_>, name: &str) -> bool {
    node.tag_name().name() == name && node.tag_name().namespace() == root.tag_name().namespace()
}

/// The fields of a record: every element and attribute inside it, by local name.
pub(super) fn fields<'a>(payload: &'a [u8], record: Node<'_, 'a>) -> Vec<Field<'a>> {
    let mut fields = Vec::new();
    for node in record.descendants().filter(Node::is_element) {
        if node != record {
            fields.push(element(payload, node));
        }
        for attribute in node.attributes() {
            let qualified = attribute.range_qname();
            let name = qualified.end - attribute.name().len()..qualified.end;
            let span = Span { name, value: attribute.range_value(), ..Span::default() };
            fields.push(Field {
                name: format!("{}@{}", node.tag_name().name(), attribute.name()).into(),
                value: attribute.value().trim().to_owned().into(),
                null: is_null(attribute.value().trim()),
                container: false,
                place: Place::Attribute,
                span,
            });
        }
    }
    fields
}

/// An element as a field.
fn element<'a>(payload: &'a [u8], node: Node<'_, 'a>) -> Field<'a> {
    let own = node.children().filter(Node::is_text).filter_map(|child| child.text());
    let value = own.collect::<String>().trim().to_owned();
    let container = value.is_empty() && node.first_element_child().is_some();
    Field {
        name: node.tag_name().name().into(),
        null: !container && is_null(&value),
        value: value.into(),
        container,
        place: Place::Element,
        span: span(payload, node.range(), node.tag_name().name().len()),
    }
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
    let close = memchr::memmem::rfind(text, b"</").unwrap_or(text.len());
    let close_name = whole.start + close + 2 + prefix.len();
    Span {
        name,
        value: whole.start + end + 1..whole.start + close,
        tag_end: whole.start + end,
        close: Some(close_name..close_name + length),
        prefix,
    }
}

/// Where the `>` of the start tag stands.
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
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            other => escaped.push(other),
        }
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
