//! `sesame plugin sign`: detached signatures beside the files of a plugin.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::cli::{EXIT_DONE, output};
use plugins::{MAX_COMPONENT_BYTES, signature_of};
use smime::sign_detached;
use trust::Credential;

/// Signs each file; none is signed where one cannot be read.
pub(super) fn run(files: &[PathBuf], certificate: &Path, key: &Path) -> anyhow::Result<u8> {
    let credential = Credential::load(certificate, key)?;
    let contents = files.iter().map(|file| read(file)).collect::<anyhow::Result<Vec<_>>>()?;
    for (file, content) in files.iter().zip(&contents) {
        let signature = signature_of(file);
        let signed = sign_detached(&credential, content).with_context(|| format!("cannot sign {}", file.display()))?;
        write(&signature, &signed).with_context(|| format!("cannot write {}", signature.display()))?;
        output::line(&format!("{} signed by {}", file.display(), credential.facts().subject.rfc4514()));
    }
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "wasm")) {
        let sidecar = file.with_extension("toml");
        if sidecar.exists() && !files.contains(&sidecar) {
            output::line(&format!("{} is not signed: name it too", sidecar.display()));
        }
    }
    output::line("to accept these signatures, add the signer's DN to the file named by signers in [plugins]");
    Ok(EXIT_DONE)
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let known = file.extension().is_some_and(|extension| extension == "wasm" || extension == "toml");
    anyhow::ensure!(known, "cannot sign {}: only NAME.wasm and NAME.toml of a plugin can be signed", file.display());
    let size = fs::metadata(file).with_context(|| format!("cannot read {}", file.display()))?.len();
    anyhow::ensure!(size <= MAX_COMPONENT_BYTES, "cannot sign {}: it is too large for a plugin", file.display());
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

/// Replaces an older file atomically, so that a running Sesame never reads half of it.
fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    fs::File::open(folder)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use smime::verify_detached;
    use testkit::pki::{Authority, Directory, Request};
    use trust::{Role, TrustSettings, TrustStore};

    #[test]
    fn signs_component_and_sidecar_with_a_private_key_file() {
        let home = tempfile::tempdir().unwrap();
        let authority = Authority::root(&Request::authority("/C=UK/CN=CA")).unwrap();
        let anchors = Directory::create(home.path().join("anchors")).unwrap();
        anchors.add_authority(&authority.own.certificate).unwrap();
        let signer = authority.issue(&Request::host("/C=UK/CN=plugins.example.org")).unwrap();
        let (certificate, key) = signer.write(home.path(), "signer").unwrap();
        let files = [home.path().join("a.b.wasm"), home.path().join("a.b.toml")];
        files.iter().for_each(|file| fs::write(file, format!("{}", file.display())).unwrap());
        assert_eq!(run(&files, &certificate, &key).unwrap(), EXIT_DONE);
        let store = TrustStore::load(&TrustSettings::new(anchors.path())).unwrap();
        for file in &files {
            let signature = fs::read(signature_of(file)).unwrap();
            let content = fs::read(file).unwrap();
            let signed = verify_detached(&signature, &content, &store, Role::PluginSigner, SystemTime::now()).unwrap();
            assert_eq!(signed.subject.rfc4514(), "CN=plugins.example.org,C=UK");
        }
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        let error = run(&files, &certificate, &key).unwrap_err().to_string();
        assert!(error.contains("signer.key"), "{error}");
    }

    #[test]
    fn signs_nothing_but_plugins() {
        let home = tempfile::tempdir().unwrap();
        let authority = Authority::root(&Request::authority("/C=UK/CN=CA")).unwrap();
        let signer = authority.issue(&Request::host("/C=UK/CN=plugins.example.org")).unwrap();
        let (certificate, key) = signer.write(home.path(), "signer").unwrap();
        let file = home.path().join("payments.txt");
        fs::write(&file, "x").unwrap();
        let error = run(&[file], &certificate, &key).unwrap_err().to_string();
        assert!(error.contains("payments.txt: only NAME.wasm and NAME.toml of a plugin can be signed"), "{error}");
    }
}
