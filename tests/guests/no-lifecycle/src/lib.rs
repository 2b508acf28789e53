//! Exports a role and not what every plugin must export.

use sesame_plugin::bindings::{validator, validator_world};
use sesame_plugin::{Failure, Finding, Message};

struct Validator;

impl validator::Guest for Validator {
    fn validate(_: Message) -> Result<Vec<Finding>, Failure> {
        Ok(vec![])
    }
}

validator_world::export_validator!(Validator with_types_in validator_world);
