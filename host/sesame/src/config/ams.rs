//! `[broker.NAME]` with `kind = "ams"`: reads and writes an [`AmsBroker`].

use ::ams::{Endpoint, Project};

use super::defaults;
use super::process::{HOUR, SECOND};
use settings::{Complaint, Section, Writer, complain};
use transport::AmsBroker;

pub(super) fn read(section: &Section<'_, '_>) -> Option<AmsBroker> {
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
    Some(AmsBroker {
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

pub(super) fn write(broker: &AmsBroker, writer: &mut Writer) {
    writer
        .text("kind", "ams")
        .text("host", &broker.host.to_string())
        .text("project", broker.project.as_str())
        .path_if("token-file", broker.token_file.as_ref())
        .text("auth-host", &broker.authentication.to_string());
    if let Some(proxy) = &broker.proxy {
        writer.text("proxy", &proxy.to_string());
    }
    writer
        .duration("connect-timeout", broker.connect_timeout)
        .duration("receipt-timeout", broker.receipt_timeout)
        .flag("allow-cn", broker.allow_cn)
        .size("max-message", broker.max_message);
}

fn endpoint(text: &str) -> Result<Endpoint, Complaint> {
    text.parse().map_err(|error: ::ams::InvalidEndpoint| complain(error.to_string(), "write \"HOST\" or \"HOST:PORT\""))
}

fn authentication(text: &str) -> Result<Endpoint, Complaint> {
    let endpoint = endpoint(text)?;
    let named = text.trim_end_matches(|c: char| c.is_ascii_digit()).ends_with(':');
    Ok(if named { endpoint } else { endpoint.at_port(Endpoint::AUTHENTICATION) })
}

fn project(text: &str) -> Result<Project, Complaint> {
    Project::new(text).map_err(|error| complain(error.to_string(), "write the name of the project"))
}
