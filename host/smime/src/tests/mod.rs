//! Tests of the whole crate, and their shared certificates.

mod decryption;
mod differential;
mod envelopes;
mod forge;
mod hostile;
mod interop;
mod multipart;
mod mutations;
mod oracle;
mod overhead;
mod round_trip;
mod sealed;
mod signatures;
mod uncovered;

use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{BasicConstraints, KeyUsage, SubjectKeyIdentifier};
use openssl::x509::{X509, X509Builder, X509NameBuilder};

use super::{OpenError, OpenPolicy, Opened, Peer, SealPolicy, Sealer, ToSeal, open};
use message::MessageId;
use trust::{Credential, RecipientCertificate, Trust, TrustSettings};

pub(super) const LIMIT: usize = 1 << 20;
pub(super) const TEXT: &[u8] = b"APEL-individual-job-message: v0.3\nSite: UKI-TEST\n%%\n";

/// An authority and the certificates it issued, created once.
pub(super) struct Pki {
    pub(super) authority: X509,
    pub(super) authority_key: PKey<Private>,
    /// RSA-2048, the usual sender.
    pub(super) alice: Arc<Credential>,
    /// P-256.
    pub(super) eve: Arc<Credential>,
    /// RSA-2048, the usual receiver.
    pub(super) bob: Arc<Credential>,
    /// RSA-4096.
    pub(super) carol: Arc<Credential>,
    /// Ed25519.
    pub(super) dave: Arc<Credential>,
    /// RSA-2048, self-signed, with Alice's name.
    pub(super) mallory: Arc<Credential>,
    pub(super) trust: Trust,
}

pub(super) fn pki() -> &'static Pki {
    static PKI: OnceLock<Pki> = OnceLock::new();
    PKI.get_or_init(|| {
        let authority_key = ec();
        let authority = certificate("Test CA", &authority_key, None, 1, &[]);
        let issue = |name: &str, key: PKey<Private>, serial| {
            let certificate = certificate(name, &key, Some((&authority, &authority_key)), serial, &[]);
            credential(&certificate, &key)
        };
        let mallory_key = rsa(2048);
        let mallory = certificate("alice.example.org", &mallory_key, None, 2, &[]);
        Pki {
            alice: issue("alice.example.org", rsa(2048), 2),
            bob: issue("bob.example.org", rsa(2048), 3),
            carol: issue("carol.example.org", rsa(4096), 4),
            eve: issue("eve.example.org", ec(), 5),
            dave: issue("dave.example.org", PKey::generate_ed25519().unwrap(), 6),
            mallory: credential(&mallory, &mallory_key),
            trust: trust(&authority),
            authority,
            authority_key,
        }
    })
}

pub(super) fn rsa(bits: u32) -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap()
}

pub(super) fn ec() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

/// A certificate for `key`: self-signed without an issuer, an authority if its name says so. `key_id` replaces the
/// default identifier.
pub(super) fn certificate(
    name: &str,
    key: &PKey<Private>,
    issuer: Option<(&X509, &PKey<Private>)>,
    serial: u32,
    key_id: &[u8],
) -> X509 {
    certificate_with(name, key, issuer, serial, Some(key_id))
}

/// As [`certificate`]; `None`: no subject key identifier.
pub(super) fn certificate_with(
    name: &str,
    key: &PKey<Private>,
    issuer: Option<(&X509, &PKey<Private>)>,
    serial: u32,
    key_id: Option<&[u8]>,
) -> X509 {
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_text("C", "UK").unwrap();
    subject.append_entry_by_text("O", "Sesame Test").unwrap();
    subject.append_entry_by_text("CN", name).unwrap();
    let subject = subject.build();
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(&subject).unwrap();
    builder.set_issuer_name(issuer.map_or(subject.as_ref(), |(issuer, _)| issuer.subject_name())).unwrap();
    builder.set_pubkey(key).unwrap();
    let number = openssl::bn::BigNum::from_u32(serial).unwrap();
    builder.set_serial_number(&number.to_asn1_integer().unwrap()).unwrap();
    let yesterday = openssl::asn1::Asn1Time::from_unix(now_seconds() - 86_400).unwrap();
    builder.set_not_before(&yesterday).unwrap();
    builder.set_not_after(&openssl::asn1::Asn1Time::days_from_now(30).unwrap()).unwrap();
    let mut constraints = BasicConstraints::new();
    constraints.critical();
    let mut usage = KeyUsage::new();
    usage.critical();
    if name.ends_with("CA") {
        constraints.ca();
        usage.key_cert_sign().crl_sign();
    } else {
        usage.digital_signature().key_encipherment().key_agreement();
    }
    builder.append_extension(constraints.build().unwrap()).unwrap();
    builder.append_extension(usage.build().unwrap()).unwrap();
    if let Some(key_id) = key_id {
        let identifier = if key_id.is_empty() {
            SubjectKeyIdentifier::new().build(&builder.x509v3_context(None, None)).unwrap()
        } else {
            let value = forge::tlv(4, key_id);
            let oid = openssl::asn1::Asn1Object::from_str("2.5.29.14").unwrap();
            let octets = openssl::asn1::Asn1OctetString::new_from_bytes(&value).unwrap();
            openssl::x509::X509Extension::new_from_der(&oid, false, &octets).unwrap()
        };
        builder.append_extension(identifier).unwrap();
    }
    let signing_key = issuer.map_or(key, |(_, key)| key);
    builder.sign(signing_key, MessageDigest::sha256()).unwrap();
    builder.build()
}

fn now_seconds() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// Loads the pair from files.
pub(super) fn credential(certificate: &X509, key: &PKey<Private>) -> Arc<Credential> {
    let folder = tempfile::tempdir().unwrap();
    let (certificate_file, key_file) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate_file, certificate.to_pem().unwrap()).unwrap();
    std::fs::write(&key_file, key.private_key_to_pem_pkcs8().unwrap()).unwrap();
    std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(0o600)).unwrap();
    Arc::new(Credential::load(&certificate_file, &key_file).unwrap())
}

fn trust(authority: &X509) -> Trust {
    let file = tempfile::NamedTempFile::with_suffix(".pem").unwrap();
    std::fs::write(file.path(), authority.to_pem().unwrap()).unwrap();
    Trust::load(&TrustSettings::new(file.path())).unwrap()
}

pub(super) fn recipient(credential: &Credential) -> Arc<RecipientCertificate> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), credential.certificate().to_pem().unwrap()).unwrap();
    Arc::new(RecipientCertificate::load(file.path(), &pki().trust, None).unwrap())
}

pub(super) fn policy() -> OpenPolicy {
    OpenPolicy { encryption_required: false, allow_sha1: false, max_payload: LIMIT, max_age: None, names: Vec::new() }
}

/// Opens with the credentials of Bob and Eve and the default policy.
pub(super) fn receive(raw: &[u8]) -> Result<Opened, OpenError> {
    receive_by(raw, &policy())
}

pub(super) fn receive_by(raw: &[u8], policy: &OpenPolicy) -> Result<Opened, OpenError> {
    let pki = pki();
    open(raw, &[pki.bob.clone(), pki.eve.clone()], &pki.trust.snapshot(), policy, SystemTime::now())
}

/// The code of the refusal.
pub(super) fn refusal(raw: &[u8]) -> &'static str {
    match receive(raw) {
        Ok(opened) => panic!("opened: {:?}", String::from_utf8_lossy(opened.payload())),
        Err(error) => error.code().as_str(),
    }
}

pub(super) fn sealer(signer: &Arc<Credential>, recipient: Option<&Credential>, peer: Peer) -> Sealer {
    let policy = SealPolicy { peer, cipher: None, max_payload: LIMIT };
    Sealer::new(signer.clone(), recipient.map(self::recipient), policy).unwrap()
}

pub(super) fn seal(signer: &Arc<Credential>, recipient: Option<&Credential>, peer: Peer, payload: &[u8]) -> Vec<u8> {
    let id = MessageId::parse("6b031234/6b03126398f937").unwrap();
    let message = ToSeal { id: &id, to: None, sequence: None, content_type: None, payload };
    sealer(signer, recipient, peer).seal(&message).unwrap().into_bytes()
}

pub(super) fn days(count: u64) -> Duration {
    Duration::from_secs(count * 86_400)
}
