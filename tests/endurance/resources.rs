//! A disk without room or inodes under both sites, few file descriptors, processes that stand still, and clocks that jump: for a
//! while, and then all is as before. A disk that is slow stays so. Neither program is started again.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, prlimit};

use crate::Plan;
use crate::harness::Child;
use crate::harness::patience::within;
use crate::image::{FileSystem, Image};
use crate::queues;
use crate::scene::{RECEIVE, SEND, Scene};
use crate::table::Row;

const MESSAGES: u32 = 60;
const SIZE: usize = 4_000;
/// How long a fault lasts.
const LASTS: Duration = Duration::from_secs(2);

pub(crate) fn strike(plan: Plan) -> Vec<Row> {
    let mut rows = vec![
        on_disk("no room, file system in memory", FileSystem::Memory { inodes: 100_000 }, Ballast::bytes, plan),
        on_disk("no inodes, file system in memory", FileSystem::Memory { inodes: 1_200 }, Ballast::files, plan),
        on_disk("no room, ext4", FileSystem::Ext4, Ballast::bytes, plan),
    ];
    rows.push(few_files(plan));
    rows.push(in_process(
        "stopped by a signal",
        plan,
        |child| child.signal(Signal::STOP),
        |child| child.signal(Signal::CONT),
    ));
    rows.push(slow_disk(plan));
    rows.push(clock(plan));
    rows
}

/// What takes the room of a disk until it is dropped.
#[derive(Debug)]
pub(crate) struct Ballast(PathBuf);

impl Ballast {
    /// Takes all bytes but few.
    pub(crate) fn bytes(top: &Path, spared: u64) -> Self {
        let folder = Self::folder(top);
        let mut file = File::create(folder.0.join("bytes")).unwrap();
        let stat = rustix::fs::statvfs(top).unwrap();
        let mut wanted = (stat.f_bavail * stat.f_frsize).saturating_sub(spared << 10);
        let piece = vec![b'x'; 4096];
        // What is left over when the programs took some meanwhile is theirs.
        while wanted >= 4096 && file.write_all(&piece).is_ok() {
            wanted -= 4096;
        }
        folder
    }

    /// Takes all inodes but few.
    fn files(top: &Path, spared: u64) -> Self {
        let folder = Self::folder(top);
        let left = rustix::fs::statvfs(top).unwrap().f_favail;
        for number in 0..left.saturating_sub(spared) {
            if File::create(folder.0.join(number.to_string())).is_err() {
                break;
            }
        }
        folder
    }

    fn folder(top: &Path) -> Self {
        let folder = top.join("ballast");
        std::fs::create_dir(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn on_disk(what: &str, kind: FileSystem, ballast: fn(&Path, u64) -> Ballast, plan: Plan) -> Row {
    let image = Image::mounted(kind, 24);
    let mut random = plan.random();
    struck(what, Scene::within(&image.path()), plan.cases(1, 20), Scene::start, |_, _| {
        let taken = ballast(&image.path(), random.u64(0..40));
        std::thread::sleep(LASTS);
        drop(taken);
    })
}

/// Each program says in its log that a call failed for want of a descriptor.
fn few_files(plan: Plan) -> Row {
    let mut unmet = Vec::new();
    let cases = plan.cases(2, 20);
    let mut row = struck("few file descriptors", Scene::new(SEND, RECEIVE), cases, Scene::start, |number, programs| {
        let program = &programs[number as usize % 2];
        limit_files(program, 12);
        let met = within(LASTS * 5, || program.log().to_lowercase().contains("too many open files").then_some(()));
        std::thread::sleep(LASTS);
        limit_files(program, 4096);
        if met.is_none() {
            unmet.push(format!("case {number}: no call failed:\n{}", program.last_words()));
        }
    });
    row.figure(format!(
        "in {} of {cases} cases the log says that a call failed with EMFILE",
        cases as usize - unmet.len()
    ));
    unmet.into_iter().for_each(|text| row.fault(text));
    row
}

/// Each sync takes more than twice the time between two heart-beats; no session ends for that.
fn slow_disk(plan: Plan) -> Row {
    const SYNC: u32 = 1_200_000;
    let mut row = Row::new(format!("slow disk, {} ms for each sync", SYNC / 1_000));
    let mut scene = Scene::with("heart-beat = \"500ms\"\n", ("", ""));
    scene.broker.script(|script| script.heart_beat = (500, 500));
    let inject = format!("inject=fsync,fdatasync,syncfs:delay_exit={SYNC}");
    let log = scene.pair.sender.folder.join("syncs").display().to_string();
    for number in 0..plan.cases(1, 10) {
        let workload = scene.fill(MESSAGES, SIZE);
        let words = [
            "strace",
            "-f",
            "--seccomp-bpf",
            "-qq",
            "-A",
            "-o",
            &log,
            "-e",
            "trace=fsync,fdatasync,syncfs",
            "-e",
            &inject,
        ];
        drop(std::fs::remove_file(&log));
        let before = scene.broker.counters();
        let mut programs = scene.start_by(&words);
        let outcome = scene.account(&workload);
        let after = scene.broker.counters();
        let case = format!("case {number}");
        let syncs = std::fs::read_to_string(&log).unwrap_or_default().matches("(DELAYED)").count();
        row.count(&case, syncs > 0, &outcome);
        must_run(&mut row, &case, &mut programs);
        let (sessions, beats) = (after.sessions - before.sessions, after.heart_beats - before.heart_beats);
        row.figure(format!("{case}: {syncs} slow syncs, {sessions} sessions, {beats} heart-beats"));
        if sessions != 2 || beats == 0 {
            row.fault(format!("{case}: {sessions} sessions instead of one of each side, {beats} heart-beats"));
        }
    }
    row
}

/// The clock of the sender goes back by a day, to before its certificate is valid, and that of the receiver forward.
fn clock(plan: Plan) -> Row {
    let scene = Scene::new(SEND, RECEIVE);
    let files = ["sender-clock", "receiver-clock"].map(|name| scene.pair.sender.folder.join(name));
    let set = |file: &Path, offset: &str| {
        std::fs::write(file.with_extension("new"), offset).unwrap();
        std::fs::rename(file.with_extension("new"), file).unwrap();
    };
    files.iter().for_each(|file| set(file, "+0"));
    let start = |scene: &Scene| {
        let words = [1, 0].map(|side: usize| {
            let file = format!("FAKETIME_TIMESTAMP_FILE={}", files[side].display());
            let library = "LD_PRELOAD=/usr/$LIB/faketime/libfaketimeMT.so.1".to_owned();
            ["env".to_owned(), library, file, "FAKETIME_NO_CACHE=1".into(), "FAKETIME_DONT_FAKE_MONOTONIC=1".into()]
        });
        let words = words.each_ref().map(|words| words.each_ref().map(String::as_str));
        [
            scene.pair.receiver.start_by(&words[0], &["receive"]),
            scene.pair.sender.start_by(&words[1], &["send", "--watch"]),
        ]
    };
    let mut unmet = Vec::new();
    let mut row = struck("clock of one side a day off", scene, plan.cases(2, 20), start, |number, programs| {
        let side = number as usize % 2;
        set(&files[side], ["-86400", "+86400"][side]);
        std::thread::sleep(LASTS);
        if side == 0 && !programs[1].log().contains("no message can be sealed") {
            unmet.push(format!("case {number}: the sender does not notice:\n{}", programs[1].last_words()));
        }
        set(&files[side], "+0");
    });
    unmet.into_iter().for_each(|text| row.fault(text));
    row
}

fn in_process(what: &str, plan: Plan, strike: fn(&Child), undo: fn(&Child)) -> Row {
    struck(what, Scene::new(SEND, RECEIVE), plan.cases(2, 20), Scene::start, |number, programs| {
        let program = &programs[number as usize % 2];
        strike(program);
        std::thread::sleep(LASTS);
        undo(program);
    })
}

/// Each case begins when the first message has come: the fault, which is over when `fault` returns, and the account.
/// `start` starts the receiver and the sender.
fn struck(
    what: &str,
    mut scene: Scene,
    cases: u32,
    start: impl Fn(&Scene) -> [Child; 2],
    mut fault: impl FnMut(u32, &[Child; 2]),
) -> Row {
    let mut row = Row::new(format!("{what}, for {} s", LASTS.as_secs()));
    for number in 0..cases {
        let workload = scene.fill(MESSAGES, SIZE);
        let mut programs = start(&scene);
        let _ = within(Duration::from_secs(20), || (queues::count(&scene.pair.incoming()) > 0).then_some(()));
        let early = !scene.is_settled(workload.len());
        fault(number, &programs);
        let outcome = scene.account(&workload);
        row.count(&format!("case {number}"), early, &outcome);
        must_run(&mut row, &format!("case {number}"), &mut programs);
    }
    row
}

/// Lets a process have so many files open, from now on.
fn limit_files(child: &Child, most: u64) {
    let limit = Rlimit { current: Some(most), maximum: Some(4096) };
    prlimit(Some(child.pid()), Resource::Nofile, limit).unwrap();
}

/// Both programs are to have lived through it.
pub(crate) fn must_run(row: &mut Row, when: &str, programs: &mut [Child; 2]) {
    for program in programs {
        if let Some(status) = program.ended() {
            row.fault(format!("{when}: ended with {status}:\n{}", program.last_words()));
        }
    }
}
