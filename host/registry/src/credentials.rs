//! User name and password for a registry: from a file of their own, or from the file in which docker keeps logins.

use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use message::owner_only;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::error::RegistryError;

/// More is no file of credentials.
const LARGEST: u64 = 1 << 20;

/// User name and password. Neither is shown.
#[derive(Clone)]
pub struct Credentials {
    pub(crate) user: String,
    pub(crate) password: Zeroizing<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials([hidden])")
    }
}

/// What is read of docker's `config.json`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Docker {
    auths: std::collections::BTreeMap<String, Login>,
    cred_helpers: std::collections::BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Login {
    auth: Option<String>,
    identitytoken: Option<String>,
}

impl Credentials {
    /// The password is the first line of `file`, which only its owner may read.
    ///
    /// # Errors
    /// The file cannot be read, others may read it, or the line is empty.
    pub fn from_file(user: &str, file: &Path) -> Result<Self, RegistryError> {
        let text = text_of(file, owner_only::read(file, LARGEST)?)?;
        let password = Zeroizing::new(text.lines().next().unwrap_or_default().trim_end().to_owned());
        let unusable = |reason: &str| RegistryError::Unusable { path: file.to_owned(), reason: reason.to_owned() };
        if password.is_empty() {
            return Err(unusable("the first line is empty: write the password there"));
        }
        if password.chars().any(char::is_control) || user.contains(':') || user.chars().any(char::is_control) {
            return Err(unusable("user name and password may have no control characters, and the user name no colon"));
        }
        Ok(Self { user: user.to_owned(), password })
    }

    /// What docker keeps for `registry`; none where the file does not exist, or has nothing for it.
    ///
    /// # Errors
    /// The file cannot be read, others may read it, or it keeps the login elsewhere.
    pub fn from_docker(file: &Path, registry: &str) -> Result<Option<Self>, RegistryError> {
        if matches!(file.metadata(), Err(error) if error.kind() == io::ErrorKind::NotFound) {
            return Ok(None);
        }
        let unusable = |reason: String| RegistryError::Unusable { path: file.to_owned(), reason };
        let remedy = "give --user and --password-file";
        let text = read(file)?;
        // No part of the file is in the message.
        let docker: Docker = serde_json::from_str(&text).map_err(|error| {
            unusable(format!("line {} is not as docker writes it: fix it, or {remedy}", error.line()))
        })?;
        let keys = [registry.to_owned(), format!("https://{registry}"), format!("https://{registry}/v1/")];
        if let Some(helper) = keys.iter().find_map(|key| docker.cred_helpers.get(key)) {
            return Err(unusable(format!(
                "docker keeps the login for {registry} in {helper:?}, which is not run: {remedy}"
            )));
        }
        let Some(login) = keys.iter().find_map(|key| docker.auths.get(key)) else { return Ok(None) };
        if login.identitytoken.is_some() {
            return Err(unusable(format!("docker keeps a token for {registry}, which is not supported: {remedy}")));
        }
        let Some(auth) = login.auth.as_ref().filter(|auth| !auth.is_empty()) else {
            let store = docker.creds_store.unwrap_or_default();
            return Err(unusable(format!(
                "docker keeps the login for {registry} in {store:?}, which is not run: {remedy}"
            )));
        };
        owner_only::read(file, LARGEST)?;
        let decoded = STANDARD.decode(auth.as_bytes()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let decoded = decoded.map(Zeroizing::new);
        let pair = decoded.as_ref().and_then(|text| text.split_once(':'));
        let (user, password) =
            pair.ok_or_else(|| unusable(format!("the login for {registry} is not as docker writes it: {remedy}")))?;
        Ok(Some(Self { user: user.to_owned(), password: Zeroizing::new(password.to_owned()) }))
    }
}

/// Where docker keeps logins: in `$DOCKER_CONFIG`, else in the user's home.
#[must_use]
pub fn docker_file() -> Option<PathBuf> {
    let folder = std::env::var_os("DOCKER_CONFIG").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let folder = folder.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".docker")));
    folder.map(|folder| folder.join("config.json"))
}

/// The text of a file.
fn read(file: &Path) -> Result<Zeroizing<String>, RegistryError> {
    let unreadable = |source| RegistryError::File { verb: "read", path: file.to_owned(), source };
    let mut bytes = Zeroizing::new(Vec::new());
    std::fs::File::open(file).map_err(unreadable)?.take(LARGEST).read_to_end(&mut bytes).map_err(unreadable)?;
    text_of(file, bytes)
}

fn text_of(file: &Path, bytes: Zeroizing<Vec<u8>>) -> Result<Zeroizing<String>, RegistryError> {
    let text = std::str::from_utf8(&bytes).map(|text| Zeroizing::new(text.to_owned()));
    text.map_err(|_| RegistryError::Unusable { path: file.to_owned(), reason: "it is not UTF-8".to_owned() })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        (folder, file)
    }

    #[test]
    fn a_password_is_the_first_line_of_a_private_file_and_is_not_shown() {
        let (_folder, private) = file("s3cr3t\nmore\n", 0o600);
        let credentials = Credentials::from_file("ann", &private).unwrap();
        assert_eq!((credentials.user.as_str(), credentials.password.as_str()), ("ann", "s3cr3t"));
        assert_eq!(format!("{credentials:?}"), "Credentials([hidden])");
        let (_folder, exposed) = file("s3cr3t\n", 0o640);
        let error = Credentials::from_file("ann", &exposed).unwrap_err().to_string();
        assert!(error.contains("may be read or written by others") && !error.contains("s3cr3t"), "{error}");
        let (_folder, empty) = file("\n", 0o600);
        assert!(Credentials::from_file("ann", &empty).unwrap_err().to_string().contains("first line is empty"));
    }

    #[test]
    fn docker_logins_are_taken_for_their_own_registry_alone() {
        let auth = STANDARD.encode("ann:s3cr3t");
        let text = format!(
            r#"{{"auths": {{"r.example.org:5000": {{"auth": "{auth}"}}, "kept.example.org": {{}}}},
            "credsStore": "secretservice", "credHelpers": {{"cloud.example.org": "gcloud"}}}}"#
        );
        let (_folder, private) = file(&text, 0o600);
        let found = Credentials::from_docker(&private, "r.example.org:5000").unwrap().unwrap();
        assert_eq!((found.user.as_str(), found.password.as_str()), ("ann", "s3cr3t"));
        assert!(Credentials::from_docker(&private, "r.example.org").unwrap().is_none());
        for elsewhere in ["kept.example.org", "cloud.example.org"] {
            let error = Credentials::from_docker(&private, elsewhere).unwrap_err().to_string();
            assert!(error.contains("which is not run: give --user and --password-file"), "{error}");
        }
        let (_folder, exposed) = file(&text, 0o644);
        let error = Credentials::from_docker(&exposed, "r.example.org:5000").unwrap_err().to_string();
        assert!(error.contains("may be read or written by others"), "{error}");
        let absent = exposed.with_file_name("absent");
        assert!(Credentials::from_docker(&absent, "r.example.org").unwrap().is_none());
    }
}
