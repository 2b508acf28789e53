//! The same for `sesame:plugin@0.9.0`, which came out with release 0.1.0 of Sesame. Only `contract/v0_9` uses it.

wasmtime::component::bindgen!({
    path: "../../wit/released/0.9.0.wit",
    inline: "
        package sesame:host;
        world every-role {
            include sesame:plugin/validator-plugin@0.9.0;
            include sesame:plugin/transformer-plugin@0.9.0;
            include sesame:plugin/router-plugin@0.9.0;
        }",
    world: "sesame:host/every-role",
});

pub(crate) use self::sesame::plugin::{log, types};
pub(crate) use exports::sesame::plugin::{lifecycle, router, transformer, validator};
