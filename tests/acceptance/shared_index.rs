//! Receivers that share a queue and an index in PostgreSQL: each message is stored by one of them, once, also when they die.

use std::path::PathBuf;
use std::time::Duration;

use crate::checker::{Account, Workload};
use crate::harness::{Child, eventually};
use crate::peers::broker::shared;
use crate::peers::postgres::{PASSWORD, Postgres};
use crate::peers::{Broker, Kind};
use crate::queues;
use crate::sesame::{Site, Way, own_destination};

/// A small prefetch, so that there is a middle of the flow to strike, and short pauses of what waits.
const RECEIVE: &str = "prefetch = 8\nback-off-min = \"1s\"\n";
const NAMES: [&str; 2] = ["one", "two"];

/// A sender, and two receivers of its queue.
struct Sharing {
    sender: Site,
    receivers: [Site; 2],
    destination: String,
}

impl Sharing {
    fn on(broker: &Broker, postgres: &Postgres, receive: &str) -> Self {
        let destination = own_destination();
        broker.declare(&destination);
        Self::at(&[&broker.plain()], &destination, postgres, receive)
    }

    /// At these addresses, with a queue that is there.
    fn at(hosts: &[&str], destination: &str, postgres: &Postgres, receive: &str) -> Self {
        let sender = Site::of("sender.example.org").at(hosts, Way::Plain, "");
        let sender = sender.sending("cpu", destination, "window = 8\n");
        let subject = sender.host.subject.clone();
        let receiver = |name| {
            let site = Site::of("receiver.example.org").at(hosts, Way::Plain, "");
            site.receiving("central", destination, &[&subject], receive).with_sections(&postgres.section(name, ""))
        };
        Self { receivers: NAMES.map(receiver), sender, destination: destination.replace("/amq/queue/", "/queue/") }
    }

    fn incoming(&self) -> [PathBuf; 2] {
        self.receivers.each_ref().map(|site| site.queue("central", "incoming"))
    }

    fn stored(&self) -> usize {
        self.incoming().iter().map(|queue| queues::count(queue)).sum()
    }

    /// How many messages wait on the disks of the receivers.
    fn deferred(&self) -> usize {
        self.receivers.iter().map(|site| queues::count(&site.queue("central", "deferred"))).sum()
    }

    fn start(&self, receiver: usize) -> Child {
        self.receivers[receiver].start(&["receive"])
    }

    #[track_caller]
    fn when_stored(&self, at_least: usize) {
        eventually(&format!("{at_least} stored"), || (self.stored() >= at_least).then_some(()));
    }

    /// Waits until everything is stored and nothing waits anywhere, and holds the account against zero.
    #[track_caller]
    fn settles(&self, broker: &Broker, messages: &Workload) {
        let [one, two] = self.incoming();
        let rejected = |site: &Site| queues::count(&site.queue("central", "reject"));
        eventually("everything to be stored", || (self.stored() >= messages.len()).then_some(()));
        eventually("nothing to be deferred", || (self.deferred() == 0).then_some(()));
        eventually("nothing to be at the broker", || (broker.waiting(&self.destination) == 0).then_some(()));
        messages.is_stored_among(&[&one, &two]);
        assert_eq!(self.receivers.iter().map(rejected).sum::<usize>(), 0, "something was rejected");
    }
}

fn open_claims(postgres: &Postgres) -> usize {
    postgres.sql("SELECT count(*) FROM sesame.message WHERE NOT stored").unwrap().parse().unwrap()
}

/// Each receiver is killed in turn, six times in all, in the middle of the flow.
fn receivers_killed_in_turn(kind: Kind) {
    let (broker, postgres) = (shared(kind), Postgres::own());
    let sharing = Sharing::on(broker, &postgres, RECEIVE);
    let messages = Workload::queued_in(&sharing.sender.outgoing("cpu"), 600, 3_000);
    let mut running = [sharing.start(0), sharing.start(1)];
    let _sender = sharing.sender.start(&["send", "--watch"]);
    for strike in 1..=6 {
        sharing.when_stored(strike * 70);
        let victim = strike % 2;
        running[victim].kill();
        running[victim] = sharing.start(victim);
    }
    sharing.settles(broker, &messages);
    assert!(sharing.incoming().iter().all(|queue| queues::count(queue) > 0), "one receiver did everything");
    eventually("every claim to be reported", || (open_claims(&postgres) == 0).then_some(()));
    for receiver in &mut running {
        assert_eq!(receiver.stop(), 0);
    }
}

#[test]
fn receivers_killed_in_turn_over_rabbitmq() {
    receivers_killed_in_turn(Kind::RabbitMq);
}

#[test]
fn receivers_killed_in_turn_over_activemq() {
    receivers_killed_in_turn(Kind::ActiveMq);
}

/// A receiver dies with a message that it claimed, at a point of its commit; the broker gives the message to the other one.
fn a_claim_of_the_dead(point: &str) -> (Postgres, Sharing, Child) {
    let (broker, postgres) = (shared(Kind::RabbitMq), Postgres::own());
    let sharing = Sharing::on(broker, &postgres, RECEIVE);
    let mut victim = sharing.receivers[0].start_to_die(&["receive"], point);
    let messages = Workload::queued_in(&sharing.sender.outgoing("cpu"), 1, 1_000);
    sharing.sender.run(&["send"]).expect(0);
    assert!(!victim.wait().success(), "{}", victim.last_words());
    assert_eq!(open_claims(&postgres), 1);
    let other = sharing.start(1);
    eventually("the message to wait at the other receiver", || (sharing.deferred() == 1).then_some(()));
    eventually("the line about it", || other.log().contains("claimed: receiver one claimed it").then_some(()));
    eventually("the broker to have nothing", || (broker.waiting(&sharing.destination) == 0).then_some(()));
    assert_eq!((sharing.stored(), messages.len()), (0, 1));
    (postgres, sharing, other)
}

#[test]
fn a_claim_waits_on_disk_for_a_dead_receiver_which_settles_it_when_it_returns() {
    for (point, keeper) in [("R09@1", 1), ("R10@1", 0)] {
        let (_postgres, sharing, _other) = a_claim_of_the_dead(point);
        let _returned = sharing.start(0);
        sharing.settles(shared(Kind::RabbitMq), &Workload::of(1, 1_000));
        let incoming = &sharing.incoming()[keeper];
        assert_eq!(queues::count(incoming), 1, "{point}: {}", incoming.display());
    }
}

#[test]
fn a_fenced_receiver_gives_its_claims_to_the_others_and_starts_only_when_it_is_admitted() {
    let (postgres, sharing, other) = a_claim_of_the_dead("R09@1");
    let operator = &sharing.receivers[1];
    operator
        .run(&["index", "fence", "two"])
        .expect(1)
        .says("receiver two has a session now: stop it before it is fenced");
    operator.run(&["index", "fence", "three"]).expect(1).says("no receiver \"three\" in the shared index (one, two)");
    operator.run(&["index", "fence", "one"]).expect(0).says("receiver one is fenced; claims given back: 1");
    sharing.settles(shared(Kind::RabbitMq), &Workload::of(1, 1_000));
    assert_eq!(queues::count(&sharing.incoming()[1]), 1, "{}", other.last_words());
    let status = operator.run(&["index", "status"]).expect(0).output;
    assert!(status.lines().any(|line| line.starts_with("one") && line.contains("fenced")), "{status}");
    assert!(status.lines().any(|line| line.starts_with("two") && line.contains("connected")), "{status}");
    let mut fenced = sharing.start(0);
    eventually("the fence to be told", || fenced.log().contains("receiver one was fenced").then_some(()));
    sharing.receivers[0].run(&["check"]).says("receiver one was fenced");
    operator.run(&["index", "admit", "one"]).expect(0).says("receiver one may start again");
    eventually("the index to answer", || fenced.log().contains("the shared index answers again").then_some(()));
    assert_eq!(postgres.sql("SELECT count(*) FROM sesame.receiver WHERE fenced IS NULL").unwrap(), "2");
    assert_eq!(fenced.stop(), 0);
}

#[test]
fn an_index_that_is_away_keeps_the_sessions_and_everything_waits_for_it() {
    let (broker, postgres) = (shared(Kind::RabbitMq), Postgres::own());
    let sharing = Sharing::on(broker, &postgres, RECEIVE);
    let messages = Workload::queued_in(&sharing.sender.outgoing("cpu"), 300, 1_000);
    let mut running = [sharing.start(0), sharing.start(1)];
    let mut sender = sharing.sender.start(&["send", "--watch"]);
    for share in [40, 120] {
        sharing.when_stored(share);
        postgres.crash();
        eventually("the outage to be told", || {
            running.iter().all(|receiver| receiver.log().contains("the shared index cannot be used")).then_some(())
        });
        let before = sharing.stored();
        std::thread::sleep(Duration::from_secs(2));
        assert_eq!(sharing.stored(), before, "nothing is stored without the index");
        postgres.start();
    }
    sharing.settles(broker, &messages);
    for receiver in &running {
        let sessions = receiver.log().lines().filter(|line| line.contains("subscribed")).count();
        assert_eq!(sessions, 1, "{}", receiver.last_words());
    }
    postgres.crash();
    let more = Workload::queued_in(&sharing.sender.outgoing("cpu"), 10, 1_000);
    eventually("the broker to have them", || {
        (queues::outgoing(&sharing.sender.outgoing("cpu")).is_empty()).then_some(())
    });
    std::thread::sleep(Duration::from_secs(1));
    for receiver in &mut running {
        let since = std::time::Instant::now();
        assert_eq!(receiver.stop(), 0);
        assert!(since.elapsed() < Duration::from_secs(10), "a stop waits for the index: {:?}", since.elapsed());
    }
    assert_eq!((broker.waiting(&sharing.destination), more.len(), sender.stop()), (10, 10, 0));
}

#[test]
fn a_cluster_that_loses_nodes_and_an_index_that_crashes_lose_no_message() {
    let (cluster, postgres) = (Broker::cluster(3), Postgres::own());
    let name = own_destination().replace("/queue/", "");
    cluster[0].declare_quorum(&name, 20);
    let hosts: Vec<String> = cluster.iter().map(Broker::plain).collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let sharing = Sharing::at(&hosts, &format!("/amq/queue/{name}"), &postgres, RECEIVE);
    let messages = Workload::queued_in(&sharing.sender.outgoing("cpu"), 400, 1_000);
    let _running = [sharing.start(0), sharing.start(1)];
    let _sender = sharing.sender.start(&["send", "--watch"]);
    // All are connected to the first node, and go on at another; then to one of those.
    for (share, node) in [(50, 0), (200, 1)] {
        sharing.when_stored(share);
        cluster[node].kill();
        sharing.when_stored(share + 60);
        cluster[node].restart();
    }
    sharing.when_stored(300);
    postgres.crash();
    postgres.start();
    sharing.settles(&cluster[2], &messages);
}

#[test]
fn the_server_of_the_index_is_verified_over_tls_and_every_mistake_is_told() {
    let postgres = Postgres::own();
    let of = |section: &str| {
        let site = Site::of("receiver.example.org").on(shared(Kind::RabbitMq), Way::Plain);
        site.receiving("central", &own_destination(), &["/CN=x"], "").with_sections(section)
    };
    let sound = postgres.section("one", "tls = true\n");
    of(&sound).run(&["check"]).says("the first receiver makes the tables");
    let site = of(&sound);
    let mut receiver = site.start(&["receive"]);
    eventually("the tables", || {
        postgres.sql("SELECT version FROM sesame.version").ok().filter(|version| version == "1")
    });
    assert_eq!(
        postgres
            .sql("SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name LIKE 'sesame %'")
            .unwrap(),
        "t"
    );
    site.run(&["check"]).says("as one; shared with: no other receiver is running");
    let says = |section: &str, code: i32, words: &str| {
        of(section).run(&["index", "status"]).expect(code).says(words);
    };
    says(&sound.replace("localhost", "127.0.0.2"), 1, "the certificate is not for 127.0.0.2");
    says(&sound.replace("sesame@", "nobody@"), 1, "SQLSTATE 28P01");
    says(&sound.replace("/postgres\"", "/other\""), 1, "database \"other\" does not exist");
    says(&sound.replace("sesame@", "sesame:secret@"), 78, "put it into a file that only its owner may read");
    says(&sound.replace("/postgres\"", "/postgres?sslmode=disable\""), 78, "has sslmode");
    says(&sound.replace("localhost", "db.example.org").replace("tls = true", "tls = false"), 78, "another machine");
    says("", 78, "no section [index]");
    let strangers = of(&sound).trusting(&[&crate::peers::openssl::strangers().anchors()]);
    strangers.run(&["index", "status"]).expect(1).says("authority");
    postgres.sql("UPDATE sesame.version SET version = 2").unwrap();
    says(&sound, 1, "version 2, and this program knows 1: update every receiver");
    assert!(!receiver.log().contains(PASSWORD));
    assert_eq!(receiver.stop(), 0);
    assert_eq!(Account::default(), Workload::of(0, 0).account(&site.queue("central", "incoming")));
}
