//! Which namespace a prefix stands for (Namespaces in XML 1.0).

use std::borrow::Cow;
use std::collections::BTreeMap;

const XML: &str = "http://www.w3.org/XML/1998/namespace";
const XMLNS: &str = "http://www.w3.org/2000/xmlns/";

/// What a declaration must not do, in words for an operator.
pub(super) type Rule = &'static str;

/// The declarations in force at one place, and a list of all there were.
pub(super) struct Namespaces<'a> {
    /// All that were declared; the first stands for none.
    all: Vec<Cow<'a, str>>,
    /// From prefix (empty: the default) to a place in `all`.
    in_force: BTreeMap<&'a str, u32>,
    /// What to put back, and at which depth of elements.
    hidden: Vec<(usize, &'a str, Option<u32>)>,
}

impl<'a> Namespaces<'a> {
    pub(super) fn new() -> Self {
        let all = vec![Cow::Borrowed(""), Cow::Borrowed(XML)];
        Self { all, in_force: BTreeMap::from([("", 0), ("xml", 1)]), hidden: Vec::new() }
    }

    /// `prefix` (empty: the default) stands for `uri` from here on, in the element at `depth`.
    pub(super) fn declare(&mut self, depth: usize, prefix: &'a str, uri: Cow<'a, str>) -> Result<(), Rule> {
        if uri.is_empty() && !prefix.is_empty() {
            return Err("a namespace prefix is declared to stand for nothing");
        }
        if prefix == "xmlns" || uri == XMLNS || (prefix == "xml") != (uri == XML) {
            return Err("a reserved namespace or prefix is declared");
        }
        if uri.contains(' ') {
            return Err("a namespace contains a space");
        }
        let index = if uri.is_empty() { 0 } else { self.add(uri)? };
        self.hidden.push((depth, prefix, self.in_force.insert(prefix, index)));
        Ok(())
    }

    fn add(&mut self, uri: Cow<'a, str>) -> Result<u32, Rule> {
        let index = u32::try_from(self.all.len()).map_err(|_| "there are too many namespaces")?;
        self.all.push(uri);
        Ok(index)
    }

    /// What `prefix` stands for here, as a place in the list.
    pub(super) fn find(&self, prefix: &str) -> Option<u32> {
        self.in_force.get(prefix).copied()
    }

    pub(super) fn uri(&self, index: u32) -> &str {
        self.all.get(index as usize).map_or("", |uri| uri)
    }

    /// The element at `depth` ends, and with it its declarations.
    pub(super) fn leave(&mut self, depth: usize) {
        while let Some(&(_, prefix, before)) = self.hidden.last().filter(|(declared, ..)| *declared == depth) {
            match before {
                Some(index) => self.in_force.insert(prefix, index),
                None => self.in_force.remove(prefix),
            };
            self.hidden.pop();
        }
    }

    pub(super) fn into_list(self) -> Vec<Cow<'a, str>> {
        self.all
    }
}
