//! A load for a long time, with a fault of a random kind at regular moments.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::Plan;
use crate::checker::Workload;
use crate::harness::Child;
use crate::harness::patience::within;
use crate::image::{FileSystem, Image};
use crate::resources::{Ballast, must_run};
use crate::scene::{Over, Scene, account, add};
use crate::table::Row;

/// Messages a second.
const RATE: u32 = 20;
const SIZE: usize = 2_000;
/// How long a fault lasts that is not over at once.
const LASTS: Duration = Duration::from_secs(2);

/// What may happen.
#[derive(Clone, Copy, Debug)]
enum Fault {
    SenderKilled,
    ReceiverKilled,
    SenderStopped,
    ReceiverStopped,
    ConnectionsCut,
    ReceiptsWithheld,
    AcknowledgementsLost,
    DiskFull,
}

const FAULTS: [Fault; 8] = [
    Fault::SenderKilled,
    Fault::ReceiverKilled,
    Fault::SenderStopped,
    Fault::ReceiverStopped,
    Fault::ConnectionsCut,
    Fault::ReceiptsWithheld,
    Fault::AcknowledgementsLost,
    Fault::DiskFull,
];

pub(crate) fn strike(plan: Plan) -> Vec<Row> {
    let (faults, pause) = (plan.cases(8, 30), Duration::from_secs(plan.cases(1, 60).into()));
    let mut row = Row::new(format!("{RATE} messages/s, a fault of a random kind each {} s", pause.as_secs()));
    let image = Image::mounted(FileSystem::Memory { inodes: 2_000_000 }, 1024);
    let scene = Scene::within(&image.path());
    let mut random = plan.random();
    let over = AtomicBool::new(false);
    let queued = std::thread::scope(|scope| {
        let producer = scope.spawn(|| produce(&scene, &over));
        let ends = Over(&over);
        let mut programs = [scene.send(), scene.receive()];
        let mut left = FAULTS.to_vec();
        for _ in 0..faults {
            std::thread::sleep(pause);
            // Each kind comes once before one comes again.
            if left.is_empty() {
                left = FAULTS.to_vec();
            }
            let fault = left.swap_remove(random.usize(..left.len()));
            must_run(&mut row, &format!("before {fault:?}"), &mut programs);
            one(fault, &scene, &image, &mut programs);
        }
        drop(ends);
        let queued = producer.join().unwrap();
        if within(Duration::from_secs(120), || scene.is_settled(queued as usize).then_some(())).is_none() {
            row.fault("not settled two minutes after the last fault");
        }
        must_run(&mut row, "in the end", &mut programs);
        let memory = programs.each_ref().map(|program| program.peak_memory() >> 20);
        row.figure(format!("{queued} messages; most memory: sender {} MiB, receiver {} MiB", memory[0], memory[1]));
        queued
    });
    row.count_all(faults, &account(&scene.pair, &Workload::of(queued, SIZE)));
    vec![row]
}

/// Queues messages until all is over; how many. A full disk makes it wait.
fn produce(scene: &Scene, over: &AtomicBool) -> u32 {
    let begun = Instant::now();
    let mut queued = 0;
    while !over.load(Ordering::Relaxed) {
        if begun.elapsed().as_secs_f64() * f64::from(RATE) > f64::from(queued) && !full(scene) {
            add(&scene.pair, queued, SIZE);
            queued += 1;
        } else {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    queued
}

/// Whether the disk is filled, or being filled.
fn full(scene: &Scene) -> bool {
    scene.pair.sender.folder.path().parent().is_some_and(|top| top.join("ballast").exists())
}

fn one(fault: Fault, scene: &Scene, image: &Image, programs: &mut [Child; 2]) {
    let stopped = |program: &Child| {
        program.signal(Signal::STOP);
        std::thread::sleep(LASTS);
        program.signal(Signal::CONT);
    };
    let [sender, receiver] = programs;
    match fault {
        Fault::SenderKilled => {
            sender.kill();
            *sender = scene.send();
        }
        Fault::ReceiverKilled => {
            receiver.kill();
            *receiver = scene.receive();
        }
        Fault::SenderStopped => stopped(sender),
        Fault::ReceiverStopped => stopped(receiver),
        Fault::ConnectionsCut => scene.broker.drop_connections(),
        Fault::ReceiptsWithheld => {
            scene.broker.script(|script| script.withhold_receipts = true);
            std::thread::sleep(LASTS);
            scene.broker.script(|script| script.withhold_receipts = false);
            // What got no receipt is sent again on another connection, by itself after a minute.
            scene.broker.drop_connections();
        }
        Fault::AcknowledgementsLost => {
            scene.broker.script(|script| script.lose_acks = true);
            std::thread::sleep(LASTS);
            scene.broker.script(|script| script.lose_acks = false);
            // What was not acknowledged comes again on another connection.
            scene.broker.drop_connections();
        }
        Fault::DiskFull => {
            let ballast = Ballast::bytes(&image.path(), 200);
            std::thread::sleep(LASTS);
            drop(ballast);
        }
    }
}
