//! The stock plugin `builtin:passthrough`: lets every message through as it is.
//!
//! It is what runs where an operator has chosen nothing else, and the shortest example of a plugin.

use sesame_plugin::{Failure, Message, NoConfig, Plugin, Transformed, Transformer, Verdict};

struct Passthrough;

impl Plugin for Passthrough {
    type Config = NoConfig;
    const NAME: &'static str = "passthrough";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Lets every message through as it is.";

    fn new(_: NoConfig) -> Result<Self, String> {
        Ok(Self)
    }
}

impl Transformer for Passthrough {
    fn transform(&self, _: &Message) -> Result<Transformed, Failure> {
        Ok(Verdict::Unchanged.into())
    }
}

sesame_plugin::export!(Passthrough: transformer);
