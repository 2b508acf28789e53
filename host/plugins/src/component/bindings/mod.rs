//! The contract's types in Rust, made from `wit/`. The program has no other `bindgen!` for it; `made_up` is for the tests.
//!
//! The three worlds are joined into one, so that `types` and `log` exist once. Nothing is decided here: `contract` finds
//! the exports of a component one by one, `answer` checks what they return.
#![allow(missing_docs, unreachable_pub, clippy::all, clippy::indexing_slicing, reason = "generated code")]

#[cfg(test)]
pub(crate) mod made_up;
pub(crate) mod tables;

wasmtime::component::bindgen!({
    path: "../../wit",
    inline: "
        package sesame:host;
        world every-role {
            include sesame:plugin/validator-plugin@1.0.0;
            include sesame:plugin/transformer-plugin@1.0.0;
            include sesame:plugin/router-plugin@1.0.0;
        }",
    world: "sesame:host/every-role",
});

pub(crate) use self::sesame::plugin::{log, types};
pub(crate) use exports::sesame::plugin::{lifecycle, router, transformer, validator};

/// The version of the package in `wit/`, which a plugin is built for.
pub const CONTRACT_VERSION: &str = "1.0.0";

/// The interface that version 1.1 adds.
pub const TABLES: &str = "sesame:plugin/tables@1.1.0";
