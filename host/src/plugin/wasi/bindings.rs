//! WASI 0.2 in Rust, made from `wit/wasi`. Handles that a guest can hold have a type of ours; those that are never given
//! out keep the empty type that is made for them.
#![allow(missing_docs, unreachable_pub, clippy::all, clippy::indexing_slicing, reason = "generated code")]

wasmtime::component::bindgen!({
    path: "../wit/wasi/0.2.12.wit",
    world: "sesame:wasi/stand-ins",
    imports: { default: trappable },
    with: {
        "wasi:io/poll.pollable": crate::plugin::wasi::clocks::Pollable,
        "wasi:io/streams.input-stream": crate::plugin::wasi::streams::Input,
        "wasi:io/streams.output-stream": crate::plugin::wasi::streams::Output,
        "wasi:filesystem/types.descriptor": crate::plugin::wasi::files::Directory,
        "wasi:filesystem/types.directory-entry-stream": crate::plugin::wasi::files::NoEntries,
        "wasi:sockets/network.network": crate::plugin::wasi::sockets::NoNetwork,
        "wasi:http/types.fields": crate::plugin::wasi::http::Fields,
        "wasi:http/types.outgoing-request": crate::plugin::wasi::http::Request,
        "wasi:http/types.request-options": crate::plugin::wasi::http::Options,
        "wasi:http/types.outgoing-body": crate::plugin::wasi::http::Body,
        "wasi:http/types.outgoing-response": crate::plugin::wasi::http::Response,
    },
});
