//! The test server of AMS, which other tests take for granted, serves the client that sites run.

use serde_json::{Value, json};
use testkit::ams::{Route, Server, Settings, bound_name};
use testkit::pki::{Authority, Request};

use crate::harness::Folder;
use crate::peers::openssl::feed;
use crate::peers::python;

#[test]
fn argo_ams_library_publishes_pulls_and_acknowledges() {
    let folder = Folder::new("ams");
    let authority = Authority::root(&Request::authority("/DC=org/DC=example/CN=Test CA")).unwrap();
    let own = Request { dns: vec!["localhost".to_owned()], ..Request::host("/DC=org/DC=example/CN=localhost") };
    let tls = authority.requesting_config(&authority.issue(&own).unwrap()).unwrap();
    let site = authority.issue(&Request::host("/DC=org/DC=example/O=Site/CN=host.example.org")).unwrap();
    let (certificate, key) = site.write(folder.path(), "host").unwrap();
    let anchor = folder.write("ca.pem", authority.own.certificate.to_pem().unwrap());

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(Server::start(Settings { tls: Some(tls), ..Settings::default() })).unwrap();
    server.create("accounting", "jobs", "repository", "site", "secret");
    server.bind(&bound_name(site.certificate.subject_name()), "site");

    let mut client = python::ams_client("ams.py", &anchor);
    client.args(["--host", "localhost", "--project", "accounting", "--topic", "jobs", "--subscription", "repository"]);
    client.args(["--api", &server.address().port().to_string()]);
    client.args(["--authn", &server.authentication_address().port().to_string()]);
    client.arg("--certificate").arg(certificate).arg("--key").arg(key);
    let said = String::from_utf8(feed(&mut client, b"first\nsecond\nthird\n")).unwrap();
    let said: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();

    assert_eq!(said[0], json!(["0", "1", "2"]));
    let pulled: Vec<_> = said[1..].iter().map(|line| (&line["id"], &line["empaid"], &line["body"])).collect();
    let expected = [("0", "0000/0", "first"), ("1", "0000/1", "second"), ("2", "0000/2", "third")];
    let expected = expected.map(|(id, empaid, body)| (json!(id), json!(empaid), json!(body)));
    assert_eq!(pulled, expected.iter().map(|(id, empaid, body)| (id, empaid, body)).collect::<Vec<_>>());
    let counters = server.counters();
    assert_eq!((counters.tokens, counters.stored, counters.acknowledged), (1, 3, 3));
    assert_eq!((counters.certificates_at_api, counters.tokens_in_address), (0, 0));
    assert_eq!((server.requests(Route::Acknowledge), server.offset("accounting", "repository")), (1, Some(3)));
}
