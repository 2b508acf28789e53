//! Child processes: started in a group of their own, their output in a file, gone when the value is dropped and gone too
//! when the whole run is killed.

use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};

use super::patience::{patience, within};

/// A running child and everything it started.
#[derive(Debug)]
pub(crate) struct Child {
    name: String,
    process: std::process::Child,
    log: PathBuf,
}

impl Child {
    /// Starts `command`; its output is added to the file `log`.
    #[track_caller]
    pub(crate) fn start(name: &str, command: &mut Command, log: &Path) -> Self {
        Self::start_apart(name, command, log, log)
    }

    /// The same with standard output in a file of its own.
    #[track_caller]
    pub(crate) fn start_apart(name: &str, command: &mut Command, output: &Path, log: &Path) -> Self {
        let open = |path: &Path| File::options().create(true).append(true).open(path).unwrap();
        command.stdin(Stdio::null()).stdout(open(output)).stderr(open(log)).process_group(0);
        let process = command.spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        reaper::watch(process.id());
        Self { name: name.to_owned(), process, log: log.to_owned() }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }

    /// The most memory the child itself has had, in bytes.
    #[track_caller]
    pub(crate) fn peak_memory(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// The most memory the child itself has had without the pages of files, such as those of its program, in bytes.
    #[track_caller]
    pub(crate) fn peak_private_memory(&self) -> u64 {
        self.memory("VmHWM:") - self.memory("RssFile:")
    }

    /// A value of `/proc/PID/status`, in bytes.
    #[track_caller]
    fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// What the child said so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// How the child ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().unwrap()
    }

    /// Waits for the child to end by itself.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        match within(patience(), || self.ended()) {
            Some(status) => status,
            None => panic!("{} does not end:\n{}", self.name, self.last_words()),
        }
    }

    /// Waits for the child to end and gives its exit status; a child that died of a signal has none.
    #[track_caller]
    pub(crate) fn exit_code(&mut self) -> i32 {
        let status = self.wait();
        match status.code() {
            Some(code) => code,
            None => panic!("{} died of signal {:?}:\n{}", self.name, status.signal(), self.last_words()),
        }
    }

    /// Sends `signal` to the child alone.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Asks the child to stop and waits until it has.
    #[track_caller]
    pub(crate) fn stop(&mut self) -> i32 {
        self.signal(Signal::TERM);
        self.exit_code()
    }

    /// `kill -9` of the child and all its children. Those that are killed with it hold their files and locks for a moment longer.
    pub(crate) fn kill(&mut self) {
        let _ = kill_process_group(self.pid(), Signal::KILL);
        drop(self.process.wait());
        let _ = within(Duration::from_secs(2), || test_kill_process_group(self.pid()).is_err().then_some(()));
        reaper::forget(self.process.id());
    }

    /// The end of what the child said, for the message of a failed test.
    pub(crate) fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if within(Duration::ZERO, || self.ended()).is_none() {
            self.kill();
        } else {
            reaper::forget(self.process.id());
        }
        if std::thread::panicking() {
            eprintln!("---- {} said ----\n{}\n----", self.name, self.last_words());
        }
    }
}

/// A shell that waits for the end of this process, however it comes, and then ends what is left of its children.
///
/// Statics are not dropped in Rust and a killed run drops nothing, so that the brokers which all tests share would stay.
pub(crate) mod reaper {
    use std::io::Write as _;
    use std::os::unix::process::CommandExt as _;
    use std::path::Path;
    use std::process::{ChildStdin, Command, Stdio};
    use std::sync::{Mutex, OnceLock};

    const SCRIPT: &str = r#"
        groups=' '
        while read -r word value; do
            case $word in
                watch) groups="$groups$value " ;;
                forget) case $groups in *" $value "*) groups="${groups%% "$value" *} ${groups#* "$value" }" ;; esac ;;
                remove) set -- "$@" "$value" ;;
            esac
        done
        for group in $groups; do kill -9 "-$group" 2>/dev/null; done
        [ $# = 0 ] || rm -rf -- "$@"
    "#;

    pub(crate) fn watch(id: u32) {
        tell(&format!("watch {id}\n"));
    }

    pub(crate) fn forget(id: u32) {
        tell(&format!("forget {id}\n"));
    }

    pub(crate) fn remove_at_the_end(folder: &Path) {
        tell(&format!("remove {}\n", folder.display()));
    }

    fn tell(line: &str) {
        static REAPER: OnceLock<Mutex<ChildStdin>> = OnceLock::new();
        let reaper = REAPER.get_or_init(|| {
            let mut command = Command::new("sh");
            command.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
            Mutex::new(command.process_group(0).spawn().unwrap().stdin.unwrap())
        });
        reaper.lock().unwrap().write_all(line.as_bytes()).unwrap();
    }
}
