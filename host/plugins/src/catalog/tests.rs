//! Files come and go; the stock plugin serves as a good component, with a custom section at its end where another is wanted.

use std::fs;
use std::time::Duration;

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
    shelf: Shelf,
}

/// A good component; each number is another.
fn component(number: u8) -> Vec<u8> {
    let mut bytes = crate::component::builtin::find("passthrough").unwrap().to_vec();
    bytes.extend([0, 3, 1, b'x', number]);
    bytes
}

impl Scene {
    fn new(pace: Pace) -> Self {
        let plugins = Plugins::start(CompileSettings::default()).unwrap();
        Self { folder: tempfile::tempdir().unwrap(), shelf: Shelf { pace, ..Shelf::new(plugins) } }
    }

    /// One that has looked at its empty folder already.
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
        Wanted { folder, named: Vec::new(), channels: vec!["central".to_owned()] }
    }

    fn stand(&self, effort: Effort) -> Stand {
        self.shelf.look(&self.wanted(), effort)
    }

    /// `NAME state`, with a `!` where the file that lies there is no good.
    fn look(&self) -> Vec<String> {
        // What was found bad is acted on at the next look.
        drop(self.stand(Effort::Full));
        let stand = self.stand(Effort::Full);
        let word =
            |s: &Standing| format!("{} {}{}", s.name, s.condition.word(), s.trouble.as_ref().map_or("", |_| "!"));
        stand.folder().iter().map(word).collect()
    }

    /// The component that serves as a.wasm.
    fn serving(&self) -> [u8; 32] {
        match &self.stand(Effort::Full).folder()[0].condition {
            Condition::Ready(loaded) => loaded.sha256,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_file_that_is_dropped_in_and_replaced_serves() {
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
fn a_bad_component_or_side_car_leaves_the_good_one_in_service_as_it_was() {
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
        let side_car = scene.stand(Effort::Full).folder()[0].side_car.clone().unwrap();
        assert_eq!(side_car.filter.direction, Some(Direction::Inbound));
    }
    scene.put("a.wasm", component(2));
    scene.put("a.toml", "");
    assert_eq!(scene.look(), ["a.wasm ready"]);
    assert_ne!(scene.serving(), first);
}

#[test]
fn a_new_file_that_is_no_good_is_a_stage_that_cannot_answer() {
    let scene = Scene::looked();
    scene.put("a.wasm", "nonsense");
    assert_eq!(scene.look(), ["a.wasm broken"]);
    scene.take("a.wasm");
    assert_eq!(scene.look(), ["a.wasm missing"]);
    scene.put("a.wasm", component(1));
    assert_eq!(scene.look(), ["a.wasm ready"]);
}

#[test]
fn a_stage_ends_by_a_tombstone_or_its_side_car_and_not_by_going() {
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
    assert!(scene.stand(Effort::Full).soon.is_some());
    scene.put("b.wasm", component(3));
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(scene.look(), ["a.wasm ready", "b.wasm ready"]);
    assert_ne!(scene.serving(), first);
}

#[test]
fn nothing_is_said_at_once_of_a_file_that_may_become_good() {
    let scene = Scene::new(Pace { patience: Duration::from_millis(300), ..BRISK });
    scene.look();
    scene.put("a.wasm", &component(1)[..100]);
    assert_eq!(scene.look(), ["a.wasm compiling"], "what it should see waits");
    scene.put("a.wasm", component(1));
    assert_eq!(scene.look(), ["a.wasm ready"]);
    scene.put("a.wasm", &component(2)[..100]);
    assert_eq!(scene.look(), ["a.wasm ready"]);
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(scene.look(), ["a.wasm ready!"]);
}

#[test]
fn a_quick_look_finds_what_has_to_be_compiled() {
    let scene = Scene::new(BRISK);
    scene.put("a.wasm", component(1));
    scene.put("b.wasm", "nonsense");
    let word = |effort| scene.stand(effort).folder().iter().map(|s| s.condition.word()).collect::<Vec<_>>();
    assert_eq!(word(Effort::Quick), ["compiling", "broken"], "what is no component needs no compiler");
    let pipeline = || {
        let settings = PipelineSettings {
            stages: Vec::new(),
            channel: "central".to_owned(),
            channels: vec!["central".to_owned()],
            direction: Direction::Inbound,
            routes: Vec::new(),
            max_payload: 1 << 20,
            total_time: crate::TOTAL_TIME,
        };
        Pipeline::assemble(scene.stand(Effort::Quick).folder(), settings, None)
    };
    let before = pipeline();
    assert!(before.is_compiling());
    assert_eq!(word(Effort::Full), ["ready", "broken"]);
    let after = pipeline();
    assert!(!after.is_compiling() && !after.is_same(&before) && after.is_same(&pipeline()));
}

/// The filter with which a stage that is not judged yet holds messages back, and whether it is compiling.
fn glanced(scene: &Scene) -> (&'static str, Option<crate::Filter>) {
    let stand = scene.shelf.glance(&scene.wanted());
    let standing = &stand.folder()[0];
    (standing.condition.word(), standing.side_car.as_ref().map(|side_car| side_car.filter.clone()))
}

#[test]
fn a_new_component_is_compiling_from_the_moment_it_is_there_with_its_side_car_as_it_reads_now() {
    let scene = Scene::looked();
    let only = |direction| Some(crate::Filter { direction: Some(direction), ..Default::default() });
    scene.put("a.toml", "direction = \"inbound\"");
    scene.put("a.wasm", component(1));
    assert_eq!(glanced(&scene), ("compiling", only(Direction::Inbound)));
    scene.put("a.toml", "direction = \"outbound\"");
    assert_eq!(glanced(&scene), ("compiling", only(Direction::Outbound)));
    scene.put("a.toml", "\0");
    assert_eq!(glanced(&scene), ("compiling", None), "one that cannot be read applies to everything");
    scene.put("a.toml", "destination = \"/queue/a\"\nchannels = [\"nowhere\"]\ndeadline = 5\n");
    let (word, filter) = glanced(&scene);
    let filter = filter.unwrap();
    assert_eq!((word, filter.destination), ("compiling", Some(vec!["/queue/a".to_owned()])));
    scene.put("a.toml", "enabled = false");
    assert!(scene.shelf.glance(&scene.wanted()).folder().is_empty());
    scene.put("a.toml", "");
    assert_eq!(scene.look(), ["a.wasm ready"]);
}

#[test]
fn a_component_that_is_back_or_begins_an_ended_stage_again_is_compiling() {
    let scene = Scene::looked();
    scene.put("a.wasm", component(1));
    scene.look();
    scene.take("a.wasm");
    assert_eq!(scene.look(), ["a.wasm missing"]);
    scene.put("a.wasm", component(2));
    assert_eq!(glanced(&scene).0, "compiling");
    scene.put("a.toml", "enabled = false");
    assert_eq!(scene.look(), ["a.wasm disabled"]);
    scene.put("a.toml", "");
    assert_eq!(glanced(&scene).0, "compiling");
    scene.put("a.toml", "enabled = false");
    assert_eq!(scene.look(), ["a.wasm disabled"]);
    scene.take("a.toml");
    scene.take("a.wasm");
    scene.put("a.removed", "ended");
    assert_eq!(scene.look(), ["a.wasm removed"]);
    scene.put("a.wasm", component(2));
    assert_eq!(glanced(&scene).0, "compiling");
}

#[test]
fn a_replacement_that_is_not_judged_yet_leaves_the_good_one_in_service_and_says_since_when() {
    let scene = Scene::looked();
    scene.put("a.wasm", component(1));
    assert_eq!(scene.look(), ["a.wasm ready"]);
    assert!(scene.shelf.glance(&scene.wanted()).folder()[0].loading.is_none());
    scene.put("a.wasm", component(2));
    let stand = scene.shelf.glance(&scene.wanted());
    assert_eq!((stand.folder()[0].condition.word(), stand.folder()[0].loading.is_some()), ("ready", true));
    scene.look();
    assert!(scene.shelf.glance(&scene.wanted()).folder()[0].loading.is_none());
}

#[test]
fn a_component_that_goes_before_it_was_judged_leaves_nothing_behind() {
    let scene = Scene::looked();
    scene.put("a.wasm", component(1));
    let stand = scene.shelf.glance(&scene.wanted());
    let (stages, remembered) = crate::roster(scene.folder.path(), stand.folder(), &[]);
    assert_eq!((stages.len(), remembered.len()), (1, 0));
    scene.take("a.wasm");
    assert!(scene.shelf.glance(&scene.wanted()).folder().is_empty());
}

#[test]
fn a_state_of_the_shelf_is_current_until_a_name_comes_or_a_stage_that_does_not_serve_changes() {
    let scene = Scene::looked();
    scene.put("a.wasm", "nonsense");
    scene.look();
    let settled = || {
        let ago = std::process::Command::new("touch").args(["-d", "1 hour ago"]).arg(scene.folder.path()).status();
        assert!(ago.unwrap().success());
    };
    let wanted = scene.wanted();
    let version = scene.shelf.glance(&wanted).version;
    assert!(!scene.shelf.is_current(&wanted, version), "the folder has changed too lately to tell by its times");
    // The time of the last change of the inode cannot be set back.
    settled();
    std::thread::sleep(SETTLED);
    let version = scene.shelf.glance(&wanted).version;
    assert!(scene.shelf.is_current(&wanted, version) && !scene.shelf.is_current(&wanted, version + 1));
    fs::write(scene.folder.path().join("a.wasm"), component(1)).unwrap();
    assert!(!scene.shelf.is_current(&wanted, version), "a broken stage changed where it lies");
    scene.look();
    let version = scene.shelf.glance(&wanted).version;
    assert!(scene.shelf.is_current(&wanted, version));
    scene.put("b.wasm", component(2));
    assert!(!scene.shelf.is_current(&wanted, version), "a name came");
}

#[test]
fn a_broken_stage_that_is_judged_again_is_not_compiling_meanwhile() {
    let scene = Scene::new(Pace { patience: Duration::from_secs(60), again: Duration::ZERO, ..BRISK });
    scene.put("a.wasm", "nonsense");
    assert_eq!(scene.look(), ["a.wasm broken"], "at the first look nothing is waited for");
    assert_eq!(glanced(&scene).0, "broken");
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
    assert!(scene.stand(Effort::Full).unusable.is_some());
}

#[test]
fn a_listed_stage_is_reloaded_as_well() {
    let scene = Scene::new(BRISK);
    let stage = NamedStage {
        name: scene.folder.path().join("a.wasm").to_string_lossy().into_owned(),
        settings: Some(SideCar::default()),
    };
    let wanted = Wanted { folder: None, named: vec![stage.clone()], channels: Vec::new() };
    let look = || {
        drop(scene.shelf.look(&wanted, Effort::Full));
        scene.shelf.look(&wanted, Effort::Full).named(&stage)
    };
    assert!(look().unanswering().unwrap().contains("take it out of the pipeline"));
    scene.put("a.wasm", component(1));
    assert!(matches!(look().condition, Condition::Ready(_)));
    scene.put("a.wasm", "nonsense");
    let kept = look();
    assert!(matches!(kept.condition, Condition::Ready(_)) && kept.trouble.is_some());
    scene.take("a.wasm");
    assert!(matches!(look().condition, Condition::Missing(_)));
}

#[test]
fn what_changes_during_the_first_look_cannot_answer_until_the_next() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let scene = Scene::new(BRISK);
    scene.put("a.wasm", component(1));
    scene.put("b.wasm", component(2));
    let named = NamedStage { name: scene.folder.path().join("b.wasm").to_string_lossy().into_owned(), settings: None };
    let wanted = Wanted { folder: Some(scene.folder.path().to_owned()), named: vec![named.clone()], channels: vec![] };
    let looked = AtomicBool::new(false);
    let stand = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !looked.load(Ordering::Relaxed) {
                scene.put("b.toml", "");
            }
        });
        let stand = scene.shelf.look(&wanted, Effort::Full);
        looked.store(true, Ordering::Relaxed);
        stand
    });
    let unanswering: Vec<_> = stand.folder().iter().map(Standing::unanswering).collect();
    assert_eq!(unanswering, [Some("was changed while it was being loaded"); 2]);
    assert!(stand.named(&named).unanswering().is_some() && stand.unsettled && stand.soon.is_some());
    let stand = scene.shelf.look(&wanted, Effort::Full);
    assert!(stand.folder().iter().chain([&stand.named(&named)]).all(|standing| standing.unanswering().is_none()));
    assert!(!stand.unsettled);
}

#[test]
fn a_listed_stage_that_was_not_looked_at_cannot_answer() {
    let stage = NamedStage { name: "/p/a.wasm".to_owned(), settings: None };
    assert!(Stand::default().named(&stage).unanswering().is_some());
}

#[test]
fn a_side_car_that_is_gone_for_a_moment_is_waited_for() {
    let scene = Scene::new(Pace { vanished: Duration::from_millis(300), ..BRISK });
    scene.put("a.wasm", component(1));
    scene.put("a.toml", "direction = \"inbound\"");
    scene.look();
    scene.take("a.toml");
    assert_eq!(scene.look(), ["a.wasm ready"]);
    assert!(scene.stand(Effort::Full).soon.is_some());
    scene.put("a.toml", "direction = \"outbound\"");
    assert_eq!(scene.look(), ["a.wasm ready"]);
    let side_car = scene.stand(Effort::Full).folder()[0].side_car.clone().unwrap();
    assert_eq!(side_car.filter.direction, Some(Direction::Outbound));
}

#[test]
fn a_stage_whose_side_car_is_gone_serves_on_with_its_settings_and_does_not_begin_without_them() {
    let scene = Scene::looked();
    scene.put("a.wasm", component(1));
    scene.put("a.toml", "direction = \"inbound\"");
    scene.look();
    let first = scene.serving();
    scene.take("a.toml");
    scene.put("a.wasm", component(2));
    assert_eq!(scene.look(), ["a.wasm ready!"]);
    assert_eq!(scene.serving(), first);
    let side_car = scene.stand(Effort::Full).folder()[0].side_car.clone().unwrap();
    assert_eq!(side_car.filter.direction, Some(Direction::Inbound));
    scene.take("a.wasm");
    assert_eq!(scene.look(), ["a.wasm missing"]);
    scene.put("a.wasm", component(1));
    assert_eq!(scene.look(), ["a.wasm broken"]);
    scene.put("a.toml", "");
    assert_eq!(scene.look(), ["a.wasm ready"]);
}

#[test]
fn what_is_no_good_is_judged_again_after_a_while_though_its_files_stay() {
    let broken = || Verdict::Broken { side_car: None, reason: "is not adopted".to_owned(), tombstone: None };
    let judged_again = |verdict: Verdict, pace: Pace| {
        let mut slot = Slot::new("a.wasm".to_owned(), false, true);
        slot.take(verdict);
        slot.doubt_what_is_bad(&pace, Instant::now());
        !slot.is_judged()
    };
    assert!(!judged_again(broken(), BRISK));
    let at_once = Pace { again: Duration::ZERO, ..BRISK };
    assert!(judged_again(broken(), at_once));
    assert!(!judged_again(Verdict::Disabled, at_once));
}

#[test]
fn what_is_wrong_is_said_once_and_again_after_the_stage_ended() {
    let scene = Scene::looked();
    let said = || {
        scene.shelf.report(&scene.stand(Effort::Full));
        locked(&scene.shelf.said).len()
    };
    scene.put("a.wasm", "nonsense");
    scene.look();
    assert_eq!(said(), 1);
    scene.shelf.say_waiting("central", &scene.stand(Effort::Full).folder()[0]);
    assert_eq!(said(), 1, "of the stage it is said already");
    scene.take("a.wasm");
    scene.put("a.removed", "ended");
    scene.look();
    assert_eq!(said(), 0);
}

#[test]
fn what_only_a_channel_misses_stays_said_while_the_shelf_finds_nothing_wrong() {
    let scene = Scene::looked();
    scene.put("a.wasm", component(1));
    scene.look();
    let missed = Standing {
        condition: Condition::Missing("is missing".to_owned()),
        ..scene.stand(Effort::Full).folder()[0].clone()
    };
    let said = |standing: &Standing| {
        scene.shelf.report(&scene.stand(Effort::Full));
        let before = locked(&scene.shelf.said).len();
        scene.shelf.say_waiting("central", standing);
        (before, locked(&scene.shelf.said).len())
    };
    assert_eq!(said(&missed), (0, 1));
    assert_eq!(said(&missed), (1, 1));
    assert_eq!(said(&scene.stand(Effort::Full).folder()[0]), (1, 0));
}

#[test]
fn a_plugin_ends_when_nobody_vouches_for_it_any_more() {
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
    let scene = Scene { folder: tempfile::tempdir().unwrap(), shelf: Shelf { pace, ..Shelf::new(plugins) } };
    let (certificate, key) = signer.write(home.path(), "signer").unwrap();
    let signature = sign_detached(&Credential::load(&certificate, &key).unwrap(), &component(1)).unwrap();
    list(SIGNER);
    scene.put("a.wasm", component(1));
    scene.put("a.wasm.p7s", signature);
    assert_eq!(scene.look(), ["a.wasm ready"]);
    fs::remove_file(home.path().join("signers")).unwrap();
    assert_eq!(scene.look(), ["a.wasm ready"], "a list that cannot be read says nothing of him");
    list("/C=UK/O=Sesame/CN=somebody.example.org");
    assert_eq!(scene.look(), ["a.wasm broken"]);
    let stand = scene.stand(Effort::Quick);
    assert!(stand.folder()[0].unanswering().unwrap().contains("who is not in "), "{stand:?}");
    list(SIGNER);
    assert_eq!(scene.look(), ["a.wasm ready"]);
    let crl = authority.crl(&[&signer.certificate], &CrlRequest::default()).unwrap();
    anchors.add_crl(&authority.own.certificate, &crl).unwrap();
    assert_eq!(scene.look(), ["a.wasm broken"]);
}
