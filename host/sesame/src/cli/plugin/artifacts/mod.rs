//! `sesame plugin push`, `pull` and `install`: plugins in OCI registries. The crate `registry` talks to the registry; here is
//! what a user says, and what becomes of the files. A running Sesame never asks a registry.

mod files;
mod install;
mod pull;
mod push;
mod sbom;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use crate::cli::context;
use crate::config::parse_duration;
use plugins::MAX_COMPONENT_BYTES;
use registry::{Credentials, Name, Pins, Pulled, RegistryError, Settings, docker_file};
use trust::{Trust, TrustSettings};

pub(super) use self::install::install;
pub(super) use self::pull::pull;
pub(super) use self::push::push;

/// Where distributions keep the authorities that programs trust by default: Debian, then Red Hat.
const AUTHORITIES: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];
/// The file of pins in the folder into which a plugin is pulled.
const PINS: &str = "registry-pins";

/// `sesame plugin push`.
#[derive(Args, Debug)]
pub struct Push {
    /// Component NAME.wasm, with NAME.toml, their signatures and NAME.cdx.json beside it; or the folder of a WIT package.
    #[arg(value_name = "FILE|FOLDER")]
    pub file: PathBuf,
    /// Where to: HOST[:PORT]/REPOSITORY:TAG.
    #[arg(value_name = "REF")]
    pub name: Name,
    /// How to reach the registry.
    #[command(flatten)]
    pub access: Access,
}

/// `sesame plugin pull`.
#[derive(Args, Debug)]
pub struct Pull {
    /// HOST[:PORT]/REPOSITORY with :TAG, or with @sha256:DIGEST.
    #[arg(value_name = "REF")]
    pub name: Name,
    /// Folder to write to; it is created.
    #[arg(long, short, value_name = "FOLDER", default_value = ".")]
    pub output: PathBuf,
    /// How to pin and name it.
    #[command(flatten)]
    pub pinning: Pinning,
    /// How to reach the registry.
    #[command(flatten)]
    pub access: Access,
}

/// `sesame plugin install`.
#[derive(Args, Debug)]
pub struct Install {
    /// HOST[:PORT]/REPOSITORY with :TAG, or with @sha256:DIGEST.
    #[arg(value_name = "REF")]
    pub name: Name,
    /// Replace the sidecar that is in the plugin folder by the one that was pushed.
    #[arg(long)]
    pub replace_sidecar: bool,
    /// How to pin and name it.
    #[command(flatten)]
    pub pinning: Pinning,
    /// How to reach the registry.
    #[command(flatten)]
    pub access: Access,
}

/// What `pull` and `install` have in common.
#[derive(Args, Debug)]
pub struct Pinning {
    /// NAME of the files NAME.wasm, NAME.toml and others [default: the last part of the repository].
    #[arg(long = "name", value_name = "NAME")]
    pub file: Option<String>,
    /// File with the digest that each tag had when it was first pulled [default: registry-pins in the folder].
    #[arg(long, value_name = "FILE")]
    pub pins: Option<PathBuf>,
    /// Accept that the tag names another digest now, and pin that one.
    #[arg(long)]
    pub repin: bool,
}

/// How a registry is reached.
#[derive(Args, Debug)]
pub struct Access {
    /// Authorities that certificates of registries are verified with, in PEM [default: those of the system].
    #[arg(long, value_name = "FILE", conflicts_with = "plain_http")]
    pub ca: Option<PathBuf>,
    /// User name at the registry [default: the login that docker keeps in its config.json, if any].
    #[arg(long, value_name = "NAME", requires = "password_file")]
    pub user: Option<String>,
    /// File with the password in its first line, readable by its owner only.
    #[arg(long, value_name = "FILE", requires = "user")]
    pub password_file: Option<PathBuf>,
    /// Server that may see the credentials too, if the registry has its tokens issued there.
    #[arg(long, value_name = "HOST[:PORT]", conflicts_with = "plain_http")]
    pub token_server: Option<String>,
    /// Ask over HTTP, without TLS; only for a registry on this machine.
    #[arg(long)]
    pub plain_http: bool,
    /// Give up after this long.
    #[arg(long, value_name = "TIME", default_value = "300s", value_parser = parse_duration)]
    pub timeout: Duration,
}

impl Access {
    /// The settings for the registry of `name`.
    fn settings(&self, name: &Name) -> anyhow::Result<Settings> {
        let credentials = match (&self.user, &self.password_file) {
            (Some(user), Some(file)) => Some(Credentials::from_file(user, file)?),
            _ => docker_file().map(|file| Credentials::from_docker(&file, name.login())).transpose()?.flatten(),
        };
        let of_system = AUTHORITIES.map(PathBuf::from).into_iter().find(|file| file.exists());
        let of_system = of_system.ok_or(RegistryError::NoAuthorities)?;
        let tls = if self.plain_http { None } else { Some(tls(self.ca.as_ref().unwrap_or(&of_system))?) };
        let (token_server, timeout, provider) = (self.token_server.clone(), self.timeout, trust::tls::provider());
        Ok(Settings { tls, provider, credentials, token_server, timeout, largest: MAX_COMPONENT_BYTES })
    }
}

/// TLS that trusts the authorities in a file.
fn tls(authorities: &Path) -> anyhow::Result<Arc<rustls::ClientConfig>> {
    let trust = Trust::load(&TrustSettings::new(authorities))?;
    Ok(trust::tls::client_config(Arc::new(trust), None, false)?)
}

/// A plugin that was pulled, and under which name its files go into a folder.
struct Fetched {
    stem: String,
    pulled: Pulled,
    pins: Pins,
}

impl Fetched {
    /// Pulls a plugin that is to be put into `folder`.
    fn pull(name: &Name, folder: &Path, pinning: &Pinning, access: &Access) -> anyhow::Result<Self> {
        let stem = files::stem(pinning.file.as_deref().unwrap_or(name.last()))?;
        let pins = Pins::read(&pinning.pins.clone().unwrap_or_else(|| folder.join(PINS)))?;
        let pinned = pins.of(&name.to_string()).filter(|_| !pinning.repin);
        let settings = access.settings(name)?;
        let pulled = registry::pull(name, pinned, &settings);
        let pulled = context::runtime()?.block_on(pulled).map_err(|error| match error {
            RegistryError::Moved { .. } => {
                anyhow::Error::new(error).context(format!("refused by the pin in {}", pins.file().display()))
            }
            error => error.into(),
        })?;
        Ok(Self { stem, pulled, pins })
    }

    /// Pins the tag; a name with a digest needs no pin.
    fn pin(&mut self, name: &Name) -> anyhow::Result<()> {
        if !name.is_fixed() {
            self.pins.pin(&name.to_string(), &self.pulled.digest)?;
        }
        Ok(())
    }
}
