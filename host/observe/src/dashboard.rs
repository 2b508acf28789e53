//! The dashboard: a page for browsers, in the program itself.
//!
//! Its files are in `dashboard/` as they are served: no framework, nothing to build, nothing from elsewhere. The page asks the
//! paths of `/api` and shows what they say. The policy that goes with it lets a browser run and load nothing but these files,
//! and lets no text become markup.

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY};
use axum::response::Response;
use axum::routing::get;
use std::sync::Arc;

use crate::answer::answer;
use crate::shared::Shared;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Path, type and content of each file.
const FILES: [(&str, &str, &str); 10] = [
    ("/", HTML, include_str!("dashboard/index.html")),
    ("/app.js", SCRIPT, include_str!("dashboard/app.js")),
    ("/channels.js", SCRIPT, include_str!("dashboard/channels.js")),
    ("/control.js", SCRIPT, include_str!("dashboard/control.js")),
    ("/dom.js", SCRIPT, include_str!("dashboard/dom.js")),
    ("/flow.js", SCRIPT, include_str!("dashboard/flow.js")),
    ("/format.js", SCRIPT, include_str!("dashboard/format.js")),
    ("/messages.js", SCRIPT, include_str!("dashboard/messages.js")),
    ("/tables.js", SCRIPT, include_str!("dashboard/tables.js")),
    ("/style.css", "text/css; charset=utf-8", include_str!("dashboard/style.css")),
];
const ICON: &str = include_str!("dashboard/icon.svg");

/// The routes of the files.
pub(crate) fn router() -> Router<Arc<Shared>> {
    let files = FILES.into_iter().chain([("/icon.svg", "image/svg+xml", ICON)]);
    files.fold(Router::new(), |router, (path, kind, content)| {
        router.route(path, get(move || async move { file(kind, content) }))
    })
}

fn file(kind: &'static str, content: &'static str) -> Response {
    let mut response = answer(StatusCode::OK, kind, content);
    let headers = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What makes markup or code of a text, or keeps something beyond the page.
    const FORBIDDEN: &[&str] = &[
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "DOMParser",
        "createContextualFragment",
        "setHTMLUnsafe",
        "srcdoc",
        "eval(",
        "new Function",
        "localStorage",
        "sessionStorage",
        "indexedDB",
        "document.cookie",
        "javascript:",
    ];

    #[test]
    fn nothing_in_the_page_reads_markup_or_names_another_host() {
        for (path, _, content) in FILES {
            for forbidden in FORBIDDEN {
                assert!(!content.contains(forbidden), "{path}: {forbidden}");
            }
            let elsewhere = content.replace("http://www.w3.org/2000/svg", "");
            assert!(!elsewhere.contains("http://") && !elsewhere.contains("https://"), "{path}");
        }
        let (.., page) = FILES[0];
        for inline in [" style=", "<style", " onclick", " onload", "<script>", "javascript:"] {
            assert!(!page.contains(inline), "{inline}");
        }
    }

    #[test]
    fn the_page_is_small_and_every_file_is_used() {
        let all: usize = FILES.iter().map(|(.., content)| content.len()).sum::<usize>() + ICON.len();
        assert!(all < 100_000, "{all} bytes");
        for (path, ..) in &FILES[1..] {
            let used = FILES.iter().any(|(other, _, content)| {
                other != path && (content.contains(&format!("\"{path}\"")) || content.contains(&format!("\".{path}\"")))
            });
            assert!(used, "{path}");
        }
    }
}
