//! A component looked at without trusting it: checked and compiled as any other, and of its code only `describe` is run.

use sha2::{Digest as _, Sha256};
use wasmtime::component::Component;

use super::{Machine, Plugins};
use crate::plugin::compile::Trust;
use crate::plugin::component::{ComponentError, Description, Loaded, Roles, is_granted};
use crate::plugin::contract::CONTRACT;
use crate::plugin::text::clean;

/// What a component is and wants.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Bytes.
    pub size: usize,
    /// Its hash, which a side-car may pin.
    pub sha256: [u8; 32],
    /// What it imports; empty where it was refused before that could be seen.
    pub imports: Vec<Import>,
    /// The versions of the contract its imports and exports name.
    pub contracts: Vec<String>,
    /// Its roles and what it says of itself, or why it would be refused.
    pub found: Result<(Roles, Description), ComponentError>,
}

/// Something a component imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The interface, made fit to print.
    pub name: String,
    /// Whether this host grants it.
    pub granted: bool,
}

impl Plugins {
    /// Looks at the component in `bytes`, a file of the operator's. This compiles, and can take seconds.
    #[must_use]
    pub fn inspect(&self, bytes: &[u8]) -> Inspection {
        self.inspect_from(bytes, Trust::Foreign)
    }

    /// The same in this process.
    #[cfg(test)]
    pub(crate) fn inspect_trusted(&self, bytes: &[u8]) -> Inspection {
        self.inspect_from(bytes, Trust::BuiltIn)
    }

    fn inspect_from(&self, bytes: &[u8], trust: Trust) -> Inspection {
        let sha256: [u8; 32] = Sha256::digest(bytes).into();
        let (imports, contracts) = (Vec::new(), Vec::new());
        let compiled = self.compile(bytes, &sha256, trust);
        let (component, machine) = match compiled {
            Ok(compiled) => compiled,
            Err(error) => return Inspection { size: bytes.len(), sha256, imports, contracts, found: Err(error) },
        };
        let found = self.describe(&component, machine, sha256);
        let (imports, contracts) = (imports_of(&component), contracts_of(&component));
        Inspection { size: bytes.len(), sha256, imports, contracts, found }
    }

    fn describe(
        &self,
        component: &Component,
        machine: &Machine,
        sha256: [u8; 32],
    ) -> Result<(Roles, Description), ComponentError> {
        let loaded = Loaded::link(component, &machine.linker, &self.ticker, sha256)?;
        Ok((loaded.roles(), loaded.description.clone()))
    }
}

fn imports_of(component: &Component) -> Vec<Import> {
    let kind = component.component_type();
    let imports = kind.imports(component.engine());
    imports.map(|(name, _)| Import { name: clean(name, 200), granted: is_granted(name) }).collect()
}

fn contracts_of(component: &Component) -> Vec<String> {
    let kind = component.component_type();
    let imports = kind.imports(component.engine()).map(|(name, _)| name.to_owned());
    let exports = kind.exports(component.engine()).map(|(name, _)| name.to_owned());
    let contract = imports.chain(exports).filter(|name| name.starts_with(CONTRACT));
    let mut versions: Vec<String> =
        contract.filter_map(|name| name.split_once('@').map(|(_, version)| clean(version, 40))).collect();
    versions.sort();
    versions.dedup();
    versions
}
