//! Who signs a plugin: signatures that Sesame makes, and those that `openssl` makes and reads.

use std::fs;
use std::path::{Path, PathBuf};

use crate::peers::openssl::{self, pki};
use crate::sesame::{Site, Way};

/// A site that asks for signatures, with one plugin and its sidecar, and a message to explain.
struct Asking {
    site: Site,
    component: PathBuf,
    side_car: PathBuf,
    message: String,
}

fn asking() -> Asking {
    let site = Site::of("sender.example.org").at(&["127.0.0.1:1"], Way::Plain, "");
    let site = site.sending("cpu", "/queue/sesame.test", "");
    let component = site.folder.join("plugins.d/10-a.wasm");
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/contracts/1.0.0/every-role.wasm");
    fs::copy(kept, &component).unwrap();
    let side_car = site.folder.write("plugins.d/10-a.toml", "[config]\nmark = \"a\"\n");
    site.folder.write("plugin-signers", format!("{}\n", site.host.subject));
    let message = site.folder.write("message", "one\n").display().to_string();
    Asking { site, component, side_car, message }
}

impl Asking {
    #[track_caller]
    fn sign(&self) {
        let (component, side_car) = (self.component.display().to_string(), self.side_car.display().to_string());
        self.site.run(&["plugin", "sign", &component, &side_car]).expect(0).says("signed by ");
    }

    #[track_caller]
    fn is_adopted(&self) {
        self.site.run(&["explain", "cpu", &self.message]).expect(0);
    }

    #[track_caller]
    fn is_refused(&self, words: &str) {
        self.site.run(&["explain", "cpu", &self.message]).expect(1).says(words);
        self.site.run(&["check", "--offline"]).expect(1).says(words);
    }
}

fn signature(file: &Path) -> PathBuf {
    PathBuf::from(format!("{}.p7s", file.display()))
}

#[test]
fn a_plugin_is_adopted_once_it_is_signed_and_not_when_it_was_changed_since() {
    let asking = asking();
    asking.is_refused("10-a.toml is not signed, and require-signed is set: create 10-a.toml.p7s with");
    asking.sign();
    asking.is_adopted();
    fs::write(&asking.side_car, "enabled = false\n").unwrap();
    asking.is_refused("10-a.toml does not match its signature 10-a.toml.p7s");
}

#[test]
fn signatures_of_sesame_and_openssl_are_the_same_to_both() {
    let asking = asking();
    asking.sign();
    let anchors = pki().anchors().display().to_string();
    for file in [&asking.component, &asking.side_car] {
        let (content, made) = (file.display().to_string(), signature(file).display().to_string());
        let verify = ["cms", "-verify", "-binary", "-purpose", "any", "-inform", "DER", "-CApath", &anchors];
        openssl::run(&[&verify[..], &["-in", &made, "-content", &content]].concat(), b"");
        let (certificate, key) = (&asking.site.host.certificate, &asking.site.host.key);
        let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
        let sign = ["cms", "-sign", "-binary", "-outform", "PEM", "-signer", &certificate, "-inkey", &key];
        let signed = openssl::run(&[&sign[..], &["-in", &content]].concat(), b"");
        fs::write(signature(file), signed).unwrap();
    }
    asking.is_adopted();
}
