//! The encrypted key of a content: all that the operation with the private key needs, and nothing else of the message.
//!
//! It may come from another process. The process with the private keys treats it as hostile.

use message::wire::{Malformed, Reader, Writer};
use trust::{Digest, asn1};

use super::agreement::Wrap;
use super::shape::{Agreement, ContentCipher, KeyMethod, KeyWrap, Recipient, RsaPadding};

/// Octets of the longest key of a content.
pub(crate) const LONGEST_KEY: usize = 32;
/// The longest encrypted key and the longest other field that is accepted from another process: that of RSA with 16,384
/// bits has 2,048 octets.
const LONGEST_FIELD: usize = 4096;
/// Octets of the keys that ciphers have.
const KEY_OCTETS: [usize; 3] = [16, 24, 32];
const DIGESTS: [Digest; 4] = [Digest::Sha1, Digest::Sha256, Digest::Sha384, Digest::Sha512];
const WRAPS: [Wrap; 3] = [Wrap::Aes128, Wrap::Aes192, Wrap::Aes256];

/// The encrypted key of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WrappedKey<'a> {
    pub(crate) method: KeyMethod<'a>,
    pub(crate) key: &'a [u8],
    /// Octets of the key that is wanted.
    pub(crate) octets: usize,
}

impl<'a> WrappedKey<'a> {
    /// That of a recipient of an envelope with this cipher.
    pub(crate) fn of(recipient: &Recipient<'a>, cipher: ContentCipher) -> Self {
        Self { method: recipient.method, key: recipient.key, octets: key_octets(cipher) }
    }

    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut writer = Writer::default();
        self.write(&mut writer);
        writer.finish()
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        let Self { method, key, octets } = self;
        writer.number(*octets as u64).octets(key);
        match method {
            KeyMethod::Transport(RsaPadding::Pkcs1) => writer.octet(0),
            KeyMethod::Transport(RsaPadding::Oaep(digest)) => writer.octet(1).octet(place(&DIGESTS, digest)),
            KeyMethod::Agreement(Agreement { scheme, wrap: KeyWrap { wrap, with_null }, curve, public, material }) => {
                writer.octet(2).octets(scheme).octet(place(&WRAPS, wrap)).flag(*with_null).octets(public);
                // Also where the message has it in BER.
                let der = curve.map(|curve| asn1::encode(curve.tag, curve.content));
                writer.optional(der, |writer, der| writer.octets(&der));
                writer.optional(*material, |writer, material| writer.octets(material))
            }
        };
    }

    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let octets = reader.count()?;
        if !KEY_OCTETS.contains(&octets) {
            return Err(Malformed);
        }
        let key = field(reader)?;
        let method = match reader.octet()? {
            0 => KeyMethod::Transport(RsaPadding::Pkcs1),
            1 => KeyMethod::Transport(RsaPadding::Oaep(at(&DIGESTS, reader.octet()?)?)),
            2 => KeyMethod::Agreement(Agreement {
                scheme: field(reader)?,
                wrap: KeyWrap { wrap: at(&WRAPS, reader.octet()?)?, with_null: reader.flag()? },
                public: field(reader)?,
                curve: reader.optional(field)?.map(element).transpose()?,
                material: reader.optional(field)?,
            }),
            _ => return Err(Malformed),
        };
        Ok(Self { method, key, octets })
    }
}

/// Octets of the key of a content.
fn key_octets(cipher: ContentCipher) -> usize {
    match cipher {
        ContentCipher::AesCbc(bits) => usize::from(bits / 8),
        ContentCipher::Aes256Gcm => LONGEST_KEY,
    }
}

fn field<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    Some(reader.octets()?).filter(|octets| octets.len() <= LONGEST_FIELD).ok_or(Malformed)
}

fn element(octets: &[u8]) -> Result<asn1::Element<'_>, Malformed> {
    let mut reader = asn1::Reader::der(octets);
    let element = reader.any().map_err(|_| Malformed)?;
    reader.end().map_err(|_| Malformed)?;
    Ok(element)
}

/// Where a value stands in its table.
pub(crate) fn place<T: PartialEq>(table: &[T], value: &T) -> u8 {
    table.iter().position(|one| one == value).and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX)
}

/// The value at a place of its table.
pub(crate) fn at<T: Copy>(table: &[T], place: u8) -> Result<T, Malformed> {
    table.get(usize::from(place)).copied().ok_or(Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_read_as_it_was_written() {
        let curve = asn1::encode(asn1::OID, &[0x2a, 0x86, 0x48]);
        let agreement = Agreement {
            scheme: trust::oids::ECDH_WITH_SHA256,
            wrap: KeyWrap { wrap: Wrap::Aes192, with_null: true },
            curve: Some(element(&curve).unwrap()),
            public: &[0, 4, 1, 2],
            material: Some(b"material"),
        };
        let bare = Agreement { curve: None, material: None, ..agreement };
        let oaep = DIGESTS.map(|digest| KeyMethod::Transport(RsaPadding::Oaep(digest)));
        let others =
            [KeyMethod::Transport(RsaPadding::Pkcs1), KeyMethod::Agreement(agreement), KeyMethod::Agreement(bare)];
        for (method, octets) in oaep.into_iter().chain(others).zip([16, 24, 32].into_iter().cycle()) {
            let wrapped = WrappedKey { method, key: b"encrypted", octets };
            let octets = wrapped.to_bytes();
            assert_eq!(WrappedKey::read(&mut Reader::new(&octets)), Ok(wrapped));
            for length in 0..octets.len() {
                assert_eq!(WrappedKey::read(&mut Reader::new(&octets[..length])), Err(Malformed));
            }
        }
    }

    #[test]
    fn other_lengths_and_long_fields_are_malformed() {
        let wrapped = |octets, key| WrappedKey { method: KeyMethod::Transport(RsaPadding::Pkcs1), key, octets };
        let long = vec![0; LONGEST_FIELD + 1];
        for wrong in [wrapped(17, &[1][..]), wrapped(0, &[1]), wrapped(1 << 40, &[1]), wrapped(16, &long)] {
            assert_eq!(WrappedKey::read(&mut Reader::new(&wrong.to_bytes())), Err(Malformed));
        }
    }
}
