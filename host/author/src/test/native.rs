//! `sesame plugin case`: a test case for a plugin that runs outside WebAssembly, in pytest, node:test, `cargo test` or
//! `go test`. The helper of the language calls the plugin; what a case is, in which order the roles are called and when the
//! answer is the expected one stays here.
//!
//! # Protocol
//! Each side writes one JSON object a line. This side asks on standard output, the helper answers on standard input, `ok`
//! or `error`. A payload is a list of bytes, names are as in `wit/plugin.wit` with `_`, and what is left out is null.
//!
//! | asked | answer |
//! |---|---|
//! | `{"call": "describe"}` | `{"ok": {"roles": ["validator"], "config_schema": "…"}}` |
//! | `{"call": "init", "config": "{…}", "tables": {"NAME": {"KEY": [["COLUMN", "VALUE"], …]}}}` | `{"ok": null}`, `{"error": "why not"}` |
//! | `{"call": "validate", "message": {"context": {…}, "payload": […]}}` | `{"ok": [finding, …]}` |
//! | `{"call": "transform", "message": …}` | `{"ok": {"verdict": {"replaced": output}, "findings": […]}}` |
//! | `{"call": "route", "message": …}` | `{"ok": ["name", …]}` |
//! | `{"done": ["line of the difference", …]}` | none; the list is empty if the case passed |
//!
//! The error of a role is `{"invalid": [finding, …]}`, `{"retry": {"reason": "…", "after": 1}}` or `{"internal": "…"}`.

use std::io::{BufRead, Lines, StdinLock, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::super::{Host, NativeCase, build, settings_beside, surroundings_beside};
use super::answer::{Answer, Content};
use super::case::Case;
use super::differences;
use message::{Direction, Finding, Severity};
use plugins::{Outcome, Provided, Refused};
use tables::{Row, Table};
use terminal::{EXIT_DONE, EXIT_FAILED};

/// The name of the only plugin, in an outcome.
const PLUGIN: &str = "plugin";

pub(crate) fn run(arguments: &NativeCase, host: &Host) -> anyhow::Result<u8> {
    let folder = &arguments.case;
    let component = build::component_of(&arguments.project)?;
    let case = Case::read(folder, &settings_beside(&component)?)?;
    let Some(wanted) = Answer::read(folder)? else {
        bail!("{} has no expected.toml: write it, or use `sesame plugin test --update`", folder.display())
    };
    let (found, contents) =
        Helper { replies: std::io::stdin().lock().lines(), component, max_payload: host.max_payload }.answer(&case)?;
    let lines = differences(folder, &wanted, &found, &contents)?;
    let failed = !lines.is_empty();
    say(&json!({ "done": lines }))?;
    Ok(if failed { EXIT_FAILED } else { EXIT_DONE })
}

fn say(line: &Value) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("cannot write to the language's helper")
}

/// What a plugin says of itself.
#[derive(Deserialize)]
struct Described {
    roles: Vec<String>,
    config_schema: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reply<T, E> {
    Ok(T),
    Error(E),
}

/// `failure` of the contract.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Failure {
    Invalid(Vec<Found>),
    Retry { reason: String, after: Option<u64> },
    Internal(String),
}

/// `finding` of the contract.
#[derive(Deserialize)]
struct Found {
    severity: Severity,
    code: String,
    text: String,
    record_number: Option<u32>,
    field: Option<String>,
    value: Option<String>,
}

/// `transformed` of the contract; no verdict is `unchanged`.
#[derive(Default, Deserialize)]
struct Transformed {
    verdict: Option<Verdict>,
    findings: Vec<Found>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Replaced(Output),
    Split(Vec<Part>),
    Dropped(Found),
}

#[derive(Deserialize)]
struct Output {
    payload: Vec<u8>,
    content_type: Option<String>,
    set_headers: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct Part {
    content: Output,
    refused: Option<Vec<Found>>,
}

impl From<Found> for Finding {
    fn from(found: Found) -> Self {
        let Found { severity, code, text, record_number, field, value } = found;
        Self { severity, code, text, record_number, field, value }
    }
}

fn findings(found: Vec<Found>) -> Vec<Finding> {
    found.into_iter().map(Finding::from).collect()
}

/// Why the plugin is asked no further.
enum Stop {
    Outcome(Box<Outcome>),
    Failed(String),
    /// The helper and not the plugin failed.
    Helper(anyhow::Error),
}

impl From<anyhow::Error> for Stop {
    fn from(error: anyhow::Error) -> Self {
        Self::Helper(error)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        let plugin = PLUGIN.to_owned();
        match failure {
            Failure::Invalid(found) if found.is_empty() => Self::Failed("a refusal without a finding".to_owned()),
            Failure::Invalid(found) => Self::Outcome(Box::new(Outcome::Invalid { findings: findings(found), plugin })),
            Failure::Retry { reason, after } => {
                let after = after.map(Duration::from_millis);
                Self::Outcome(Box::new(Outcome::Retry { after, reason, plugin }))
            }
            Failure::Internal(text) => Self::Failed(text),
        }
    }
}

/// The language's helper, which calls the plugin.
struct Helper {
    replies: Lines<StdinLock<'static>>,
    /// Where the component is or would be; tables and secrets are beside it.
    component: PathBuf,
    max_payload: usize,
}

impl Helper {
    fn answer(&mut self, case: &Case) -> anyhow::Result<(Answer, Vec<Content>)> {
        match self.outcome(case) {
            Ok(outcome) => Ok(Answer::of(outcome)),
            Err(Stop::Outcome(outcome)) => Ok(Answer::of(*outcome)),
            Err(Stop::Failed(reason)) => Ok((Answer::failed(reason), Vec::new())),
            Err(Stop::Helper(error)) => Err(error),
        }
    }

    /// Calls the plugin as the host does: validator, transformer, then the router for each output.
    fn outcome(&mut self, case: &Case) -> Result<Outcome, Stop> {
        let roles = self.begin(case)?;
        let has = |role: &str| roles.iter().any(|one| one == role);
        let message = message_of(case, self.max_payload);
        let mut notes = Vec::new();
        if has("validator") {
            notes = findings(self.role::<Vec<Found>>("validate", &message)?);
        }
        let mut changed = Transformed::default();
        if has("transformer") {
            changed = self.role("transform", &message)?;
        }
        notes.extend(findings(changed.findings));
        let mut route = |message: &Value, output: message::Output| -> Result<message::Output, Stop> {
            if !has("router") {
                return Ok(output);
            }
            let routes = known(self.role("route", message)?, &case.routes)?;
            Ok(message::Output { routes, ..output })
        };
        let (mut outputs, mut refused) = (Vec::new(), Vec::new());
        match changed.verdict {
            None => outputs.push(route(&message, unchanged())?),
            Some(Verdict::Replaced(output)) => {
                let (message, output) = replaced(&message, output, None)?;
                outputs.push(route(&message, output)?);
            }
            Some(Verdict::Split(parts)) if parts.is_empty() => {
                return Err(Stop::Failed("a split into no parts".to_owned()));
            }
            Some(Verdict::Split(parts)) => {
                for (at, Part { content, refused: found }) in parts.into_iter().enumerate() {
                    let (message, output) = replaced(&message, content, Some(at + 1))?;
                    match found {
                        None => outputs.push(route(&message, output)?),
                        Some(found) => refused.push(refused_part(output, findings(found), at + 1)),
                    }
                }
            }
            Some(Verdict::Dropped(finding)) => {
                return Ok(Outcome::Dropped { finding: finding.into(), plugin: PLUGIN.to_owned() });
            }
        }
        Ok(Outcome::Pass { outputs, refused, findings: notes })
    }

    /// Gives the plugin its configuration; the roles it has.
    fn begin(&mut self, case: &Case) -> Result<Vec<String>, Stop> {
        let described = match self.ask::<Described, String>(&json!({ "call": "describe" }))? {
            Reply::Ok(described) => described,
            Reply::Error(reason) => return Err(Stop::Failed(reason)),
        };
        let (around, settings) = (surroundings_beside(&self.component), &case.settings);
        let provided = Provided::gather(&around, &settings.tables, &settings.config).map_err(Stop::Failed)?;
        let config = provided.config();
        if let Some(schema) = &described.config_schema {
            plugins::check_config(schema, &config).map_err(|error| Stop::Failed(error.to_string()))?;
        }
        let config = if config.is_null() { "{}".to_owned() } else { config.to_string() };
        let tables: Value = provided.tables().map(|(name, table)| (name.to_owned(), rows(table))).collect();
        match self.ask::<(), String>(&json!({ "call": "init", "config": config, "tables": tables }))? {
            Reply::Ok(()) => Ok(described.roles),
            Reply::Error(reason) => Err(Stop::Failed(format!("refused its configuration: {reason}"))),
        }
    }

    fn role<T: DeserializeOwned>(&mut self, function: &str, message: &Value) -> Result<T, Stop> {
        match self.ask::<T, Failure>(&json!({ "call": function, "message": message }))? {
            Reply::Ok(answer) => Ok(answer),
            Reply::Error(failure) => Err(failure.into()),
        }
    }

    fn ask<T: DeserializeOwned, E: DeserializeOwned>(&mut self, question: &Value) -> anyhow::Result<Reply<T, E>> {
        say(question)?;
        let line = self.replies.next().context("the language's helper ended without an answer")?;
        let line = line.context("cannot read from the language's helper")?;
        serde_json::from_str(&line).with_context(|| format!("cannot read the answer of the language's helper: {line}"))
    }
}

/// The rows of a table by key.
fn rows(table: &Table) -> Value {
    let row = |row: Row<'_>| row.fields().map(|(name, value)| json!([name, value])).collect::<Value>();
    table.rows().map(|(key, fields)| (key.to_owned(), row(fields))).collect()
}

/// `message` of the contract.
fn message_of(case: &Case, max_payload: usize) -> Value {
    let input = case.input();
    let pairs = |pairs: &[(String, String)]| pairs.iter().map(|(name, value)| json!([name, value])).collect::<Value>();
    let signer = input.signer.map(|signer| {
        let slash = signer.subject_slash.iter().map(|dn| json!(["subject-slash", dn]));
        json!({
            "subject": signer.subject, "issuer": signer.issuer, "serial": signer.serial, "not_after": signer.not_after,
            "certificate": signer.certificate, "properties": slash.collect::<Value>(),
        })
    });
    let mut properties = input.properties.to_vec();
    properties.push(("max-payload-bytes".to_owned(), max_payload.to_string()));
    let direction = if case.direction == Direction::Inbound { "inbound" } else { "outbound" };
    let context = json!({
        "direction": direction, "message_id": input.message_id.as_str(), "channel": case.channel,
        "destination": input.destination, "content_type": input.content_type, "signer": signer,
        "received_at": input.received_at, "attempt": input.attempt,
        "transport_headers": pairs(input.transport_headers), "properties": pairs(&properties),
    });
    json!({ "context": context, "payload": case.message })
}

fn unchanged() -> message::Output {
    message::Output { payload: None, content_type: None, headers: Vec::new(), routes: Vec::new(), part: None }
}

/// The message with new content, and what goes on.
fn replaced(message: &Value, output: Output, part: Option<usize>) -> Result<(Value, message::Output), Stop> {
    let Output { payload, content_type, set_headers } = output;
    if payload.is_empty() {
        return Err(Stop::Failed("an empty payload".to_owned()));
    }
    let mut context = message.get("context").cloned().unwrap_or_default();
    let mut retyped = None;
    if let (Some(content_type), Some(context)) = (content_type, context.as_object_mut()) {
        let before = context.insert("content_type".to_owned(), json!(content_type));
        retyped = (before != Some(json!(content_type))).then_some(content_type);
    }
    let message = json!({ "context": context, "payload": payload });
    let made =
        message::Output { payload: Some(payload), content_type: retyped, headers: set_headers, part, ..unchanged() };
    Ok((message, made))
}

fn refused_part(output: message::Output, findings: Vec<Finding>, part: usize) -> Refused {
    let message::Output { payload, content_type, .. } = output;
    Refused { payload: payload.unwrap_or_default(), content_type, findings, plugin: PLUGIN.to_owned(), part }
}

/// The routes that were named, each once, which the channel must have.
fn known(named: Vec<String>, routes: &[String]) -> Result<Vec<String>, Stop> {
    let mut kept = Vec::new();
    for name in named {
        if name != "default" && !routes.contains(&name) {
            return Err(Stop::Failed(format!("the route {name:?}, which the channel does not have")));
        }
        if !kept.contains(&name) {
            kept.push(name);
        }
    }
    Ok(kept)
}
