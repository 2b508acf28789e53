//! A broker that vanishes without a word: both sides are in a network of their own, whose packets are lost from a moment on.
//! There are no heart-beats, so that only the system notices.

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::Plan;
use crate::harness::Child;
use crate::harness::patience::within;
use crate::peers::broker::succeed;
use crate::peers::relay::{Fate, Relay};
use crate::peers::require;
use crate::queues;
use crate::resources::must_run;
use crate::scene::Scene;
use crate::table::Row;

const MESSAGES: u32 = 1_000;
const SIZE: usize = 600;
/// The system gives a connection up whose peer has acknowledged nothing for 60 s.
const NOTICED: Duration = Duration::from_secs(66);
/// In the log of a side whose session ended.
const ENDED: &str = "connection to the broker lost";

pub(crate) fn strike(plan: Plan) -> Row {
    let mut row = Row::new("broker vanishes, no heart-beats");
    let network = Network::new();
    let (mut scene, _relays) = Scene::via("heart-beat = \"0s\"\n", |broker| {
        let relay = Relay::at(network.outside, broker, Fate::Whole);
        let address = relay.address();
        (relay, address)
    });
    let mut slowest = [Duration::ZERO; 2];
    for number in 0..plan.cases(1, 10) {
        let case = format!("case {number}");
        let workload = scene.fill(MESSAGES, SIZE);
        let mut programs = scene.start_by(&["ip", "netns", "exec", &network.name]);
        let _ = within(Duration::from_secs(20), || (queues::count(&scene.pair.incoming()) > 0).then_some(()));
        let early = !scene.is_settled(workload.len());
        network.cut();
        let begun = Instant::now();
        let noticed = |program: &Child| {
            let left = NOTICED.saturating_sub(begun.elapsed());
            within(left, || program.log().contains(ENDED).then(|| begun.elapsed()))
        };
        for (program, slowest) in programs.iter().zip(&mut slowest) {
            match noticed(program) {
                Some(after) => *slowest = after.max(*slowest),
                None => row.fault(format!("{case}: no end of the session in time:\n{}", program.last_words())),
            }
        }
        network.restore();
        // What became of the old sessions is the broker's affair.
        scene.broker.drop_connections();
        row.count(&case, early, &scene.account(&workload));
        must_run(&mut row, &case, &mut programs);
    }
    let [receiver, sender] = slowest.map(|time| time.as_secs_f64());
    row.figure(format!("noticed, at the latest, after {receiver:.1} s by the receiver, {sender:.1} s by the sender"));
    row
}

/// A network namespace with one link to here.
#[derive(Debug)]
struct Network {
    name: String,
    link: String,
    outside: Ipv4Addr,
    inside: Ipv4Addr,
}

impl Network {
    /// The addresses are of those for tests between networks (RFC 2544).
    fn new() -> Self {
        let number = std::process::id();
        let (name, link) = (format!("sesame-{number}"), format!("sesame{number}"));
        let [outside, inside] = [1, 2].map(|host| Ipv4Addr::new(198, 18, 0, host));
        let network = Self { name, link, outside, inside };
        let Self { name, link, .. } = &network;
        ip(&["netns", "add", name]);
        ip(&["link", "add", link, "type", "veth", "peer", "name", "inside", "netns", name]);
        ip(&["address", "add", &format!("{outside}/30"), "dev", link]);
        ip(&["link", "set", link, "up"]);
        ip(&["-n", name, "address", "add", &format!("{inside}/30"), "dev", "inside"]);
        ip(&["-n", name, "link", "set", "inside", "up"]);
        ip(&["-n", name, "link", "set", "lo", "up"]);
        network
    }

    /// Sends the packets of both ends to an Ethernet address that there is not.
    fn cut(&self) {
        let (inside, outside) = (self.inside.to_string(), self.outside.to_string());
        let away = ["lladdr", "02:00:00:00:00:01", "nud", "permanent", "dev"];
        ip(&[&["neigh", "replace", &inside], &away[..], &[&self.link]].concat());
        ip(&[&["-n", &self.name, "neigh", "replace", &outside], &away[..], &["inside"]].concat());
    }

    fn restore(&self) {
        ip(&["neigh", "del", &self.inside.to_string(), "dev", &self.link]);
        ip(&["-n", &self.name, "neigh", "del", &self.outside.to_string(), "dev", "inside"]);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The link goes with it.
        drop(Command::new("ip").args(["netns", "del", &self.name]).status());
    }
}

fn ip(words: &[&str]) {
    succeed(Command::new(require("ip")).args(words));
}
