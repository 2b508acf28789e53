//! Power cuts: both sites, with spools and journals, lie on one image, which stops in mid-flow and keeps only what was forced to
//! its disk. Both programs are killed after the cut, the image is mounted again, which replays its log, and both start again on
//! what is left. Every second time they are cut off once more while they recover.
//!
//! The broker goes on: what it holds and what was confirmed to it must fit what the disk kept.

use std::time::{Duration, Instant};

use crate::Plan;
use crate::checker::Account;
use crate::harness::patience::within;
use crate::image::{FileSystem, Image};
use crate::queues;
use crate::scene::Scene;
use crate::table::Row;

/// Messages that are on their way at each cut.
const MESSAGES: u32 = 300;
const SIZE: usize = 4_000;
/// The longest time from the start of both programs, or from the first message that is stored, to the cut, in milliseconds.
const SPREAD: u64 = 250;

pub(crate) fn strike(plan: Plan) -> Vec<Row> {
    // A kernel without XFS can run the short form.
    let kinds: &[FileSystem] = if plan.long { &[FileSystem::Ext4, FileSystem::Xfs] } else { &[FileSystem::Ext4] };
    kinds.iter().map(|kind| strike_on(*kind, plan)).collect()
}

fn strike_on(kind: FileSystem, plan: Plan) -> Row {
    let cuts = plan.cases(6, 200);
    let mut row = Row::new(format!("power cut under both spools and journals, {}", kind.name()));
    let image = Image::mounted(kind, 600);
    let mut scene = Scene::within(&image.path());
    // The configuration is on the image, too.
    drop(scene.pair.sender.configuration());
    drop(scene.pair.receiver.configuration());
    rustix::fs::sync();
    let mut random = plan.random();
    let (mut lost_unforced, mut slowest) = (0, Duration::ZERO);
    let mut cut = 0;
    while cut < cuts {
        let workload = scene.fill(MESSAGES, SIZE);
        rustix::fs::sync();
        let (mut interrupted, mut struck) = (0, 0);
        while interrupted == 0 || (interrupted == 1 && cut % 3 == 1 && cut < cuts) {
            let programs = (scene.receive(), scene.send());
            if interrupted == 0 {
                let _ = within(Duration::from_secs(20), || (queues::count(&scene.pair.incoming()) > 0).then_some(()));
            }
            std::thread::sleep(Duration::from_millis(random.u64(0..=SPREAD)));
            let early = !scene.is_settled(workload.len());
            let unforced = image.path().join("unforced");
            image.cut(&unforced);
            drop(programs);
            image.mount_again();
            lost_unforced += usize::from(std::fs::read(&unforced).unwrap_or_default().is_empty());
            drop(std::fs::remove_file(&unforced));
            interrupted += 1;
            cut += 1;
            struck += u32::from(early);
        }
        let begun = Instant::now();
        let programs = (scene.receive(), scene.send());
        let outcome = scene.account(&workload);
        slowest = slowest.max(begun.elapsed());
        // Cuts when all was through already are none.
        row.count_all(struck, &Account::default());
        row.count(&format!("cut {cut}"), false, &outcome);
        drop(programs);
        rustix::fs::sync();
    }
    row.figure(format!("slowest recovery, with everything settled, {:.1} s", slowest.as_secs_f64()));
    row.figure(format!("{lost_unforced} of {cuts} cuts lost a file that no program had synced"));
    if lost_unforced * 2 < cuts as usize {
        row.fault("most cuts lost no file that no program had synced, so that they were none");
    }
    row
}
