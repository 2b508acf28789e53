//! One push or one pull: a client of `oci-client` behind a guard, with a deadline for all of it.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::{DigestError, OciDistributionError};
use oci_client::manifest::{
    OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageIndex, OciImageManifest, OciManifest,
};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};
use rustls::crypto::CryptoProvider;

use crate::credentials::Credentials;
use crate::error::RegistryError;
use crate::guard::{Guard, Policy, server};
use crate::layout::{COMPONENT_TYPE, EMPTY, FILES_TYPE, Part, Upload, descriptor, digest, index_with};
use crate::name::Name;
use crate::pins::is_digest;
use message::text::one_line;

/// How to reach a registry.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Verifies servers. None: the registry is on this machine and is asked over HTTP, and nothing else is asked.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// The cryptography of the process: `oci-client` builds TLS of its own, which is never used, and fails without one.
    pub provider: Arc<CryptoProvider>,
    /// Go to the registry alone.
    pub credentials: Option<Credentials>,
    /// `HOST[:PORT]` that may see the credentials, too.
    pub token_server: Option<String>,
    /// For all of it.
    pub timeout: Duration,
    /// The largest component, in bytes.
    pub largest: u64,
}

/// What was pulled. Every digest was compared.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// The digest of the manifest, which pins all of this.
    pub digest: String,
    /// The component.
    pub component: Vec<u8>,
    /// What belongs to it.
    pub files: BTreeMap<Part, Vec<u8>>,
}

/// Pushes a component with what belongs to it. Returns the digest by which it can be pulled.
///
/// # Errors
/// [`RegistryError`]. The tag is written last: an upload that failed leaves the tag as it was.
pub async fn push(name: &Name, mut upload: Upload, settings: &Settings) -> Result<String, RegistryError> {
    if name.is_fixed() {
        return Err(RegistryError::PushToDigest(name.to_string()));
    }
    upload.files.retain(|_, content| !content.is_empty());
    let session = Session::start(name, settings).await?;
    session.within(settings.timeout, |session| async move { session.push(&upload).await }).await
}

/// Pulls a component with what belongs to it. A tag that is `pinned` must have that digest.
///
/// # Errors
/// [`RegistryError`].
pub async fn pull(name: &Name, pinned: Option<&str>, settings: &Settings) -> Result<Pulled, RegistryError> {
    let session = Session::start(name, settings).await?;
    let pinned = pinned.map(str::to_owned);
    session.within(settings.timeout, |session| async move { session.pull(pinned.as_deref()).await }).await
}

struct Session {
    name: Name,
    client: Client,
    guard: Guard,
    auth: RegistryAuth,
    largest: u64,
}

impl Session {
    async fn start(name: &Name, settings: &Settings) -> Result<Arc<Self>, RegistryError> {
        let written = name.login();
        let plain = settings.tls.is_none();
        let port = if plain { 80 } else { 443 };
        let unnamed = || RegistryError::Name { text: name.to_string(), reason: "it has no usable host".to_owned() };
        let registry = server(written, port).ok_or_else(unnamed)?;
        if plain && !is_here(&registry.host) {
            return Err(RegistryError::PlainHttp(name.registry().to_owned()));
        }
        let policy = Policy {
            registry,
            plain,
            token_server: settings.token_server.clone(),
            tls: settings.tls.clone(),
            blob: settings.largest,
        };
        let mut secret = [0; 16];
        let random = settings.provider.secure_random.fill(&mut secret);
        random.map_err(|_| RegistryError::Guard(io::Error::other("there are no random bytes")))?;
        let guard = Guard::start(policy, written, message::hex(&secret)).await.map_err(RegistryError::Guard)?;
        let config = ClientConfig {
            protocol: ClientProtocol::Http,
            http_proxy: Some(guard.proxy()),
            platform_resolver: None,
            use_monolithic_push: true,
            user_agent: concat!("sesame/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let auth = settings.credentials.as_ref().map_or(RegistryAuth::Anonymous, |credentials| {
            RegistryAuth::Basic(credentials.user.clone(), credentials.password.to_string())
        });
        // Where one is set already it is this one.
        let _ = CryptoProvider::clone(&settings.provider).install_default();
        // On a task of its own: it cannot be made where the system has no certificates of authorities.
        let made = tokio::spawn(async move { Client::try_from(config) }).await;
        let client = made.map_err(|_| RegistryError::NoAuthorities)?;
        let client = client.map_err(|error| RegistryError::of_client(name.registry(), error, "client", false))?;
        Ok(Arc::new(Self { name: name.clone(), client, guard, auth, largest: settings.largest }))
    }

    /// Does the work on a task of its own, which may take as long as `deadline` and whose end ends nothing else.
    async fn within<T, F>(
        self: Arc<Self>,
        deadline: Duration,
        work: impl FnOnce(Arc<Self>) -> F,
    ) -> Result<T, RegistryError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, RegistryError>> + Send + 'static,
    {
        let registry = || self.name.registry().to_owned();
        let mut task = tokio::spawn(work(Arc::clone(&self)));
        match tokio::time::timeout(deadline, &mut task).await {
            // What went wrong unnoticed is not taken for success.
            Ok(Ok(Ok(done))) => {
                let fault = self.guard.fault();
                fault.map_or(Ok(done), |fault| Err(RegistryError::of_fault(self.name.registry(), fault)))
            }
            Ok(Ok(failed)) => failed,
            Ok(Err(_)) => {
                let reason = "its answer cannot be processed".to_owned();
                Err(RegistryError::Protocol { registry: registry(), reason })
            }
            Err(_) => {
                task.abort();
                Err(RegistryError::Late { registry: registry(), after: deadline })
            }
        }
    }

    fn failed(&self, error: OciDistributionError, what: &str) -> RegistryError {
        let registry = self.name.registry();
        if let Some(fault) = self.guard.fault() {
            return RegistryError::of_fault(registry, fault);
        }
        match RegistryError::of_client(registry, error, what, self.auth != RegistryAuth::Anonymous) {
            RegistryError::Protocol { registry, reason } => {
                RegistryError::Protocol { registry, reason: self.guard.without_secret(&reason) }
            }
            other => other,
        }
    }

    async fn authenticate(&self, operation: RegistryOperation) -> Result<(), RegistryError> {
        let authenticated = self.client.auth(&self.name.0, &self.auth, operation).await;
        let token = authenticated.map_err(|error| self.failed(error, "token"))?.unwrap_or_default();
        // It goes into a header (RFC 6750, section 2.1).
        if token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(());
        }
        let reason = "its token has characters that cannot be sent".to_owned();
        Err(RegistryError::Protocol { registry: self.name.registry().to_owned(), reason })
    }

    async fn push(&self, upload: &Upload) -> Result<String, RegistryError> {
        self.authenticate(RegistryOperation::Push).await?;
        let manifest = self.encoded(&upload.manifest())?;
        self.push_blob(&upload.component).await?;
        self.push_blob(&upload.config()).await?;
        if !upload.files.is_empty() {
            for content in upload.files.values() {
                self.push_blob(content).await?;
            }
            self.push_blob(EMPTY).await?;
            self.push_files(upload, &manifest).await?;
        }
        self.push_manifest(&self.name.0, &manifest, OCI_IMAGE_MEDIA_TYPE).await?;
        Ok(digest(&manifest))
    }

    /// The second manifest, and its place among the referrers of the first.
    async fn push_files(&self, upload: &Upload, component: &[u8]) -> Result<(), RegistryError> {
        let subject = descriptor(OCI_IMAGE_MEDIA_TYPE, component, None);
        let named = subject.digest.clone();
        let files = self.encoded(&upload.files_manifest(subject))?;
        self.push_manifest(&self.name.at(&digest(&files)), &files, OCI_IMAGE_MEDIA_TYPE).await?;
        let listed = self.client.pull_referrers(&self.name.at(&named), Some(FILES_TYPE)).await;
        let listed = listed.map_err(|error| self.failed(error, "list of referrers"))?;
        if listed.manifests.iter().any(|entry| entry.digest == digest(&files)) {
            return Ok(());
        }
        let tag = self.name.tagged(&named.replacen(':', "-", 1));
        let index = match self.client.pull_manifest(&tag, &self.auth).await {
            Ok((OciManifest::ImageIndex(index), _)) => index,
            _ => OciImageIndex {
                schema_version: 2,
                media_type: None,
                manifests: Vec::new(),
                artifact_type: None,
                annotations: None,
            },
        };
        let index = self.encoded(&index_with(index, &files))?;
        self.push_manifest(&tag, &index, OCI_IMAGE_INDEX_MEDIA_TYPE).await
    }

    fn encoded(&self, manifest: &impl serde::Serialize) -> Result<Vec<u8>, RegistryError> {
        serde_json::to_vec(manifest).map_err(|error| self.failed(error.into(), "manifest"))
    }

    async fn push_blob(&self, content: &[u8]) -> Result<(), RegistryError> {
        let digest = digest(content);
        if matches!(self.client.blob_exists(&self.name.0, &digest).await, Ok(true)) {
            return Ok(());
        }
        let pushed = self.client.push_blob(&self.name.0, content.to_vec(), &digest).await;
        pushed.map(drop).map_err(|error| self.failed(error, self.name.0.repository()))
    }

    async fn push_manifest(&self, at: &Reference, manifest: &[u8], media_type: &str) -> Result<(), RegistryError> {
        let unsendable =
            |_| RegistryError::Protocol { registry: self.name.registry().to_owned(), reason: String::new() };
        let media_type = media_type.parse().map_err(unsendable)?;
        let pushed = self.client.push_manifest_raw(at, manifest.to_vec(), media_type).await;
        pushed.map(drop).map_err(|error| self.failed(error, self.name.0.repository()))
    }

    async fn pull(&self, pinned: Option<&str>) -> Result<Pulled, RegistryError> {
        self.authenticate(RegistryOperation::Pull).await?;
        let (manifest, found) = self.manifest().await?;
        if let Some(pinned) = pinned.filter(|pinned| *pinned != found && !self.name.is_fixed()) {
            let (name, pinned) = (self.name.to_string(), pinned.to_owned());
            return Err(RegistryError::Moved { name, pinned, now: found });
        }
        let layer = self.component_layer(&manifest)?;
        let size = u64::try_from(layer.size).unwrap_or(u64::MAX);
        let component = self.blob("component", &layer.digest, Some(size), self.largest).await?;
        let mut files = BTreeMap::new();
        let annotations = manifest.annotations.unwrap_or_default();
        for part in Part::ALL {
            let Some(digest) = annotations.get(part.annotation()) else { continue };
            let fetched = self.blob(part.words(), digest, None, part.largest()).await;
            let content = fetched.map_err(|error| match error {
                RegistryError::NotFound { registry, .. } => {
                    RegistryError::AttachedMissing { registry, what: part.words(), digest: one_line(digest, 100) }
                }
                other => other,
            })?;
            files.insert(part, content);
        }
        Ok(Pulled { digest: found, component, files })
    }

    /// The manifest and its digest, which is that of the name where it has one.
    async fn manifest(&self) -> Result<(OciImageManifest, String), RegistryError> {
        let taken = [OCI_IMAGE_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE];
        let named = || format!("{}", self.name);
        let pulled = self.client.pull_manifest_raw(&self.name.0, &self.auth, &taken).await;
        let (bytes, _) = pulled.map_err(|error| self.failed(error, &named()))?;
        let found = digest(&bytes);
        if let Some(wanted) = self.name.0.digest().filter(|wanted| *wanted != found) {
            return Err(self.another("manifest", wanted));
        }
        match serde_json::from_slice(&bytes) {
            Ok(OciManifest::Image(manifest)) => Ok((manifest, found)),
            Ok(OciManifest::ImageIndex(_)) => Err(self.other("it is an index of several manifests")),
            Err(_) => Err(self.other("its manifest is not one of the OCI specification")),
        }
    }

    fn component_layer<'a>(&self, manifest: &'a OciImageManifest) -> Result<&'a OciDescriptor, RegistryError> {
        let mut found = manifest.layers.iter().filter(|layer| layer.media_type == COMPONENT_TYPE);
        match (found.next(), found.next()) {
            (Some(layer), None) => Ok(layer),
            (Some(_), Some(_)) => Err(self.other("it has several layers of type application/wasm")),
            (None, _) => {
                let types: Vec<&str> = manifest.layers.iter().map(|layer| layer.media_type.as_str()).collect();
                let types = if types.is_empty() { "none".to_owned() } else { one_line(&types.join(", "), 200) };
                Err(self.other(&format!("no layer is of type application/wasm (types: {types})")))
            }
        }
    }

    /// A blob of at most `limit` bytes, of exactly `said` where that is known.
    async fn blob(
        &self,
        what: &'static str,
        named: &str,
        said: Option<u64>,
        limit: u64,
    ) -> Result<Vec<u8>, RegistryError> {
        let (registry, shown) = (self.name.registry().to_owned(), one_line(named, 100));
        if !is_digest(named) {
            let reason = format!("{shown:?} is no digest");
            return Err(RegistryError::Protocol { registry, reason });
        }
        let large = |size| RegistryError::TooLarge { name: self.name.to_string(), what, size, limit };
        if let Some(size) = said.filter(|said| *said > limit) {
            return Err(large(size));
        }
        let most = said.unwrap_or(limit);
        let wrong =
            |got, said| RegistryError::Size { registry: registry.clone(), what, digest: shown.clone(), said, got };
        // Without the URLs that a manifest may give for a layer: they are not followed.
        let layer = OciDescriptor { digest: named.to_owned(), ..OciDescriptor::default() };
        let opened = self.client.pull_blob_stream(&self.name.0, &layer).await;
        let mut stream = opened.map_err(|error| self.failed(error, &format!("{what} {shown}")))?.stream;
        let mut content = Vec::new();
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|error| self.broken(what, named, error))?;
            let got = (content.len() + piece.len()) as u64;
            if got > most {
                return Err(said.map_or_else(|| large(got), |said| wrong(got, said)));
            }
            content.extend_from_slice(&piece);
        }
        let got = content.len() as u64;
        match said {
            Some(said) if said != got => Err(wrong(got, said)),
            _ if digest(&content) != named => Err(self.another(what, named)),
            _ => Ok(content),
        }
    }

    fn broken(&self, what: &'static str, digest: &str, error: io::Error) -> RegistryError {
        let mismatch = error.get_ref().is_some_and(|inner| inner.is::<DigestError>());
        if mismatch { self.another(what, digest) } else { self.failed(error.into(), what) }
    }

    fn another(&self, what: &'static str, digest: &str) -> RegistryError {
        RegistryError::Digest { registry: self.name.registry().to_owned(), what, digest: digest.to_owned() }
    }

    fn other(&self, reason: &str) -> RegistryError {
        RegistryError::OtherArtifact { name: self.name.to_string(), reason: reason.to_owned() }
    }
}

fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
