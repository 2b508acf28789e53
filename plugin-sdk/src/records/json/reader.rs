//! From characters to the list of values. Clauses are those of RFC 8259.

use super::{Fault, Kind, MAX_DEPTH, Node};
use crate::records::words;

/// The longest whole number that the consumer reads, in digits.
const MAX_DIGITS: usize = 4300;

/// Reads a whole document.
pub(super) fn read(source: &str) -> Result<Vec<Node>, Fault> {
    if u32::try_from(source.len()).is_err() {
        return Err(Fault { rule: "the message is larger than 4 GiB", at: 0 });
    }
    let nodes = Vec::with_capacity(source.len() / 16);
    let mut reader = Reader { bytes: source.as_bytes(), at: 0, nodes, open: Vec::new() };
    reader.skip_space();
    reader.value()?;
    while let Some(&(index, kind)) = reader.open.last() {
        reader.member(index, kind)?;
    }
    reader.skip_space();
    if reader.at < source.len() {
        return reader.fault("there is content after the value");
    }
    Ok(reader.nodes)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    /// Lists and objects whose end is still to come: their place in `nodes`.
    open: Vec<(usize, Kind)>,
}

impl Reader<'_> {
    /// What comes next in the innermost list or object (4, 5): its end, or a value and what belongs to it.
    fn member(&mut self, index: usize, kind: Kind) -> Result<(), Fault> {
        let first = self.nodes.len() == index + 1;
        self.skip_space();
        if self.take(if kind == Kind::List { b"]" } else { b"}" }) {
            let (next, end) = (self.nodes.len() as u32, self.at as u32);
            if let Some(node) = self.nodes.get_mut(index) {
                (node.next, node.end) = (next, end);
            }
            self.open.pop();
            return Ok(());
        }
        if !first && !self.take(b",") {
            return self.fault("a comma or a closing bracket is missing");
        }
        self.skip_space();
        if kind == Kind::Object {
            if self.peek() != b'"' {
                return self.fault("a name in quotes is missing");
            }
            self.string()?;
            self.skip_space();
            if !self.take(b":") {
                return self.fault("a colon is missing");
            }
            self.skip_space();
        }
        self.value()
    }

    /// A value, or the beginning of a list or object (3).
    fn value(&mut self) -> Result<(), Fault> {
        match self.peek() {
            b'"' => self.string(),
            b'{' => self.begin(Kind::Object),
            b'[' => self.begin(Kind::List),
            b'-' | b'0'..=b'9' => self.number(),
            _ => {
                let words: [(&[u8], Kind); 5] = [
                    (b"null", Kind::Null),
                    (b"true", Kind::Boolean),
                    (b"false", Kind::Boolean),
                    (b"NaN", Kind::Number),
                    (b"Infinity", Kind::Number),
                ];
                let start = self.at;
                match words.into_iter().find(|(word, _)| self.take(word)) {
                    Some((_, kind)) => {
                        self.add(kind, start);
                        Ok(())
                    }
                    None => self.fault("a value is missing"),
                }
            }
        }
    }

    fn begin(&mut self, kind: Kind) -> Result<(), Fault> {
        if self.open.len() >= MAX_DEPTH {
            return self.fault("values are nested too deeply for the consumer");
        }
        self.at += 1;
        self.open.push((self.nodes.len(), kind));
        self.add(kind, self.at - 1);
        Ok(())
    }

    fn add(&mut self, kind: Kind, start: usize) {
        let next = self.nodes.len() as u32 + 1;
        self.nodes.push(Node { kind, start: start as u32, end: self.at as u32, next });
    }

    /// A string (7).
    fn string(&mut self) -> Result<(), Fault> {
        let start = self.at;
        self.at += 1;
        loop {
            self.at += words::plain(self.rest(), [b'"', b'\\']);
            self.skip(|byte| !matches!(byte, b'"' | b'\\' | ..b' '));
            match self.peek() {
                b'"' => break,
                b'\\' => self.escape()?,
                _ => return self.fault("a control character in a string, or a string without end"),
            }
        }
        self.at += 1;
        self.add(Kind::Text, start);
        Ok(())
    }

    /// At a `\`.
    fn escape(&mut self) -> Result<(), Fault> {
        let length = match self.rest() {
            [_, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => 2,
            [_, b'u', a, b, c, d, ..] if [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()) => 6,
            _ => return self.fault("\\ begins no escape"),
        };
        self.at += length;
        Ok(())
    }

    /// A number (6), or minus infinity.
    fn number(&mut self) -> Result<(), Fault> {
        let start = self.at;
        self.take(b"-");
        if self.at > start && self.take(b"Infinity") {
            self.add(Kind::Number, start);
            return Ok(());
        }
        let digits = self.at;
        if !self.take(b"0") {
            self.digits();
        }
        let whole = self.at - digits;
        if whole == 0 {
            return self.fault("a number has no digits");
        }
        let (point, exponent) = (self.fraction(), self.exponent());
        if whole > MAX_DIGITS && !point && !exponent {
            return self.fault("a whole number has too many digits for the consumer");
        }
        self.add(Kind::Number, start);
        Ok(())
    }

    /// A point and digits, if that is what comes next.
    fn fraction(&mut self) -> bool {
        let start = self.at;
        let found = self.take(b".") && self.digits();
        if !found {
            self.at = start;
        }
        found
    }

    /// An exponent, if that is what comes next.
    fn exponent(&mut self) -> bool {
        let start = self.at;
        let mut found = self.take(b"e") || self.take(b"E");
        if found {
            let _sign = self.take(b"+") || self.take(b"-");
            found = self.digits();
        }
        if !found {
            self.at = start;
        }
        found
    }

    /// Digits; whether there were any.
    fn digits(&mut self) -> bool {
        let start = self.at;
        self.skip(|byte| byte.is_ascii_digit());
        self.at > start
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The next byte; 0, which occurs nowhere in a document, at the end.
    #[inline]
    fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or_default()
    }

    fn take(&mut self, expected: &[u8]) -> bool {
        let found = self.rest().starts_with(expected);
        if found {
            self.at += expected.len();
        }
        found
    }

    #[inline]
    fn skip(&mut self, belongs: impl Fn(u8) -> bool) {
        // A plain loop: this is where reading spends its time, and plugins are built for size.
        let bytes = self.bytes;
        while self.at < bytes.len() && belongs(bytes[self.at]) {
            self.at += 1;
        }
    }

    fn skip_space(&mut self) {
        self.skip(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    }

    fn fault<T>(&self, rule: &'static str) -> Result<T, Fault> {
        Err(Fault { rule, at: self.at })
    }
}
