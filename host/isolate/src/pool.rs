//! The children of a process.
//!
//! A child is started when a message waits and no child is free, up to one for each worker; it opens messages until the
//! process ends. A child that ends, is late or talks nonsense is killed, and the message that it had is handed back with the
//! reason. After several such ends in a row the next start waits, twice as long each time.

#[cfg(test)]
mod tests;

use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use message::{cause, locked, text};
use smime::Answer;

use crate::child::SUBCOMMAND;
use crate::sandbox::Sandbox;
use crate::session::{Message, Over, Session};

/// The octets of messages that a child has at once, where it has several: they and their answers fit into the socket, so
/// that neither side waits for the other to read.
pub const AHEAD: usize = 48 * 1024;
/// How long one message may take. The largest takes some seconds.
const DEADLINE: Duration = Duration::from_secs(60);
/// The first and the longest pause before a start.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// How much of what a child writes to standard error is shown.
const SAID: u64 = 4096;

/// A child ended, or was killed, while it had a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the process that opened the message {how}")]
pub struct Crash {
    how: String,
}

/// Why there is no answer about a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOpened {
    /// A child ended with it.
    #[error(transparent)]
    Crashed(#[from] Crash),
    /// No child can be started now: the message is not at fault.
    #[error("cannot start a process that opens messages: {0}")]
    Unavailable(String),
}

impl NotOpened {
    fn nothing_asked() -> Self {
        Self::Unavailable("no message was given".to_owned())
    }
}

struct Process {
    child: Child,
    session: Session,
}

#[derive(Default)]
struct State {
    idle: Vec<Process>,
    /// Children, those at work among them.
    running: usize,
    /// Ends in a row.
    failures: u32,
    /// No child is started before.
    not_before: Option<Instant>,
    crashes: u64,
    sandbox: Option<Sandbox>,
}

/// Children that open messages.
pub struct Pool {
    program: PathBuf,
    most: usize,
    deadline: Duration,
    state: Mutex<State>,
    freed: Condvar,
    starter: Mutex<Option<Sender<Start>>>,
}

type Start = Sender<io::Result<(Child, UnixStream)>>;

impl std::fmt::Debug for Pool {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Pool").field("program", &self.program).field("most", &self.most).finish_non_exhaustive()
    }
}

impl Pool {
    /// Children of `program`, as many as `most`. None is started yet.
    #[must_use]
    pub fn new(program: PathBuf, most: usize) -> Self {
        Self::with_deadline(program, most, DEADLINE)
    }

    fn with_deadline(program: PathBuf, most: usize, deadline: Duration) -> Self {
        Self {
            program,
            most: most.max(1),
            deadline,
            state: Mutex::default(),
            freed: Condvar::new(),
            starter: Mutex::default(),
        }
    }

    /// Has a child open a message. Blocks, also while all children are busy.
    ///
    /// # Errors
    /// [`NotOpened`] where no child answers.
    pub fn open(&self, message: &Message<'_>) -> Result<Answer, NotOpened> {
        self.open_all(std::slice::from_ref(message))?.answer().unwrap_or_else(|| Err(NotOpened::nothing_asked()))
    }

    /// Has a child open messages one after the other: neither side waits for the other after each of them, and their
    /// answers come in this order. Their octets must fit into [`AHEAD`] where there is more than one. Blocks while all
    /// children are busy.
    ///
    /// # Errors
    /// [`NotOpened`] where no child takes them.
    pub fn open_all<'a>(&'a self, messages: &'a [Message<'a>]) -> Result<Turn<'a>, NotOpened> {
        let mut process = self.take()?;
        match process.session.send(messages) {
            Ok(()) => Ok(Turn { pool: self, process: Some(process), messages, next: 0 }),
            Err(over) => Err(self.crashed(process, &over)),
        }
    }

    fn crashed(&self, process: Process, over: &Over) -> NotOpened {
        let how = ending(process, over);
        self.lost(true);
        Crash { how }.into()
    }

    /// What the kernel enforces on children. Starts one if none was started yet.
    ///
    /// # Errors
    /// [`NotOpened::Unavailable`].
    pub fn sandbox(&self) -> Result<Sandbox, NotOpened> {
        let known = locked(&self.state).sandbox;
        if let Some(sandbox) = known {
            return Ok(sandbox);
        }
        let process = self.take()?;
        self.give_back(process);
        locked(&self.state).sandbox.ok_or_else(|| NotOpened::Unavailable("it said nothing".to_owned()))
    }

    /// Children that run, and how many ended with a message.
    #[must_use]
    pub fn counts(&self) -> (usize, u64) {
        let state = locked(&self.state);
        (state.running, state.crashes)
    }

    fn take(&self) -> Result<Process, NotOpened> {
        let mut state = locked(&self.state);
        loop {
            if let Some(mut process) = state.idle.pop() {
                match process.child.try_wait() {
                    Ok(None) => return Ok(process),
                    ended => {
                        tracing::warn!(
                            how = ended.ok().flatten().map(ended_with).unwrap_or_default(),
                            "a process that opens messages has ended while it had none",
                        );
                        state.running -= 1;
                        continue;
                    }
                }
            }
            if state.running < self.most {
                break;
            }
            state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.not_before.is_some_and(|at| Instant::now() < at) {
            return Err(NotOpened::Unavailable("the last ones crashed".to_owned()));
        }
        state.running += 1;
        drop(state);
        let started = self.start();
        match started {
            Ok((process, sandbox)) => {
                locked(&self.state).sandbox = Some(sandbox);
                Ok(process)
            }
            Err(why) => {
                self.lost(false);
                Err(NotOpened::Unavailable(why))
            }
        }
    }

    fn give_back(&self, process: Process) {
        let mut state = locked(&self.state);
        (state.failures, state.not_before) = (0, None);
        state.idle.push(process);
        drop(state);
        self.freed.notify_one();
    }

    /// A child is gone.
    fn lost(&self, with_message: bool) {
        let mut state = locked(&self.state);
        state.running -= 1;
        state.crashes += u64::from(with_message);
        state.failures = state.failures.saturating_add(1);
        // The first end is most likely that of one message.
        let doublings = state.failures.checked_sub(if with_message { 2 } else { 1 });
        let pause = doublings.map(|times| PAUSES.0.saturating_mul(1 << times.min(10)).min(PAUSES.1));
        state.not_before = pause.and_then(|pause| Instant::now().checked_add(pause));
        drop(state);
        self.freed.notify_all();
    }

    fn start(&self) -> Result<(Process, Sandbox), String> {
        let (child, socket) = self.spawn().map_err(|error| format!("{}: {error}", self.program.display()))?;
        let session = Session::new(socket, self.deadline);
        let mut process = match session {
            Ok(session) => Process { child, session },
            Err(error) => {
                end(child);
                return Err(error.to_string());
            }
        };
        match process.session.ready() {
            Ok(sandbox) => Ok((process, sandbox)),
            Err(over) => Err(ending(process, &over)),
        }
    }

    /// Starts a child from a thread that lives as long as the pool: the kernel ends a child with the thread that started it.
    fn spawn(&self) -> io::Result<(Child, UnixStream)> {
        let mut starter = locked(&self.starter);
        let (answer, started) = channel();
        if let Some(starter) = &*starter
            && starter.send(answer.clone()).is_ok()
        {
            drop(answer);
            return started.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()));
        }
        let (sender, orders) = channel::<Start>();
        let program = self.program.clone();
        std::thread::Builder::new().name("isolate".to_owned()).spawn(move || {
            for order in orders {
                let _ = order.send(spawn(&program));
            }
        })?;
        let _ = sender.send(answer);
        *starter = Some(sender);
        started.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
    }
}

/// Messages that a child has. What is left of them when it is dropped is opened, and the answers are thrown away.
#[must_use = "the answers are to be asked for"]
pub struct Turn<'a> {
    pool: &'a Pool,
    /// Until the child crashes.
    process: Option<Process>,
    messages: &'a [Message<'a>],
    next: usize,
}

impl Turn<'_> {
    /// The answer about the next message; `None` after the last, and after a crash. Blocks.
    ///
    /// # Errors
    /// [`NotOpened`]. Where the child had several messages, it is not known which of them it was.
    pub fn answer(&mut self) -> Option<Result<Answer, NotOpened>> {
        let process = self.process.as_mut()?;
        if self.next == self.messages.len() {
            return None;
        }
        let place = self.next;
        self.next += 1;
        match process.session.answer(self.messages, place) {
            Ok(answer) => Some(Ok(answer)),
            Err(over) => {
                let process = self.process.take()?;
                Some(Err(self.pool.crashed(process, &over)))
            }
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        while self.answer().is_some() {}
        if let Some(process) = self.process.take() {
            self.pool.give_back(process);
        }
    }
}

impl std::fmt::Debug for Turn<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Turn")
            .field("messages", &self.messages.len())
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let idle = std::mem::take(&mut locked(&self.state).idle);
        idle.into_iter().for_each(|process| end(process.child));
    }
}

fn spawn(program: &Path) -> io::Result<(Child, UnixStream)> {
    let (ours, its) = UnixStream::pair()?;
    let mut command = Command::new(program);
    command.arg0("sesame").arg(SUBCOMMAND).env_clear().current_dir("/");
    #[cfg(debug_assertions)]
    if let Some(marker) = std::env::var_os(crate::child::MARKER) {
        command.env(crate::child::MARKER, marker);
    }
    // Its own group: what a terminal sends is for the parent.
    command.process_group(0);
    command.stdin(OwnedFd::from(its)).stdout(Stdio::null()).stderr(Stdio::piped());
    Ok((command.spawn()?, ours))
}

fn end(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// Ends a child whose conversation is over, and says how it came to that.
fn ending(mut process: Process, over: &Over) -> String {
    // One that crashed has ended by itself, or is about to: the kernel closes its socket a moment before.
    let patience = Instant::now() + Duration::from_millis(200);
    let mut status = process.child.try_wait();
    while matches!((over, &status), (Over::Ended(_), Ok(None))) && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(1));
        status = process.child.try_wait();
    }
    let mut said = Vec::new();
    let stderr = process.child.stderr.take();
    end(process.child);
    if let Some(stderr) = stderr {
        let _ = stderr.take(SAID).read_to_end(&mut said);
    }
    let said = text::one_line(String::from_utf8_lossy(&said).trim(), 400);
    let how = match status {
        Ok(Some(status)) => ended_with(status),
        _ => format!("was killed: {}", cause::chain(over)),
    };
    if said.is_empty() { how } else { format!("{how}, saying {said:?}") }
}

/// How a process ended, in words.
fn ended_with(status: ExitStatus) -> String {
    const NAMES: [(i32, &str); 9] = [
        (libc::SIGABRT, "SIGABRT: it aborted, or ran out of memory"),
        (libc::SIGBUS, "SIGBUS"),
        (libc::SIGFPE, "SIGFPE"),
        (libc::SIGILL, "SIGILL"),
        (libc::SIGKILL, "SIGKILL: it was killed, by an operator or for want of memory"),
        (libc::SIGSEGV, "SIGSEGV"),
        (libc::SIGSYS, "SIGSYS: it made a system call that is forbidden to it"),
        (libc::SIGTRAP, "SIGTRAP"),
        (libc::SIGTERM, "SIGTERM"),
    ];
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => {
            let name = NAMES.iter().find(|(number, _)| *number == signal).map(|(_, name)| format!(" ({name})"));
            format!("ended by signal {signal}{}", name.unwrap_or_default())
        }
        (None, None) => "ended".to_owned(),
    }
}
