//! Detached signatures: SignedData of version 1 with one signer (RFC 5652, section 5), in DER.
//!
//! The signer is identified by issuer and serial number. The signed attributes are content type, signing time and message
//! digest; there are no capabilities, since an SSM receiver ignores them and they would announce ciphers that we do not
//! accept. What does not depend on the content is written once. OpenSSL computes digests and signatures.

use std::time::SystemTime;

use openssl::error::ErrorStack;
use openssl::md::Md;
use openssl::pkey::{Id, PKey, Private};
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::Padding;
use openssl::sha::sha256;
use trust::asn1::{INTEGER, OCTET_STRING, OID, SET, context, encode, encode_time};
use trust::{Credential, oids, seconds};

use super::{SealError, check_signing_key};
use crate::der::{self, sequence};
use crate::ready::Ready;

/// Signs with one credential.
pub(crate) struct DetachedSigner {
    key: PKey<Private>,
    /// The fields of SignedData before its signers: version, digest algorithms, type of the content, certificates.
    fields: Vec<u8>,
    /// The fields of SignerInfo before the signed attributes: version, our certificate, digest algorithm.
    signer: Vec<u8>,
    /// Of the signature.
    algorithm: Vec<u8>,
    ready: Ready<PkeyCtx<Private>>,
}

impl DetachedSigner {
    /// Signs with `credential`, whose certificate and `others` are part of every signature.
    ///
    /// # Errors
    /// [`SealError::SigningKey`] for a key that is neither RSA nor EC.
    pub(crate) fn new(credential: &Credential, others: &[Vec<u8>]) -> Result<Self, SealError> {
        check_signing_key(credential)?;
        let own = &credential.facts().certificate_der;
        let identifier = der::issuer_and_serial(own).map_err(|_| SealError::Internal)?;
        let digest = der::algorithm(oids::SHA256, &[]);
        let mut certificates: Vec<&[u8]> = others.iter().map(Vec::as_slice).chain([own.as_slice()]).collect();
        // A set is in the order of its encoded elements.
        certificates.sort_unstable();
        let version = encode(INTEGER, &[1]);
        let fields = [
            version.as_slice(),
            &encode(SET, &digest),
            &sequence(&[&encode(OID, oids::DATA)]),
            &encode(context(0), &certificates.concat()),
        ]
        .concat();
        let algorithm = match credential.key().id() {
            Id::RSA => der::algorithm(oids::RSA, &der::NULL),
            _ => der::algorithm(oids::ECDSA_WITH_SHA256, &[]),
        };
        Ok(Self {
            key: credential.key().clone(),
            fields,
            signer: [version, identifier, digest].concat(),
            algorithm,
            ready: Ready::default(),
        })
    }

    /// The maximum size of the signature itself, in octets.
    pub(super) fn signature_size(&self) -> usize {
        self.key.size()
    }

    /// Signs the content with this SHA-256 digest, with the signing time `at`.
    ///
    /// # Errors
    /// [`SealError::Openssl`].
    pub(crate) fn sign(&self, at: SystemTime, digest: &[u8; 32]) -> Result<Vec<u8>, SealError> {
        let seconds = i64::try_from(seconds(at)).ok();
        let time = seconds.and_then(encode_time).ok_or(SealError::Internal)?;
        let attributes = attributes(&time, digest);
        // The signature is over the attributes as a set; in the message they have the tag of their field.
        let signature = self.signature(&sha256(&encode(SET, &attributes))).map_err(SealError::openssl("sign"))?;
        let signer = sequence(&[
            &self.signer,
            &encode(context(0), &attributes),
            &self.algorithm,
            &encode(OCTET_STRING, &signature),
        ]);
        let body = [self.fields.as_slice(), &encode(SET, &signer)].concat();
        Ok(der::begin_content_info(oids::SIGNED_DATA, &body, 0))
    }

    fn signature(&self, digest: &[u8; 32]) -> Result<Vec<u8>, ErrorStack> {
        let mut signature = vec![0; self.key.size()];
        let sign = |context: &mut PkeyCtx<Private>| context.sign(digest, Some(signature.as_mut_slice()));
        let length = self.ready.with(|| self.prepare(), sign)?;
        signature.truncate(length);
        Ok(signature)
    }

    fn prepare(&self) -> Result<PkeyCtx<Private>, ErrorStack> {
        let mut context = PkeyCtx::new(&self.key)?;
        context.sign_init()?;
        if self.key.id() == Id::RSA {
            context.set_rsa_padding(Padding::PKCS1)?;
        }
        context.set_signature_md(Md::sha256())?;
        Ok(context)
    }
}

/// The signed attributes, in the order of their encodings, which is that of their sizes.
fn attributes(time: &[u8], digest: &[u8; 32]) -> Vec<u8> {
    let attribute = |kind: &[u8], value: &[u8]| sequence(&[&encode(OID, kind), &encode(SET, value)]);
    [
        attribute(oids::CONTENT_TYPE, &encode(OID, oids::DATA)),
        attribute(oids::SIGNING_TIME, time),
        attribute(oids::MESSAGE_DIGEST, &encode(OCTET_STRING, digest)),
    ]
    .concat()
}
