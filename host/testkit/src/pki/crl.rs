//! Certificate revocation lists, good ones and those that must be refused. Written out by hand, because OpenSSL's builder
//! makes only the good ones.

use openssl::asn1::Asn1Object;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::Id;
use openssl::sign::Signer;
use openssl::x509::X509Ref;

use super::{DAY, Digest, HOUR, Issued, ThrowawayError, from_now};
use trust::{asn1, oids};

/// What a CRL shall be like.
#[derive(Clone, Debug)]
pub struct CrlRequest {
    /// Date of issue, in seconds from now.
    pub this_update: i64,
    /// When it must be renewed, in seconds from now; `None` to leave it out.
    pub next_update: Option<i64>,
    /// The digest of the signature.
    pub digest: Digest,
    /// Extensions: OID, whether critical, DER value.
    pub extensions: Vec<(String, bool, Vec<u8>)>,
}

impl Default for CrlRequest {
    fn default() -> Self {
        Self { this_update: -HOUR, next_update: Some(7 * DAY), digest: Digest::Sha256, extensions: Vec::new() }
    }
}

/// Makes a CRL of this authority: `CertificateList` of RFC 5280 5.1.
pub(super) fn build(authority: &Issued, revoked: &[&X509Ref], request: &CrlRequest) -> Result<Vec<u8>, ThrowawayError> {
    let algorithm = algorithm(authority.key.id(), request.digest);
    let issued = time(from_now(request.this_update));
    let mut fields = vec![
        asn1::encode(asn1::INTEGER, &[1]),
        algorithm.clone(),
        authority.certificate.subject_name().to_der()?,
        issued.clone(),
    ];
    fields.extend(request.next_update.map(|offset| time(from_now(offset))));
    let mut entries = Vec::new();
    for certificate in revoked {
        let serial = certificate.serial_number().to_bn()?.to_vec();
        let positive = if serial.first().is_some_and(|&byte| byte >= 0x80) { vec![0] } else { Vec::new() };
        let number = asn1::encode(asn1::INTEGER, &[positive, serial].concat());
        entries.extend(asn1::encode(asn1::SEQUENCE, &[number, issued.clone()].concat()));
    }
    if !entries.is_empty() {
        fields.push(asn1::encode(asn1::SEQUENCE, &entries));
    }
    let extensions = request.extensions.iter().map(|(oid, critical, value)| extension(oid, *critical, value));
    let extensions = extensions.collect::<Result<Vec<_>, _>>()?.concat();
    if !extensions.is_empty() {
        fields.push(asn1::encode(asn1::context(0), &asn1::encode(asn1::SEQUENCE, &extensions)));
    }
    let signed = asn1::encode(asn1::SEQUENCE, &fields.concat());
    let mut signature = vec![0];
    signature.extend(sign(authority, request.digest, &signed)?);
    let parts = [signed, algorithm, asn1::encode(asn1::BIT_STRING, &signature)];
    Ok(asn1::encode(asn1::SEQUENCE, &parts.concat()))
}

fn sign(authority: &Issued, digest: Digest, signed: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    let mut signer = match digest.of(&authority.key) {
        digest if digest == MessageDigest::null() => Signer::new_without_digest(&authority.key)?,
        digest => Signer::new(digest, &authority.key)?,
    };
    signer.sign_oneshot_to_vec(signed)
}

fn algorithm(key: Id, digest: Digest) -> Vec<u8> {
    let oid = match (key, digest) {
        (Id::ED25519, _) => oids::ED25519,
        (Id::EC, Digest::Sha1) => oids::ECDSA_WITH_SHA1,
        (Id::EC, _) => oids::ECDSA_WITH_SHA256,
        (_, Digest::Sha256) => oids::RSA_WITH_SHA256,
        (_, Digest::Sha1) => oids::RSA_WITH_SHA1,
        (_, Digest::Md5) => oids::RSA_WITH_MD5,
    };
    let parameters: &[u8] = if key == Id::RSA { &[5, 0] } else { &[] };
    asn1::encode(asn1::SEQUENCE, &[&asn1::encode(asn1::OID, oid), parameters].concat())
}

/// UTCTime, which RFC 5280 wants until 2049.
fn time(moment: i64) -> Vec<u8> {
    let stamp = jiff::Timestamp::from_second(moment).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let at = stamp.to_zoned(jiff::tz::TimeZone::UTC);
    let text = format!(
        "{:02}{:02}{:02}{:02}{:02}{:02}Z",
        at.year() % 100,
        at.month(),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    );
    asn1::encode(asn1::UTC_TIME, text.as_bytes())
}

fn extension(oid: &str, critical: bool, value: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    let mut content = asn1::encode(asn1::OID, Asn1Object::from_str(oid)?.as_slice());
    if critical {
        content.extend(asn1::encode(asn1::BOOLEAN, &[0xff]));
    }
    content.extend(asn1::encode(asn1::OCTET_STRING, value));
    Ok(asn1::encode(asn1::SEQUENCE, &content))
}

/// Wraps a CRL in PEM.
pub(super) fn to_pem(der: &[u8]) -> String {
    let mut text = "-----BEGIN X509 CRL-----\n".to_owned();
    let mut rest = openssl::base64::encode_block(der);
    while !rest.is_empty() {
        let tail = rest.split_off(rest.len().min(64));
        text.push_str(&rest);
        text.push('\n');
        rest = tail;
    }
    text.push_str("-----END X509 CRL-----\n");
    text
}
