//! Octets that one process of ours writes and another reads.
//!
//! # Format
//! Numbers are big-endian; octets and texts follow their length in four octets; what may be absent follows an octet, 0 or 1.
//! Nothing describes itself: both sides run the same program. A reader treats every octet as hostile: a length is compared
//! with what is left before anything is reserved for it, and what is left at the end is an error.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Octets that are not what is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is malformed")]
pub struct Malformed;

/// Writes one value after the other.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// One octet.
    pub fn octet(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    /// Whether something is so.
    pub fn flag(&mut self, value: bool) -> &mut Self {
        self.octet(u8::from(value))
    }

    /// A number.
    pub fn number(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// Octets, at most 4 GiB.
    pub fn octets(&mut self, value: &[u8]) -> &mut Self {
        self.length(value);
        self.0.extend_from_slice(value);
        self
    }

    /// The length of octets that the caller writes after everything else: many of them are not copied then.
    pub fn length(&mut self, value: &[u8]) -> &mut Self {
        let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
        self
    }

    /// A text.
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.octets(value.as_bytes())
    }

    /// What may be absent.
    pub fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T) -> &mut Self) -> &mut Self {
        self.flag(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
        self
    }

    /// Several, after their number.
    pub fn list<T>(
        &mut self,
        values: impl ExactSizeIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T) -> &mut Self,
    ) -> &mut Self {
        self.number(values.len() as u64);
        for value in values {
            write(self, value);
        }
        self
    }

    /// A time, to the nanosecond; one before 1970 as 1970.
    pub fn time(&mut self, value: SystemTime) -> &mut Self {
        self.duration(value.duration_since(UNIX_EPOCH).unwrap_or_default())
    }

    /// A duration.
    pub fn duration(&mut self, value: Duration) -> &mut Self {
        self.number(value.as_secs()).number(u64::from(value.subsec_nanos()))
    }

    /// What was written.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads one value after the other.
#[derive(Clone, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Begins at the first octet.
    #[must_use]
    pub fn new(octets: &'a [u8]) -> Self {
        Self(octets)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    /// One octet.
    ///
    /// # Errors
    /// [`Malformed`], as of all that follow.
    pub fn octet(&mut self) -> Result<u8, Malformed> {
        self.take(1)?.first().copied().ok_or(Malformed)
    }

    /// Whether something is so: 0 or 1.
    pub fn flag(&mut self) -> Result<bool, Malformed> {
        match self.octet()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed),
        }
    }

    /// A number.
    pub fn number(&mut self) -> Result<u64, Malformed> {
        let octets = self.take(8)?.try_into().map_err(|_| Malformed)?;
        Ok(u64::from_be_bytes(octets))
    }

    /// A number of things in memory.
    pub fn count(&mut self) -> Result<usize, Malformed> {
        usize::try_from(self.number()?).map_err(|_| Malformed)
    }

    /// Octets.
    pub fn octets(&mut self) -> Result<&'a [u8], Malformed> {
        let length = u32::from_be_bytes(self.take(4)?.try_into().map_err(|_| Malformed)?);
        self.take(usize::try_from(length).map_err(|_| Malformed)?)
    }

    /// A text.
    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.octets()?).map_err(|_| Malformed)
    }

    /// What may be absent.
    pub fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        self.flag()?.then(|| read(self)).transpose()
    }

    /// Several. Each takes an octet at least, so that a wrong number of them ends with the octets.
    pub fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Result<T, Malformed>) -> Result<Vec<T>, Malformed> {
        let count = self.count()?;
        let mut values = Vec::new();
        for _ in 0..count {
            let left = self.0.len();
            values.push(read(self)?);
            if self.0.len() == left {
                return Err(Malformed);
            }
        }
        Ok(values)
    }

    /// A time.
    pub fn time(&mut self) -> Result<SystemTime, Malformed> {
        UNIX_EPOCH.checked_add(self.duration()?).ok_or(Malformed)
    }

    /// A duration.
    pub fn duration(&mut self) -> Result<Duration, Malformed> {
        let (seconds, nanoseconds) = (self.number()?, self.number()?);
        let nanoseconds = u32::try_from(nanoseconds).ok().filter(|it| *it < 1_000_000_000).ok_or(Malformed)?;
        Ok(Duration::new(seconds, nanoseconds))
    }

    /// That nothing is left.
    pub fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> Vec<u8> {
        let mut writer = Writer::default();
        writer.flag(true).number(7).octets(b"ab").text("\u{e4}").optional(Some(3), Writer::octet);
        writer.list([1, 2].into_iter(), Writer::number);
        writer.time(UNIX_EPOCH + Duration::new(5, 6)).optional(None, Writer::octet).length(b"end");
        [&writer.finish(), b"end".as_slice()].concat()
    }

    fn read(octets: &[u8]) -> Result<Vec<u64>, Malformed> {
        let mut reader = Reader::new(octets);
        assert!(reader.flag()?);
        assert_eq!(reader.number()?, 7);
        assert_eq!((reader.octets()?, reader.text()?), (b"ab".as_slice(), "\u{e4}"));
        assert_eq!(reader.optional(Reader::octet)?, Some(3));
        let list = reader.list(Reader::number)?;
        assert_eq!(reader.time()?, UNIX_EPOCH + Duration::new(5, 6));
        assert_eq!(reader.optional(Reader::octet)?, None);
        assert_eq!(reader.octets()?, b"end");
        reader.end().map(|()| list)
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(read(&written()), Ok(vec![1, 2]));
    }

    #[test]
    fn what_is_cut_or_too_long_is_malformed() {
        let whole = written();
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]), Err(Malformed), "{length} octets");
        }
        assert_eq!(read(&[whole, vec![0]].concat()), Err(Malformed));
    }

    #[test]
    fn lengths_reserve_nothing() {
        assert_eq!(Reader::new(&[0xff; 4]).octets(), Err(Malformed));
        assert_eq!(Reader::new(&[0xff; 8]).list(Reader::octet), Err(Malformed));
        assert_eq!(Reader::new(&[0x7f; 8]).list(|_| Ok(())), Err(Malformed), "elements without octets");
    }

    #[test]
    fn only_zero_and_one_are_flags() {
        assert_eq!(Reader::new(&[2]).flag(), Err(Malformed));
        assert_eq!(Reader::new(&[0xff; 16]).duration(), Err(Malformed), "too many nanoseconds");
        assert_eq!(Reader::new(&[0, 0, 0, 1, 0xff]).text(), Err(Malformed));
    }
}
