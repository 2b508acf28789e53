//! Imports an interface that looks like the contract's and is not in it.

wit_bindgen::generate!({
    inline: "
        package sesame:plugin@1.0.0;
        interface secrets { read: func(name: string) -> string; }
        interface lifecycle { init: func(config: string) -> result<_, string>; }
        world plugin { import secrets; export lifecycle; }",
});

use exports::sesame::plugin::lifecycle;

struct More;

impl lifecycle::Guest for More {
    fn init(config: String) -> Result<(), String> {
        Err(sesame::plugin::secrets::read(&config))
    }
}

export!(More);
