//! Files are added, changed and removed. The stock plugin is the good component, with a custom section at its end where
//! another is needed.

mod last_good;

use std::fs;
use std::time::Duration;

use super::status::PluginState;
use super::*;
use crate::{CompileSettings, Pipeline, PipelineSettings, ProvenanceSettings};
use message::Direction;
use smime::sign_detached;
use testkit::pki::{Authority, CrlRequest, Directory, KeyKind, Request};
use trust::{Credential, TrustSettings};

const BRISK: Pace = Pace {
    quiet: Duration::ZERO,
    settle: Duration::ZERO,
    vanished: Duration::ZERO,
    together: Duration::from_secs(60),
    patience: Duration::ZERO,
    again: Duration::from_secs(60),
};

struct Scene {
    folder: tempfile::TempDir,
    catalog: Catalog,
}

fn settings(stages: Vec<folder::StageSource>) -> PipelineSettings {
    PipelineSettings {
        stages,
        channel: "central".to_owned(),
        around: Surroundings::of_channels(vec!["central".to_owned()]),
        direction: Direction::Inbound,
        routes: Vec::new(),
        max_payload: 1 << 20,
        total_time: crate::TOTAL_TIME,
    }
}

/// A good component, different for each number.
fn component(number: u8) -> Vec<u8> {
    let mut bytes = crate::component::builtin::find("passthrough").unwrap().to_vec();
    bytes.extend([0, 3, 1, b'x', number]);
    bytes
}

impl Scene {
    fn new(pace: Pace) -> Self {
        let plugins = Plugins::start(CompileSettings::default()).unwrap();
        Self { folder: tempfile::tempdir().unwrap(), catalog: Catalog { pace, ..Catalog::new(plugins) } }
    }

    /// A scene after the first look, at the empty folder.
    fn looked() -> Self {
        let scene = Self::new(BRISK);
        assert_eq!(scene.look(), [] as [&str; 0]);
        scene
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    }

    fn take(&self, name: &str) {
        fs::remove_file(self.folder.path().join(name)).unwrap();
    }

    fn wanted(&self) -> Wanted {
        let folder = Some(self.folder.path().to_owned());
        Wanted { folder, named: Vec::new(), around: Surroundings::of_channels(vec!["central".to_owned()]) }
    }

    fn snapshot(&self, effort: Effort) -> Snapshot {
        self.catalog.look(&self.wanted(), effort)
    }

    /// `NAME state`, with a `!` if the file that is there is broken.
    fn look(&self) -> Vec<String> {
        // A failure takes effect at the next look.
        drop(self.snapshot(Effort::Full));
        let snapshot = self.snapshot(Effort::Full);
        let word = |s: &PluginStatus| match s.trouble() {
            Some(_) => format!("{} ready!", s.name),
            None => format!("{} {}", s.name, s.state),
        };
        snapshot.folder().iter().map(word).collect()
    }

    /// The component that serves as a.wasm.
    fn serving(&self) -> [u8; 32] {
        self.snapshot(Effort::Full).folder()[0].component.as_ref().unwrap().sha256
    }
}

#[test]
fn a_file_that_is_copied_in_and_replaced_serves() {
    let scene = Scene::looked();
    scene.put("a.wasm", component(1));
    assert_eq!(scene.look(), ["a.wasm ready"]);
    let first = scene.serving();
    scene.put(".new", component(2));
    fs::rename(scene.folder.path().join(".new"), scene.folder.path().join("a.wasm")).unwrap();
    assert_eq!(scene.look(), ["a.wasm ready"]);
    assert_ne!(scene.serving(), first);
}

#[test]
fn a_bad_component_or_sidecar_leaves_the_good_one_in_service() {
    let scene = Scene::looked();
    scene.put("a.wasm", component(1));
    scene.put("a.toml", "direction = \"inbound\"");
    scene.look();
    let first = scene.serving();
    let half = component(1).len() / 2;
    for (name, content) in [
        ("a.wasm", &component(2)[..half]),
        ("a.wasm", b"nonsense".as_slice()),
        ("a.toml", b"direction = \"sideways\"".as_slice()),
        ("a.toml", b"channels = [\"nowhere\"]".as_slice()),
    ] {
        scene.put(name, content);
        assert_eq!(scene.look(), ["a.wasm ready!"], "{name}");
        assert_eq!(scene.serving(), first);
        let sidecar = scene.snapshot(Effort::Full).folder()[0].sidecar.clone().unwrap();
        assert_eq!(sidecar.filter.direction, Some(Direction::Inbound));
    }
    scene.put("a.wasm", component(2));
    scene.put("a.toml", "");
    assert_eq!(scene.look(), ["a.wasm ready"]);
    assert_ne!(scene.serving(), first);
}

#[test]
fn a_new_file_that_is_broken_cannot_answer() {
    let scene = Scene::looked();
    scene.put("a.wasm", "nonsense");
    assert_eq!(scene.look(), ["a.wasm broken"]);
    scene.take("a.wasm");
    assert_eq!(scene.look(), ["a.wasm missing"]);
    scene.put("a.wasm", component(1));
    assert_eq!(scene.look(), ["a.wasm ready"]);
}

#[test]
fn a_plugin_is_removed_by_a_marker_or_its_sidecar_and_not_by_a_missing_file() {
    let scene = Scene::looked();
    scene.put("a.wasm", component(1));
    scene.look();
    scene.take("a.wasm");
    assert_eq!(scene.look(), ["a.wasm missing"]);
    scene.put("a.removed", "ended");
    assert_eq!(scene.look(), ["a.wasm removed"]);
    scene.put("a.wasm", component(1));
    assert_eq!(scene.look(), ["a.wasm ready"]);
    scene.put("a.toml", "enabled = false");
    assert_eq!(scene.look(), ["a.wasm disabled"]);
    ["a.wasm", "a.toml", "a.removed"].iter().for_each(|name| scene.take(name));
    assert_eq!(scene.look(), [] as [&str; 0]);
}

#[test]
fn a_file_that_is_still_changing_is_left_alone_and_others_wait_for_it() {
    let scene = Scene::new(Pace { settle: Duration::from_millis(300), ..BRISK });
    scene.put("a.wasm", component(1));
    assert_eq!(scene.look(), ["a.wasm ready"], "at the first look nothing is waited for");
    let first = scene.serving();
    scene.put("a.wasm", component(2));
    std::thread::sleep(Duration::from_millis(200));
    scene.put("b.wasm", "part");
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(scene.look(), ["a.wasm ready", "b.wasm compiling"]);
    assert_eq!(scene.serving(), first, "a.wasm is whole and waits for b.wasm");
    assert!(scene.snapshot(Effort::Full).soon.is_some());
    scene.put("b.wasm", component(3));
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(scene.look(), ["a.wasm ready", "b.wasm ready"]);
    assert_ne!(scene.serving(), first);
}

#[test]
fn a_broken_file_is_reported_only_after_a_while() {
    let scene = Scene::new(Pace { patience: Duration::from_millis(300), ..BRISK });
    scene.look();
    scene.put("a.wasm", &component(1)[..100]);
    assert_eq!(scene.look(), ["a.wasm compiling"], "the messages it applies to wait");
    scene.put("a.wasm", component(1));
    assert_eq!(scene.look(), ["a.wasm ready"]);
    scene.put("a.wasm", &component(2)[..100]);
    assert_eq!(scene.look(), ["a.wasm ready"]);
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(scene.look(), ["a.wasm ready!"]);
}

#[test]
fn a_quick_look_finds_the_plugins_to_be_compiled() {
    let scene = Scene::new(BRISK);
    scene.put("a.wasm", component(1));
    scene.put("b.wasm", "nonsense");
    let word = |effort| scene.snapshot(effort).folder().iter().map(|s| s.state.word()).collect::<Vec<_>>();
    assert_eq!(word(Effort::Quick), ["compiling", "broken"], "a file that is no component needs no compiler");
    let pipeline = || Pipeline::assemble(scene.snapshot(Effort::Quick).folder(), settings(Vec::new()), None);
    let before = pipeline();
    assert!(before.is_compiling());
    assert_eq!(word(Effort::Full), ["ready", "broken"]);
    let after = pipeline();
    assert!(!after.is_compiling() && !after.is_same(&before) && after.is_same(&pipeline()));
}

/// The state of a plugin that is not loaded yet, and the filter of the messages it holds.
fn unloaded(scene: &Scene) -> (&'static str, Option<crate::Filter>) {
    let snapshot = scene.catalog.snapshot(&scene.wanted());
    let status = &snapshot.folder()[0];
    (status.state.word(), status.sidecar.as_ref().map(|sidecar| sidecar.filter.clone()))
}

#[test]
fn a_new_component_is_compiling_at_once_with_its_present_sidecar() {
    let scene = Scene::looked();
    let only = |direction| Some(crate::Filter { direction: Some(direction), ..Default::default() });
    scene.put("a.toml", "direction = \"inbound\"");
    scene.put("a.wasm", component(1));
    assert_eq!(unloaded(&scene), ("compiling", only(Direction::Inbound)));
    scene.put("a.toml", "direction = \"outbound\"");
    assert_eq!(unloaded(&scene), ("compiling", only(Direction::Outbound)));
    scene.put("a.toml", "\0");
    assert_eq!(unloaded(&scene), ("compiling", None), "a plugin whose sidecar cannot be read applies to everything");
    scene.put("a.toml", "destination = \"/queue/a\"\nchannels = [\"nowhere\"]\ndeadline = 5\n");
    let (word, filter) = unloaded(&scene);
    let filter = filter.unwrap();
    assert_eq!((word, filter.destination), ("compiling", Some(vec!["/queue/a".to_owned()])));
    scene.put("a.toml", "enabled = false");
    assert!(scene.catalog.snapshot(&scene.wanted()).folder().is_empty());
    scene.put("a.toml", "");
    assert_eq!(scene.look(), ["a.wasm ready"]);
}

#[test]
fn a_component_that_comes_back_or_reinstalls_a_plugin_is_compiling() {
    let scene = Scene::looked();
    scene.put("a.wasm", component(1));
    scene.look();
    scene.take("a.wasm");
    assert_eq!(scene.look(), ["a.wasm missing"]);
    scene.put("a.wasm", component(2));
    assert_eq!(unloaded(&scene).0, "compiling");
    scene.put("a.toml", "enabled = false");
    assert_eq!(scene.look(), ["a.wasm disabled"]);
    scene.put("a.toml", "");
    assert_eq!(unloaded(&scene).0, "compiling");
    scene.put("a.toml", "enabled = false");
    assert_eq!(scene.look(), ["a.wasm disabled"]);
    scene.take("a.toml");
    scene.take("a.wasm");
    scene.put("a.removed", "ended");
    assert_eq!(scene.look(), ["a.wasm removed"]);
    scene.put("a.wasm", component(2));
    assert_eq!(unloaded(&scene).0, "compiling");
}

#[test]
fn a_replacement_that_is_not_loaded_yet_leaves_the_good_one_in_service() {
    let scene = Scene::looked();
    scene.put("a.wasm", component(1));
    assert_eq!(scene.look(), ["a.wasm ready"]);
    assert!(scene.catalog.snapshot(&scene.wanted()).folder()[0].loading.is_none());
    scene.put("a.wasm", component(2));
    let snapshot = scene.catalog.snapshot(&scene.wanted());
    assert_eq!((snapshot.folder()[0].state.word(), snapshot.folder()[0].loading.is_some()), ("ready", true));
    scene.look();
    assert!(scene.catalog.snapshot(&scene.wanted()).folder()[0].loading.is_none());
}

#[test]
fn a_component_that_is_deleted_before_it_was_loaded_leaves_nothing_behind() {
    let scene = Scene::looked();
    scene.put("a.wasm", component(1));
    let snapshot = scene.catalog.snapshot(&scene.wanted());
    let (stages, remembered) = crate::with_remembered(scene.folder.path(), snapshot.folder(), &[]);
    assert_eq!((stages.len(), remembered.len()), (1, 0));
    scene.take("a.wasm");
    assert!(scene.catalog.snapshot(&scene.wanted()).folder().is_empty());
}

#[test]
fn a_snapshot_is_current_until_a_file_is_added_or_a_plugin_that_does_not_serve_changes() {
    let scene = Scene::looked();
    scene.put("a.wasm", "nonsense");
    scene.look();
    let settled = || {
        let ago = std::process::Command::new("touch").args(["-d", "1 hour ago"]).arg(scene.folder.path()).status();
        assert!(ago.unwrap().success());
    };
    let wanted = scene.wanted();
    let version = scene.catalog.snapshot(&wanted).version;
    assert!(
        !scene.catalog.is_current(&wanted, version),
        "the folder changed too recently for its times to show the next change"
    );
    // The time of the last change of the inode cannot be set back.
    settled();
    std::thread::sleep(SETTLED);
    let version = scene.catalog.snapshot(&wanted).version;
    assert!(scene.catalog.is_current(&wanted, version) && !scene.catalog.is_current(&wanted, version + 1));
    fs::write(scene.folder.path().join("a.wasm"), component(1)).unwrap();
    assert!(!scene.catalog.is_current(&wanted, version), "a broken plugin changed in place");
    scene.look();
    let version = scene.catalog.snapshot(&wanted).version;
    scene.put("b.wasm", component(2));
    assert!(!scene.catalog.is_current(&wanted, version), "a file was added");
}

#[test]
fn a_broken_plugin_that_is_loaded_again_is_not_compiling_meanwhile() {
    let scene = Scene::new(Pace { patience: Duration::from_secs(60), again: Duration::ZERO, ..BRISK });
    scene.put("a.wasm", "nonsense");
    assert_eq!(scene.look(), ["a.wasm broken"], "at the first look nothing is waited for");
    assert_eq!(unloaded(&scene).0, "broken");
    assert_eq!(scene.look(), ["a.wasm broken"]);
}

#[test]
fn a_folder_that_cannot_be_trusted_changes_nothing() {
    use std::os::unix::fs::PermissionsExt as _;
    let scene = Scene::looked();
    scene.put("a.wasm", component(1));
    scene.look();
    fs::set_permissions(scene.folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    scene.put("b.wasm", component(2));
    assert_eq!(scene.look(), ["a.wasm ready"]);
    assert!(scene.snapshot(Effort::Full).unusable.is_some());
}

#[test]
fn a_listed_plugin_is_reloaded_as_well() {
    let scene = Scene::new(BRISK);
    let stage = NamedStage {
        name: scene.folder.path().join("a.wasm").to_string_lossy().into_owned(),
        settings: Some(Sidecar::default()),
    };
    let wanted = Wanted { folder: None, named: vec![stage.clone()], around: Surroundings::default() };
    let look = || {
        drop(scene.catalog.look(&wanted, Effort::Full));
        scene.catalog.look(&wanted, Effort::Full).named(&stage)
    };
    assert!(look().unanswering().unwrap().contains("or remove the plugin from the pipeline"));
    scene.put("a.wasm", component(1));
    assert_eq!(look().state, PluginState::Ready);
    scene.put("a.wasm", "nonsense");
    let kept = look();
    assert!(kept.serves() && kept.trouble().is_some());
    scene.take("a.wasm");
    assert_eq!(look().state, PluginState::Missing);
}

#[test]
fn a_plugin_that_changes_during_the_first_look_cannot_answer_until_the_next() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let scene = Scene::new(BRISK);
    scene.put("a.wasm", component(1));
    scene.put("b.wasm", component(2));
    let named = NamedStage { name: scene.folder.path().join("b.wasm").to_string_lossy().into_owned(), settings: None };
    let wanted = Wanted {
        folder: Some(scene.folder.path().to_owned()),
        named: vec![named.clone()],
        around: Surroundings::default(),
    };
    let looked = AtomicBool::new(false);
    let snapshot = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !looked.load(Ordering::Relaxed) {
                scene.put("b.toml", "");
            }
        });
        let snapshot = scene.catalog.look(&wanted, Effort::Full);
        looked.store(true, Ordering::Relaxed);
        snapshot
    });
    let unanswering: Vec<_> = snapshot.folder().iter().map(PluginStatus::unanswering).collect();
    assert_eq!(unanswering, [Some("was changed while it was loaded"); 2]);
    assert!(snapshot.named(&named).unanswering().is_some() && snapshot.unsettled && snapshot.soon.is_some());
    let snapshot = scene.catalog.look(&wanted, Effort::Full);
    assert!(snapshot.folder().iter().chain([&snapshot.named(&named)]).all(|status| status.unanswering().is_none()));
    assert!(!snapshot.unsettled);
}

#[test]
fn a_new_version_of_a_table_serves_and_a_bad_one_leaves_the_earlier_in_service() {
    let scene = Scene::looked();
    let file = scene.folder.path().join("sites.csv");
    let source = tables::TableSource { file: file.clone(), format: tables::Format::Csv, key: None };
    let mut wanted = scene.wanted();
    wanted.around.tables.insert("sites".to_owned(), source);
    scene.put("a.toml", "tables = [\"sites\"]\n");
    scene.put("a.wasm", component(1));
    // The state, what is wrong, and how many rows the plugin has.
    let look = || {
        drop(scene.catalog.look(&wanted, Effort::Full));
        let snapshot = scene.catalog.look(&wanted, Effort::Full);
        let status = &snapshot.folder()[0];
        let rows = status.resources.tables.first().map(|granted| granted.table.len());
        (status.reason.clone().unwrap_or_default(), status.serves(), rows)
    };
    let (reason, serves, _) = look();
    assert!(!serves && reason.starts_with("cannot use table \"sites\", cannot read "), "{reason}");
    fs::write(&file, "site,country\nA,UK\n").unwrap();
    assert_eq!(look(), (String::new(), true, Some(1)));
    let version = scene.catalog.look(&wanted, Effort::Full).version;
    fs::write(&file, "site,country\nA,UK\nB,DE\n").unwrap();
    assert_eq!(look(), (String::new(), true, Some(2)));
    assert_ne!(scene.catalog.look(&wanted, Effort::Full).version, version, "pipelines are built again");
    fs::write(&file, "site,country\nA,UK\nB\n").unwrap();
    let (reason, serves, rows) = look();
    assert!(reason.contains("sites.csv:3: the row has 1 fields"), "{reason}");
    assert_eq!((serves, rows), (true, Some(2)));
    fs::remove_file(&file).unwrap();
    let (reason, serves, rows) = look();
    assert!(reason.contains("cannot read "), "{reason}");
    assert_eq!((serves, rows), (true, Some(2)));
    fs::write(&file, "site,country\n").unwrap();
    assert_eq!(look(), (String::new(), true, Some(0)));
}

#[test]
fn a_listed_plugin_that_was_not_looked_at_cannot_answer() {
    let stage = NamedStage { name: "/p/a.wasm".to_owned(), settings: None };
    assert!(Snapshot::default().named(&stage).unanswering().is_some());
}

#[test]
fn a_sidecar_that_is_gone_for_a_moment_is_waited_for() {
    let scene = Scene::new(Pace { vanished: Duration::from_millis(300), ..BRISK });
    scene.put("a.wasm", component(1));
    scene.put("a.toml", "direction = \"inbound\"");
    scene.look();
    scene.take("a.toml");
    assert_eq!(scene.look(), ["a.wasm ready"]);
    assert!(scene.snapshot(Effort::Full).soon.is_some());
    scene.put("a.toml", "direction = \"outbound\"");
    assert_eq!(scene.look(), ["a.wasm ready"]);
    let sidecar = scene.snapshot(Effort::Full).folder()[0].sidecar.clone().unwrap();
    assert_eq!(sidecar.filter.direction, Some(Direction::Outbound));
}

#[test]
fn a_plugin_whose_sidecar_is_gone_serves_on_with_its_settings_and_does_not_start_without_them() {
    let scene = Scene::looked();
    scene.put("a.wasm", component(1));
    scene.put("a.toml", "direction = \"inbound\"");
    scene.look();
    let first = scene.serving();
    scene.take("a.toml");
    scene.put("a.wasm", component(2));
    assert_eq!(scene.look(), ["a.wasm ready!"]);
    assert_eq!(scene.serving(), first);
    let sidecar = scene.snapshot(Effort::Full).folder()[0].sidecar.clone().unwrap();
    assert_eq!(sidecar.filter.direction, Some(Direction::Inbound));
    scene.take("a.wasm");
    assert_eq!(scene.look(), ["a.wasm missing"]);
    scene.put("a.wasm", component(1));
    assert_eq!(scene.look(), ["a.wasm broken"]);
    scene.put("a.toml", "");
    assert_eq!(scene.look(), ["a.wasm ready"]);
}

#[test]
fn a_broken_plugin_is_loaded_again_after_a_while_with_the_same_files() {
    let broken = || PluginStatus::broken("a.wasm".to_owned(), None, "is not adopted".to_owned());
    let loaded_again = |status: PluginStatus, pace: Pace| {
        let mut entry = Entry::new("a.wasm".to_owned(), Origin::Folder, true);
        entry.take(status);
        entry.retry_broken(&pace, Instant::now());
        !entry.is_loaded()
    };
    assert!(!loaded_again(broken(), BRISK));
    let at_once = Pace { again: Duration::ZERO, ..BRISK };
    assert!(loaded_again(broken(), at_once));
    assert!(!loaded_again(PluginStatus::new("a.wasm".to_owned(), PluginState::Disabled), at_once));
}

#[test]
fn an_error_is_logged_once_and_again_after_the_plugin_was_uninstalled() {
    let scene = Scene::looked();
    let reported = || {
        scene.catalog.report(&scene.snapshot(Effort::Full));
        locked(&scene.catalog.reported).len()
    };
    scene.put("a.wasm", "nonsense");
    scene.look();
    assert_eq!(reported(), 1);
    scene.catalog.report_waiting("central", &scene.snapshot(Effort::Full).folder()[0]);
    assert_eq!(reported(), 1, "the error of the plugin itself was logged");
    scene.take("a.wasm");
    scene.put("a.removed", "ended");
    scene.look();
    assert_eq!(reported(), 0);
}

#[test]
fn an_error_of_one_channel_stays_logged_while_the_catalog_finds_nothing_wrong() {
    let scene = Scene::looked();
    scene.put("a.wasm", component(1));
    scene.look();
    let missed = PluginStatus {
        state: PluginState::Missing,
        component: None,
        reason: Some("is missing".to_owned()),
        ..scene.snapshot(Effort::Full).folder()[0].clone()
    };
    let reported = |status: &PluginStatus| {
        scene.catalog.report(&scene.snapshot(Effort::Full));
        let before = locked(&scene.catalog.reported).len();
        scene.catalog.report_waiting("central", status);
        (before, locked(&scene.catalog.reported).len())
    };
    assert_eq!(reported(&missed), (0, 1));
    assert_eq!(reported(&missed), (1, 1));
    assert_eq!(reported(&scene.snapshot(Effort::Full).folder()[0]), (1, 0));
}

#[test]
fn a_plugin_is_withdrawn_when_its_signer_is_no_longer_accepted() {
    const SIGNER: &str = "/C=UK/O=Sesame/CN=plugins.example.org";
    let home = tempfile::tempdir().unwrap();
    let authority = Authority::root(&Request::authority("/C=UK/O=Sesame/CN=Test CA")).unwrap();
    let anchors = Directory::create(home.path().join("anchors")).unwrap();
    anchors.add_authority(&authority.own.certificate).unwrap();
    let signer = authority.issue(&Request { key: KeyKind::P256, ..Request::host(SIGNER) }).unwrap();
    let list = |text: &str| fs::write(home.path().join("signers"), text).unwrap();
    let settings = ProvenanceSettings {
        trust: TrustSettings::new(anchors.path()),
        signers: home.path().join("signers"),
        required: true,
        adopted: home.path().join("adopted"),
    };
    let plugins = Plugins::start_checked(CompileSettings::default(), settings).unwrap();
    let pace = Pace { again: Duration::ZERO, ..BRISK };
    let scene = Scene { folder: tempfile::tempdir().unwrap(), catalog: Catalog { pace, ..Catalog::new(plugins) } };
    let (certificate, key) = signer.write(home.path(), "signer").unwrap();
    let signature = sign_detached(&Credential::load(&certificate, &key).unwrap(), &component(1)).unwrap();
    list(SIGNER);
    scene.put("a.wasm", component(1));
    scene.put("a.wasm.p7s", signature);
    assert_eq!(scene.look(), ["a.wasm ready"]);
    fs::remove_file(home.path().join("signers")).unwrap();
    assert_eq!(scene.look(), ["a.wasm ready"], "a list that cannot be read says nothing about the signer");
    list("/C=UK/O=Sesame/CN=another.example.org");
    assert_eq!(scene.look(), ["a.wasm broken"]);
    let snapshot = scene.snapshot(Effort::Quick);
    assert!(snapshot.folder()[0].unanswering().unwrap().contains("who is not in "), "{snapshot:?}");
    list(SIGNER);
    assert_eq!(scene.look(), ["a.wasm ready"]);
    let crl = authority.crl(&[&signer.certificate], &CrlRequest::default()).unwrap();
    anchors.add_crl(&authority.own.certificate, &crl).unwrap();
    assert_eq!(scene.look(), ["a.wasm broken"]);
}

/// The sidecar names an unknown channel, is wrong otherwise, and is for one destination.
const FOR_ONE_DESTINATION: [&str; 2] = [
    "destination = \"/queue/a\"\nchannels = [\"nope\"]",
    "destination = \"/queue/a\"\nchannels = [\"nope\"]\ndeadline = 5",
];

fn answers(pipeline: &Pipeline, destination: &str) -> bool {
    let input = crate::Input {
        message_id: &message::MessageId::parse("m/1").unwrap(),
        destination,
        content_type: None,
        signer: None,
        received_at: 0,
        attempt: 1,
        transport_headers: &[],
        properties: &[],
    };
    matches!(pipeline.run(&input, b"x"), crate::Outcome::Pass { .. })
}

#[test]
fn a_sidecar_with_an_unknown_channel_holds_the_messages_of_its_destination_and_no_others() {
    for sidecar in FOR_ONE_DESTINATION {
        let scene = Scene::new(BRISK);
        scene.put("a.wasm", component(1));
        scene.put("a.toml", sidecar);
        let of_daemon = Pipeline::assemble(scene.snapshot(Effort::Full).folder(), settings(Vec::new()), None);
        let stages = crate::read_folder(scene.folder.path()).unwrap();
        let of_command = Pipeline::load(&scene.catalog.plugins, settings(stages)).unwrap();
        for (pipeline, path) in [(of_daemon, "daemon"), (of_command, "command")] {
            let found = (answers(&pipeline, "/queue/a"), answers(&pipeline, "/queue/b"));
            assert_eq!(found, (false, true), "{path}: {sidecar}");
        }
    }
}
