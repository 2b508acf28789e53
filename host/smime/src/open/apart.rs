//! Opening in a process that has neither the private key nor files: the child's side, and what the parent makes of its
//! answers.
//!
//! The child runs the same checks as [`open`](super::open()) and asks for the one operation with a private key. The parent
//! decides what it believes. It reads the signer's names from the certificate itself, with a parser that is safe Rust, and
//! knows by itself whether the message was encrypted. It cannot know whether the signature was checked: a child that was
//! taken over may name any signer. Checking the signature again would need OpenSSL's parser of certificates in the parent,
//! which is what the child is for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use message::acknowledgement::Sequence;
use message::wire::{Malformed, Reader, Writer};
use message::{Code, MessageId, cause};
use openssl::x509::{X509, X509Ref};
use trust::{Credential, Digest, Signer, TrustStore};
use zeroize::Zeroizing;

use super::{OpenError, OpenPolicy, Opened, is_blank, open_with};
use crate::keys::{Keys, OwnKeys};
use crate::wrapped::{WrappedKey, at, place};

const DIGESTS: [Digest; 5] = [Digest::Md5, Digest::Sha1, Digest::Sha256, Digest::Sha384, Digest::Sha512];
/// The longest text of a refusal.
const LONGEST_REASON: usize = 16 * 1024;

/// A message that cannot be opened, as the process that tried says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The code of the reason.
    pub code: Code,
    /// The reason with its causes.
    pub reason: String,
    /// Whether the cause is on our side; see [`OpenError::is_ours`].
    pub ours: bool,
}

impl From<OpenError> for Refused {
    fn from(error: OpenError) -> Self {
        Self { code: error.code(), reason: cause::chain(&error), ours: error.is_ours() }
    }
}

/// What became of a message.
pub type Answer = Result<Opened, Refused>;

/// Our certificates in a process without their keys.
pub struct Apart(Vec<X509>);

impl Apart {
    /// From the certificates in DER.
    ///
    /// # Errors
    /// [`Malformed`] where one cannot be read.
    pub fn new<'a>(certificates: impl Iterator<Item = &'a [u8]>) -> Result<Self, Malformed> {
        let read = |der| X509::from_der(der).map_err(|_| Malformed);
        certificates.map(read).collect::<Result<_, _>>().map(Self)
    }
}

struct AskedFor<'a, F> {
    certificates: &'a [X509],
    ask: F,
}

impl<F: Fn(&[u8]) -> Option<Zeroizing<Vec<u8>>>> Keys for AskedFor<'_, F> {
    fn certificates(&self) -> Vec<&X509Ref> {
        self.certificates.iter().map(AsRef::as_ref).collect()
    }

    fn content_key(&self, index: usize, wrapped: &WrappedKey<'_>) -> Option<Zeroizing<Vec<u8>>> {
        let mut writer = Writer::default();
        writer.number(index as u64);
        wrapped.write(&mut writer);
        let asked = writer.finish();
        // What the other process would take for malformed yields no key, as anyone can see.
        let mut reader = Reader::new(&asked);
        reader.count().and_then(|_| WrappedKey::read(&mut reader)).ok()?;
        (self.ask)(&asked)
    }
}

/// Opens a message as [`open`](super::open()) does, without a private key: `ask` takes what [`content_key`] answers. Returns
/// the octets of the answer.
pub fn open_apart(
    raw: &[u8],
    certificates: &Apart,
    ask: impl Fn(&[u8]) -> Option<Zeroizing<Vec<u8>>>,
    trust: &TrustStore,
    policy: &OpenPolicy,
    at: SystemTime,
) -> Vec<u8> {
    let keys = AskedFor { certificates: &certificates.0, ask };
    let mut writer = Writer::default();
    match open_with(raw, &keys, trust, policy, at) {
        Ok(opened) => {
            writer.octet(0);
            opened.write(&mut writer);
        }
        Err(error) => {
            let Refused { code, mut reason, ours } = error.into();
            reason.truncate(reason.floor_char_boundary(LONGEST_REASON));
            writer.octet(1).text(code.as_str()).text(&reason).flag(ours);
        }
    }
    writer.finish()
}

/// Does the operation that a child asks for, with the key of one of these credentials.
///
/// # Errors
/// [`Malformed`] for what no child of ours asks for. A key that cannot be decrypted is none: the answer is a random one.
pub fn content_key(asked: &[u8], credentials: &[Arc<Credential>]) -> Result<Zeroizing<Vec<u8>>, Malformed> {
    let mut reader = Reader::new(asked);
    let index = reader.count()?;
    let wrapped = WrappedKey::read(&mut reader)?;
    reader.end()?;
    OwnKeys(credentials).content_key(index, &wrapped).ok_or(Malformed)
}

impl Opened {
    fn write(&self, writer: &mut Writer) {
        let Self {
            payload, content_type, signed_id, signed_to, sequence, signer, path: _, signing_time, digest, ..
        } = self;
        writer.octets(&signer.certificate_der).octet(place(&DIGESTS, digest));
        writer.optional(*signing_time, |writer, time| writer.time(time));
        writer.optional(content_type.as_ref(), |writer, text| writer.text(text));
        writer.optional(signed_id.as_ref(), |writer, id| writer.text(id.as_str()));
        writer.optional(signed_to.as_ref(), |writer, text| writer.text(text));
        writer.optional(sequence.as_ref(), |writer, sequence| writer.text(&sequence.to_string()));
        writer.octets(payload);
    }
}

/// The last signers that answers named: a certificate that is the same octet by octet is read once.
#[derive(Debug, Default)]
pub struct SeenSigners(VecDeque<Arc<Signer>>);

impl SeenSigners {
    fn of(&mut self, certificate: &[u8]) -> Result<Arc<Signer>, Malformed> {
        /// Signers of one receiver that send at the same time.
        const MOST: usize = 32;
        if let Some(seen) = self.0.iter().find(|seen| seen.certificate_der == certificate) {
            return Ok(Arc::clone(seen));
        }
        let signer = Arc::new(Signer::from_der(certificate).map_err(|_| Malformed)?);
        self.0.truncate(MOST - 1);
        self.0.push_front(Arc::clone(&signer));
        Ok(signer)
    }
}

/// Reads the answer of a child about a message: `asked_for_key` says whether a key of ours was used for it.
///
/// # Errors
/// [`Malformed`] for what [`open_apart`] does not answer under this policy.
pub fn read_answer(
    octets: &[u8],
    policy: &OpenPolicy,
    asked_for_key: bool,
    signers: &mut SeenSigners,
) -> Result<Answer, Malformed> {
    let mut reader = Reader::new(octets);
    let answer = match reader.octet()? {
        0 => Ok(read_opened(&mut reader, policy, asked_for_key, signers)?),
        1 => Err(Refused {
            code: read_code(reader.text()?)?,
            reason: Some(reader.text()?).filter(|text| text.len() <= LONGEST_REASON).ok_or(Malformed)?.to_owned(),
            ours: reader.flag()?,
        }),
        _ => return Err(Malformed),
    };
    reader.end()?;
    Ok(answer)
}

fn read_code(word: &str) -> Result<Code, Malformed> {
    Code::ALL.iter().copied().find(|code| code.as_str() == word).ok_or(Malformed)
}

fn read_opened(
    reader: &mut Reader<'_>,
    policy: &OpenPolicy,
    encrypted: bool,
    signers: &mut SeenSigners,
) -> Result<Opened, Malformed> {
    let signer = signers.of(reader.octets()?)?;
    let digest = at(&DIGESTS, reader.octet()?)?;
    let signing_time = reader.optional(Reader::time)?;
    let content_type = reader.optional(Reader::text)?.map(str::to_owned);
    let signed_id = reader.optional(Reader::text)?.map(|id| MessageId::parse(id).map_err(|_| Malformed)).transpose()?;
    let signed_to = reader.optional(Reader::text)?.map(str::to_owned);
    let sequence = reader.optional(Reader::text)?;
    let sequence = sequence.map(|text| text.parse::<Sequence>().map_err(|_| Malformed)).transpose()?;
    let payload = reader.octets()?;
    let misdirected = signed_to.as_ref().is_some_and(|to| !policy.names.is_empty() && !policy.names.contains(to));
    let too_weak = digest == Digest::Md5 || (digest == Digest::Sha1 && !policy.allow_sha1);
    let unencrypted = policy.encryption_required && !encrypted;
    if misdirected || too_weak || unencrypted || payload.len() > policy.max_payload || is_blank(payload) {
        return Err(Malformed);
    }
    Ok(Opened {
        payload: payload.to_vec(),
        content_type,
        signed_id,
        signed_to,
        sequence,
        signer,
        path: None,
        signing_time,
        digest,
        encrypted,
    })
}
