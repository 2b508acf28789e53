//! Built for a version of the contract that no host serves.

wit_bindgen::generate!({
    inline: "
        package sesame:plugin@0.8.0;
        interface lifecycle { init: func(config: string) -> result<_, string>; }
        interface validator { validate: func(payload: list<u8>) -> result<_, string>; }
        world plugin { export lifecycle; export validator; }",
});

use exports::sesame::plugin::{lifecycle, validator};

struct Old;

impl lifecycle::Guest for Old {
    fn init(_: String) -> Result<(), String> {
        Ok(())
    }
}

impl validator::Guest for Old {
    fn validate(_: Vec<u8>) -> Result<(), String> {
        Ok(())
    }
}

export!(Old);
