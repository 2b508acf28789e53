//! A record as a flat set of elements: the consumer looks for each by its name alone, at any depth inside the record,
//! and takes the first it finds.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::{Element, escape};

/// The first element of each name inside a record.
pub(crate) struct Fields<'d, 'a, const N: usize> {
    record: Element<'d, 'a>,
    namespace: &'static str,
    names: &'static [&'static str; N],
    first: [Option<Element<'d, 'a>>; N],
}

impl<'d, 'a, const N: usize> Fields<'d, 'a, N> {
    pub(crate) fn of(record: Element<'d, 'a>, namespace: &'static str, names: &'static [&'static str; N]) -> Self {
        let mut first = [None; N];
        for element in record.descendants() {
            let known = names.iter().position(|name| *name == element.name());
            if let Some(slot) = known.and_then(|index| first.get_mut(index))
                && slot.is_none()
                && element.namespace() == namespace
            {
                *slot = Some(element);
            }
        }
        Self { record, namespace, names, first }
    }

    /// The first element of that name, which is one of `names`.
    pub(crate) fn element(&self, name: &str) -> Option<Element<'d, 'a>> {
        let index = self.names.iter().position(|known| *known == name)?;
        self.first.get(index).copied().flatten()
    }

    /// Its text.
    pub(crate) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.element(name).map(|element| element.text())
    }

    /// An attribute of it. An element without that attribute has an empty one, as it has for the consumer.
    pub(crate) fn attribute(&self, name: &str, attribute: &str) -> Option<Cow<'a, str>> {
        self.element(name).map(|element| element.attribute(self.namespace, attribute).unwrap_or_default())
    }

    /// All elements of that name.
    pub(crate) fn all(&self, name: &'static str) -> impl Iterator<Item = Element<'d, 'a>> + use<'d, 'a, N> {
        let namespace = self.namespace;
        self.record.descendants().filter(move |element| element.is(namespace, name))
    }
}

/// Writes elements with one prefix, each on a line of its own.
pub(crate) struct Writer {
    prefix: &'static str,
    text: String,
}

impl Writer {
    /// Begins a document whose root has that name.
    pub(crate) fn new(prefix: &'static str, root: &str, namespace: &str) -> Self {
        let text = format!("<?xml version=\"1.0\" ?>\n<{prefix}:{root} xmlns:{prefix}=\"{namespace}\">\n");
        Self { prefix, text }
    }

    /// A start tag.
    pub(crate) fn open(&mut self, name: &str) {
        let _ = writeln!(self.text, "<{}:{name}>", self.prefix);
    }

    /// An end tag.
    pub(crate) fn close(&mut self, name: &str) {
        let _ = writeln!(self.text, "</{}:{name}>", self.prefix);
    }

    /// An element with attributes and text; without text it is empty.
    pub(crate) fn element(&mut self, name: &str, attributes: &[(&str, Option<&str>)], text: Option<&str>) {
        let _ = write!(self.text, "<{}:{name}", self.prefix);
        for (attribute, value) in attributes {
            if let Some(value) = value {
                let _ = write!(self.text, " {}:{attribute}=\"", self.prefix);
                escape(value, &mut self.text);
                self.text.push('"');
            }
        }
        match text {
            Some(text) => {
                self.text.push('>');
                escape(text, &mut self.text);
                self.close(name);
            }
            None => self.text.push_str("/>\n"),
        }
    }

    /// An element of text alone, if there is any.
    pub(crate) fn field(&mut self, name: &str, text: Option<&str>) {
        if text.is_some() {
            self.element(name, &[], text);
        }
    }

    /// An element of a number alone, if there is one.
    pub(crate) fn number(&mut self, name: &str, number: Option<i64>) {
        self.field(name, number.map(|number| number.to_string()).as_deref());
    }

    /// Ends the document.
    pub(crate) fn finish(mut self, root: &str) -> String {
        self.close(root);
        self.text
    }
}
