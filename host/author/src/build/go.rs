//! Go: the compiler makes a module that asks the system as WASI 0.1 does, which becomes a component that asks it as WASI
//! 0.2 does by an adapter of wasmtime. What the world exports is passed on as build tags.

use std::path::Path;

use anyhow::anyhow;
use wasi_preview1_component_adapter_provider as adapter;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

use super::c::{lookups, read_world, roles};
use super::memory::with_allocator;
use super::{Language, MODULE, START_GO, componentize, finish, python_tool};

/// Builds the project in `folder`; what is made on the way is left in `scratch`.
pub(super) fn build(folder: &Path, scratch: &Path, made: &Path) -> anyhow::Result<()> {
    let (resolve, world) = read_world(&folder.join("wit"))?;
    let remedy = Language::Go.preparation();
    let tags: Vec<String> = roles(&resolve, world).iter().map(|role| format!("sesame_{role}")).collect();
    let mut build = python_tool("go", START_GO, folder, remedy)?;
    // The helper has to know where the runtime takes its memory, see `memory`.
    build.args(["build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w -checklinkname=0"]);
    build.args(["-tags", &tags.join(",")]).arg("-o").arg(scratch.join(MODULE)).arg(".").current_dir(folder);
    // The toolchain that a project names is not fetched.
    build.envs([("GOOS", "wasip1"), ("GOARCH", "wasm"), ("GOTOOLCHAIN", "local")]);
    let older = |error| anyhow!("{error}; if go is older than 1.24: {remedy}");
    finish(&mut build, "go").map_err(older)?;
    componentize(scratch, made, |module| component_of(module, &resolve, world))
}

fn component_of(module: &[u8], resolve: &Resolve, world: WorldId) -> anyhow::Result<Vec<u8>> {
    let mut module = with_allocator(module)?;
    embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8)?;
    let (lookups, of_lookups) = lookups()?;
    embed_component_metadata(&mut module, &lookups, of_lookups, StringEncoding::UTF8)?;
    let name = adapter::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME;
    let encoder = ComponentEncoder::default().validate(true).module(&module)?;
    let mut encoder = encoder.adapter(name, adapter::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)?;
    encoder.encode()
}
