//! Throw-away certificates of the demo.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use testkit::ams::bound_name;
use testkit::pki::{Authority, Directory, Request};

use super::DemoError;

/// Subject of the site that sends.
pub(super) const SITE: &str = "/C=UK/O=Sesame Demo/OU=Northsea/CN=apel.northsea.example.org";
/// Subject of a site that is on no list.
pub(super) const STRANGER: &str = "/C=UK/O=Sesame Demo/OU=Unknown/CN=apel.stranger.example.org";
/// Subject of the central receiver.
pub(super) const CENTRAL: &str = "/C=UK/O=Sesame Demo/OU=Central/CN=central.example.org";

/// Where the certificates lie.
pub(super) struct Pki {
    pub(super) anchors: PathBuf,
    pub(super) site: (PathBuf, PathBuf),
    pub(super) stranger: (PathBuf, PathBuf),
    pub(super) central: (PathBuf, PathBuf),
    /// Of a server that requires client certificates.
    pub(super) requiring: Arc<testkit::pki::ServerConfig>,
    /// Of a server that takes them.
    pub(super) requesting: Arc<testkit::pki::ServerConfig>,
    /// The subjects of all clients, as AMS binds them.
    pub(super) subjects: Vec<String>,
}

/// Makes an authority and a certificate for each part.
pub(super) fn make(folder: &Path) -> Result<Pki, DemoError> {
    let authority = Authority::root(&Request::authority("/C=UK/O=Sesame Demo/CN=Sesame Demo CA"))?;
    let anchors = Directory::create(folder.join("anchors"))?;
    anchors.add_authority(&authority.own.certificate)?;
    let mut subjects = Vec::new();
    let mut issue = |subject: &str, stem: &str| -> Result<(PathBuf, PathBuf), DemoError> {
        let issued = authority.issue(&Request::host(subject))?;
        subjects.push(bound_name(issued.certificate.subject_name()));
        Ok(issued.write(folder, stem)?)
    };
    let [site, stranger, central] = [issue(SITE, "site")?, issue(STRANGER, "stranger")?, issue(CENTRAL, "central")?];
    let mut request = Request::host("/C=UK/O=Sesame Demo/OU=Broker/CN=localhost");
    request.dns = vec!["localhost".to_owned()];
    request.addresses = vec![std::net::Ipv4Addr::LOCALHOST.into()];
    let server = authority.issue(&request)?;
    Ok(Pki {
        anchors: anchors.path().to_owned(),
        site,
        stranger,
        central,
        requiring: authority.server_config(&server)?,
        requesting: authority.requesting_config(&server)?,
        subjects,
    })
}
