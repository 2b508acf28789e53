//! The arithmetic, which knows of nothing but bytes: the host's tests hold it against what sealing makes.

/// By these an SSM receiver takes a text for encrypted.
const MEDIA_TYPE: &[u8] = b"application";
const ENCRYPTED_TYPES: [&[u8]; 2] = [b"/pkcs7-mime", b"/x-pkcs7-mime"];
/// One less than the longest of them.
const CARRIED: usize = 23;
/// The longest line of quoted-printable, without the `=` of a soft line break.
const QUOTED_LINE: usize = 75;

/// What sealing does to the messages of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wire {
    /// For an SSM receiver.
    pub ssm: bool,
    /// The most that signing adds, in bytes.
    pub fixed: usize,
    /// The most that the envelope adds, in bytes, where there is one.
    pub envelope: Option<usize>,
}

impl Wire {
    /// More than any channel adds: what is counted where the host says nothing of a message that goes out.
    pub const MOST: Self = Self { ssm: true, fixed: 16 * 1024, envelope: Some(8 * 1024) };
    /// Nothing is added.
    pub const NONE: Self = Self { ssm: false, fixed: 0, envelope: None };

    /// How large a payload is on the wire, at most, in bytes.
    #[must_use]
    pub fn size(&self, payload: &[u8]) -> usize {
        let mut meter = self.meter(payload);
        meter.push(payload);
        meter.size()
    }

    /// A meter for messages that are put together from pieces of `whole` and from plain ASCII text.
    #[must_use]
    pub fn meter(&self, whole: &[u8]) -> Meter {
        let may_hide = self.ssm && self.envelope.is_none();
        let plain = is_plain(whole) && !(may_hide && mentions(whole));
        Meter {
            wire: *self,
            all_plain: plain || *self == Self::NONE,
            bytes: 0,
            plain: true,
            mentions: false,
            carried: Vec::new(),
            quoted: Quoted::default(),
            hidden: Quoted { hide: true, ..Quoted::default() },
        }
    }

    /// What the encoded content comes to with everything that sealing adds.
    fn sealed(&self, encoded: usize) -> usize {
        let signed = encoded.saturating_add(self.fixed);
        self.envelope.map_or(signed, |envelope| base64_size(signed.saturating_add(envelope)))
    }
}

/// Adds up a message piece by piece.
#[derive(Clone, Debug)]
pub struct Meter {
    wire: Wire,
    /// Nothing that is pushed needs an encoding, so that it need not be looked at.
    all_plain: bool,
    bytes: usize,
    plain: bool,
    mentions: bool,
    /// The last bytes, in which a word may have begun.
    carried: Vec<u8>,
    quoted: Quoted,
    hidden: Quoted,
}

impl Meter {
    /// Adds a piece at the end.
    pub fn push(&mut self, piece: &[u8]) {
        self.bytes += piece.len();
        if self.all_plain {
            return;
        }
        self.plain &= is_plain(piece);
        if self.wire.ssm {
            self.quoted.push(piece);
            if self.wire.envelope.is_none() {
                self.hidden.push(piece);
                self.look_for_words(piece);
            }
        }
    }

    /// How large the message is on the wire, at most, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.wire.sealed(match (self.all_plain || (self.plain && !self.mentions), self.wire.ssm) {
            (true, _) => self.bytes,
            (false, true) if self.mentions => self.hidden.size(),
            (false, true) => self.quoted.size(),
            (false, false) => base64_size(self.bytes),
        })
    }

    fn look_for_words(&mut self, piece: &[u8]) {
        if self.mentions {
            return;
        }
        let begin = piece.get(..CARRIED.min(piece.len())).unwrap_or_default();
        self.carried.extend_from_slice(begin);
        self.mentions = mentions(&self.carried) || mentions(piece);
        if piece.len() >= CARRIED {
            self.carried.clear();
            self.carried.extend_from_slice(piece.get(piece.len() - CARRIED..).unwrap_or_default());
        } else if self.carried.len() > CARRIED {
            self.carried.drain(..self.carried.len() - CARRIED);
        }
    }
}

/// Quoted-printable, counted.
#[derive(Clone, Copy, Debug, Default)]
struct Quoted {
    /// `/` is encoded too.
    hide: bool,
    size: usize,
    column: usize,
    /// The last byte: how it is written depends on the next one.
    pending: Option<u8>,
}

impl Quoted {
    fn push(&mut self, piece: &[u8]) {
        for &byte in piece {
            if let Some(pending) = self.pending.replace(byte) {
                self.write(pending, Some(byte));
            }
        }
    }

    fn size(mut self) -> usize {
        if let Some(pending) = self.pending.take() {
            self.write(pending, None);
        }
        self.size
    }

    fn write(&mut self, byte: u8, next: Option<u8>) {
        if byte == b'\n' && next.is_some() {
            self.size += 1;
            self.column = 0;
            return;
        }
        let plain = match byte {
            b'=' => false,
            b'/' => !self.hide,
            b' ' | b'\t' => next.is_some_and(|next| next != b'\n'),
            _ => byte.is_ascii_graphic(),
        };
        let width = if plain { 1 } else { 3 };
        if self.column + width > QUOTED_LINE {
            self.size += 2;
            self.column = 0;
        }
        self.size += width;
        self.column += width;
    }
}

/// So many bytes as base64 in lines of 64 characters.
fn base64_size(bytes: usize) -> usize {
    let rest = bytes % 48;
    let last = if rest == 0 { 0 } else { rest.div_ceil(3) * 4 + 1 };
    (bytes / 48).saturating_mul(65).saturating_add(last)
}

fn is_plain(bytes: &[u8]) -> bool {
    let plain = |byte: u8| (byte.wrapping_sub(b' ') <= b'~' - b' ') | (byte == b'\n') | (byte == b'\t');
    bytes.chunks(1024).all(|chunk| chunk.iter().fold(true, |all, &byte| all & plain(byte)))
}

fn mentions(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'/', bytes).any(|slash| {
        let (before, after) = bytes.split_at(slash);
        before.ends_with(MEDIA_TYPE) && ENCRYPTED_TYPES.iter().any(|kind| after.starts_with(kind))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAR: Wire = Wire { ssm: true, fixed: 10, envelope: None };

    #[test]
    fn plain_text_takes_its_own_size() {
        assert_eq!(CLEAR.size(b"Site: A\n"), 18);
        assert_eq!(Wire { envelope: Some(2), ..CLEAR }.size(b"Site: A\n"), 28 + 1);
        assert_eq!(Wire { ssm: false, ..CLEAR }.size("\u{e4}".as_bytes()), 10 + 5);
    }

    #[test]
    fn quoted_printable_is_counted_as_it_is_written() {
        // `=C3=A4`, a line end, `=0A`.
        assert_eq!(CLEAR.size("\u{e4}\n\n".as_bytes()), 10 + 6 + 1 + 3);
        // A blank before a line end, `=`.
        assert_eq!(CLEAR.size(b"\r \nb=c"), 10 + 3 + 3 + 1 + 5);
        // 75 columns, then a soft line break.
        assert_eq!(CLEAR.size(&[b"\r".as_slice(), &[b'x'; 73]].concat()), 10 + 76 + 2);
    }

    #[test]
    fn a_mention_of_encryption_hides_slashes_in_the_clear() {
        let payload = b"see application/x-pkcs7-mime";
        assert_eq!(CLEAR.size(payload), 10 + payload.len() + 2);
        assert_eq!(Wire { ssm: false, ..CLEAR }.size(payload), 10 + payload.len());
    }

    #[test]
    fn pieces_add_up_to_the_whole() {
        let payloads: [&[u8]; 4] =
            [b"see application/pkcs7-mime, \n\xE4", b"a/b application/x-pkcs7-mime / \r\n", b"a \n\n", b"plain\n"];
        for wire in [CLEAR, Wire { ssm: false, ..CLEAR }, Wire { envelope: Some(9), ..CLEAR }, Wire::NONE] {
            for payload in payloads {
                for width in 1..payload.len() {
                    let mut meter = wire.meter(payload);
                    payload.chunks(width).for_each(|piece| meter.push(piece));
                    assert_eq!(meter.size(), wire.size(payload), "{wire:?} {width}");
                }
            }
        }
    }
}
