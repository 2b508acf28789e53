//! XML as far as records need it, read as the consumer reads it.
//!
//! [`Document::parse`] makes a flat list of elements and their direct text, with the place of each in the source. What
//! it takes and what it refuses is what Python's `xml.dom.minidom` (expat, with namespaces) takes and refuses of a
//! text: well-formedness and namespaces by the letter, names of the fourth edition of XML 1.0, and the encoding that
//! the XML declaration names is ignored, because the text was decoded before. `plugin-sdk/tests` compares both on
//! thousands of documents.
//!
//! Two habits of the consumer make it shorter than a whole XML parser. It takes the first node of a document for the
//! root: one that begins with a document type declaration, a comment or a processing instruction is never recognised.
//! So entities need not be declared, let alone expanded, and a document type declaration is a [`Fault`]. And it reads
//! the text of an element from its own text nodes alone: CDATA sections, comments and the content of nested elements
//! do not count.
//!
//! The crate `roxmltree` does not replace it: it accepts names of the fifth edition, which the consumer refuses, so
//! that a verdict would change. It adds 72 kB to a component of 50 kB.
//!
//! # Limits
//! Elements nest at most [`MAX_DEPTH`] deep, for the consumer walks them by recursion and crashes beyond. An element
//! has at most [`MAX_NAMES`] attributes and namespaces, where the consumer knows no bound. Nothing here recurses;
//! memory is bounded by a small multiple of the source's length.

pub(crate) mod fields;
mod names;
mod namespaces;
mod reader;
mod text;

use std::borrow::Cow;
use std::ops::Range;

use super::python;
use crate::Finding;

pub use text::escape;

/// How deep elements nest at most.
pub const MAX_DEPTH: usize = 980;

/// How many attributes an element has at most, and how many namespaces are declared at one place.
pub const MAX_NAMES: usize = 100;

/// Why a text is no document that the consumer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub rule: &'static str,
    /// Where, in bytes from the beginning of the source.
    pub at: usize,
}

/// A whole document.
#[derive(Debug)]
pub struct Document<'a> {
    source: &'a str,
    /// Elements and texts, in document order; the first is the root.
    nodes: Vec<Node>,
    attributes: Vec<Attribute>,
    /// The first means no namespace.
    namespaces: Vec<Cow<'a, str>>,
    opens_with_root: bool,
}

#[derive(Debug)]
struct Node {
    start: u32,
    end: u32,
    /// The node after this one and all in it.
    next: u32,
    /// None for text.
    tag: Option<Tag>,
}

#[derive(Clone, Debug)]
struct Tag {
    namespace: u32,
    /// Of the local name, in the source.
    name: Range<u32>,
    /// In the document's list.
    attributes: Range<u32>,
}

#[derive(Debug)]
struct Attribute {
    namespace: u32,
    name: Range<u32>,
    value: Range<u32>,
}

/// An attribute with its places.
#[derive(Debug)]
pub(crate) struct AttributeAt<'a> {
    pub(crate) local_name: &'a str,
    /// What it says.
    pub(crate) text: Cow<'a, str>,
    /// Of the local name, in the source, in bytes.
    pub(crate) name: Range<usize>,
    /// The text between the quotes.
    pub(crate) value: Range<usize>,
}

/// One element.
#[derive(Clone, Copy, Debug)]
pub struct Element<'d, 'a> {
    document: &'d Document<'a>,
    index: u32,
    node: &'d Node,
    tag: &'d Tag,
}

impl<'a> Document<'a> {
    /// Reads a document.
    ///
    /// # Errors
    /// The first fault.
    pub fn parse(source: &'a str) -> Result<Self, Fault> {
        reader::read(source)
    }

    /// The text it was read from.
    #[must_use]
    pub fn source(&self) -> &'a str {
        self.source
    }

    /// The outermost element. None never happens after [`Document::parse`].
    #[must_use]
    pub fn root(&self) -> Option<Element<'_, 'a>> {
        self.element(0)
    }

    /// The namespace of the root, by which the consumer recognises formats; empty for none.
    #[must_use]
    pub fn root_namespace(&self) -> &str {
        self.root().map_or("", |root| root.namespace())
    }

    /// Whether nothing but the XML declaration and white space precedes the root.
    #[must_use]
    pub fn opens_with_root(&self) -> bool {
        self.opens_with_root
    }

    /// All elements, the root included, in document order.
    pub fn elements(&self) -> impl Iterator<Item = Element<'_, 'a>> {
        (0..self.nodes.len()).filter_map(|index| self.element(u32::try_from(index).ok()?))
    }

    fn element(&self, index: u32) -> Option<Element<'_, 'a>> {
        let node = self.nodes.get(index as usize)?;
        Some(Element { document: self, index, node, tag: node.tag.as_ref()? })
    }

    fn slice(&self, range: &Range<u32>) -> &'a str {
        self.source.get(range.start as usize..range.end as usize).unwrap_or_default()
    }

    fn namespace(&self, index: u32) -> &str {
        self.namespaces.get(index as usize).map_or("", |namespace| namespace)
    }
}

impl<'d, 'a> Element<'d, 'a> {
    /// The local name.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.document.slice(&self.tag.name)
    }

    /// The namespace; empty for none.
    #[must_use]
    pub fn namespace(&self) -> &'d str {
        self.document.namespace(self.tag.namespace)
    }

    /// Whether this is the element of that name.
    #[must_use]
    pub fn is(&self, namespace: &str, name: &str) -> bool {
        self.name() == name && self.namespace() == namespace
    }

    /// Whether `other` is in `namespace`, which is this element's. One declaration applies to nearly all elements of a
    /// document, so that names need not be compared.
    fn shares_namespace(&self, other: &Element<'_, '_>, namespace: &str) -> bool {
        self.tag.namespace == other.tag.namespace || other.namespace() == namespace
    }

    /// Its position in the source, in bytes, tags included.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.node.start as usize..self.node.end as usize
    }

    /// All elements inside it, in document order.
    pub fn descendants(&self) -> impl Iterator<Item = Element<'d, 'a>> + use<'d, 'a> {
        let document = self.document;
        (self.index + 1..self.node.next).filter_map(move |index| document.element(index))
    }

    /// The value of an attribute that is qualified with `namespace`.
    #[must_use]
    pub fn attribute(&self, namespace: &str, name: &str) -> Option<Cow<'a, str>> {
        let document = self.document;
        let range = self.tag.attributes.start as usize..self.tag.attributes.end as usize;
        let mut attributes = document.attributes.get(range).unwrap_or_default().iter();
        let found = attributes.find(|attribute| {
            document.slice(&attribute.name) == name && document.namespace(attribute.namespace) == namespace
        })?;
        Some(text::plain(document.slice(&found.value), true))
    }

    /// All attributes in order, without declarations of namespaces.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = AttributeAt<'a>> + use<'d, 'a> {
        let document = self.document;
        let range = self.tag.attributes.start as usize..self.tag.attributes.end as usize;
        document.attributes.get(range).unwrap_or_default().iter().map(|attribute| AttributeAt {
            local_name: document.slice(&attribute.name),
            text: text::plain(document.slice(&attribute.value), true),
            name: attribute.name.start as usize..attribute.name.end as usize,
            value: attribute.value.start as usize..attribute.value.end as usize,
        })
    }

    /// Its own text: not that of elements in it, nor of CDATA sections.
    #[must_use]
    pub fn text(&self) -> Cow<'a, str> {
        let mut all = Cow::Borrowed("");
        let mut index = self.index + 1;
        while index < self.node.next {
            let Some(node) = self.document.nodes.get(index as usize) else { break };
            if node.tag.is_none() {
                let text = text::plain(self.document.slice(&(node.start..node.end)), false);
                if all.is_empty() { all = text } else { all.to_mut().push_str(&text) }
            }
            index = node.next;
        }
        all
    }
}

/// The text of a message as the consumer sees it: UTF-8, white space at both ends taken off.
///
/// # Errors
/// The message is not UTF-8.
pub fn text_of(payload: &[u8]) -> Result<&str, Vec<Finding>> {
    std::str::from_utf8(payload).map(python::strip).map_err(|_| {
        vec![Finding::error("message.not-utf8", "the message is not UTF-8; send its text in that encoding")]
    })
}

/// How many bytes of a payload are white space that [`text_of`] takes off its beginning.
#[must_use]
pub fn offset(payload: &[u8]) -> usize {
    let text = std::str::from_utf8(payload).unwrap_or_default();
    text.len() - text.trim_start_matches(python::is_space).len()
}

/// Reads a message, whatever precedes its root.
///
/// # Errors
/// Why it is no XML, or none that is read here.
pub(crate) fn document(payload: &[u8]) -> Result<Document<'_>, Vec<Finding>> {
    let text = text_of(payload)?;
    if !text.starts_with('<') {
        return Err(vec![Finding::error("xml.not-xml", "the message is not XML, the format of these records")]);
    }
    Document::parse(text).map_err(|fault| malformed("xml.malformed", text, fault.rule, fault.at))
}

/// Reads a message.
///
/// # Errors
/// Why the consumer does not take it for XML of any format.
pub fn message(payload: &[u8]) -> Result<Document<'_>, Vec<Finding>> {
    let document = document(payload)?;
    if !document.opens_with_root() {
        let text = "a comment or processing instruction precedes the root element, for which the consumer does \
                    not recognise the message; take it out";
        return Err(vec![Finding::error("xml.not-recognised", text)]);
    }
    Ok(document)
}

/// The finding about a text that cannot be read from a place on.
pub(crate) fn malformed(code: &str, source: &str, rule: &str, at: usize) -> Vec<Finding> {
    let (line, column) = position(source, at);
    vec![Finding::error(code, format!("{rule} (line {line}, column {column})"))]
}

/// Line and column, counted from 1, of a place in a text.
fn position(source: &str, at: usize) -> (usize, usize) {
    let (mut line, mut column) = (1, 1);
    for byte in source.bytes().take(at) {
        match byte {
            b'\n' => (line, column) = (line + 1, 1),
            // What follows the first byte of a character is no character.
            0x80..0xc0 => {}
            _ => column += 1,
        }
    }
    (line, column)
}

#[cfg(test)]
mod tests;
