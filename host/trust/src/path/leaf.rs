//! The rules for the leaf of a path: its kind and its usages.

use openssl::pkey::Id;
use openssl::x509::{X509, X509ExtendedKeyUsage, X509KeyUsage};

use super::{PathError, Role};
use crate::DistinguishedName;
use crate::certificate::{self, extension, is_authority};

/// Whether it is a proxy certificate, by its extension or by the naming of legacy proxies.
pub(super) fn is_proxy(certificate: &[u8], subject: &DistinguishedName, issuer: &DistinguishedName) -> bool {
    let extensions = certificate::extensions_of(certificate).unwrap_or_default();
    let extended = |oid| oid == extension::PROXY_CERT_INFO || oid == extension::DRAFT_PROXY_CERT_INFO;
    let legacy = matches!(subject.common_name(), Some("proxy" | "limited proxy"));
    extensions.iter().any(|extension| extended(extension.oid)) || (legacy && subject.extends_by_common_name(issuer))
}

/// Checks that the certificate may be used for the role.
///
/// The extended key usage must be absent, `any`, or one of these: for signers and recipients clientAuth, serverAuth or
/// emailProtection, because grid authorities issue those to hosts; for a broker serverAuth; for a signer of plugins
/// also codeSigning. Only a broker may be a certificate authority, as a self-signed certificate of `openssl req -x509`
/// is.
pub(super) fn check_role(
    certificate: &X509,
    der: &[u8],
    subject: &DistinguishedName,
    role: Role,
) -> Result<(), PathError> {
    if role != Role::Broker && is_authority(der) {
        return Err(PathError::CaAsLeaf { subject: subject.clone() });
    }
    if certificate.key_usage().is_some_and(|usage| !usage.intersects(needed_usage(certificate, role))) {
        return Err(PathError::KeyUsage { subject: subject.clone(), role });
    }
    if certificate.extended_key_usage().is_some_and(|usage| !usage.intersects(accepted_purposes(role))) {
        return Err(PathError::ExtendedKeyUsage { subject: subject.clone(), role });
    }
    Ok(())
}

/// The key usages of which the certificate must have at least one, if it has the extension.
fn needed_usage(certificate: &X509, role: Role) -> X509KeyUsage {
    let signature = X509KeyUsage::DIGITAL_SIGNATURE;
    match role {
        Role::MessageSigner | Role::PluginSigner => signature | X509KeyUsage::NON_REPUDIATION,
        Role::Broker => signature | X509KeyUsage::KEY_ENCIPHERMENT | X509KeyUsage::KEY_AGREEMENT,
        Role::Recipient if certificate.public_key().is_ok_and(|key| key.id() == Id::EC) => X509KeyUsage::KEY_AGREEMENT,
        Role::Recipient => X509KeyUsage::KEY_ENCIPHERMENT,
    }
}

fn accepted_purposes(role: Role) -> X509ExtendedKeyUsage {
    let any = X509ExtendedKeyUsage::ANYEKU;
    let hosts = any | X509ExtendedKeyUsage::SSL_CLIENT | X509ExtendedKeyUsage::SSL_SERVER | X509ExtendedKeyUsage::SMIME;
    match role {
        Role::MessageSigner | Role::Recipient => hosts,
        Role::Broker => any | X509ExtendedKeyUsage::SSL_SERVER,
        Role::PluginSigner => hosts | X509ExtendedKeyUsage::CODE_SIGN,
    }
}
