//! The process is killed at each named point (`host/spool/src/failpoint.rs`), at the first, the second … time it passes, up to the
//! tenth; points that are passed for a batch of messages are passed fewer times.
//!
//! Each case queues messages, lets one side run into its point and die, starts it again and accounts. For recovery the
//! receiver dies with a committed batch that is not visible yet, and again at each point of what puts that right.

use std::os::unix::process::ExitStatusExt as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::Plan;
use crate::harness::patience::within;
use crate::queues;
use crate::scene::{Outcome, RECEIVE, SEND, Scene};
use crate::table::Row;

/// Passes of a point that are struck, and by that the number of messages that it needs.
const MESSAGES: u32 = 24;
const ABORTED: i32 = 6;

/// Whose points they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Sender,
    Receiver,
    Recovery,
}

/// Points of one side; whether the receiver acknowledges messages.
struct Points {
    side: Side,
    acknowledged: bool,
    names: &'static str,
}

const POINTS: [Points; 5] = [
    Points {
        side: Side::Sender,
        acknowledged: false,
        names: "S01 S02 S03 S05 S07 S08 S09 S12 step transaction committed",
    },
    Points {
        side: Side::Receiver,
        acknowledged: false,
        names: "R02 R03 R04 R05 R06 R07 R08 R09 R10 R11 R12 R13 R14 step transaction committed",
    },
    Points { side: Side::Recovery, acknowledged: false, names: "R18 step transaction committed" },
    // It keeps what it sent.
    Points { side: Side::Sender, acknowledged: true, names: "S05 S07 S08 step transaction committed" },
    Points { side: Side::Receiver, acknowledged: true, names: "R10 R13 R14 step transaction committed" },
];

pub(crate) fn strike(plan: Plan) -> Vec<Row> {
    let passes = plan.cases(1, 10);
    POINTS.iter().map(|points| strike_side(points, passes)).collect()
}

fn strike_side(points: &Points, passes: u32) -> Row {
    let Points { side, acknowledged, names } = *points;
    let how = if acknowledged { ", acknowledged" } else { "" };
    let row = Mutex::new(Row::new(format!("killed at named points: {}{how}", format!("{side:?}").to_lowercase())));
    let cases: Vec<(&str, u32)> =
        names.split(' ').flat_map(|point| (1..=passes).map(move |pass| (point, pass))).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut scene = if acknowledged { Scene::acknowledged() } else { Scene::new(SEND, RECEIVE) };
        while let Some((point, pass)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let case = format!("{point}@{pass}");
            let (struck, outcome) = one(&mut scene, side, &case);
            let mut row = row.lock().unwrap();
            row.count(&case, struck, &outcome);
            if !struck && *pass == 1 {
                row.fault(format!("{case} was not passed"));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(work);
        }
    });
    row.into_inner().unwrap()
}

/// One case: whether the process died at the point, and what was left in the end.
fn one(scene: &mut Scene, side: Side, case: &str) -> (bool, Outcome) {
    let workload = scene.fill(MESSAGES, 300);
    // What a producer left behind: there is something to purge.
    let last = queues::outgoing(&scene.pair.outgoing()).pop().unwrap();
    std::fs::write(last.with_file_name("6b0300ffffffff.tmp"), "left behind").unwrap();
    let start = |point: &str| match side {
        Side::Sender => scene.pair.sender.start_to_die(&["send", "--watch"], point),
        Side::Receiver | Side::Recovery => scene.pair.receiver.start_to_die(&["receive"], point),
    };
    let other = if side == Side::Sender { scene.receive() } else { scene.send() };
    // With points of recovery: a batch that is durable and not visible.
    let strikes: &[&str] = if side == Side::Recovery { &["R10@2", case] } else { &[case] };
    let mut struck = true;
    for strike in strikes {
        let mut process = start(strike);
        let over = || {
            let ended = process.ended();
            (ended.is_some() || scene.is_settled(workload.len())).then_some(ended)
        };
        let ended = within(Duration::from_secs(20), over).flatten();
        struck &= ended.is_some_and(|status| status.signal() == Some(ABORTED));
    }
    let again = start("");
    let outcome = scene.account(&workload);
    drop((again, other));
    (struck, outcome)
}
