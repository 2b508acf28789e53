//! `tables` of version 1.1, apart from the package of 1.0: tools name the types of two versions in one package otherwise.

wasmtime::component::bindgen!({
    path: "../../wit/tables",
    inline: "
        package sesame:host;
        world lookups {
            import sesame:plugin/tables@1.1.0;
        }",
    world: "sesame:host/lookups",
});

pub(crate) use self::sesame::plugin::tables::{Host, Row, add_to_linker};
