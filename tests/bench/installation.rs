//! One installation of Sesame to be measured: a configuration, queues where the measurement wants them, and children whose
//! CPU and memory can be measured.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::clock;
use crate::harness::child::reaper;
use crate::peers::openssl::{Host, pki};
use crate::program;

/// A folder with a configuration file.
#[derive(Debug)]
pub(crate) struct Installation {
    folder: PathBuf,
}

/// A running command; killed when the value is dropped before it has ended.
#[derive(Debug)]
pub(crate) struct Running {
    name: String,
    child: Child,
    /// Whether the command is the child of a tool.
    under: bool,
    log: PathBuf,
    pub(crate) since: Instant,
}

impl Installation {
    /// Writes the configuration: `host` presents itself, `sections` are brokers and channels.
    pub(crate) fn new(folder: &Path, host: &Host, sections: &str) -> Self {
        use std::os::unix::fs::DirBuilderExt as _;
        std::fs::create_dir_all(folder.join("plugins.d")).unwrap();
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder.join("compiled")).unwrap();
        let text = format!(
            "[credential]\ncertificate = {:?}\nkey = {:?}\n\n[trust]\nanchors = {:?}\n\n[plugins]\n\
             folder = \"{folder}/plugins.d\"\ncache = \"{folder}/compiled\"\n\n\
             [log]\nplugin-log = \"{folder}/plugins.log\"\n\n{sections}",
            host.certificate,
            host.key,
            [pki().anchors()],
            folder = folder.display(),
        );
        std::fs::write(folder.join("sesame.toml"), text).unwrap();
        Self { folder: folder.to_owned() }
    }

    /// One with the channel `central`, which stores in `spool` of the folder what the sender of the run signs. `general` are
    /// sections, `more` further lines of the channel.
    pub(crate) fn receiving(folder: &Path, broker: &str, destination: &str, (general, more): (&str, &str)) -> Self {
        let (sender, host) = (pki().host("sender.example.org"), pki().host("receiver.example.org"));
        std::fs::create_dir_all(folder).unwrap();
        let list = folder.join("dns");
        std::fs::write(&list, format!("{}\n", sender.subject)).unwrap();
        let sections = format!(
            "{general}\n[broker.own]\nhosts = [{broker:?}]\ntls = false\n[receive.central]\nbroker = \"own\"\n\
             destination = \"{destination}\"\nauthorised = {list:?}\nspool = {:?}\nmin-free = 0\n{more}",
            folder.join("spool"),
        );
        Self::new(&folder.join("site"), &host, &sections)
    }

    /// Starts a command.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        self.run(Command::new(program()), false, arguments)
    }

    /// Starts a command under a tool that watches it, runs it as its only child and ends with its exit status.
    pub(crate) fn start_under(&self, tool: &[&str], arguments: &[&str]) -> Running {
        let mut command = Command::new(tool[0]);
        command.args(&tool[1..]).arg(program());
        self.run(command, true, arguments)
    }

    fn run(&self, mut command: Command, under: bool, arguments: &[&str]) -> Running {
        command.arg("--config").arg(self.folder.join("sesame.toml")).args(arguments);
        command.current_dir(&self.folder).env_remove("NOTIFY_SOCKET");
        let name = format!("sesame {}", arguments.join(" "));
        let log = self.folder.join(format!("{}.log", arguments[0]));
        let output = std::fs::File::options().create(true).append(true).open(&log).unwrap();
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output).process_group(0);
        let since = Instant::now();
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        reaper::watch(child.id());
        Running { name, child, under, log, since }
    }
}

impl Running {
    /// The id of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// CPU so far, in seconds: user and system.
    pub(crate) fn cpu(&self) -> (f64, f64) {
        clock::cpu_of(self.child.id())
    }

    /// The same in one number.
    pub(crate) fn cpu_in_all(&self) -> f64 {
        let (own, kernel) = self.cpu();
        own + kernel
    }

    /// The most memory it has had resident, in bytes.
    pub(crate) fn resident_peak(&self) -> u64 {
        clock::resident_peak(self.child.id())
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether it has ended; its numbers can still be read.
    pub(crate) fn has_ended(&self) -> bool {
        let ended =
            waitid(WaitId::Pid(self.pid()), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG);
        ended.unwrap().is_some()
    }

    /// Waits until it has ended by itself, which must be with exit status 0: wall seconds and CPU.
    pub(crate) fn finish(mut self) -> (f64, (f64, f64)) {
        // Without reaping it yet: of a process that is gone the CPU cannot be read any more.
        waitid(WaitId::Pid(self.pid()), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
        let (wall, cpu) = (self.since.elapsed().as_secs_f64(), self.cpu());
        self.end();
        (wall, cpu)
    }

    /// Asks it to stop and waits until it has, which must be with exit status 0.
    pub(crate) fn stop(mut self) {
        kill_process(self.command(), Signal::TERM).unwrap();
        self.end();
    }

    /// The process of the command itself.
    fn command(&self) -> Pid {
        let id = self.child.id();
        if !self.under {
            return self.pid();
        }
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        Pid::from_raw(children.trim().parse().unwrap()).unwrap()
    }

    /// Fails with what it said, if it has ended.
    pub(crate) fn must_run(&mut self) {
        if self.has_ended() {
            self.end();
            panic!("{} ended", self.name);
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn end(&mut self) {
        let status = self.child.wait().unwrap();
        if !status.success() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            panic!("{} ended with {status}:\n{}", self.name, lines[lines.len().saturating_sub(40)..].join("\n"));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        reaper::forget(self.child.id());
    }
}

/// Asks until the answer is yes, every few milliseconds; fails by name after `limit`.
pub(crate) fn until(what: &str, limit: Duration, mut ask: impl FnMut() -> bool) {
    let start = Instant::now();
    while !ask() {
        assert!(start.elapsed() < limit, "waited {} s in vain: {what}", limit.as_secs());
        std::thread::sleep(Duration::from_millis(20));
    }
}
