//! The same for the major that only the tests support; `contract/made_up` alone uses it.

wasmtime::component::bindgen!({
    path: "src/component/contract/made_up.wit",
    inline: "
        package sesame:host;
        world every-role {
            include sesame:plugin/validator-plugin@7.0.0;
            include sesame:plugin/transformer-plugin@7.0.0;
            include sesame:plugin/router-plugin@7.0.0;
        }",
    world: "sesame:host/every-role",
});

pub(crate) use self::sesame::plugin::{log, types};
pub(crate) use exports::sesame::plugin::{lifecycle, router, transformer, validator};
