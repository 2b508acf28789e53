//! JSON: an object with `Type` and the array `UsageRecords`.

use std::borrow::Cow;
use std::ops::Range;

use super::edit::{Field, Place, Span};
use super::{Form, Kind, Shape, uncuttable};
use crate::Finding;
use crate::records::json::{self, Document, Value};
use crate::records::python::{is_null, strip};
use crate::records::usage_json::{document, type_of};
use crate::records::{accelerator, accelerator_summary, public_ip};

/// What is nested deeper than names of so many bytes go is named by its own name alone.
const LONGEST_PATH: usize = 256;

/// The kind that `Type` names.
pub(super) fn kind(payload: &[u8]) -> Kind {
    document(payload).map_or(Kind::Unknown, |document| kind_of(&document))
}

/// The kind of a document.
pub(in crate::records) fn kind_of(document: &Document<'_>) -> Kind {
    type_of(document).map_or(Kind::Unknown, |name| kind_named(&name))
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
    let records = records(&document)?.map(|record| record.span()).collect();
    Ok(Shape { payload, form: Form::Json, records })
}

/// The records of a document in order.
pub(in crate::records) fn records<'d, 't>(
    document: &'d Document<'t>,
) -> Result<impl Iterator<Item = Value<'d, 't>> + use<'d, 't>, Vec<Finding>> {
    let (mut array, mut count) = (None, 0);
    for (name, value) in document.root().iter().flat_map(Value::entries) {
        if name.text() == "UsageRecords" {
            (array, count) = (Some(value), count + 1);
        }
    }
    match array.filter(|array| array.kind() == json::Kind::List) {
        _ if count > 1 => Err(uncuttable("the JSON has the member UsageRecords twice")),
        Some(array) => Ok(array.items()),
        None => Err(uncuttable("the JSON object has no array UsageRecords, so it cannot be split into records")),
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
