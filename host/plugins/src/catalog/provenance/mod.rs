//! The signatures of plugins: detached, over the component and over the sidecar, checked when the plugin is loaded.
//!
//! # On disk
//! `NAME.wasm.p7s` is beside `NAME.wasm`, `NAME.toml.p7s` beside `NAME.toml`; for their form see [`verify_detached`]. Files whose
//! signature was valid are recorded in `adopted`, see that module.
//!
//! # Policy
//! - A signature must be valid even if none is required: it matches the file, the signer's certificate chains to a trust
//!   anchor and is not revoked, and the signer is on the list of plugin signers.
//! - Where signatures are required, a component without one is refused, and so is a sidecar without one. A plugin may have
//!   no sidecar; a signature whose sidecar is gone is refused.
//! - The signatures of a plugin that serves are checked again from time to time. It is withdrawn if its signer was removed
//!   from the list, or if the certificate was revoked or no longer chains to a trust anchor.
//! - A signature binds the bytes of a file, not its name. A `NAME.removed` marker has none: anyone who may write to the folder
//!   may uninstall a plugin.
//! - A certificate may expire after the plugin was adopted: a file whose hash is recorded is checked as of the times at which
//!   it was adopted, the newest first. Revocation and the list are always checked as of now.
//! - The stock plugins are part of this program, and `[plugin.NAME]` of the configuration is written by the operator: neither
//!   needs a signature.

mod adopted;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

use self::adopted::Adopted;
use crate::catalog::folder::{self, Source, StageSource, read_file};
use message::{cause, locked};
use smime::{OpenError, verify_detached};
use trust::{ListError, PathError, Role, Signer, SignerList, Trust, TrustError, TrustSettings, TrustStore};

/// Largest signature that is read: a few certificates and one signature.
const MAX_SIGNATURE_BYTES: u64 = 256 << 10;

/// Which signatures count, and whether they are required.
#[derive(Clone, Debug)]
pub struct ProvenanceSettings {
    /// The trust anchors of signers.
    pub trust: TrustSettings,
    /// The list of plugin signers.
    pub signers: PathBuf,
    /// Refuse unsigned files.
    pub required: bool,
    /// The file with the hashes of adopted files.
    pub adopted: PathBuf,
}

/// Why a file of a plugin is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is no signature, and one is required.
    #[error(
        "{} is not signed, and require-signed is set: create {} with `sesame plugin sign`",
        .file.display(),
        name(.signature)
    )]
    Missing {
        /// What should be signed.
        file: PathBuf,
        /// Where the signature should be.
        signature: PathBuf,
    },
    /// A signature of a file that does not exist.
    #[error("the signature {} exists and its sidecar does not: put the sidecar back or remove the signature", .0.display())]
    Orphan(PathBuf),
    /// The signature cannot be read.
    #[error("its signature cannot be used, {0}")]
    Unreadable(String),
    /// The file is not the one that was signed.
    #[error("{} does not match its signature {}: copy both again, or have it signed again", .file.display(), name(.signature))]
    Changed {
        /// The file.
        file: PathBuf,
        /// Its signature.
        signature: PathBuf,
    },
    /// The signature or its signer is not acceptable.
    #[error("the signature {} is refused, {reason}: have the file signed again", .signature.display())]
    Refused {
        /// The signature.
        signature: PathBuf,
        /// Why.
        reason: String,
        /// Whether the cause may be temporary, such as an outdated CRL.
        ours: bool,
    },
    /// The signature is valid, but the signer is not on the list.
    #[error("{} is signed by {signer}, who is not in {}: add that line if plugins of this signer may run", .file.display(), .list.display())]
    Unlisted {
        /// The file.
        file: PathBuf,
        /// The name of the signer, as a line of the list.
        signer: String,
        /// The list.
        list: PathBuf,
    },
    /// There is no list.
    #[error("{0}, and a plugin is signed: name its signer there, or remove the signature")]
    List(ListError),
    /// There are no trust anchors.
    #[error("its signature cannot be checked, {0}")]
    Trust(TrustError),
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Checks the signatures of plugins.
#[derive(Debug, Default)]
pub(crate) struct Provenance {
    /// None: signatures are not checked, as in tools that process no message.
    settings: Option<ProvenanceSettings>,
    /// Read with the first signature.
    trust: Mutex<Option<Trust>>,
}

impl Provenance {
    pub(crate) fn new(settings: ProvenanceSettings) -> Self {
        Self { settings: Some(settings), trust: Mutex::default() }
    }

    /// The plugin, without its sidecar if that is not accepted: an unsigned sidecar has no effect, not even on which messages
    /// the plugin applies to.
    pub(crate) fn checked<'a>(&self, source: &'a StageSource) -> Cow<'a, StageSource> {
        match self.sidecar(source) {
            Ok(()) => Cow::Borrowed(source),
            Err(error) => {
                let sidecar = Err(error.to_string());
                Cow::Owned(StageSource { sidecar, understood: None, ..source.clone() })
            }
        }
    }

    fn sidecar(&self, source: &StageSource) -> Result<(), SignatureError> {
        let Some(settings) = &self.settings else { return Ok(()) };
        // A sidecar that cannot be read has no effect, so its signature does not matter.
        let read = source.sidecar.is_ok() || source.written.is_some();
        let Some(file) = source.sidecar_file.as_ref().filter(|_| read) else { return Ok(()) };
        match &source.written {
            Some(bytes) => self.check(settings, file, bytes),
            None if beside(file).symlink_metadata().is_ok() => Err(SignatureError::Orphan(beside(file))),
            None => Ok(()),
        }
    }

    /// Whether the component that was read from `file` is accepted.
    pub(crate) fn component(&self, file: &Path, bytes: &[u8]) -> Result<(), SignatureError> {
        self.settings.as_ref().map_or(Ok(()), |settings| self.check(settings, file, bytes))
    }

    /// Why a plugin that was adopted is no longer accepted. Causes that may be temporary do not count.
    pub(crate) fn withdrawn(&self, source: &StageSource) -> Option<String> {
        let settings = self.settings.as_ref()?;
        let refused = |file: &Path, bytes: &[u8]| self.verify(settings, file, bytes).err();
        let sidecar = source.sidecar_file.as_ref().zip(source.written.as_ref());
        let component = || match &source.source {
            Source::File(path) => refused(path, &folder::read_component(path).ok()?),
            Source::BuiltIn(_) | Source::Missing(_) => None,
        };
        let error = sidecar.and_then(|(file, bytes)| refused(file, bytes)).or_else(component)?;
        let lasting = matches!(error, SignatureError::Unlisted { .. } | SignatureError::Refused { ours: false, .. });
        lasting.then(|| format!("is no longer accepted, {error}"))
    }

    /// Checks whether a file is accepted, and records that.
    fn check(&self, settings: &ProvenanceSettings, file: &Path, bytes: &[u8]) -> Result<(), SignatureError> {
        let Some(hash) = self.verify(settings, file, bytes)? else { return Ok(()) };
        let adopted = Adopted::new(&settings.adopted);
        if let Err(error) = adopted.record(&hash, SystemTime::now()) {
            let file = adopted.file().display().to_string();
            tracing::warn!(file, %error, "cannot record the accepted plugin; it is refused once its signer's certificate expires");
        }
        Ok(())
    }

    /// Whether a file is accepted; its hash if the signature is good as of now.
    fn verify(
        &self,
        settings: &ProvenanceSettings,
        file: &Path,
        bytes: &[u8],
    ) -> Result<Option<[u8; 32]>, SignatureError> {
        let signature = beside(file);
        if matches!(signature.symlink_metadata(), Err(error) if error.kind() == ErrorKind::NotFound) {
            let missing = || SignatureError::Missing { file: file.to_owned(), signature: signature.clone() };
            return if settings.required { Err(missing()) } else { Ok(None) };
        }
        let written = read_file(&signature, MAX_SIGNATURE_BYTES).map_err(SignatureError::Unreadable)?;
        let store = self.store(settings)?;
        let hash: [u8; 32] = Sha256::digest(bytes).into();
        let adopted = Adopted::new(&settings.adopted);
        let now = SystemTime::now();
        let (signer, fresh) = match verify_detached(&written, bytes, &store, Role::PluginSigner, now) {
            Ok(signer) => (signer, true),
            Err(error) => {
                let then = as_of_adoption(&error, &adopted, &hash, (&written, bytes), &store);
                (then.ok_or_else(|| refusal(&error, file, &signature))?, false)
            }
        };
        check_list(&signer, file, &settings.signers)?;
        Ok(fresh.then_some(hash))
    }

    fn store(&self, settings: &ProvenanceSettings) -> Result<std::sync::Arc<TrustStore>, SignatureError> {
        let mut trust = locked(&self.trust);
        if let Some(trust) = trust.as_ref() {
            trust.refresh();
            return Ok(trust.snapshot());
        }
        let loaded = Trust::load(&settings.trust).map_err(SignatureError::Trust)?;
        Ok(trust.insert(loaded).snapshot())
    }
}

/// A signer whose certificate has expired since the file was adopted.
fn as_of_adoption(
    error: &OpenError,
    adopted: &Adopted<'_>,
    hash: &[u8; 32],
    (signature, bytes): (&[u8], &[u8]),
    store: &TrustStore,
) -> Option<Signer> {
    if !matches!(error, OpenError::Path(PathError::Expired { .. })) {
        return None;
    }
    let times = adopted.times(hash).into_iter().map(Duration::from_secs);
    let mut moments = times.filter_map(|time| SystemTime::UNIX_EPOCH.checked_add(time));
    moments.find_map(|then| verify_detached(signature, bytes, store, Role::PluginSigner, then).ok())
}

fn refusal(error: &OpenError, file: &Path, signature: &Path) -> SignatureError {
    match error {
        OpenError::Signature => SignatureError::Changed { file: file.to_owned(), signature: signature.to_owned() },
        _ => SignatureError::Refused {
            signature: signature.to_owned(),
            reason: cause::chain(error),
            ours: error.is_ours(),
        },
    }
}

fn check_list(signer: &Signer, file: &Path, list: &Path) -> Result<(), SignatureError> {
    let names = SignerList::load(list).map_err(SignatureError::List)?;
    if names.contains(&signer.subject, &signer.issuer) {
        return Ok(());
    }
    let (file, list) = (file.to_owned(), list.to_owned());
    Err(SignatureError::Unlisted { file, signer: signer.subject.rfc4514(), list })
}

/// Where the signature of a file is.
pub fn beside(file: &Path) -> PathBuf {
    folder::beside(file, ".p7s")
}
