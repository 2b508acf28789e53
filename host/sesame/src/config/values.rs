//! Values with a form of their own: addresses of brokers and destinations.

use super::broker::Protocol;
use ams::{Subscription, Topic};
use settings::{Complaint, complain};
pub(super) use stomp::Address;
use stomp::Destination;
use transport::UnfitDestination;

/// Reads `host:port`, `[2001:db8::1]:port`.
pub(super) fn address(text: &str) -> Result<Address, Complaint> {
    let remedy = "write \"mq.example.org:61614\"";
    let Some((host, port)) = text.rsplit_once(':').filter(|(host, _)| !host.ends_with(':')) else {
        return Err(complain(format!("{text:?} has no port"), remedy));
    };
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    if host.is_empty() {
        return Err(complain(format!("{text:?} has no host"), remedy));
    }
    if !host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':')) {
        return Err(complain(format!("{host:?} is not a host name or an address"), remedy));
    }
    match port.parse() {
        Ok(port) if port > 0 => Ok(Address { host: host.to_owned(), port }),
        _ => Err(complain(format!("{port:?} is not a port"), "write a number from 1 to 65535 after the host")),
    }
}

/// The key of a sender's destination, with an example.
pub(super) fn target_example(protocol: Protocol) -> (&'static str, &'static str) {
    match protocol {
        Protocol::Stomp => ("destination", "/queue/global.accounting.cpu"),
        Protocol::Ams => ("destination", "TOPIC"),
    }
}

/// The key of what a receiver listens to, with an example.
pub(super) fn source_example(protocol: Protocol) -> (&'static str, &'static str) {
    match protocol {
        Protocol::Stomp => ("destination", "/queue/global.accounting.cpu"),
        Protocol::Ams => ("subscription", "SUBSCRIPTION"),
    }
}

/// Checks what is sent to: a destination of STOMP or a topic of AMS.
pub(super) fn target(protocol: Protocol, text: &str, allow_topic: bool) -> Result<transport::Destination, Complaint> {
    match protocol {
        Protocol::Stomp => stomp_target(text, allow_topic).map(transport::Destination::Stomp),
        Protocol::Ams => Topic::new(text)
            .map(transport::Destination::Topic)
            .map_err(|error| complain(error.to_string(), "write the name of a topic, without project and slashes")),
    }
}

/// Checks what is received from: a destination of STOMP or a subscription of AMS.
pub(super) fn source(protocol: Protocol, text: &str, allow_topic: bool) -> Result<transport::Destination, Complaint> {
    match protocol {
        Protocol::Stomp => destination(text, allow_topic).map(transport::Destination::Stomp),
        Protocol::Ams => Subscription::new(text)
            .map(transport::Destination::Subscription)
            .map_err(|error| complain(error.to_string(), "write the name of a subscription")),
    }
}

/// Checks a STOMP destination that is sent to.
pub(super) fn stomp_target(text: &str, allow_topic: bool) -> Result<Destination, Complaint> {
    transport::stomp_target(text, allow_topic).map_err(unfit)
}

/// Checks a STOMP destination that is subscribed to.
pub(super) fn destination(text: &str, allow_topic: bool) -> Result<Destination, Complaint> {
    transport::stomp_source(text, allow_topic).map_err(unfit)
}

fn unfit(error: UnfitDestination) -> Complaint {
    let example = "name a queue such as \"/queue/global.accounting.cpu\"";
    match error {
        UnfitDestination::NoQueue(_) => {
            complain(error.to_string(), format!("{example}, or set allow-topic = true on this channel"))
        }
        _ => complain(error.to_string(), example),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stomp::Promise;

    #[test]
    fn addresses_need_host_and_port() {
        assert_eq!(address("mq1.example.org:61614").unwrap().to_string(), "mq1.example.org:61614");
        let six = address("[2001:db8::1]:61614").unwrap();
        assert_eq!((six.host.as_str(), six.to_string().as_str()), ("2001:db8::1", "[2001:db8::1]:61614"));
        for bad in ["mq", "mq:", ":1", "mq:0", "mq:70000", "mq:stomp", "m q:1", "mq\n:1", "", "[]:1", "::1"] {
            assert!(address(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_queues_are_destinations_unless_topics_are_allowed() {
        for queue in ["/queue/a", "/amq/queue/a"] {
            assert_eq!(destination(queue, false).unwrap().as_str(), queue);
        }
        for other in ["/topic/a", "a", "/queue/a,/topic/b", "/exchange/a", "queue://a", "/temp-queue/a"] {
            assert!(destination(other, false).is_err(), "{other}");
            assert!(destination(other, true).is_ok(), "{other}");
        }
        for bad in ["", " ", "/queue/", "/topic/", "/queue/a\nb", "/queue/\0", "/queue/a\u{7f}"] {
            assert!(destination(bad, true).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn every_form_of_the_page_is_taken_as_the_page_says() {
        let page = include_str!("../../../../docs/src/destinations.md");
        let rows: Vec<Vec<&str>> = page
            .lines()
            .skip_while(|line| !line.starts_with("| destination |"))
            .skip(2)
            .take_while(|line| line.starts_with('|'))
            .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
            .collect();
        assert!(rows.len() >= 20, "{rows:?}");
        for row in rows {
            let text = row[0].trim_matches('`').replace("NAME", "a");
            let taken = |taken: [bool; 2]| match taken {
                [true, true] => "yes",
                [false, true] => "allow-topic",
                [false, false] => "never",
                [true, false] => "only without",
            };
            let sends = taken([false, true].map(|allowed| stomp_target(&text, allowed).is_ok()));
            let proved = Destination::parse(&text).promise() == Promise::HeldIfProved;
            let sends = if sends == "yes" && proved { "if proved" } else { sends };
            let receives = taken([false, true].map(|allowed| destination(&text, allowed).is_ok()));
            assert_eq!([sends, receives], [row[3], row[4]], "{text}");
        }
    }

    #[test]
    fn nothing_is_sent_to_a_wildcard_whatever_is_allowed() {
        for wild in ["/queue/a.>", "/queue/*", "/topic/a.*", "queue://>", "/queue/a,/queue/b.>"] {
            let complaint = stomp_target(wild, true).unwrap_err();
            assert!(complaint.problem.contains("wildcard"), "{wild}: {}", complaint.problem);
        }
        assert!(destination("/queue/a.>", false).is_ok(), "a receiver may listen to several queues of ActiveMQ");
        assert!(stomp_target("/queue/a.b>", false).is_ok());
    }
}
