//! The test server of AMS with certificates of the run.

use std::net::Ipv4Addr;

use openssl::pkey::PKey;
use openssl::x509::X509;
use testkit::ams::{Server, Settings, bound_name};
use testkit::pki::{Authority, Issued};
use tokio::runtime::Runtime;

use super::openssl::{Host, pki};

/// Names at the server that tests need not choose.
pub(crate) const PROJECT: &str = "accounting";
pub(crate) const TOPIC: &str = "jobs";
pub(crate) const SUBSCRIPTION: &str = "repository";

/// A server of AMS with a project, a topic and a subscription. Dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Ams {
    pub(crate) server: Server,
    /// The name under which clients reach it.
    name: String,
    /// What it runs on.
    _runtime: Runtime,
}

impl Ams {
    pub(crate) fn start() -> Self {
        Self::with(Settings::default())
    }

    /// A server that is set up in another way, but for its TLS.
    pub(crate) fn with(settings: Settings) -> Self {
        Self::named("localhost", settings)
    }

    /// A server whose authentication port is the usual one, 8443. It has a loopback address of this run, so that runs side by
    /// side do not meet there.
    pub(crate) fn at_the_usual_port() -> Self {
        let [.., high, low] = std::process::id().to_be_bytes();
        let address = Ipv4Addr::new(127, 77, high, low);
        let (name, authentication_port) = (address.to_string(), 8443);
        let hosts = vec![name.clone()];
        Self::named(&name, Settings { address, authentication_port, hosts, ..Settings::default() })
    }

    fn named(name: &str, settings: Settings) -> Self {
        let authority = std::fs::read(pki().authority()).unwrap();
        let own = issued(&pki().host(name));
        // Its key is never used.
        let authority = Issued { certificate: X509::from_pem(&authority).unwrap(), key: own.key.clone() };
        let tls = Authority::with(authority).requesting_config(&own).unwrap();
        let runtime = Runtime::new().unwrap();
        let server = runtime.block_on(Server::start(Settings { tls: Some(tls), ..settings })).unwrap();
        server.create(PROJECT, TOPIC, SUBSCRIPTION, "site", "secret");
        Self { server, name: name.to_owned(), _runtime: runtime }
    }

    /// Lets the holder of this certificate publish and pull.
    pub(crate) fn admit(&self, host: &Host) {
        self.server.bind(&bound_name(issued(host).certificate.subject_name()), "site");
    }

    /// Name and port of the API.
    pub(crate) fn host(&self) -> String {
        format!("{}:{}", self.name, self.server.address().port())
    }

    /// The lines of `[broker.test]`.
    pub(crate) fn lines(&self) -> String {
        format!(
            "kind = \"ams\"\nhost = \"{}\"\nauth-host = \"{}:{}\"\nproject = \"{PROJECT}\"\n",
            self.host(),
            self.name,
            self.server.authentication_address().port()
        )
    }
}

fn issued(host: &Host) -> Issued {
    let read = |path| std::fs::read(path).unwrap();
    Issued {
        certificate: X509::from_pem(&read(&host.certificate)).unwrap(),
        key: PKey::private_key_from_pem(&read(&host.key)).unwrap(),
    }
}
