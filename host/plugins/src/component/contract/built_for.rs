//! Which version of the contract a component was built for, and whether this host provides all that it imports. Only names
//! are compared, because the linker's error for a missing item does not say what to do.

use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use crate::component::{ComponentError, Roles};
use crate::text::clean;

/// How names of the contract begin.
pub(crate) const CONTRACT: &str = "sesame:plugin/";

/// The interfaces that may be imported, with their functions; the same in all majors that are supported.
const IMPORTS: [(&str, &[&str]); 3] = [("types", &[]), ("log", &["write"]), ("tables", &["get", "contains"])];

/// The interfaces that may be exported, with their functions; the same in all majors that are supported.
const EXPORTS: [(&str, &[&str]); 4] = [
    ("lifecycle", &["describe", "init"]),
    ("validator", &["validate"]),
    ("transformer", &["transform"]),
    ("router", &["route"]),
];

/// A major version of the contract that is supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Major {
    /// 1.x.
    V1,
    /// 7.x, which only the tests support.
    #[cfg(test)]
    MadeUp,
}

impl Major {
    /// The major that `version` belongs to, if it is supported. A pre-release belongs to none.
    fn of(version: &str) -> Option<Self> {
        let numbers: Vec<u64> = version.split('.').map(|number| number.parse().ok()).collect::<Option<_>>()?;
        match numbers.as_slice() {
            [1, _, _] => Some(Self::V1),
            #[cfg(test)]
            [7, _, _] => Some(Self::MadeUp),
            _ => None,
        }
    }
}

/// The contract that a component was built for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BuiltFor {
    pub(crate) major: Major,
    /// The version its exports name.
    pub(crate) version: String,
    pub(crate) roles: Roles,
}

/// An interface of the contract as a component names it.
struct Named {
    interface: String,
    version: String,
    functions: Vec<String>,
}

impl Named {
    fn read(name: &str, item: &ComponentItem, engine: &Engine) -> Option<Self> {
        let rest = name.strip_prefix(CONTRACT)?;
        let (interface, version) = rest.split_once('@').unwrap_or((rest, ""));
        let functions = match item {
            ComponentItem::ComponentInstance(instance) => instance
                .exports(engine)
                .filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)))
                .map(|(name, _)| clean(name, 100))
                .collect(),
            _ => Vec::new(),
        };
        Some(Self { interface: clean(interface, 100), version: clean(version, 40), functions })
    }

    /// An interface of which only the name is known: it is taken to have all functions.
    fn with_all_functions(name: &str, interfaces: &[(&str, &'static [&'static str])]) -> Option<Self> {
        let rest = name.strip_prefix(CONTRACT)?;
        let (interface, version) = rest.split_once('@').unwrap_or((rest, ""));
        let mut named = Self { interface: clean(interface, 100), version: clean(version, 40), functions: Vec::new() };
        let functions = named.known(interfaces).unwrap_or_default();
        named.functions = functions.iter().map(|name| (*name).to_owned()).collect();
        Some(named)
    }

    fn known(&self, interfaces: &[(&str, &'static [&'static str])]) -> Option<&'static [&'static str]> {
        interfaces.iter().find(|(name, _)| *name == self.interface).map(|(_, functions)| *functions)
    }

    fn full(&self) -> String {
        format!("{CONTRACT}{}@{}", self.interface, self.version)
    }
}

impl BuiltFor {
    /// Reads it from the names of the component's imports and exports.
    ///
    /// # Errors
    /// An unsupported version, two versions in one component, or an item that the host or the component lacks.
    pub(crate) fn read(component: &Component) -> Result<Self, ComponentError> {
        let (kind, engine) = (component.component_type(), component.engine());
        let imports = kind.imports(engine).filter_map(|(name, item)| Named::read(name, &item.ty, engine));
        let exports = kind.exports(engine).filter_map(|(name, item)| Named::read(name, &item.ty, engine));
        Self::of(&imports.collect::<Vec<_>>(), &exports.collect::<Vec<_>>())
    }

    /// The same before the component is compiled, when only the names of its interfaces are known.
    ///
    /// # Errors
    /// An unsupported version, two versions in one component, or an interface that this host does not know.
    pub(crate) fn check_names(imports: &[String], exports: &[String]) -> Result<(), ComponentError> {
        let imports = imports.iter().filter_map(|name| Named::with_all_functions(name, &IMPORTS));
        let exports = exports.iter().filter_map(|name| Named::with_all_functions(name, &EXPORTS));
        Self::of(&imports.collect::<Vec<_>>(), &exports.collect::<Vec<_>>()).map(drop)
    }

    /// Whether the host provides the functions that a component imports; its exports are not looked at.
    ///
    /// # Errors
    /// The item that the host lacks.
    pub(crate) fn check_imports(component: &Component) -> Result<(), ComponentError> {
        let (kind, engine) = (component.component_type(), component.engine());
        let mut imports = kind.imports(engine).filter_map(|(name, item)| Named::read(name, &item.ty, engine));
        imports.try_for_each(|named| check_import(&named))
    }

    fn of(imports: &[Named], exports: &[Named]) -> Result<Self, ComponentError> {
        let (major, version) = one_major(exports, imports)?;
        imports.iter().try_for_each(check_import)?;
        exports.iter().try_for_each(check_export)?;
        let exported = |interface: &str| exports.iter().filter(|named| named.interface == interface).count();
        if let Some((twice, _)) = EXPORTS.iter().find(|(interface, _)| exported(interface) > 1) {
            return Err(ComponentError::Twice((*twice).to_owned()));
        }
        let has = |interface: &str| exported(interface) == 1;
        let roles = Roles { validator: has("validator"), transformer: has("transformer"), router: has("router") };
        match (has("lifecycle"), roles == Roles::default()) {
            (false, _) => Err(ComponentError::NoLifecycle),
            (true, true) => Err(ComponentError::NoRole),
            (true, false) => Ok(Self { major, version, roles }),
        }
    }
}

/// The major version that all names share, and the full version of the first export.
fn one_major(exports: &[Named], imports: &[Named]) -> Result<(Major, String), ComponentError> {
    let mut found: Option<(Major, String)> = None;
    for named in exports.iter().chain(imports) {
        let version = named.version.clone();
        let Some(major) = Major::of(&version) else { return Err(ComponentError::ContractVersion(version)) };
        match &found {
            Some((earlier, first)) if *earlier != major => {
                return Err(ComponentError::Mixed { one: first.clone(), other: version });
            }
            Some(_) => {}
            None => found = Some((major, version)),
        }
    }
    found.ok_or(ComponentError::NoLifecycle)
}

fn check_import(named: &Named) -> Result<(), ComponentError> {
    let Some(functions) = named.known(&IMPORTS) else { return Err(ComponentError::Wants(named.full())) };
    match named.functions.iter().find(|function| !functions.contains(&function.as_str())) {
        Some(function) => Err(ComponentError::Wants(format!("the function {function} of {}", named.full()))),
        None => Ok(()),
    }
}

/// A role that is not called would let messages pass unchecked, so an unknown role is refused too.
fn check_export(named: &Named) -> Result<(), ComponentError> {
    let Some(functions) = named.known(&EXPORTS) else { return Err(ComponentError::UnknownRole(named.full())) };
    match functions.iter().find(|function| !named.functions.iter().any(|exported| exported == *function)) {
        Some(function) => Err(ComponentError::NoFunction { function: (*function).to_owned(), of: named.full() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(interface: &str, version: &str, functions: &[&str]) -> Named {
        let functions = functions.iter().map(|name| (*name).to_owned()).collect();
        Named { interface: interface.to_owned(), version: version.to_owned(), functions }
    }

    fn lifecycle(version: &str) -> Named {
        named("lifecycle", version, &["describe", "init"])
    }

    fn refusal(imports: &[Named], exports: &[Named]) -> String {
        BuiltFor::of(imports, exports).unwrap_err().to_string()
    }

    #[test]
    fn a_version_belongs_to_a_supported_major_or_to_none() {
        for version in ["1.0.0", "1.3.0", "1.20.7"] {
            assert_eq!(Major::of(version), Some(Major::V1), "{version}");
        }
        assert_eq!(Major::of("7.0.4"), Some(Major::MadeUp));
        for version in ["0.8.0", "0.9.0", "2.0.0", "1.0.0-rc1", "1.0", "", "1.0.0.0", "x"] {
            assert_eq!(Major::of(version), None, "{version}");
        }
    }

    #[test]
    fn finds_roles_and_version() {
        let exports = [lifecycle("1.3.0"), named("router", "1.3.0", &["route", "route-all"])];
        let built_for = BuiltFor::of(&[named("log", "1.3.0", &["write"])], &exports).unwrap();
        let roles = Roles { router: true, ..Roles::default() };
        assert_eq!(built_for, BuiltFor { major: Major::V1, version: "1.3.0".to_owned(), roles });
    }

    #[test]
    fn names_what_is_missing_on_either_side() {
        let validator = || named("validator", "1.0.0", &["validate"]);
        let good = || [lifecycle("1.0.0"), validator()];
        let cases: [(&[Named], &[Named], &str); 10] = [
            (&[], &[lifecycle("2.0.0")], "was built for sesame:plugin@2.0.0, but this host supports 1.x"),
            (&[], &[lifecycle("")], "was built for a sesame:plugin without a version, but this host supports 1.x"),
            (&[named("log", "7.0.0", &[])], &good(), "mixes sesame:plugin@1.0.0 and sesame:plugin@7.0.0"),
            (&[named("state", "1.3.0", &[])], &good(), "imports sesame:plugin/state@1.3.0, which this host"),
            (
                &[named("log", "1.3.0", &["write", "flush"])],
                &good(),
                "imports the function flush of sesame:plugin/log@1.3.0",
            ),
            (
                &[named("tables", "1.2.0", &["get", "scan"])],
                &good(),
                "imports the function scan of sesame:plugin/tables@1.2.0",
            ),
            (
                &[],
                &[lifecycle("1.0.0"), validator(), named("redactor", "1.4.0", &[])],
                "exports sesame:plugin/redactor@1.4.0",
            ),
            (
                &[],
                &[named("lifecycle", "1.0.0", &["init"]), validator()],
                "does not export the function describe of sesame:plugin/lifecycle@1.0.0",
            ),
            (&[], &[lifecycle("1.0.0"), validator(), named("validator", "1.3.0", &["validate"])], "validator twice"),
            (&[], &[validator()], "does not export sesame:plugin/lifecycle, as every plugin must"),
        ];
        for (imports, exports, expected) in cases {
            let said = refusal(imports, exports);
            assert!(said.contains(expected), "{expected:?} not in {said:?}");
        }
    }
}
