//! Which namespace a prefix denotes (Namespaces in XML 1.0).

use std::borrow::Cow;

use super::MAX_NAMES;

const XML: &str = "http://www.w3.org/XML/1998/namespace";
const XMLNS: &str = "http://www.w3.org/2000/xmlns/";

/// What a declaration must not do, as a text for an operator.
pub(super) type Rule = &'static str;

/// The declarations in force at one place, and a list of all there were.
pub(super) struct Namespaces<'a> {
    /// All that were declared; the first means none.
    all: Vec<Cow<'a, str>>,
    /// Outer ones first.
    in_force: Vec<Declaration<'a>>,
}

struct Declaration<'a> {
    /// Of the element that declares it.
    depth: usize,
    /// Empty for the default.
    prefix: &'a str,
    /// A place in the list of all.
    index: u32,
}

impl<'a> Namespaces<'a> {
    pub(super) fn new() -> Self {
        let all = vec![Cow::Borrowed(""), Cow::Borrowed(XML)];
        let none = Declaration { depth: 0, prefix: "", index: 0 };
        Self { all, in_force: vec![none, Declaration { depth: 0, prefix: "xml", index: 1 }] }
    }

    /// `prefix` (empty: the default) denotes `uri` from here on, in the element at `depth`.
    pub(super) fn declare(&mut self, depth: usize, prefix: &'a str, uri: Cow<'a, str>) -> Result<(), Rule> {
        if uri.is_empty() && !prefix.is_empty() {
            return Err("a namespace prefix is declared with an empty namespace");
        }
        if prefix == "xmlns" || uri == XMLNS || (prefix == "xml") != (uri == XML) {
            return Err("a reserved namespace or prefix is declared");
        }
        if uri.contains(' ') {
            return Err("a namespace contains a space");
        }
        if self.in_force.len() >= MAX_NAMES {
            return Err("too many namespaces are declared");
        }
        let index = if uri.is_empty() { 0 } else { self.all.len() as u32 };
        if index > 0 {
            self.all.push(uri);
        }
        self.in_force.push(Declaration { depth, prefix, index });
        Ok(())
    }

    /// What `prefix` denotes here, as a place in the list.
    pub(super) fn find(&self, prefix: &str) -> Option<u32> {
        self.in_force.iter().rev().find(|declaration| declaration.prefix == prefix).map(|found| found.index)
    }

    pub(super) fn uri(&self, index: u32) -> &str {
        self.all.get(index as usize).map_or("", |uri| uri)
    }

    /// The element at `depth` ends, and with it its declarations.
    pub(super) fn leave(&mut self, depth: usize) {
        while self.in_force.last().is_some_and(|last| last.depth >= depth) {
            self.in_force.pop();
        }
    }

    pub(super) fn into_list(self) -> Vec<Cow<'a, str>> {
        self.all
    }
}
