//! Refuses what a browser sends on behalf of another site.
//!
//! A page of an attacker can make a browser on this machine connect to us, by our address or by a name of the attacker's
//! that resolves to it (DNS rebinding). The first is seen by what browsers say of the site a request comes from, the second
//! by the host that it names.

use axum::http::header::{CONTENT_LENGTH, HOST, ORIGIN, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri};
use std::net::IpAddr;

use crate::Address;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The path of actions.
pub(crate) const ACTIONS: &str = "/api/control";
/// The largest body of an action, in bytes.
pub(crate) const LARGEST_ACTION: usize = 4096;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) StatusCode, pub(crate) &'static str);

/// Checks all but the path of a request.
pub(crate) fn check(address: &Address, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Refused> {
    let acts = method == Method::POST && uri.path() == ACTIONS;
    if !acts && ![Method::GET, Method::HEAD].contains(method) {
        return Err(Refused(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered"));
    }
    check_body(headers, if acts { LARGEST_ACTION } else { 0 })?;
    let mut hosts = headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().unwrap_or_default(),
        _ => return Err(Refused(StatusCode::BAD_REQUEST, "a request must name one host")),
    };
    let named = uri.authority().map_or(host, |authority| authority.as_str());
    if !is_ours(address, host) || !is_ours(address, named) {
        return Err(Refused(StatusCode::MISDIRECTED_REQUEST, "the header Host names no host of this machine"));
    }
    let site = headers.get(SEC_FETCH_SITE);
    if site.is_some_and(|site| site != "same-origin" && site != "none") {
        return Err(Refused(StatusCode::FORBIDDEN, "requests from other sites are refused"));
    }
    let own =
        |origin: &[u8]| origin.strip_prefix(b"http://").is_some_and(|from| from.eq_ignore_ascii_case(host.as_bytes()));
    if headers.get_all(ORIGIN).iter().any(|origin| !own(origin.as_bytes())) {
        return Err(Refused(StatusCode::FORBIDDEN, "requests from other sites are refused"));
    }
    Ok(())
}

/// Whether the body has at most `largest` bytes, and says so.
fn check_body(headers: &HeaderMap, largest: usize) -> Result<(), Refused> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = match (lengths.next(), lengths.next()) {
        (None, None) => Some(0),
        (Some(length), None) => length.to_str().ok().and_then(|length| length.parse::<usize>().ok()),
        _ => None,
    };
    let fits = length.is_some_and(|length| length <= largest);
    match (fits && !headers.contains_key(TRANSFER_ENCODING), largest) {
        (true, _) => Ok(()),
        (false, 0) => Err(Refused(StatusCode::PAYLOAD_TOO_LARGE, "a request must have no body")),
        (false, _) => Err(Refused(StatusCode::PAYLOAD_TOO_LARGE, "an action has a length, of at most 4096 bytes")),
    }
}

/// Whether `host`, with or without a port, may be named in a request. An address that others reach may have any name.
fn is_ours(address: &Address, host: &str) -> bool {
    let Address::Tcp(own) = address else { return true };
    if !address.is_local() {
        return true;
    }
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some(parts) => parts,
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let is_port = |text: &str| text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    if !port.is_empty() && !is_port(port) {
        return false;
    }
    let literal = name.parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || literal.is_ok_and(|ip| ip == own.ip() || is_usual(ip))
}

fn is_usual(ip: IpAddr) -> bool {
    ip == IpAddr::from([127, 0, 0, 1]) || ip == IpAddr::from(std::net::Ipv6Addr::LOCALHOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(listen: &str, headers: &[(&'static str, &str)]) -> Result<(), StatusCode> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        let address = Address::parse(listen).unwrap();
        check(&address, &Method::GET, &Uri::from_static("/metrics"), &map).map_err(|refused| refused.0)
    }

    #[test]
    fn only_names_of_this_machine_are_answered_on_loopback() {
        for host in ["localhost", "LocalHost:9464", "127.0.0.1:9464", "127.0.0.1", "[::1]:9464", "[::1]", "127.0.0.7:1"]
        {
            assert_eq!(checked("127.0.0.7:9464", &[("host", host)]), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.8",
            "",
            "localhost.",
            "localhost:x",
            "[::1].evil.example",
            "192.0.2.1",
        ] {
            assert_eq!(checked("127.0.0.7:9464", &[("host", host)]), Err(StatusCode::MISDIRECTED_REQUEST), "{host}");
        }
        assert_eq!(checked("127.0.0.1:9464", &[]), Err(StatusCode::BAD_REQUEST));
        let twice = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(checked("127.0.0.1:9464", &twice), Err(StatusCode::BAD_REQUEST));
        assert_eq!(checked("192.0.2.1:9464", &[("host", "monitored.example.org")]), Ok(()));
        assert_eq!(checked("unix:/run/observe.sock", &[("host", "anything")]), Ok(()));
        let absolute = Uri::from_static("http://evil.example/metrics");
        let mut headers = HeaderMap::new();
        headers.insert(HOST, "localhost".parse().unwrap());
        let address = Address::parse("127.0.0.1:9464").unwrap();
        let refused = check(&address, &Method::GET, &absolute, &headers).unwrap_err();
        assert_eq!(refused.0, StatusCode::MISDIRECTED_REQUEST);
    }

    #[test]
    fn other_sites_are_refused() {
        for headers in [
            [("host", "localhost:9464"), ("sec-fetch-site", "cross-site")],
            [("host", "localhost:9464"), ("sec-fetch-site", "same-site")],
            [("host", "localhost:9464"), ("origin", "http://localhost:80")],
            [("host", "localhost:9464"), ("origin", "null")],
            [("host", "localhost:9464"), ("origin", "http://evil.example")],
        ] {
            assert_eq!(checked("127.0.0.1:9464", &headers), Err(StatusCode::FORBIDDEN), "{headers:?}");
        }
        for headers in [
            [("host", "localhost:9464"), ("sec-fetch-site", "none")],
            [("host", "localhost:9464"), ("sec-fetch-site", "same-origin")],
            [("host", "localhost:9464"), ("origin", "http://localhost:9464")],
        ] {
            assert_eq!(checked("127.0.0.1:9464", &headers), Ok(()), "{headers:?}");
        }
    }

    #[test]
    fn bodies_and_other_methods_are_refused() {
        for header in [("content-length", "1000000000"), ("content-length", "x"), ("transfer-encoding", "chunked")] {
            let headers = [("host", "localhost"), header];
            assert_eq!(checked("127.0.0.1:9464", &headers), Err(StatusCode::PAYLOAD_TOO_LARGE), "{header:?}");
        }
        for length in ["0", "00"] {
            assert_eq!(checked("127.0.0.1:9464", &[("host", "localhost"), ("content-length", length)]), Ok(()));
        }
        let address = Address::parse("127.0.0.1:9464").unwrap();
        for method in [Method::POST, Method::OPTIONS, Method::TRACE, Method::CONNECT] {
            let refused = check(&address, &method, &Uri::from_static("/metrics"), &HeaderMap::new()).unwrap_err();
            assert_eq!(refused.0, StatusCode::METHOD_NOT_ALLOWED);
        }
    }

    #[test]
    fn an_action_is_a_post_to_one_path_with_a_small_body() {
        let asked = |method: Method, path: &'static str, more: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, "localhost".parse().unwrap());
            for (name, value) in more {
                headers.append(HeaderName::from_static(name), value.parse().unwrap());
            }
            let address = Address::parse("127.0.0.1:9464").unwrap();
            check(&address, &method, &Uri::from_static(path), &headers).map_err(|refused| refused.0)
        };
        let path = ACTIONS;
        assert_eq!(asked(Method::POST, path, &[("content-length", "4096")]), Ok(()));
        assert_eq!(asked(Method::GET, path, &[]), Ok(()));
        for refused in [
            &[("content-length", "4097")][..],
            &[("content-length", "-1")],
            &[("content-length", "5"), ("transfer-encoding", "chunked")],
            &[("content-length", "5"), ("content-length", "6")],
        ] {
            assert_eq!(asked(Method::POST, path, refused), Err(StatusCode::PAYLOAD_TOO_LARGE), "{refused:?}");
        }
        for method in [Method::PUT, Method::DELETE, Method::OPTIONS] {
            assert_eq!(asked(method, path, &[]), Err(StatusCode::METHOD_NOT_ALLOWED));
        }
        assert_eq!(asked(Method::GET, path, &[("content-length", "5")]), Err(StatusCode::PAYLOAD_TOO_LARGE));
        assert_eq!(asked(Method::POST, "/api/overview", &[]), Err(StatusCode::METHOD_NOT_ALLOWED));
        let foreign = [("content-length", "5"), ("origin", "http://evil.example")];
        assert_eq!(asked(Method::POST, path, &foreign), Err(StatusCode::FORBIDDEN));
    }
}
