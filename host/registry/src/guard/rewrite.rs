//! URLs inside, between `oci-client` and the guard, and outside.
//!
//! Inside, all begin with `http://`. The registry has the name that the user gave it; every other server is written with
//! its port, so that a missing one means the registry's or 80. The path of a place that an answer refers to begins with the
//! secret: reqwest sends no `Proxy-Authorization` once it was redirected to another server.

use hyper::header::{HeaderMap, HeaderValue, LOCATION, WWW_AUTHENTICATE};
use hyper::{StatusCode, Uri};

use super::{Fault, Policy, Server};

/// What `realm` begins with where it is a URL.
const REALM: &str = "realm=\"";

#[derive(Debug)]
pub(super) struct Inside {
    /// The registry as URLs inside name it.
    written: String,
    /// The same, with the port that HTTP has where none is written.
    named: Server,
    registry: Server,
    plain: bool,
    /// The path that proves a request of this process, with a slash before it.
    proof: String,
}

/// What a URL from inside is for.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) server: Server,
    /// Path and query.
    pub(super) path: String,
    /// Whether the URL is one of ours.
    pub(super) proven: bool,
}

impl Inside {
    pub(super) fn new(written: &str, policy: &Policy, secret: &str) -> Self {
        let named = server(written, 80).unwrap_or_else(|| policy.registry.clone());
        let (registry, plain) = (policy.registry.clone(), policy.plain);
        Self { written: written.to_owned(), named, registry, plain, proof: format!("/{secret}") }
    }

    /// What a URL from inside is for.
    pub(super) fn outside(&self, uri: &Uri) -> Option<Target> {
        let found = server(uri.authority()?.as_str(), 80)?;
        let server = if found == self.named { self.registry.clone() } else { found };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let rest = path.strip_prefix(&self.proof).filter(|rest| rest.starts_with('/'));
        Some(Target { server, path: rest.unwrap_or(path).to_owned(), proven: rest.is_some() })
    }

    /// Rewrites what the answer to `asked` says of other places.
    pub(super) fn rewrite(&self, headers: &mut HeaderMap, asked: &Target, status: StatusCode) -> Result<(), Fault> {
        if let Some(location) = headers.get(LOCATION) {
            let place = self.location(text(location)?, asked)?;
            headers.insert(LOCATION, value(&place)?);
        } else if status == StatusCode::CREATED {
            // Registries may leave it out, and `oci-client` reads it.
            headers.insert(LOCATION, value(&self.location(&asked.path, asked)?)?);
        }
        if let Some(challenge) = headers.get(WWW_AUTHENTICATE) {
            let challenge = self.challenge(text(challenge)?)?;
            headers.insert(WWW_AUTHENTICATE, value(&challenge)?);
        }
        Ok(())
    }

    /// A `Location`, which may be relative to what was asked (RFC 9110, section 10.2.2).
    fn location(&self, named: &str, asked: &Target) -> Result<String, Fault> {
        if named.contains("://") {
            return self.inside(named);
        }
        if let Some(rest) = named.strip_prefix("//") {
            return self.inside(&format!("https://{rest}"));
        }
        let Server { host, port } = &asked.server;
        let scheme = if self.plain && asked.server == self.registry { "http" } else { "https" };
        let path = asked.path.split('?').next().unwrap_or_default();
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let path = if named.starts_with('/') { named.to_owned() } else { format!("{folder}/{named}") };
        self.inside(&format!("{scheme}://{host}:{port}{path}"))
    }

    /// An absolute URL from outside.
    fn inside(&self, named: &str) -> Result<String, Fault> {
        let unusable = || Fault::Place { named: named.to_owned() };
        let uri: Uri = named.parse().map_err(|_| unusable())?;
        let authority = uri.authority().ok_or_else(unusable)?;
        let default = match uri.scheme_str() {
            Some("https") => 443,
            Some("http") => 80,
            _ => return Err(unusable()),
        };
        let server = server(authority.as_str(), default).ok_or_else(unusable)?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        if server == self.registry && (self.plain || default == 443) {
            return Ok(format!("http://{}{}{path}", self.written, self.proof));
        }
        if default != 443 {
            return Err(Fault::Unencrypted { to: server.to_string() });
        }
        Ok(format!("http://{}:{}{}{path}", server.host, server.port, self.proof))
    }

    /// A challenge whose realm is the URL of a token server.
    fn challenge(&self, named: &str) -> Result<String, Fault> {
        let Some((before, rest)) = named.split_once(REALM) else { return Ok(named.to_owned()) };
        let Some((realm, after)) = rest.split_once('"') else { return Ok(named.to_owned()) };
        if !realm.contains("://") {
            return Ok(named.to_owned());
        }
        Ok(format!("{before}{REALM}{}\"{after}", self.inside(realm)?))
    }
}

/// `HOST[:PORT]`. User information is no part of what a registry may name.
pub(crate) fn server(authority: &str, default: u16) -> Option<Server> {
    if authority.contains('@') {
        return None;
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, default),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    (!host.is_empty()).then_some(Server { host, port })
}

fn text(value: &HeaderValue) -> Result<&str, Fault> {
    value.to_str().map_err(|_| Fault::Place { named: String::from_utf8_lossy(value.as_bytes()).into_owned() })
}

fn value(text: &str) -> Result<HeaderValue, Fault> {
    HeaderValue::from_str(text).map_err(|_| Fault::Place { named: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(written: &str, plain: bool) -> Inside {
        let registry = server(written, if plain { 80 } else { 443 }).unwrap();
        let named = server(written, 80).unwrap();
        Inside { written: written.to_owned(), named, registry, plain, proof: "/S".to_owned() }
    }

    fn rewritten(inside: &Inside, location: &str) -> Result<String, String> {
        let asked = inside.outside(&format!("http://{}/v2/a/blobs/uploads/", inside.written).parse().unwrap()).unwrap();
        inside.location(location, &asked).map_err(|fault| fault.to_string())
    }

    #[test]
    fn places_keep_their_server_and_path_inside() {
        let inside = of("r.example.org", false);
        for (named, expected) in [
            ("/v2/a/blobs/uploads/1?x=y", "http://r.example.org/S/v2/a/blobs/uploads/1?x=y"),
            ("1?x=y", "http://r.example.org/S/v2/a/blobs/uploads/1?x=y"),
            ("https://r.example.org/v2/1", "http://r.example.org/S/v2/1"),
            ("https://R.example.org:443/v2/1", "http://r.example.org/S/v2/1"),
            ("//r.example.org/v2/1", "http://r.example.org/S/v2/1"),
            ("https://cdn.example.org/1", "http://cdn.example.org:443/S/1"),
            ("https://r.example.org:444/1", "http://r.example.org:444/S/1"),
        ] {
            assert_eq!(rewritten(&inside, named), Ok(expected.to_owned()), "{named}");
        }
        for wrong in ["http://r.example.org/1", "http://cdn.example.org/1"] {
            assert_eq!(rewritten(&inside, wrong), Err(Fault::Unencrypted { to: String::new() }.to_string()), "{wrong}");
        }
        for wrong in ["ftp://cdn.example.org/1", "https://", "https://u:p@cdn.example.org/", "https://c.example.org:x/"]
        {
            assert_eq!(rewritten(&inside, wrong), Err(Fault::Place { named: String::new() }.to_string()), "{wrong}");
        }
        let here = of("localhost:5000", true);
        assert_eq!(rewritten(&here, "http://localhost:5000/1"), Ok("http://localhost:5000/S/1".to_owned()));
        assert!(rewritten(&here, "http://localhost:5001/1").is_err());
    }

    #[test]
    fn a_url_inside_is_for_the_server_outside() {
        let of_url = |inside: &Inside, url: &str| inside.outside(&url.parse().unwrap()).unwrap().server.to_string();
        let inside = of("r.example.org", false);
        assert_eq!(of_url(&inside, "http://r.example.org/v2/"), "r.example.org");
        assert_eq!(of_url(&inside, "http://cdn.example.org:443/S/1"), "cdn.example.org");
        assert_eq!(of_url(&of("r.example.org:5000", false), "http://r.example.org:5000/v2/"), "r.example.org:5000");
        assert_eq!(of_url(&of("127.0.0.1:5000", true), "http://127.0.0.1:5000/v2/"), "127.0.0.1:5000");
    }

    #[test]
    fn a_token_server_is_rewritten_in_a_challenge() {
        let inside = of("r.example.org", false);
        let challenge = |text: &str| inside.challenge(text).map_err(|fault| fault.to_string());
        let written = challenge("Bearer realm=\"https://auth.example.org/token\",service=\"r\"").unwrap();
        assert_eq!(written, "Bearer realm=\"http://auth.example.org:443/S/token\",service=\"r\"");
        assert_eq!(challenge("Basic realm=\"people\""), Ok("Basic realm=\"people\"".to_owned()));
        assert!(challenge("Bearer realm=\"http://auth.example.org/token\"").is_err());
    }
}
