//! The last good files, over a restart and for a rollback.

use super::*;
use crate::RollbackError;

/// A plugin folder and a cache, which outlive the process.
struct Site {
    folder: tempfile::TempDir,
    cache: tempfile::TempDir,
    provenance: Option<ProvenanceSettings>,
}

impl Site {
    fn new() -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let cache = tempfile::tempdir().unwrap();
        fs::set_permissions(cache.path(), fs::Permissions::from_mode(0o700)).unwrap();
        Self { folder: tempfile::tempdir().unwrap(), cache, provenance: None }
    }

    /// A process that starts; its scene works on the folder of the site.
    fn start(&self) -> Process<'_> {
        let compile = CompileSettings { cache: Some(self.cache.path().to_owned()), ..CompileSettings::default() };
        let plugins = match &self.provenance {
            Some(settings) => Plugins::start_checked(compile, settings.clone()),
            None => Plugins::start(compile),
        };
        Process { site: self, catalog: Catalog { pace: BRISK, ..Catalog::new(plugins.unwrap()) } }
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder.path().join(name)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

fn around() -> Surroundings {
    Surroundings::of_channels(vec!["central".to_owned()])
}

struct Process<'a> {
    site: &'a Site,
    catalog: Catalog,
}

impl Process<'_> {
    /// Looks as the daemon does, and returns the plugin.
    fn look(&self) -> PluginStatus {
        let folder = Some(self.site.folder.path().to_owned());
        let wanted = Wanted { folder, named: Vec::new(), around: around() };
        drop(self.catalog.look(&wanted, Effort::Full));
        let snapshot = self.catalog.look(&wanted, Effort::Full);
        self.catalog.keep_good(&wanted).unwrap();
        snapshot.folder()[0].clone()
    }

    /// The number of the component that serves as a.wasm, and whether its file is broken.
    fn serving(&self) -> Option<(u8, bool)> {
        let status = self.look();
        let hash = status.component.as_ref()?.sha256;
        let number = (0..9).find(|number| <[u8; 32]>::from(sha2::Digest::finalize(sha(*number))) == hash);
        Some((number.unwrap(), status.trouble().is_some()))
    }

    fn roll_back(&self) -> Result<crate::RolledBack, RollbackError> {
        self.catalog.roll_back(self.site.folder.path(), "a", &around())
    }
}

fn sha(number: u8) -> sha2::Sha256 {
    use sha2::Digest as _;
    sha2::Sha256::new_with_prefix(component(number))
}

#[test]
fn the_last_good_component_serves_after_a_restart_while_the_file_is_broken() {
    let site = Site::new();
    site.put("a.wasm", component(1));
    site.put("a.toml", "direction = \"inbound\"");
    assert_eq!(site.start().serving(), Some((1, false)));
    for (name, content) in [("a.wasm", b"nonsense".as_slice()), ("a.toml", b"direction = \"sideways\"".as_slice())] {
        site.put("a.wasm", component(1));
        site.put(name, content);
        let process = site.start();
        assert_eq!(process.serving(), Some((1, true)), "{name}");
        let status = process.look();
        assert_eq!(status.settings().filter.direction, Some(Direction::Inbound), "with the settings it had");
        assert!(status.has_sidecar);
        site.put("a.wasm", component(2));
        site.put("a.toml", "direction = \"inbound\"");
        assert_eq!(process.serving(), Some((2, false)), "{name}");
        site.put("a.wasm", component(1));
        assert_eq!(process.serving(), Some((1, false)), "{name}");
    }
}

#[test]
fn a_pin_of_the_operator_holds_over_a_restart() {
    let site = Site::new();
    site.put("a.wasm", component(1));
    site.put("a.toml", "");
    site.start().look();
    site.put("a.wasm", "nonsense");
    site.put("a.toml", format!("sha256 = \"{}\"", "ab".repeat(32)));
    assert_eq!(site.start().serving(), None);
    let pin: [u8; 32] = sha2::Digest::finalize(sha(1)).into();
    site.put("a.toml", format!("sha256 = \"{}\"", message::hex(&pin)));
    assert_eq!(site.start().serving(), Some((1, true)));
}

#[test]
fn what_was_changed_uninstalled_or_deleted_does_not_come_back() {
    let site = Site::new();
    site.put("a.wasm", component(1));
    site.put("a.toml", "");
    site.start().look();
    fs::remove_file(site.folder.path().join("a.wasm")).unwrap();
    assert_eq!(site.start().serving(), None, "missing");
    crate::remove(site.folder.path(), "a").unwrap();
    site.start().look();
    let folder = site.cache.path().join("last-good");
    assert!(fs::read_dir(folder).unwrap().all(|entry| entry.unwrap().file_name() == ".lock"), "nothing is kept");
    site.put("a.wasm", "nonsense");
    assert_eq!(site.start().serving(), None, "another plugin of this name");
    assert!(matches!(site.start().roll_back(), Err(RollbackError::NoEarlier(_))));
    let site = Site::new();
    site.put("a.wasm", component(1));
    site.start().look();
    let kept = site.start().catalog.kept.unwrap().versions(&site.folder.path().join("a")).unwrap();
    fs::write(folder::beside(&kept[0].stem, ".wasm"), component(2)).unwrap();
    site.put("a.wasm", "nonsense");
    assert_eq!(site.start().serving(), None, "its hash is another");
    assert!(matches!(site.start().roll_back(), Err(RollbackError::Kept { .. })));
}

#[test]
fn a_rollback_puts_the_earlier_component_back_with_its_sidecar() {
    let site = Site::new();
    site.put("a.wasm", component(1));
    site.put("a.toml", "direction = \"inbound\"");
    let process = site.start();
    process.look();
    let error = process.roll_back().unwrap_err().to_string();
    assert!(error.starts_with("no earlier component of plugin a is kept: "), "{error}");
    site.put("a.wasm", component(2));
    site.put("a.toml", "direction = \"outbound\"");
    assert_eq!(process.serving(), Some((2, false)));
    let done = site.start().roll_back().unwrap();
    assert_eq!(done.files.len(), 2);
    assert_eq!((site.read("a.wasm"), site.read("a.toml")), (component(1), b"direction = \"inbound\"".to_vec()));
    assert_eq!(site.names(), ["a.toml", "a.wasm"], "nothing else stays");
    assert_eq!(process.serving(), Some((1, false)));
    process.roll_back().unwrap();
    assert_eq!(process.serving(), Some((2, false)), "and back");
}

#[test]
fn a_rollback_from_a_broken_file_returns_to_what_serves() {
    let site = Site::new();
    site.put("a.wasm", component(1));
    site.put("a.toml", "");
    let process = site.start();
    process.look();
    site.put("a.wasm", component(2));
    process.look();
    site.put("a.wasm", "nonsense");
    assert_eq!(process.serving(), Some((2, true)));
    process.roll_back().unwrap();
    assert_eq!(process.serving(), Some((2, false)));
}

#[test]
fn a_component_without_a_sidecar_gets_that_of_the_folder() {
    let site = Site::new();
    site.put("a.wasm", component(1));
    let process = site.start();
    process.look();
    site.put("a.wasm", component(2));
    site.put("a.toml", "direction = \"inbound\"");
    process.look();
    process.roll_back().unwrap();
    assert_eq!(site.read("a.toml"), b"direction = \"inbound\"");
    assert_eq!(process.serving(), Some((1, false)));
    site.put("a.wasm", component(2));
    let pin: [u8; 32] = sha2::Digest::finalize(sha(2)).into();
    site.put("a.toml", format!("sha256 = \"{}\"", message::hex(&pin)));
    process.look();
    // The sidecar of component 1 is now the one it served with last, so nothing is pinned.
    process.roll_back().unwrap();
    assert_eq!(process.serving(), Some((1, false)));
}

#[test]
fn a_rollback_that_is_refused_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let authority = Authority::root(&Request::authority("/C=UK/O=Sesame/CN=Test CA")).unwrap();
    let anchors = Directory::create(home.path().join("anchors")).unwrap();
    anchors.add_authority(&authority.own.certificate).unwrap();
    let names = ["old", "new"].map(|name| format!("/C=UK/O=Sesame/CN={name}.example.org"));
    let signatures = [1, 2].map(|number| {
        let name = &names[usize::from(number) - 1];
        let signer = authority.issue(&Request { key: KeyKind::P256, ..Request::host(name) }).unwrap();
        let (certificate, key) = signer.write(home.path(), &format!("signer-{number}")).unwrap();
        sign_detached(&Credential::load(&certificate, &key).unwrap(), &component(number)).unwrap()
    });
    let list = |lines: &[String]| fs::write(home.path().join("signers"), lines.join("\n")).unwrap();
    let provenance = Some(ProvenanceSettings {
        trust: TrustSettings::new(anchors.path()),
        signers: home.path().join("signers"),
        required: true,
        adopted: home.path().join("adopted"),
    });
    let site = Site { provenance, ..Site::new() };
    list(&names);
    let process = site.start();
    for (number, signature) in [(1, &signatures[0]), (2, &signatures[1])] {
        site.put("a.wasm", component(number));
        site.put("a.wasm.p7s", signature);
        assert_eq!(process.serving(), Some((number, false)));
    }
    list(&names[1..]);
    let error = site.start().roll_back().unwrap_err().to_string();
    let expected = "the earlier component of plugin a would not serve, and nothing was changed: it is not accepted, ";
    assert!(error.starts_with(expected) && error.contains("who is not in ") && error.contains("/a.wasm"), "{error}");
    assert_eq!((site.read("a.wasm"), site.names().len()), (component(2), 2));
    list(&names);
    site.start().roll_back().unwrap();
    assert_eq!((site.read("a.wasm"), site.read("a.wasm.p7s")), (component(1), signatures[0].clone()));
    assert_eq!(process.serving(), Some((1, false)));
    // Over a restart, too: a signer who is no longer on the list.
    site.put("a.wasm", "nonsense");
    list(&names[1..]);
    assert_eq!(site.start().serving(), None);
    list(&names);
    assert_eq!(site.start().serving(), Some((1, true)));
}

#[test]
fn a_shadow_is_not_what_served() {
    let site = Site::new();
    site.put("a.toml", "mode = \"shadow\"");
    site.put("a.wasm", component(1));
    let process = site.start();
    assert_eq!(process.serving(), Some((1, false)));
    site.put("a.wasm", component(2));
    process.look();
    assert!(matches!(process.roll_back(), Err(RollbackError::NoEarlier(_))));
    assert!(matches!(process.catalog.roll_back(site.folder.path(), "../a", &around()), Err(RollbackError::Name(_))));
}
