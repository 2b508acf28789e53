//! `[broker.NAME]` with `kind = "ams"`: a project of the ARGO Messaging Service.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ams::{Endpoint, Project, Token};

use super::defaults;
use super::process::HOUR;
use super::secret::{SecretError, SecretFile};
use settings::{Complaint, Section, Writer, complain};

const SECOND: Duration = Duration::from_secs(1);

/// A project of AMS, and how to get in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmsBroker {
    /// The service.
    pub host: Endpoint,
    /// The project of all topics and subscriptions.
    pub project: Project,
    /// The file with the token; absent: `authentication` gives one for our certificate.
    pub token_file: Option<PathBuf>,
    /// The token of SSM's file, for when `authentication` gives none. It is in no TOML and in no `Debug`.
    pub token_otherwise: Option<Token>,
    /// The service that gives a token for a certificate.
    pub authentication: Endpoint,
    /// An HTTP proxy for both.
    pub proxy: Option<Endpoint>,
    /// From the first packet to the end of the TLS handshake.
    pub connect_timeout: Duration,
    /// How long the service may take to answer.
    pub receipt_timeout: Duration,
    /// Whether the service's certificate may name its host in the common name alone.
    pub allow_cn: bool,
    /// The longest stored text of a message, in bytes.
    pub max_message: u64,
}

impl AmsBroker {
    pub(super) fn read(section: &Section<'_, '_>) -> Option<Self> {
        let example = "add host = \"msg.argo.grnet.gr\"";
        let host = section.parsed("host", example, endpoint);
        let host = section.required("host", host, example);
        let example = "add project = \"accounting\"";
        let project = section.parsed("project", example, project);
        let project = section.required("project", project, example);
        let token_file = section.path("token-file");
        if let Some(file) = &token_file {
            section.readable_file("token-file", file);
        }
        let example = "write \"HOST\" or \"HOST:8443\"";
        let authentication = section.parsed("auth-host", example, authentication);
        let proxy = section.parsed("proxy", "write \"proxy.example.org:3128\"", endpoint);
        let connect = section.duration("connect-timeout", SECOND..=HOUR).unwrap_or(defaults::CONNECT_TIMEOUT);
        let receipt = section.duration("receipt-timeout", SECOND..=HOUR).unwrap_or(defaults::RECEIPT_TIMEOUT);
        let allow_cn = section.flag("allow-cn").unwrap_or(defaults::ALLOW_CN);
        let range = 64 * defaults::KIB..=16 * defaults::MIB;
        let max_message = section.size("max-message", range).unwrap_or(defaults::MAX_MESSAGE);
        section.finish();
        let host = host?;
        Some(Self {
            authentication: authentication.unwrap_or_else(|| host.at_port(Endpoint::AUTHENTICATION)),
            host,
            project: project?,
            token_file,
            token_otherwise: None,
            proxy,
            connect_timeout: connect,
            receipt_timeout: receipt,
            allow_cn,
            max_message,
        })
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer
            .text("kind", "ams")
            .text("host", &self.host.to_string())
            .text("project", self.project.as_str())
            .path_if("token-file", self.token_file.as_ref())
            .text("auth-host", &self.authentication.to_string());
        if let Some(proxy) = &self.proxy {
            writer.text("proxy", &proxy.to_string());
        }
        writer
            .duration("connect-timeout", self.connect_timeout)
            .duration("receipt-timeout", self.receipt_timeout)
            .flag("allow-cn", self.allow_cn)
            .size("max-message", self.max_message);
    }
}

/// Reads the token in the first line of a file that only its owner may read.
///
/// # Errors
/// [`SecretError`].
pub fn read_token(file: &Path) -> Result<Token, SecretError> {
    let secret = SecretFile::read(file)?;
    Token::new(secret.line("token", 1)?).map_err(|_| SecretError::NoToken(file.to_owned()))
}

fn endpoint(text: &str) -> Result<Endpoint, Complaint> {
    text.parse().map_err(|error: ams::InvalidEndpoint| complain(error.to_string(), "write \"HOST\" or \"HOST:PORT\""))
}

fn authentication(text: &str) -> Result<Endpoint, Complaint> {
    let endpoint = endpoint(text)?;
    let named = text.trim_end_matches(|c: char| c.is_ascii_digit()).ends_with(':');
    Ok(if named { endpoint } else { endpoint.at_port(Endpoint::AUTHENTICATION) })
}

fn project(text: &str) -> Result<Project, Complaint> {
    Project::new(text).map_err(|error| complain(error.to_string(), "write the name of the project"))
}
