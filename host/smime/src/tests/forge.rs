//! Builds valid and invalid CMS messages octet by octet.

use base64::Engine as _;
use openssl::hash::{MessageDigest, hash};
use openssl::pkey::{PKeyRef, Private};
use openssl::rsa::Padding;
use openssl::sign::{RsaPssSaltlen, Signer};
use openssl::x509::X509Ref;

use trust::Credential;
pub(crate) use trust::asn1::encode as tlv;

pub(crate) const ID_DATA: &str = "1.2.840.113549.1.7.1";
pub(crate) const ID_SIGNED: &str = "1.2.840.113549.1.7.2";
pub(crate) const ID_ENVELOPED: &str = "1.2.840.113549.1.7.3";
pub(crate) const ID_AUTH_ENVELOPED: &str = "1.2.840.113549.1.9.16.1.23";
pub(crate) const SHA1: &str = "1.3.14.3.2.26";
pub(crate) const SHA256: &str = "2.16.840.1.101.3.4.2.1";
pub(crate) const SHA512: &str = "2.16.840.1.101.3.4.2.3";
pub(crate) const MD5: &str = "1.2.840.113549.2.5";
pub(crate) const RSA: &str = "1.2.840.113549.1.1.1";
pub(crate) const CONTENT_TYPE: &str = "1.2.840.113549.1.9.3";
pub(crate) const MESSAGE_DIGEST: &str = "1.2.840.113549.1.9.4";
pub(crate) const SIGNING_TIME: &str = "1.2.840.113549.1.9.5";
/// The default signed part, with a header.
pub(crate) const PART: &[u8] = b"Content-Type: text/plain\r\n\r\nhello\r\n";

pub(crate) fn seq(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

pub(crate) fn set(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x31, &parts.concat())
}

pub(crate) fn int(value: u8) -> Vec<u8> {
    tlv(2, &[value])
}

pub(crate) fn oid(text: &str) -> Vec<u8> {
    let object = openssl::asn1::Asn1Object::from_str(text);
    tlv(6, object.unwrap().as_slice())
}

pub(crate) fn algorithm(text: &str) -> Vec<u8> {
    seq(&[oid(text), tlv(5, &[])])
}

pub(crate) fn attribute(name: &str, values: &[Vec<u8>]) -> Vec<u8> {
    seq(&[oid(name), set(values)])
}

pub(crate) fn issuer_serial(certificate: &X509Ref) -> Vec<u8> {
    let serial = certificate.serial_number().to_bn().unwrap().to_vec();
    seq(&[certificate.issuer_name().to_der().unwrap(), tlv(2, &serial)])
}

fn digest_by_name(name: &str) -> MessageDigest {
    match name {
        SHA1 => MessageDigest::sha1(),
        MD5 => MessageDigest::md5(),
        SHA512 => MessageDigest::sha512(),
        _ => MessageDigest::sha256(),
    }
}

pub(crate) fn digest_attribute(digest: &str, content: &[u8]) -> Vec<u8> {
    let value = hash(digest_by_name(digest), content).unwrap();
    attribute(MESSAGE_DIGEST, &[tlv(4, &value)])
}

/// The fields of a SignerInfo; change them and call [`build`](SignerForge::build).
pub(crate) struct SignerForge<'a> {
    pub(crate) key: &'a PKeyRef<Private>,
    pub(crate) sid: Vec<u8>,
    pub(crate) version: u8,
    pub(crate) digest: &'static str,
    /// `None`: no signed attributes.
    pub(crate) attributes: Option<Vec<Vec<u8>>>,
    pub(crate) signature_algorithm: Vec<u8>,
    /// Salt length, for RSA-PSS.
    pub(crate) pss: Option<i32>,
    /// Signed instead of the attributes that are sent.
    pub(crate) signed_instead: Option<Vec<u8>>,
    /// The unsigned attributes.
    pub(crate) unsigned: Option<Vec<u8>>,
    /// Applied to the finished signature.
    pub(crate) spoil: fn(Vec<u8>) -> Vec<u8>,
    content: Vec<u8>,
}

impl<'a> SignerForge<'a> {
    pub(crate) fn new(signer: &'a Credential, digest: &'static str, content: &[u8]) -> Self {
        let attributes = vec![attribute(CONTENT_TYPE, &[oid(ID_DATA)]), digest_attribute(digest, content)];
        Self {
            key: signer.key(),
            sid: issuer_serial(signer.certificate()),
            version: 1,
            digest,
            attributes: Some(attributes),
            signature_algorithm: algorithm(RSA),
            pss: None,
            signed_instead: None,
            unsigned: None,
            spoil: |signature| signature,
            content: content.to_vec(),
        }
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let signed = match (&self.signed_instead, &self.attributes) {
            (Some(instead), _) => instead.clone(),
            (None, Some(attributes)) => set(attributes),
            (None, None) => self.content.clone(),
        };
        let mut fields = vec![int(self.version), self.sid.clone(), algorithm(self.digest)];
        if let Some(attributes) = &self.attributes {
            fields.push(tlv(0xA0, &attributes.concat()));
        }
        fields.push(self.signature_algorithm.clone());
        fields.push(tlv(4, &(self.spoil)(self.sign(&signed))));
        fields.extend(self.unsigned.as_ref().map(|attributes| tlv(0xA1, attributes)));
        seq(&fields)
    }

    fn sign(&self, signed: &[u8]) -> Vec<u8> {
        if self.key.id() == openssl::pkey::Id::ED25519 {
            return Signer::new_without_digest(self.key).unwrap().sign_oneshot_to_vec(signed).unwrap();
        }
        let mut signer = Signer::new(digest_by_name(self.digest), self.key).unwrap();
        if let Some(salt) = self.pss {
            signer.set_rsa_padding(Padding::PKCS1_PSS).unwrap();
            signer.set_rsa_pss_saltlen(RsaPssSaltlen::custom(salt)).unwrap();
        }
        signer.sign_oneshot_to_vec(signed).unwrap()
    }
}

/// The fields of a SignedData.
pub(crate) struct SignedForge {
    pub(crate) digests: Vec<Vec<u8>>,
    pub(crate) content_type: &'static str,
    pub(crate) content: Option<Vec<u8>>,
    pub(crate) certificates: Vec<Vec<u8>>,
    pub(crate) revocations: Vec<Vec<u8>>,
    pub(crate) signers: Vec<Vec<u8>>,
}

impl SignedForge {
    /// A valid opaque message over [`PART`].
    pub(crate) fn new(signer: &Credential) -> Self {
        Self::with(signer, SignerForge::new(signer, SHA256, PART).build())
    }

    pub(crate) fn with(signer: &Credential, signer_info: Vec<u8>) -> Self {
        Self {
            digests: vec![algorithm(SHA256)],
            content_type: ID_DATA,
            content: Some(PART.to_vec()),
            certificates: vec![signer.certificate().to_der().unwrap()],
            revocations: Vec::new(),
            signers: vec![signer_info],
        }
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        let mut inside = vec![oid(self.content_type)];
        if let Some(content) = &self.content {
            inside.push(tlv(0xA0, &tlv(4, content)));
        }
        let mut fields = vec![int(1), set(&self.digests), seq(&inside)];
        if !self.certificates.is_empty() {
            fields.push(tlv(0xA0, &self.certificates.concat()));
        }
        if !self.revocations.is_empty() {
            fields.push(tlv(0xA1, &self.revocations.concat()));
        }
        fields.push(set(&self.signers));
        content_info(ID_SIGNED, &seq(&fields))
    }

    pub(crate) fn message(&self) -> Vec<u8> {
        pkcs7_mime(&self.der())
    }
}

pub(crate) fn content_info(kind: &str, content: &[u8]) -> Vec<u8> {
    seq(&[oid(kind), tlv(0xA0, content)])
}

/// Wraps CMS as `application/pkcs7-mime`.
pub(crate) fn pkcs7_mime(der: &[u8]) -> Vec<u8> {
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    let head = "MIME-Version: 1.0\nContent-Type: application/pkcs7-mime\nContent-Transfer-Encoding: base64\n\n";
    format!("{head}{body}\n").into_bytes()
}

/// A valid detached signature over the part.
pub(crate) fn detached(signer: &Credential, part: &[u8]) -> Vec<u8> {
    let mut forge = SignedForge::with(signer, SignerForge::new(signer, SHA256, part).build());
    forge.content = None;
    forge.der()
}

/// An EnvelopedData or AuthEnvelopedData from its parts.
pub(crate) fn envelope(recipients: &[Vec<u8>], cipher: &[u8], tag: Option<&[u8]>) -> Vec<u8> {
    let content = seq(&[oid(ID_DATA), cipher.to_vec(), tlv(0x80, &[7; 32])]);
    let mut fields = vec![int(0), set(recipients), content];
    fields.extend(tag.map(|tag| tlv(4, tag)));
    content_info(if tag.is_some() { ID_AUTH_ENVELOPED } else { ID_ENVELOPED }, &seq(&fields))
}

/// A KeyTransRecipientInfo with an invalid encrypted key.
pub(crate) fn key_transport(certificate: &X509Ref, transport: &[u8]) -> Vec<u8> {
    seq(&[int(0), issuer_serial(certificate), transport.to_vec(), tlv(4, &[1; 256])])
}

/// The same, addressed by a subject key identifier.
pub(crate) fn key_transport_by_key(id: &[u8], transport: &[u8]) -> Vec<u8> {
    seq(&[int(2), tlv(0x80, id), transport.to_vec(), tlv(4, &[1; 256])])
}

pub(crate) fn aes_256_cbc() -> Vec<u8> {
    seq(&[oid("2.16.840.1.101.3.4.1.42"), tlv(4, &[0; 16])])
}

pub(crate) fn aes_256_gcm(nonce: usize, tag: u8) -> Vec<u8> {
    seq(&[oid("2.16.840.1.101.3.4.1.46"), seq(&[tlv(4, &vec![0; nonce]), int(tag)])])
}
