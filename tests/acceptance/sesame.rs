//! The program under test, as an operator has it: a configuration file, a host certificate and queues in a folder.
//!
//! A [`Site`] is one such installation. It says what it is in words (`Site::of("sender.example.org").on(broker, …)`),
//! writes its configuration file and runs commands: [`Site::start`] for what stays, [`Site::run`] for what ends.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::harness::patience::within;
use crate::harness::{Child, Folder};
use crate::peers::ams::{Ams, SUBSCRIPTION, TOPIC};
use crate::peers::openssl::{Host, pki};
use crate::peers::python::Link;
use crate::peers::{Broker, openssl, require};

/// How a site reaches a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Plain,
    Tls,
}

impl Way {
    /// The same way for a Python client that comes as `host`.
    pub(crate) fn link<'a>(self, broker: &Broker, host: &'a Host) -> Link<'a> {
        match self {
            Self::Plain => Link { broker: broker.plain(), host: None },
            Self::Tls => Link { broker: broker.tls(), host: Some(host) },
        }
    }
}

/// One installation of Sesame.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) folder: Folder,
    pub(crate) host: Host,
    anchors: Vec<PathBuf>,
    general: String,
    sections: String,
    starts: AtomicU32,
}

/// What a command that ended left behind.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) output: String,
    /// Standard error.
    pub(crate) log: String,
}

impl Outcome {
    /// Both outputs, for a test that does not care which.
    pub(crate) fn all(&self) -> String {
        format!("{}{}", self.output, self.log)
    }

    /// Fails the test with what the command said unless it ended with `code`.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "exit status\n---- output\n{}---- log\n{}", self.output, self.log);
        self
    }

    /// Fails the test unless the command said this.
    #[track_caller]
    pub(crate) fn says(self, words: &str) -> Self {
        assert!(self.all().contains(words), "not said: {words}\n---- output\n{}---- log\n{}", self.output, self.log);
        self
    }
}

impl Site {
    /// A site whose host certificate has this common name.
    pub(crate) fn of(name: &str) -> Self {
        Self::with(pki().host(name))
    }

    /// A site with this host certificate, which trusts the anchors of the run.
    pub(crate) fn with(host: Host) -> Self {
        Self::within(Folder::new("site"), host)
    }

    /// The same in this folder.
    pub(crate) fn within(folder: Folder, host: Host) -> Self {
        std::fs::create_dir(folder.join("plugins.d")).unwrap();
        Self {
            folder,
            host,
            anchors: vec![pki().anchors()],
            general: String::new(),
            sections: String::new(),
            starts: AtomicU32::new(0),
        }
    }

    /// Whose certificates it believes, instead of the run's.
    pub(crate) fn trusting(mut self, anchors: &[&Path]) -> Self {
        self.anchors = anchors.iter().map(|path| (*path).to_owned()).collect();
        self
    }

    /// Changes what the sections say, for the next start.
    pub(crate) fn change(&mut self, from: &str, to: &str) {
        assert!(self.sections.contains(from), "{from} is not in:\n{}", self.sections);
        self.sections = self.sections.replace(from, to);
    }

    /// Adds whole sections.
    pub(crate) fn with_sections(mut self, toml: &str) -> Self {
        writeln!(self.general, "{toml}").unwrap();
        self
    }

    /// The same site with this text of its channels replaced.
    pub(crate) fn changed(mut self, from: &str, to: &str) -> Self {
        assert!(self.sections.contains(from), "{from} is not in the configuration");
        self.sections = self.sections.replace(from, to);
        self
    }

    /// `[broker.test]` is this broker.
    pub(crate) fn on(self, broker: &Broker, way: Way) -> Self {
        match way {
            Way::Plain => self.at(&[&broker.plain()], way, ""),
            Way::Tls => self.at(&[&broker.tls()], way, ""),
        }
    }

    /// `[broker.test]` is at these addresses; `more` are further lines of the section.
    pub(crate) fn at(mut self, hosts: &[&str], way: Way, more: &str) -> Self {
        let tls = way == Way::Tls;
        writeln!(self.sections, "[broker.test]\nhosts = {hosts:?}\ntls = {tls}\n{more}").unwrap();
        self
    }

    /// `[broker.test]` is AMS, which admits this site.
    pub(crate) fn on_ams(self, ams: &Ams) -> Self {
        self.on_ams_with(ams, "")
    }

    /// The same with further lines of the section.
    pub(crate) fn on_ams_with(self, ams: &Ams, more: &str) -> Self {
        ams.admit(&self.host);
        self.with_ams(&format!("{}{more}", ams.lines()))
    }

    /// `[broker.test]` is AMS, which knows no user of this site.
    pub(crate) fn at_ams(self, ams: &Ams) -> Self {
        self.with_ams(&ams.lines())
    }

    /// `[broker.test]` has these lines.
    pub(crate) fn with_ams(mut self, lines: &str) -> Self {
        writeln!(self.sections, "[broker.test]\n{lines}").unwrap();
        self
    }

    /// A channel `[send.NAME]` from the queue [`Site::outgoing`]; `more` are further lines, and tables at their end.
    pub(crate) fn sending(mut self, name: &str, destination: &str, more: &str) -> Self {
        let queue = self.outgoing(name);
        std::fs::create_dir_all(&queue).unwrap();
        writeln!(
            self.sections,
            "[send.{name}]\nbroker = \"test\"\nqueue = {queue:?}\ndestination = \"{destination}\"\npoll = \"200ms\"\n\
             min-free = 0\n{more}"
        )
        .unwrap();
        self
    }

    /// A channel `[receive.NAME]` into [`Site::spool`] that stores the messages of these signers.
    pub(crate) fn receiving(self, name: &str, destination: &str, authorised: &[&str], more: &str) -> Self {
        self.receiving_from(name, &format!("destination = \"{destination}\""), authorised, more)
    }

    /// The same from a subscription of AMS.
    pub(crate) fn pulling(self, name: &str, subscription: &str, authorised: &[&str], more: &str) -> Self {
        self.receiving_from(name, &format!("subscription = \"{subscription}\""), authorised, more)
    }

    fn receiving_from(mut self, name: &str, source: &str, authorised: &[&str], more: &str) -> Self {
        let list = self.folder.write(&format!("{name}.dns"), authorised.join("\n") + "\n");
        let spool = self.spool(name);
        std::fs::create_dir_all(&spool).unwrap();
        writeln!(
            self.sections,
            "[receive.{name}]\nbroker = \"test\"\n{source}\nauthorised = {list:?}\n\
             spool = {spool:?}\nmin-free = 0\n{more}"
        )
        .unwrap();
        self
    }

    /// The outgoing queue of a sender.
    pub(crate) fn outgoing(&self, channel: &str) -> PathBuf {
        self.folder.join(format!("{channel}-outgoing"))
    }

    /// Where a sender's refused messages go.
    pub(crate) fn refused(&self, channel: &str) -> PathBuf {
        self.folder.join(format!("{channel}-outgoing.reject"))
    }

    /// The spool of a receiver.
    pub(crate) fn spool(&self, channel: &str) -> PathBuf {
        self.folder.join(format!("{channel}-spool"))
    }

    /// A queue in the spool of a receiver.
    pub(crate) fn queue(&self, channel: &str, queue: &str) -> PathBuf {
        self.spool(channel).join(queue)
    }

    /// The list of authorised signers of a receiver.
    pub(crate) fn signer_list(&self, channel: &str) -> PathBuf {
        self.folder.join(format!("{channel}.dns"))
    }

    /// Writes the configuration file and says where it is.
    ///
    /// A file `plugin-signers` in the folder makes it ask for signatures of plugins.
    pub(crate) fn configuration(&self) -> PathBuf {
        let folder = self.folder.path().display();
        let signed = match self.folder.join("plugin-signers") {
            list if list.exists() => format!("signers = {list:?}\nrequire-signed = true\n"),
            _ => String::new(),
        };
        let text = format!(
            "[credential]\ncertificate = {certificate:?}\nkey = {key:?}\n\n[trust]\nanchors = {anchors:?}\n\
             refresh = \"1s\"\n\n[plugins]\nfolder = \"{folder}/plugins.d\"\ncache = {cache:?}\n\
             adopted = \"{folder}/adopted-plugins\"\n{signed}\n[log]\nplugin-log = \"{folder}/plugins.log\"\n\n{general}\n{sections}",
            certificate = self.host.certificate,
            key = self.host.key,
            anchors = self.anchors,
            cache = compiled(),
            general = self.general,
            sections = self.sections,
        );
        self.folder.write("sesame.toml", text)
    }

    /// Starts a command that stays.
    #[track_caller]
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        self.start_to_die(arguments, "")
    }

    /// The same with a program that aborts at this point (see `host/spool/src/failpoint.rs`).
    pub(crate) fn start_to_die(&self, arguments: &[&str], point: &str) -> Child {
        let mut command = self.command(arguments);
        if !point.is_empty() {
            command.env("SESAME_FAILPOINTS", format!("{point}=abort"));
        }
        self.start_command(arguments, command)
    }

    /// The same with so many open files allowed: by default, and at most.
    pub(crate) fn start_with_files(&self, arguments: &[&str], (default, most): (u32, u32)) -> Child {
        self.start_by(&["prlimit", &format!("--nofile={default}:{most}")], arguments)
    }

    /// The same by another program, which gets the program and its arguments after these words.
    pub(crate) fn start_by(&self, launcher: &[&str], arguments: &[&str]) -> Child {
        let mut command = Command::new(require(launcher[0]));
        command.args(&launcher[1..]).arg(program());
        self.start_command(arguments, self.set_up(command, arguments))
    }

    fn start_command(&self, arguments: &[&str], mut command: Command) -> Child {
        let number = self.starts.fetch_add(1, Ordering::Relaxed);
        let log = self.folder.join(format!("{}-{number}.log", arguments[0]));
        let mut child = Child::start(&format!("sesame {}", arguments.join(" ")), &mut command, &log);
        // Before it is up a signal just ends it, as it does any program.
        let up = |child: &mut Child| child.log().contains("running") || child.ended().is_some();
        let _ = within(Duration::from_secs(10), || up(&mut child).then_some(()));
        child
    }

    /// Runs a command to its end.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        let number = self.starts.fetch_add(1, Ordering::Relaxed);
        let output = self.folder.join(format!("{}-{number}.out", arguments[0]));
        let log = self.folder.join(format!("{}-{number}.log", arguments[0]));
        let name = format!("sesame {}", arguments.join(" "));
        let code = Child::start_apart(&name, &mut self.command(arguments), &output, &log).exit_code();
        let read = |path: &Path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
        Outcome { code, output: read(&output), log: read(&log) }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.set_up(Command::new(program()), arguments)
    }

    fn set_up(&self, mut command: Command, arguments: &[&str]) -> Command {
        command.arg("--config").arg(self.configuration()).args(arguments);
        command.current_dir(self.folder.path()).env_remove("NOTIFY_SOCKET");
        command
    }
}

/// The binary that cargo built for this test.
pub(crate) fn program() -> PathBuf {
    let built = option_env!("CARGO_BIN_EXE_sesame").map(PathBuf::from);
    built.or_else(|| std::env::var_os("SESAME_BIN").map(PathBuf::from)).expect("a built sesame")
}

/// The caches of an author of the run; compiled plugins are in it where `sesame plugin` keeps them.
pub(crate) fn caches() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| Folder::for_the_run("caches"))
}

/// Compiled plugins, shared by all sites of the run and with authors: the same component is compiled once.
fn compiled() -> PathBuf {
    use std::os::unix::fs::DirBuilderExt as _;
    let folder = caches().join("sesame/plugins");
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).unwrap();
    folder
}

/// A sender and a receiver of the run, the one authorised at the other, with a queue of their own between them.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) sender: Site,
    pub(crate) receiver: Site,
    pub(crate) destination: String,
}

impl Pair {
    /// Both on one broker. `send` and `receive` are further lines of the channels `cpu` and `central`.
    pub(crate) fn on(broker: &Broker, way: Way, send: &str, receive: &str) -> Self {
        let sender = Site::of("sender.example.org").on(broker, way);
        Self::of(sender, Site::of("receiver.example.org").on(broker, way), send, receive)
    }

    /// Of two sites that have a broker.
    pub(crate) fn of(sender: Site, receiver: Site, send: &str, receive: &str) -> Self {
        let destination = own_destination();
        let sender = sender.sending("cpu", &destination, send);
        let subject = sender.host.subject.clone();
        let receiver = receiver.receiving("central", &destination, &[&subject], receive);
        Self { sender, receiver, destination }
    }

    /// Both at one server of AMS.
    pub(crate) fn at(ams: &Ams, send: &str, receive: &str) -> Self {
        let sender = Site::of("sender.example.org").on_ams(ams).sending("cpu", TOPIC, send);
        let subject = sender.host.subject.clone();
        let receiver = Site::of("receiver.example.org").on_ams(ams);
        let receiver = receiver.pulling("central", SUBSCRIPTION, &[&subject], receive);
        Self { sender, receiver, destination: TOPIC.to_owned() }
    }

    /// Where the sender's messages wait.
    pub(crate) fn outgoing(&self) -> PathBuf {
        self.sender.outgoing("cpu")
    }

    /// Where they arrive.
    pub(crate) fn incoming(&self) -> PathBuf {
        self.receiver.queue("central", "incoming")
    }

    /// Where the receiver puts what it refuses.
    pub(crate) fn reject(&self) -> PathBuf {
        self.receiver.queue("central", "reject")
    }
}

/// The line that makes a sender encrypt for `host`.
pub(crate) fn encrypted_for(host: &Host) -> String {
    format!("recipient-certificate = {:?}\n", host.certificate)
}

/// A destination that no other test uses.
pub(crate) fn own_destination() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("/queue/sesame.test.{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The receiver's host, for whom messages are encrypted.
pub(crate) fn recipient() -> Host {
    openssl::pki().host("receiver.example.org")
}
