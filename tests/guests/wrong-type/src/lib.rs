//! Names the contract of today and has other types than it.

wit_bindgen::generate!({
    inline: "
        package sesame:plugin@1.0.0;
        interface lifecycle {
            record description { name: string }
            describe: func() -> description;
            init: func(config: string) -> result<_, string>;
        }
        interface validator { validate: func(payload: list<u8>) -> result<_, string>; }
        world plugin { export lifecycle; export validator; }",
});

use exports::sesame::plugin::{lifecycle, validator};

struct Wrong;

impl lifecycle::Guest for Wrong {
    fn describe() -> lifecycle::Description {
        lifecycle::Description { name: "wrong".to_owned() }
    }

    fn init(_: String) -> Result<(), String> {
        Ok(())
    }
}

impl validator::Guest for Wrong {
    fn validate(_: Vec<u8>) -> Result<(), String> {
        Ok(())
    }
}

export!(Wrong);
