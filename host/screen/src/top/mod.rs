//! The picture in a terminal: what [`run`] shows until the user or a signal ends it.
//!
//! [`Model`] holds what is shown and takes keys; `draw` makes cells of it, and looks at nothing else. `run` owns the
//! terminal: it puts it back at every end. Sesame is asked on a thread of its own, so that keys are answered while it is
//! slow or gone.

mod draw;
mod model;
mod run;
#[cfg(test)]
mod tests;

pub use model::{Key, Model, Next};
pub use run::{Answer, run};
