//! TOML: one array of tables.

use toml::Value;

use crate::memory::{Named, Table};
use crate::{Found, Mistake};

pub(crate) fn read(bytes: &[u8], key: Option<&str>) -> Result<Table, Found> {
    let text = std::str::from_utf8(bytes).map_err(|_| Mistake::NotUtf8)?;
    let document: toml::Table = text.parse().map_err(|error| syntax(text, &error))?;
    let mut values = document.into_iter().map(|(_, value)| value);
    let mut table = Named::new(key)?;
    let rows = match (values.next(), values.next()) {
        // A file without any row.
        (None, None) => Vec::new(),
        (Some(Value::Array(rows)), None) => rows,
        _ => return Err(Mistake::NotOneArray.into()),
    };
    for row in rows {
        let Value::Table(row) = row else { return Err(Mistake::NotOneArray.into()) };
        let number = table.next();
        let field = |(name, value): (String, Value)| Some((name, scalar(value)?));
        let row: Option<Vec<(String, String)>> = row.into_iter().map(field).collect();
        table.add(&row.ok_or(Mistake::NotFlat(number))?)?;
    }
    table.finish()
}

fn scalar(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(value) => Some(value.to_string()),
        Value::Datetime(moment) => Some(moment.to_string()),
        Value::Array(_) | Value::Table(_) => None,
    }
}

fn syntax(text: &str, error: &toml::de::Error) -> Found {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map(|before| before.matches('\n').count() as u64 + 1);
    Found { line, mistake: Mistake::Syntax { format: "TOML", why: error.message().replace('\n', " ") } }
}
