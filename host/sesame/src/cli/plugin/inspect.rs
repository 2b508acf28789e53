//! `sesame plugin inspect`: what a component is and wants, before it is trusted with a message. Of its code only `describe`
//! is run, in the sandbox and with the limits of every plugin; for a component that would be refused it shows why.

use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::super::queue::read_file;
use super::super::{EXIT_DONE, EXIT_FAILED, output};
use super::Inspect;
use crate::cli::context::Context;
use crate::config;
use message::hex;
use plugins::{CONTRACTS_SERVED, Inspection, MAX_COMPONENT_BYTES, signature_of, stock_component, stock_plugins};

pub(super) fn run(arguments: &Inspect, context: &Context) -> anyhow::Result<u8> {
    let file = &arguments.file;
    let bytes = component(file)?;
    // On an author's machine there is none, and a mistake in it is another command's business.
    let of_service = context.config().map_or_else(|_| config::PLUGIN_CACHE.into(), |config| config.plugins.cache);
    let inspection = super::plugins(of_service)?.inspect(&name(file), &bytes);
    let signature = signature_beside(file);
    if arguments.json {
        output::json(&json_of(file, &inspection, signature));
    } else {
        lines(file, &inspection, signature).iter().for_each(|line| output::line(line));
    }
    Ok(if inspection.found.is_ok() { EXIT_DONE } else { EXIT_FAILED })
}

fn name(file: &Path) -> String {
    file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned()
}

/// The bytes of a file, or of the stock plugin `builtin:NAME`.
pub(super) fn component(file: &Path) -> anyhow::Result<Vec<u8>> {
    if let Some(found) = file.to_str().and_then(stock_component) {
        let names = || stock_plugins().collect::<Vec<_>>().join(", ");
        return found.map(<[u8]>::to_vec).with_context(|| format!("unknown stock plugin (known: {})", names()));
    }
    let bytes = read_file(file, MAX_COMPONENT_BYTES)
        .map_err(|error| anyhow::Error::new(error).context(format!("cannot read {}", file.display())))?;
    // A component that is too large is refused by its first byte more than may be.
    Ok(bytes.unwrap_or_else(|| vec![0; usize::try_from(MAX_COMPONENT_BYTES + 1).unwrap_or(usize::MAX)]))
}

/// What is known of the component's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signature {
    Absent,
    /// `FILE.p7s` is there.
    Beside,
}

/// Looks for the detached signature `FILE.p7s`. Whose signatures count is in the configuration, which is not read here: they are
/// verified when the plugin is adopted, and by `sesame check`.
fn signature_beside(file: &Path) -> Signature {
    if signature_of(file).is_file() { Signature::Beside } else { Signature::Absent }
}

impl Signature {
    fn words(self) -> &'static str {
        match self {
            Self::Absent => "none beside it",
            Self::Beside => "beside it; `sesame check` verifies it once it is in the plugin folder",
        }
    }
}

fn lines(file: &Path, inspection: &Inspection, signature: Signature) -> Vec<String> {
    let mut lines = Vec::new();
    let mut add = |name: &str, text: &str| lines.push(format!("{name:<12} {text}"));
    add("file", &format!("{}, {} bytes", file.display(), inspection.size));
    add("sha256", &hex(&inspection.sha256));
    add("signature", signature.words());
    if !inspection.contracts.is_empty() {
        let contracts = inspection.contracts.join(", ");
        add("contract", &format!("{contracts} (this host serves {CONTRACTS_SERVED})"));
    }
    if let Ok((roles, description)) = &inspection.found {
        add("roles", &roles.to_string());
        add("name", &format!("{} {}", description.name, description.version));
        add("summary", &description.summary);
    }
    for import in &inspection.imports {
        let word = import.grant.words();
        add("import", &format!("{}: {word}", import.name));
    }
    match &inspection.found {
        Ok((_, description)) => {
            for (at, line) in schema(description.config_schema.as_deref()).iter().enumerate() {
                add(if at == 0 { "config" } else { "" }, line);
            }
            add("verdict", "can be used");
        }
        Err(error) => add("verdict", &format!("would be refused: it {error}")),
    }
    lines
}

/// The schema of the configuration, one line for each line of its JSON.
fn schema(text: Option<&str>) -> Vec<String> {
    let Some(text) = text else { return vec!["no schema".to_owned()] };
    let pretty = serde_json::from_str::<Value>(text).ok().and_then(|value| serde_json::to_string_pretty(&value).ok());
    pretty.as_deref().unwrap_or(text).lines().map(str::to_owned).collect()
}

fn json_of(file: &Path, inspection: &Inspection, signature: Signature) -> Value {
    let imports = inspection
        .imports
        .iter()
        .map(|import| json!({ "name": import.name, "granted": import.grant != plugins::Grant::Refused }));
    let mut value = json!({
        "file": file.to_string_lossy(), "size": inspection.size, "sha256": hex(&inspection.sha256),
        "signature-beside": signature == Signature::Beside, "contract": inspection.contracts,
        "imports": imports.collect::<Vec<_>>(),
    });
    let rest = match &inspection.found {
        Ok((roles, description)) => json!({
            "roles": roles.to_string().split(", ").collect::<Vec<_>>(), "name": description.name,
            "version": description.version, "summary": description.summary, "refused": null,
            "config-schema": description.config_schema.as_deref().map(parsed),
        }),
        Err(error) => json!({ "refused": error.to_string() }),
    };
    if let (Some(all), Value::Object(rest)) = (value.as_object_mut(), rest) {
        all.extend(rest);
    }
    value
}

/// The schema as JSON, or as a text if it is none.
fn parsed(schema: &str) -> Value {
    serde_json::from_str(schema).unwrap_or_else(|_| Value::String(schema.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::plugins;
    use super::*;

    fn stock() -> Vec<u8> {
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/passthrough.wasm")).unwrap()
    }

    #[test]
    fn a_stock_plugin_is_named_as_in_a_pipeline() {
        assert_eq!(component(Path::new("builtin:passthrough")).unwrap(), stock());
        let error = component(Path::new("builtin:nothing")).unwrap_err().to_string();
        assert!(error.contains("known: passthrough"), "{error}");
    }

    #[test]
    fn shows_what_a_component_is_and_wants() {
        let inspection = plugins("/nonexistent".into()).unwrap().inspect_trusted(&stock());
        let shown = lines(Path::new("p.wasm"), &inspection, Signature::Absent).join("\n");
        for expected in
            ["roles        ", "name         passthrough", "sesame:plugin/types@", ": granted", "verdict      can be"]
        {
            assert!(shown.contains(expected), "{expected} not in\n{shown}");
        }
        let value = json_of(Path::new("p.wasm"), &inspection, Signature::Beside);
        assert_eq!((value["refused"].is_null(), value["signature-beside"].as_bool()), (true, Some(true)));
    }

    #[test]
    fn says_why_a_file_would_be_refused() {
        let inspection = plugins("/nonexistent".into()).unwrap().inspect_trusted(b"#!/bin/sh\n");
        let shown = lines(Path::new("p.wasm"), &inspection, Signature::Absent).join("\n");
        assert!(shown.contains("verdict      would be refused: it is not a WebAssembly component"), "{shown}");
        assert!(json_of(Path::new("p.wasm"), &inspection, Signature::Absent)["refused"].is_string());
    }
}
