//! Runs a plugin outside WebAssembly, in `cargo test`, on the cases of `sesame plugin test`:
//!
//! ```text
//! #[test]
//! fn passes_its_cases() {
//!     sesame_plugin::native::cases::<MyPlugin>();
//! }
//! ```
//!
//! The program `sesame` reads a case, says which functions to call and compares the answer (`sesame plugin case`); it is
//! `$SESAME`, or found in `PATH`. Clock, random numbers, files and network are those of this machine here.

use std::cell::RefCell;
use std::io::{BufRead as _, BufReader, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Once;

use serde_json::{Value, json};

use crate::{
    Configuration as _, Context, Direction, Failure, Finding, Message, Output, Plugin, Severity, Signer, Transformed,
    Verdict, tables,
};

/// A plugin with the roles that [`export!`](crate::export) names, which implements this.
pub trait Exported: Plugin {
    /// The names of the roles.
    const ROLES: &'static [&'static str];

    /// As a validator.
    ///
    /// # Errors
    /// As of [`crate::Validator`].
    fn validate_native(&self, _: &Message) -> Result<Vec<Finding>, Failure> {
        Ok(Vec::new())
    }

    /// As a transformer.
    ///
    /// # Errors
    /// As of [`crate::Transformer`].
    fn transform_native(&self, _: &Message) -> Result<Transformed, Failure> {
        Ok(Verdict::Unchanged.into())
    }

    /// As a router.
    ///
    /// # Errors
    /// As of [`crate::Router`].
    fn route_native(&self, _: &Message) -> Result<Vec<String>, Failure> {
        Ok(Vec::new())
    }
}

/// Runs the plugin on each case in the folder `cases` of the project.
///
/// # Panics
/// With the differences of the cases that failed.
pub fn cases<P: Exported>() {
    let project = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from);
    let entries = std::fs::read_dir(project.join("cases")).expect("cannot read the folder `cases` of the project");
    let mut folders: Vec<PathBuf> =
        entries.map(|entry| entry.expect("cannot read the folder `cases`").path()).collect();
    folders.retain(|folder| folder.join("message").is_file());
    folders.sort();
    assert!(!folders.is_empty(), "{} holds no case", project.join("cases").display());
    let mut failed = String::new();
    for folder in folders {
        let difference = run::<P>(&project, &folder);
        if !difference.is_empty() {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            failed += &format!("\nFAILED  {name}\n        {}", difference.join("\n        "));
        }
    }
    assert!(failed.is_empty(), "{failed}");
}

/// The lines of the difference between what the case in this folder expects and what the plugin answers.
fn run<P: Exported>(project: &Path, case: &Path) -> Vec<String> {
    let program = std::env::var("SESAME").unwrap_or_else(|_| "sesame".to_owned());
    let mut command = Command::new(&program);
    command.args(["plugin", "case", "--project"]).arg(project).arg(case);
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut asked = spawned.unwrap_or_else(|error| {
        panic!("cannot run {program}: put sesame into PATH, or its path into SESAME: {error}");
    });
    let mut answers = asked.stdin.take().expect("it is piped");
    let questions = BufReader::new(asked.stdout.take().expect("it is piped"));
    let mut plugin: Option<P> = None;
    let mut difference = None;
    for line in questions.lines() {
        let question: Value = serde_json::from_str(&line.expect("sesame writes text")).expect("sesame writes JSON");
        if let Some(lines) = question["done"].as_array() {
            difference = Some(lines.iter().map(text).collect());
            break;
        }
        writeln!(answers, "{}", answer(&mut plugin, &question)).expect("sesame reads answers");
    }
    drop(answers);
    let _ = asked.wait();
    difference.unwrap_or_else(|| panic!("sesame plugin case ended early, see what it wrote to standard error"))
}

fn answer<P: Exported>(plugin: &mut Option<P>, question: &Value) -> Value {
    note_panics();
    let answered = catch_unwind(AssertUnwindSafe(|| ask(plugin, question)));
    match answered {
        Ok(Ok(answer)) => json!({ "ok": answer }),
        Ok(Err(failure)) => json!({ "error": failure }),
        Err(_) => json!({ "error": { "internal": PANIC.take() } }),
    }
}

thread_local! {
    /// What the last panic of this thread said, as a component's is reported.
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

fn note_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            PANIC.set(format!("panicked at {place}: {}", info.payload_as_str().unwrap_or_default()));
            before(info);
        }));
    });
}

fn ask<P: Exported>(plugin: &mut Option<P>, question: &Value) -> Result<Value, Value> {
    let call = question["call"].as_str().unwrap_or_default();
    match call {
        "describe" => return Ok(json!({ "roles": P::ROLES, "config_schema": P::config_schema() })),
        "init" => {
            tables::grant(question["tables"].as_object().into_iter().flatten().map(|(name, rows)| {
                let rows = rows.as_object().into_iter().flatten();
                (name.clone(), rows.map(|(key, row)| (key.clone(), pairs(row))).collect())
            }));
            let config = P::Config::from_json(question["config"].as_str().unwrap_or_default());
            *plugin = Some(config.and_then(P::new).map_err(Value::String)?);
            return Ok(Value::Null);
        }
        _ => {}
    }
    let plugin = plugin.as_ref().ok_or_else(|| json!({ "internal": "called before init" }))?;
    let message = message(&question["message"]);
    match call {
        "validate" => plugin.validate_native(&message).map(|found| findings(&found)).map_err(|error| failure(&error)),
        "transform" => {
            plugin.transform_native(&message).map(|made| transformed(&made)).map_err(|error| failure(&error))
        }
        _ => plugin.route_native(&message).map(Value::from).map_err(|error| failure(&error)),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn bytes(value: &Value) -> Vec<u8> {
    let bytes = value.as_array().into_iter().flatten();
    bytes.map(|byte| u8::try_from(byte.as_u64().unwrap_or_default()).unwrap_or_default()).collect()
}

fn pairs(value: &Value) -> Vec<(String, String)> {
    value.as_array().into_iter().flatten().map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
}

fn message(given: &Value) -> Message {
    let context = &given["context"];
    let signer = |signer: &Value| Signer {
        subject: text(&signer["subject"]),
        issuer: text(&signer["issuer"]),
        serial: text(&signer["serial"]),
        not_after: signer["not_after"].as_u64().unwrap_or_default(),
        certificate: bytes(&signer["certificate"]),
        properties: pairs(&signer["properties"]),
    };
    let context = Context {
        direction: if context["direction"] == "outbound" { Direction::Outbound } else { Direction::Inbound },
        message_id: text(&context["message_id"]),
        channel: text(&context["channel"]),
        destination: text(&context["destination"]),
        content_type: context["content_type"].as_str().map(str::to_owned),
        signer: Some(&context["signer"]).filter(|given| given.is_object()).map(signer),
        received_at: context["received_at"].as_u64().unwrap_or_default(),
        attempt: context["attempt"].as_u64().and_then(|attempt| attempt.try_into().ok()).unwrap_or(1),
        transport_headers: pairs(&context["transport_headers"]),
        properties: pairs(&context["properties"]),
    };
    Message { context, payload: bytes(&given["payload"]) }
}

fn finding(found: &Finding) -> Value {
    let severity = match found.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "info",
    };
    json!({
        "severity": severity, "code": found.code, "text": found.text, "record_number": found.record_number,
        "field": found.field, "value": found.value,
    })
}

fn findings(found: &[Finding]) -> Value {
    found.iter().map(finding).collect()
}

fn output(made: &Output) -> Value {
    json!({ "payload": made.payload, "content_type": made.content_type, "set_headers": made.set_headers })
}

fn transformed(made: &Transformed) -> Value {
    let part = |part: &crate::Part| json!({ "content": output(&part.content), "refused": part.refused.as_deref().map(findings) });
    let verdict = match &made.verdict {
        Verdict::Unchanged => Value::Null,
        Verdict::Replaced(made) => json!({ "replaced": output(made) }),
        Verdict::Split(parts) => json!({ "split": parts.iter().map(part).collect::<Value>() }),
        Verdict::Dropped(found) => json!({ "dropped": finding(found) }),
    };
    json!({ "verdict": verdict, "findings": findings(&made.findings) })
}

fn failure(failure: &Failure) -> Value {
    match failure {
        Failure::Invalid(found) => json!({ "invalid": findings(found) }),
        Failure::Retry(delay) => json!({ "retry": { "reason": delay.reason, "after": delay.after } }),
        Failure::Internal(text) => json!({ "internal": text }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables;

    /// Looks up its country.
    struct LooksUp;

    impl Plugin for LooksUp {
        type Config = crate::NoConfig;
        const NAME: &'static str = "looks-up";
        const VERSION: &'static str = "1";
        const SUMMARY: &'static str = "Looks up its country.";

        fn new(_: crate::NoConfig) -> Result<Self, String> {
            tables::contains("sites", "").map(|_| Self)
        }
    }

    impl Exported for LooksUp {
        const ROLES: &'static [&'static str] = &["router"];

        fn route_native(&self, _: &Message) -> Result<Vec<String>, Failure> {
            let country = tables::value("sites", "SITE-A", "country").map_err(Failure::Internal)?;
            Ok(country.into_iter().collect())
        }
    }

    #[test]
    fn a_plugin_looks_up_the_tables_of_its_case_and_no_others() {
        let mut plugin = None;
        let mut ask = |question: Value| answer::<LooksUp>(&mut plugin, &question);
        let sites = json!({ "sites": { "SITE-A": [["site", "SITE-A"], ["country", "UK"]] } });
        assert_eq!(ask(json!({ "call": "init", "config": "{}", "tables": sites })), json!({ "ok": null }));
        assert_eq!(ask(json!({ "call": "route", "message": { "payload": [] } })), json!({ "ok": ["UK"] }));
        let refused = json!({ "error": "table \"sites\" is not granted" });
        assert_eq!(ask(json!({ "call": "init", "config": "{}", "tables": {} })), refused);
    }
}
