//! Inspection of an untrusted component: its imports are checked first, then it is compiled as any other, and of its code only
//! `describe` is run.

use sha2::{Digest as _, Sha256};

use crate::catalog::plugins::Plugins;
use crate::component::compile::Trust;
use crate::component::grant::{Grant, grant_of};
use crate::component::surface::Surface;
use crate::component::{ComponentError, Description, Roles};
use crate::text::clean;

/// What a component is and imports.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Bytes.
    pub size: usize,
    /// Its hash, which a sidecar may pin.
    pub sha256: [u8; 32],
    /// What it imports; empty if the file is not a component.
    pub imports: Vec<Import>,
    /// The names of what it exports.
    pub exports: Vec<String>,
    /// The versions of the contract its imports and exports name.
    pub contracts: Vec<String>,
    /// Its roles and description, or why it would be refused.
    pub found: Result<(Roles, Description), ComponentError>,
}

/// Something a component imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The interface, escaped for printing.
    pub name: String,
    /// What the component gets for it.
    pub grant: Grant,
}

impl Plugins {
    /// Inspects the component in `bytes`, the file `name` of the operator. This compiles unless it cannot be a plugin or
    /// was compiled before, and can take seconds.
    #[must_use]
    pub fn inspect(&self, name: &str, bytes: &[u8]) -> Inspection {
        self.inspect_from(name, bytes, Trust::Foreign)
    }

    /// The same in this process, for a component of our own: if the compiler crashes, so does the process.
    #[must_use]
    pub fn inspect_trusted(&self, bytes: &[u8]) -> Inspection {
        self.inspect_from("", bytes, Trust::BuiltIn)
    }

    fn inspect_from(&self, name: &str, bytes: &[u8], trust: Trust) -> Inspection {
        let (size, sha256) = (bytes.len(), Sha256::digest(bytes).into());
        let surface = match Surface::read(bytes) {
            Ok(surface) => surface,
            Err(error) => {
                let (imports, exports, contracts) = (Vec::new(), Vec::new(), Vec::new());
                return Inspection { size, sha256, imports, exports, contracts, found: Err(error) };
            }
        };
        let loaded = self.compile(name, bytes, &sha256, trust).and_then(|component| self.link(&component, sha256));
        let found = loaded.map(|loaded| (loaded.roles(), loaded.description));
        let imports = surface.imports.iter().map(|name| Import { name: clean(name, 200), grant: grant_of(name) });
        let (imports, contracts) = (imports.collect(), surface.contracts());
        Inspection { size, sha256, imports, exports: surface.exports, contracts, found }
    }
}
