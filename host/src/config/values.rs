//! Values with a unit or a form of their own: durations, sizes, file modes, addresses and destinations.
//!
//! Each has a function that reads it and one that writes it back the way the documentation writes it.

use std::time::Duration;

use super::mistake::{Complaint, complain};
pub use crate::stomp::Address;

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

/// Checks a STOMP destination.
///
/// Queues are `/queue/NAME` (RabbitMQ, ActiveMQ) and `/amq/queue/NAME` (RabbitMQ). Anything else may be a topic, which both
/// brokers acknowledge while nobody listens; a comma makes a list of destinations on ActiveMQ.
pub(super) fn destination(text: &str, allow_topic: bool) -> Result<String, Complaint> {
    let example = "name a queue such as \"/queue/global.accounting.cpu\"";
    if text.trim().is_empty() {
        return Err(complain("is empty", example));
    }
    if text.chars().any(char::is_control) {
        return Err(complain(format!("{text:?} holds a line end or another control character"), example));
    }
    if text.len() > 1024 {
        return Err(complain(format!("is {} bytes long, the limit is 1024", text.len()), example));
    }
    let name = text.strip_prefix("/queue/").or_else(|| text.strip_prefix("/amq/queue/"));
    if allow_topic || name.is_some_and(|name| !name.is_empty() && !name.contains(',')) {
        return Ok(text.to_owned());
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
            assert_eq!(destination(queue, false).unwrap(), queue);
        }
        for other in ["/topic/a", "/queue/", "a", "/queue/a,/topic/b", "/exchange/a"] {
            assert!(destination(other, false).is_err(), "{other}");
            assert!(destination(other, true).is_ok(), "{other}");
        }
        for bad in ["", " ", "/queue/a\nb", "/queue/\0", "/queue/a\u{7f}"] {
            assert!(destination(bad, true).is_err(), "{bad:?}");
        }
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
