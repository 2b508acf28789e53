//! A validator that opens a network connection.

use std::net::TcpStream;

use sesame_plugin::{Failure, Finding, Message, NoConfig, Plugin, Validator};

struct Sockets;

impl Plugin for Sockets {
    type Config = NoConfig;
    const NAME: &'static str = "sockets";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Opens a connection, or would.";

    fn new(_: NoConfig) -> Result<Self, String> {
        Ok(Self)
    }
}

impl Validator for Sockets {
    fn validate(&self, _: &Message) -> Result<Vec<Finding>, Failure> {
        let stream = TcpStream::connect("localhost:80").map_err(|error| Failure::Internal(error.to_string()))?;
        Ok(vec![Finding::warning("sockets.open", format!("{stream:?}"))])
    }
}

sesame_plugin::export!(Sockets: validator);
