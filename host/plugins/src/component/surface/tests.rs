//! The refusal of each kind of file that is not a plugin.

use wasm_encoder::{
    ComponentExportKind, ComponentExportSection, ComponentImportSection, ComponentTypeRef, ComponentTypeSection,
    InstanceType,
};

use super::*;

/// A component that imports and exports these names, each an empty interface.
fn component(imports: &[&str], exports: &[&str]) -> Vec<u8> {
    let mut types = ComponentTypeSection::new();
    types.instance(&InstanceType::new());
    let (mut section, mut exported) = (ComponentImportSection::new(), ComponentExportSection::new());
    for name in imports {
        section.import(*name, ComponentTypeRef::Instance(0));
    }
    for name in exports {
        exported.export(*name, ComponentExportKind::Instance, 0, None);
    }
    let mut component = wasm_encoder::Component::new();
    component.section(&types).section(&section).section(&exported);
    component.finish()
}

fn refusal(imports: &[&str], exports: &[&str]) -> String {
    let surface = Surface::read(&component(imports, exports)).unwrap();
    format!("it {}", surface.check().unwrap_err())
}

const PLUGIN: [&str; 2] = ["sesame:plugin/lifecycle@1.0.0", "sesame:plugin/validator@1.0.0"];

#[test]
fn the_outer_half_of_a_composition_is_refused_with_the_command_that_composes_it() {
    let imports = ["sesame:plugin/log@1.0.0", "sesame:plugin/lifecycle@1.0.0", "sesame:plugin/validator@1.0.0"];
    let said = "it imports sesame:plugin/lifecycle@1.0.0, sesame:plugin/validator@1.0.0, which a plugin must export: \
                compose it with the plugin that it wraps, `wac plug --plug INNER.wasm OUTER.wasm -o PLUGIN.wasm`";
    assert_eq!(refusal(&imports, &PLUGIN), said);
    // Also where its own exports are missing.
    assert!(refusal(&["sesame:plugin/router@1.0.0"], &[]).contains("which a plugin must export: compose it"));
}

#[test]
fn a_component_for_wasi_0_3_is_refused() {
    let said = "it was built for WASI 0.3 or uses async: build it for WASI 0.2, with synchronous functions";
    assert_eq!(refusal(&["wasi:clocks/system-clock@0.3.0"], &PLUGIN), said);
    assert_eq!(refusal(&["wasi:cli/stdout@0.3.0-rc-2026-02-09"], &PLUGIN), said);
}

#[test]
fn asynchronous_calls_are_found_in_nested_components() {
    let mut canonical = wasm_encoder::CanonicalFunctionSection::new();
    canonical.task_cancel();
    let mut inner = wasm_encoder::Component::new();
    inner.section(&canonical);
    let mut outer = wasm_encoder::Component::new();
    outer.section(&wasm_encoder::NestedComponentSection(&inner));
    let surface = Surface::read(&outer.finish()).unwrap();
    assert_eq!(surface.check(), Err(ComponentError::Async));
}

#[test]
fn programs_and_servers_are_refused_with_what_a_plugin_exports() {
    let command = refusal(&["wasi:cli/environment@0.2.6"], &["wasi:cli/run@0.2.6"]);
    assert!(command.starts_with("it is a command (it exports wasi:cli/run), not a plugin: export sesame"), "{command}");
    let server = refusal(&[], &["wasi:http/incoming-handler@0.2.0"]);
    assert!(server.starts_with("it is an HTTP server"), "{server}");
    // A plugin may also be a program.
    let both = component(&[], &[&PLUGIN[..], &["wasi:cli/run@0.2.6"]].concat());
    assert_eq!(Surface::read(&both).unwrap().check(), Ok(()));
}

#[test]
fn imports_and_versions_are_checked_by_name_before_anything_is_compiled() {
    let missing = refusal(&["wasi:keyvalue/store@0.2.0-draft", "wasi:cli/stderr@0.2.0-rc-2023-11-10"], &PLUGIN);
    let said = "it imports wasi:keyvalue/store@0.2.0-draft, wasi:cli/stderr@0.2.0-rc-2023-11-10, which Sesame does not \
                provide: build it without, or compose it with a component that exports what is missing (`wac plug`)";
    assert_eq!(missing, said);
    let newer = refusal(&[], &["sesame:plugin/lifecycle@2.0.0", "sesame:plugin/validator@2.0.0"]);
    assert!(newer.contains("was built for sesame:plugin@2.0.0, but this host supports 1.x"), "{newer}");
    assert!(refusal(&["sesame:plugin/state@1.3.0"], &PLUGIN).contains("imports sesame:plugin/state@1.3.0"));
    assert!(refusal(&[], &PLUGIN[..1]).contains("exports no role"));
    assert!(refusal(&[], &PLUGIN[1..]).contains("does not export sesame:plugin/lifecycle"));
}

#[test]
fn names_the_imports_that_get_a_stand_in() {
    let imports = ["wasi:clocks/wall-clock@0.2.6", "wasi:cli/environment@0.2.6", "sesame:plugin/log@1.0.0"];
    let surface = Surface::read(&component(&imports, &PLUGIN)).unwrap();
    assert_eq!(surface.check(), Ok(()));
    assert_eq!((surface.stand_ins(), surface.contracts()), (vec![imports[0].to_owned()], vec!["1.0.0".to_owned()]));
}

#[test]
fn a_file_that_is_no_component_is_refused_by_what_it_is() {
    let cases: [(&[u8], &str); 13] = [
        (b"", "is empty"),
        (b"\0as", "does not begin with the bytes of one"),
        (b"#!/bin/sh\n", "does not begin with the bytes of one"),
        (b"\x7fELF\x02\x01\x01\0", "is compiled code"),
        (b"\x1f\x8b\x08\0", "is packed with gzip: unpack it with gunzip first"),
        (b"PK\x03\x04abcd", "is packed with zip: unpack it with unzip first"),
        (b"(component (core module))", "is WebAssembly text: convert it to a component with `wasm-tools parse`"),
        (b"\n  (module)", "is WebAssembly text"),
        (b"<!DOCTYPE html>", "is a web page or XML, not a component: the download failed"),
        (b"-----BEGIN PKCS7-----\n", "is a PEM file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a git-lfs pointer"),
        (b"\0asm\x01\0\0\0", "is a core WebAssembly module, not a component"),
        (b"\0asm\x0d\0\x01\0\x01\x7fxx", "cannot be compiled; it is damaged"),
    ];
    for (bytes, expected) in cases {
        let said = Surface::read(bytes).unwrap_err().to_string();
        assert!(said.contains(expected), "{expected:?} not in {said:?}");
    }
    let compiled = crate::component::engine::engine().unwrap();
    let compiled = compiled.precompile_component(b"\0asm\x0d\0\x01\0").unwrap();
    assert_eq!(Surface::read(&compiled), Err(ComponentError::Compiled));
}

#[test]
fn a_core_module_is_refused_by_the_system_it_was_built_for() {
    let module = |from: &str| {
        let mut types = wasm_encoder::TypeSection::new();
        types.ty().function([], []);
        let mut imports = wasm_encoder::ImportSection::new();
        imports.import(from, "f", wasm_encoder::EntityType::Function(0));
        let mut module = wasm_encoder::Module::new();
        module.section(&types).section(&imports);
        Surface::read(&module.finish()).unwrap_err()
    };
    assert_eq!(module("wasi_snapshot_preview1"), ComponentError::Preview1);
    assert_eq!(module("wasi_unstable"), ComponentError::Preview1);
    assert_eq!(module("__wbindgen_placeholder__"), ComponentError::ForJavaScript);
    assert_eq!(module("gojs"), ComponentError::ForJavaScript);
    assert_eq!(module("env"), ComponentError::CoreModule);
    assert!(
        ComponentError::Preview1.to_string().contains("for WASI 0.1 (preview1), not a component: build it for wasm32")
    );
}

#[test]
fn every_stock_plugin_passes() {
    for name in crate::component::builtin::names() {
        let bytes = crate::component::builtin::find(name).unwrap();
        assert_eq!(Surface::read(bytes).unwrap().check(), Ok(()), "{name}");
    }
}
