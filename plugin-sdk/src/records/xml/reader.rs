//! From characters to a [`Document`]. Clauses are those of XML 1.0.

use std::ops::Range;

use super::namespaces::Namespaces;
use super::{Attribute, Document, Fault, MAX_DEPTH, MAX_NAMES, Node, Tag, names, text};
use crate::records::words;

/// Reads a whole document.
pub(super) fn read(source: &str) -> Result<Document<'_>, Fault> {
    if u32::try_from(source.len()).is_err() {
        return Err(Fault { rule: "the message is larger than 4 GiB", at: 0 });
    }
    let (nodes, attributes) = (Vec::with_capacity(source.len() / 32), Vec::new());
    let mut reader = Reader {
        source,
        at: 0,
        nodes,
        attributes,
        open: Vec::new(),
        namespaces: Namespaces::new(),
        opens_with_root: true,
        written: Vec::new(),
        expanded: Vec::new(),
    };
    reader.prolog()?;
    reader.content()?;
    reader.epilog()?;
    Ok(Document {
        source,
        nodes: reader.nodes,
        attributes: reader.attributes,
        namespaces: reader.namespaces.into_list(),
        opens_with_root: reader.opens_with_root,
    })
}

struct Reader<'a> {
    source: &'a str,
    at: usize,
    nodes: Vec<Node>,
    attributes: Vec<Attribute>,
    /// Elements whose end tag is still to come: their place in `nodes`, and their name as it is written.
    open: Vec<(usize, &'a str)>,
    namespaces: Namespaces<'a>,
    opens_with_root: bool,
    /// The attributes of the tag that is being read; kept for its memory.
    written: Vec<Written<'a>>,
    /// For comparing attributes with each other: place of the namespace and local name.
    expanded: Vec<(u32, &'a str)>,
}

/// A qualified name (Namespaces in XML 1.0, 4) as written in the source.
#[derive(Clone, Copy)]
struct Name<'a> {
    whole: &'a str,
    prefix: &'a str,
    local: &'a str,
    at: usize,
}

impl Name<'_> {
    /// The position of the local name in the source.
    fn local_range(&self) -> Range<u32> {
        let end = self.at + self.whole.len();
        (end - self.local.len()) as u32..end as u32
    }
}

struct Written<'a> {
    name: Name<'a>,
    value: Range<usize>,
}

/// In place of a namespace: what declares one is compared as it is written.
const DECLARATION: u32 = u32::MAX;

const EARLY: &str = "the document ends too early";

impl<'a> Reader<'a> {
    /// All before the root (2.8).
    fn prolog(&mut self) -> Result<(), Fault> {
        loop {
            self.skip_space();
            if self.take("<!--") {
                self.comment()?;
                self.opens_with_root = false;
            } else if self.take("<?") {
                if !self.instruction()? {
                    self.opens_with_root = false;
                }
            } else if self.take("<!DOCTYPE") {
                return self.fault("a document type declaration keeps the consumer from recognising a message");
            } else if self.take("<") {
                return self.start_tag();
            } else {
                return self.fault("there is content other than markup before the root element");
            }
        }
    }

    /// All within the root (3.1).
    fn content(&mut self) -> Result<(), Fault> {
        while !self.open.is_empty() {
            self.text()?;
            // Text ends at `<`.
            self.at += 1;
            match self.peek() {
                b'/' => {
                    self.at += 1;
                    self.end_tag()?;
                }
                b'?' => {
                    self.at += 1;
                    self.instruction()?;
                }
                b'!' if self.take("!--") => self.comment()?,
                b'!' if self.take("![CDATA[") => self.until("]]>")?,
                _ => self.start_tag()?,
            }
        }
        Ok(())
    }

    /// All after the root.
    fn epilog(&mut self) -> Result<(), Fault> {
        loop {
            self.skip_space();
            if self.at == self.source.len() {
                return Ok(());
            } else if self.take("<!--") {
                self.comment()?;
            } else if self.take("<?") {
                self.instruction()?;
            } else {
                return self.fault("there is content after the root element");
            }
        }
    }

    /// Text up to the next tag (2.4), which becomes a node.
    fn text(&mut self) -> Result<(), Fault> {
        let start = self.at;
        loop {
            self.at += words::plain(self.rest(), [b'<', b'&', b']']);
            self.skip(|byte| {
                !matches!(byte, b'<' | b'&' | b']' | 0xef | ..b' ') || matches!(byte, b'\t' | b'\n' | b'\r')
            });
            match self.peek() {
                b'<' => break,
                b'&' => self.reference()?,
                b']' if self.rest().starts_with(b"]]>") => return self.fault("]]> occurs in text"),
                b']' => self.at += 1,
                _ => self.character()?,
            }
        }
        if self.at > start {
            let next = self.nodes.len() as u32 + 1;
            self.nodes.push(Node { start: start as u32, end: self.at as u32, next, tag: None });
        }
        Ok(())
    }

    /// After `<`: a start tag or an empty element (3.1).
    fn start_tag(&mut self) -> Result<(), Fault> {
        let start = self.at - 1;
        let depth = self.open.len() + 1;
        if depth > MAX_DEPTH {
            return self.fault("elements are nested too deeply for the consumer");
        }
        let name = self.name()?;
        let empty = self.written_attributes()?;
        self.declare(depth)?;
        let Some(namespace) = self.namespaces.find(name.prefix) else {
            return Err(Fault { rule: "an element's namespace prefix is not declared", at: name.at });
        };
        let first = self.attributes.len() as u32;
        self.resolve()?;
        let attributes = first..self.attributes.len() as u32;
        let index = self.nodes.len();
        let tag = Tag { namespace, name: name.local_range(), attributes };
        let (next, end) = (index as u32 + 1, self.at as u32);
        self.nodes.push(Node { start: start as u32, end, next, tag: Some(tag) });
        if empty {
            self.namespaces.leave(depth);
        } else {
            self.open.push((index, name.whole));
        }
        Ok(())
    }

    /// The attributes of a tag up to its end; whether it is an empty element's.
    fn written_attributes(&mut self) -> Result<bool, Fault> {
        self.written.clear();
        loop {
            let apart = self.skip_space();
            if self.next_is(b'>') {
                return Ok(false);
            } else if self.take("/>") {
                return Ok(true);
            } else if !apart {
                return self.fault("a tag is not well-formed");
            }
            if self.written.len() >= MAX_NAMES {
                return self.fault("an element has too many attributes");
            }
            let name = self.name()?;
            self.skip_space();
            if !self.next_is(b'=') {
                return self.fault("an attribute has no value");
            }
            self.skip_space();
            let value = self.value()?;
            self.written.push(Written { name, value });
        }
    }

    /// An attribute's value in quotes (3.3.3).
    fn value(&mut self) -> Result<Range<usize>, Fault> {
        let quote = self.peek();
        if !matches!(quote, b'"' | b'\'') {
            return self.fault("an attribute's value is not in quotes");
        }
        self.at += 1;
        let start = self.at;
        loop {
            self.skip(|byte| !matches!(byte, b'<' | b'&' | b'"' | b'\'' | 0xef | ..b' '));
            match self.peek() {
                byte if byte == quote => break,
                b'<' => return self.fault("< occurs in an attribute's value"),
                b'&' => self.reference()?,
                b'"' | b'\'' | b'\t' | b'\n' | b'\r' => self.at += 1,
                _ => self.character()?,
            }
        }
        self.at += 1;
        Ok(start..self.at - 1)
    }

    /// Takes the namespace declarations among the attributes.
    fn declare(&mut self, depth: usize) -> Result<(), Fault> {
        for Written { name, value } in &self.written {
            let Some(prefix) = declared(name) else { continue };
            let uri = self.source.get(value.clone()).unwrap_or_default();
            let declared = self.namespaces.declare(depth, prefix, text::plain(uri, true));
            declared.map_err(|rule| Fault { rule, at: name.at })?;
        }
        Ok(())
    }

    /// Gives the attributes their namespaces, and finds those that stand twice.
    fn resolve(&mut self) -> Result<(), Fault> {
        self.expanded.clear();
        for Written { name, value } in &self.written {
            let namespace = match declared(name) {
                Some(_) => DECLARATION,
                None if name.prefix.is_empty() => 0,
                None => self
                    .namespaces
                    .find(name.prefix)
                    .ok_or(Fault { rule: "an attribute's namespace prefix is not declared", at: name.at })?,
            };
            let written = if namespace == DECLARATION { name.whole } else { name.local };
            self.expanded.push((namespace, written));
            if namespace != DECLARATION {
                let value = value.start as u32..value.end as u32;
                self.attributes.push(Attribute { namespace, name: name.local_range(), value });
            }
        }
        self.refuse_twins()
    }

    /// Refuses two attributes of one name (3.1; Namespaces in XML 1.0, 6.3).
    fn refuse_twins(&mut self) -> Result<(), Fault> {
        let mut rest = self.expanded.as_slice();
        while let Some((&(namespace, local), after)) = rest.split_first() {
            let uri = self.namespaces.uri(namespace);
            let twin = |&(other, name): &(u32, &str)| {
                name == local
                    && (other == namespace || (other.max(namespace) < DECLARATION && self.namespaces.uri(other) == uri))
            };
            if after.iter().any(twin) {
                return self.fault("an attribute occurs twice in one element");
            }
            rest = after;
        }
        Ok(())
    }

    /// After `</`.
    fn end_tag(&mut self) -> Result<(), Fault> {
        let Some((index, name)) = self.open.pop() else { return self.fault(EARLY) };
        if self.take(name) {
            self.skip_space();
            if self.next_is(b'>') {
                self.namespaces.leave(self.open.len() + 1);
                let (next, end) = (self.nodes.len() as u32, self.at as u32);
                if let Some(node) = self.nodes.get_mut(index) {
                    (node.next, node.end) = (next, end);
                }
                return Ok(());
            }
        }
        self.fault("an end tag does not match its start tag")
    }

    /// After `<!--` (2.5).
    fn comment(&mut self) -> Result<(), Fault> {
        self.until("--")?;
        if self.take(">") { Ok(()) } else { self.fault("-- occurs in a comment") }
    }

    /// After `<?` (2.6); whether it is the XML declaration.
    fn instruction(&mut self) -> Result<bool, Fault> {
        let start = self.at;
        self.plain_name()?;
        let target = self.source.get(start..self.at).unwrap_or_default();
        if target.eq_ignore_ascii_case("xml") {
            if start == 2 && target == "xml" && self.declaration() {
                return Ok(true);
            }
            return Err(Fault { rule: "an XML declaration is not well-formed or not where it belongs", at: start });
        }
        if !self.rest().starts_with(b"?>") && !self.skip_space() {
            return self.fault("a processing instruction is not well-formed");
        }
        self.until("?>")?;
        Ok(false)
    }

    /// After `<?xml`, to the end (2.8): whether it is as the consumer's parser has it, which does not care about what
    /// version is given.
    fn declaration(&mut self) -> bool {
        let version = self.pseudo_attribute("version");
        let encoding = self.pseudo_attribute("encoding").unwrap_or("utf-8");
        let standalone = self.pseudo_attribute("standalone").unwrap_or("no");
        self.skip_space();
        version.is_some()
            && encoding.as_bytes().first().is_some_and(u8::is_ascii_alphabetic)
            && matches!(standalone, "yes" | "no")
            && self.take("?>")
    }

    /// White space, `name`, `=` and a value in quotes, if that is what comes next.
    fn pseudo_attribute(&mut self, name: &str) -> Option<&'a str> {
        let before = self.at;
        if self.skip_space() && self.take(name) {
            self.skip_space();
            let equals = self.take("=");
            self.skip_space();
            let (quote, start) = (self.peek(), self.at + 1);
            if equals && matches!(quote, b'"' | b'\'') {
                self.at = start;
                self.skip(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
                if self.peek() == quote {
                    self.at += 1;
                    return self.source.get(start..self.at - 1);
                }
            }
        }
        self.at = before;
        None
    }

    /// A name that may have a prefix.
    fn name(&mut self) -> Result<Name<'a>, Fault> {
        let at = self.at;
        self.plain_name()?;
        let colon = self.at;
        let prefixed = self.next_is(b':');
        if prefixed {
            self.plain_name()?;
        }
        let whole = self.source.get(at..self.at).unwrap_or_default();
        let (prefix, local) = match prefixed {
            true => (
                self.source.get(at..colon).unwrap_or_default(),
                self.source.get(colon + 1..self.at).unwrap_or_default(),
            ),
            false => ("", whole),
        };
        Ok(Name { whole, prefix, local, at })
    }

    /// A name without a colon.
    fn plain_name(&mut self) -> Result<(), Fault> {
        let start = self.at;
        loop {
            self.skip(|byte| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'0'..=b'9' | b'-' | b'.'));
            if self.peek() < 0x80 {
                break;
            }
            match self.next_char() {
                Some(c) if names::continues(c) => self.at += c.len_utf8(),
                _ => return self.fault("a name contains a character that must not be in one"),
            }
        }
        match self.source.get(start..self.at).and_then(|name| name.chars().next()) {
            Some(first) if names::starts(first) => Ok(()),
            _ => Err(Fault { rule: "a name is missing or begins with a character that must not begin one", at: start }),
        }
    }

    /// At `&` (4.1).
    fn reference(&mut self) -> Result<(), Fault> {
        // The longest that means something has leading zeros, so there is no bound but the next `;`.
        let start = self.at + 1;
        self.at = start;
        self.skip(|byte| byte.is_ascii_alphanumeric() || byte == b'#');
        let name = self.source.get(start..self.at).unwrap_or_default();
        if !self.take(";") || text::referred(name).is_none() {
            self.at = start - 1;
            return self.fault("& occurs in text or begins an unknown reference; write it as &amp;");
        }
        Ok(())
    }

    /// Skips to after `end`, through characters of any kind (2.2).
    fn until(&mut self, end: &str) -> Result<(), Fault> {
        let first = end.as_bytes().first().copied().unwrap_or_default();
        loop {
            self.skip(|byte| byte != first && byte != 0xef && byte >= b' ');
            if self.take(end) {
                return Ok(());
            }
            match self.peek() {
                byte if byte == first => self.at += 1,
                b'\t' | b'\n' | b'\r' => self.at += 1,
                _ => self.character()?,
            }
        }
    }

    /// A byte that may begin something else than a character of XML (2.2).
    fn character(&mut self) -> Result<(), Fault> {
        match self.next_char() {
            None => self.fault(EARLY),
            Some('\u{fffe}' | '\u{ffff}') => self.fault("a character that XML does not allow"),
            Some(c) if c >= ' ' => {
                self.at += c.len_utf8();
                Ok(())
            }
            Some(_) => self.fault("a control character"),
        }
    }

    fn rest(&self) -> &'a [u8] {
        self.source.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// The next byte; 0, which no document contains, at the end.
    #[inline]
    fn peek(&self) -> u8 {
        self.source.as_bytes().get(self.at).copied().unwrap_or_default()
    }

    fn next_char(&self) -> Option<char> {
        self.source.get(self.at..)?.chars().next()
    }

    /// Takes one byte, if it is the one that comes next.
    #[inline]
    fn next_is(&mut self, expected: u8) -> bool {
        let found = self.peek() == expected;
        self.at += usize::from(found);
        found
    }

    fn take(&mut self, expected: &str) -> bool {
        let found = self.rest().starts_with(expected.as_bytes());
        if found {
            self.at += expected.len();
        }
        found
    }

    #[inline]
    fn skip(&mut self, belongs: impl Fn(u8) -> bool) {
        // A plain loop: this is where reading spends its time, and plugins are built for size.
        let bytes = self.source.as_bytes();
        while self.at < bytes.len() && belongs(bytes[self.at]) {
            self.at += 1;
        }
    }

    /// White space (2.3); whether there was any.
    fn skip_space(&mut self) -> bool {
        let before = self.at;
        self.skip(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
        self.at > before
    }

    fn fault<T>(&self, rule: &'static str) -> Result<T, Fault> {
        Err(Fault { rule: if self.at >= self.source.len() { EARLY } else { rule }, at: self.at })
    }
}

/// The prefix that an attribute declares; empty for the default namespace.
fn declared<'a>(name: &Name<'a>) -> Option<&'a str> {
    match (name.prefix, name.local) {
        ("xmlns", prefix) => Some(prefix),
        ("", "xmlns") => Some(""),
        _ => None,
    }
}
