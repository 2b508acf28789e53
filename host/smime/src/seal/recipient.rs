//! The recipient of an envelope: encrypts the content's key and writes the RecipientInfo (RFC 5652, section 6.2).
//!
//! | key | method |
//! |---|---|
//! | RSA | key transport, PKCS#1 v1.5 |
//! | EC | key agreement: ECDH with an ephemeral key, the X9.63 key derivation over SHA-1 and AES key wrap (RFC 5753) |
//!
//! These are the methods of `openssl cms`. SHA-1 derives a key from a secret here; its weakness against collisions does
//! not matter.

use openssl::bn::BigNumContext;
use openssl::ec::{EcKey, PointConversionForm};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{Id, PKey, Public};
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::Padding;
use trust::asn1::{BIT_STRING, INTEGER, OCTET_STRING, context, encode};
use trust::{RecipientCertificate, oids};
use zeroize::Zeroizing;

use super::{SealCipher, SealError};
use crate::Peer;
use crate::agreement::{self, Wrap};
use crate::der::{self, sequence};
use crate::ready::Ready;

/// The one for whom content is encrypted.
pub(super) enum Recipient {
    Transport(KeyTransport),
    Agreement(Box<KeyAgreement>),
}

impl Recipient {
    /// Checks that the recipient's key can be used by the peer.
    pub(super) fn new(recipient: &RecipientCertificate, peer: Peer, cipher: SealCipher) -> Result<Self, SealError> {
        let openssl = SealError::openssl("read the recipient certificate for");
        let public = recipient.certificate().public_key().map_err(openssl)?;
        let identifier = der::issuer_and_serial(&recipient.facts().certificate_der).map_err(|_| SealError::Internal)?;
        let reason = match (public.id(), peer) {
            (Id::RSA, _) => {
                return Ok(Self::Transport(KeyTransport { identifier, public, ready: Ready::default() }));
            }
            (Id::EC, Peer::Sesame) => {
                let agreement = KeyAgreement::new(identifier, public, cipher).map_err(openssl)?;
                return Ok(Self::Agreement(Box::new(agreement)));
            }
            (Id::EC, Peer::Ssm) => {
                "an SSM receiver cannot decrypt with an EC key; set peer = \"sesame\" if the receiver is a Sesame"
            }
            _ => "its key is neither RSA nor EC; the receiver needs a certificate with an RSA key",
        };
        Err(SealError::RecipientKey { file: recipient.file().to_owned(), reason })
    }

    /// The version of an EnvelopedData for it.
    pub(super) fn version(&self) -> u8 {
        match self {
            Self::Transport(_) => 0,
            Self::Agreement(_) => 2,
        }
    }

    /// Encrypts the key of a content; returns the RecipientInfo.
    pub(super) fn encrypt_key(&self, key: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        match self {
            Self::Transport(transport) => transport.encrypt_key(key),
            Self::Agreement(agreement) => agreement.encrypt_key(key),
        }
    }
}

/// An RSA key.
pub(super) struct KeyTransport {
    /// IssuerAndSerialNumber of the certificate.
    identifier: Vec<u8>,
    public: PKey<Public>,
    ready: Ready<PkeyCtx<Public>>,
}

impl KeyTransport {
    fn prepare(&self) -> Result<PkeyCtx<Public>, ErrorStack> {
        let mut context = PkeyCtx::new(&self.public)?;
        context.encrypt_init()?;
        context.set_rsa_padding(Padding::PKCS1)?;
        Ok(context)
    }

    fn encrypt_key(&self, key: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        let mut encrypted = vec![0; self.public.size()];
        let length =
            self.ready.with(|| self.prepare(), |context| context.encrypt(key, Some(encrypted.as_mut_slice())))?;
        encrypted.truncate(length);
        Ok(sequence(&[
            &encode(INTEGER, &[0]),
            &self.identifier,
            &der::algorithm(oids::RSA, &der::NULL),
            &encode(OCTET_STRING, &encrypted),
        ]))
    }
}

/// An EC key.
pub(super) struct KeyAgreement {
    /// IssuerAndSerialNumber of the certificate.
    identifier: Vec<u8>,
    public: PKey<Public>,
    /// The same, for its group.
    point: EcKey<Public>,
    wrap: Wrap,
}

impl KeyAgreement {
    fn new(identifier: Vec<u8>, public: PKey<Public>, cipher: SealCipher) -> Result<Self, ErrorStack> {
        let wrap = match cipher {
            SealCipher::Aes128Cbc => Wrap::Aes128,
            SealCipher::Aes192Cbc => Wrap::Aes192,
            SealCipher::Aes256Cbc | SealCipher::Aes256Gcm => Wrap::Aes256,
        };
        Ok(Self { identifier, point: public.ec_key()?, public, wrap })
    }

    fn encrypt_key(&self, key: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        let group = self.point.group();
        let ephemeral = EcKey::generate(group)?;
        let mut numbers = BigNumContext::new()?;
        let point = ephemeral.public_key().to_bytes(group, PointConversionForm::UNCOMPRESSED, &mut numbers)?;
        let ephemeral = PKey::from_ec_key(ephemeral)?;
        let mut context_of_key = PkeyCtx::new(&ephemeral)?;
        context_of_key.derive_init()?;
        context_of_key.derive_set_peer(&self.public)?;
        let mut secret = Zeroizing::new(Vec::new());
        context_of_key.derive_to_vec(&mut secret)?;
        let algorithm = self.wrap.algorithm(false);
        let wrapping_key = agreement::wrapping_key(MessageDigest::sha1(), &secret, (self.wrap, &algorithm), None)?;
        Ok(self.info(&point, &algorithm, &self.wrap.wrap(&wrapping_key, key)?))
    }

    /// KeyAgreeRecipientInfo. The leading octet of a BIT STRING is the number of unused bits.
    fn info(&self, point: &[u8], wrap: &[u8], wrapped: &[u8]) -> Vec<u8> {
        let public = encode(BIT_STRING, &[&[0], point].concat());
        let originator = [der::algorithm(oids::EC_PUBLIC_KEY, &[]), public].concat();
        let encrypted = sequence(&[&self.identifier, &encode(OCTET_STRING, wrapped)]);
        let fields = [
            encode(INTEGER, &[3]),
            encode(context(0), &encode(context(1), &originator)),
            der::algorithm(oids::ECDH_WITH_SHA1, wrap),
            sequence(&[&encrypted]),
        ];
        encode(context(1), &fields.concat())
    }
}
