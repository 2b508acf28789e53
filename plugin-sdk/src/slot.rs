//! Where the plugin is between `init` and the role functions, and the macro that exports it. For [`crate::export!`]
//! only.

use std::cell::RefCell;
use std::thread::LocalKey;

use crate::bindings::lifecycle::Description;
use crate::{Configuration as _, Failure, Plugin};

/// The one plugin of the instance.
pub type Slot<P> = LocalKey<RefCell<Option<P>>>;

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
pub fn init<P: Plugin>(slot: &'static Slot<P>, config: &str) -> Result<(), String> {
    let plugin = P::new(P::Config::from_json(config)?)?;
    slot.set(Some(plugin));
    Ok(())
}

/// Answers a role function.
pub fn ask<P: Plugin, T>(slot: &'static Slot<P>, call: impl FnOnce(&P) -> Result<T, Failure>) -> Result<T, Failure> {
    slot.with_borrow(|plugin| match plugin {
        Some(plugin) => call(plugin),
        None => Err(Failure::Internal("asked before init".to_owned())),
    })
}

/// Exports a plugin with the roles that are named: `export!(MyPlugin: validator, transformer, router);`
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
            bindings::lifecycle_world::export_lifecycle!(Exported with_types_in bindings::lifecycle_world);
            $($crate::export!(@role $role);)+
        };
    };
    (@role validator) => {
        impl $crate::bindings::validator::Guest for Exported {
            fn validate(message: $crate::Message) -> Result<Vec<$crate::Finding>, $crate::Failure> {
                $crate::slot::ask(&PLUGIN, |plugin| $crate::Validator::validate(plugin, &message))
            }
        }
        bindings::validator_world::export_validator!(Exported with_types_in bindings::validator_world);
    };
    (@role transformer) => {
        impl $crate::bindings::transformer::Guest for Exported {
            fn transform(message: $crate::Message) -> Result<$crate::Transformed, $crate::Failure> {
                $crate::slot::ask(&PLUGIN, |plugin| $crate::Transformer::transform(plugin, &message))
            }
        }
        bindings::transformer_world::export_transformer!(Exported with_types_in bindings::transformer_world);
    };
    (@role router) => {
        impl $crate::bindings::router::Guest for Exported {
            fn route(message: $crate::Message) -> Result<Vec<String>, $crate::Failure> {
                $crate::slot::ask(&PLUGIN, |plugin| $crate::Router::route(plugin, &message))
            }
        }
        bindings::router_world::export_router!(Exported with_types_in bindings::router_world);
    };
}
