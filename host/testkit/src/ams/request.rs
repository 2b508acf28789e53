//! What a request asks for, by its method and path.

use hyper::Method;
use hyper::http::request::Parts;

use super::script::Route;

/// A request without its body.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) route: Route,
    pub(super) project: String,
    /// The topic or subscription.
    pub(super) name: String,
    pub(super) token: Option<String>,
    pub(super) token_in_address: bool,
}

impl Request {
    pub(super) fn read(parts: &Parts) -> Self {
        let (route, project, name) = address(&parts.method, parts.uri.path());
        let header = parts.headers.get("x-api-key").and_then(|value| value.to_str().ok());
        let query = parts.uri.query().unwrap_or_default();
        let key = query.split('&').find_map(|pair| pair.strip_prefix("key="));
        let token = header.filter(|token| !token.is_empty()).or(key).filter(|token| !token.is_empty());
        Self {
            route,
            project: project.to_owned(),
            name: name.to_owned(),
            token: token.map(str::to_owned),
            token_in_address: key.is_some(),
        }
    }
}

fn address<'a>(method: &Method, path: &'a str) -> (Route, &'a str, &'a str) {
    let unknown = (Route::Unknown, "", "");
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match (parts.as_slice(), method == Method::POST, method == Method::GET) {
        (["v1", "status"], _, true) => (Route::Status, "", ""),
        (["v1", "version"], _, true) => (Route::Version, "", ""),
        (["v1", "projects", project, "topics", topic], post, get) => {
            let (name, verb) = topic.split_once(':').unwrap_or((topic, ""));
            match (verb, post, get) {
                ("publish", true, _) => (Route::Publish, project, name),
                ("", _, true) => (Route::Topic, project, name),
                _ => unknown,
            }
        }
        (["v1", "projects", project, "subscriptions", subscription], post, get) => {
            let (name, verb) = subscription.split_once(':').unwrap_or((subscription, ""));
            let route = match (verb, post, get) {
                ("pull", true, _) => Route::Pull,
                ("acknowledge", true, _) => Route::Acknowledge,
                ("modifyOffset", true, _) => Route::ModifyOffset,
                ("modifyAckDeadline", true, _) => Route::ModifyAckDeadline,
                ("offsets", _, true) => Route::Offsets,
                ("", _, true) => Route::Subscription,
                _ => return unknown,
            };
            (route, project, name)
        }
        _ => unknown,
    }
}

/// The host of a path of the authentication port: `/v1/service-types/ams/hosts/HOST:authx509`.
pub(super) fn token_host(path: &str) -> Option<&str> {
    path.strip_prefix("/v1/service-types/ams/hosts/")?.strip_suffix(":authx509")
}

/// Whether AMS takes this as a name.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}
