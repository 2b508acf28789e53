//! The stock plugin `builtin:route-by-type`: chooses a route of the channel by the type of the records.
//!
//! The type is read from the header line, the JSON `Type` or the XML namespace; whether the records are right is for a
//! validator to say. What has no route in the table takes the default route; so does what is of no known type, unless
//! the table names `unknown`.
//!
//!     [config.routes]
//!     cloud = "cloud"
//!     cloud-summary = "cloud"
//!     storage = "storage"

use sesame_plugin::records::shape::Kind;
use sesame_plugin::table::{Table, text};
use sesame_plugin::{Configuration, Failure, Message, Plugin, Router};

struct RouteByType {
    routes: Vec<(Kind, String)>,
}

impl Configuration for RouteByType {
    fn from_json(json: &str) -> Result<Self, String> {
        let routes = Table::read(json, |table| table.entries("routes", text))?;
        let known = |(name, route): (String, String)| match Kind::named(&name) {
            Some(kind) => Ok((kind, route)),
            None => Err(format!("routes: {name:?} is not a record type; the types are {}", Kind::names())),
        };
        Ok(Self { routes: routes.into_iter().map(known).collect::<Result<_, _>>()? })
    }
}

impl Plugin for RouteByType {
    type Config = Self;
    const NAME: &'static str = "route-by-type";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Chooses a route by the type of the records.";

    fn config_schema() -> Option<String> {
        let types = Kind::ALL.map(|kind| format!("\"{}\"", kind.name())).join(", ");
        Some(format!(
            r#"{{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "properties": {{
    "routes": {{
      "description": "For each type of record the name of a route of the channel; others take the default route.",
      "type": "object",
      "propertyNames": {{ "enum": [{types}] }},
      "additionalProperties": {{ "type": "string", "minLength": 1 }}
    }}
  }}
}}"#
        ))
    }

    fn new(config: Self) -> Result<Self, String> {
        Ok(config)
    }
}

impl Router for RouteByType {
    fn route(&self, message: &Message) -> Result<Vec<String>, Failure> {
        let kind = Kind::of(&message.payload);
        Ok(self.routes.iter().filter(|(known, _)| *known == kind).map(|(_, route)| route.clone()).collect())
    }
}

sesame_plugin::export!(RouteByType: router);

#[cfg(test)]
mod tests {
    use sesame_plugin::Direction;

    use super::*;

    fn plugin(config: &str) -> Result<RouteByType, String> {
        RouteByType::from_json(config)
    }

    fn route(config: &str, payload: &str) -> Vec<String> {
        plugin(config).unwrap().route(&Message::sample(Direction::Inbound, payload)).unwrap()
    }

    #[test]
    fn each_type_takes_its_route_and_the_rest_the_default() {
        let config = r#"{"routes": {"cloud": "vms", "accelerator": "gpus", "storage": "disks", "summary": "default"}}"#;
        assert_eq!(route(config, "APEL-cloud-message: v0.4\nSiteName: A\n%%\n"), ["vms"]);
        assert_eq!(route(config, r#"{"Type": "APEL-accelerator-message", "UsageRecords": []}"#), ["gpus"]);
        let star = "<StorageUsageRecord xmlns='http://eu-emi.eu/namespaces/2011/02/storagerecord'/>";
        assert_eq!(route(config, star), ["disks"]);
        assert_eq!(route(config, "APEL-summary-job-message: v0.2\n"), ["default"]);
        assert_eq!(route(config, "APEL-summary-job-message: v0.3\n"), [""; 0]);
        assert_eq!(route(config, "something else"), [""; 0]);
        assert_eq!(route(r#"{"routes": {"unknown": "odd"}}"#, "something else"), ["odd"]);
        assert_eq!(route("{}", star), [""; 0]);
    }

    #[test]
    fn a_slip_in_the_table_is_named() {
        let error = plugin(r#"{"routes": {"clouds": "x"}}"#).err().unwrap();
        assert!(error.contains("\"clouds\" is not a record type; the types are job, summary"), "{error}");
        assert!(plugin(r#"{"route": {}}"#).is_err());
    }
}
