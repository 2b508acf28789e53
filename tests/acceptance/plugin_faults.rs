//! Plugins that fail: for some messages, for all of them, slowly, or by taking the process down. What is right with the
//! messages and with other channels goes on.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::bombs;
use crate::checker::Workload;
use crate::harness::{Child, eventually, patience};
use crate::peers::Kind;
use crate::peers::broker::shared;
use crate::peers::guests::component;
use crate::plugins::{behaving, bodies, deliver, install, one_in};
use crate::queues;
use crate::sesame::{Pair, Site, Way, own_destination, program};

/// Panics on every message, and only on those that hold `bad`.
const ALWAYS: &str = "[config]\nvalidate = \"panic\"\ntext = \"out of cheese\"\n";
const BAD: &str = "[config]\nvalidate = \"panic\"\nwhen = \"bad\"\ntext = \"out of cheese\"\n";
const PAUSED: &str = "channel paused: plugin fails for every message";

/// Waits until the log shows a pause, with plugin and reason.
#[track_caller]
fn pauses(child: &Child, channel: &str) {
    let line = eventually("a word about the pause", || {
        child.log().lines().find(|line| line.contains(PAUSED)).map(str::to_owned)
    });
    for word in [channel, "ERROR", "behaviour.wasm", "out of cheese", "since", "next"] {
        assert!(line.contains(word), "{word:?} is not in {line}");
    }
}

#[test]
fn a_receiver_pauses_for_a_plugin_that_fails_for_every_message() {
    let pair = behaving(ALWAYS, "");
    let broker = shared(Kind::RabbitMq);
    let messages = Workload::queued_in(&pair.outgoing(), 60, 500);
    pair.sender.run(&["send"]).expect(0);
    let mut receiver = pair.receiver.start(&["receive"]);
    pauses(&receiver, "central");
    let deferred = eventually("the session to be given back", || {
        let deferred = queues::count(&pair.receiver.queue("central", "deferred"));
        (deferred + broker.waiting(&pair.destination) == 60).then_some(deferred)
    });
    assert!(deferred < 30, "{deferred} of 60 messages were taken from the broker for nothing");
    assert_eq!((queues::count(&pair.incoming()), queues::count(&pair.reject())), (0, 0));
    install(&pair.receiver, "behaviour", "");
    receiver.signal(Signal::HUP);
    messages.arrives(&pair);
    assert_eq!(receiver.stop(), 0);
}

#[test]
fn a_pause_ends_with_the_first_message_that_is_answered_for() {
    let pair = behaving(BAD, "deferred-order = \"none\"\nattempts = 2\nback-off-min = \"100ms\"\n");
    for number in 0..6 {
        queues::add(&pair.outgoing(), format!("bad {number}").as_bytes());
    }
    pair.sender.run(&["send"]).expect(0);
    let receiver = pair.receiver.start(&["receive"]);
    pauses(&receiver, "central");
    for number in 0..20 {
        queues::add(&pair.outgoing(), format!("good {number}").as_bytes());
    }
    pair.sender.run(&["send"]).expect(0);
    eventually("the good ones to be stored", || (queues::count(&pair.incoming()) == 20).then_some(()));
    eventually("the bad ones to be rejected", || (queues::count(&pair.reject()) == 6).then_some(()));
    assert!(receiver.log().contains("plugin answers again"), "{}", receiver.last_words());
}

#[test]
fn a_sender_pauses_for_a_plugin_that_fails_for_every_message() {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Plain, "", "");
    install(&pair.sender, "behaviour", ALWAYS);
    let messages = Workload::queued_in(&pair.outgoing(), 60, 500);
    let mut sender = pair.sender.start(&["send", "--watch"]);
    pauses(&sender, "cpu");
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(queues::outgoing(&pair.outgoing()).len(), 60);
    assert_eq!(queues::count(&pair.sender.refused("cpu")), 0);
    install(&pair.sender, "behaviour", "");
    sender.signal(Signal::HUP);
    let _receiver = pair.receiver.start(&["receive"]);
    messages.arrives(&pair);
    assert_eq!(sender.stop(), 0);
}

#[test]
fn sending_once_leaves_what_a_failing_plugin_holds_up() {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Plain, "", "");
    install(&pair.sender, "behaviour", ALWAYS);
    Workload::queued_in(&pair.outgoing(), 30, 500);
    let outcome = pair.sender.run(&["send"]).expect(1).says(PAUSED);
    assert_eq!(queues::outgoing(&pair.outgoing()).len(), 30, "{}", outcome.log);
    assert_eq!(queues::locks(&pair.outgoing()).len(), 0);
}

#[test]
fn a_message_that_a_plugin_fails_for_alone_is_rejected_after_its_attempts() {
    for first in [true, false] {
        let pair = behaving(BAD, "attempts = 3\nback-off-min = \"100ms\"\n");
        let bad = if first { 0 } else { 10 };
        for number in 0..20 {
            let body = if number == bad { "bad".to_owned() } else { format!("good {number:02}") };
            queues::add(&pair.outgoing(), body.as_bytes());
        }
        pair.sender.run(&["send"]).expect(0);
        let receiver = pair.receiver.start(&["receive"]);
        let refused = one_in(&pair.reject());
        assert_eq!(refused.text("body"), "bad");
        let error = refused.text("error");
        assert!(error.starts_with("attempts-exhausted: after 3 attempts: ") && error.contains("cheese"), "{error}");
        eventually("the others", || (queues::count(&pair.incoming()) == 19).then_some(()));
        assert!(!receiver.log().contains(PAUSED), "{}", receiver.last_words());
    }
}

#[test]
fn a_sender_rejects_what_its_plugin_fails_for_alone() {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Plain, "attempts = 3\nback-off-min = \"100ms\"\n", "");
    install(&pair.sender, "behaviour", BAD);
    for number in 0..10 {
        queues::add(&pair.outgoing(), if number == 4 { "bad".to_owned() } else { format!("good {number}") }.as_bytes());
    }
    let mut sender = pair.sender.start(&["send", "--watch"]);
    let refused = one_in(&pair.sender.refused("cpu"));
    assert_eq!(refused.text("body"), "bad");
    assert!(refused.text("error").starts_with("attempts-exhausted: after 3 attempts: "), "{}", refused.text("error"));
    let _receiver = pair.receiver.start(&["receive"]);
    eventually("the others", || (queues::count(&pair.incoming()) == 9).then_some(()));
    assert_eq!(sender.stop(), 0);
}

/// A plugin that does not come back from a message, as one that takes the process down would not.
const NEVER_BACK: &str = "deadline = \"600s\"\n[config]\nvalidate = \"loop\"\nwhen = \"deadly\"\n";

/// Kills `start`ed processes while they work on the deadly message, three times.
fn die_three_times(in_work: &Path, start: impl Fn() -> Child) {
    for death in 1..=3 {
        let mut child = start();
        let deadly = || {
            let notes = std::fs::read_to_string(in_work).unwrap_or_default();
            let open = |line: &&str| notes.matches(&line[1..]).count() % 2 == 1;
            let open = notes.lines().filter(|line| line.starts_with('+')).filter(open).count();
            (open == 1).then_some(())
        };
        // Only the deadly one stays in flight.
        eventually(&format!("the deadly message to be in flight before crash {death}"), deadly);
        std::thread::sleep(Duration::from_millis(500));
        eventually(&format!("only that one to be in flight before crash {death}"), deadly);
        child.kill();
    }
}

#[test]
fn a_message_that_kills_the_receiver_is_rejected_after_three_crashes() {
    let pair = behaving(NEVER_BACK, "");
    for body in ["one", "two", "deadly", "four", "five"] {
        queues::add(&pair.outgoing(), body.as_bytes());
    }
    pair.sender.run(&["send"]).expect(0);
    die_three_times(&pair.receiver.spool("central").join("in-work"), || pair.receiver.start(&["receive"]));
    let mut receiver = pair.receiver.start(&["receive"]);
    let refused = one_in(&pair.reject());
    assert!(refused.text("error").starts_with("crash-loop: the process crashed 3 times"), "{}", refused.text("error"));
    assert!(!refused.bytes("sealed").is_empty());
    eventually("the others", || (queues::count(&pair.incoming()) == 4).then_some(()));
    assert_eq!(bodies(&pair.incoming()), ["five", "four", "one", "two"]);
    assert_eq!((queues::count(&pair.reject()), receiver.stop()), (1, 0));
}

#[test]
fn a_message_that_kills_the_sender_is_rejected_after_three_crashes() {
    let pair = Pair::on(shared(Kind::RabbitMq), Way::Plain, "", "");
    install(&pair.sender, "behaviour", NEVER_BACK);
    for body in ["one", "two", "deadly", "four", "five"] {
        queues::add(&pair.outgoing(), body.as_bytes());
    }
    pair.sender.run(&["check"]);
    let in_work = pair.sender.folder.join("cpu-outgoing.state/in-work");
    die_three_times(&in_work, || pair.sender.start(&["send", "--watch"]));
    let mut sender = pair.sender.start(&["send", "--watch"]);
    let refused = one_in(&pair.sender.refused("cpu"));
    assert_eq!(refused.text("body"), "deadly");
    assert!(refused.text("error").starts_with("crash-loop: the process crashed"), "{}", refused.text("error"));
    let _receiver = pair.receiver.start(&["receive"]);
    eventually("the others", || (queues::count(&pair.incoming()) == 4).then_some(()));
    assert_eq!(sender.stop(), 0);
}

#[test]
fn a_stop_in_the_middle_of_a_slow_message_is_no_death_of_it() {
    let pair = behaving(NEVER_BACK, "");
    queues::add(&pair.outgoing(), b"deadly");
    pair.sender.run(&["send"]).expect(0);
    let in_work = pair.receiver.spool("central").join("in-work");
    for _ in 0..4 {
        let mut receiver = pair.receiver.start(&["receive"]);
        eventually("the message to be in flight", || {
            std::fs::read_to_string(&in_work).is_ok_and(|notes| notes.contains('+')).then_some(())
        });
        receiver.signal(Signal::TERM);
        std::thread::sleep(Duration::from_millis(300));
        receiver.signal(Signal::TERM);
        receiver.wait();
        assert_eq!(std::fs::read(&in_work).unwrap(), b"", "{}", receiver.last_words());
    }
    assert_eq!(queues::count(&pair.reject()), 0);
}

#[test]
fn a_deferred_message_that_cannot_be_read_is_not_tried_every_second() {
    let pair = behaving(ALWAYS, "");
    let mut receiver = deliver(&pair, &["Site: X\n"]);
    let deferred = pair.receiver.queue("central", "deferred");
    let waiting = one_in(&deferred);
    assert_eq!(receiver.stop(), 0);
    std::fs::remove_file(deferred.join(&waiting.name).join("sealed")).unwrap();
    let receiver = pair.receiver.start(&["receive"]);
    let tried = || receiver.log().matches("a deferred element has no `sealed`").count();
    eventually("a word about the element", || (tried() > 0).then_some(()));
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(tried(), 1, "{}", receiver.last_words());
}

#[test]
fn a_slow_plugin_delays_neither_heart_beats_nor_another_channel() {
    let broker = shared(Kind::RabbitMq);
    let (slow, fast) = (own_destination(), own_destination());
    let sender = Site::of("sender.example.org").on(broker, Way::Plain);
    let sender = sender.sending("slow", &slow, "").sending("fast", &fast, "");
    let subject = sender.host.subject.clone();
    let site = Site::of("receiver.example.org").at(&[&broker.plain()], Way::Plain, "heart-beat = \"1s\"\n");
    let site = site.receiving("slow", &slow, &[&subject], "").receiving("fast", &fast, &[&subject], "");
    install(&site, "behaviour", "channels = [\"slow\"]\n[config]\nvalidate = \"sleep\"\nsize = 300\n");
    Workload::queued_in(&sender.outgoing("slow"), 80, 500);
    let messages = Workload::queued_in(&sender.outgoing("fast"), 300, 500);
    sender.run(&["send"]).expect(0);
    let mut receiver = site.start(&["receive"]);
    messages.is_stored_in(&site.queue("fast", "incoming"));
    let done = queues::count(&site.queue("slow", "incoming"));
    assert!(done < 60, "the fast channel waited for {done} slow messages");
    let started = Instant::now();
    eventually("slow messages to go on", || {
        let stored = queues::count(&site.queue("slow", "incoming"));
        (stored > done && started.elapsed() > Duration::from_secs(4).min(patience())).then_some(())
    });
    let log = receiver.log();
    assert_eq!((log.matches("subscribed").count(), log.matches("connection to the broker lost").count()), (2, 0));
    assert_eq!(receiver.stop(), 0);
}

#[test]
fn hungry_plugins_do_not_make_the_process_grow() {
    let pair = behaving("on-error = \"reject\"\nmemory = \"64MiB\"\n[config]\nvalidate = \"eat-memory\"\n", "");
    let messages = 40;
    (0..messages).for_each(|number| drop(queues::add(&pair.outgoing(), format!("{number}").as_bytes())));
    pair.sender.run(&["send"]).expect(0);
    let receiver = pair.receiver.start(&["receive"]);
    eventually("all of them in reject", || (queues::count(&pair.reject()) == messages).then_some(()));
    let processors = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let (peak, limit) = (receiver.peak_memory(), (processors * 74 + 200) << 20);
    assert!(peak <= limit, "{peak} bytes where {limit} are enough for {processors} guests of 64 MiB");
}

#[test]
fn a_validator_that_refuses_everything_has_it_all_in_reject() {
    let pair = behaving("[config]\nvalidate = \"invalid\"\ntext = \"never good\"\n", "");
    Workload::queued_in(&pair.outgoing(), 300, 500);
    pair.sender.run(&["send"]).expect(0);
    let mut receiver = pair.receiver.start(&["receive"]);
    eventually("all of them in reject", || (queues::count(&pair.reject()) == 300).then_some(()));
    for element in queues::elements(&pair.reject()) {
        assert!(element.text("error").starts_with("plugin-invalid: behaviour.wasm: test.invalid"));
    }
    assert_eq!((queues::count(&pair.incoming()), receiver.stop()), (0, 0));
}

#[test]
fn the_first_durable_verdict_on_a_message_holds() {
    let pair = behaving("", "");
    let id = queues::add(&pair.outgoing(), b"Site: X\n");
    let body = std::fs::read(pair.outgoing().join(&id)).unwrap();
    pair.sender.run(&["send"]).expect(0);
    let mut receiver = pair.receiver.start(&["receive"]);
    one_in(&pair.incoming());
    assert_eq!(receiver.stop(), 0);
    install(&pair.receiver, "behaviour", "[config]\nvalidate = \"invalid\"\ntext = \"not any more\"\n");
    std::fs::create_dir_all(pair.outgoing().join(&id).parent().unwrap()).unwrap();
    std::fs::write(pair.outgoing().join(&id), body).unwrap();
    pair.sender.run(&["send"]).expect(0);
    let receiver = deliver(&pair, &[]);
    eventually("a word about the copy", || receiver.log().contains("received before; duplicate dropped").then_some(()));
    assert_eq!((queues::count(&pair.incoming()), queues::count(&pair.reject())), (1, 0));
}

/// What the compiling child made of a component: exit status, words, and its peak memory in bytes.
fn compiled_apart(component: &[u8]) -> (std::process::ExitStatus, String, u64) {
    use std::io::{Read as _, Write as _};
    use std::process::{Command, Stdio};
    let mut command = Command::new(program());
    command.arg("compile-plugin").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut stdin, mut stdout, mut stderr) =
        (child.stdin.take().unwrap(), child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let status = format!("/proc/{}/status", child.id());
    let peak = || {
        let status = std::fs::read_to_string(&status).ok()?;
        status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().trim_end_matches(" kB").parse::<u64>().ok()
    };
    std::thread::scope(|scope| {
        scope.spawn(move || drop(stdin.write_all(component)));
        scope.spawn(move || drop(std::io::copy(&mut stdout, &mut std::io::sink())));
        let said = scope.spawn(move || {
            let mut said = String::new();
            drop(stderr.read_to_string(&mut said));
            said
        });
        let mut highest = 0;
        let ended = loop {
            highest = highest.max(peak().unwrap_or_default());
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        (ended, said.join().unwrap(), highest << 10)
    })
}

#[test]
fn a_component_that_is_dear_to_compile_costs_a_child_its_allowance_and_no_more() {
    let bombs = [
        ("one function of 10 MB", bombs::one_huge_function(10 << 20)),
        ("one function of 2 MB", bombs::one_huge_function(2 << 20)),
        ("a function of 1,000 branches to 1,000 places", bombs::one_function_of_nested_branches(1_000)),
        ("100,000 functions", bombs::many_functions(100_000)),
    ];
    for (what, component) in bombs {
        let started = Instant::now();
        let (status, said, peak) = compiled_apart(&component);
        assert!(started.elapsed() < Duration::from_secs(600), "{what}: {:?}", started.elapsed());
        assert!(peak < 2200 << 20, "{what}: {peak} bytes");
        // Refused with words, compiled, or ended by the limit on processor time or memory.
        let refused = status.code() == Some(65) && !said.is_empty();
        assert!(refused || status.success() || status.code().is_none(), "{what}: {status}: {said}");
        assert_eq!(refused, what.contains("10 MB"), "{what}: {status}: {said}");
    }
}

#[test]
fn a_bomb_in_the_plugin_folder_is_refused_by_name_and_the_channel_beside_it_works() {
    let pair = behaving("channels = [\"central\"]\n", "");
    let plugin = std::fs::read(component("sites")).unwrap();
    let component = bombs::laid_in(&plugin, &bombs::one_huge_function(10 << 20));
    pair.receiver.folder.write("plugins.d/90-bomb.wasm", component);
    pair.receiver.run(&["check"]).says("plugin 90-bomb.wasm cannot be compiled");
}
