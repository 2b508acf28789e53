//! A plugin's own table as JSON, which is how it reaches the plugin.

use serde_json::{Map, Number, Value};
use toml::de::{DeTable, DeValue};

use crate::mistake::{Complaint, complain};

/// Dates become texts; a number that JSON cannot hold is a mistake.
pub(crate) fn from_table(table: &DeTable<'_>) -> Result<Map<String, Value>, Complaint> {
    table.iter().map(|(key, value)| Ok((key.get_ref().to_string(), from_value(value.get_ref())?))).collect()
}

fn from_value(value: &DeValue<'_>) -> Result<Value, Complaint> {
    Ok(match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Datetime(date) => Value::String(date.to_string()),
        DeValue::Integer(integer) => {
            let number = i64::from_str_radix(integer.as_str(), integer.radix());
            number.map(Value::from).map_err(|_| unfit(integer.as_str()))?
        }
        DeValue::Float(float) => {
            let number = float.as_str().parse().ok().and_then(Number::from_f64);
            number.map(Value::Number).ok_or_else(|| unfit(float.as_str()))?
        }
        DeValue::Array(array) => {
            Value::Array(array.iter().map(|entry| from_value(entry.get_ref())).collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => Value::Object(from_table(table)?),
    })
}

fn unfit(number: &str) -> Complaint {
    complain(format!("holds the number {number}, which a plugin cannot be given"), "write it as a text")
}

/// The table as TOML, one `key = value` on a line, nested tables inline.
pub fn to_lines(table: &Map<String, Value>) -> String {
    table.iter().map(|(key, value)| format!("{} = {}\n", quoted(key), to_inline(value))).collect()
}

fn to_inline(value: &Value) -> String {
    match value {
        Value::Null => "\"\"".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(array) => format!("[{}]", array.iter().map(to_inline).collect::<Vec<_>>().join(", ")),
        Value::Object(table) => {
            let entries: Vec<String> =
                table.iter().map(|(key, value)| format!("{} = {}", quoted(key), to_inline(value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}

/// A text as a TOML basic string.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            c if c.is_control() => quoted.push_str(&format!("\\U{:08X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
