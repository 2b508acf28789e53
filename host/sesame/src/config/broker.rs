//! `[broker.NAME]`: reads and writes a [`Broker`].

use std::time::Duration;

use super::ams;
use super::defaults;
use super::process::{HOUR, SECOND};
use super::values::{self, Address};
use settings::Section;
use settings::Writer;
use settings::complain;
use transport::{Broker, Login, StompBroker};

/// The protocol of a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Stomp,
    Ams,
}

const PROTOCOLS: &[(&str, Protocol)] = &[("stomp", Protocol::Stomp), ("ams", Protocol::Ams)];

/// The protocol, and the broker where it is complete.
pub(super) fn read(section: &Section<'_, '_>) -> (Protocol, Option<Broker>) {
    let protocol = section.choice("kind", PROTOCOLS).unwrap_or(Protocol::Stomp);
    let broker = match protocol {
        Protocol::Stomp => read_stomp(section).map(Broker::Stomp),
        Protocol::Ams => ams::read(section).map(Broker::Ams),
    };
    (protocol, broker)
}

pub(super) fn write(broker: &Broker, writer: &mut Writer) {
    match broker {
        Broker::Stomp(broker) => write_stomp(broker, writer),
        Broker::Ams(broker) => ams::write(broker, writer),
    }
}

fn read_stomp(section: &Section<'_, '_>) -> Option<StompBroker> {
    let hosts = read_hosts(section);
    let broker = StompBroker {
        hosts: Vec::new(),
        tls: section.flag("tls").unwrap_or(defaults::TLS),
        virtual_host: section.text("virtual-host").unwrap_or_else(|| defaults::VIRTUAL_HOST.to_owned()),
        login: read_login(section),
        heart_beat: section.duration("heart-beat", Duration::ZERO..=HOUR).unwrap_or(defaults::HEART_BEAT),
        connect_timeout: section.duration("connect-timeout", SECOND..=HOUR).unwrap_or(defaults::CONNECT_TIMEOUT),
        receipt_timeout: section.duration("receipt-timeout", SECOND..=HOUR).unwrap_or(defaults::RECEIPT_TIMEOUT),
        allow_cn: section.flag("allow-cn").unwrap_or(defaults::ALLOW_CN),
        max_frame: section.size("max-frame", 64 * defaults::KIB..=defaults::GIB).unwrap_or(defaults::MAX_FRAME),
    };
    section.finish();
    Some(StompBroker { hosts: hosts?, ..broker })
}

fn read_hosts(section: &Section<'_, '_>) -> Option<Vec<Address>> {
    let texts = section.list("hosts");
    let texts = section.required("hosts", texts, "add hosts = [\"mq.example.org:61614\"]")?;
    if texts.is_empty() {
        section.complain("hosts", complain("is an empty list", "name at least one: [\"mq.example.org:61614\"]"));
        return None;
    }
    let mut hosts = Vec::new();
    for text in &texts {
        match values::address(text) {
            Ok(host) if hosts.contains(&host) => {
                section.complain("hosts", complain(format!("{text:?} is there twice"), "remove one of them"));
            }
            Ok(host) => hosts.push(host),
            Err(complaint) => section.complain("hosts", complaint),
        }
    }
    (hosts.len() == texts.len()).then_some(hosts)
}

fn read_login(section: &Section<'_, '_>) -> Option<Login> {
    let name = section.text("login");
    let passcode_file = section.path("passcode-file");
    let login_file = section.path("login-file");
    let login = match (name, passcode_file, login_file) {
        (None, None, None) => return None,
        (Some(login), Some(file), None) => Login::Passcode { login, file },
        (None, None, Some(file)) => Login::File(file),
        (_, _, Some(_)) => {
            let remedy = "keep login-file alone, or login with passcode-file";
            section.complain("login-file", complain("cannot be combined with login or passcode-file", remedy));
            return None;
        }
        (Some(_), None, None) => {
            let remedy = "add passcode-file = \"/etc/sesame/passcode\", a file that only its owner may read";
            section.complain("login", complain("is set without passcode-file", remedy));
            return None;
        }
        (None, Some(_), None) => {
            section.complain("passcode-file", complain("is set without login", "add login = \"name\""));
            return None;
        }
    };
    let key = if matches!(login, Login::File(_)) { "login-file" } else { "passcode-file" };
    section.readable_file(key, login.file());
    Some(login)
}

fn write_stomp(broker: &StompBroker, writer: &mut Writer) {
    writer
        .text("kind", "stomp")
        .list("hosts", &broker.hosts)
        .flag("tls", broker.tls)
        .text("virtual-host", &broker.virtual_host);
    match &broker.login {
        Some(Login::Passcode { login, file }) => writer.text("login", login).path("passcode-file", file),
        Some(Login::File(file)) => writer.path("login-file", file),
        None => writer,
    }
    .duration("heart-beat", broker.heart_beat)
    .duration("connect-timeout", broker.connect_timeout)
    .duration("receipt-timeout", broker.receipt_timeout)
    .flag("allow-cn", broker.allow_cn)
    .size("max-frame", broker.max_frame);
}

/// The STOMP broker that it must be.
#[cfg(test)]
pub(crate) fn stomp_mut(broker: &mut Broker) -> &mut StompBroker {
    match broker {
        Broker::Stomp(broker) => broker,
        Broker::Ams(broker) => panic!("{broker:?} is no STOMP broker"),
    }
}

/// The project of AMS that it must be.
#[cfg(test)]
pub(crate) fn ams_mut(broker: &mut Broker) -> &mut transport::AmsBroker {
    match broker {
        Broker::Ams(broker) => broker,
        Broker::Stomp(broker) => panic!("{broker:?} is not of kind \"ams\""),
    }
}
