//! Plugins with valid, invalid and no signatures, in a folder that pipelines are loaded from.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;

use super::*;
use crate::{CompileSettings, Pipeline, PipelineSettings, Plugins, Sidecar, TOTAL_TIME, read_folder};
use message::{Direction, hex};
use smime::sign_detached;
use testkit::pki::{Authority, CrlRequest, Directory, Issued, KeyKind, Request};
use trust::Credential;

const DAY: i64 = 86_400;
const SIGNER: &str = "/C=UK/O=Sesame/CN=plugins.example.org";

/// A machine with one plugin, `10-a`, and its sidecar.
struct Machine {
    home: tempfile::TempDir,
    authority: Authority,
    anchors: Directory,
}

impl Machine {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let request = Request { not_before: -60 * DAY, ..Request::authority("/C=UK/O=Sesame/CN=Test CA") };
        let authority = Authority::root(&request).unwrap();
        let anchors = Directory::create(home.path().join("anchors")).unwrap();
        anchors.add_authority(&authority.own.certificate).unwrap();
        let machine = Self { home, authority, anchors };
        fs::create_dir(machine.path("plugins")).unwrap();
        machine.put("10-a.wasm", &component());
        machine.put("10-a.toml", b"[config]\nmark = \"a\"\n");
        fs::write(machine.path("signers"), format!("# who signs\n{SIGNER}\n")).unwrap();
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn put(&self, name: &str, content: &[u8]) {
        let file = self.path("plugins").join(name);
        fs::write(&file, content).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    }

    fn signer(&self) -> Issued {
        self.authority.issue(&Request { key: KeyKind::P256, ..Request::host(SIGNER) }).unwrap()
    }

    fn expired_signer(&self) -> Issued {
        let request = Request { key: KeyKind::P256, not_before: -30 * DAY, not_after: -DAY, ..Request::host(SIGNER) };
        self.authority.issue(&request).unwrap()
    }

    fn sign(&self, signer: &Issued, name: &str) {
        let (certificate, key) = signer.write(self.home.path(), "signer").unwrap();
        let content = fs::read(self.path("plugins").join(name)).unwrap();
        let signature = sign_detached(&Credential::load(&certificate, &key).unwrap(), &content).unwrap();
        self.put(&format!("{name}.p7s"), &signature);
    }

    fn signed(signer: impl FnOnce(&Self) -> Issued) -> (Self, Issued) {
        let machine = Self::new();
        let signer = signer(&machine);
        machine.sign(&signer, "10-a.wasm");
        machine.sign(&signer, "10-a.toml");
        (machine, signer)
    }

    fn plugins(&self, required: bool) -> Arc<Plugins> {
        let settings = ProvenanceSettings {
            trust: TrustSettings::new(self.anchors.path()),
            signers: self.path("signers"),
            required,
            adopted: self.path("state/adopted"),
        };
        Plugins::start_checked(CompileSettings::default(), settings).unwrap()
    }

    fn load(&self, required: bool, stages: Vec<StageSource>) -> Result<Pipeline, String> {
        let settings = PipelineSettings {
            stages,
            channel: "central".into(),
            around: crate::Surroundings::of_channels(vec!["central".into()]),
            direction: Direction::Inbound,
            routes: vec![],
            max_payload: 1 << 20,
            total_time: TOTAL_TIME,
        };
        Pipeline::load(&self.plugins(required), settings).map_err(|errors| errors[0].to_string())
    }

    /// Why the plugin cannot answer; empty where it can.
    fn refusal(&self, required: bool) -> String {
        let pipeline = self.load(required, read_folder(&self.path("plugins")).unwrap()).unwrap();
        assert_eq!(pipeline.stages().count(), 1, "without the stage its messages would pass");
        pipeline.broken().next().map(|error| error.to_string()).unwrap_or_default()
    }

    fn remember(&self, name: &str, days_ago: i64) {
        let hash: [u8; 32] = Sha256::digest(fs::read(self.path("plugins").join(name)).unwrap()).into();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let line = format!("{} {}\n", hex(&hash), now - (days_ago * DAY).unsigned_abs());
        fs::create_dir_all(self.path("state")).unwrap();
        let before = fs::read_to_string(self.path("state/adopted")).unwrap_or_default();
        fs::write(self.path("state/adopted"), before + &line).unwrap();
        fs::set_permissions(self.path("state/adopted"), fs::Permissions::from_mode(0o600)).unwrap();
    }
}

fn component() -> Vec<u8> {
    let path = "../../tests/data/contracts/1.0.0/every-role.wasm";
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The same with an empty custom section at its end.
fn another_component() -> Vec<u8> {
    [component(), vec![0, 1, 0]].concat()
}

#[test]
fn unsigned_files_are_refused_where_signatures_are_required() {
    let machine = Machine::new();
    assert_eq!(machine.refusal(false), "");
    let said = machine.refusal(true);
    assert!(said.contains("10-a.toml is not signed, and require-signed is set: create 10-a.toml.p7s with"), "{said}");
    machine.sign(&machine.signer(), "10-a.toml");
    let said = machine.refusal(true);
    assert!(said.starts_with("plugin 10-a.wasm is not accepted, "), "{said}");
    assert!(said.contains("10-a.wasm is not signed, and require-signed is set: create 10-a.wasm.p7s with"), "{said}");
    machine.sign(&machine.signer(), "10-a.wasm");
    assert_eq!(machine.refusal(true), "");
}

#[test]
fn an_unsigned_sidecar_with_mistakes_does_not_narrow_a_plugin() {
    let machine = Machine::new();
    machine.put("10-a.toml", b"direction = \"outbound\"\ndeadline = 5\n");
    let refusal = machine.refusal(true);
    assert!(refusal.contains("10-a.toml is not signed"), "{refusal}");
}

#[test]
fn accepts_a_signature_in_either_form() {
    let (machine, _) = Machine::signed(Machine::signer);
    let file = machine.path("plugins/10-a.wasm.p7s");
    let packed = base64::engine::general_purpose::STANDARD.encode(fs::read(&file).unwrap());
    let lines: Vec<&str> = packed.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    for label in ["CMS", "PKCS7"] {
        let pem = format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"));
        machine.put("10-a.wasm.p7s", pem.as_bytes());
        assert_eq!(machine.refusal(true), "", "{label}");
    }
}

#[test]
fn a_signature_must_be_valid_even_if_none_is_required() {
    let wrong: [(&str, &[u8], &str); 4] = [
        ("10-a.wasm", &another_component(), "10-a.wasm does not match its signature 10-a.wasm.p7s: copy both again"),
        ("10-a.wasm.p7s", b"nonsense", "10-a.wasm.p7s is refused, "),
        (
            "10-a.toml",
            b"on-error = \"pass\"\n[config]\nmark = \"a\"\n",
            "10-a.toml does not match its signature 10-a.toml.p7s",
        ),
        ("10-a.toml", b"enabled = false\n", "10-a.toml does not match its signature 10-a.toml.p7s"),
    ];
    for (name, content, expected) in wrong {
        let (machine, _) = Machine::signed(Machine::signer);
        assert_eq!(machine.refusal(false), "");
        machine.put(name, content);
        let said = machine.refusal(false);
        assert!(said.contains(expected), "{expected:?} not in {said:?}");
    }
}

#[test]
fn the_signer_must_be_on_the_list_and_chain_to_an_anchor() {
    let (machine, _) = Machine::signed(Machine::signer);
    fs::write(machine.path("signers"), "/C=UK/O=Sesame/CN=another.example.org\n").unwrap();
    let said = machine.refusal(false);
    assert!(said.contains("is signed by CN=plugins.example.org,O=Sesame,C=UK, who is not in "), "{said}");
    fs::remove_file(machine.path("signers")).unwrap();
    let said = machine.refusal(false);
    assert!(said.contains("signers: no such file or directory; create it"), "{said}");

    let (machine, _) = Machine::signed(|_| {
        let other = Authority::root(&Request::authority("/C=UK/O=Other/CN=CA")).unwrap();
        other.issue(&Request { key: KeyKind::P256, ..Request::host(SIGNER) }).unwrap()
    });
    let said = machine.refusal(false);
    assert!(said.contains("10-a.toml.p7s is refused, cannot trust the signer's certificate: "), "{said}");
}

#[test]
fn a_certificate_may_expire_after_the_plugin_was_adopted() {
    let (machine, signer) = Machine::signed(Machine::expired_signer);
    let said = machine.refusal(true);
    assert!(said.contains("10-a.toml.p7s is refused, ") && said.contains(" expired on "), "{said}");
    machine.remember("10-a.toml", 10);
    let said = machine.refusal(true);
    assert!(said.contains("10-a.wasm.p7s is refused, ") && said.contains(" expired on "), "{said}");
    machine.remember("10-a.wasm", 10);
    assert_eq!(machine.refusal(true), "");
    // Revocation counts as of now.
    let own = &machine.authority.own.certificate;
    let crl = machine.authority.crl(&[&signer.certificate], &CrlRequest::default()).unwrap();
    machine.anchors.add_crl(own, &crl).unwrap();
    let said = machine.refusal(true);
    assert!(said.contains("10-a.toml.p7s is refused, "), "{said}");
}

#[test]
fn a_file_adopted_after_its_certificate_expired_is_refused() {
    let (machine, _) = Machine::signed(Machine::expired_signer);
    machine.remember("10-a.toml", 0);
    machine.remember("10-a.wasm", 0);
    assert!(machine.refusal(false).contains(" expired on "));
}

#[test]
fn a_file_signed_again_is_checked_as_of_each_adoption() {
    let (machine, _) = Machine::signed(Machine::expired_signer);
    for name in ["10-a.toml", "10-a.wasm"] {
        // Before this certificate, with it, and after it.
        [40, 10, 0].iter().for_each(|days_ago| machine.remember(name, *days_ago));
    }
    assert_eq!(machine.refusal(true), "");
}

#[test]
fn an_adoption_is_recorded_again_after_a_day() {
    let (machine, _) = Machine::signed(Machine::signer);
    machine.remember("10-a.toml", 2);
    machine.remember("10-a.wasm", 0);
    assert_eq!(machine.refusal(true), "");
    assert_eq!(fs::read_to_string(machine.path("state/adopted")).unwrap().lines().count(), 3);
}

#[test]
fn a_revoked_signer_is_refused() {
    let (machine, signer) = Machine::signed(Machine::signer);
    assert_eq!(machine.refusal(false), "");
    let crl = machine.authority.crl(&[&signer.certificate], &CrlRequest::default()).unwrap();
    machine.anchors.add_crl(&machine.authority.own.certificate, &crl).unwrap();
    let said = machine.refusal(false);
    assert!(said.contains("10-a.toml.p7s is refused, ") && said.contains("revoked"), "{said}");
}

#[test]
fn records_each_file_once_in_a_private_file() {
    let (machine, _) = Machine::signed(Machine::signer);
    assert_eq!(machine.refusal(true), "");
    assert_eq!(machine.refusal(true), "");
    let file = machine.path("state/adopted");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    // A crash cut the last line short.
    fs::write(&file, &text[..text.len() - 60]).unwrap();
    assert_eq!(machine.refusal(true), "");
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!((text.lines().count(), text.lines().filter(|line| line.len() > 70).count()), (3, 2), "{text}");
}

#[test]
fn a_signature_without_its_sidecar_is_refused() {
    let (machine, _) = Machine::signed(Machine::signer);
    fs::remove_file(machine.path("plugins/10-a.toml")).unwrap();
    let said = machine.refusal(false);
    assert!(said.contains("10-a.toml.p7s exists and its sidecar does not: put the sidecar back"), "{said}");
    fs::remove_file(machine.path("plugins/10-a.toml.p7s")).unwrap();
    assert_eq!(machine.refusal(true), "", "a plugin may have no sidecar");
}

#[test]
fn the_operators_own_settings_and_the_stock_plugins_need_no_signature() {
    let machine = Machine::new();
    machine.sign(&machine.signer(), "10-a.wasm");
    let component = machine.path("plugins/10-a.wasm");
    let stages = vec![
        StageSource::named("builtin:passthrough", None),
        StageSource::named(component.to_str().unwrap(), Some(Sidecar::default())),
    ];
    assert!(machine.load(true, stages).is_ok());
    let unsigned = vec![StageSource::named(component.to_str().unwrap(), None)];
    let said = machine.load(true, unsigned).unwrap_err();
    assert!(said.contains("10-a.toml is not signed, and require-signed is set"), "{said}");
}
