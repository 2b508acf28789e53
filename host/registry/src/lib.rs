//! Plugins in OCI registries, in the layout of `wkg`: [`push`] and [`pull`].
//!
//! A [`Name`] says what and where, [`Settings`] how to get there. What is pulled was compared with its digests and sizes and
//! is in memory: this crate writes no file but that of [`Pins`]. Whether a component is a plugin that may run is the
//! business of others.
//!
//! | module | contents |
//! |---|---|
//! | `layout` | manifests, media types, annotations: how a plugin lies in a registry |
//! | `session` | one push or pull |
//! | `guard` | TLS, and limits on what a registry may do |
//! | `credentials`, `pins` | files of the user |
//!
//! # Limits
//! A component has at most [`Settings::largest`] bytes, a manifest 4 MiB, a sidecar 1 MiB, a signature 256 KiB, an SBOM
//! 4 MiB. A push or pull ends after [`Settings::timeout`], and no server may be silent for more than 30 s.

mod credentials;
mod error;
mod guard;
mod layout;
mod name;
mod pins;
mod session;

pub use credentials::{Credentials, docker_file};
pub use error::RegistryError;
pub use layout::{COMPONENT_TYPE, CONFIG_TYPE, FILES_TYPE, Part, Upload};
pub use name::Name;
pub use pins::Pins;
pub use session::{Pulled, Settings, pull, push};
