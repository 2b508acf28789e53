//! A daemon with twenty channels and nothing to do: ten that send and ten that receive, over one RabbitMQ with TLS.

use std::fmt::Write as _;
use std::time::Duration;

use crate::harness::Folder;
use crate::installation::{Installation, until};
use crate::peers::openssl::pki;
use crate::peers::{Kind, broker};
use crate::report::{Goal, Report};
use crate::setting;

/// Of each kind.
const CHANNELS: usize = 10;
/// How long it has been connected before its CPU is read: heart-beats and the checks of each second go on from then.
const SETTLED: Duration = Duration::from_secs(10);

/// Measures and prints.
pub(crate) fn measure(report: &mut Report) {
    let seconds = setting("SESAME_FIGURES_IDLE", 60);
    report.note(&format!("{CHANNELS} channels that send and {CHANNELS} that receive, RabbitMQ, TLS; {seconds} s"));
    let broker = broker::Broker::own(Kind::RabbitMq);
    let folder = Folder::new("figures-idle");
    let host = pki().host("receiver.example.org");
    let list = folder.write("dns", format!("{}\n", host.subject));
    let mut sections = format!("[broker.test]\nhosts = [\"{}\"]\ntls = true\n", broker.tls());
    for number in 0..CHANNELS {
        let (sent, received) = (format!("/queue/idle.sent.{number}"), format!("/queue/idle.received.{number}"));
        [&sent, &received].into_iter().for_each(|destination| broker.declare(destination));
        let (queue, spool) = (folder.join(format!("outgoing-{number}")), folder.join(format!("spool-{number}")));
        std::fs::create_dir(&queue).unwrap();
        write!(
            sections,
            "[send.s{number}]\nbroker = \"test\"\nqueue = {queue:?}\ndestination = \"{sent}\"\nmin-free = 0\n\
             [receive.r{number}]\nbroker = \"test\"\ndestination = \"{received}\"\nauthorised = {list:?}\n\
             spool = {spool:?}\nmin-free = 0\n"
        )
        .unwrap();
    }
    let mut daemon = Installation::new(&folder.join("idle"), &host, &sections).start(&["run"]);
    until("all to be subscribed", Duration::from_secs(60), || {
        daemon.must_run();
        daemon.log().matches(" subscribed ").count() == CHANNELS
    });
    std::thread::sleep(SETTLED);
    let (user, system) = daemon.cpu();
    std::thread::sleep(Duration::from_secs(seconds.into()));
    let (later_user, later_system) = daemon.cpu();
    let used = later_user - user + later_system - system;
    report.goal("CPU while idle", used / f64::from(seconds) * 100.0, "% of a core", Goal::AtMost(0.1));
    report.figure("resident memory at most", daemon.resident_peak() as f64 / 1e6, "MB");
    daemon.stop();
}
