//! JSON, read as the consumer reads it.
//!
//! [`Document::parse`] makes a flat list of values, each with its place in the source. What it takes and what it
//! refuses is what Python's `json.loads` takes and refuses of a text: RFC 8259, and besides `NaN`, `Infinity` and
//! `-Infinity`, numbers of any size and precision, single surrogates in strings (which [`Value::text`] gives as
//! U+FFFD), and names that occur twice in one object, of which the last counts. A whole number of more than 4300 digits
//! is refused.
//!
//! The crate `serde_json` does not replace it: it refuses the first four of these, so that a verdict would change, and
//! it keeps no positions. It adds 57 kB to a component of 50 kB.
//!
//! # Limits
//! Values nest at most [`MAX_DEPTH`] deep, for the consumer reads them by recursion and crashes beyond. Nothing here
//! recurses; memory is bounded by a small multiple of the source's length.

mod reader;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Range;

use super::python;

/// How deep values nest at most.
pub const MAX_DEPTH: usize = 980;

/// Why a text is no JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub rule: &'static str,
    /// Where, in bytes from the beginning of the source.
    pub at: usize,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Boolean,
    /// A number, `NaN` and the infinities included.
    Number,
    /// A string.
    Text,
    /// An array.
    List,
    /// An object.
    Object,
}

/// A whole document.
#[derive(Debug)]
pub struct Document<'a> {
    source: &'a str,
    /// All values in document order, the names in an object among them; the first is the outermost.
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    kind: Kind,
    start: u32,
    end: u32,
    /// The node after this one and all in it.
    next: u32,
}

/// One value.
#[derive(Clone, Copy, Debug)]
pub struct Value<'d, 'a> {
    document: &'d Document<'a>,
    index: u32,
    node: &'d Node,
}

impl<'a> Document<'a> {
    /// Reads a document.
    ///
    /// # Errors
    /// The first fault.
    pub fn parse(source: &'a str) -> Result<Self, Fault> {
        Ok(Self { source, nodes: reader::read(source)? })
    }

    /// The outermost value. None never happens after [`Document::parse`].
    #[must_use]
    pub fn root(&self) -> Option<Value<'_, 'a>> {
        self.value(0)
    }

    fn value(&self, index: u32) -> Option<Value<'_, 'a>> {
        Some(Value { document: self, index, node: self.nodes.get(index as usize)? })
    }
}

impl<'d, 'a> Value<'d, 'a> {
    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.node.kind
    }

    /// Its position in the source, in bytes, quotes and brackets included.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.node.start as usize..self.node.end as usize
    }

    /// As it is written.
    #[must_use]
    pub fn source(&self) -> &'a str {
        self.document.source.get(self.span()).unwrap_or_default()
    }

    /// What is in it: a list's values, an object's names and values in turn, nothing else's.
    fn inside(&self) -> impl Iterator<Item = Value<'d, 'a>> + use<'d, 'a> {
        let (document, end) = (self.document, self.node.next);
        let mut index = self.index + 1;
        std::iter::from_fn(move || {
            let value = document.value(index).filter(|_| index < end)?;
            index = value.node.next;
            Some(value)
        })
    }

    /// A list's values; none of anything else.
    pub fn items(&self) -> impl Iterator<Item = Value<'d, 'a>> + use<'d, 'a> {
        let is_list = self.kind() == Kind::List;
        self.inside().filter(move |_| is_list)
    }

    /// An object's names and values, as they are written; none of anything else.
    pub fn entries(&self) -> impl Iterator<Item = (Value<'d, 'a>, Value<'d, 'a>)> + use<'d, 'a> {
        let is_object = self.kind() == Kind::Object;
        let mut inside = self.inside();
        std::iter::from_fn(move || Some((inside.next()?, inside.next()?)).filter(|_| is_object))
    }

    /// The value of that name in an object; the last, if there are several.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Value<'d, 'a>> {
        self.entries().filter(|(key, _)| key.text() == name).last().map(|(_, value)| value)
    }

    /// What a string says; as it is written, if it is none.
    #[must_use]
    pub fn text(&self) -> Cow<'a, str> {
        let source = self.source();
        if self.kind() != Kind::Text {
            return Cow::Borrowed(source);
        }
        let inside = source.get(1..source.len().saturating_sub(1)).unwrap_or_default();
        if inside.bytes().any(|byte| byte == b'\\') { Cow::Owned(unescaped(inside)) } else { Cow::Borrowed(inside) }
    }

    /// The value of a number, the nearest one there is; None for anything else.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        if self.kind() != Kind::Number {
            return None;
        }
        // Which knows `NaN` and `Infinity` too.
        python::float(self.source())
    }

    /// Whether it is a number written without fraction and exponent, which is an `int` to the consumer.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.kind() == Kind::Number && self.source().bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
    }

    /// The value of a number that is whole, however it is written; what is too large for the type is its end. None for
    /// anything else.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        if self.is_whole() {
            return super::python::int(self.source());
        }
        // A cast of floating point to integer keeps to the ends of the range.
        self.number().filter(|value| value.is_finite() && value.fract() == 0.0).map(|value| value as i64)
    }
}

/// What the inside of a string says that is known to be well-formed.
fn unescaped(inside: &str) -> String {
    let mut text = String::with_capacity(inside.len());
    let mut rest = inside;
    while let Some(at) = rest.bytes().position(|byte| byte == b'\\') {
        text.push_str(rest.get(..at).unwrap_or_default());
        let escape = rest.as_bytes().get(at + 1).copied().unwrap_or_default();
        rest = rest.get(at + 2..).unwrap_or_default();
        text.push(match escape {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let (c, after) = unicode(rest);
                rest = after;
                c
            }
            _ => char::from(escape),
        });
    }
    text.push_str(rest);
    text
}

/// The character of a `\u` escape, or of two that are a pair of surrogates, and what follows.
fn unicode(after: &str) -> (char, &str) {
    let (first, rest) = (unit(after), after.get(4..).unwrap_or_default());
    let second = if rest.starts_with("\\u") { rest.get(2..).map(unit) } else { None };
    if let (0xd800..=0xdbff, Some(low @ 0xdc00..=0xdfff)) = (first, second) {
        let code = 0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00);
        return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), rest.get(6..).unwrap_or_default());
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), rest)
}

/// The value of the four digits that `text` begins with.
fn unit(text: &str) -> u32 {
    text.chars().take(4).fold(0, |value, c| value * 16 + c.to_digit(16).unwrap_or_default())
}

/// Writes `text` as a string, in ASCII but for what is printable.
pub fn quote(text: &str, into: &mut String) {
    into.push('"');
    for c in text.chars() {
        match c {
            '"' => into.push_str("\\\""),
            '\\' => into.push_str("\\\\"),
            '\n' => into.push_str("\\n"),
            '\r' => into.push_str("\\r"),
            '\t' => into.push_str("\\t"),
            '\0'..='\u{1f}' | '\u{7f}' => {
                let _ = write!(into, "\\u{:04x}", u32::from(c));
            }
            _ => into.push(c),
        }
    }
    into.push('"');
}

#[cfg(test)]
mod tests;
