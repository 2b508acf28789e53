//! The contract in Rust. Each interface a plugin may export is a world of its own here, so that a component exports the
//! roles it has and no others; the types are the same in all of them.
#![allow(missing_docs, clippy::all)]

mod imports {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package sesame:sdk;
            world imports { import sesame:plugin/types@1.0.0; import sesame:plugin/log@1.0.0; }",
        world: "sesame:sdk/imports",
        generate_all,
    });
}

pub use imports::sesame::plugin::{log, types};

/// Version 1.1, apart from 1.0: a component imports it only if it calls it.
mod lookups {
    wit_bindgen::generate!({
        path: "../wit/tables",
        inline: "package sesame:sdk; world lookups { import sesame:plugin/tables@1.1.0; }",
        world: "sesame:sdk/lookups",
        generate_all,
    });
}

pub use lookups::sesame::plugin::tables;

macro_rules! role {
    ($module:ident, $world:literal, $inline:literal, $macro:literal) => {
        pub mod $module {
            wit_bindgen::generate!({
                path: "../wit",
                inline: $inline,
                world: $world,
                with: { "sesame:plugin/types@1.0.0": crate::bindings::types },
                pub_export_macro: true,
                export_macro_name: $macro,
            });
        }
    };
}

role!(
    lifecycle_world,
    "sesame:sdk/only-lifecycle",
    "package sesame:sdk; world only-lifecycle { export sesame:plugin/lifecycle@1.0.0; }",
    "export_lifecycle"
);
role!(
    validator_world,
    "sesame:sdk/only-validator",
    "package sesame:sdk; world only-validator { export sesame:plugin/validator@1.0.0; }",
    "export_validator"
);
role!(
    transformer_world,
    "sesame:sdk/only-transformer",
    "package sesame:sdk; world only-transformer { export sesame:plugin/transformer@1.0.0; }",
    "export_transformer"
);
role!(
    router_world,
    "sesame:sdk/only-router",
    "package sesame:sdk; world only-router { export sesame:plugin/router@1.0.0; }",
    "export_router"
);

pub use lifecycle_world::exports::sesame::plugin::lifecycle;
pub use router_world::exports::sesame::plugin::router;
pub use transformer_world::exports::sesame::plugin::transformer;
pub use validator_world::exports::sesame::plugin::validator;
