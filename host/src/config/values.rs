//! Values with a unit or a form of their own: durations, sizes, file modes, addresses and destinations.
//!
//! Each has a function that reads it and one that writes it back the way the documentation writes it.

use std::time::Duration;

use super::mistake::{Complaint, complain};
pub use crate::stomp::Address;
use crate::stomp::{Destination, Form, Promise};

/// Reads `5ms`, `60s`, `15m`, `1h`, `90d`.
pub(super) fn duration(text: &str) -> Result<Duration, Complaint> {
    let wrong =
        || complain(format!("{text:?} is not a duration"), "write a whole number and ms, s, m, h or d: \"60s\"");
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(milliseconds).map(Duration::from_millis).ok_or_else(wrong)
}

/// Reads a duration of the command line, as the configuration writes it.
///
/// # Errors
/// What is wrong and how it should be written.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    duration(text).map_err(|complaint| format!("{}; {}", complaint.problem, complaint.remedy))
}

/// Writes a duration in its largest unit that needs no fraction.
pub(super) fn show_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let unit = units.into_iter().find(|(length, _)| milliseconds > 0 && milliseconds.is_multiple_of(*length));
    match unit {
        Some((length, unit)) => format!("{}{unit}", milliseconds / length),
        None if milliseconds == 0 => "0s".to_owned(),
        None => format!("{milliseconds}ms"),
    }
}

/// Reads `512`, `16KiB`, `16MiB`, `2GiB`, `10kB`, `10MB`, `10GB`; the unit `B` or none is bytes.
pub(super) fn size(text: &str) -> Result<u64, Complaint> {
    let wrong =
        || complain(format!("{text:?} is not a size"), "write bytes as a whole number, or with a unit: \"16MiB\"");
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    let bytes = match unit {
        "" | "B" => 1,
        "kB" => 1_000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    number.checked_mul(bytes).ok_or_else(wrong)
}

/// Writes a size in its largest binary unit that needs no fraction.
pub(super) fn show_size(bytes: u64) -> String {
    let units = [(1_u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(length, _)| bytes > 0 && bytes.is_multiple_of(*length)) {
        Some((length, unit)) => format!("{}{unit}", bytes / length),
        None => format!("{bytes}B"),
    }
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let number = number.replace('_', "").parse().ok()?;
    Some((number, unit.trim_start_matches(' ')))
}

/// Reads a file mode: octal digits in a text.
pub(super) fn mode(text: &str) -> Result<u32, Complaint> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err(complain(format!("{text:?} is not a file mode"), "write three or four octal digits: \"0750\"")),
    }
}

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

const EXAMPLE: &str = "name a queue such as \"/queue/global.accounting.cpu\"";

/// Checks a destination that is sent to: what a RECEIPT is worth decides, see [`Destination::promise`]. A wildcard is never
/// sent to.
pub(super) fn sender_destination(text: &str, allow_topic: bool) -> Result<Destination, Complaint> {
    let destination = destination(text, allow_topic)?;
    if destination.has_wildcard() {
        let problem = format!("{text:?} has a wildcard, and a broker confirms a message that no receiver may get");
        return Err(complain(problem, EXAMPLE));
    }
    Ok(destination)
}

/// Checks a STOMP destination that is subscribed to.
///
/// Queues are `/queue/NAME` (RabbitMQ, ActiveMQ) and `/amq/queue/NAME` (RabbitMQ). Anything else may be a topic, which both
/// brokers acknowledge while nobody listens; a comma makes a list of destinations on ActiveMQ.
pub(super) fn destination(text: &str, allow_topic: bool) -> Result<Destination, Complaint> {
    let example = EXAMPLE;
    if text.trim().is_empty() {
        return Err(complain("is empty", example));
    }
    if text.chars().any(char::is_control) {
        return Err(complain(format!("{text:?} holds a line end or another control character"), example));
    }
    if text.len() > 1024 {
        return Err(complain(format!("is {} bytes long, the limit is 1024", text.len()), example));
    }
    let destination = Destination::parse(text);
    if destination.form() == Form::Nameless {
        return Err(complain(format!("{text:?} has no name"), example));
    }
    if allow_topic || destination.promise() != Promise::Nothing {
        return Ok(destination);
    }
    let problem = format!("{text:?} is not a queue, and a broker confirms a message that nobody will get");
    Err(complain(problem, format!("{example}, or set allow-topic = true on this channel")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_back_as_they_are_written() {
        for text in ["5ms", "60s", "15m", "1h", "90d", "0s", "1500ms"] {
            let read = duration(text).unwrap();
            assert_eq!(duration(&show_duration(read)).unwrap(), read, "{text}");
        }
        assert_eq!(show_duration(Duration::from_secs(7_776_000)), "90d");
        for bad in ["", "s", "60", "-1s", "1.5s", "60 seconds", "99999999999999999999s", "9999999999999999d", "1_s_"] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn sizes_read_back_as_they_are_written() {
        for (text, bytes) in [("16MiB", 16 << 20), ("512", 512), ("1 GiB", 1 << 30), ("10kB", 10_000), ("1_000", 1_000)]
        {
            assert_eq!(size(text).unwrap(), bytes, "{text}");
            assert_eq!(size(&show_size(bytes)).unwrap(), bytes, "{text}");
        }
        for bad in ["", "MiB", "-1", "16M", "16mib", "1.5MiB", "99999999999999999GiB"] {
            assert!(size(bad).is_err(), "{bad:?}");
        }
    }

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
        let page = include_str!("../../../docs/destinations.md");
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
            let sends = taken([false, true].map(|allowed| sender_destination(&text, allowed).is_ok()));
            let proved = Destination::parse(&text).promise() == Promise::HeldIfProved;
            let sends = if sends == "yes" && proved { "if proved" } else { sends };
            let receives = taken([false, true].map(|allowed| destination(&text, allowed).is_ok()));
            assert_eq!([sends, receives], [row[3], row[4]], "{text}");
        }
    }

    #[test]
    fn nothing_is_sent_to_a_wildcard_whatever_is_allowed() {
        for wild in ["/queue/a.>", "/queue/*", "/topic/a.*", "queue://>", "/queue/a,/queue/b.>"] {
            let complaint = sender_destination(wild, true).unwrap_err();
            assert!(complaint.problem.contains("wildcard"), "{wild}: {}", complaint.problem);
        }
        assert!(destination("/queue/a.>", false).is_ok(), "a receiver may listen to several queues of ActiveMQ");
        assert!(sender_destination("/queue/a.b>", false).is_ok());
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!(mode("0750").unwrap(), 0o750);
        assert_eq!(mode("0o640").unwrap(), 0o640);
        for bad in ["", "0780", "7777", "rwx"] {
            assert!(mode(bad).is_err(), "{bad:?}");
        }
    }
}
