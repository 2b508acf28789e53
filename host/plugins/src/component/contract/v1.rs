//! `sesame:plugin@1.x`: the types that the rest of the host works with, passed on as they are.

use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre};

use super::{Answered, Description, Exports, Finding, Message, Roles, Transformed, indices};
use crate::component::bindings;

indices!();

impl<T: Send + 'static> Exports<T> for Indices {
    fn compare(&self, store: &mut Store<T>, instance: &Instance) -> wasmtime::Result<()> {
        self.load_all(store, instance)
    }

    fn describe(&self, store: &mut Store<T>, instance: &Instance) -> wasmtime::Result<Description> {
        self.lifecycle.load(&mut *store, instance)?.call_describe(store)
    }

    fn init(&self, store: &mut Store<T>, instance: &Instance, config: &str) -> wasmtime::Result<Result<(), String>> {
        self.lifecycle.load(&mut *store, instance)?.call_init(store, config)
    }

    fn validate(&self, store: &mut Store<T>, instance: &Instance, message: &Message) -> Answered<Vec<Finding>> {
        let Some(indices) = &self.validator else { return Ok(None) };
        indices.load(&mut *store, instance)?.call_validate(store, message).map(Some)
    }

    fn transform(&self, store: &mut Store<T>, instance: &Instance, message: &Message) -> Answered<Transformed> {
        let Some(indices) = &self.transformer else { return Ok(None) };
        indices.load(&mut *store, instance)?.call_transform(store, message).map(Some)
    }

    fn route(&self, store: &mut Store<T>, instance: &Instance, message: &Message) -> Answered<Vec<String>> {
        let Some(indices) = &self.router else { return Ok(None) };
        indices.load(&mut *store, instance)?.call_route(store, message).map(Some)
    }
}
