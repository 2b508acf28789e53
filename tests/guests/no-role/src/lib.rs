//! Exports what every plugin must and no role.

use sesame_plugin::bindings::{lifecycle, lifecycle_world};

struct Nothing;

impl lifecycle::Guest for Nothing {
    fn describe() -> lifecycle::Description {
        let (name, version, summary) = ("nothing".to_owned(), "0".to_owned(), "Has no role.".to_owned());
        lifecycle::Description { name, version, summary, config_schema: None, properties: vec![] }
    }

    fn init(_: String) -> Result<(), String> {
        Ok(())
    }
}

lifecycle_world::export_lifecycle!(Nothing with_types_in lifecycle_world);
