//! Frames between parent and child: four octets for the length of what follows, one for the kind, the content.
//!
//! A frame that is longer than its reader expects is refused before it is read.

use std::io::{self, BufRead, Read, Write};

use zeroize::Zeroizing;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// To the child: a trust store, after its number.
    Trust = 1,
    /// To the child: a certificate of ours, after its number.
    Certificate = 2,
    /// To the child: a number that is not used again.
    Forget = 3,
    /// To the child: a message.
    Open = 4,
    /// To the child: the key of a content.
    Key = 5,
    /// To the parent: what the kernel enforces, once at the beginning.
    Ready = 6,
    /// To the parent: an encrypted key.
    Ask = 7,
    /// To the parent: what became of the message.
    Answer = 8,
}

const KINDS: [Kind; 8] =
    [Kind::Trust, Kind::Certificate, Kind::Forget, Kind::Open, Kind::Key, Kind::Ready, Kind::Ask, Kind::Answer];

/// Room that is reserved for a frame before any of it is there.
const AT_ONCE: usize = 64 * 1024;
/// Content from here on is written by itself: another call costs less than another copy.
const LARGE: usize = 16 * 1024;

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// What is to be written. Small frames are gathered, so that several are written by one call.
pub(crate) struct Outbox<W> {
    to: W,
    gathered: Vec<u8>,
}

impl<W: Write> Outbox<W> {
    pub(crate) fn new(to: W) -> Self {
        Self { to, gathered: Vec::new() }
    }

    /// Adds a frame whose content is that of both.
    pub(crate) fn add(&mut self, kind: Kind, [first, second]: [&[u8]; 2]) -> io::Result<()> {
        let length = first.len().checked_add(second.len()).and_then(|length| length.checked_add(1));
        let length = length.and_then(|length| u32::try_from(length).ok());
        let length = length.ok_or_else(|| malformed("a frame is too long"))?;
        self.gathered.extend_from_slice(&length.to_be_bytes());
        self.gathered.push(kind as u8);
        for part in [first, second] {
            if part.len() < LARGE {
                self.gathered.extend_from_slice(part);
            } else {
                self.flush()?;
                self.to.write_all(part)?;
            }
        }
        if self.gathered.len() >= LARGE { self.flush() } else { Ok(()) }
    }

    /// Writes what was gathered.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if !self.gathered.is_empty() {
            self.to.write_all(&self.gathered)?;
            self.gathered.clear();
        }
        Ok(())
    }
}

/// Adds a key. Room for more is made by hand, so that no copy of one stays in memory.
pub(crate) fn add_key(to: &mut Zeroizing<Vec<u8>>, key: &[u8]) -> io::Result<()> {
    let length = u32::try_from(key.len() + 1).map_err(|_| malformed("a frame is too long"))?;
    if to.capacity() - to.len() < key.len() + 5 {
        let mut larger = Zeroizing::new(Vec::with_capacity(2 * (to.len() + key.len() + 5)));
        larger.extend_from_slice(to);
        *to = larger;
    }
    to.extend_from_slice(&length.to_be_bytes());
    to.push(Kind::Key as u8);
    to.extend_from_slice(key);
    Ok(())
}

/// Writes one frame.
#[cfg(test)]
pub(crate) fn write(to: &mut impl Write, kind: Kind, content: &[u8]) -> io::Result<()> {
    let mut outbox = Outbox::new(to);
    outbox.add(kind, [content, &[]])?;
    outbox.flush()
}

/// Reads one frame with a content of at most `limit` octets; `None` where the other side has ended.
pub(crate) fn read(from: &mut impl BufRead, limit: usize) -> io::Result<Option<(Kind, Vec<u8>)>> {
    if from.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut head = [0; 5];
    from.read_exact(&mut head)?;
    let [a, b, c, d, kind] = head;
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    let kind = KINDS.into_iter().find(|known| *known as u8 == kind).ok_or_else(|| malformed("a frame of no kind"))?;
    let length = length.checked_sub(1).ok_or_else(|| malformed("a frame without a kind"))?;
    if length > limit {
        return Err(malformed("a frame is too long"));
    }
    let mut content = Vec::with_capacity(length.min(AT_ONCE));
    from.take(length as u64).read_to_end(&mut content)?;
    if content.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some((kind, content)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: Kind, content: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        write(&mut frame, kind, content).unwrap();
        frame
    }

    #[test]
    fn frames_are_read_as_they_were_written() {
        let two = [frame(Kind::Ask, b"abc"), frame(Kind::Key, b"")].concat();
        let mut rest = two.as_slice();
        assert_eq!(read(&mut rest, 3).unwrap(), Some((Kind::Ask, b"abc".to_vec())));
        assert_eq!(read(&mut rest, 3).unwrap(), Some((Kind::Key, Vec::new())));
        assert_eq!(read(&mut rest, 3).unwrap(), None);
    }

    #[test]
    fn small_and_large_frames_keep_their_order() {
        let large = vec![7; LARGE];
        let mut written = Vec::new();
        let mut outbox = Outbox::new(&mut written);
        outbox.add(Kind::Trust, [b"a", b"b"]).unwrap();
        outbox.add(Kind::Open, [b"c", &large]).unwrap();
        outbox.add(Kind::Open, [&large, b"d"]).unwrap();
        outbox.flush().unwrap();
        let mut rest = written.as_slice();
        let mut next = || read(&mut rest, 2 * LARGE).unwrap().unwrap();
        assert_eq!(next(), (Kind::Trust, b"ab".to_vec()));
        assert_eq!(next(), (Kind::Open, [b"c", large.as_slice()].concat()));
        assert_eq!(next(), (Kind::Open, [large.as_slice(), b"d"].concat()));
    }

    #[test]
    fn keys_are_frames() {
        let mut written = Zeroizing::default();
        add_key(&mut written, &[1; 32]).unwrap();
        add_key(&mut written, &[2; 16]).unwrap();
        assert_eq!(**written, *[frame(Kind::Key, &[1; 32]), frame(Kind::Key, &[2; 16])].concat());
    }

    #[test]
    fn what_is_cut_too_long_or_of_no_kind_is_refused() {
        let whole = frame(Kind::Ask, b"abc");
        for length in 1..whole.len() {
            assert_eq!(read(&mut &whole[..length], 3).unwrap_err().kind(), io::ErrorKind::UnexpectedEof, "{length}");
        }
        for wrong in [&frame(Kind::Ask, b"abcd")[..], &[0xff; 9], &[0, 0, 0, 1, 99], &[0, 0, 0, 0, 7]] {
            assert_eq!(read(&mut &wrong[..], 3).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }
}
