//! The negotiated heart-beat intervals, and a clock that stops while the session does not read.

use std::time::Duration;

use tokio::time::Instant;

use super::error::ProtocolError;
use super::options::HeartBeat;
use crate::frame::Version;
use crate::quote::quoted;

/// The longest interval honoured.
const LONGEST: Duration = Duration::from_secs(600);

/// The agreed heart-beats; `None` for a direction without any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Negotiated {
    /// The longest interval between two writes of ours.
    pub(super) outgoing: Option<Duration>,
    /// The session ends after receiving nothing for this long.
    pub(super) silence: Option<Duration>,
}

impl HeartBeat {
    /// The `heart-beat` header of CONNECT.
    pub(super) fn header(&self) -> String {
        format!("{},{}", self.outgoing.as_millis(), self.incoming.as_millis())
    }

    /// The heart-beats agreed on, given the broker's `heart-beat` header (STOMP 1.2, "Heart-beating").
    ///
    /// Intervals are clamped between [`HeartBeat::shortest`] and ten minutes. If the agreed incoming interval is longer
    /// than ten minutes, heart-beats of the broker are not checked.
    pub(super) fn negotiate(&self, version: Version, header: Option<&[u8]>) -> Result<Negotiated, ProtocolError> {
        let nothing = Negotiated { outgoing: None, silence: None };
        let Some(header) = header.filter(|_| version >= Version::V1_1) else {
            return Ok(nothing);
        };
        let malformed = || ProtocolError::MalformedHeartBeat { value: quoted(header) };
        let (sends, wants) = parse(header).ok_or_else(malformed)?;
        let agree = |ours: Duration, theirs: Duration| {
            (!ours.is_zero() && !theirs.is_zero()).then(|| ours.max(theirs).max(self.shortest))
        };
        Ok(Negotiated {
            outgoing: agree(self.outgoing, wants).map(|interval| interval.min(LONGEST)),
            silence: agree(self.incoming, sends)
                .filter(|interval| *interval <= LONGEST)
                .map(|interval| interval * 2 + self.grace),
        })
    }
}

fn parse(header: &[u8]) -> Option<(Duration, Duration)> {
    let (sends, wants) = std::str::from_utf8(header).ok()?.split_once(',')?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().map(Duration::from_millis)).and_then(Result::ok)
    };
    Some((number(sends)?, number(wants)?))
}

/// A clock that stops while the session does not read: what the broker sends meanwhile waits in the kernel and must not
/// count as late.
#[derive(Debug)]
pub(super) struct ReadingClock {
    origin: Instant,
    paused: Duration,
    paused_since: Option<Instant>,
}

impl ReadingClock {
    pub(super) fn start() -> Self {
        Self { origin: Instant::now(), paused: Duration::ZERO, paused_since: None }
    }

    /// Time spent reading since the start.
    pub(super) fn now(&self) -> Duration {
        let until = self.paused_since.unwrap_or_else(Instant::now);
        until.saturating_duration_since(self.origin).saturating_sub(self.paused)
    }

    pub(super) fn stop(&mut self) {
        self.paused_since.get_or_insert_with(Instant::now);
    }

    /// Excludes `time` in which the process did not run.
    pub(super) fn skip(&mut self, time: Duration) {
        if self.paused_since.is_none() {
            self.paused += time;
        }
    }

    pub(super) fn resume(&mut self) {
        if let Some(since) = self.paused_since.take() {
            self.paused += since.elapsed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn negotiate(header: &str) -> Result<Negotiated, ProtocolError> {
        HeartBeat::default().negotiate(Version::V1_2, Some(header.as_bytes()))
    }

    #[test]
    fn the_longer_interval_applies_in_each_direction() {
        let agreed = negotiate("20000,30000").unwrap();
        assert_eq!(agreed, Negotiated { outgoing: Some(MS(30_000)), silence: Some(MS(41_000)) });
        let agreed = negotiate("1,1").unwrap();
        assert_eq!(agreed, Negotiated { outgoing: Some(MS(10_000)), silence: Some(MS(21_000)) });
    }

    #[test]
    fn zero_on_either_side_means_none() {
        assert_eq!(negotiate("0,0").unwrap(), Negotiated { outgoing: None, silence: None });
        let silent = HeartBeat { outgoing: MS(0), incoming: MS(0), ..HeartBeat::default() };
        let agreed = silent.negotiate(Version::V1_2, Some(b"5,5")).unwrap();
        assert_eq!(agreed, Negotiated { outgoing: None, silence: None });
    }

    #[test]
    fn intervals_are_clamped() {
        let eager = HeartBeat { outgoing: MS(1), incoming: MS(1), grace: MS(0), ..HeartBeat::default() };
        let agreed = eager.negotiate(Version::V1_1, Some(b"1,1")).unwrap();
        assert_eq!(agreed, Negotiated { outgoing: Some(MS(500)), silence: Some(MS(1000)) });
        let agreed = negotiate("9223372036854775808,9223372036854775808").unwrap();
        assert_eq!(agreed, Negotiated { outgoing: Some(LONGEST), silence: None });
    }

    #[test]
    fn malformed_headers_are_refused() {
        for bad in ["a,b", "-1,0", "1", "", "1,", "1,2,3", "+1,1", " 1,1", "99999999999999999999,1", "1.5,1"] {
            assert!(negotiate(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn stomp_1_0_has_no_heart_beats() {
        let agreed = HeartBeat::default().negotiate(Version::V1_0, Some(b"1000,1000")).unwrap();
        assert_eq!(agreed, Negotiated { outgoing: None, silence: None });
    }

    #[tokio::test]
    async fn the_clock_stops_while_we_do_not_read() {
        let mut clock = ReadingClock::start();
        clock.stop();
        let stopped = clock.now();
        tokio::time::sleep(MS(20)).await;
        assert_eq!(clock.now(), stopped);
        clock.resume();
        assert!(clock.now() < stopped + MS(15));
    }
}
