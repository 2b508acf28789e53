//! Answers, and what a request asks for.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::Response;
use percent_encoding::percent_decode_str;

pub(crate) const PLAIN: &str = "text/plain; charset=utf-8";
pub(crate) const JSON: &str = "application/json";

/// An answer that is for this page alone and is kept nowhere.
pub(crate) fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (HeaderName::from_static("x-content-type-options"), "nosniff"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A parameter of the query, decoded.
pub(crate) fn parameter(uri: &Uri, wanted: &str) -> Option<String> {
    let pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    let value = pairs.filter(|(name, _)| *name == wanted).map(|(_, value)| value).next()?;
    let value = value.replace('+', " ");
    Some(percent_decode_str(&value).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_found_and_decoded() {
        let uri = |text: &'static str| Uri::from_static(text);
        assert_eq!(parameter(&uri("/api/trace?a=1&id=x%2Fy+z%00&id=2"), "id"), Some("x/y z\0".to_owned()));
        assert_eq!(parameter(&uri("/api/trace?id=%ff%zz"), "id"), Some("\u{fffd}%zz".to_owned()));
        assert_eq!(parameter(&uri("/api/trace?idx=1&id"), "id"), None);
        assert_eq!(parameter(&uri("/api/trace"), "id"), None);
    }
}
