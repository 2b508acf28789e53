//! JSON: an array of objects, read row by row, so that a large file is never a tree in memory.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use serde_json::error::Category;

use crate::memory::{Named, Table};
use crate::{Found, Mistake};

pub(crate) fn read(bytes: &[u8], key: Option<&str>) -> Result<Table, Found> {
    let text = std::str::from_utf8(bytes).map_err(|_| Mistake::NotUtf8)?;
    let mut rows = Rows { table: Named::new(key)?, mistake: None };
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = rows.deserialize(&mut reader).and_then(|()| reader.end());
    match (rows.mistake, read) {
        (Some(found), _) => Err(found),
        (None, Err(error)) => Err(syntax(&error)),
        (None, Ok(())) => rows.table.finish(),
    }
}

/// Without the parser's text where that shows a value.
fn syntax(error: &serde_json::Error) -> Found {
    let why = match error.classify() {
        Category::Eof => "it ends too early: was the file cut off?".to_owned(),
        Category::Data => "a row is no object".to_owned(),
        Category::Syntax | Category::Io => error.to_string(),
    };
    let mistake = Mistake::Syntax { format: "a JSON array of objects", why };
    Found { line: Some(error.line() as u64), mistake }
}

/// Takes the rows one by one; a mistake in one ends the reading.
struct Rows {
    table: Named,
    mistake: Option<Found>,
}

impl<'de> DeserializeSeed<'de> for &mut Rows {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for &mut Rows {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        while let Some(row) = rows.next_element_seed(Members(self.table.next()))? {
            let added = row.map_err(Found::from).and_then(|row| self.table.add(&row));
            if let Err(found) = added {
                self.mistake = Some(found);
                return Err(A::Error::custom("a mistake in a row"));
            }
        }
        Ok(())
    }
}

/// The members of the object that is this row.
struct Members(usize);

impl<'de> DeserializeSeed<'de> for Members {
    type Value = Result<Vec<(String, String)>, Mistake>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members {
    type Value = Result<Vec<(String, String)>, Mistake>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let (mut row, mut flat) = (Vec::new(), true);
        while let Some(name) = members.next_key::<String>()? {
            match members.next_value::<Scalar>()? {
                Scalar(Some(text)) => row.push((name, text)),
                Scalar(None) => flat = false,
            }
        }
        Ok(if flat { Ok(row) } else { Err(Mistake::NotFlat(self.0)) })
    }
}

/// A value as text; none for a list or an object.
struct Scalar(Option<String>);

impl<'de> serde::Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number or a boolean")
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar(Some(text.to_owned())))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar(Some(value.to_string())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
        Ok(Scalar(Some(value.to_string())))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar(Some(value.to_string())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
        Ok(Scalar(Some(value.to_string())))
    }

    fn visit_unit<E>(self) -> Result<Scalar, E> {
        Ok(Scalar(Some(String::new())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Scalar, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Scalar, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar(None))
    }
}
