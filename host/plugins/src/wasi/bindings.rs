//! WASI 0.2 in Rust, made from `wit/wasi`. Handles that a guest can hold have a type of ours; those that are never given
//! out keep the empty type that is made for them.
#![allow(missing_docs, unreachable_pub, clippy::all, clippy::indexing_slicing, reason = "generated code")]

wasmtime::component::bindgen!({
    path: "../../wit/wasi/0.2.12.wit",
    world: "sesame:wasi/stand-ins",
    imports: { default: trappable },
    with: {
        "wasi:io/poll.pollable": crate::wasi::clocks::Pollable,
        "wasi:io/streams.input-stream": crate::wasi::streams::Input,
        "wasi:io/streams.output-stream": crate::wasi::streams::Output,
        "wasi:filesystem/types.descriptor": crate::wasi::files::Directory,
        "wasi:filesystem/types.directory-entry-stream": crate::wasi::files::NoEntries,
        "wasi:sockets/network.network": crate::wasi::sockets::NoNetwork,
        "wasi:http/types.fields": crate::wasi::http::Fields,
        "wasi:http/types.outgoing-request": crate::wasi::http::Request,
        "wasi:http/types.request-options": crate::wasi::http::Options,
        "wasi:http/types.outgoing-body": crate::wasi::http::Body,
        "wasi:http/types.outgoing-response": crate::wasi::http::Response,
    },
});
