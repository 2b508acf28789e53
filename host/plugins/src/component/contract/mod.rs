//! The major versions of the contract that this host supports side by side.
//!
//! A component is built for one of them, and the names of its imports and exports say which ([`BuiltFor`]). Its exports are
//! called through [`Exports`], with the types of the newest major; `v1` passes them on as they are. A second major is
//! a module beside it that converts them field by field, and one in `instance` for what it imports; `made_up`, which only
//! the tests support, is an example.
//!
//! # Policy
//! A shim for another major converts types and nothing else: every limit and every check of an answer is applied in code
//! that all majors share, so that none is missing in one of them.

mod built_for;
#[cfg(test)]
mod made_up;
#[cfg(test)]
mod tests;
mod v1;

use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre};

use crate::component::Roles;
use crate::component::bindings::lifecycle::Description;
use crate::component::bindings::transformer::Transformed;
use crate::component::bindings::types::{Failure, Finding, Message};

pub(crate) use self::built_for::{BuiltFor, CONTRACT, Major};

/// The majors as an error names them.
pub const SERVED: &str = "1.x";

/// The answer of a role function; none if the component does not have the role.
pub(crate) type Answered<T> = wasmtime::Result<Option<Result<T, Failure>>>;

/// The functions of a component, called with the types of the newest major on stores with the data `T`. Errors are traps and
/// the like.
pub(crate) trait Exports<T>: Send + Sync {
    /// Compares the types of all exports with the contract.
    fn compare(&self, store: &mut Store<T>, instance: &Instance) -> wasmtime::Result<()>;
    /// Has the plugin describe itself.
    fn describe(&self, store: &mut Store<T>, instance: &Instance) -> wasmtime::Result<Description>;
    /// Gives the plugin its configuration.
    fn init(&self, store: &mut Store<T>, instance: &Instance, config: &str) -> wasmtime::Result<Result<(), String>>;
    /// Calls the validator.
    fn validate(&self, store: &mut Store<T>, instance: &Instance, message: &Message) -> Answered<Vec<Finding>>;
    /// Calls the transformer.
    fn transform(&self, store: &mut Store<T>, instance: &Instance, message: &Message) -> Answered<Transformed>;
    /// Calls the router.
    fn route(&self, store: &mut Store<T>, instance: &Instance, message: &Message) -> Answered<Vec<String>>;
}

/// Looks the functions up, those of `roles` and those that every plugin has.
pub(crate) fn find<T: Send + 'static>(
    major: Major,
    roles: Roles,
    pre: &InstancePre<T>,
) -> wasmtime::Result<Box<dyn Exports<T>>> {
    Ok(match major {
        Major::V1 => Box::new(v1::Indices::find(roles, pre)?),
        #[cfg(test)]
        Major::MadeUp => Box::new(made_up::Indices::find(roles, pre)?),
    })
}

/// Where the functions are in a component, for the bindings of one major, which the invoking module names as `bindings`.
macro_rules! indices {
    () => {
        /// Where the functions are in the component.
        pub(crate) struct Indices {
            lifecycle: bindings::lifecycle::GuestIndices,
            validator: Option<bindings::validator::GuestIndices>,
            transformer: Option<bindings::transformer::GuestIndices>,
            router: Option<bindings::router::GuestIndices>,
        }

        impl Indices {
            pub(crate) fn find<T>(roles: Roles, pre: &InstancePre<T>) -> wasmtime::Result<Self> {
                use bindings::{lifecycle, router, transformer, validator};
                Ok(Self {
                    lifecycle: lifecycle::GuestIndices::new(pre)?,
                    validator: roles.validator.then(|| validator::GuestIndices::new(pre)).transpose()?,
                    transformer: roles.transformer.then(|| transformer::GuestIndices::new(pre)).transpose()?,
                    router: roles.router.then(|| router::GuestIndices::new(pre)).transpose()?,
                })
            }

            fn load_all<T: 'static>(&self, store: &mut Store<T>, instance: &Instance) -> wasmtime::Result<()> {
                self.lifecycle.load(&mut *store, instance)?;
                self.validator.as_ref().map(|indices| indices.load(&mut *store, instance)).transpose()?;
                self.transformer.as_ref().map(|indices| indices.load(&mut *store, instance)).transpose()?;
                self.router.as_ref().map(|indices| indices.load(&mut *store, instance)).transpose()?;
                Ok(())
            }
        }
    };
}
use indices;
