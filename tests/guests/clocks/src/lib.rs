//! A validator that reads the clock.

use std::time::SystemTime;

use sesame_plugin::{Failure, Finding, Message, NoConfig, Plugin, Validator};

struct Clocks;

impl Plugin for Clocks {
    type Config = NoConfig;
    const NAME: &'static str = "clocks";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Looks at the clock, or would.";

    fn new(_: NoConfig) -> Result<Self, String> {
        Ok(Self)
    }
}

impl Validator for Clocks {
    fn validate(&self, _: &Message) -> Result<Vec<Finding>, Failure> {
        let now = SystemTime::now();
        Ok(vec![Finding::warning("clocks.now", format!("{now:?}"))])
    }
}

sesame_plugin::export!(Clocks: validator);
