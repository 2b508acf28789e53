//! What a component was made with, as its tools wrote it into its `producers` sections. Anyone can write anything there.

use wasmparser::{KnownCustom, Parser, Payload};

use crate::text::clean;

/// As many are read.
const MOST: usize = 100;

/// A language or tool that a component was made with, escaped for printing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Producer {
    /// `language`, `processed-by` or `sdk`.
    pub field: String,
    /// Its name.
    pub name: String,
    /// Its version; may be empty.
    pub version: String,
}

/// The languages and tools that the modules of a component name, sorted. What cannot be read is left out.
#[must_use]
pub fn producers(component: &[u8]) -> Vec<Producer> {
    let mut found = Vec::new();
    for payload in Parser::new(0).parse_all(component) {
        let Ok(payload) = payload else { break };
        let Payload::CustomSection(section) = payload else { continue };
        let KnownCustom::Producers(section) = section.as_known() else { continue };
        for field in section.into_iter().flatten() {
            let values = field.values.into_iter().flatten().take(MOST);
            found.extend(values.map(|value| Producer {
                field: clean(field.name, 100),
                name: clean(value.name, 100),
                version: clean(value.version, 100),
            }));
        }
        if found.len() > MOST {
            break;
        }
    }
    found.sort();
    found.dedup();
    found.truncate(MOST);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_tools_of_a_stock_plugin() {
        let component = crate::component::builtin::component("builtin:passthrough").unwrap().unwrap();
        let found = producers(component);
        let tool = found.iter().find(|one| one.name == "wit-component").unwrap();
        assert_eq!((tool.field.as_str(), tool.version.is_empty()), ("processed-by", false), "{found:?}");
        assert!(found.is_sorted(), "{found:?}");
        assert_eq!(producers(b"\0asm"), []);
    }
}
