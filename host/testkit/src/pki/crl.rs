//! Certificate revocation lists, good ones and those that must be refused. Written out by hand, because OpenSSL's builder
//! makes only the good ones.

use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::Id;
use openssl::sign::Signer;
use openssl::x509::X509Ref;

use super::{DAY, Digest, HOUR, Issued, ThrowawayError, from_now};
use trust::der;

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
        der::encode(der::INTEGER, &[1]),
        algorithm.clone(),
        authority.certificate.subject_name().to_der()?,
        issued.clone(),
    ];
    fields.extend(request.next_update.map(|offset| time(from_now(offset))));
    let mut entries = Vec::new();
    for certificate in revoked {
        let serial = certificate.serial_number().to_bn()?.to_vec();
        let positive = if serial.first().is_some_and(|&byte| byte >= 0x80) { vec![0] } else { Vec::new() };
        let number = der::encode(der::INTEGER, &[positive, serial].concat());
        entries.extend(der::encode(der::SEQUENCE, &[number, issued.clone()].concat()));
    }
    if !entries.is_empty() {
        fields.push(der::encode(der::SEQUENCE, &entries));
    }
    let extensions = request.extensions.iter().map(|(oid, critical, value)| extension(oid, *critical, value));
    let extensions = extensions.collect::<Vec<_>>().concat();
    if !extensions.is_empty() {
        fields.push(der::encode(0xa0, &der::encode(der::SEQUENCE, &extensions)));
    }
    let signed = der::encode(der::SEQUENCE, &fields.concat());
    let mut signature = vec![0];
    signature.extend(sign(authority, request.digest, &signed)?);
    let parts = [signed, algorithm, der::encode(der::BIT_STRING, &signature)];
    Ok(der::encode(der::SEQUENCE, &parts.concat()))
}

fn sign(authority: &Issued, digest: Digest, signed: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    let mut signer = match digest.of(&authority.key) {
        digest if digest == MessageDigest::null() => Signer::new_without_digest(&authority.key)?,
        digest => Signer::new(digest, &authority.key)?,
    };
    signer.sign_oneshot_to_vec(signed)
}

fn algorithm(key: Id, digest: Digest) -> Vec<u8> {
    let rsa = |last| [&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, last][..]].concat();
    let oid = match (key, digest) {
        (Id::ED25519, _) => vec![0x2b, 0x65, 0x70],
        (Id::EC, Digest::Sha1) => vec![0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01],
        (Id::EC, _) => vec![0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02],
        (_, Digest::Sha256) => rsa(0x0b),
        (_, Digest::Sha1) => rsa(0x05),
        (_, Digest::Md5) => rsa(0x04),
    };
    let parameters: &[u8] = if key == Id::RSA { &[5, 0] } else { &[] };
    der::encode(der::SEQUENCE, &[&der::encode(der::OID, &oid), parameters].concat())
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
    der::encode(der::UTC_TIME, text.as_bytes())
}

fn extension(oid: &str, critical: bool, value: &[u8]) -> Vec<u8> {
    let mut content = der::encode(der::OID, &oid_content(oid));
    if critical {
        content.extend(der::encode(der::BOOLEAN, &[0xff]));
    }
    content.extend(der::encode(der::OCTET_STRING, value));
    der::encode(der::SEQUENCE, &content)
}

/// The content octets of a dotted OID (X.690 8.19).
fn oid_content(oid: &str) -> Vec<u8> {
    let mut arcs = oid.split('.').map(|arc| arc.parse::<u32>().unwrap_or(0));
    let first = arcs.next().unwrap_or(0) * 40 + arcs.next().unwrap_or(0);
    let mut content = Vec::new();
    for arc in std::iter::once(first).chain(arcs) {
        let groups = (0..5).rev().map(|group| (arc >> (7 * group), group > 0));
        for (bits, more) in groups.skip_while(|&(bits, more)| bits == 0 && more) {
            content.push(u8::try_from(bits & 0x7f).unwrap_or(0) | if more { 0x80 } else { 0 });
        }
    }
    content
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
