//! Connections are cut after a number of bytes of what either side says, with an end and with a reset.
//!
//! A case is one connection that is cut; those after it are let through.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::Plan;
use crate::harness::patience::within;
use crate::peers::relay::{Fate, Relay};
use crate::scene::Scene;
use crate::table::Row;

const MESSAGES: u32 = 6;
const SIZE: usize = 600;

pub(crate) fn strike(plan: Plan) -> Vec<Row> {
    let mut row = Row::new("connection cut after a number of bytes, ended or reset");
    let (mut scene, [to_sender, to_receiver]) = Scene::via(|broker| {
        let relay = Relay::at(Ipv4Addr::LOCALHOST, broker, Fate::Whole);
        let address = relay.address();
        (relay, address)
    });
    for number in 0..plan.cases(4, 400) {
        for (sending, upwards) in [(true, true), (true, false), (false, true), (false, false)] {
            let relay = if sending { &to_sender } else { &to_receiver };
            // The first bytes one by one, and then further and further apart, up to some ten thousand.
            let after =
                usize::try_from(if plan.long { number + number * number / 20 } else { number * 60 + 1 }).unwrap() + 1;
            relay.strike_next(Fate::Cut { upwards, after, reset: number % 2 == 0 });
            let before = relay.struck();
            let workload = scene.fill(MESSAGES, SIZE);
            let programs = (scene.receive(), scene.send());
            let outcome = scene.account(&workload);
            drop(programs);
            // A side that says less than that is not cut.
            let struck = within(Duration::from_millis(300), || (relay.struck() > before).then_some(()));
            let case = format!("{number}, sender {sending}, upwards {upwards}, {after} bytes");
            row.count(&case, struck.is_some(), &outcome);
        }
    }
    vec![row]
}
