//! A list of what a component is made of, in CycloneDX 1.5: what the host knows of it, and the languages and tools that its
//! `producers` sections name. An author who knows more puts `NAME.cdx.json` beside the component.

use anyhow::Context as _;
use serde_json::{Value, json};

use message::hex;
use plugins::{Inspection, Producer, producers};

/// The list, the same for the same component.
pub(super) fn of(inspection: &Inspection, component: &[u8]) -> anyhow::Result<Vec<u8>> {
    let (roles, about) = inspection.found.as_ref().ok().context("the component is no plugin")?;
    let property = |name: &str, value: &str| json!({ "name": format!("sesame:{name}"), "value": value });
    let mut properties: Vec<Value> = inspection.contracts.iter().map(|version| property("contract", version)).collect();
    properties.push(property("roles", &roles.to_string()));
    properties.extend(inspection.imports.iter().map(|import| property("import", &import.name)));
    let list = json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": { "component": {
            "type": "library", "bom-ref": "component", "name": about.name, "version": about.version,
            "description": about.summary,
            "hashes": [{ "alg": "SHA-256", "content": hex(&inspection.sha256) }],
            "properties": properties,
        }},
        "components": producers(component).iter().enumerate().map(|(at, producer)| tool(at, producer)).collect::<Vec<_>>(),
    });
    Ok(serde_json::to_vec_pretty(&list)?)
}

fn tool(at: usize, producer: &Producer) -> Value {
    let Producer { field, name, version } = producer;
    json!({
        "type": "application", "bom-ref": format!("producer-{at}"), "name": name, "version": version,
        "properties": [{ "name": "sesame:producer", "value": field }],
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::plugins;
    use super::*;

    #[test]
    fn lists_what_a_stock_plugin_is_and_was_made_with() {
        let component = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/passthrough.wasm")).unwrap();
        let inspection = plugins("/nonexistent".into()).unwrap().inspect_trusted(&component);
        let list: Value = serde_json::from_slice(&of(&inspection, &component).unwrap()).unwrap();
        let about = &list["metadata"]["component"];
        assert_eq!((about["name"].as_str(), list["specVersion"].as_str()), (Some("passthrough"), Some("1.5")));
        assert_eq!(about["hashes"][0]["content"], hex(&inspection.sha256));
        let made_with = list["components"].as_array().unwrap();
        assert!(
            made_with
                .iter()
                .any(|one| one["name"] == "wit-component" && one["properties"][0]["value"] == "processed-by")
        );
    }
}
