//! Sender and receiver are killed in turn at random moments, while messages are queued all the time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::Plan;
use crate::checker::Workload;
use crate::harness::patience::within;
use crate::scene::{Over, Scene, account, add};
use crate::table::Row;

/// Messages a second.
const RATE: u32 = 200;
const SIZE: usize = 600;
/// The longest time that a process lives after its start.
const LIFE: u64 = 300;

pub(crate) fn strike(plan: Plan) -> Vec<Row> {
    let kills = plan.cases(30, 1_000);
    let mut row = Row::new(format!("sender and receiver killed at random moments, {RATE} messages/s"));
    let scene = Scene::new("", "");
    let over = AtomicBool::new(false);
    let mut random = plan.random();
    let queued = std::thread::scope(|scope| {
        let producer = scope.spawn(|| {
            let begun = Instant::now();
            let mut queued = 0;
            while !over.load(Ordering::Relaxed) {
                while begun.elapsed().as_secs_f64() * f64::from(RATE) > f64::from(queued) {
                    add(&scene.pair, queued, SIZE);
                    queued += 1;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            queued
        });
        let ends = Over(&over);
        let (mut sender, mut receiver) = (scene.send(), scene.receive());
        for number in 0..kills {
            std::thread::sleep(Duration::from_millis(random.u64(1..=LIFE)));
            let victim = if number % 2 == 0 { &mut receiver } else { &mut sender };
            victim.kill();
            if number % 2 == 0 {
                receiver = scene.receive();
            } else {
                sender = scene.send();
            }
        }
        drop(ends);
        let queued = producer.join().unwrap();
        let begun = Instant::now();
        let settled = within(Duration::from_secs(120), || scene.is_settled(queued as usize).then_some(()));
        match settled {
            Some(()) => row.figure(format!(
                "{queued} messages; settled {:.1} s after the last kill",
                begun.elapsed().as_secs_f64()
            )),
            None => row.fault("not settled two minutes after the last kill"),
        }
        drop((sender, receiver));
        queued
    });
    row.count_all(kills, &account(&scene.pair, &Workload::of(queued, SIZE)));
    vec![row]
}
