//! The functions of a plugin that is composed into this one, the outer, by `wac plug --plug INNER.wasm OUTER.wasm`.
//!
//! The outer calls [`lifecycle::init`] once, from its own `new`, before any function of a role. What it calls here its
//! component imports, and the composition must have an inner component that exports it; what it does not call is not
//! imported. An error that an inner plugin returns is a value here; a trap or a panic in it ends both.

use crate::{Output, Part, Transformed, Verdict};

pub use imports::sesame::plugin::{lifecycle, router, transformer, validator};

#[allow(missing_docs, clippy::all)]
mod imports {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package sesame:sdk;
            world inner {
                import sesame:plugin/lifecycle@1.0.0;
                import sesame:plugin/validator@1.0.0;
                import sesame:plugin/transformer@1.0.0;
                import sesame:plugin/router@1.0.0;
            }",
        world: "sesame:sdk/inner",
        with: { "sesame:plugin/types@1.0.0": crate::bindings::types },
        generate_all,
    });
}

impl From<transformer::Output> for Output {
    fn from(made: transformer::Output) -> Self {
        let transformer::Output { payload, content_type, set_headers, properties } = made;
        Self { payload, content_type, set_headers, properties }
    }
}

impl From<transformer::Verdict> for Verdict {
    fn from(verdict: transformer::Verdict) -> Self {
        let part = |part: transformer::Part| Part { content: part.content.into(), refused: part.refused };
        match verdict {
            transformer::Verdict::Unchanged => Self::Unchanged,
            transformer::Verdict::Replaced(output) => Self::Replaced(output.into()),
            transformer::Verdict::Split(parts) => Self::Split(parts.into_iter().map(part).collect()),
            transformer::Verdict::Dropped(finding) => Self::Dropped(finding),
        }
    }
}

impl From<transformer::Transformed> for Transformed {
    fn from(made: transformer::Transformed) -> Self {
        Self { verdict: made.verdict.into(), findings: made.findings }
    }
}
