//! A disk without room or inodes under both sites, few file descriptors, and processes that stand still: for a while, and then
//! all is as before. Neither program is started again.

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
    rows.push(in_process(
        "few file descriptors",
        plan,
        |child| limit_files(child, 12),
        |child| limit_files(child, 4096),
    ));
    rows.push(in_process(
        "stopped by a signal",
        plan,
        |child| child.signal(Signal::STOP),
        |child| child.signal(Signal::CONT),
    ));
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
    struck(what, Scene::within(&image.path()), plan.cases(1, 20), |_, _| {
        let taken = ballast(&image.path(), random.u64(0..40));
        std::thread::sleep(LASTS);
        drop(taken);
    })
}

fn in_process(what: &str, plan: Plan, strike: fn(&Child), undo: fn(&Child)) -> Row {
    struck(what, Scene::new(SEND, RECEIVE), plan.cases(2, 20), |number, programs| {
        let program = &programs[number as usize % 2];
        strike(program);
        std::thread::sleep(LASTS);
        undo(program);
    })
}

/// Each case begins when the first message has come: the fault, which is over when `fault` returns, and the account.
fn struck(what: &str, mut scene: Scene, cases: u32, mut fault: impl FnMut(u32, &[Child; 2])) -> Row {
    let mut row = Row::new(format!("{what}, for {} s", LASTS.as_secs()));
    for number in 0..cases {
        let workload = scene.fill(MESSAGES, SIZE);
        let mut programs = [scene.receive(), scene.send()];
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
