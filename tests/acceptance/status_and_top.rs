//! `sesame status` and `sesame top` beside a running Sesame, while real messages pass through a real broker; `top` in a real
//! terminal, which tmux plays.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::{Child, eventually};
use crate::peers::broker::{Broker, shared};
use crate::peers::openssl::{Host, pki};
use crate::peers::{Kind, require};
use crate::queues;
use crate::sesame::{Outcome, Site, Way, own_destination, program};

/// A certificate whose end is far enough away for no one to worry.
fn lasting(name: &str) -> Host {
    pki().special(name, &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], &[], &["-days", "200"])
}

/// A site that sends and receives what it sent, so that one process has channels of both kinds.
fn both_ways(broker: &Broker, host: Host) -> Site {
    let (destination, subject) = (own_destination(), host.subject.clone());
    let site = Site::with(host).on(broker, Way::Tls).sending("cpu", &destination, "");
    site.receiving("central", &destination, &[&subject], "")
}

/// Has three messages sent, received and stored.
fn pass_three(site: &Site) {
    let (incoming, before) = (site.queue("central", "incoming"), queues::count(&site.queue("central", "incoming")));
    for _ in 0..3 {
        queues::add(&site.outgoing("cpu"), b"Site: X\n");
    }
    eventually("the messages", || (queues::count(&incoming) == before + 3).then_some(()));
}

/// Asks until the answer is as wished, for what is counted is shown a moment later.
#[track_caller]
fn until(site: &Site, arguments: &[&str], is_wished: impl Fn(&Outcome) -> bool) -> Outcome {
    let mut last = None;
    eventually(&format!("sesame {}", arguments.join(" ")), || {
        let outcome = site.run(arguments);
        let wished = is_wished(&outcome);
        if !wished && last.as_ref() != Some(&outcome.output) {
            eprintln!("not yet: {outcome:?}");
            last = Some(outcome.output.clone());
        }
        wished.then_some(outcome)
    })
}

/// The lines of a text with single spaces.
fn squeezed(text: &str) -> String {
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect()
}

/// As root's cron leaves it; root can read every directory, so a file stands in the place of one.
#[test]
fn a_directory_that_cannot_be_read_stops_no_message_and_is_shown() {
    let broker = shared(Kind::RabbitMq);
    let site = both_ways(broker, lasting("sender.example.org"));
    let first = site.outgoing("cpu").join("00000001");
    std::fs::create_dir_all(first.parent().unwrap()).unwrap();
    std::fs::write(&first, "").unwrap();
    let mut running = site.start(&["run"]);
    pass_three(&site);
    let unreadable = "00000001 cannot be read (not a directory), and messages in it wait";
    until(&site, &["status"], |outcome| outcome.output.contains(unreadable));
    site.run(&["check"]).says(unreadable);
    let logged = |words: &str| running.log().matches(words).count();
    assert_eq!(logged("a directory of the outgoing queue cannot be used; other messages are sent"), 1);
    std::fs::remove_file(&first).unwrap();
    until(&site, &["status"], |outcome| outcome.output.contains("all is well"));
    assert_eq!(logged("the whole outgoing queue can be read again"), 1);

    let (queue, away) = (site.outgoing("cpu"), site.outgoing("cpu").with_extension("away"));
    std::fs::rename(&queue, &away).unwrap();
    let unreadable = "not in service: cannot list";
    until(&site, &["status"], |outcome| outcome.output.contains(unreadable));
    std::fs::rename(&away, &queue).unwrap();
    until(&site, &["status"], |outcome| outcome.output.contains("all is well"));
    assert_eq!(logged("cannot read the outgoing queue"), 1);
    assert_eq!(running.stop(), 0);
}

#[test]
fn status_shows_what_passed_and_what_is_wrong() {
    let broker = Broker::own(Kind::RabbitMq);
    let site = both_ways(&broker, lasting("sender.example.org"));
    let mut running = site.start(&["run"]);
    pass_three(&site);

    // The receiver may have a message before its sender has the receipt.
    let counted = ["3 sent 0 0 test outgoing 0", "3 stored 0 0 test", "incoming 3"];
    let well = until(&site, &["status"], |outcome| {
        let text = squeezed(&outcome.output);
        counted.iter().all(|words| text.contains(words))
    });
    let text = squeezed(&well.output);
    assert_eq!(well.code, 0, "{text}");
    for words in ["all is well", "send.cpu ready", "receive.central ready"] {
        assert!(text.contains(words), "{words} in\n{text}");
    }
    assert!(!text.contains('\u{1b}') && text.contains("\nown in 199d "), "{text}");
    let one = site.run(&["status", "cpu"]).expect(0);
    assert!(one.output.contains("send.cpu") && !one.output.contains("receive.central"), "{}", one.output);
    site.run(&["status", "gpu"]).expect(2).says("no channel \"gpu\" runs (channels: send.cpu, receive.central)");

    let json: Value = serde_json::from_str(&site.run(&["status", "--json"]).expect(0).output).unwrap();
    assert_eq!((&json["troubles"], &json["channels"][0]["fates"]["sent"]), (&Value::Array(vec![]), &Value::from(3)));
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    let line = site.run(&["status", "--nagios"]).expect(0).output;
    assert!(line.starts_with("SESAME OK - 2 channels, 6 passed, 3 waiting | 'warnings'=0;0;;0 "), "{line}");
    assert!(line.contains(" 'send.cpu.passed'=3c ") && line.lines().count() == 1, "{line}");

    // A message that is refused is counted, with its code.
    queues::add(&site.outgoing("cpu"), b" \n");
    let refused = until(&site, &["status", "--json", "cpu"], |outcome| outcome.output.contains("\"empty\":1"));
    assert!(refused.output.contains("\"rejected\":1"), "{}", refused.output);

    // Without a broker nothing passes.
    broker.kill();
    let away = until(&site, &["status"], |outcome| outcome.output.contains("critical"));
    assert_eq!(away.code, 1, "{}", away.output);
    assert!(away.output.contains("broker test: "), "{}", away.output);
    let line = site.run(&["status", "--nagios"]).expect(2).output;
    assert!(line.starts_with("SESAME CRITICAL - ") && line.contains("broker test: "), "{line}");
    broker.restart();
    until(&site, &["status", "--nagios"], |outcome| !outcome.output.contains("CRITICAL"));

    assert_eq!(running.stop(), 0);
    no_sesame_answers(&site);
}

/// What the commands say where nothing runs, or nothing can be asked.
fn no_sesame_answers(site: &Site) {
    site.run(&["status"]).expect(69).says("no Sesame");
    site.run(&["status", "--json"]).expect(69).says("no Sesame");
    let line = site.run(&["status", "--nagios"]).expect(2).output;
    assert!(line.starts_with("SESAME CRITICAL - no Sesame") && line.lines().count() == 1, "{line}");
    site.run(&["top"]).expect(2).says("needs a terminal; use `sesame status`");
    let line = site.run(&["status", "--nagios", "--nonsense"]).expect(3).output;
    assert!(line.starts_with("SESAME UNKNOWN - error: unexpected argument '--nonsense'"), "{line}");
    let mut broken = Command::new(program());
    broken.args(["status", "--nagios", "--config", "/nonexistent/sesame.toml"]);
    let broken = broken.output().unwrap();
    assert_eq!(broken.status.code(), Some(3));
    assert!(broken.stdout.starts_with(b"SESAME UNKNOWN - "), "{broken:?}");
}

#[test]
fn a_certificate_that_ends_soon_is_a_warning() {
    let site = both_ways(shared(Kind::RabbitMq), pki().host("sender.example.org"));
    let mut running = site.start(&["run"]);
    let warned = until(&site, &["status"], |outcome| outcome.output.contains("warning"));
    assert_eq!(warned.code, 1, "{}", warned.output);
    assert!(warned.output.contains(&site.host.certificate.display().to_string()), "{}", warned.output);
    let line = site.run(&["status", "--nagios"]).expect(1).output;
    assert!(line.starts_with("SESAME WARNING - "), "{line}");
    assert_eq!(running.stop(), 0);
}

/// A terminal in which a shell runs `sesame top`, and says how it ended.
struct Terminal {
    folder: PathBuf,
    socket: PathBuf,
    _server: Child,
    _place: tempfile::TempDir,
}

impl Terminal {
    fn running_top(site: &Site, environment: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let folder = site.folder.join(format!("terminal-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        std::fs::create_dir(&folder).unwrap();
        let place = tempfile::tempdir().unwrap();
        let socket = place.path().join("tmux");
        let script = format!(
            "cd {folder:?}\nstty -g >before\n(echo $BASHPID >pid; exec env {environment} {:?} --config {:?} top)\n\
             echo \"ended with $?\"\nstty -g >after\nexec cat\n",
            program(),
            site.configuration(),
        );
        std::fs::write(folder.join("script"), script).unwrap();
        let mut server = Self::command(&socket);
        server.args(["-f", "/dev/null", "-D"]).env("LC_ALL", "C.UTF-8").env("TERM", "xterm-256color");
        let terminal = Self {
            _server: Child::start("tmux", &mut server, &folder.join("tmux.log")),
            folder,
            socket,
            _place: place,
        };
        eventually("tmux", || terminal.socket.exists().then_some(()));
        let script = terminal.folder.join("script");
        terminal.tmux(&["new-session", "-d", "-x", "80", "-y", "24", "bash", script.to_str().unwrap()]);
        terminal
    }

    fn command(socket: &Path) -> Command {
        let mut command = Command::new(require("tmux"));
        command.arg("-u").arg("-S").arg(socket).env_remove("TMUX");
        command
    }

    #[track_caller]
    fn tmux(&self, arguments: &[&str]) -> String {
        let output = Self::command(&self.socket).args(arguments).output().unwrap();
        assert!(output.status.success(), "tmux {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn key(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    /// Waits until the screen shows all of this.
    #[track_caller]
    fn shows(&self, words: &[&str]) -> String {
        let mut screen = String::new();
        let shown = crate::harness::patience::within(crate::harness::patience(), || {
            screen = self.tmux(&["capture-pane", "-p"]);
            words.iter().all(|words| screen.contains(words)).then_some(())
        });
        assert!(shown.is_some(), "not shown: {words:?} in\n{screen}");
        screen
    }

    /// Waits for the end of `top`, and checks that the terminal is as it was before.
    #[track_caller]
    fn ends_as_it_began(&self, status: i32) {
        self.shows(&[&format!("ended with {status}")]);
        let facts = self.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        assert_eq!(facts.trim(), "0 1", "the alternate screen is left, and the cursor is shown");
        let read = |name| {
            eventually(name, || std::fs::read_to_string(self.folder.join(name)).ok().filter(|text| !text.is_empty()))
        };
        assert_eq!(read("before"), read("after"));
    }

    fn process(&self) -> Pid {
        let text = std::fs::read_to_string(self.folder.join("pid")).unwrap();
        Pid::from_raw(text.trim().parse().unwrap()).unwrap()
    }
}

#[test]
fn top_shows_the_same_in_a_terminal_and_leaves_it_as_it_was() {
    let site = both_ways(shared(Kind::RabbitMq), lasting("sender.example.org"));
    let mut running = site.start(&["run"]);
    let terminal = Terminal::running_top(&site, "");
    terminal.shows(&["Sesame 0.1.0", "send.cpu  ready", "receive.central  ready", "q quit"]);
    pass_three(&site);
    terminal.shows(&["3 sent", "3 stored", "incoming 3"]);
    assert!(terminal.tmux(&["capture-pane", "-p", "-e"]).contains("38;5;2m"), "it has colours");

    queues::add(&site.outgoing("cpu"), b" \n");
    terminal.shows(&["rejected 1"]);
    terminal.key("Enter");
    terminal.shows(&["destination", "/queue/sesame.test", "mean time", "seal"]);
    terminal.key("Tab");
    terminal.shows(&["REASON", "empty"]);
    terminal.key("Tab");
    terminal.shows(&["P99", "builtin:passthroug"]);
    terminal.key("Tab");
    terminal.shows(&["own", "in 199d"]);
    terminal.key("?");
    terminal.shows(&["these keys"]);
    terminal.key("Escape");
    // A key that follows at once would be read with it, as Alt and that key.
    terminal.shows(&["own", "in 199d"]);
    terminal.key("p");
    terminal.shows(&["PAUSED"]);
    terminal.key("p");
    for (width, height) in [("20", "5"), ("3", "1"), ("140", "40")] {
        terminal.tmux(&["resize-window", "-x", width, "-y", height]);
    }
    terminal.key("Tab");
    terminal.shows(&["send.cpu  ready", "q quit"]);

    // It waits for a Sesame that is restarted.
    assert_eq!(running.stop(), 0);
    terminal.shows(&["not reachable since", "send.cpu"]);
    let mut running = site.start(&["run"]);
    terminal.shows(&["send.cpu  ready", "0 sent", "q quit"]);
    terminal.key("q");
    terminal.ends_as_it_began(0);

    let terminal = Terminal::running_top(&site, "NO_COLOR=1");
    terminal.shows(&["send.cpu  ready"]);
    let bare = terminal.tmux(&["capture-pane", "-p", "-e"]);
    assert!(!bare.contains("38;5;") && !bare.contains("48;5;") && bare.contains("\u{1b}["), "{bare:?}");
    kill_process(terminal.process(), Signal::TERM).unwrap();
    terminal.ends_as_it_began(0);

    let terminal = Terminal::running_top(&site, "");
    terminal.shows(&["send.cpu  ready"]);
    terminal.key("C-c");
    terminal.ends_as_it_began(0);

    let terminal = Terminal::running_top(&site, "");
    terminal.shows(&["send.cpu  ready"]);
    let process = PathBuf::from(format!("/proc/{}/cmdline", terminal.process().as_raw_nonzero()));
    terminal.tmux(&["kill-server"]);
    // What no one has waited for yet has no command line.
    eventually("the end of top with its terminal", || {
        std::fs::read(&process).map_or(true, |line| line.is_empty()).then_some(())
    });
    assert_eq!(running.stop(), 0);
}
