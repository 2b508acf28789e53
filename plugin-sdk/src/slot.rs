//! Where the plugin is stored between `init` and the role functions, and the macro that exports it. For
//! [`crate::export!`] only.

use std::cell::RefCell;
use std::thread::LocalKey;

use crate::bindings::lifecycle::Description;
use crate::{Configuration as _, Failure, Plugin};

/// The one plugin of the instance.
pub type Cell<P> = LocalKey<RefCell<Option<P>>>;

/// Answers `describe`.
pub fn describe<P: Plugin>() -> Description {
    Description {
        name: P::NAME.to_owned(),
        version: P::VERSION.to_owned(),
        summary: P::SUMMARY.to_owned(),
        config_schema: P::config_schema(),
        properties: Vec::new(),
    }
}

/// Answers `init`.
pub fn init<P: Plugin>(slot: &'static Cell<P>, config: &str) -> Result<(), String> {
    let plugin = P::new(P::Config::from_json(config)?)?;
    slot.set(Some(plugin));
    Ok(())
}

/// Answers a role function.
pub fn ask<P: Plugin, T>(slot: &'static Cell<P>, call: impl FnOnce(&P) -> Result<T, Failure>) -> Result<T, Failure> {
    slot.with_borrow(|plugin| match plugin {
        Some(plugin) => call(plugin),
        None => Err(Failure::Internal("called before init".to_owned())),
    })
}

/// Whether a plugin implements a role, for [`crate::export!`]: the inherent constant of a plugin that does comes before
/// the one of this trait.
pub trait Lacks {
    /// The plugin is no [`crate::Validator`].
    const VALIDATOR: bool = false;
    /// The plugin is no [`crate::Transformer`].
    const TRANSFORMER: bool = false;
    /// The plugin is no [`crate::Router`].
    const ROUTER: bool = false;
}

/// See [`Lacks`].
pub struct Implements<P>(std::marker::PhantomData<P>);

impl<P> Lacks for Implements<P> {}

impl<P: crate::Validator> Implements<P> {
    /// The plugin is a [`crate::Validator`].
    pub const VALIDATOR: bool = true;
}

impl<P: crate::Transformer> Implements<P> {
    /// The plugin is a [`crate::Transformer`].
    pub const TRANSFORMER: bool = true;
}

impl<P: crate::Router> Implements<P> {
    /// The plugin is a [`crate::Router`].
    pub const ROUTER: bool = true;
}

/// Whether a role is among those that are exported; `==` on texts is not for constants.
#[must_use]
pub const fn is_exported(role: &str, exported: &[&str]) -> bool {
    let mut at = 0;
    while at < exported.len() {
        // The names of the roles differ in their first letter.
        if exported[at].as_bytes()[0] == role.as_bytes()[0] {
            return true;
        }
        at += 1;
    }
    false
}

/// Exports a plugin with the roles that are named: `export!(MyPlugin: validator, transformer, router);`
///
/// The exports are there in a component only: no linker of another system takes their names (`…@1.0.0#validate`, which
/// looks like the version of a symbol), and tests on the author's machine need none.
#[macro_export]
macro_rules! export {
    ($plugin:ty : $($role:ident),+ $(,)?) => {
        const _: () = {
            ::std::thread_local! {
                static PLUGIN: ::std::cell::RefCell<Option<$plugin>> = const { ::std::cell::RefCell::new(None) };
            }
            struct Exported;
            impl $crate::bindings::lifecycle::Guest for Exported {
                fn describe() -> $crate::bindings::lifecycle::Description {
                    $crate::slot::describe::<$plugin>()
                }
                fn init(config: String) -> Result<(), String> {
                    $crate::slot::init(&PLUGIN, &config)
                }
            }
            use $crate::bindings;
            #[cfg(target_family = "wasm")]
            bindings::lifecycle_world::export_lifecycle!(Exported with_types_in bindings::lifecycle_world);
            #[cfg(not(target_family = "wasm"))]
            const _: (fn() -> bindings::lifecycle::Description, fn(String) -> Result<(), String>) =
                (<Exported as bindings::lifecycle::Guest>::describe, <Exported as bindings::lifecycle::Guest>::init);
            $($crate::export!(@role $role);)+
            #[cfg(not(target_family = "wasm"))]
            impl $crate::native::Exported for $plugin {
                const ROLES: &'static [&'static str] = &[$(::core::stringify!($role)),+];
                $($crate::export!(@native $role);)+
            }
            const _: () = {
                use $crate::slot::{Implements, Lacks as _, is_exported};
                const EXPORTED: &[&str] = &[$(::core::stringify!($role)),+];
                assert!(
                    !Implements::<$plugin>::VALIDATOR || is_exported("validator", EXPORTED),
                    "the plugin implements Validator, and export! does not name validator"
                );
                assert!(
                    !Implements::<$plugin>::TRANSFORMER || is_exported("transformer", EXPORTED),
                    "the plugin implements Transformer, and export! does not name transformer"
                );
                assert!(
                    !Implements::<$plugin>::ROUTER || is_exported("router", EXPORTED),
                    "the plugin implements Router, and export! does not name router"
                );
            };
        };
    };
    (@role validator) => {
        impl $crate::bindings::validator::Guest for Exported {
            fn validate(message: $crate::Message) -> Result<Vec<$crate::Finding>, $crate::Failure> {
                $crate::slot::ask(&PLUGIN, |plugin| $crate::Validator::validate(plugin, &message))
            }
        }
        #[cfg(target_family = "wasm")]
        bindings::validator_world::export_validator!(Exported with_types_in bindings::validator_world);
        #[cfg(not(target_family = "wasm"))]
        const _: fn($crate::Message) -> Result<Vec<$crate::Finding>, $crate::Failure> =
            <Exported as bindings::validator::Guest>::validate;
    };
    (@role transformer) => {
        impl $crate::bindings::transformer::Guest for Exported {
            fn transform(message: $crate::Message) -> Result<$crate::Transformed, $crate::Failure> {
                $crate::slot::ask(&PLUGIN, |plugin| $crate::Transformer::transform(plugin, &message))
            }
        }
        #[cfg(target_family = "wasm")]
        bindings::transformer_world::export_transformer!(Exported with_types_in bindings::transformer_world);
        #[cfg(not(target_family = "wasm"))]
        const _: fn($crate::Message) -> Result<$crate::Transformed, $crate::Failure> =
            <Exported as bindings::transformer::Guest>::transform;
    };
    (@role router) => {
        impl $crate::bindings::router::Guest for Exported {
            fn route(message: $crate::Message) -> Result<Vec<String>, $crate::Failure> {
                $crate::slot::ask(&PLUGIN, |plugin| $crate::Router::route(plugin, &message))
            }
        }
        #[cfg(target_family = "wasm")]
        bindings::router_world::export_router!(Exported with_types_in bindings::router_world);
        #[cfg(not(target_family = "wasm"))]
        const _: fn($crate::Message) -> Result<Vec<String>, $crate::Failure> =
            <Exported as bindings::router::Guest>::route;
    };
    (@native validator) => {
        fn validate_native(&self, message: &$crate::Message) -> Result<Vec<$crate::Finding>, $crate::Failure> {
            $crate::Validator::validate(self, message)
        }
    };
    (@native transformer) => {
        fn transform_native(&self, message: &$crate::Message) -> Result<$crate::Transformed, $crate::Failure> {
            $crate::Transformer::transform(self, message)
        }
    };
    (@native router) => {
        fn route_native(&self, message: &$crate::Message) -> Result<Vec<String>, $crate::Failure> {
            $crate::Router::route(self, message)
        }
    };
}
