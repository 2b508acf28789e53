//! JSON: an object with `Type` and the array `UsageRecords`.

use std::borrow::Cow;
use std::ops::Range;

use super::edit::{Field, Place, Span};
use super::{Form, Kind, Shape, uncuttable};
use crate::Finding;
use crate::records::json::{self, Document, Value};
use crate::records::python::{is_null, strip};
use crate::records::usage_json::document;
use crate::records::{accelerator, accelerator_summary, public_ip};

/// What is nested deeper than names of so many bytes go is named by its own name alone.
const LONGEST_PATH: usize = 256;

/// The kind that `Type` names.
pub(super) fn kind(payload: &[u8]) -> Kind {
    let document = document(payload).ok();
    let kind = document.as_ref().and_then(Document::root).and_then(|root| root.get("Type"));
    kind.map_or(Kind::Unknown, |kind| kind_named(&kind.text()))
}

fn kind_named(name: &str) -> Kind {
    match name {
        accelerator::TYPE => Kind::Accelerator,
        accelerator_summary::TYPE => Kind::AcceleratorSummary,
        public_ip::TYPE => Kind::PublicIp,
        _ => Kind::Unknown,
    }
}

/// Cuts at the elements of `UsageRecords`.
pub(super) fn cut(payload: &[u8]) -> Result<Shape<'_>, Vec<Finding>> {
    let document = document(payload)?;
    let (kind, records) = records(&document)?;
    let records = records.iter().map(Value::span).collect();
    Ok(Shape { payload, kind, form: Form::Json, records })
}

/// The kind of a document, and its records in order.
pub(super) fn records<'d, 't>(document: &'d Document<'t>) -> Result<(Kind, Vec<Value<'d, 't>>), Vec<Finding>> {
    let root = document.root();
    let entries = || root.iter().flat_map(Value::entries);
    let mut arrays = entries().filter(|(name, _)| name.text() == "UsageRecords").map(|(_, value)| value);
    let kind = root.and_then(|root| root.get("Type")).map_or(Kind::Unknown, |kind| kind_named(&kind.text()));
    match (arrays.next(), arrays.next()) {
        (Some(array), None) if array.kind() == json::Kind::List => Ok((kind, array.items().collect())),
        (Some(_), Some(_)) => Err(uncuttable("the JSON has the member UsageRecords twice")),
        _ => Err(uncuttable("the JSON object has no array UsageRecords, so its records cannot be told apart")),
    }
}

/// The fields of a record, those inside other values named with a dot between.
pub(super) fn fields<'a>(record: Value<'_, 'a>) -> Vec<Field<'a>> {
    let mut fields = Vec::new();
    // What is still to be gone through, the next one last, each with the name it has.
    let mut open: Vec<(Cow<'a, str>, Value<'_, 'a>)> = vec![("".into(), record)];
    while let Some((path, value)) = open.pop() {
        let first = open.len();
        for (name, value) in value.entries() {
            let name_of = name.text();
            let alone = path.is_empty() || path.len() > LONGEST_PATH;
            let path = if alone { name_of } else { format!("{path}.{name_of}").into() };
            let container = matches!(value.kind(), json::Kind::List | json::Kind::Object);
            let text = if container { value.source().into() } else { value.text() };
            let span = Span { name: name.span(), value: value.span(), ..Span::default() };
            let null = !container && is_null(strip(&text));
            fields.push(Field { name: path.clone(), value: text, null, container, place: Place::Member, span });
            if container {
                open.push((path, value));
            }
        }
        open.extend(value.items().map(|value| (path.clone(), value)));
        if let Some(added) = open.get_mut(first..) {
            added.reverse();
        }
    }
    fields
}

/// Where another member goes in an object: before the white space and the brace that end it.
pub(super) fn end(payload: &[u8], span: &Range<usize>) -> usize {
    match payload.get(span.clone()).and_then(<[u8]>::split_last) {
        Some((b'}', inner)) => span.start + inner.trim_ascii_end().len(),
        _ => span.end,
    }
}

/// `text` as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    json::quote(text, &mut quoted);
    quoted
}
