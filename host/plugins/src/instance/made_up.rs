//! What `sesame:plugin@7.x` imports, the major that only the tests support: each call is passed on to the newest major.

use crate::component::bindings::{log, made_up as bindings};
use crate::instance::state::HostState;

impl bindings::types::Host for HostState {}

impl bindings::log::Host for HostState {
    fn write(&mut self, level: bindings::log::Level, text: String) {
        use bindings::log::Level;
        let level = match level {
            Level::Trace => log::Level::Trace,
            Level::Debug => log::Level::Debug,
            Level::Info => log::Level::Info,
            Level::Warn => log::Level::Warn,
            Level::Error => log::Level::Error,
        };
        log::Host::write(self, level, text);
    }
}
