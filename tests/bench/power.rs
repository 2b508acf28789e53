//! Power cuts: sender and receiver with both their queues on one ext4 image, which stops in mid-flow and keeps only what was
//! forced to its disk (`EXT4_IOC_SHUTDOWN` without a flush of the log).
//!
//! Each time both programs are killed after the cut, the image is mounted again, which replays its log, and both start again
//! on what is left. The broker goes on: what it holds and what was confirmed to it must fit what the disk kept. In the end
//! every message must have been stored once, with its content.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::end_to_end::{Between, Sites};
use crate::image::Image;
use crate::installation::until;
use crate::peers::broker::Broker;
use crate::peers::{Kind, broker};
use crate::report::{Goal, Report, median};
use crate::{queues, setting};

/// Messages that are on their way at each cut.
const MESSAGES: u32 = 600;
/// Stored before a cut: by then both programs are at work.
const UNDER_WAY: usize = 10;
/// Cuts are spread over so many milliseconds after that.
const SPREAD: u32 = 400;
const LIMIT: Duration = Duration::from_secs(120);

/// Measures and prints.
pub(crate) fn measure(report: &mut Report) {
    let cuts = setting("SESAME_FIGURES_CUTS", 20);
    report.note(&format!(
        "{cuts} cuts while {MESSAGES} messages of 30 kB go through RabbitMQ, both queues on one ext4 image"
    ));
    let image = Image::mounted(1024);
    let broker = broker::Broker::own(Kind::RabbitMq);
    let sites = sites(&broker, &image);
    let (mut lost, mut twice, mut stored_before, mut held_back, mut again) = (0, 0, 0, 0, Vec::new());
    for cut in 0..cuts {
        let numbers = cut * MESSAGES..(cut + 1) * MESSAGES;
        sites.fill(&numbers);
        let (receiver, sender) = (sites.receiver.start(&["receive"]), sites.sender.start(&["send", "--watch"]));
        until("messages to be under way", LIMIT, || queues::count(&sites.incoming) >= UNDER_WAY);
        std::thread::sleep(Duration::from_millis(u64::from(cut.wrapping_mul(0x9e37_79b9) % SPREAD)));
        let unforced = image.path().join(format!("unforced-{cut}"));
        image.cut(&unforced);
        drop((receiver, sender));
        image.mount_again();
        let left = std::fs::read(&unforced).unwrap_or_default();
        held_back += usize::from(left.is_empty());
        stored_before += queues::count(&sites.incoming);
        let start = Instant::now();
        let (receiver, sender) = (sites.receiver.start(&["receive"]), sites.sender.start(&["send", "--watch"]));
        until("everything to be stored after a cut", LIMIT, || {
            queues::count(&sites.incoming) >= numbers.len() && queues::outgoing(&sites.outgoing).is_empty()
        });
        again.push(start.elapsed().as_secs_f64());
        // What is to come twice has its chance, and both programs are up, so that they can be asked to stop.
        std::thread::sleep(Duration::from_secs(1));
        until("the broker to be empty", LIMIT, || broker.waiting(DESTINATION) == 0);
        sender.stop();
        receiver.stop();
        let account = sites.account(&numbers);
        (lost, twice) = (lost + account.lost, twice + account.twice);
    }
    report.goal("cuts that lost a file that no program had synced", held_back as f64, "cuts", Goal::AtLeast(1.0));
    report.figure(
        &format!("on the disk after a cut, of {MESSAGES}, mean"),
        stored_before as f64 / f64::from(cuts),
        "messages",
    );
    report.figure("start until the rest is stored, median", median(again), "s");
    report.goal("messages lost", lost as f64, "", Goal::AtMost(0.0));
    report.goal("messages stored twice", twice as f64, "", Goal::AtMost(0.0));
    drop(broker);
    assert_eq!((lost, twice), (0, 0), "messages lost or stored twice");
}

const DESTINATION: &str = "/queue/sesame.figures.power";

fn sites(broker: &Broker, image: &Image) -> Sites {
    broker.declare(DESTINATION);
    let sites = Sites::new(&Between::rabbitmq(broker, DESTINATION), &image.path().join("sites"), "");
    // The configuration is on the image too.
    rustix::fs::sync();
    sites
}

impl Image {
    /// From now on nothing reaches the disk under the image. `unforced` is written in the moment before and synced by no program,
    /// unless one of the programs does so in that very moment: that it is gone shows that the cut was one.
    fn cut(&self, unforced: &Path) {
        const STOP: &str = "import fcntl, os, struct, sys\n\
                            image = os.open(sys.argv[1], os.O_RDONLY)\n\
                            with open(sys.argv[2], 'w') as unforced: unforced.write('gone')\n\
                            fcntl.ioctl(image, 0x8004587d, struct.pack('I', 2))";
        let status = Command::new("python3").args(["-c", STOP]).arg(self.path()).arg(unforced).status().unwrap();
        assert!(status.success(), "the image cannot be stopped: EXT4_IOC_SHUTDOWN failed");
    }
}
