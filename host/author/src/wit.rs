//! A WIT package as a component, which is how packages lie in registries.

use std::path::Path;

use anyhow::Context as _;
use wit_parser::Resolve;

/// A WIT package.
#[derive(Clone, Debug)]
pub struct WitPackage {
    /// Its name, without namespace and version.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// The names of its interfaces and worlds.
    pub exports: Vec<String>,
    /// The package, encoded.
    pub component: Vec<u8>,
}

/// Encodes the package in `folder`, whose dependencies are in `deps` in it.
///
/// # Errors
/// The files are no WIT package.
pub fn wit_package(folder: &Path) -> anyhow::Result<WitPackage> {
    let mut resolve = Resolve::default();
    let read = || format!("cannot read the WIT package {}", folder.display());
    let (id, _) = resolve.push_dir(folder).with_context(read)?;
    let component =
        wit_component::encode(&resolve, id).with_context(|| format!("cannot encode {}", folder.display()))?;
    let package = resolve.packages.get(id).with_context(read)?;
    let interfaces = package.interfaces.values().filter_map(|id| resolve.id_of(*id));
    let worlds = package.worlds.keys().map(|world| package.name.interface_id(world));
    let mut exports: Vec<String> = interfaces.chain(worlds).collect();
    exports.sort();
    let version = package.name.version.as_ref().map(ToString::to_string);
    Ok(WitPackage { name: package.name.name.clone(), version, exports, component })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_is_a_package() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
        let package = wit_package(&folder).unwrap();
        assert_eq!((package.name.as_str(), package.version.as_deref()), ("plugin", Some("1.0.0")));
        for exported in ["sesame:plugin/types@1.0.0", "sesame:plugin/validator-plugin@1.0.0"] {
            assert!(package.exports.iter().any(|one| one == exported), "{exported} not in {:?}", package.exports);
        }
        assert_eq!(package.component.get(..4), Some(&b"\0asm"[..]));
        assert!(wit_package(&folder.join("nothing")).is_err());
    }
}
