//! WASI 0.2 in Rust, made from `wit/wasi`. Handles that a guest can hold have a type of ours; those that are never given
//! out keep the empty type that is made for them.
#![allow(missing_docs, unreachable_pub, clippy::all, clippy::indexing_slicing, reason = "generated code")]

wasmtime::component::bindgen!({
    path: "../../wit/wasi/0.2.12.wit",
    world: "sesame:wasi/stand-ins",
    imports: { default: trappable },
    with: {
        "wasi:io/poll.pollable": crate::instance::wasi::clocks::Pollable,
        "wasi:io/streams.input-stream": crate::instance::wasi::streams::Input,
        "wasi:io/streams.output-stream": crate::instance::wasi::streams::Output,
        "wasi:filesystem/types.descriptor": crate::instance::wasi::files::Directory,
        "wasi:filesystem/types.directory-entry-stream": crate::instance::wasi::files::NoEntries,
        "wasi:sockets/network.network": crate::instance::wasi::sockets::NoNetwork,
        "wasi:http/types.fields": crate::instance::wasi::http::Fields,
        "wasi:http/types.outgoing-request": crate::instance::wasi::http::Request,
        "wasi:http/types.request-options": crate::instance::wasi::http::Options,
        "wasi:http/types.outgoing-body": crate::instance::wasi::http::Body,
        "wasi:http/types.outgoing-response": crate::instance::wasi::http::Response,
    },
});
