//! The last step of a build: what `sesame plugin inspect` would say of the component, so that nothing is called built that a
//! host refuses, and whether the roles that it exports are the ones its author wrote functions for.
//!
//! In Rust, C, C++ and Zig the compiler compares the roles; the helpers of Python and JavaScript, which TypeScript uses
//! too, list the author's functions in the property `functions` of the description, separated by spaces.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};

use super::super::Host;
use plugins::{Description, Inspection, Roles};

/// The property of a description that lists the functions of the author's plugin.
const FUNCTIONS: &str = "functions";

/// Each role with its function.
const ROLES: [(&str, &str); 3] = [("validator", "validate"), ("transformer", "transform"), ("router", "route")];

/// Inspects the component as `sesame plugin inspect` does.
///
/// # Errors
/// Why a host would refuse it, or which role and function do not go together.
pub(super) fn judge(component: &Path, host: &Host) -> anyhow::Result<Roles> {
    let bytes = fs::read(component).with_context(|| format!("cannot read {}", component.display()))?;
    let inspection = (host.plugins)()?.inspect(&component.to_string_lossy(), &bytes);
    verdict(&inspection)
        .with_context(|| format!("no plugin was built; the refused component is {}", component.display()))
}

fn verdict(inspection: &Inspection) -> anyhow::Result<Roles> {
    match &inspection.found {
        Ok((roles, description)) => compare(*roles, description).map(|()| *roles),
        Err(error) => bail!("the component would be refused: it {error}"),
    }
}

fn compare(roles: Roles, description: &Description) -> anyhow::Result<()> {
    let Some((_, functions)) = description.properties.iter().find(|(name, _)| name == FUNCTIONS) else { return Ok(()) };
    let functions: Vec<&str> = functions.split_whitespace().collect();
    let exported = [roles.validator, roles.transformer, roles.router];
    for ((role, function), exported) in ROLES.into_iter().zip(exported) {
        match (exported, functions.contains(&function)) {
            (true, false) => {
                let meant = functions.iter().find(|name| is_near(name, function));
                let meant = meant.map(|name| format!("; is `{name}` meant?")).unwrap_or_default();
                bail!("wit/world.wit exports the role {role}, and the plugin has no function `{function}`{meant}")
            }
            (false, true) => bail!(
                "the plugin has a function `{function}`, and the component does not export the role {role}: include \
                 {role}-plugin in wit/world.wit and export {role}, or remove the function"
            ),
            _ => {}
        }
    }
    Ok(())
}

/// Whether a name may be a misspelling: the same letters but for case, order or three of them at the most.
fn is_near(name: &str, wanted: &str) -> bool {
    let sorted = |text: &str| {
        let mut letters: Vec<char> = text.to_lowercase().chars().collect();
        letters.sort_unstable();
        letters
    };
    let (mut ours, mut rest) = (sorted(name), 0);
    for letter in sorted(wanted) {
        match ours.iter().position(|other| *other == letter) {
            Some(at) => drop(ours.remove(at)),
            None => rest += 1,
        }
    }
    rest + ours.len() <= 3
}

#[cfg(test)]
mod tests {
    use super::*;
    use plugins::Roles;

    fn compared(functions: &str) -> String {
        let roles = Roles { validator: true, ..Roles::default() };
        let properties = vec![(FUNCTIONS.to_owned(), functions.to_owned())];
        let description = Description { properties, ..Description::default() };
        compare(roles, &description).map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn each_function_of_a_role_is_exported_and_each_exported_role_has_its_function() {
        assert_eq!(compared("validate helper"), "");
        let unexported = compared("validate transform");
        assert!(unexported.starts_with("the plugin has a function `transform`"), "{unexported}");
        assert!(unexported.contains("include transformer-plugin in wit/world.wit"), "{unexported}");
        assert!(compared("validate route").contains("does not export the role router"));
        assert_eq!(
            compared("helper"),
            "wit/world.wit exports the role validator, and the plugin has no function `validate`"
        );
        for misspelt in ["validates", "vaildate", "Validate", "validator", "_validate"] {
            assert!(compared(misspelt).ends_with(&format!("is `{misspelt}` meant?")), "{misspelt}");
        }
    }

    #[test]
    fn a_helper_that_lists_no_functions_is_not_judged_by_them() {
        assert!(compare(Roles::default(), &Description::default()).is_ok());
    }

    #[test]
    fn what_the_host_would_refuse_is_not_called_built() {
        let plugins = plugins::Plugins::start(plugins::CompileSettings::default()).unwrap();
        let error = verdict(&plugins.inspect_trusted(b"#!/bin/sh\n")).unwrap_err().to_string();
        assert!(error.starts_with("the component would be refused: it is not a WebAssembly component"), "{error}");
        let stock = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/passthrough.wasm");
        let roles = verdict(&plugins.inspect_trusted(&std::fs::read(stock).unwrap())).unwrap();
        assert_eq!(roles.to_string(), "transformer");
    }
}
