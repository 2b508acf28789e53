//! Plugins in OCI registries: they travel whole, and no registry can do harm.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use openssl::sha::sha256;
use serde_json::json;

use crate::peers::registry::{Answer, Liar, PASSWORD, Registry, USER, authority};
use crate::sesame::{Outcome, Site, Way};

/// A site with a component of an author in `made`, with sidecar and signatures, which asks for signatures.
struct Author {
    site: Site,
    component: PathBuf,
    ca: String,
}

impl Author {
    fn new() -> Self {
        let site = Site::of("sender.example.org").at(&["127.0.0.1:1"], Way::Plain, "");
        let site = site.sending("cpu", "/queue/sesame.test", "");
        fs::create_dir(site.folder.join("made")).unwrap();
        let component = site.folder.join("made/check.wasm");
        fs::copy(kept("every-role.wasm"), &component).unwrap();
        site.folder.write("made/check.toml", "[config]\nmark = \"a\"\n");
        site.folder.write("plugin-signers", format!("{}\n", site.host.subject));
        Self { site, component, ca: authority().display().to_string() }
    }

    fn sign(&self) {
        let component = self.component.display().to_string();
        let sidecar = self.component.with_extension("toml").display().to_string();
        self.site.run(&["plugin", "sign", &component, &sidecar]).expect(0);
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        self.site.run(&[&["plugin"], arguments, &["--ca", &self.ca]].concat())
    }

    /// Pushes; gives the digest.
    #[track_caller]
    fn push(&self, name: &str) -> String {
        let pushed = self.run(&["push", &self.component.display().to_string(), name]).expect(0);
        pushed.output.split_whitespace().last().unwrap().to_owned()
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.site.folder.join(name)
    }

    /// The names in a folder, sorted.
    fn names(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.folder(folder)) else { return Vec::new() };
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/contracts/1.0.0").join(name)
}

#[test]
fn a_plugin_travels_over_tls_with_sidecar_signatures_and_sbom_and_is_installed() {
    let (registry, author) = (Registry::open(), Author::new());
    author.sign();
    let name = registry.name("plugins/check:1.0");
    let digest = author.push(&name);
    // One layer, for wkg takes no more.
    let manifest = registry.manifest(&digest);
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1, "{manifest}");
    assert_eq!(manifest["layers"][0]["mediaType"], "application/wasm");
    author.run(&["pull", &name, "--output", "got"]).expect(0).says(&digest);
    let names = ["check.cdx.json", "check.toml", "check.toml.p7s", "check.wasm", "check.wasm.p7s", "registry-pins"];
    assert_eq!(author.names("got"), names);
    for file in ["check.toml", "check.toml.p7s", "check.wasm", "check.wasm.p7s"] {
        assert_eq!(
            fs::read(author.folder("got").join(file)).unwrap(),
            fs::read(author.folder("made").join(file)).unwrap()
        );
    }
    let sbom: serde_json::Value =
        serde_json::from_slice(&fs::read(author.folder("got/check.cdx.json")).unwrap()).unwrap();
    let hash = message::hex(&sha256(&fs::read(&author.component).unwrap()));
    assert_eq!(sbom["metadata"]["component"]["hashes"][0]["content"], hash);
    // The same files have the same digest, also when they come from a pull.
    assert_eq!(author.push(&name), digest);
    let by_digest = registry.name(&format!("plugins/check@{digest}"));
    author.run(&["install", &by_digest]).expect(0).says("a running Sesame takes it up");
    assert_eq!(author.names("plugins.d"), ["check.toml", "check.toml.p7s", "check.wasm", "check.wasm.p7s"]);
    author.site.folder.write("message", "one\n");
    author.site.run(&["explain", "cpu", "message"]).expect(0).says("check.wasm");
}

#[test]
fn a_plugin_without_signature_is_not_installed_where_one_is_required() {
    let (registry, author) = (Registry::open(), Author::new());
    let name = registry.name("plugins/check:1.0");
    author.push(&name);
    let refused = author.run(&["install", &name]).expect(1);
    let refused = refused
        .says("not installed: plugin check.wasm has an invalid sidecar: check.toml is not signed, and require-signed");
    assert!(!refused.all().contains(".sesame-pull-"), "{}", refused.all());
    assert_eq!(author.names("plugins.d"), [""; 0]);
    // A component that is no plugin is not pushed, and what wkg pushed is not installed unless it is one.
    let module = author.site.folder.write("made/module.wasm", b"\0asm\x01\0\0\0");
    let text = module.display().to_string();
    author.run(&["push", &text, &name]).expect(1).says("not pushed: module.wasm would be refused: it is a core");
}

#[test]
fn the_operators_settings_stay_when_a_plugin_is_installed_again() {
    let (registry, author) = (Registry::open(), Author::new());
    fs::remove_file(author.folder("plugin-signers")).unwrap();
    let name = registry.name("plugins/check:1.0");
    author.push(&name);
    author.run(&["install", &name]).expect(0);
    let sidecar = author.site.folder.write("plugins.d/check.toml", "[config]\nmark = \"mine\"\n");
    author.run(&["install", &name]).expect(0).says("kept your").says("--replace-sidecar");
    assert!(fs::read_to_string(&sidecar).unwrap().contains("mine"));
    author.run(&["install", &name, "--replace-sidecar"]).expect(0);
    assert_eq!(fs::read(&sidecar).unwrap(), fs::read(author.folder("made/check.toml")).unwrap());
    author.site.folder.write("plugins.d/check.toml", "[config]\nmrak = \"mine\"\n");
    author.run(&["install", &name]).expect(1).says("not installed: plugin check.wasm").says("mrak");
}

#[test]
fn a_tag_that_moved_is_refused_until_it_is_pinned_again() {
    let (registry, author) = (Registry::open(), Author::new());
    let name = registry.name("plugins/check:1.0");
    let first = author.push(&name);
    author.run(&["pull", &name, "--output", "got"]).expect(0);
    let pins = fs::read_to_string(author.folder("got/registry-pins")).unwrap();
    assert!(pins.contains(&format!("{name} {first}\n")), "{pins}");
    author.site.folder.write("made/check.toml", "[config]\nmark = \"b\"\n");
    let second = author.push(&name);
    assert_ne!(first, second, "the digest covers the sidecar, too");
    let refused = author.run(&["pull", &name, "--output", "got"]).expect(1).says("refused by the pin in");
    refused.says(&first).says(&second).says("--repin");
    fs::remove_file(author.folder("got/check.toml")).unwrap();
    author.run(&["pull", &name, "--output", "got", "--repin"]).expect(0);
    assert!(fs::read_to_string(author.folder("got/check.toml")).unwrap().contains("\"b\""));
    author.run(&["pull", &name, "--output", "got"]).expect(0);
    // What is there and differs is not overwritten.
    author.site.folder.write("got/check.toml", "enabled = false\n");
    author.run(&["pull", &name, "--output", "got"]).expect(1).says("check.toml is there already and differs");
}

#[test]
fn a_wit_package_travels_as_a_component() {
    let (registry, author) = (Registry::open(), Author::new());
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit").display().to_string();
    let name = registry.name("sesame/plugin:1.0.0");
    let pushed = author.run(&["push", &wit, &name]).expect(0);
    let digest = pushed.output.split_whitespace().last().unwrap().to_owned();
    let manifest = registry.manifest(&digest);
    let config = registry.manifest(manifest["config"]["digest"].as_str().unwrap());
    let exports = config["component"]["exports"].as_array().unwrap();
    assert!(exports.contains(&json!("sesame:plugin/validator@1.0.0")), "{config}");
    author.run(&["pull", &name, "--output", "got"]).expect(0);
    assert_eq!(author.names("got"), ["plugin.wasm", "registry-pins"]);
    author.run(&["push", &format!("{wit}/tables"), &registry.name("sesame/plugin:1.1.0")]).expect(0).says("1.1.0");
    author.run(&["install", &name]).expect(1).says("not installed: plugin plugin.wasm");
}

#[test]
fn credentials_come_from_private_files_and_are_not_shown() {
    let (registry, author) = (Registry::closed(), Author::new());
    let name = registry.name("plugins/check:1.0");
    let component = author.component.display().to_string();
    let push = |more: &[&str]| author.run(&[&["push", &component, &name], more].concat());
    push(&[]).expect(1).says("refuses access: give --user and --password-file, or log in with docker");
    let file = author.site.folder.write("password", format!("{PASSWORD}\n"));
    let file = file.display().to_string();
    push(&["--user", USER, "--password-file", &file]).expect(1).says("may be read or written by others than its owner");
    let private = |file: &str| fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    private(&file);
    push(&["--user", "bob", "--password-file", &file]).expect(1).says("refuses access: check user name and password");
    let pushed = push(&["--user", USER, "--password-file", &file]).expect(0);
    let pulled = author.run(&["pull", &name, "--output", "got", "--user", USER, "--password-file", &file]).expect(0);
    for said in [pushed.all(), pulled.all(), registry.log()] {
        assert!(!said.contains(PASSWORD), "{said}");
    }
}

/// A manifest with one layer of this content, which is said to have this size.
fn manifest(layer: &[u8], size: usize) -> Vec<u8> {
    let digest = |content: &[u8]| format!("sha256:{}", message::hex(&sha256(content)));
    let text = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.wasm.config.v0+json", "digest": digest(b"{}"), "size": 2 },
        "layers": [{ "mediaType": "application/wasm", "digest": digest(layer), "size": size }],
    });
    text.to_string().into_bytes()
}

fn ok(body: impl Into<Vec<u8>>) -> Answer {
    Answer::Of("200 OK", Vec::new(), body.into())
}

/// Whether a path asks for a manifest or a blob; the rest asks whether credentials are needed.
fn is_for(path: &str, what: &str) -> bool {
    path.contains(&format!("/{what}/"))
}

const LAYER: &[u8] = b"\0asm\x0d\0\x01\0";

/// What a registry answers for a path.
type Lie = fn(&str) -> Answer;

/// Other bytes than the manifest says, with the words that name it.
const LIES_ABOUT_BLOBS: [(&str, Lie); 5] = [
    ("sends another component than sha256:", |path| match path {
        path if is_for(path, "manifests") => ok(manifest(LAYER, LAYER.len())),
        path if is_for(path, "blobs") => ok(*b"\0asm\x0d\0\x01\x01"),
        _ => ok(""),
    }),
    ("whose size is 4: nothing of it is used", |path| match path {
        path if is_for(path, "manifests") => ok(manifest(LAYER, 4)),
        path if is_for(path, "blobs") => ok(LAYER),
        _ => ok(""),
    }),
    ("sends 8 bytes of the component", |path| match path {
        path if is_for(path, "manifests") => ok(manifest(LAYER, 4000)),
        path if is_for(path, "blobs") => ok(LAYER),
        _ => ok(""),
    }),
    ("whose size is 8: nothing of it is used", |path| match path {
        path if is_for(path, "manifests") => ok(manifest(LAYER, LAYER.len())),
        path if is_for(path, "blobs") => Answer::Endless,
        _ => ok(""),
    }),
    ("lost the connection to localhost", |path| match path {
        path if is_for(path, "manifests") => ok(manifest(LAYER, LAYER.len())),
        path if is_for(path, "blobs") => {
            Answer::Of("200 OK", vec!["Content-Length: 8".to_owned()], LAYER.get(..4).unwrap_or_default().to_vec())
        }
        _ => ok(""),
    }),
];

/// Manifests and answers of another kind than were asked for.
const OTHER_LIES: [(&str, Lie); 8] = [
    ("has 1000000000000 bytes, and at most 67108864 are taken", |path| match path {
        path if is_for(path, "manifests") => ok(manifest(LAYER, 1_000_000_000_000)),
        _ => ok(""),
    }),
    ("sends more than 4194304 bytes", |path| match path {
        path if is_for(path, "manifests") => Answer::Endless,
        _ => ok(""),
    }),
    ("no layer is of type application/wasm", |path| match path {
        path if is_for(path, "manifests") => {
            let text = String::from_utf8(manifest(LAYER, 8)).unwrap();
            ok(text.replace("\"application/wasm\"", "\"application/vnd.oci.image.layer.v1.tar+gzip\""))
        }
        _ => ok(""),
    }),
    ("sends more than 4194304 bytes", |_| {
        Answer::Of("500 Internal Server Error", vec![format!("Content-Length: {}", 1u64 << 40)], Vec::new())
    }),
    ("answers with status 500: it is \\u{1b}[31m broken", |path| match path {
        path if is_for(path, "manifests") => Answer::Of("500 Oh", Vec::new(), b"it is \x1b[31m broken".to_vec()),
        _ => ok(""),
    }),
    ("its manifest is not one of the OCI specification", |path| match path {
        path if is_for(path, "manifests") => ok("{\"schemaVersion\": 2}"),
        _ => ok(""),
    }),
    ("its token has characters that cannot be sent", |path| match path {
        path if path.starts_with("/token") => ok("{\"token\": \"a b\"}"),
        _ => Answer::Of("401 No", vec!["WWW-Authenticate: Bearer realm=\"https://HERE/token\"".to_owned()], Vec::new()),
    }),
    ("is no digest", |path| match path {
        path if is_for(path, "manifests") => {
            let text = String::from_utf8(manifest(LAYER, 8)).unwrap();
            ok(text.replace("\"digest\":\"sha256:", "\"digest\":\"../../"))
        }
        _ => ok(""),
    }),
];

#[test]
fn a_registry_that_lies_is_named_and_leaves_nothing_behind() {
    let author = Author::new();
    for (words, lie) in LIES_ABOUT_BLOBS.into_iter().chain(OTHER_LIES) {
        let liar = Liar::start(lie);
        let pulled = author.run(&["pull", &liar.name("plugins/check:1.0"), "--output", "got"]).expect(1);
        let pulled = pulled.says(words).says(&format!("localhost:{}", liar.port));
        assert!(!pulled.all().contains('\u{1b}') && !pulled.all().contains("panicked"), "{}", pulled.all());
        assert_eq!(author.names("got"), [""; 0], "{words}");
        // What the client takes, and what may be in the buffers of both sides.
        assert!(liar.sent() < 80 << 20, "{words}: {} bytes could be sent", liar.sent());
    }
}

#[test]
fn a_registry_that_is_away_or_silent_is_named_in_time() {
    let author = Author::new();
    let away = crate::harness::ports::free();
    let pulled = author.run(&["pull", &format!("localhost:{away}/plugins/check:1.0"), "--output", "got"]).expect(1);
    pulled.says(&format!("cannot connect to localhost:{away}")).says("refused the connection");
    let pulled = author.run(&["pull", "no-such-host.invalid/plugins/check:1.0", "--output", "got"]).expect(1);
    pulled.says("cannot resolve host name no-such-host.invalid");
    for silent in ["manifests", "blobs"] {
        let liar = Liar::start(move |path| match path {
            path if is_for(path, silent) => Answer::Silence,
            path if is_for(path, "manifests") => ok(manifest(b"x", 1)),
            _ => ok(""),
        });
        let begun = Instant::now();
        let name = liar.name("plugins/check:1.0");
        author.run(&["pull", &name, "--output", "got", "--timeout", "2s"]).expect(1).says("not finished after 2 s");
        assert!(begun.elapsed() < Duration::from_secs(30), "{silent}: {:?}", begun.elapsed());
    }
    assert_eq!(author.names("got"), [""; 0]);
    // A server of an authority that is not named.
    let (registry, name) = (Registry::open(), "plugins/check:1.0");
    let strangers = crate::peers::openssl::strangers().authority().display().to_string();
    let refused = author.site.run(&["plugin", "pull", &registry.name(name), "--ca", &strangers]).expect(1);
    refused.says("the certificate of localhost").says("is refused").says("--ca FILE");
    author.site.run(&["plugin", "pull", "r.example.org/a:1", "--plain-http"]).expect(1).says("is not on this machine");
}

#[test]
fn credentials_go_to_no_other_server() {
    let author = Author::new();
    let file = author.site.folder.write("password", format!("{PASSWORD}\n")).display().to_string();
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let pull = |name: &str, more: &[&str]| {
        author.run(&[&["pull", name, "--output", "got", "--user", USER, "--password-file", &file], more].concat())
    };
    // The blob is elsewhere, as large registries have it: it is taken from there without credentials.
    let other = Liar::start(|path| match path {
        path if path.starts_with("/token") => ok("{\"token\": \"of-the-other\"}"),
        _ => ok(LAYER),
    });
    let there = other.port;
    let basic = || vec!["WWW-Authenticate: Basic realm=\"test\"".to_owned()];
    let liar = Liar::start(move |path| match path {
        path if is_for(path, "manifests") => ok(manifest(LAYER, LAYER.len())),
        path if is_for(path, "blobs") => {
            Answer::Of("307 Elsewhere", vec![format!("Location: https://localhost:{there}/blob")], Vec::new())
        }
        _ => Answer::Of("401 Unauthorized", basic(), Vec::new()),
    });
    pull(&liar.name("plugins/check:1.0"), &[]).expect(0);
    assert!(liar.heads().iter().any(|head| head.to_ascii_lowercase().contains("authorization: basic")));
    let seen = other.heads().join("");
    assert!(seen.contains("GET /blob ") && !seen.to_ascii_lowercase().contains("authorization"), "{seen}");
    // Tokens are issued elsewhere.
    let liar = Liar::start(move |path| match path {
        path if is_for(path, "manifests") => ok(manifest(LAYER, LAYER.len())),
        path if is_for(path, "blobs") => ok(LAYER),
        _ => {
            let challenge = format!("WWW-Authenticate: Bearer realm=\"https://localhost:{there}/token\",service=\"x\"");
            Answer::Of("401 Unauthorized", vec![challenge], Vec::new())
        }
    });
    let (name, server) = (liar.name("plugins/tokens:1.0"), format!("localhost:{there}"));
    let asked = other.heads().len();
    pull(&name, &[]).expect(1).says(&format!("wants your credentials sent to {server}: they were not"));
    assert_eq!(other.heads().len(), asked, "nothing was sent there");
    pull(&name, &["--token-server", &server]).expect(0);
    assert!(other.heads().last().unwrap().to_ascii_lowercase().contains("authorization: basic"));
    assert!(liar.heads().last().unwrap().contains("Bearer of-the-other"), "{:?}", liar.heads());
    // Without TLS nothing is followed.
    let liar = Liar::start(|path| match path {
        path if is_for(path, "manifests") => {
            Answer::Of("307 Elsewhere", vec!["Location: http://localhost:1/manifest".to_owned()], Vec::new())
        }
        _ => ok(""),
    });
    pull(&liar.name("plugins/plain:1.0"), &[]).expect(1).says("refers to localhost:1 without TLS");
}
