//! Connections are cut after a number of bytes of what either side says, with an end and with a reset; they stand still in both
//! directions or in one, with and without an end for the broker; and they pass one byte at a time.
//!
//! A case is one connection that is struck; those after it are let through. Heart-beats come each second and a RECEIPT is
//! waited for two seconds, so that a connection that stands still is found within three.

use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::Plan;
use crate::harness::patience::within;
use crate::peers::relay::{Fate, Relay};
use crate::scene::Scene;
use crate::table::Row;
use crate::vanish;

const MESSAGES: u32 = 6;
const SIZE: usize = 600;
/// Of the broker's section of a configuration.
const IMPATIENT: &str = "heart-beat = \"1s\"\nreceipt-timeout = \"2s\"\n";
/// How long one direction is lost before the broker gives the connection up.
const LOST: Duration = Duration::from_secs(2);
/// From the start of both sides until all is settled, where one connection stands still.
const RECOVERS: Duration = Duration::from_secs(12);
/// Cases at a time: they wait more than they compute.
const THREADS: usize = 4;

pub(crate) fn strike(plan: Plan) -> Vec<Row> {
    // A vanished broker is waited for most of the time.
    std::thread::scope(|scope| {
        let vanished = scope.spawn(|| vanish::strike(plan));
        let mut rows = vec![cut(plan), still(plan)];
        rows.push(vanished.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        rows
    })
}

fn via_relays(more: &str) -> (Scene, [Relay; 2]) {
    Scene::via(more, |broker| {
        let relay = Relay::at(Ipv4Addr::LOCALHOST, broker, Fate::Whole);
        let address = relay.address();
        (relay, address)
    })
}

fn cut(plan: Plan) -> Row {
    let row = Mutex::new(Row::new("connection cut after a number of bytes, ended or reset"));
    let (mut scene, relays) = via_relays("");
    for number in 0..plan.cases(4, 400) {
        for (sending, upwards) in [(true, true), (true, false), (false, true), (false, false)] {
            // The first bytes one by one, and then further and further apart, up to some ten thousand.
            let after =
                usize::try_from(if plan.long { number + number * number / 20 } else { number * 60 + 1 }).unwrap() + 1;
            let fate = Fate::Cut { upwards, after, reset: number % 2 == 0 };
            let _ = one(&mut scene, &relays, sending, fate, &row);
        }
    }
    row.into_inner().unwrap()
}

fn still(plan: Plan) -> Row {
    let row = Mutex::new(Row::new("connection stands still, loses what one side says, or passes byte by byte"));
    let mut fates = Vec::new();
    for number in 0..plan.cases(1, 40) {
        // In the short form after CONNECT and the first frames.
        let after = usize::try_from(if plan.long { number * number * 4 + 1 } else { 250 }).unwrap();
        fates.extend([Fate::Hole { after }, Fate::HalfOpen { after }]);
        fates.extend([true, false].map(|upwards| Fate::Deaf { upwards, after, lasts: LOST }));
    }
    // A byte a second, in the long form until shortly before the broker's CONNECTED is overdue; and all in single bytes.
    fates.push(Fate::Slow { pause: Duration::from_secs(1), lasts: Duration::from_secs(plan.cases(3, 8).into()) });
    fates.push(Fate::Slow { pause: Duration::ZERO, lasts: Duration::MAX });
    let cases: Vec<_> = fates.into_iter().flat_map(|fate| [(true, fate), (false, fate)]).collect();
    let (next, slowest) = (AtomicUsize::new(0), Mutex::new(Duration::ZERO));
    let work = || {
        let (mut scene, relays) = via_relays(IMPATIENT);
        scene.broker.script(|script| script.heart_beat = (1_000, 1_000));
        while let Some((sending, fate)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (struck, time) = one(&mut scene, &relays, *sending, *fate, &row);
            let mut slowest = slowest.lock().unwrap();
            *slowest = time.max(*slowest);
            if !struck && !plan.long {
                row.lock().unwrap().fault(format!("{fate:?}, sender {sending}: did not strike"));
            }
            if time > RECOVERS {
                row.lock().unwrap().fault(format!("{fate:?}, sender {sending}: settled after {} s", time.as_secs()));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(work);
        }
    });
    let mut row = row.into_inner().unwrap();
    row.figure(format!(
        "slowest case, from the start of both sides, {:.1} s",
        slowest.into_inner().unwrap().as_secs_f64()
    ));
    row
}

/// One connection: whether it was struck, and the time from the start of both sides until all was settled.
fn one(scene: &mut Scene, relays: &[Relay; 2], sending: bool, fate: Fate, row: &Mutex<Row>) -> (bool, Duration) {
    let relay = &relays[usize::from(!sending)];
    relay.strike_next(fate);
    let before = relay.struck();
    let workload = scene.fill(MESSAGES, SIZE);
    let begun = Instant::now();
    let programs = (scene.receive(), scene.send());
    let outcome = scene.account(&workload);
    let time = begun.elapsed();
    drop(programs);
    // A side that says less than that is not struck.
    let struck = within(Duration::from_millis(300), || (relay.struck() > before).then_some(()));
    row.lock().unwrap().count(&format!("{fate:?}, sender {sending}"), struck.is_some(), &outcome);
    (struck.is_some(), time)
}
