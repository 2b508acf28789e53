//! `sesame:plugin@7.x`, a major that only the tests support: it shows what a second major needs. Each type is converted to or
//! from that of the newest major, field by field, and nothing else is done. What it imports is in `instance/made_up`.

use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre};

use super::{Answered, Description, Exports, Roles, indices};
use crate::component::bindings::{self as newest, made_up as bindings, transformer, types};

indices!();

impl<T: Send + 'static> Exports<T> for Indices {
    fn compare(&self, store: &mut Store<T>, instance: &Instance) -> wasmtime::Result<()> {
        self.load_all(store, instance)
    }

    fn describe(&self, store: &mut Store<T>, instance: &Instance) -> wasmtime::Result<Description> {
        self.lifecycle.load(&mut *store, instance)?.call_describe(store).map(Into::into)
    }

    fn init(&self, store: &mut Store<T>, instance: &Instance, config: &str) -> wasmtime::Result<Result<(), String>> {
        self.lifecycle.load(&mut *store, instance)?.call_init(store, config)
    }

    fn validate(
        &self,
        store: &mut Store<T>,
        instance: &Instance,
        message: &types::Message,
    ) -> Answered<Vec<types::Finding>> {
        let Some(indices) = &self.validator else { return Ok(None) };
        let answer = indices.load(&mut *store, instance)?.call_validate(store, &message.into())?;
        Ok(Some(answer.map(all).map_err(Into::into)))
    }

    fn transform(
        &self,
        store: &mut Store<T>,
        instance: &Instance,
        message: &types::Message,
    ) -> Answered<transformer::Transformed> {
        let Some(indices) = &self.transformer else { return Ok(None) };
        let answer = indices.load(&mut *store, instance)?.call_transform(store, &message.into())?;
        Ok(Some(answer.map(Into::into).map_err(Into::into)))
    }

    fn route(&self, store: &mut Store<T>, instance: &Instance, message: &types::Message) -> Answered<Vec<String>> {
        let Some(indices) = &self.router else { return Ok(None) };
        let answer = indices.load(&mut *store, instance)?.call_route(store, &message.into())?;
        Ok(Some(answer.map_err(Into::into)))
    }
}

fn all<A, B: From<A>>(given: Vec<A>) -> Vec<B> {
    given.into_iter().map(Into::into).collect()
}

impl From<&types::Message> for bindings::types::Message {
    fn from(message: &types::Message) -> Self {
        let types::Message { context, payload } = message;
        Self { context: context.into(), payload: payload.clone() }
    }
}

impl From<&types::Context> for bindings::types::Context {
    fn from(context: &types::Context) -> Self {
        let context = context.clone();
        Self {
            direction: match context.direction {
                types::Direction::Outbound => bindings::types::Direction::Outbound,
                types::Direction::Inbound => bindings::types::Direction::Inbound,
            },
            message_id: context.message_id,
            channel: context.channel,
            destination: context.destination,
            content_type: context.content_type,
            signer: context.signer.map(Into::into),
            received_at: context.received_at,
            attempt: context.attempt,
            transport_headers: context.transport_headers,
            properties: context.properties,
        }
    }
}

impl From<types::Signer> for bindings::types::Signer {
    fn from(signer: types::Signer) -> Self {
        let types::Signer { subject, issuer, serial, not_after, certificate, properties } = signer;
        Self { subject, issuer, serial, not_after, certificate, properties }
    }
}

impl From<bindings::lifecycle::Description> for newest::lifecycle::Description {
    fn from(description: bindings::lifecycle::Description) -> Self {
        let bindings::lifecycle::Description { name, version, summary, config_schema, properties } = description;
        Self { name, version, summary, config_schema, properties }
    }
}

impl From<bindings::types::Finding> for types::Finding {
    fn from(finding: bindings::types::Finding) -> Self {
        use bindings::types::Severity;
        let bindings::types::Finding { severity, code, text, record_number, field, value, properties } = finding;
        let severity = match severity {
            Severity::Error => types::Severity::Error,
            Severity::Warning => types::Severity::Warning,
            Severity::Info => types::Severity::Info,
        };
        Self { severity, code, text, record_number, field, value, properties }
    }
}

impl From<bindings::types::Failure> for types::Failure {
    fn from(failure: bindings::types::Failure) -> Self {
        use bindings::types::{Delay, Failure};
        match failure {
            Failure::Invalid(findings) => Self::Invalid(all(findings)),
            Failure::Retry(Delay { after, reason }) => Self::Retry(types::Delay { after, reason }),
            Failure::Internal(text) => Self::Internal(text),
        }
    }
}

impl From<bindings::transformer::Transformed> for transformer::Transformed {
    fn from(transformed: bindings::transformer::Transformed) -> Self {
        use bindings::transformer::Verdict;
        let verdict = match transformed.verdict {
            Verdict::Unchanged => transformer::Verdict::Unchanged,
            Verdict::Replaced(output) => transformer::Verdict::Replaced(output.into()),
            Verdict::Split(parts) => transformer::Verdict::Split(all(parts)),
            Verdict::Dropped(finding) => transformer::Verdict::Dropped(finding.into()),
        };
        Self { verdict, findings: all(transformed.findings) }
    }
}

impl From<bindings::transformer::Part> for transformer::Part {
    fn from(part: bindings::transformer::Part) -> Self {
        Self { content: part.content.into(), refused: part.refused.map(all) }
    }
}

impl From<bindings::transformer::Output> for transformer::Output {
    fn from(output: bindings::transformer::Output) -> Self {
        let bindings::transformer::Output { payload, content_type, set_headers, properties } = output;
        Self { payload, content_type, set_headers, properties }
    }
}
